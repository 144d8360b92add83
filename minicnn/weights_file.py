"""Weights on disk: an NPZ file (a zip of plain arrays), never pickled, replaced as a whole."""

import os
import uuid
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.layer import Layer
from minicnn.session import snake_case


def save(path: Any, layers: list[Layer]) -> None:
    """Write the weights of `layers` to `path`, all or nothing.

    The file is written beside `path` and takes its place when it is complete on disk: whoever
    reads `path` meanwhile finds the old file or the new one, never a part.

    Raises
    ------
    ValueError
        If `path` does not end in .npz.
    OSError
        If it cannot be written; then `path` is as it was.
    """
    path = _npz_path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(temporary, "xb") as file:
            np.savez(file, allow_pickle=False, **_by_key(layers))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load(path: Any, layers: list[Layer]) -> None:
    """Read the weights of `layers` from `path`; nothing is changed unless all of them fit.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no file of weights, or one for other layers: what was expected and what came.
    """
    path = _npz_path(path)
    own = _by_key(layers)
    try:
        with np.load(path, allow_pickle=False) as file:
            if sorted(file.files) != sorted(own):
                raise ValueError(f"expected the arrays {sorted(own)}, found {sorted(file.files)}")
            found = {key: file[key] for key in own}
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} does not hold the weights of this model: {error}") from None
    for key, weight in own.items():
        if found[key].shape != weight.shape or found[key].dtype.kind != "f":
            raise ValueError(
                f"{path}: expected {key} of shape {weight.shape} in floating point, "
                f"found shape {found[key].shape} of {found[key].dtype}"
            )
    for key, weight in own.items():
        weight[...] = found[key]


def _by_key(layers: list[Layer]) -> dict[str, np.ndarray]:
    """The weights by names that depend on the architecture alone: conv2d/kernel, conv2d_1/bias.

    Layers' own names go on counting from model to model, so they would not fit a second model.
    """
    counts: dict[str, int] = {}
    arrays = {}
    for layer in layers:
        kind = snake_case(type(layer).__name__)
        count = counts.get(kind, 0)
        counts[kind] = count + 1
        for key, weight in layer.params.items():
            arrays[f"{kind}_{count}/{key}" if count else f"{kind}/{key}"] = weight
    return arrays


def _npz_path(path: Any) -> Path:
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"expected the name of a weights file to end in .npz, received {path}")
    return path
