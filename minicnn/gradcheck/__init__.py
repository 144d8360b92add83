"""Are gradients right? Every entry against central differences: the check for a layer of your own.

A gradient says how much a number changes when an entry moves. So move the entry, a little up and a
little down, and look. The number is a sum of the outputs, each with a random weight: the plain sum
of a softmax is always 1, and a backward pass that returns zeros would be right.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minicnn import checks
from minicnn.layer import Layer
from minicnn.model import Sequential
from minicnn.objective import objective
from minicnn.shapes import positive_int
from minicnn.step import loss_and_gradients

WHO = "check_gradients"


@dataclass(frozen=True)
class GradientRow:
    """What was found about one gradient; its worst entry, if any could be compared."""

    name: str  # "dx", or the weight: "kernel" of a layer, "conv2d.kernel" of a model
    entries: int
    checked: int = 0
    skipped: int = 0  # because moving them crosses a kink
    error: float = math.inf  # the largest; see `check_gradients`
    index: tuple[int, ...] | None = None  # where that is
    analytic: float = math.nan  # what backward says there
    numeric: float = math.nan  # what the differences say
    problem: str = ""  # why nothing could be compared
    ok: bool = False

    @property
    def gradient(self) -> str:
        """The gradient's own name: "dkernel" for "kernel"."""
        layer, dot, weight = self.name.rpartition(".")
        return self.name if weight == "dx" else f"{layer}{dot}d{weight}"

    def __str__(self) -> str:
        if self.problem:
            return f"{self.gradient} {self.problem}"
        where = list(self.index) if self.index else ""
        return f"{self.gradient}{where}: {self.analytic:.8g} expected {self.numeric:.8g}"


@dataclass(frozen=True)
class GradientReport:
    """One row for each gradient. Print it, or ask `report.ok`."""

    rows: tuple[GradientRow, ...]
    tolerance: float
    sample: int | None

    @property
    def ok(self) -> bool:
        """Whether every gradient was checked and none is wrong."""
        return all(row.ok for row in self.rows)

    def __bool__(self) -> bool:
        # Any other object is true, and `assert check_gradients(...)` would never fail.
        raise TypeError("a GradientReport is neither true nor false; ask report.ok")

    def __str__(self) -> str:
        table = [("gradient", "checked", "skipped", "worst error", "")]
        for row in self.rows:
            checked, error = f"{row.checked} of {row.entries}", f"{row.error:.1e}"
            verdict = "ok" if row.ok else "FAILED"
            table.append((row.gradient, checked, f"{row.skipped}", error, verdict))
        first, *widths = (max(map(len, column)) for column in zip(*table, strict=True))
        lines = [
            "  ".join([name.ljust(first), *map(str.rjust, cells, widths)]).rstrip()
            for name, *cells in table
        ]
        if self.sample is not None:
            lines.append(f"Of each array at most {self.sample} entries were drawn at random.")
        if skipped := sum(row.skipped for row in self.rows):
            lines.append(f"{_entries(skipped)} skipped: a kink was crossed.")
        worst = max(self.rows, key=lambda row: (not row.ok, row.error))
        failed = ", ".join(row.gradient for row in self.rows if not row.ok)
        checked = _entries(sum(row.checked for row in self.rows))
        verdict = f"Failed: {failed}" if failed else f"Right: {checked} checked"
        lines.append(f"{verdict}. Worst: {worst}.")
        return "\n".join(lines)


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
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"{WHO}: rng must be a numpy.random.Generator, received {rng!r}")
    step = checks.number(step, "step", WHO, 0)
    tolerance = checks.number(tolerance, "tolerance", WHO, 0)
    if sample is not None:
        sample = positive_int(sample, "sample", WHO)
    x = checks.real_array(x, f"{WHO}: x")
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
            raise ValueError(f"{WHO}: forward or backward changes x or a weight; work on copies")
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
    """What the layers say of a random sum of their outputs."""

    def evaluate():
        outputs, _, sides = _forward(layers, x)
        return outputs.copy(), sides  # Flatten gives a view of x, and x will move

    outputs, caches, _ = _forward(layers, x)
    weight = rng.standard_normal(outputs.shape)
    return _Claim(_backward(layers, weight, caches), evaluate, weight)


