"""The command line: `python -m minicnn train`, `evaluate`, `summary` and `verify`.

- `main`: the parser of all commands, and how they end; `summary`
- `training`: `train` and `evaluate`
- `resuming`: the flags `--checkpoint` and `--resume` of `train`
- `workers`: the flags `--workers` and `--worker` of `train`
- `verify`: `verify`, the comparison with Keras
- `arguments`: types of arguments: numbers and paths, checked before any work starts
"""
