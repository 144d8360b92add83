"""Keras' own files: `.keras`, `.h5` and `.weights.h5`, which either library reads.

- `.keras`: a zip archive with config.json (layers and what they were compiled with) and
  model.weights.h5 (weights, and the optimizer's state).
- `.h5`, `.hdf5`: the older format of whole models, one HDF5 file. It is written without the
  optimizer's state: Keras 3 reads that, and then refuses to train.
- `.weights.h5`: weights alone.

They need h5py, which comes with TensorFlow. They do not hold the state of the random stream: to
continue a training as if it had not been stopped, use `.npz`.
"""

import contextlib
import io
import json
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.layer import Layer
from minicnn.saving import npz
from minicnn.saving.keras_config import dtype_of, layers_of, made, model_config
from minicnn.saving.weights_file import by_key, prefixes

VERSION = "3.15.0"  # of Keras, whose format this is
WEIGHTS = "model.weights.h5"
WITH_MOMENTUM = ("RMSprop", "SGD")  # Keras writes their state slot by slot, others weight by weight


def _h5py(path: Path) -> types.ModuleType:
    try:
        import h5py
    except ImportError:
        raise ImportError(
            f"{path}: Keras' files are read and written by h5py, which is not installed: "
            'pip install "minicnn[keras]", or use a name that ends in .npz'
        ) from None
    return h5py


def save_model(path: Any, model: Any) -> None:
    """Write a whole model in Keras' format; completely or not at all."""
    path = Path(path)
    config = model_config(model)
    if path.suffix == ".keras":
        content = {"metadata.json": json.dumps({"keras_version": VERSION}).encode()}
        content["config.json"] = json.dumps(config).encode()
        content[WEIGHTS] = _in_memory(path, lambda file: _write_weights(file, model))

        def write(file: Any) -> None:
            with zipfile.ZipFile(file, "w") as archive:
                for name, data in content.items():
                    archive.writestr(name, data)
    else:
        data = _in_memory(path, lambda file: _write_older(file, model, config))

        def write(file: Any) -> None:
            file.write(data)

    npz.write_file(path, write)


def save_weights(path: Any, parts: list[Layer]) -> None:
    """Write weights alone in Keras' format; completely or not at all."""
    path = Path(path)
    if not path.name.endswith(".weights.h5"):
        raise ValueError(
            f"expected the name of a file of weights to end in .weights.h5 or .npz, received {path}"
        )
    data = _in_memory(path, lambda file: _write_layers(file, parts))
    npz.write_file(path, lambda file: file.write(data))


def _in_memory(path: Path, write: Callable[[Any], None]) -> bytes:
    """The bytes of an HDF5 file that `write` fills."""
    buffer = io.BytesIO()
    with _h5py(path).File(buffer, "w") as file:
        write(file)
    return buffer.getvalue()


def _write_layers(file: Any, parts: list[Layer]) -> None:
    for prefix, layer in zip(prefixes(parts), parts, strict=True):
        group = file.create_group(f"layers/{prefix}/vars")
        group.attrs["name"] = layer.name
        for place, weight in enumerate(layer.all_weights()):
            group[str(place)] = weight


def _write_weights(file: Any, model: Any) -> None:
    _write_layers(file, model.layers)
    file.require_group("vars").attrs["name"] = model.name
    for place, array in enumerate(_optimizer_arrays(model)):
        file[f"optimizer/vars/{place}"] = array


def _optimizer_arrays(model: Any) -> list[np.ndarray]:
    """The optimizer's state in Keras' order: steps, rate, and what it keeps for each weight."""
    optimizer = model.optimizer
    if optimizer is None or not optimizer.state:
        return []
    weights = list(by_key(model.layers, trained_only=True).values())
    places = optimizer.places(weights)
    slots = [[arrays[place] for place in places] for arrays in optimizer.state.values()]
    slots = slots[: _kept_slots(optimizer)]
    if type(optimizer).__name__ in WITH_MOMENTUM:
        arrays = [array for slot in slots for array in slot]
    else:
        arrays = [array for several in zip(*slots, strict=True) for array in several]
    head = [np.int64(optimizer.iterations), np.float32(optimizer.learning_rate)]
    return [*head[: 1 if optimizer.schedule else 2], *arrays]


def _kept_slots(optimizer: Any) -> int:
    """How many slots Keras has: it leaves out momentum that is 0."""
    unused = type(optimizer).__name__ in WITH_MOMENTUM and optimizer.momentum == 0
    return len(optimizer.slots) - unused


