"""Two implementations side by side: each quantity of each case compared, and what was found."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn.gradcheck.mistakes import Case, likely_mistake

# The largest relative differences, of outputs and of gradients. Double precision is not exact:
# TensorFlow rounds Python numbers (an epsilon, a slope, a momentum) to single precision. And single
# precision may be as wrong as Keras itself is, if that is more.
TOLERANCES = {"float64": (2e-7, 2e-7), "float32": (1e-5, 1e-4)}
AS_WRONG_AS_KERAS = 8.0
NOTHING = 1e-4  # a scale for arrays that are zero but for rounding, as a share of what came in

Answers = dict[str, np.ndarray]


@dataclass
class Quantity:
    """What was found about one quantity, such as "dkernel", over all cases of a precision."""

    name: str
    dtype: str
    mode: str  # "training", "inference", or "" where there is no difference
    relative: float = 0.0  # the largest difference, relative to the largest in Keras' array
    entries: int = 0
    apart: int = 0  # how many entries differ too much
    cases: int = 0
    wrong: list[str] = field(default_factory=list)  # the cases, in words
    worst: str = ""  # the worst entry of the first wrong case
    mistake: str = ""

    @property
    def line(self) -> str:
        """As printed."""
        verdict = f"WRONG ({len(self.wrong)} of {self.cases})" if self.wrong else "ok"
        what = f"{self.name:16} {self.dtype:8} {self.mode:10}"
        return f"{what} {self.cases:>6} {self.relative:>11.1e}  {verdict}"


@dataclass
class SideBySide:
    """What `compare_layers` and `compare_functions` found. Print it, or ask `.ok`."""

    ours: str
    theirs: str
    quantities: list[Quantity] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # what could not even be compared
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether something was compared, and all of it is equal."""
        compared = any(quantity.cases for quantity in self.quantities)
        return compared and not self.problems and not any(q.wrong for q in self.quantities)

    def __bool__(self) -> bool:
        raise TypeError("a comparison is neither true nor false; ask .ok, or call .assert_ok()")

    def assert_ok(self) -> None:
        """Raise an AssertionError with the whole table, unless all is equal: for pytest."""
        if not self.ok:
            raise AssertionError(f"{self.ours} is not {self.theirs}\n{self}")

    def __str__(self) -> str:
        lines = [f"{self.ours} compared with {self.theirs}"]
        lines.append(f"{'quantity':16} {'dtype':8} {'mode':10} {'cases':>6} {'difference':>11}")
        for quantity in self.quantities:
            lines.append(quantity.line)
            if quantity.wrong:
                lines.append(f"    in {quantity.wrong[0]}: {quantity.worst}")
                lines += [f"    {quantity.mistake}"] * bool(quantity.mistake)
        lines += [f"Problem: {words}" for words in self.problems]
        lines += [f"Note: {words}" for words in self.notes]
        wrong = dict.fromkeys(q.name for q in self.quantities if q.wrong)
        compared = sum(quantity.entries for quantity in self.quantities)
        verdict = f"Different: {', '.join(wrong)}." if wrong else f"Equal: {compared:,} numbers."
        return "\n".join([*lines, "Not compared." if self.problems and not wrong else verdict])

    def note(self, words: str) -> None:
        """Add a note, once."""
        if words not in self.notes:
            self.notes.append(words)

    def quantity(self, name: str, dtype: str, mode: str) -> Quantity:
        """The one of that name, a new one if there is none yet."""
        for each in self.quantities:
            if (each.name, each.dtype, each.mode) == (name, dtype, mode):
                return each
        self.quantities.append(Quantity(name, dtype, mode))
        return self.quantities[-1]

    def add(
        self,
        case: str,
        dtype: str,
        mode: str,
        ours: Answers,
        theirs: Answers,
        sizes: tuple[float, float],
        exact: Answers | None = None,
        tolerance: float | None = None,
        samples: int = 1,
        dy: np.ndarray | None = None,
    ) -> None:
        """Compare the answers to one case, which is described in words.

        `sizes` are the largest numbers in x and in dy; `exact` are Keras' answers in double
        precision, if these are in single precision.
        """
        for name, right in theirs.items():
            found = self.quantity(name, dtype, mode)
            found.cases += 1
            found.entries += right.size
            mine = np.asarray(ours[name])
            if mine.shape != right.shape:
                found.relative = math.inf
                words = f"its shape is {mine.shape}, expected {right.shape}"
                _wrong(found, case, words, Case(mine, right, samples, dy, name == "dx"))
                continue
            if not right.size:
                continue
            is_gradient = name.startswith("d")
            scale = max(float(np.abs(right).max()), NOTHING * sizes[is_gradient]) or 1.0
            limits = TOLERANCES[dtype] if tolerance is None else (tolerance, tolerance)
            allowed = limits[is_gradient] * scale
            if exact is not None and exact[name].shape == right.shape:
                error = float(np.abs(right - exact[name]).max())
                allowed = max(allowed, AS_WRONG_AS_KERAS * error)
            apart = _apart(mine, right)
            found.relative = max(found.relative, float(apart.max()) / scale)
            found.apart += int((apart > allowed).sum())
            if apart.max() > allowed:
                index = np.unravel_index(int(apart.argmax()), apart.shape)
                where = [int(i) for i in index]
                words = (
                    f"{(apart > allowed).sum()} of {apart.size} entries differ; "
                    f"{name}{where}: {float(mine[index]):.8g}, Keras {float(right[index]):.8g}"
                )
                _wrong(found, case, words, Case(mine, right, samples, dy, name == "dx"))


def _apart(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The absolute differences; 0 where both are NaN or the same infinity."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(ours - theirs)
    apart[(ours == theirs) | (np.isnan(ours) & np.isnan(theirs))] = 0
    apart[np.isnan(apart)] = math.inf
    return apart


def _wrong(found: Quantity, case: str, words: str, numbers: Case) -> None:
    if not found.wrong:
        found.worst = words
    found.wrong.append(case)
    if not found.mistake and numbers.right.size > 1:
        found.mistake = likely_mistake(numbers)


def name_of(thing: Any) -> str:
    """The class of an object, the name of a function."""
    name = getattr(thing, "__name__", None) or type(thing).__name__
    module = type(thing).__module__.split(".")[0]
    return f"keras.layers.{name}" if module == "keras" else name