def _mean_loss(model: Any, x: np.ndarray, y: Any) -> _Claim:
    """What a step of training says of the mean loss."""
    if not isinstance(model, Sequential) or model.loss is None or not model.count_params():
        raise ValueError(f"{WHO}: y needs a compiled Sequential with weights, received {model!r}")
    goal = objective(model.layers, model.loss)
    scores, caches, _ = _forward(goal.layers, x)
    scores = checks.scores(scores, f"{WHO}: the model's output")
    labels = checks.class_labels(y, f"{WHO}: y", len(x), scores.shape[1])
    _backward(goal.layers, np.zeros_like(scores), caches)  # an error if a layer is no layer
    _, _, gradients = loss_and_gradients(goal, x, labels, len(x))

    def evaluate():
        scores, _, sides = _forward(goal.layers, x)
        return goal.loss.losses_and_gradient(labels, scores)[0], sides

    return _Claim(gradients, evaluate, np.full(len(x), 1 / len(x)))


def _forward(layers: list[Any], x: np.ndarray) -> tuple[np.ndarray, list[Any], list[np.ndarray]]:
    """Output, caches, and which sides of all kinks the pass was on."""
    caches, sides = [], []
    for layer in layers:
        x, cache = _pair(layer.forward(x), f"{_who(layer)}.forward", "(y, cache)")
        if getattr(x, "dtype", None) != np.float64 or not np.isfinite(x).all():
            raise ValueError(
                f"{_who(layer)}.forward: expected finite float64 outputs for float64 inputs, "
                f"received {x!r}"
            )
        caches.append(cache)
        sides += layer.branches(cache) if hasattr(layer, "branches") else []
    return x, caches, sides


def _backward(layers: list[Any], dy: np.ndarray, caches: list[Any]) -> list[Any]:
    """dx, then the gradients of all weights in their order."""
    gradients: list[Any] = []
    for layer, cache in zip(reversed(layers), reversed(caches), strict=True):
        params, who = _params(layer), f"{_who(layer)}.backward"
        dy, grads = _pair(layer.backward(dy, cache), who, "(dx, grads)")
        if not isinstance(grads, dict) or set(grads) != set(params):
            received = list(grads) if isinstance(grads, dict) else grads
            raise ValueError(f"{who}: expected gradients of {list(params)}, received {received!r}")
        gradients[:0] = (grads[key] for key in params)
    return [dy, *gradients]


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
            f"{WHO}: expected a Sequential, or a layer with forward(x) -> (y, cache) and "
            f"backward(dy, cache) -> (dx, grads); received {layer_or_model!r}, {reason}"
        )
    if isinstance(layer_or_model, Layer) and layer_or_model.input_shape is None:
        layer_or_model = copy.copy(layer_or_model)
        layer_or_model.build(x.shape[1:], rng, "float64")
    return {"": layer_or_model}


def _params(layer: Any) -> dict[str, np.ndarray]:
    return getattr(layer, "params", {})


def _who(layer: Any) -> str:
    return layer.who if isinstance(layer, Layer) else type(layer).__name__


def _pair(result: Any, who: str, expected: str) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"{who}: expected {expected}, received {result!r}")
    return result


def _movable(array: Any, name: str, step: float) -> np.ndarray:
    """`array` if its entries can be moved by `step` and the difference be seen."""
    dtype = getattr(array, "dtype", type(array).__name__)
    if dtype == np.float32:
        raise TypeError(
            f"{WHO}: expected {name} in float64, received float32: differences of {step:g} drown "
            'in float32\'s rounding; build in float64, with Sequential(dtype="float64") or '
            'layer.build(shape, rng, "float64"), and pass x.astype("float64")'
        )
    if not isinstance(array, np.ndarray) or dtype != np.float64:
        raise TypeError(f"{WHO}: expected {name} as an array of float64, received {dtype}")
    largest = np.abs(array).max(initial=0)
    if array.size == 0 or not math.isfinite(largest) or largest + step == largest:
        raise ValueError(
            f"{WHO}: expected {name} of finite numbers that a step of {step:g} moves, received "
            f"{array.size} up to {largest:g}"
        )
    return array


def _entries(count: int) -> str:
    return f"{count} entry" if count == 1 else f"{count} entries"
