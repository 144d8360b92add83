"""Gradients against central differences, entry by entry.

A gradient says how much a number changes when an entry moves. So each entry is moved a little up
and a little down. The number is a sum of the outputs, each with a random weight: the plain sum of a
softmax is always 1, and a backward pass that returns zeros would pass the check.
"""

import copy
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.eager import without_softmax
from minicnn.engine import Plan
from minicnn.gradcheck.report import GradientReport, GradientRow
from minicnn.layer import Layer
from minicnn.model import Sequential
from minicnn.step import backward, forward
from minicnn.validation import Check

CHECK = Check("check_gradients")
SEED = (0, 0)  # of random layers: every pass draws the same numbers


def check_gradients(
    layer_or_model: Any,
    x: Any,
    y: Any = None,
    *,
    rng: np.random.Generator,
    step: float = 1e-6,
    tolerance: float = 1e-6,
    sample: int | None = None,
) -> GradientReport:
    """Compare gradients with central differences, (f(a + step) - f(a - step)) / (2 step).

    Everything is left as it was, bit for bit; weights move and are put back.

    Parameters
    ----------
    layer_or_model : layer or Sequential
        A layer is any object with forward(x) -> (y, cache) and backward(dy, cache) -> (dx, grads),
        with a dict `params` if it learns, and with `branches` as in `Layer` if it has kinks. If a
        layer of minicnn is not built yet, a copy is built, in float64 with `rng`.
    x : (n, ...) float64
        Of a size around 1, where the step is small but far above rounding.
    y : (n,) integers, optional
        Only for a compiled model: f is the mean loss, and its gradients by the weights are those
        that `fit` uses. Otherwise f is a random sum of the outputs, and dx is checked, too.
    rng : numpy.random.Generator
    step : float
    tolerance : float
        The largest error that is right.
    sample : int, optional
        Check so many entries of each array, drawn at random, instead of all.

    Returns
    -------
    GradientReport
        A gradient of a wrong shape or with NaN in it is a wrong gradient. An entry is skipped if
        moving it crosses a kink, where ReLU or pooling has no derivative. A gradient of which all
        entries are skipped is not known to be right, and does not count as right.

    Raises
    ------
    TypeError, ValueError
        For float32, for objects that break the contract, for arguments out of range.

    Notes
    -----
    The error is |analytic - numeric| relative to the largest magnitude among the checked entries
    of the array, not to the entry's own: rounding is about the same for all, and small ones would
    give false alarms. Nor can differences be exactly zero where a whole gradient is: rounding
    alone, about 2e-15 / step for outputs of size 1, is no error; nothing smaller can be seen.

    Examples
    --------
    >>> class Double:
    ...     def forward(self, x):
    ...         return 2 * x, None
    ...
    ...     def backward(self, dy, cache):
    ...         return dy, {}  # forgets the factor 2
    >>> print(check_gradients(Double(), np.ones((1, 3)), rng=np.random.default_rng(0)))
    gradient  checked  skipped  worst error
    dx         3 of 3        0      5.0e-01  FAILED
    Failed: dx. Worst: dx[0, 2]: 0.64042265 expected 1.2808453.
    """
    CHECK.generator(rng, "rng")
    step = CHECK.number(step, "step", 0)
    tolerance = CHECK.number(tolerance, "tolerance", 0)
    if sample is not None:
        sample = CHECK.integer(sample, "sample")
    x = CHECK.real_array(x, "x")
    x = _movable(np.array(x, x.dtype.newbyteorder("="), order="C"), "x", step)
    layers = _layers(layer_or_model, x, rng)
    arrays = {"dx": x}
    for prefix, layer in layers.items():
        for key, weight in _params(layer).items():
            arrays[prefix + key] = _movable(weight, prefix + key, step)
    before = [array.copy() for array in arrays.values()]
    try:
        if y is None:
            claim = _weighted_outputs(list(layers.values()), x, rng)
        else:
            claim = _mean_loss(layer_or_model, x, y)
        if not all(map(np.array_equal, arrays.values(), before)):
            raise ValueError(
                "check_gradients: forward or backward changes x or a weight; work on copies"
            )
        names = list(arrays) if y is None else list(arrays)[1:]
        rows = tuple(
            _row(name, arrays[name], gradient, claim, step, tolerance, sample, rng)
            for name, gradient in zip(names, claim.gradients, strict=True)
        )
    finally:
        for array, old in zip(arrays.values(), before, strict=True):
            array[...] = old
    return GradientReport(rows, tolerance, sample)


