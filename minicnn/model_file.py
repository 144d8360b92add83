"""A whole model in one file: what it is made of, what it has learned, and how it goes on learning.

It is an NPZ file like those of `minicnn.weights_file`, with two more kinds of arrays in it: the
optimizer's, and the bytes of a JSON text with all that is not an array. Nothing is pickled: a file
can name classes, but only those of minicnn and those that the caller hands in are made.
"""

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import initializers, layers, losses, metrics, optimizers, session, weights_file
from minicnn.configuration import KNOWN, Known, from_plain_data, plain_data
from minicnn.layer import KernelLayer, Layer
from minicnn.shapes import positive_int

JSON, HEADER = "model.json", 128  # the array's name; bytes before its content
FORMAT = 1
LONGEST_JSON = 1 << 24  # bytes

KNOWN |= {
    each.__name__: each
    for each in (
        *(getattr(layers, name) for name in layers.__all__),
        *initializers.INITIALIZERS.values(),
        *optimizers.OPTIMIZERS.values(),
        *losses.LOSSES.values(),
        metrics.SparseCategoricalAccuracy,
    )
}


def save(path: Any, model: Any, notes: Any = None) -> None:
    """Write a built model, all or nothing; `notes`, in terms of JSON, come back from `load`.

    Raises
    ------
    ValueError
        If `path` does not end in .npz.
    NotImplementedError
        If a part of the model cannot be described: see `minicnn.configuration`.
    OSError
        If it cannot be written; then `path` is as it was.
    """
    path = weights_file.npz_path(path)
    weights = weights_file.by_key(model.layers)
    content = {
        "format": FORMAT,
        "model": model.get_config(),
        "training": None if model.loss is None else _training(model),
        "random_stream": model.random_stream().bit_generator.state,
        "notes": notes,
    }
    arrays = weights | (_slots(model.optimizer, list(weights)) if model.optimizer else {})
    arrays[JSON] = np.frombuffer(json.dumps(content).encode(), np.uint8)
    weights_file.write_arrays(path, arrays)


def _training(model: Any) -> dict[str, Any]:
    return {
        "optimizer": plain_data(model.optimizer),
        "iterations": model.optimizer.iterations,
        "slots": list(model.optimizer.state),
        "loss": plain_data(model.loss),
        "metrics": plain_data(model.metrics),
    }


def _slots(optimizer: optimizers.Optimizer, keys: list[str]) -> dict[str, np.ndarray]:
    return {
        f"optimizer/{slot}/{key}": array
        for slot, arrays in optimizer.state.items()
        for key, array in zip(keys, arrays, strict=True)
    }


def load(path: Any, model_class: Any, custom_objects: Known | None = None) -> tuple[Any, Any]:
    """(a new model, notes) from a file; then the random stream goes on as when it was written.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it does not hold a model, or one with parts that are not known. Nothing has changed then.
    """
    path = weights_file.npz_path(path)
    with weights_file.open_arrays(path, "a model") as archive:
        content = _read_json(archive)
        config, known = content["model"], KNOWN | (custom_objects or {})
        shape, config["input_shape"] = tuple(config["input_shape"]), None  # not built yet
        model = model_class.from_config(config, custom_objects)
        _check_size(model.layers, shape, model.dtype, path)
        # Its numbers are overwritten at once, and those of the session must not be used up for it.
        model.build((None, *shape), np.random.default_rng(0))
        training = content["training"]
        if training is not None:
            _compile(model, training, known)
        _read_arrays(archive, model, training)
        stream = _stream(content["random_stream"])
    session.go_on_with(stream)
    return model, content["notes"]


def _read_json(archive: zipfile.ZipFile) -> dict[str, Any]:
    if f"{JSON}.npy" not in archive.namelist():
        raise ValueError(f"it has no {JSON}; weights alone are for model.load_weights")
    size = archive.getinfo(f"{JSON}.npy").file_size - HEADER
    if not 0 < size <= LONGEST_JSON:
        raise ValueError(f"{JSON} has {size:,} bytes, expected at most {LONGEST_JSON:,}")
    content = json.loads(weights_file.read_array(archive, JSON, (size,), "u").tobytes())
    if content["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, found {content['format']!r}")
    return content


def _check_size(parts: list[Layer], shape: tuple[int, ...], dtype: np.dtype, path: Path) -> None:
    """A layer is built before its weights are read: a file must not promise more than it has."""
    promised = 0
    for part in parts:
        if isinstance(part, KernelLayer):
            promised += math.prod(part.kernel_shape(shape)) * dtype.itemsize
        shape = part.output_shape(shape)
    if promised > path.stat().st_size:
        raise ValueError(f"its layers have weights of {promised:,} bytes, more than the file")


def _compile(model: Any, training: dict[str, Any], known: Known) -> None:
    optimizer, loss, chosen = (
        from_plain_data(training[name], known) for name in ("optimizer", "loss", "metrics")
    )
    model.compile(optimizer, loss, metrics=chosen)
    optimizer.iterations = positive_int(training["iterations"], "iterations", "optimizer", 0)
    if training["slots"] not in ([], list(optimizer.slots)):
        raise ValueError(f"expected the slots {optimizer.slots}, found {training['slots']}")


def _read_arrays(archive: zipfile.ZipFile, model: Any, training: dict[str, Any] | None) -> None:
    weights = weights_file.by_key(model.layers)
    if training is not None:
        model.optimizer.state = {
            slot: [np.zeros_like(weight) for weight in weights.values()]
            for slot in training["slots"]
        }
        weights |= _slots(model.optimizer, list(weights))
    weights_file.check_names(archive, [*weights, JSON])
    for key, weight in weights.items():
        weight[...] = weights_file.read_array(archive, key, weight.shape)


def _stream(state: dict[str, Any]) -> np.random.Generator:
    stream = np.random.default_rng(0)
    stream.bit_generator.state = state
    return stream
