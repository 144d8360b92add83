"""`to_keras`: the Keras model of the same layers, weights, optimizer state and step count."""

from typing import Any

import numpy as np

from minicnn import keras as further
from minicnn import layers, losses, metrics, optimizers
from minicnn.activations import NAMED
from minicnn.keras_reference.keras_side import (
    ARGUMENTS,
    OPTIMIZER_ARGUMENTS,
    REGULARIZERS,
    new_keras_optimizer,
    own_class,
    precision,
    require_keras,
    slots_of,
)
from minicnn.keras_reference.own_parts import Twins, WeightPair, fresh, paired_weights, twin_of
from minicnn.model import Sequential
from minicnn.optimizers import Optimizer


def to_keras(model: Sequential, twins: Twins | None = None) -> Any:
    """The Keras model of the same layers, names, dtype and weights.

    If `model` is compiled, so is its twin: with the same loss and metrics, and an optimizer of the
    same state and step count, so that training goes on in either with the same next step.

    Parameters
    ----------
    model : Sequential
    twins : dict, optional
        For layers, activations, losses, metrics and optimizers of your own, by class or by name:
        the Keras object that computes the same, or a function that makes it from the part. Parts
        with a method `keras_twin` need none. See `minicnn.keras_reference.own_parts`.

    Raises
    ------
    ImportError
        Without TensorFlow.
    ValueError
        If the model is not built, or has a part of your own without a twin.
    """
    return with_weights(model, twins)[0]


def with_weights(model: Sequential, twins: Twins | None) -> tuple[Any, list[list[WeightPair]]]:
    """The same, and for each layer the pairs of its weights and Keras' variables."""
    require_keras()
    model.count_params()  # raises if the model is not built
    pairs = []
    with precision(model.dtype) as keras:
        twin = keras.Sequential([keras.Input(model.input_shape)], name=model.name)
        for layer in model.layers:
            theirs, layout = _keras_layer(layer, twins, model.dtype.name)
            twin.add(theirs)
            who = f"to_keras: {layer.who}"
            pairs.append(paired_weights(who, layer.weights, theirs, layout))
            for name, function, variable in pairs[-1]:
                variable.assign(function(layer.weights[name]))
            theirs.trainable = layer.trainable
        if model.optimizer is not None:
            loss, chosen = _keras_loss(model.loss, twins), []
            for metric in model.metrics:
                chosen.append(_keras_metric(metric, model.loss, twins))
            twin.compile(_keras_optimizer(model.optimizer, twin, twins), loss, metrics=chosen)
    return twin, pairs


def _keras_layer(layer: Any, twins: Twins | None, dtype: str) -> tuple[Any, dict[str, Any]]:
    """The Keras layer of the same arguments, and where its weights are laid out otherwise."""
    kind, activation = type(layer).__name__, getattr(layer, "activation", None)
    if kind not in ARGUMENTS or type(layer) is not own_class(kind, layers, further.layers):
        theirs, layout = twin_of(layer, twins, "to_keras", f"{layer.who} is your own layer")
        return fresh(theirs, dtype, layer.name), layout
    arguments = arguments_of(layer)
    if activation is not None and activation not in NAMED.values():
        what = f"{layer.who} has an activation of your own"
        arguments["activation"], _ = twin_of(activation, twins, "to_keras", what)
    return getattr(require_keras().layers, kind)(**arguments, name=layer.name), {}


def arguments_of(layer: Any) -> dict[str, Any]:
    """The arguments of a built-in layer, as Keras takes them."""
    arguments = {name: getattr(layer, name) for name in ARGUMENTS[type(layer).__name__]}
    if any(weight.dtype == np.float64 for weight in layer.weights.values()):
        # TensorFlow casts a float of Python by way of float32: see `new_keras_optimizer`.
        exact = {name: np.float64(v) for name, v in arguments.items() if isinstance(v, float)}
        arguments |= exact
    if "activation" in arguments:
        arguments["activation"] = layer.activation.name
    for name in REGULARIZERS:
        if arguments.get(name) is not None:
            ours = arguments[name]
            theirs = getattr(require_keras().regularizers, type(ours).__name__)
            arguments[name] = theirs(**ours.get_config())
    return arguments


def keras_loss(loss: losses.Loss) -> Any:
    """The Keras loss of the same class and arguments."""
    return getattr(require_keras().losses, type(loss).__name__)(**loss.get_config())


def _keras_loss(loss: losses.Loss, twins: Twins | None) -> Any:
    if type(loss) in losses.LOSSES.values():
        return keras_loss(loss)
    return twin_of(loss, twins, "to_keras", f"{type(loss).__name__} is your own")[0]


def _keras_metric(metric: metrics.Metric, loss: losses.Loss, twins: Twins | None) -> Any:
    """Accuracy as Keras has it for the labels of this loss; or the twin of one of your own."""
    known = {metrics.SparseCategoricalAccuracy, further.metrics.CategoricalAccuracy}
    if type(metric) not in known:
        return twin_of(metric, twins, "to_keras", f"{type(metric).__name__} is your own")[0]
    sparse = type(loss) is losses.SparseCategoricalCrossentropy
    kind = "SparseCategoricalAccuracy" if sparse else "CategoricalAccuracy"
    return getattr(require_keras().metrics, kind)(name=metric.name)


def _keras_optimizer(optimizer: Optimizer, twin: Any, twins: Twins | None) -> Any:
    kind = type(optimizer).__name__
    if type(optimizer) not in optimizers.OPTIMIZERS.values():
        theirs, _ = twin_of(optimizer, twins, "to_keras", f"{kind} is your own")
        if optimizer.iterations or theirs.built:
            raise ValueError(
                f"to_keras: {kind} is your own, and how its state becomes Keras' is not known; "
                "convert before the first step, with a new Keras optimizer"
            )
        return theirs
    arguments = {name: getattr(optimizer, name) for name in OPTIMIZER_ARGUMENTS[kind]}
    schedule = optimizer.schedule
    if schedule is not None:
        known = require_keras().optimizers.schedules
        theirs = getattr(known, type(schedule).__name__, None)
        if type(schedule) is not own_class(type(schedule).__name__, further.optimizers.schedules):
            raise ValueError("to_keras: the learning rate is a function of your own")
        arguments["learning_rate"] = theirs(**schedule.get_config())
    theirs = new_keras_optimizer(kind, **arguments)
    theirs.build(twin.trainable_variables)
    theirs.iterations.assign(optimizer.iterations)
    if kind == "Nadam":
        theirs._u_product.assign(optimizer.product(optimizer.iterations))
    for variables, arrays in zip(slots_of(theirs), optimizer.state.values(), strict=False):
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
    return theirs
