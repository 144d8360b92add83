"""Derivatives measured by differences: entry by entry, many entries in one pass, along directions.

An entry is moved a little up and a little down, and the outputs are compared. Where the function
has a kink nearby, as ReLU has at 0, differences are no estimate of the derivative: a layer can name
its kinks by `branches`; where it does not, the two one-sided differences tell.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minicnn.gradcheck.claims import Claim

FINER = (1, 1 / 8, 1 / 64)  # steps, as shares of the first, at which a doubtful entry is measured
CONFIRMED = 200  # after so many wrong entries and no kink, the other doubtful ones are not repeated


class Measured(NamedTuple):
    """Derivatives by some entries (or along some directions)."""

    numeric: np.ndarray
    smooth: np.ndarray  # False where a kink was crossed
    noise: float  # rounding errors of such derivatives


class _Slopes(NamedTuple):
    """Differences of the weighted sum of outputs when one thing is moved up and down."""

    below: float
    above: float
    central: float
    crossed: bool  # whether `branches` tells of a kink


class _Base(NamedTuple):
    outputs: np.ndarray
    sides: list[np.ndarray]

    def crossed(self, *others: list[np.ndarray]) -> bool:
        return not all(all(map(np.array_equal, sides, self.sides)) for sides in others)


def by_entries(
    claim: Claim,
    array: np.ndarray,
    chosen: np.ndarray,
    gradient: np.ndarray,
    step: float,
    tolerance: float,
    axis: int,
    tick: Callable[[float], Any],
) -> Measured:
    """Central differences by the entries whose flat numbers are `chosen`.

    `gradient` (flat, of all entries) is what backward claims: entries that disagree are measured
    again with smaller steps. Along `axis`, entries may turn out to act on outputs of their own.
    """
    base = _Base(*claim.evaluate())
    noise = rounding(claim, base.outputs, array, step)
    places = array.shape[axis] if array.ndim and axis is not None else 1
    numeric, doubtful = None, np.zeros(len(chosen), bool)
    if places + 2 * array.size // places < 2 * len(chosen) and _separate(
        claim, array, axis, step, base
    ):
        share = len(chosen) / array.size
        found = _grouped(claim, array, axis, step, base, lambda done: tick(round(done * share)))
        numeric, doubtful = (each.ravel()[chosen] for each in found)
    smooth = np.ones(len(chosen), bool)
    if numeric is None:
        numeric = np.empty(len(chosen))
        for i, entry in enumerate(chosen):
            found = _moved(claim, array, np.unravel_index(entry, array.shape), step, base)
            numeric[i], smooth[i] = found.central, not found.crossed
            tick(1)
    known = smooth & ~doubtful
    allowed = tolerance * scales(array.shape, chosen, np.where(known, numeric, 0), noise, tolerance)
    errors = np.abs(gradient[chosen] - numeric)
    doubtful |= smooth & ~(errors <= allowed) & np.isfinite(gradient[chosen])
    confirmed = 0
    for i in np.flatnonzero(doubtful):
        if confirmed >= CONFIRMED and known[i]:
            continue
        index = np.unravel_index(chosen[i], array.shape)
        slopes = (_moved(claim, array, index, step * share, base) for share in FINER)
        numeric[i], smooth[i] = _closest(slopes, gradient[chosen[i]], allowed[i], noise)
        confirmed += smooth[i] and abs(numeric[i] - gradient[chosen[i]]) > allowed[i]
    return Measured(numeric, smooth, noise)


def along_directions(
    claim: Claim,
    array: np.ndarray,
    gradient: np.ndarray,
    count: int,
    step: float,
    tolerance: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, Measured]:
    """(claimed, measured) derivatives along `count` random directions of entries +1 and -1."""
    base = _Base(*claim.evaluate())
    noise = rounding(claim, base.outputs, array, step)
    allowed = tolerance * float(np.linalg.norm(gradient)) + noise
    claimed, numeric, smooth = np.empty(count), np.empty(count), np.ones(count, bool)
    for i in range(count):
        direction = rng.choice([-1.0, 1.0], array.shape)
        claimed[i] = (gradient.reshape(array.shape) * direction).sum()
        slopes = (_moved(claim, array, ..., step * share * direction, base) for share in FINER)
        without_kink = (found for found in slopes if not found.crossed)
        numeric[i], smooth[i] = _closest(without_kink, claimed[i], allowed, noise)
    return claimed, Measured(numeric, smooth, noise)


def scales(
    shape: tuple[int, ...], chosen: np.ndarray, sizes: np.ndarray, noise: float, tolerance: float
) -> np.ndarray:
    """What the error of each entry is relative to: the largest magnitude in its channel.

    Rounding is about the same for all entries of a channel, so small ones would give false alarms
    if each was compared with its own magnitude. Channels (the last axis) may differ in size. And
    rounding alone, when everything is zero, is no error.
    """
    channels = chosen % shape[-1] if len(shape) > 1 else np.zeros(len(chosen), int)
    largest = np.full(shape[-1] if len(shape) > 1 else 1, noise / tolerance)
    finite = np.isfinite(sizes)
    np.maximum.at(largest, channels[finite], np.abs(sizes[finite]))
    return largest[channels]


def rounding(claim: Claim, outputs: np.ndarray, array: np.ndarray, step: float) -> float:
    """Rounding errors of a derivative, as a random walk over the outputs.

    Each is off by ten units in its last place, or in that of the numbers that it was made from, up
    to 1; over 60 random networks 4 were seen.
    """
    parts = min(1.0, float(np.abs(array).max(initial=0)) or 1.0)
    digits = 10 * np.finfo(np.float64).eps * np.maximum(parts, np.abs(outputs))
    return float(np.linalg.norm(claim.weight * digits) / step)


def _moved(claim: Claim, array: np.ndarray, index: Any, step: Any, base: _Base) -> _Slopes:
    """Slopes when the entry at `index` moves by `step`; or all of them, by an array of steps."""
    value = array[index].copy()
    array[index] = value + step
    # By how much it has moved is `step` only up to rounding.
    up = np.abs(array[index] - value).max()
    above, sides_above = claim.evaluate()
    array[index] = value - step
    down = np.abs(value - array[index]).max()
    below, sides_below = claim.evaluate()
    array[index] = value
    size = np.abs(step).max()
    if index is ...:  # along a direction of entries +1 and -1
        up = down = size
    # First differences, then their sum: outputs that do not move cancel without rounding.
    return _Slopes(
        claim.total(base.outputs - below) / down,
        claim.total(above - base.outputs) / up,
        claim.total(above - below) / (up + down),
        base.crossed(sides_above, sides_below),
    )


def _closest(
    slopes: Iterator[_Slopes], claimed: float, allowed: float, noise: float
) -> tuple[float, bool]:
    """The measured derivative, and whether it is one: of a smooth function, not of a kink.

    The difference between the slopes above and below shrinks with the step where the function is
    smooth, and stays where it has a kink. At a kink either slope is right, as for ReLU at 0.
    """
    first = next(slopes, None)
    if first is None or first.crossed:
        return np.nan, False
    gaps = []
    for found in (first, *slopes):
        candidates = (found.central, found.above, found.below)
        nearest = min(candidates, key=lambda slope: abs(slope - claimed))
        if abs(nearest - claimed) <= allowed:
            return nearest, True
        gaps.append(abs(found.above - found.below))
    visible = 3 * noise / FINER[-1] + 10 * allowed
    return first.central, not (gaps[-1] > visible and gaps[-1] > gaps[0] / 4)


def _separate(claim: Claim, array: np.ndarray, axis: int, step: float, base: _Base) -> bool:
    """Whether outputs at place i of an axis depend on the entries at place i alone.

    So it is for samples (the first axis of x and of y), and for the filters of a convolution (the
    last axis of its kernel and of y). All places can then be moved in one pass. It is tried out:
    a pass for each place, in which no other output may change by a single bit.
    """
    places = array.shape[axis]
    if places < 2 or base.outputs.ndim == 0 or base.outputs.shape[axis] != places:
        return False
    signs = np.random.default_rng(0).choice([-step, step], np.take(array, 0, axis).shape)
    entries, by_place = np.moveaxis(array, axis, 0), np.moveaxis(base.outputs, axis, 0)
    for place in range(places):
        before = entries[place].copy()
        entries[place] = before + signs
        changed = np.moveaxis(claim.evaluate()[0], axis, 0) != by_place
        entries[place] = before
        changed[place] = False
        if changed.any():
            return False
    return True


def _grouped(
    claim: Claim,
    array: np.ndarray,
    axis: int,
    step: float,
    base: _Base,
    tick: Callable[[float], Any],
) -> tuple[np.ndarray, np.ndarray]:
    """Central differences by all entries, those along `axis` in one pass; where kinks were met."""
    numeric, doubtful = np.empty(array.shape), np.zeros(array.shape, bool)
    entries, results, marks = (np.moveaxis(a, axis, 0) for a in (array, numeric, doubtful))
    for place in np.ndindex(entries.shape[1:]):
        line = (slice(None), *place)
        value = entries[line].copy()
        entries[line] = high = value + step
        above, up = claim.evaluate()
        entries[line] = low = value - step
        below, down = claim.evaluate()
        entries[line] = value
        change = np.moveaxis((above - below) * claim.weight, axis, 0).reshape(len(value), -1)
        results[line] = change.sum(axis=1) / (high - low)
        marks[line] = base.crossed(up, down)
        tick(len(value))
    return numeric, doubtful
