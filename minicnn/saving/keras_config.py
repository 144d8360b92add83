"""Models and their parts as Keras writes them down, and made from what it has written.

A part is a dict with its class, its module and its arguments. Only parts that Keras has can be
written, and only those that minicnn has can be made.
"""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from minicnn import layers
from minicnn.layer import Layer
from minicnn.validation.configuration import Configurable

# Where a file may look for classes. What else these modules import is out of its reach.
MODULES = ("keras.initializers", "keras.layers", "keras.losses", "keras.metrics")
MODULES += ("keras.optimizers", "keras.optimizers.schedules", "keras.regularizers")

# Parts of a Keras configuration that change nothing in minicnn.
UNUSED = {"dtype", "moving_mean_initializer", "moving_variance_initializer"}
UNUSED |= {"renorm_clipping", "renorm_momentum", "ema_overwrite_frequency"}


def model_config(model: Any) -> dict[str, Any]:
    """A built model, and what it was compiled with, as Keras writes it down."""
    shape = [None, *model.input_shape]
    dtype = model.dtype.name
    first = {"batch_shape": shape, "dtype": dtype, "name": "input_layer"}
    parts = [_described("keras.layers", "InputLayer", first)]
    parts += [_layer_config(layer, dtype) for layer in model.layers]
    config = {"name": model.name, "layers": parts, "build_input_shape": shape}
    compiled = None
    if model.optimizer is not None:
        compiled = {
            "optimizer": _object_config("keras.optimizers", model.optimizer),
            "loss": _object_config("keras.losses", model.loss),
            "metrics": [_metric_config(metric) for metric in model.metrics],
            "loss_weights": None,
            "weighted_metrics": None,
        }
    return _described("keras", "Sequential", config) | {"compile_config": compiled}


def _metric_config(metric: Any) -> Any:
    if metric.name in ("accuracy", "acc"):
        return metric.name
    return _object_config("keras.metrics", metric)


def _layer_config(layer: Layer, dtype: str) -> dict[str, Any]:
    config = _object_config("keras.layers", layer)
    config["config"] |= {"dtype": dtype}
    return config


def _object_config(module: str, each: Any) -> dict[str, Any]:
    """An object of minicnn's own as Keras writes it down."""
    kind = type(each).__name__
    if type(each) is not _class(module, kind):
        raise NotImplementedError(
            f"{kind} is your own, and Keras' files hold what Keras has; use a name that ends in "
            ".npz"
        )
    values = {name: getattr(each, name) for name in each.get_config()}
    if module == "keras.optimizers" and each.schedule is not None:
        values["learning_rate"] = each.schedule
    values.pop("algorithm", None)  # of the engine
    return _described(module, kind, {name: _plain(value) for name, value in values.items()})


def _plain(value: Any) -> Any:
    for module in ("keras.initializers", "keras.regularizers", "keras.optimizers.schedules"):
        if _class(module, type(value).__name__) is type(value):
            return _object_config(module, value)
    if hasattr(value, "backward"):  # an activation
        return value.name
    if isinstance(value, tuple):
        return list(value)
    return float(value) if isinstance(value, float) else value


def _described(module: str, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}


def _class(module: str, kind: str) -> type[Configurable] | None:
    """minicnn's class of that name in Keras' module; None if it has none."""
    if module not in MODULES:
        return None
    import minicnn

    found = vars(attrgetter(module)(minicnn)).get(kind)
    return found if isinstance(found, type) and issubclass(found, Configurable) else None


def dtype_of(config: dict[str, Any]) -> str:
    """The dtype of a layer, from its arguments; Keras may give a policy with that name."""
    dtype = config.get("dtype", "float32")
    return dtype["config"]["name"] if isinstance(dtype, dict) else dtype


def layers_of(described: list[dict[str, Any]]) -> Iterator[Any]:
    """The layers that Keras has written down, and the `Input` before them."""
    for each in described:
        config = each["config"]
        if each["class_name"] == "InputLayer":
            shape = config.get("batch_shape") or config["batch_input_shape"]
            yield layers.Input(tuple(shape[1:]))
        else:
            yield made("keras.layers", each)


def made(module: str, described: Any) -> Any:
    """The object that Keras has written down; names stay names."""
    if not isinstance(described, dict):
        return described
    kind = described["class_name"]
    made_by = _class(described.get("module") or module, kind)
    if made_by is None:
        raise ValueError(f"it uses {kind}, which minicnn has not")
    arguments = {}
    for name, value in described["config"].items():
        if name in UNUSED or (name == "name" and module == "keras.optimizers"):
            continue
        home = "keras.initializers" if name.endswith("initializer") else "keras.regularizers"
        home = "keras.optimizers.schedules" if name == "learning_rate" else home
        arguments[name] = made(home, value) if isinstance(value, dict) else value
    if kind in ("GlorotUniform", "GlorotNormal", "HeNormal", "HeUniform"):
        arguments = {"seed": arguments.get("seed")}
    return made_by(**arguments)