class _Claim(NamedTuple):
    """Gradients of sum(weight * outputs), and a way to compute the outputs anew."""

    gradients: list[Any]
    evaluate: Callable[[], tuple[np.ndarray, list[np.ndarray]]]  # outputs, sides of the kinks
    weight: np.ndarray


def _weighted_outputs(layers: list[Any], x: np.ndarray, rng: np.random.Generator) -> _Claim:
    """What the layers say about a random sum of their outputs."""
    layers = [_Checked(layer) for layer in layers]

    def evaluate():
        activations, caches = forward(layers, x, training=True, seed=SEED)
        # A copy, since Flatten gives a view of x, and x will move.
        return activations[-1].copy(), _sides(layers, caches)

    activations, caches = forward(layers, x, training=True, seed=SEED)
    weight = rng.standard_normal(activations[-1].shape)
    gradients = backward(layers, caches, weight.copy())
    return _Claim([gradients[0][0], *_by_weight(layers, gradients)], evaluate, weight)


def _mean_loss(model: Any, x: np.ndarray, y: Any) -> _Claim:
    """What a step of `fit` says about the mean loss: the engine's gradients, or the core's."""
    if not isinstance(model, Sequential) or model.loss is None or not model.count_params():
        raise ValueError(
            f"check_gradients: y needs a compiled Sequential with weights, received {model!r}"
        )
    layers, loss = without_softmax(model.layers, model.loss)
    layers = [_Checked(layer) for layer in layers]
    activations, caches = forward(layers, x, training=True, seed=SEED)
    CHECK.scores(activations[-1], "the model's output")
    labels = loss.targets(CHECK, y, "y", len(x), activations[-1].shape[1:])
    _, dy = loss.losses_and_gradient(labels, activations[-1])
    gradients = _by_weight(layers, backward(layers, caches, dy / len(x)))
    if not model.run_eagerly:
        found = Plan(model.layers, model.loss).gradients(x, labels, SEED)
        gradients = [sum(parts[1:], parts[0]) for parts in found.by_weight]

    def evaluate():
        activations, caches = forward(layers, x, training=True, seed=SEED)
        return loss.losses_and_gradient(labels, activations[-1])[0], _sides(layers, caches)

    return _Claim(gradients, evaluate, np.full(len(x), 1 / len(x)))