def _write_older(file: Any, model: Any, config: dict[str, Any]) -> None:
    compiled = config["compile_config"]
    file.attrs["keras_version"], file.attrs["backend"] = VERSION, "tensorflow"
    file.attrs["model_config"] = json.dumps({k: config[k] for k in ("class_name", "config")})
    group = file.create_group("model_weights")
    group.attrs["layer_names"] = [layer.name for layer in model.layers]
    group.attrs["keras_version"], group.attrs["backend"] = VERSION, "tensorflow"
    for layer in model.layers:
        own = group.create_group(layer.name)
        names = [f"{layer.name}/{key}" for key in layer.weights]
        own.attrs["weight_names"] = names
        for name, weight in zip(names, layer.weights.values(), strict=True):
            own[name] = weight
    group.create_group("top_level_model_weights").attrs["weight_names"] = []
    if compiled:
        optimizer = {k: compiled["optimizer"][k] for k in ("class_name", "config")}
        training = {k: v for k, v in compiled.items() if k != "optimizer"}
        file.attrs["training_config"] = json.dumps(training | {"optimizer_config": optimizer})


def load_model(path: Any, model_class: type) -> Any:
    """A new model from a `.keras` or `.h5` file; compiled if the saved one was."""
    path = Path(path)
    with _opened(path) as (config, file):
        inner = config["config"]
        if config["class_name"] != "Sequential":
            raise ValueError(
                f"{path} holds a {config['class_name']}; minicnn reads Sequential models"
            )
        found = list(layers_of(inner["layers"]))
        dtype = dtype_of(inner["layers"][-1]["config"])
        model = model_class(found, name=inner["name"], dtype=dtype)
        if model.input_shape is None:
            model.build(inner["build_input_shape"])
        _read_layers(path, file, model.layers)
        compiled = config.get("compile_config")
        if compiled:
            model.compile(
                made("keras.optimizers", compiled["optimizer"]),
                made("keras.losses", compiled["loss"]),
                metrics=[made("keras.metrics", each) for each in compiled["metrics"] or []],
            )
            _read_optimizer(file, model)
    return model


def load_weights(path: Any, parts: list[Layer]) -> None:
    """Read the weights of such layers from any of Keras' files, also from whole models."""
    with _opened(Path(path), weights_alone=True) as (_, file):
        _read_layers(Path(path), file, parts)


@contextlib.contextmanager
def _opened(path: Path, weights_alone: bool = False) -> Iterator[tuple[dict[str, Any], Any]]:
    """The configuration of a file, and its arrays as an open HDF5 file."""
    h5py, config, source = _h5py(path), None, path
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            source = io.BytesIO(archive.read(WEIGHTS))
    else:
        path.stat()  # a clear error if it is not there
    with h5py.File(source, "r") as file:
        if config is None and "model_config" in file.attrs:
            config = json.loads(file.attrs["model_config"])
            training = json.loads(file.attrs.get("training_config", "null"))
            if training is not None:
                training["optimizer"] = training.pop("optimizer_config")
            config["compile_config"] = training
        if config is None and not weights_alone:
            raise ValueError(f"{path} holds weights alone: use model.load_weights")
        yield config, file


def _read_layers(path: Path, file: Any, parts: list[Layer]) -> None:
    """Overwrite weights by those of the file; none unless all of them fit."""
    if "layers" in file:
        groups = [file.get(f"layers/{name}/vars", {}) for name in prefixes(parts)]
        found = [[group[key] for key in sorted(group, key=int)] for group in groups]
    else:
        group = file.get("model_weights", file)
        found = [
            [group[name][key] for key in group[name].attrs["weight_names"]]
            for name in group.attrs.get("layer_names", ())
        ]
    found = [arrays for arrays in found if arrays]
    own = [list(layer.weights.values()) for layer in parts if layer.weights]
    shapes, expected = ([[each.shape for each in one] for one in all_] for all_ in (found, own))
    if shapes != expected:
        raise ValueError(
            f"{path} does not hold the weights of this model: expected the shapes {expected}, "
            f"found {shapes}"
        )
    for weights, arrays in zip(own, [[each[()] for each in one] for one in found], strict=True):
        for weight, array in zip(weights, arrays, strict=True):
            weight[...] = array


def _read_optimizer(file: Any, model: Any) -> None:
    optimizer = model.optimizer
    if "optimizer/vars" in file:
        group = file["optimizer/vars"]
        arrays = [group[str(i)][()] for i in range(len(group))]
    elif "optimizer_weights" in file:
        group = file["optimizer_weights"]
        arrays = [group[name][()] for name in group.attrs["weight_names"]]
    else:
        return
    steps, *rest = arrays
    rest = rest if optimizer.schedule else rest[1:]
    weights = list(by_key(model.layers, trained_only=True).values())
    kept = _kept_slots(optimizer)
    if kept * len(weights) > len(rest):
        return  # of another set of weights, frozen ones for instance: it starts anew
    rest = rest[: kept * len(weights)]
    if type(optimizer).__name__ in WITH_MOMENTUM:
        slots = [rest[i * len(weights) : (i + 1) * len(weights)] for i in range(kept)]
    else:
        slots = [rest[i::kept] for i in range(kept)]
    slots += [[np.zeros_like(weight) for weight in weights]] * (len(optimizer.slots) - kept)
    optimizer.iterations = int(steps)
    optimizer.state = {
        name: [np.array(array, weight.dtype) for array, weight in zip(slot, weights, strict=True)]
        for name, slot in zip(optimizer.slots, slots, strict=True)
    }
