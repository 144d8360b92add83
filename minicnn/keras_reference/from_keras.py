"""`from_keras`: the minicnn model of the same layers, weights, optimizer state and step count."""

from typing import Any

import numpy as np

from minicnn import keras as further
from minicnn import layers, losses, metrics, optimizers
from minicnn.keras_reference.keras_side import (
    ARGUMENTS,
    OPTIMIZER_ARGUMENTS,
    REGULARIZERS,
    own_class,
    require_keras,
    slots_of,
)
from minicnn.layer import Layer
from minicnn.layers import Input
from minicnn.model import Sequential
from minicnn.optimizers import Optimizer

# Of a Keras configuration: what changes no output. All else has to stand at its default.
HARMLESS = {
    "name",
    "dtype",
    "trainable",  # of a layer; taken over
    "learning_rate",
    "kernel_initializer",
    "bias_initializer",
    "beta_initializer",
    "gamma_initializer",
    "moving_mean_initializer",
    "moving_variance_initializer",
    "ema_momentum",  # of an average that `use_ema` switches on
    "ema_overwrite_frequency",
}


def from_keras(keras_model: Any) -> Sequential:
    """The minicnn model of the same layers, names, dtype and weights; compiled if the other is.

    Raises
    ------
    ImportError
        Without TensorFlow.
    TypeError, ValueError
        For anything minicnn has nothing like: other models than a built `keras.Sequential`, other
        layers, losses, metrics and optimizers, and options that it does not know.
    """
    keras = require_keras()
    if not isinstance(keras_model, keras.Sequential):
        raise TypeError(
            f"from_keras: expected a keras.Sequential, received {type(keras_model).__name__}"
        )
    if not keras_model.built:
        raise ValueError(
            f"from_keras: '{keras_model.name}' has no weights yet; start it with keras.Input(shape)"
        )
    dtypes = {layer.dtype_policy.name for layer in keras_model.layers}
    if len(dtypes) != 1 or not dtypes <= {"float32", "float64"}:
        raise ValueError(
            "from_keras: expected all layers in float32 or all in float64, "
            f"received {', '.join(sorted(dtypes))}"
        )
    model = Sequential(
        [Input(keras_model.input_shape[1:]), *map(_layer_from_keras, keras_model.layers)],
        name=keras_model.name,
        dtype=dtypes.pop(),
    )
    model.set_weights(keras_model.get_weights())
    if keras_model.compiled:
        _compile_like(model, keras_model)
    return model


def _layer_from_keras(layer: Any) -> Layer:
    keras = require_keras()
    kind = type(layer).__name__
    who = f"keras.layers.{kind} '{layer.name}'"
    if kind not in ARGUMENTS or type(layer) is not getattr(keras.layers, kind, None):
        known = ", ".join(ARGUMENTS)
        raise ValueError(f"from_keras: minicnn has no layer for {who}; it has {known}")
    arguments = _known_options(layer, ARGUMENTS[kind], who)
    if kind == "BatchNormalization":
        arguments["axis"] = (
            -1 if arguments["axis"] == len(layer.input.shape) - 1 else arguments["axis"]
        )
    for name in REGULARIZERS:
        if arguments.get(name) is not None:
            ours = own_class(arguments[name]["class_name"], further.regularizers)
            if ours is None:
                raise ValueError(f"from_keras: minicnn has no regularizer like that of {who}")
            arguments[name] = ours(**arguments[name]["config"])
    ours = own_class(kind, layers, further.layers)(**arguments, name=layer.name)
    ours.trainable = layer.trainable
    return ours


def _known_options(theirs: Any, names: tuple[str, ...], who: str) -> dict[str, Any]:
    """The options called `names`, if all others stand at their defaults."""
    config = theirs.get_config()
    known = {name: config[name] for name in names}
    # What has no default (filters, units) is needed to ask for the others.
    alone = type(theirs).__name__ == "Activation"
    required = {name: value for name, value in known.items() if alone or name != "activation"}
    defaults = type(theirs).from_config(required).get_config()
    for name, value in config.items():
        if name not in known and name not in HARMLESS and value != defaults.get(name):
            raise ValueError(
                f"from_keras: minicnn has nothing like {name}={value!r} of {who}; "
                f"it knows {name}={defaults.get(name)!r} only"
            )
    return known


def _compile_like(model: Sequential, keras_model: Any) -> None:
    config = keras_model.get_compile_config()
    for name in ("loss_weights", "weighted_metrics"):
        if config.get(name):
            raise ValueError(f"from_keras: minicnn has nothing like {name}={config[name]!r}")
    loss = _loss_from_keras(config["loss"])
    chosen = [_metric_from_keras(metric) for metric in config["metrics"] or []]
    model.compile(_optimizer_from_keras(keras_model.optimizer), loss, metrics=chosen)


def _loss_from_keras(config: Any) -> Any:
    kind, options = _class_and_options(config)
    found = losses.LOSSES.get(kind.lower().replace("_", ""))
    defaults = {"reduction": "sum_over_batch_size", "ignore_class": None, "label_smoothing": 0.0}
    defaults["axis"] = -1
    if found is None or any(options.get(name, value) != value for name, value in defaults.items()):
        known = ", ".join(sorted({each.__name__ for each in losses.LOSSES.values()}))
        raise ValueError(
            f"from_keras: minicnn's losses are the plain sparse_categorical_crossentropy and "
            f"others ({known}), received {config!r}"
        )
    known = found().get_config()
    return found(**{name: options.get(name, value) for name, value in known.items()})


def _metric_from_keras(config: Any) -> Any:
    kind, options = _class_and_options(config)
    found = metrics.METRICS.get(
        kind.lower() if kind in metrics.METRICS else kind.lower().replace("_", "")
    )
    if found is None:
        raise ValueError(f"from_keras: minicnn's metric is the accuracy, received {config!r}")
    return found(options["name"]) if "name" in options else found()


def _class_and_options(config: Any) -> tuple[str, dict[str, Any]]:
    """Of a name, or of an object as Keras writes it down."""
    if isinstance(config, dict):
        return config["class_name"], config["config"]
    return str(config), {}


def _optimizer_from_keras(theirs: Any) -> Optimizer:
    kind = type(theirs).__name__
    who = f"keras.optimizers.{kind}"
    if kind not in OPTIMIZER_ARGUMENTS:
        known = ", ".join(OPTIMIZER_ARGUMENTS)
        raise ValueError(f"from_keras: minicnn has no optimizer for {who}; it has {known}")
    arguments = _known_options(theirs, OPTIMIZER_ARGUMENTS[kind], who)
    if isinstance(arguments["learning_rate"], dict):
        described = arguments["learning_rate"]
        schedule = own_class(described["class_name"], further.optimizers.schedules)
        if schedule is None:
            raise ValueError(f"from_keras: minicnn has no schedule like that of {who}")
        rate = schedule(**described["config"])
    else:
        # Keras keeps the rate in its own precision: 0.0010000000474974513 was meant to be 0.001.
        rate = float(str(theirs.learning_rate.numpy()))
    optimizer = optimizers.OPTIMIZERS[kind.lower()](**arguments | {"learning_rate": rate})
    if theirs.built:
        optimizer.iterations = int(theirs.iterations.numpy())
        slots = [[variable.numpy() for variable in slot] for slot in slots_of(theirs)]
        if slots:  # those that Keras leaves out, without momentum, are zeros
            slots += [[np.zeros_like(a) for a in slots[0]]] * (len(optimizer.slots) - len(slots))
        optimizer.state = dict(zip(optimizer.slots, slots, strict=False))
    return optimizer
