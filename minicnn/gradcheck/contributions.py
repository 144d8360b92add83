"""Which outputs depend on which entries: the whole Jacobian, claimed and measured, of small layers.

The gradient of a sum of outputs is a sum over outputs. One output at a time shows what became of
each part: lost, paid to others, or put in another place.
"""

import collections
import itertools

import numpy as np

from minicnn.gradcheck.claims import Claim
from minicnn.gradcheck.mistakes import ALIKE

MOST_OUTPUTS, MOST_ENTRIES = 30, 2000
FEW = 0.1  # of the windows; those that the border cuts off look different


def mistake_in_contributions(claim: Claim, array: np.ndarray, place: int, step: float) -> str:
    """What a wrong gradient does with the parts of single outputs, in words, or "".

    `place` is that of the gradient in the list of gradients, 0 for dx.
    """
    if array.size > MOST_ENTRIES or claim.backward is None:
        return ""
    outputs = np.arange(claim.weight.size)
    if outputs.size > MOST_OUTPUTS:
        outputs = np.sort(np.random.default_rng(0).choice(outputs, MOST_OUTPUTS, replace=False))
    measured = _measured(claim, array, step, outputs)
    try:
        claimed = _claimed(claim, place, outputs)
    except Exception:  # a gradient of some shape that one output cannot have
        return ""
    if claimed.shape != measured.shape or not np.isfinite(claimed).all():
        return ""
    largest = np.abs(measured).max(initial=0)
    wrong = np.abs(claimed - measured) > ALIKE * largest
    has, gets = (np.abs(rows) > ALIKE * largest for rows in (measured, claimed))
    lost = has & ~gets
    samples = _same_sample(claim.weight.shape, outputs, array.shape) if place == 0 else None
    if samples is not None and (has & ~samples).any() and not (gets & ~samples).any():
        return (
            "samples depend on each other in forward, but not in backward: is the gradient by the "
            "batch's mean or variance missing?"
        )
    if not wrong.any():
        if len(outputs) < claim.weight.size:
            return ""
        return "right for each output alone but not for their sum: backward is not linear in dy"
    if not (wrong & ~lost).any():
        without = ~gets.any(axis=1) & has.any(axis=1)
        if without.any() and not lost[~without].any():
            share = f"{without.sum()} of {has.any(axis=1).sum()}"
            return f"{share} outputs give it no gradient: is a loop too short, or = in place of +=?"
        return "parts of it are lost: windows that overlap overwrite each other (= instead of +=)?"
    if not (wrong & has).any():
        return "entries get a gradient from outputs that do not depend on them: is every tie paid?"
    rows = [(claimed[row], measured[row]) for row in np.flatnonzero(wrong.any(axis=1))]
    found = [_moved(*(_own(values, array.shape, place) for values in pair)) for pair in rows]
    [(words, count)] = collections.Counter(filter(None, found)).most_common(1) or [("", 0)]
    if count > max(FEW * len(rows), sum(map(bool, found)) / 2):
        return words
    if all(_same_numbers(*pair) for pair in rows):
        return (
            "the right numbers in the wrong places: strides or padding forgotten, a kernel "
            "flipped, or axes in another order?"
        )
    if (has == gets).all():
        return "the right entries get it, by wrong factors: a derivative at another value?"
    return ""


def mistake_in_what_it_depends_on(
    claim: Claim, arrays: list[np.ndarray], place: int, step: float
) -> str:
    """Whether a gradient ignores x or the weights although the measured one depends on them."""
    others = arrays[1:] if place == 0 else arrays[:1]
    if claim.backward is None or not others:
        return ""
    moved, old = arrays[place], [array.copy() for array in others]

    def claimed_and_measured():
        direction = np.random.default_rng(0).choice([-step, step], moved.shape)
        before, base = moved.copy(), claim.evaluate()[0]
        moved[...] = before + direction
        change = claim.total(claim.evaluate()[0] - base)
        moved[...] = before
        return np.array(claim.backward(claim.weight)[place]), change / step

    try:
        claimed, measured = claimed_and_measured()
        for array in others:
            array *= 1.5
        claimed_then, measured_then = claimed_and_measured()
    except Exception:  # outputs that are not finite, for instance
        return ""
    finally:
        for array, values in zip(others, old, strict=True):
            array[...] = values
    if np.array_equal(claimed, claimed_then) and abs(measured_then - measured) > ALIKE * max(
        abs(measured), abs(measured_then)
    ):
        return f"it does not depend on {'the weights' if place == 0 else 'x'}, but it should"
    return ""


