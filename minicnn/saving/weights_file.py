"""Weights alone in an NPZ file, one array for each weight, by readable names."""

from collections import Counter
from typing import Any

import numpy as np

from minicnn.layer import Layer
from minicnn.saving.npz import (
    check_names,
    is_keras_file,
    npz_path,
    open_arrays,
    read_array,
    write_arrays,
)
from minicnn.session import snake_case

JSON = "model.json"  # the array that a file of a whole model has besides: see `model_file`


def save(path: Any, layers: list[Layer]) -> None:
    """Write the weights of `layers`, trained or not, to `path`, completely or not at all."""
    if is_keras_file(path):
        from minicnn.saving import keras_file  # which imports this module

        keras_file.save_weights(path, layers)
    else:
        write_arrays(npz_path(path), by_key(layers))


def load(path: Any, layers: list[Layer]) -> None:
    """Read the weights of `layers` from `path`; nothing is changed unless all of them fit.

    The file may also hold a whole model of such layers. One that holds anything else is a
    ValueError, which says what was expected and found.
    """
    if is_keras_file(path):
        from minicnn.saving import keras_file

        keras_file.load_weights(path, layers)
        return
    own = by_key(layers)
    with open_arrays(npz_path(path), "the weights of this model") as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        whole = JSON in names
        others = [name for name in names if name == JSON or name.startswith("optimizer/")]
        check_names(archive, [*own, *(others if whole else ())])
        found = {
            key: read_array(archive, key, weight.shape, weight.dtype.kind).astype(weight.dtype)
            for key, weight in own.items()
        }
    for key, weight in own.items():
        weight[...] = found[key]


def by_key(layers: list[Layer], trained_only: bool = False) -> dict[str, np.ndarray]:
    """Weights by names that depend on the architecture alone: conv2d/kernel, conv2d_1/bias.

    The layers' own names would not fit a second model: automatic names go on counting. With
    `trained_only`, layers that are frozen and weights that are not trained are left out.
    """
    arrays = {}
    for layer, prefix in zip(layers, prefixes(layers), strict=True):
        if layer.trainable or not trained_only:
            weights = layer.params if trained_only else layer.weights
            arrays |= {f"{prefix}/{name}": weight for name, weight in weights.items()}
    return arrays


def prefixes(layers: list[Layer]) -> list[str]:
    """Each layer's class in snake case with a counter: what its keys begin with."""
    counts = Counter()
    found = []
    for layer in layers:
        kind = snake_case(type(layer).__name__)
        found.append(f"{kind}_{counts[kind]}" if counts[kind] else kind)
        counts[kind] += 1
    return found
