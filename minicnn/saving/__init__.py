"""Models and weights in files.

- `model_file`: a whole model, with its optimizer's state: `model.save`, `minicnn.load_model`
- `weights_file`: weights alone: `model.save_weights`, `model.load_weights`
- `keras_file`: both in Keras' own formats, `.keras` and `.h5`
- `npz`: reading and writing the NPZ files that both are
"""

from typing import Any

from minicnn.saving import model_file
from minicnn.validation.configuration import Known


def load_model(path: Any, custom_objects: Known | None = None) -> Any:
    """Read what `model.save` wrote: a new model that goes on learning as the saved one would have.

    From a file of the end of an epoch, also in a new process, `fit` gives the same weights as if it
    had not been stopped, bit for bit:

        model = load_model("after_3.npz")
        model.fit(x, y, epochs=10, initial_epoch=3)

    For that the session's random stream (see `set_random_seed`) goes on as when the file was
    written; `set_random_seed` afterwards starts another. A Dataset is no part of the model and
    starts anew: see `initial_epoch` of `fit`. Callbacks start anew, too: `EarlyStopping` counts
    from there.

    Parameters
    ----------
    path : str or path
    custom_objects : dict, optional
        Layers and other classes of your own that the model uses, by name.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it does not hold a model, or one with parts that are not known. Nothing has changed then.
    """
    return model_file.load(path, custom_objects)[0]
