"""The command line: `python -m minicnn train`, `evaluate`, `explore`, `predict` and others.

- `main`: the parser of all commands, and how they end; `summary`
- `training`: `train` and `evaluate`
- `exploring`: `explore`, which writes the page of `minicnn.explorer`
- `recognising`: `predict`, for pictures of digits
- `stored_models`: models and weights from files, for these two
- `resuming`: the flags `--checkpoint` and `--resume` of `train`
- `workers`: the flags `--workers` and `--worker` of `train`
- `verify`: `verify`, the comparison with Keras
- `arguments`: types of arguments: numbers and paths, checked before any work starts
"""