class _Checked:
    """A layer whose passes are checked: what they return has to be what the contract says."""

    def __init__(self, layer: Any):
        self.layer = layer
        self.seed = getattr(layer, "seed", None)
        self.params = _params(layer)
        self.who = layer.who if isinstance(layer, Layer) else type(layer).__name__

        @functools.wraps(layer.forward)  # with its signature, which says what it asks for
        def checked_forward(x, **options):
            result = layer.forward(x, **options)
            y, cache = _pair(result, f"{self.who}.forward", "(y, cache)")
            if getattr(y, "dtype", None) != np.float64 or not np.isfinite(y).all():
                raise ValueError(
                    f"{self.who}.forward: expected finite float64 outputs for float64 inputs, "
                    f"received {y!r}"
                )
            return y, cache

        self.forward = checked_forward

    def backward(self, dy: np.ndarray, cache: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        who = f"{self.who}.backward"
        dx, grads = _pair(self.layer.backward(dy, cache), who, "(dx, grads)")
        if not isinstance(grads, dict) or set(grads) != set(self.params):
            received = list(grads) if isinstance(grads, dict) else grads
            raise ValueError(
                f"{who}: expected gradients of {list(self.params)}, received {received!r}"
            )
        return dx, grads


def _sides(layers: list[_Checked], caches: list[Any]) -> list[np.ndarray]:
    """On which sides of all kinks a pass was."""
    sides: list[np.ndarray] = []
    for checked, cache in zip(layers, caches, strict=True):
        sides += checked.layer.branches(cache) if hasattr(checked.layer, "branches") else []
    return sides


def _by_weight(layers: list[_Checked], gradients: list[Any]) -> list[Any]:
    """The gradients of all weights in their order."""
    return [
        grads[key]
        for layer, (_, grads) in zip(layers, gradients, strict=True)
        for key in layer.params
    ]


def _row(name, array, gradient, claim, step, tolerance, sample, rng) -> GradientRow:
    """One gradient, claimed and measured."""
    gradient, entries = np.asarray(gradient), array.size
    if gradient.shape != array.shape or gradient.dtype.kind not in "buif":
        received = f"has shape {gradient.shape} and dtype {gradient.dtype}"
        problem = f"{received}, expected numbers of shape {array.shape}"
        return GradientRow(name, entries, problem=problem)
    gradient = gradient.reshape(-1).astype(np.float64)
    chosen = np.arange(entries)
    if sample is not None and sample < entries:
        chosen = rng.choice(entries, sample, replace=False)
    broken = ~np.isfinite(gradient)  # wrong even where a kink is, or where no sample was taken
    chosen = np.union1d(chosen, np.flatnonzero(broken)[:1])
    numeric, smooth, noise = _differences(claim, array, chosen, step)
    compared = smooth | broken[chosen]
    checked = int(compared.sum())
    skipped = len(chosen) - checked
    if checked == 0:
        problem = "is not known: all of its entries cross kinks; move x or the weights"
        return GradientRow(name, entries, skipped=skipped, problem=problem)
    chosen, numeric = chosen[compared], numeric[compared]
    analytic = gradient[chosen]
    sizes = np.abs([analytic, numeric])
    # At least so large that rounding alone stays within the tolerance.
    largest = sizes[np.isfinite(sizes)].max(initial=noise / tolerance)
    errors = np.abs(analytic - numeric) / largest
    errors[np.isnan(errors)] = np.inf
    worst = int(errors.argmax())
    index = tuple(int(i) for i in np.unravel_index(chosen[worst], array.shape))
    error, values = float(errors[worst]), (float(analytic[worst]), float(numeric[worst]))
    ok = error <= tolerance
    return GradientRow(name, entries, checked, skipped, error, index, *values, ok=ok)


def _differences(claim, array, chosen, step) -> tuple[np.ndarray, np.ndarray, float]:
    """Central differences by the chosen entries, which of them cross no kink, and rounding."""
    outputs, sides = claim.evaluate()
    numeric, smooth = np.empty(len(chosen)), np.empty(len(chosen), bool)
    for i, entry in enumerate(chosen):
        index = np.unravel_index(entry, array.shape)
        value = array[index]
        array[index] = high = value + step
        above, sides_above = claim.evaluate()
        array[index] = low = value - step
        below, sides_below = claim.evaluate()
        array[index] = value
        # First differences, then their sum: outputs that do not move cancel without rounding. And
        # the entry has moved by high - low, which is 2 * step only up to rounding.
        numeric[i] = ((above - below) * claim.weight).sum() / (high - low)
        smooth[i] = all(map(np.array_equal, sides_above + sides_below, sides + sides))
    # As a random walk over the outputs, each off by ten units in its last place, or in that of the
    # numbers around 1 that it was made from; over 60 random networks 4 were seen.
    digits = 10 * np.finfo(np.float64).eps * np.maximum(1, np.abs(outputs))
    return numeric, smooth, float(np.linalg.norm(claim.weight * digits) / step)


def _layers(layer_or_model: Any, x: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """The layers, each by what goes before the names of its weights."""
    if isinstance(layer_or_model, Sequential):
        layer_or_model.count_params()  # an error if there are no weights yet
        return {f"{layer.name}.": layer for layer in layer_or_model.layers}
    missing = [name for name in ("forward", "backward") if not hasattr(layer_or_model, name)]
    if isinstance(layer_or_model, type) or missing:
        reason = f"without {' and '.join(missing)}" if missing else "a class instead of an object"
        raise TypeError(
            f"check_gradients: expected a Sequential, or a layer with forward(x) -> (y, cache) and "
            f"backward(dy, cache) -> (dx, grads); received {layer_or_model!r}, {reason}"
        )
    if isinstance(layer_or_model, Layer) and layer_or_model.input_shape is None:
        layer_or_model = copy.copy(layer_or_model)
        layer_or_model.build(x.shape[1:], rng, "float64")
    return {"": layer_or_model}


def _params(layer: Any) -> dict[str, np.ndarray]:
    return getattr(layer, "params", {})


def _pair(result: Any, who: str, expected: str) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"{who}: expected {expected}, received {result!r}")
    return result


def _movable(array: Any, name: str, step: float) -> np.ndarray:
    """`array` if its entries can be moved by `step` and the difference be seen."""
    dtype = getattr(array, "dtype", type(array).__name__)
    if dtype == np.float32:
        raise TypeError(
            f"check_gradients: expected {name} in float64, received float32: differences of "
            f"{step:g} drown in float32's rounding; "
            'build in float64, with Sequential(dtype="float64") or '
            'layer.build(shape, rng, "float64"), and pass x.astype("float64")'
        )
    if not isinstance(array, np.ndarray) or dtype != np.float64:
        raise TypeError(
            f"check_gradients: expected {name} as an array of float64, received {dtype}"
        )
    largest = np.abs(array).max(initial=0)
    if array.size == 0 or not math.isfinite(largest) or largest + step == largest:
        raise ValueError(
            f"check_gradients: expected {name} of finite numbers that a step of {step:g} moves, "
            f"received {array.size} up to {largest:g}"
        )
    return array