def _measured(claim: Claim, array: np.ndarray, step: float, outputs: np.ndarray) -> np.ndarray:
    """Derivatives of each of these outputs by each entry, (outputs, entries)."""
    found = np.empty((len(outputs), array.size))
    for entry, index in enumerate(np.ndindex(array.shape)):
        value = array[index]
        array[index] = high = value + step
        above, _ = claim.evaluate()
        array[index] = low = value - step
        below, _ = claim.evaluate()
        array[index] = value
        found[:, entry] = (above - below).ravel()[outputs] / (high - low)
    return found


def _claimed(claim: Claim, place: int, outputs: np.ndarray) -> np.ndarray:
    """The same from backward, with a dy that is 1 at one output and 0 elsewhere."""
    rows = []
    for output in outputs:
        dy = np.zeros(claim.weight.size)
        dy[output] = 1
        rows.append(np.array(claim.backward(dy.reshape(claim.weight.shape))[place], float).ravel())
    return np.array(rows)


def _same_sample(
    y_shape: tuple[int, ...], outputs: np.ndarray, x_shape: tuple[int, ...]
) -> np.ndarray | None:
    """Which pairs of an output and an entry of x are of the same sample."""
    if not y_shape or y_shape[0] != x_shape[0] or x_shape[0] < 2:
        return None
    entries = np.arange(np.prod(x_shape, dtype=int)) // np.prod(x_shape[1:], dtype=int)
    return (outputs // np.prod(y_shape[1:], dtype=int))[:, None] == entries


def _own(row: np.ndarray, shape: tuple[int, ...], place: int) -> np.ndarray:
    """One output's gradient in the array's shape; of x, the sample that it belongs to."""
    row = row.reshape(shape)
    if place == 0 and row.ndim > 1:
        return row[int(np.abs(row).reshape(len(row), -1).sum(axis=1).argmax())]
    return row


def _moved(claimed: np.ndarray, measured: np.ndarray) -> str:
    """How the window of one output was moved, in words: shifted, flipped, transposed."""
    (window, corner), (right, right_corner) = _window(claimed), _window(measured)
    if window is None or right is None:
        return ""
    if window.shape == right.shape and _equal(window, right) and corner != right_corner:
        return "each window's gradient goes to another place: are strides or padding forgotten?"
    axes = range(window.ndim)
    for count in range(1, window.ndim + 1):
        for chosen in itertools.combinations(axes, count):
            if window.shape == right.shape and _equal(np.flip(window, chosen), right):
                return "each window's gradient is flipped: was the kernel rotated, or not?"
    for order in itertools.permutations(axes):
        moved = window.transpose(order)
        if order != tuple(axes) and moved.shape == right.shape and _equal(moved, right):
            return f"each window's gradient is transposed: axes in the order {order}"
    return ""


def _window(row: np.ndarray) -> tuple[np.ndarray | None, tuple[int, ...]]:
    """The smallest part of `row` that holds all that is not zero, and where it begins."""
    where = np.argwhere(np.abs(row) > ALIKE * np.abs(row).max(initial=0))
    if row.ndim == 0 or len(where) == 0:
        return None, ()
    low, high = where.min(axis=0), where.max(axis=0) + 1
    return row[tuple(map(slice, low, high))], tuple(low.tolist())


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() <= ALIKE * np.abs(b).max())


def _same_numbers(a: np.ndarray, b: np.ndarray) -> bool:
    return _equal(np.sort(a), np.sort(b))
