"""A whole model in one file: its layers, its weights, and the state of its training.

It is an NPZ file as in `weights_file`, with two more kinds of arrays: the optimizer's state, and
the bytes of a JSON text with everything that is not an array. Nothing is pickled: a file can
mention classes by name, but only minicnn's and those that the caller passes are instantiated.
"""

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import initializers, layers, losses, metrics, optimizers, session
from minicnn.layer import Layer
from minicnn.layers import KernelLayer
from minicnn.saving import keras_file, npz
from minicnn.saving.weights_file import JSON, by_key
from minicnn.validation import Check
from minicnn.validation.configuration import (
    KNOWN,
    Known,
    from_plain_data,
    plain_data,
    require_known,
)

HEADER = 128  # bytes of an array before its content
FORMAT = 1
LONGEST_JSON = 1 << 24  # bytes
DESCRIBED = ("optimizer", "loss", "metrics")  # as plain data, in the part on training

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
    """Write a built model to `path`, completely or not at all: see `Sequential.save`.

    `notes` may be anything that JSON can hold; `load` returns it.
    """
    if npz.is_keras_file(path):
        keras_file.save_model(path, model)
        return
    path = npz.npz_path(path)
    content = {
        "format": FORMAT,
        "model": model.get_config(),
        "training": None if model.loss is None else _training(model),
        "random_stream": model.random_stream().bit_generator.state,
        "notes": notes,
    }
    frozen = [number for number, layer in enumerate(model.layers) if not layer.trainable]
    if frozen:
        content["frozen"] = frozen
    arrays = by_key(model.layers) | _slots(model)
    arrays[JSON] = np.frombuffer(json.dumps(content).encode(), np.uint8)
    npz.write_arrays(path, arrays)


def _training(model: Any) -> dict[str, Any]:
    training = {name: plain_data(getattr(model, name)) for name in DESCRIBED}
    training["iterations"] = model.optimizer.iterations
    training["slots"] = list(model.optimizer.state)
    if model.run_eagerly:
        training["run_eagerly"] = True
    return training


def _slots(model: Any) -> dict[str, np.ndarray]:
    """The arrays of the optimizer's state by name: one for each slot and each trained weight."""
    if model.optimizer is None or not model.optimizer.state:
        return {}
    trained = by_key(model.layers, trained_only=True)
    weights = list(trained.values())
    places = model.optimizer.places(weights)
    return {
        f"optimizer/{slot}/{key}": arrays[place]
        for slot, arrays in model.optimizer.state.items()
        for key, place in zip(trained, places, strict=True)
    }


def load(
    path: Any, custom_objects: Known | None = None, model_class: Any = None
) -> tuple[Any, Any]:
    """A new model from a file, and the notes that were passed to `save`: see `load_model`.

    The session's random stream continues as when the file was written. `model_class` is
    `minicnn.Sequential` by default.
    """
    from minicnn.model import Sequential  # which imports this module

    if npz.is_keras_file(path):
        return keras_file.load_model(path, model_class or Sequential), None
    path = npz.npz_path(path)
    with npz.open_arrays(path, "a model") as archive:
        content = _read_json(archive)
        config, training = content["model"], content["training"]
        known = KNOWN | (custom_objects or {})
        described = [] if training is None else [training[name] for name in DESCRIBED]
        require_known([config["layers"], *described], known)
        shape, config["input_shape"] = tuple(config["input_shape"]), None  # not built yet
        model = (model_class or Sequential).from_config(config, custom_objects)
        _check_size(model.layers, shape, model.dtype, path)
        # Weights are overwritten below: the session's stream must not be used up for them.
        model.build((None, *shape), np.random.default_rng(0))
        for number in content.get("frozen", []):
            last = len(model.layers) - 1
            number = Check("frozen").integer(number, "the number of a layer", 0, last)
            model.layers[number].trainable = False
        if training is not None:
            _compile(model, training, known)
        _read_arrays(archive, model, training)
        stream = np.random.default_rng(0)
        stream.bit_generator.state = content["random_stream"]
    session.go_on_with(stream)
    return model, content["notes"]


def _read_json(archive: zipfile.ZipFile) -> dict[str, Any]:
    if f"{JSON}.npy" not in archive.namelist():
        raise ValueError(f"it has no {JSON}; weights alone are for model.load_weights")
    size = archive.getinfo(f"{JSON}.npy").file_size - HEADER
    if not 0 < size <= LONGEST_JSON:
        raise ValueError(f"{JSON} has {size:,} bytes, expected at most {LONGEST_JSON:,}")
    content = json.loads(npz.read_array(archive, JSON, (size,), "u").tobytes())
    if content["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, found {content['format']!r}")
    return content


def _check_size(parts: list[Layer], shape: tuple[int, ...], dtype: np.dtype, path: Path) -> None:
    """Raise a ValueError if the layers would have more weights than fit into the file.

    Layers are built, and memory is allocated, before weights are read: a small file that describes
    a huge layer must not exhaust memory.
    """
    needed = 0
    for part in parts:
        if isinstance(part, KernelLayer):
            needed += math.prod(part.kernel_shape(shape)) * dtype.itemsize
        shape = part.output_shape(shape)
    if needed > path.stat().st_size:
        raise ValueError(f"its layers have weights of {needed:,} bytes, more than the file")


def _compile(model: Any, training: dict[str, Any], known: Known) -> None:
    optimizer, loss, chosen = from_plain_data([training[name] for name in DESCRIBED], known)
    eagerly = training.get("run_eagerly", False)
    model.compile(optimizer, loss, metrics=chosen, run_eagerly=eagerly)
    optimizer.iterations = Check("optimizer").integer(training["iterations"], "iterations", 0)
    if training["slots"] not in ([], list(optimizer.slots)):
        raise ValueError(f"expected the slots {optimizer.slots}, found {training['slots']}")


def _read_arrays(archive: zipfile.ZipFile, model: Any, training: dict[str, Any] | None) -> None:
    """Overwrite the weights and the optimizer's state with the arrays of the file."""
    arrays = by_key(model.layers)
    if training is not None:
        trained = by_key(model.layers, trained_only=True).values()
        model.optimizer.state = {
            slot: [np.zeros_like(weight) for weight in trained] for slot in training["slots"]
        }
        arrays |= _slots(model)
    npz.check_names(archive, [*arrays, JSON])
    for key, array in arrays.items():
        array[...] = npz.read_array(archive, key, array.shape, array.dtype.kind)
