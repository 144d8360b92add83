"""`to_keras`: the Keras model of the same layers, weights, optimizer state and step count."""

from typing import Any

from minicnn import layers, losses, metrics, optimizers
from minicnn.activations import ACTIVATIONS
from minicnn.keras_reference.keras_side import (
    ARGUMENTS,
    OPTIMIZER_ARGUMENTS,
    new_keras_optimizer,
    precision,
    require_keras,
    slots_of,
)
from minicnn.model import Sequential
from minicnn.optimizers import Optimizer


def to_keras(model: Sequential) -> Any:
    """The Keras model of the same layers, names, dtype and weights.

    If `model` is compiled, so is its twin: with the same loss and metrics, and an optimizer of the
    same state and step count, so that training goes on in either with the same next step.

    Raises
    ------
    ImportError
        Without TensorFlow.
    ValueError
        If the model is not built, or has a layer, activation, loss, metric or optimizer of your
        own: Keras has none like it.
    """
    require_keras()
    weights = model.get_weights()  # raises if the model is not built
    _refuse_own_parts(model)
    with precision(model.dtype) as keras:
        twin = keras.Sequential([keras.Input(model.input_shape)], name=model.name)
        for layer in model.layers:
            kind = getattr(keras.layers, type(layer).__name__)
            twin.add(kind(**arguments_of(layer), name=layer.name))
            twin.layers[-1].trainable = layer.trainable
        twin.set_weights(weights)
        if model.optimizer is not None:
            twin.compile(
                _keras_optimizer(model.optimizer, twin),
                keras.losses.SparseCategoricalCrossentropy(
                    from_logits=model.loss.from_logits, name=model.loss.name
                ),
                metrics=[
                    keras.metrics.SparseCategoricalAccuracy(name=metric.name)
                    for metric in model.metrics
                ],
            )
    return twin


def arguments_of(layer: Any) -> dict[str, Any]:
    """The arguments of a built-in layer, as Keras takes them."""
    arguments = {name: getattr(layer, name) for name in ARGUMENTS[type(layer).__name__]}
    if "activation" in arguments:
        arguments["activation"] = layer.activation.name
    return arguments


def _keras_optimizer(optimizer: Optimizer, twin: Any) -> Any:
    kind = type(optimizer).__name__
    theirs = new_keras_optimizer(
        kind, **{name: getattr(optimizer, name) for name in OPTIMIZER_ARGUMENTS[kind]}
    )
    theirs.build(twin.trainable_variables)
    theirs.iterations.assign(optimizer.iterations)
    for variables, arrays in zip(slots_of(theirs), optimizer.state.values(), strict=False):
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
    return theirs


def _refuse_own_parts(model: Sequential) -> None:
    """Raise for parts that are not exactly minicnn's own: a twin would be something else."""
    for layer in model.layers:
        activation = getattr(layer, "activation", None)
        if type(layer) is not getattr(layers, type(layer).__name__, None):
            raise ValueError(f"to_keras: {layer.who} is your own layer, Keras has none like it")
        if activation is not None and activation not in ACTIVATIONS.values():
            raise ValueError(f"to_keras: {layer.who} has an activation of your own")
    parts = [model.optimizer, model.loss, *model.metrics] if model.optimizer else []
    known = (optimizers.Adam, optimizers.SGD, losses.SparseCategoricalCrossentropy)
    for part in parts:
        if type(part) not in (*known, metrics.SparseCategoricalAccuracy):
            raise ValueError(f"to_keras: {type(part).__name__} is your own, Keras has none like it")
