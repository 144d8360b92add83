"""The likely cause of wrong numbers, in words: a table of what they may look like.

Each row of the tables is a function that compares an array with what it should be, and says what
the mistake looks like, or "". The first that recognises something is quoted.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

ALIKE = 1e-4  # relative to the largest: differences, and single precision, are not exact


class Case(NamedTuple):
    """An array and what it should be; what is known of the pass that it comes from."""

    ours: np.ndarray
    right: np.ndarray
    samples: int = 1
    dy: np.ndarray | None = None
    is_dx: bool = False


def likely_mistake(case: Case, table: list[Callable[[Case], str]] | None = None) -> str:
    """What the mistake looks like, or "" if it looks like none of the known ones."""
    if case.ours.dtype.kind not in "buif" or alike(case.ours, case.right):
        return ""
    if case.ours.shape != case.right.shape:
        return another_shape(case)
    table = CERTAIN + LIKELY if table is None else table
    return next(filter(None, (recognise(case) for recognise in table)), "")


def alike(ours: np.ndarray, right: np.ndarray) -> bool:
    """Whether two arrays are equal for the purpose of recognising a mistake."""
    if ours.shape != right.shape:
        return False
    largest = np.abs(right).max(initial=0)
    return bool(largest > 0 and np.abs(ours - right).max() <= ALIKE * largest)


def not_finite(case: Case) -> str:
    wrong = ~np.isfinite(case.ours)
    return "it has NaN or infinity: a division by 0, or a logarithm of 0?" if wrong.any() else ""


def another_shape(case: Case) -> str:
    """Transposed, not summed, summed too much, reshaped."""
    ours, right = case.ours, case.right
    if ours.ndim == right.ndim:
        for axes in itertools.permutations(range(ours.ndim)):
            if alike(ours.transpose(axes), right):
                return f"transposed: the axes {axes} of this one, in that order, are right"
        if sorted(ours.shape) == sorted(right.shape):
            return "its shape is transposed"
    extra = ours.ndim - right.ndim
    if extra > 0 and ours.shape[extra:] == right.shape:
        summed = ours.sum(axis=tuple(range(extra)))
        if alike(summed, right) or extra > 1 or ours.shape[0] == case.samples:
            return "not summed over the samples (and positions), which each add to it"
    if right.ndim > ours.ndim and ours.size < right.size:
        return "summed over more axes than it should be"
    if ours.size == right.size and alike(ours.reshape(right.shape), right):
        return f"the right numbers in another shape: reshape to {right.shape}"
    return ""


def zeros(case: Case) -> str:
    if not case.ours.any() and case.right.any():
        return "all zeros: is it ever computed?"
    return ""


def one_factor(case: Case) -> str:
    """A constant ratio, and which one."""
    ratio = constant_ratio(case.ours, case.right)
    if ratio is None:
        return ""
    words = next((w for value, w in _factors(case) if math.isclose(ratio, value, rel_tol=1e-3)), "")
    return f"{_number(ratio)} times the right value everywhere: {words or 'is a factor missing?'}"


def _factors(case: Case) -> list[tuple[float, str]]:
    """Ratios that tell of a mistake."""
    n = case.samples
    positions = math.prod(case.dy.shape[1:-1]) if case.dy is not None and case.dy.ndim > 2 else 1
    table = [(-1.0, "the sign is wrong")]
    if n > 1:
        table += [
            (1 / n, "divided by the batch? Gradients are sums over samples; training divides"),
            (float(n), "multiplied by the number of samples, or counted once for each of them?"),
        ]
    if positions > 1:
        table += [
            (1 / positions, "a mean over the positions instead of a sum?"),
            (1 / (n * positions), "a mean over samples and positions instead of a sum?"),
            (float(positions), "multiplied by the number of positions?"),
        ]
    return [
        *table,
        (2.0, "counted twice, or a factor 1/2 forgotten?"),
        (0.5, "a factor 2 missing?"),
    ]


def same_as_dy(case: Case) -> str:
    if case.is_dx and case.dy is not None and alike(case.ours, case.dy):
        return "it is dy itself: the derivative of the layer is missing"
    return ""


def summed_over_the_wrong_axis(case: Case) -> str:
    if case.dy is None or case.is_dx:
        return ""
    for count in range(1, case.dy.ndim):
        for axes in itertools.combinations(range(case.dy.ndim), count):
            if alike(case.ours, case.dy.sum(axis=axes)):
                return f"dy summed over the axes {axes}: these are the wrong ones"
    return ""


def flipped(case: Case) -> str:
    for count in range(1, case.ours.ndim + 1):
        for axes in itertools.combinations(range(case.ours.ndim), count):
            if alike(np.flip(case.ours, axes), case.right):
                return f"flipped along the axes {axes}: was a kernel rotated, or not?"
    return ""


def axes_in_another_order(case: Case) -> str:
    """Transposed where the shape does not tell; or flattened with the axes in another order."""
    ours, right = case.ours, case.right
    if right.ndim > 5:
        return ""
    for axes in itertools.permutations(range(right.ndim)):
        moved = right.transpose(axes)
        if axes != tuple(sorted(axes)) and moved.shape == ours.shape and alike(ours, moved):
            return f"transposed: axes in the order {axes}"
        if alike(ours, moved.reshape(ours.shape)):
            return f"reshaped where a transpose is needed: the axes are in the order {axes}"
        if alike(ours, right.reshape(moved.shape).transpose(np.argsort(axes))):
            return "reshaped where a transpose is needed"
    return ""


def shifted(case: Case) -> str:
    for axis in range(case.ours.ndim):
        for offset in (-2, -1, 1, 2):
            keep = tuple(
                slice(max(offset, 0), min(offset, 0) or None) if i == axis else slice(None)
                for i in range(case.ours.ndim)
            )
            moved = np.roll(case.right, offset, axis)
            if case.ours.shape[axis] > 2 * abs(offset) and alike(case.ours[keep], moved[keep]):
                return f"shifted by {offset} along axis {axis}: padding on the other side?"
    return ""


def same_difference_in_all_samples(case: Case) -> str:
    difference = case.ours - case.right
    if case.is_dx and len(difference) > 1 and alike(difference, 0 * difference + difference[:1]):
        return "off by the same amount in all samples: is the gradient by the batch's mean missing?"
    return ""


def one_factor_for_each_channel(case: Case) -> str:
    if case.right.ndim < 2 or case.right.shape[-1] < 2:
        return ""
    channels = [(case.ours[..., c], case.right[..., c]) for c in range(case.right.shape[-1])]
    ratios = [constant_ratio(a, b) for a, b in channels if a.size > 1 and np.abs(b).max() > 0]
    if ratios and None not in ratios:
        return "another constant factor in each channel (the last axis): is a scale missing?"
    return ""


def a_part_is_right(case: Case) -> str:
    """Wrong in some samples only, or at the border only."""
    largest = np.abs(case.right).max(initial=0)
    wrong = np.abs(case.ours - case.right) > ALIKE * largest
    if not wrong.any() or wrong.all():
        return ""
    if case.is_dx:
        by_sample = wrong.reshape(len(wrong), -1).any(axis=1)
        if not by_sample.all():
            right = np.flatnonzero(~by_sample).tolist()
            return f"right for the samples {right} alone: does a loop end early?"
    if np.abs(case.ours[wrong]).max() == 0:
        return "zero where it should not be: are some positions left out, or masked?"
    if not case.right[wrong].any():
        return "not zero where it should be: is a mask missing, or every tie paid?"
    inner = (slice(None), *[slice(1, -1)] * (wrong.ndim - 2), slice(None))
    if wrong.ndim > 2 and wrong[inner].size and not wrong[inner].any():
        return "wrong at the border alone: is padding handled in the backward pass?"
    if np.abs(np.abs(case.ours) - np.abs(case.right)).max() <= ALIKE * largest:
        return "right but for the sign of some entries"
    return ""


CERTAIN: list[Callable[[Case], str]] = [  # hardly by chance
    not_finite,
    zeros,
    one_factor,
    same_as_dy,
    summed_over_the_wrong_axis,
    flipped,
    axes_in_another_order,
    shifted,
    same_difference_in_all_samples,
]
LIKELY: list[Callable[[Case], str]] = [one_factor_for_each_channel, a_part_is_right]


def constant_ratio(ours: np.ndarray, right: np.ndarray) -> float | None:
    """k if ours = k * right and k is not 1, else None."""
    total = float((right * right).sum())
    if ours.shape != right.shape or total == 0 or not np.isfinite(ours).all():
        return None
    ratio = float((ours * right).sum()) / total
    if abs(ratio - 1) < ALIKE or not alike(ours, ratio * right):
        return None
    return ratio


def _number(ratio: float) -> str:
    """1/3 rather than 0.333."""
    for whole in range(2, 1000):
        if math.isclose(abs(ratio) * whole, 1, rel_tol=1e-3):
            return f"{'-' * (ratio < 0)}1/{whole}"
    return f"{ratio:.4g}"
