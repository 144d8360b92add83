"""Gradients compared with measured ones, one row for each; and what wrong ones look like."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

from minicnn.gradcheck import contributions, differences, mistakes
from minicnn.gradcheck.claims import Claim
from minicnn.gradcheck.report import GradientRow

MOSTLY = 0.5  # if a larger share of the entries is skipped, a gradient is not known
SMALL = 0.1  # the size of x below which the step is a share of it
TIES_APART = 1e-3  # of the sum of all magnitudes: more than rounding and curvature
ROUNDING = 1e-13  # gradients as small as this are zeros
SMALL_ENOUGH = 1000  # entries, for measuring them all to explain a mistake


class Comparison:
    """What layers claim, beside what is measured; `arrays` has dx's x first, then all weights."""

    def __init__(
        self,
        claim: Claim,
        arrays: dict[str, np.ndarray],
        with_dx: bool,
        step: float,
        tolerance: float,
        rng: np.random.Generator,
    ):
        self.claim, self.arrays = claim, arrays
        self.claimed = dict(zip(list(arrays)[not with_dx :], claim.gradients, strict=True))
        self.step, self.tolerance, self.rng = step, tolerance, rng
        self.notes: list[str] = []
        size = float(np.sqrt(np.mean(arrays["dx"] ** 2)))
        self.steps = {"dx": step * size if 0 < size < SMALL else step}

    def rows(
        self, names: list[str], sample: int | None, directions: int | None
    ) -> tuple[GradientRow, ...]:
        """One row for each of these gradients; with a bar if it takes long."""
        total = sum(min(self.arrays[name].size, sample or math.inf) for name in names)
        with tqdm(total=total, unit=" entries", disable=None, delay=2, leave=False) as bar:
            return tuple(self._row(name, sample, directions, bar.update) for name in names)

    def unknown(self, names: list[str]) -> tuple[GradientRow, ...]:
        """The rows if nothing can be measured, since passes are not repeatable."""
        problem = "cannot be measured: two equal forward passes differ"
        return tuple(GradientRow(name, self.arrays[name].size, problem=problem) for name in names)

    def _row(
        self,
        name: str,
        sample: int | None,
        directions: int | None,
        tick: Callable[[float], Any],
    ) -> GradientRow:
        array, claimed = self.arrays[name], np.asarray(self.claimed[name])
        if claimed.shape != array.shape or claimed.dtype.kind not in "buif":
            received = f"has shape {claimed.shape} and dtype {claimed.dtype}"
            problem = f"{received}, expected numbers of shape {array.shape}"
            mistake = self._mistake(name) if claimed.dtype.kind in "buif" else ""
            return GradientRow(name, array.size, problem=problem, mistake=mistake)
        gradient = claimed.reshape(-1).astype(np.float64)
        if directions is not None:
            return self._row_of_directions(name, gradient, directions)
        chosen = np.arange(array.size)
        if sample is not None and sample < array.size:
            chosen = self.rng.choice(array.size, sample, replace=False)
        return self._row_of_entries(name, gradient, chosen, tick)

    def _row_of_entries(
        self, name: str, gradient: np.ndarray, chosen: np.ndarray, tick: Callable[[float], Any]
    ) -> GradientRow:
        array, problem = self.arrays[name], ""
        broken = ~np.isfinite(gradient)  # wrong even where a kink is, or where no sample was taken
        chosen = np.union1d(chosen, np.flatnonzero(broken)[:1])
        found = self._measured(name, chosen, gradient, tick)
        compared = found.smooth | broken[chosen]
        entries, numeric = chosen[compared], found.numeric[compared]
        skipped = len(chosen) - len(entries)
        if not len(entries):
            problem = "is not known: all of its entries cross kinks; move x or the weights"
            return GradientRow(name, array.size, skipped=skipped, problem=problem)
        errors = self._errors(array, entries, gradient[entries], numeric, found.noise)
        self._note_of_size(name, float(np.abs(gradient[entries]).max()), found.noise)
        worst, wrong = int(errors.argmax()), int((errors > self.tolerance).sum())
        if not wrong and skipped > MOSTLY * len(chosen):
            share = f"{skipped / len(chosen):.0%}"
            problem = f"is not known: {share} of its entries cross kinks; move x or the weights"
        return GradientRow(
            name,
            array.size,
            len(entries),
            skipped,
            float(errors[worst]),
            tuple(int(i) for i in np.unravel_index(entries[worst], array.shape)),
            float(gradient[entries[worst]]),
            float(numeric[worst]),
            problem=problem,
            ok=not wrong and not problem,
            wrong=wrong,
            mistake=self._mistake(name, entries, numeric) if wrong else "",
        )

    def _measured(self, name, chosen, gradient, tick=lambda _: None) -> differences.Measured:
        axis = 0 if name == "dx" else -1  # samples, or units of a layer
        step = self.steps.get(name, self.step)
        return differences.by_entries(
            self.claim, self.arrays[name], chosen, gradient, step, self.tolerance, axis, tick
        )

    def _note_of_size(self, name: str, largest: float, noise: float) -> None:
        """A note if a gradient is too small for differences to see."""
        if ROUNDING < largest < noise:
            self.notes.append(
                f"{GradientRow(name, 0).gradient} has numbers of at most {largest:.0e}, and what "
                f"differences see is {noise:.0e}: is something saturated? Try smaller x"
            )

    def _errors(self, array, entries, analytic, numeric, noise) -> np.ndarray:
        sizes = np.abs([analytic, numeric])
        sizes[~np.isfinite(sizes)] = 0
        scales = differences.scales(array.shape, entries, sizes.max(axis=0), noise, self.tolerance)
        with np.errstate(invalid="ignore"):
            errors = np.abs(analytic - numeric) / scales
        errors[np.isnan(errors)] = np.inf
        return errors

    def _row_of_directions(self, name: str, gradient: np.ndarray, count: int) -> GradientRow:
        array, step = self.arrays[name], self.steps.get(name, self.step)
        if not np.isfinite(gradient).all():
            return GradientRow(name, array.size, problem="has NaN or infinity in it")
        claimed, found = differences.along_directions(
            self.claim, array, gradient, count, step, self.tolerance, self.rng
        )
        skipped = int((~found.smooth).sum())
        if skipped == count:
            problem = "is not known: all directions cross kinks; check its entries, or move x"
            return GradientRow(name, array.size, 0, skipped, problem=problem, directions=True)
        claimed, numeric = claimed[found.smooth], found.numeric[found.smooth]
        scale = max(np.linalg.norm(gradient), np.abs(numeric).max(), found.noise / self.tolerance)
        errors = np.abs(claimed - numeric) / scale
        worst, wrong = int(errors.argmax()), int((errors > self.tolerance).sum())
        case = mistakes.Case(claimed, numeric, len(self.arrays["dx"]), self.claim.weight)
        return GradientRow(
            name,
            array.size,
            len(claimed),
            skipped,
            float(errors[worst]),
            None,
            float(claimed[worst]),
            float(numeric[worst]),
            ok=not wrong,
            wrong=wrong,
            mistake=mistakes.one_factor(case) if wrong else "",
            directions=True,
        )

    def _mistake(self, name: str, entries: Any = None, numeric: Any = None) -> str:
        """What a wrong gradient looks like, of which some entries were measured, or none."""
        array, claimed = self.arrays[name], np.asarray(self.claimed[name])
        samples, dy = len(self.arrays["dx"]), self.claim.weight
        place = list(self.claimed).index(name)
        step = self.steps.get(name, self.step)
        right = np.zeros(array.shape)  # of which only the shape is looked at
        if numeric is not None and 2 * len(entries) >= array.size:
            right[...] = claimed
            right[np.unravel_index(entries, array.shape)] = numeric
        elif array.size <= SMALL_ENOUGH:
            unknown = np.full(array.size, np.nan)  # every entry is measured anew
            found = self._measured(name, np.arange(array.size), unknown)
            right[...] = np.where(found.smooth, found.numeric, 0).reshape(array.shape)
        elif numeric is not None:
            case = mistakes.Case(claimed.ravel()[entries], numeric, samples, dy)
            return mistakes.one_factor(case)
        if mistakes.alike(claimed, right):  # but for small errors
            return ""
        case = mistakes.Case(claimed, right, samples, dy, name == "dx")
        order = (
            lambda: mistakes.likely_mistake(case, mistakes.CERTAIN),
            lambda: contributions.mistake_in_what_it_depends_on(
                self.claim, list(self.arrays.values()), place, step
            ),
            lambda: contributions.mistake_in_contributions(self.claim, array, place, step),
            lambda: mistakes.likely_mistake(case, mistakes.LIKELY),
        )
        return next(filter(None, (words() for words in order)), "")

    def ties(self) -> str:
        """What is wrong with dx where all inputs are equal, or "".

        When they rise together, equal inputs stay equal: a maximum of them rises as much, however
        many they are. A layer that pays each of them adds up to more.
        """
        x, step = self.arrays["dx"], self.steps["dx"]
        if self.claim.backward is None:
            return ""
        before = x.copy()
        try:
            with np.errstate(all="ignore"):
                x[...] = value = before.max()
                base, _ = self.claim.evaluate()
                dx = np.array(self.claim.backward(self.claim.weight)[0])
                x[...] = value + step
                above, _ = self.claim.evaluate()
                x[...] = value - step
                below, _ = self.claim.evaluate()
        except Exception:  # a layer that takes no such x, or has no finite outputs there
            return ""
        finally:
            x[...] = before
        noise = differences.rounding(self.claim, base, before, step)
        bend = np.abs(above - 2 * base + below) / step
        slope = np.abs(above - below) / (2 * step)
        expected, claimed = self.claim.total(above - below) / (2 * step), float(dx.sum())
        allowed = TIES_APART * max(float(np.abs(dx).sum()), abs(expected)) + 100 * noise
        if abs(claimed - expected) <= allowed or (bend > TIES_APART * slope + 100 * noise).any():
            return ""
        return (
            f"dx where all inputs are equal: it adds up to {claimed:.6g}, but the outputs change "
            f"by {expected:.6g} when all inputs rise together: is every tie paid?"
        )
