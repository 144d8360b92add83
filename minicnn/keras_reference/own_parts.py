"""Keras twins of parts that minicnn does not have: layers, losses, optimizers of the user's own.

A part names its twin by a method `keras_twin`, which returns the Keras object of the same
arguments. Or the caller passes `twins`, a dict from the part's class or its name to such an object,
or to a function that makes one from the part. Where a layer's weights have another layout than
Keras', it is the pair (keras layer, weights): see `paired_weights`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Twins = dict[Any, Any]
WeightPair = tuple[str, Callable[[np.ndarray], np.ndarray], Any]


def twin_of(part: Any, twins: Twins | None, who: str, what: str) -> tuple[Any, dict[str, Any]]:
    """The Keras object that a part names, or that `twins` has for it; and its map of weights.

    Raises
    ------
    ValueError
        If there is none. `what` says what the part is, in words.
    """
    name = getattr(part, "name", None)
    for key in (name, type(part)):
        if key is not None and key in (twins or {}):
            found = twins[key]
            break
    else:
        if not hasattr(part, "keras_twin"):
            kind = type(part).__name__
            raise ValueError(
                f"{who}: {what}, Keras has none like it; give {kind} a method keras_twin(self) "
                f"that returns its twin, or pass twins={{{kind}: ...}}"
            )
        found = part.keras_twin()
    if callable(found) and not hasattr(found, "get_config"):  # a function that makes it
        found = found(part)
    return found if isinstance(found, tuple) else (found, {})


def fresh(keras_layer: Any, dtype: str, name: str | None = None) -> Any:
    """A new Keras layer of the same arguments, in that precision."""
    config = keras_layer.get_config() | {"dtype": dtype}
    if name is not None:
        config["name"] = name
    try:
        return type(keras_layer).from_config(config)
    except TypeError as error:
        raise ValueError(
            f"{type(keras_layer).__name__}: its get_config does not hold the arguments of its "
            f"__init__ ({error}); define it, or pass a layer that does"
        ) from None


def paired_weights(
    who: str, ours: dict[str, np.ndarray], twin: Any, weights: dict[str, Any] | None = None
) -> list[WeightPair]:
    """For each weight of ours: its name, the function to Keras' layout, and Keras' variable.

    Parameters
    ----------
    who : str
        For errors.
    ours : dict
        Weights by name, trained ones first, then the state.
    twin : keras.layers.Layer
        Built.
    weights : dict, optional
        For each of our names: the name of Keras' variable, a function that brings an array into
        Keras' layout, or (name, function). By default names are in the same order and layouts
        equal.

    Raises
    ------
    ValueError
        If numbers, names or shapes do not fit.
    """
    variables = list(twin.weights)
    theirs = {variable.name: variable for variable in variables}
    hint = "pass weights={name: Keras' name, a function to Keras' layout, or (name, function)}"
    if unknown := set(weights or {}) - set(ours):
        raise ValueError(f"{who}: weights has {sorted(unknown)}, but the layer has {list(ours)}")
    if len(ours) != len(variables):
        raise ValueError(
            f"{who}: it has the weights {list(ours)}, but Keras' {twin.name} has {list(theirs)}"
        )
    pairs = []
    for (name, array), variable in zip(ours.items(), variables, strict=True):
        given = (weights or {}).get(name, ())
        given = given if isinstance(given, tuple) else (given,)
        chosen = next((each for each in given if isinstance(each, str)), variable.name)
        function = next((each for each in given if callable(each)), _as_it_is)
        if chosen not in theirs:
            raise ValueError(
                f"{who}: Keras has no weight {chosen!r}, it has {list(theirs)}; {hint}"
            )
        variable, shape = theirs[chosen], np.shape(function(array))
        if shape != tuple(variable.shape):
            raise ValueError(
                f"{who}: {name} has shape {shape}, Keras' {chosen} {tuple(variable.shape)}; {hint}"
            )
        pairs.append((name, function, variable))
    return pairs


def _as_it_is(array: np.ndarray) -> np.ndarray:
    return array
