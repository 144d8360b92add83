"""Weights alone in an NPZ file, one array for each weight, by readable names."""

from typing import Any

import numpy as np

from minicnn.layer import Layer
from minicnn.saving.npz import check_names, npz_path, open_arrays, read_array, write_arrays
from minicnn.session import snake_case


def save(path: Any, layers: list[Layer]) -> None:
    """Write the weights of `layers`, trained or not, to `path`, completely or not at all.

    Raises
    ------
    ValueError
        If `path` does not end in .npz.
    OSError
        If the file cannot be written; `path` is then unchanged.
    """
    write_arrays(npz_path(path), by_key(layers))


def load(path: Any, layers: list[Layer]) -> None:
    """Read the weights of `layers` from `path`; nothing is changed unless all of them fit.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it holds anything but the weights of such layers; says what was expected and found.
    """
    own = by_key(layers)
    with open_arrays(npz_path(path), "the weights of this model") as archive:
        check_names(archive, own)
        found = {
            key: read_array(archive, key, weight.shape, weight.dtype.kind).astype(weight.dtype)
            for key, weight in own.items()
        }
    for key, weight in own.items():
        weight[...] = found[key]


def by_key(layers: list[Layer], trained_only: bool = False) -> dict[str, np.ndarray]:
    """Weights by names that depend on the architecture alone: conv2d/kernel, conv2d_1/bias.

    The layers' own names would not fit a second model: automatic names go on counting.

    Parameters
    ----------
    layers : list of Layer
    trained_only : bool
        Leave out layers that are frozen, and weights that are not trained.
    """
    counts: dict[str, int] = {}
    arrays = {}
    for layer in layers:
        kind = snake_case(type(layer).__name__)
        count = counts.get(kind, 0)
        counts[kind] = count + 1
        if trained_only and not layer.trainable:
            continue
        for name, weight in (layer.params if trained_only else layer.weights).items():
            arrays[f"{kind}_{count}/{name}" if count else f"{kind}/{name}"] = weight
    return arrays
