"""What is checked: the gradients that layers claim, and outputs to measure them by."""

import copy
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.eager import without_softmax
from minicnn.engine import Plan
from minicnn.layer import Layer
from minicnn.model import Sequential
from minicnn.step import backward, forward
from minicnn.validation import Check

CHECK = Check("check_gradients")
SEED = (0, 0)  # of random layers: every pass draws the same numbers


class Claim(NamedTuple):
    """Gradients of sum(weight * outputs), and what is needed to measure them."""

    gradients: list[Any]  # of x (unless the outputs are losses), then of each weight
    evaluate: Callable[[], tuple[np.ndarray, list[np.ndarray]]]  # outputs, sides of the kinks
    weight: np.ndarray
    backward: Callable[[np.ndarray], list[Any]] | None  # the gradients for another dy, if possible

    def total(self, change: np.ndarray) -> float:
        """The weighted sum of a change of the outputs."""
        return float((change * self.weight).sum())


def of_outputs(layers: list["Checked"], x: np.ndarray, rng: np.random.Generator) -> Claim:
    """What the layers claim about a random sum of their outputs.

    The plain sum of a softmax is always 1, and a backward pass that returns zeros would be right.
    """

    def evaluate():
        activations, caches = forward(layers, x, training=True, seed=SEED)
        # A copy, since Flatten gives a view of x, and x will move.
        return activations[-1].copy(), sides(layers, caches)

    def gradients(dy):
        _, caches = forward(layers, x, training=True, seed=SEED)
        found = backward(layers, caches, dy)
        return [found[0][0], *_by_weight(layers, found)]

    weight = rng.standard_normal(evaluate()[0].shape)
    return Claim(gradients(weight), evaluate, weight, gradients)


def of_mean_loss(model: Any, x: np.ndarray, y: Any) -> Claim:
    """What a step of `fit` says about the mean loss: the engine's gradients, or the core's."""
    if not isinstance(model, Sequential) or model.loss is None or not model.count_params():
        raise ValueError(
            f"check_gradients: y needs a compiled Sequential with weights, received {model!r}"
        )
    plain_layers, loss = without_softmax(model.layers, model.loss)
    layers = [Checked(layer) for layer in plain_layers]
    activations, caches = forward(layers, x, training=True, seed=SEED)
    targets = loss.targets(CHECK, y, "y", len(x), activations[-1].shape[1:])
    _, dy = loss.losses_and_gradient(targets, activations[-1].copy())
    gradients = _by_weight(layers, backward(layers, caches, dy / len(x)))
    if not model.run_eagerly:
        found = Plan(model.layers, model.loss).gradients(x.copy(), targets, SEED)
        gradients = [sum(parts[1:], parts[0]) for parts in found.by_weight]
    weights = [(layer, key) for layer in plain_layers for key in layer.params]
    gradients = [
        sum(layer.penalty_gradients(key), gradient)  # of regularizers, as a step adds them
        for (layer, key), gradient in zip(weights, gradients, strict=True)
    ]

    def evaluate():
        activations, caches = forward(layers, x, training=True, seed=SEED)
        losses, _ = loss.losses_and_gradient(targets, activations[-1])
        penalty = sum(layer.penalty() for layer in plain_layers)
        return losses + penalty, sides(layers, caches)

    return Claim(gradients, evaluate, np.full(len(x), 1 / len(x)), None)


class Checked:
    """A layer whose passes are checked: what they return has to be what the contract says.

    Passes receive copies of x and dy: a layer that writes into them spoils nobody else's numbers.
    """

    def __init__(self, layer: Any):
        self.layer = layer
        self.seed = getattr(layer, "seed", None)
        self.params = params_of(layer)
        self.who = layer.who if isinstance(layer, Layer) else type(layer).__name__

        def checked_forward(x, **options):
            result = layer.forward(x.copy(), **options)
            y, cache = _pair(result, f"{self.who}.forward", "(y, cache)")
            if getattr(y, "dtype", None) != np.float64 or not np.isfinite(y).all():
                raise ValueError(
                    f"{self.who}.forward: expected finite float64 outputs for float64 inputs, "
                    f"received {y!r}"
                )
            return y, cache

        checked_forward.__signature__ = inspect.signature(layer.forward)  # says what it asks for
        self.forward = checked_forward

    def backward(self, dy: np.ndarray, cache: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        who = f"{self.who}.backward"
        dx, grads = _pair(self.layer.backward(dy.copy(), cache), who, "(dx, grads)")
        if not isinstance(grads, dict) or set(grads) != set(self.params):
            received = list(grads) if isinstance(grads, dict) else grads
            raise ValueError(
                f"{who}: expected gradients of {list(self.params)}, received {received!r}"
            )
        return dx, grads

    def sides(self, cache: Any) -> list[np.ndarray]:
        """On which sides of its kinks a pass was, if the layer tells."""
        if not hasattr(self.layer, "branches"):
            return []
        found = self.layer.branches(cache)
        if not isinstance(found, list | tuple) or not all(
            isinstance(side, np.ndarray) for side in found
        ):
            raise TypeError(
                f"{self.who}.branches: expected a list of arrays, one for each operation with a "
                f"kink and [] if there is none, received {found!r}"
            )
        return list(found)


def sides(layers: list[Checked], caches: list[Any]) -> list[np.ndarray]:
    """On which sides of all kinks a pass was."""
    found: list[np.ndarray] = []
    for layer, cache in zip(layers, caches, strict=True):
        found += layer.sides(cache)
    return found


def private_copy(layer_or_model: Any, x: np.ndarray, rng: np.random.Generator) -> Any:
    """A copy to work on, built if it was not: nothing of the user's is changed."""
    missing = [name for name in ("forward", "backward") if not hasattr(layer_or_model, name)]
    if isinstance(layer_or_model, Sequential):
        layer_or_model.count_params()  # an error if there are no weights yet
    elif isinstance(layer_or_model, type) or missing:
        reason = f"without {' and '.join(missing)}" if missing else "a class instead of an object"
        raise TypeError(
            f"check_gradients: expected a Sequential, or a layer with forward(x) -> (y, cache) and "
            f"backward(dy, cache) -> (dx, grads); received {layer_or_model!r}, {reason}"
        )
    private = copied(layer_or_model)
    if isinstance(private, Layer) and private.input_shape is None:
        private.build(x.shape[1:], rng, "float64")
    return private


def copied(layer_or_model: Any) -> Any:
    """A deep copy; or the object itself if it cannot be copied, since it holds a lock, say."""
    try:
        return copy.deepcopy(layer_or_model)
    except Exception:
        return layer_or_model


def params_of(layer: Any) -> dict[str, np.ndarray]:
    """The trained weights of a layer by name."""
    return getattr(layer, "params", {})


def _by_weight(layers: list[Checked], gradients: list[Any]) -> list[Any]:
    """The gradients of all weights in their order."""
    return [
        grads[key]
        for layer, (_, grads) in zip(layers, gradients, strict=True)
        for key in layer.params
    ]


def _pair(result: Any, who: str, expected: str) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"{who}: expected {expected}, received {result!r}")
    return result
