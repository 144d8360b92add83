"""`check_gradients`: gradients against differences, and passes that change nothing.

A gradient says how much a number changes when an entry moves. So each entry is moved a little up
and a little down, and what backward says is compared with what happens.
"""

import functools
import math
import sys
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from minicnn.engine import announce_compilation
from minicnn.gradcheck import claims, promises
from minicnn.gradcheck.claims import CHECK, Checked, params_of
from minicnn.gradcheck.report import GradientReport
from minicnn.gradcheck.rows import Comparison
from minicnn.model import Sequential

COMPILING = "Compiling kernels for the check, once (10 to 20 seconds) ..."


def check_gradients(
    layer_or_model: Any,
    x: Any,
    y: Any = None,
    *,
    rng: np.random.Generator,
    step: float = 1e-6,
    tolerance: float = 1e-6,
    sample: int | None = None,
    directions: int | None = None,
    only: str | None = None,
) -> GradientReport:
    """Compare gradients with central differences, (f(a + step) - f(a - step)) / (2 step).

    And try out what training needs: passes that change neither x, dy nor weights, keep nothing on
    the layer, and give equal results when they are repeated. All of it is done with a copy of the
    layer or model.

    Parameters
    ----------
    layer_or_model : layer or Sequential
        A layer is any object with forward(x) -> (y, cache) and backward(dy, cache) -> (dx, grads),
        with a dict `params` if it learns. It may name its kinks by `branches`, as in `Layer`. If a
        layer of minicnn is not built yet, the copy is built, in float64 with `rng`.
    x : (n, ...) float64
        At least two samples show more mistakes than one.
    y : (n, ...) targets, optional
        Only for a compiled model: f is the mean loss, and its gradients by the weights are those
        that `fit` uses. Otherwise f is a random sum of the outputs, and dx is checked, too.
    rng : numpy.random.Generator
    step : float
        For x of a size below 0.1 it is a share of that size.
    tolerance : float
        The largest error that is right.
    sample : int, optional
        Check so many entries of each array, drawn at random, instead of all.
    directions : int, optional
        Check the derivative along so many random directions of each array instead: the quick way
        for large layers. It sees one wrong entry in thousands, but does not tell which one.
    only : str, optional
        Check one gradient alone: "dx", or a weight, such as "kernel" or "conv2d.kernel".

    Returns
    -------
    GradientReport
        A gradient of a wrong shape or with NaN in it is a wrong gradient, and the report says what
        mistake its numbers look like. An entry is skipped if moving it crosses a kink, where ReLU
        or pooling has no derivative. A gradient of which most entries are skipped is not known to
        be right, and does not count as right.

    Raises
    ------
    TypeError, ValueError
        For float32, for objects that break the contract, for arguments out of range.

    Notes
    -----
    The error is |analytic - numeric| relative to the largest magnitude in the channel (the last
    axis) among the checked entries, not to the entry's own: rounding is about the same for all, and
    small ones would give false alarms. Nor can differences be exactly zero where a whole gradient
    is: rounding alone, about 2e-15 / step for outputs of size 1, is no error; nothing smaller can
    be seen.

    Where kinks are not named, an entry that disagrees is moved by smaller steps. At a kink its
    slopes above and below stay apart: it is right if it has one of them, and skipped otherwise.

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
    Failed: dx. Worst: dx[0, 0]: 0.12573022 expected 0.25146044.
    dx: 3 of 3 entries are wrong; 1/2 times the right value everywhere: a factor 2 missing?
    """
    CHECK.generator(rng, "rng")
    step = CHECK.number(step, "step", 0)
    tolerance = CHECK.number(tolerance, "tolerance", 0)
    if sample is not None and directions is not None:
        raise ValueError("check_gradients: choose sample or directions, not both")
    sample, directions = (
        value if value is None else CHECK.integer(value, name)
        for value, name in ((sample, "sample"), (directions, "directions"))
    )
    x = CHECK.real_array(x, "x")
    x = _movable(np.array(x, x.dtype.newbyteorder("="), order="C"), "x", step)
    private = claims.private_copy(layer_or_model, x, rng)
    trials = list(_by_prefix(claims.copied(private)).values())  # may end up changed
    arrays = {"dx": x}
    for prefix, layer in _by_prefix(private).items():
        for key, weight in params_of(layer).items():
            arrays[prefix + key] = _movable(weight, prefix + key, step)
    names = _chosen(list(arrays)[y is not None :], only)
    before = [array.copy() for array in arrays.values()]
    told = announce_compilation(lambda: print(COMPILING, file=sys.stderr, flush=True))
    try:
        # BLAS on several threads costs more than it gains: the arrays are small.
        with told, _blas().limit(limits=1):
            if y is None:
                checked = [Checked(layer) for layer in _by_prefix(private).values()]
                claim = claims.of_outputs(checked, x, rng)
            else:
                claim = claims.of_mean_loss(private, x, y)
            _put_back(arrays, before)  # a backward pass may have changed weights
            compared = Comparison(claim, arrays, y is None, step, tolerance, rng)
            return _report(compared, trials, names, sample, directions)
    finally:
        _put_back(arrays, before)


def _report(
    compared: Comparison,
    trials: list[Any],
    names: list[str],
    sample: int | None,
    directions: int | None,
) -> GradientReport:
    """All that is found out: promises first, since without them nothing can be measured."""
    x = compared.arrays["dx"]
    broken = promises.broken_promises(trials, x, np.random.default_rng(0))
    repeatable = not any(promises.NOT_EQUAL in words for words in broken)
    rows = compared.rows(names, sample, directions) if repeatable else compared.unknown(names)
    if names[0] == "dx" and rows[0].ok and (words := compared.ties()):
        broken.append(words)
    notes = compared.notes
    if repeatable and len(x) > 1 and promises.samples_depend_on_each_other(trials, x):
        notes.append("samples depend on each other: training gives it whole batches")
    return GradientReport(rows, compared.tolerance, sample, tuple(broken), tuple(notes))


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def _by_prefix(layer_or_model: Any) -> dict[str, Any]:
    """The layers, each by what goes before the names of its weights."""
    if isinstance(layer_or_model, Sequential):
        return {f"{layer.name}.": layer for layer in layer_or_model.layers}
    return {"": layer_or_model}


def _chosen(names: list[str], only: str | None) -> list[str]:
    if only is None:
        return names
    if only not in names:
        raise ValueError(f"check_gradients: expected only= one of {names}, received {only!r}")
    return [only]


def _put_back(arrays: dict[str, np.ndarray], before: list[np.ndarray]) -> None:
    for array, old in zip(arrays.values(), before, strict=True):
        array[...] = old


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
