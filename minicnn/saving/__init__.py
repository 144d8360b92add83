"""Models and weights in files.

- `model_file`: a whole model, with its optimizer's state: `model.save`, `minicnn.load_model`
- `weights_file`: weights alone: `model.save_weights`, `model.load_weights`
- `npz`: reading and writing the NPZ files that both are
"""
