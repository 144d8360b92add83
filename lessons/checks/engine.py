"""How an answer is judged: over many cases, element by element, in one sentence.

A mistake is named when the student's function does on *every* case what the known wrong one does,
errors included: so no mistake is named by chance, and the list of them needs no order.
"""

import copy
import inspect
import traceback
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

INTEGERS = ": integers are expected; divide with //"
TO_DO = "...  # your code here"  # the body of an exercise that nobody has begun
ARRAY_OF_INTEGERS = ": an array of integers is expected"


class Verdict(NamedTuple):
    """Whether an answer is right, what to tell the student, and which known mistake it is."""

    passed: bool
    text: str
    mistake: str | None = None


class NotYet(Exception):  # noqa: N818 -- no error, but what the student is told
    """For a `run` that checks more than a result: its text is the sentence after "not yet: "."""


def exercise(
    cases: Callable[[], Iterable[tuple]],
    tolerance: float = 0,
    run: Callable | None = None,
    hidden: bool = False,
) -> Callable[[Callable], "Exercise"]:
    """Make an exercise of the function below, which is the right answer.

    Parameters
    ----------
    cases : callable
        Gives the tuples of arguments to try; the first one that fails is shown, so easy and
        telling ones come first. Called only when an answer is checked.
    tolerance : float
        By how much numbers may differ, in units of the largest expected one (or of 1, if that is
        smaller). Integers, texts and truth values have to be equal.
    run : callable, optional
        `run(function, *case)` gives what is compared, where a plain call does not: the list of
        what a generator yields, for instance. May raise `NotYet` for a broken promise.
    hidden : bool
        Do not show what is expected: for answers found on paper, of which there is but one.
    """
    return lambda reference: Exercise(reference, cases, tolerance, run or _call, hidden)


class Exercise:
    """One exercise's cases, right answer and known mistakes. Calling it prints the verdict."""

    def __init__(self, reference, cases, tolerance, run, hidden):
        self.name = reference.__name__
        self.reference = reference
        self.cases = cases
        self.tolerance = tolerance
        self.run = run
        self.hidden = hidden
        self.mistakes: dict[str, Callable] = {}
        self.refused_answers: list[Callable] = []

    def mistake(self, sentence: str) -> Callable[[Callable], Callable]:
        """Register the function below as a wrong answer; `sentence` says what is wrong with it."""

        if sentence in self.mistakes:
            raise ValueError(f"{self.name}: two mistakes of the same words: {sentence}")

        def register(wrong: Callable) -> Callable:
            self.mistakes[sentence] = wrong
            return wrong

        return register

    def refused(self, wrong: Callable) -> Callable:
        """Register a wrong answer that has no sentence of its own: tests make sure it fails."""
        self.refused_answers.append(wrong)
        return wrong

    def __call__(self, function: Any) -> None:
        """Print a tick, or what is not right yet."""
        print(self.verdict(function).text)

    def verdict(self, function: Any) -> Verdict:
        """Judge a student's function; whatever it does, this does not raise."""
        try:
            with np.errstate(all="ignore"):  # warnings of the known mistakes would only confuse
                return self._verdict(function)
        except NotYet as reason:
            return Verdict(False, f"not yet: {reason}")
        except Exception as error:  # an answer so odd that not even comparing it works
            return Verdict(False, f"not yet: {self.name} gave something odd ({_words(error)})")

    def _verdict(self, function: Any) -> Verdict:
        self._require_callable(function)
        cases = [tuple(case) for case in self.cases()]
        for case in cases:
            problem = self._problem(function, case)
            if problem:
                mistake = self._known_mistake(function, cases)
                # What helps most comes first, the numbers on a line of their own.
                text = f"{mistake}\n    {problem}" if mistake else problem
                return Verdict(False, f"not yet: {text}", mistake)
        return Verdict(
            True, f"✓ {self.name}: right" + f" in all {len(cases):,} cases" * bool(cases[0])
        )

    def _problem(self, function: Callable, case: tuple) -> str | None:
        """What is wrong with one answer, in words; None if it is right."""
        got = self._outcome(function, case)
        if isinstance(got, NotYet):
            return str(got)
        if isinstance(got, BaseException):
            return self._case(case) + _raised(got, function)
        expected = self._outcome(self.reference, case)
        if got is None and expected is not None and not self._may_be_none(function):
            return f"{self.name} returns nothing; write its body, with a `return` at its end"
        if self.hidden:
            return _wrong_entry(expected, got, self.tolerance)
        wrong = difference(expected, got, self.tolerance)
        return wrong and self._case(case) + wrong

    def _may_be_none(self, function: Callable) -> bool:
        """Whether None is the right answer of some case, and the function has other answers too."""
        cases = [tuple(case) for case in self.cases()]
        by_reference, by_function = (
            [self._outcome(each, case) is None for case in cases]
            for each in (self.reference, function)
        )
        return any(by_reference) and not all(by_function)

    def _require_callable(self, function: Any) -> None:
        if function is None:
            raise NotYet(f"there is no function {self.name}")
        if not callable(function):
            raise NotYet(f"hand over the function itself, check.{self.name}({self.name})")
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # some built-in functions have none
            return
        wanted = list(inspect.signature(self.reference).parameters)
        try:
            signature.bind(*wanted)
        except TypeError:
            raise NotYet(
                f"{self.name} has to take {len(wanted)} arguments ({', '.join(wanted)}), "
                f"yours takes {signature}"
            ) from None

    def _outcome(self, function: Callable, case: tuple) -> Any:
        """What the function makes of a case: its result, or the exception it raised."""
        arguments = [
            argument if callable(argument) else copy.deepcopy(argument) for argument in case
        ]
        try:
            result = self.run(function, *arguments)
        except (Exception, SystemExit) as error:
            return error
        for name, before, after in zip(self._letters(), case, arguments, strict=True):
            if not _unchanged(before, after):
                return NotYet(f"{self.name} changed its argument {name}; work on a copy of it")
        return result

    def _known_mistake(self, function: Callable, cases: list[tuple]) -> str | None:
        # The student's function runs once a case, each wrong one only as long as they agree.
        outcomes = [self._outcome(function, case) for case in cases]
        if all(isinstance(outcome, BaseException) for outcome in outcomes):
            return None
        for sentence, wrong in self.mistakes.items():
            if all(
                self._alike(self._outcome(wrong, case), outcome)
                for case, outcome in zip(cases, outcomes, strict=True)
            ):
                return sentence
        return None

    def _alike(self, wrong: Any, outcome: Any) -> bool:
        failed = [isinstance(each, BaseException) for each in (wrong, outcome)]
        if any(failed):
            return all(failed)  # the same error may come under several names
        return difference(wrong, outcome, self.tolerance) is None

    def _letters(self) -> list[str]:
        return list(inspect.signature(self.reference).parameters)

    def _case(self, case: tuple) -> str:
        if not case:
            return ""
        named = [_named(*pair) for pair in zip(self._letters(), case, strict=True)]
        return f"for {', '.join(named)} "


def returning(*names: str) -> Callable:
    """A `run` for a function that returns several things: it gives them by name."""

    def run(function: Callable, *case: Any) -> Any:
        result = function(*case)
        if result is None:
            return None
        if not isinstance(result, tuple | list) or len(result) != len(names):
            raise NotYet(f"{len(names)} things are expected: return {', '.join(names)}")
        return dict(zip(names, result, strict=True))

    return run


def exercises(module: Any) -> dict[str, Exercise]:
    """The exercises of a module of checks by name, in the order of the lesson."""
    return {name: each for name, each in vars(module).items() if isinstance(each, Exercise)}


def difference(expected: Any, got: Any, tolerance: float = 0) -> str | None:
    """None if `got` is as expected, else the first difference in words: "expected 3, got 4".

    A list will do for a tuple, a NumPy number for a Python one; an array has to have the expected
    shape, and where integers are expected, numbers have to be integers.
    """
    if isinstance(expected, np.ndarray | np.number | int | float) and not isinstance(
        expected, bool
    ):
        return _number_difference(expected, got, tolerance)
    whole = _expected(expected, got)
    if isinstance(expected, dict):
        if not isinstance(got, dict) or set(got) != set(expected):
            return f"expected a dict with the keys {list(expected)}, got {_short(got)}"
        places = [(f"under {key!r} ", expected[key], got[key]) for key in expected]
    elif isinstance(expected, tuple | list):
        got = got.tolist() if isinstance(got, np.ndarray) else got
        if not isinstance(got, tuple | list) or len(got) != len(expected):
            return whole
        entries = enumerate(zip(expected, got, strict=True))
        places = [(f"in entry {i} ", wanted, given) for i, (wanted, given) in entries]
    else:
        same = type(got) in (type(expected), np.bool_) and bool(got == expected)
        return None if same else whole
    for where, wanted, given in places:
        wrong = difference(wanted, given, tolerance)
        if wrong:
            if len(whole) > 120:  # too long to find the difference in it
                return where + wrong
            return whole + (INTEGERS if wrong.endswith(INTEGERS) else "")
    return None


def _number_difference(expected: Any, got: Any, tolerance: float) -> str | None:
    wanted = np.asarray(expected)
    try:
        given = np.asarray(got)
    except ValueError:  # rows of different lengths
        given = np.empty(0, object)
    if given.dtype.kind not in "iufb":
        return _expected(expected, got)
    if given.shape != wanted.shape:
        if wanted.ndim == 0:
            return _expected(expected, got)
        return f"expected an array of shape {wanted.shape}, got one of shape {given.shape}"
    integers = wanted.dtype.kind in "iu"
    finite = np.abs(wanted[np.isfinite(wanted)])
    allowed = 0 if integers else tolerance * max(finite.max(initial=0), 1)
    with np.errstate(invalid="ignore"):
        close = (wanted == given) | (np.abs(wanted.astype(float) - given) <= allowed)
    close |= np.isnan(wanted.astype(float)) & np.isnan(given.astype(float))
    if not close.all():
        if wanted.ndim == 0:
            return _expected(expected, got)
        first = tuple(int(i) for i in np.argwhere(~close)[0])
        number, differing = _expected(wanted[first], given[first]), (~close).sum()
        text = f"at {list(first)} {number} ({differing:,} of {close.size:,} cells differ)"
        if given.dtype.kind in "iu" and not integers:
            text += ": your array can hold integers only"
        return text
    if integers and given.dtype.kind not in "iu":
        return _expected(expected, got) + (ARRAY_OF_INTEGERS if wanted.ndim else INTEGERS)
    return None


def _unchanged(before: Any, after: Any) -> bool:
    """Whether an argument is as it was, arrays inside of lists included."""
    if isinstance(before, np.ndarray):
        equal = np.array_equal if before.dtype.kind in "OUSb" else _equal_numbers
        return isinstance(after, np.ndarray) and equal(before, after)
    if isinstance(before, dict):
        return list(before) == list(after) and _unchanged([*before.values()], [*after.values()])
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(_unchanged, before, after))
    if isinstance(before, int | float | str):
        return bool(before == after or before != before)  # NaN differs from itself
    return True


def _equal_numbers(before: np.ndarray, after: np.ndarray) -> bool:
    return before.dtype == after.dtype and np.array_equal(before, after, equal_nan=True)


def _call(function: Callable, *case: Any) -> Any:
    return function(*case)


def _named(letter: str, value: Any) -> str:
    if callable(value):
        return f"a {letter}"
    if isinstance(value, np.random.Generator):
        return f"{letter} with a seed"
    if isinstance(value, np.ndarray) and value.size > 9:
        return f"{letter} of shape {value.shape}"
    if isinstance(value, list) and value and all(isinstance(each, np.ndarray) for each in value):
        return f"{letter} of shapes {', '.join(str(each.shape) for each in value)}"
    if isinstance(value, dict) and any(isinstance(each, np.ndarray) for each in value.values()):
        return f"{letter} with {', '.join(value)}"
    return f"{letter}={_short(value)}"


def _expected(expected: Any, got: Any) -> str:
    """Both in words, with as many digits as are needed to see a difference."""
    words = _short(expected), _short(got)
    if words[0] == words[1] and isinstance(got, float | np.floating):
        words = repr(float(expected)), repr(float(got))
    return f"expected {words[0]}, got {words[1]}"


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 12:
        return f"an array of shape {value.shape}"
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return f"{value:.7g}" if value % 1 else f"{value}"
    text = " ".join(repr(value).split())  # arrays inside are printed on several lines
    return text if len(text) <= 100 else text[:97] + "..."


def _wrong_entry(expected: Any, got: Any, tolerance: float) -> str | None:
    """`difference` without the answer."""
    if not isinstance(expected, tuple | list) or not isinstance(got, tuple | list):
        return f"{_short(got)} is not right" if difference(expected, got, tolerance) else None
    if len(got) != len(expected):
        return f"expected {len(expected)} entries, got {len(got)}"
    for number, (wanted, given) in enumerate(zip(expected, got, strict=True)):
        if difference(wanted, given, tolerance):
            return f"entry {number} (counted from 0), {_short(given)}, is not right"
    return None


def _words(error: BaseException) -> str:
    text = str(error).split("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _raised(error: BaseException, function: Callable) -> str:
    if isinstance(error, NotImplementedError):
        return "it is still to be written"
    home = getattr(getattr(function, "__code__", None), "co_filename", None)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == home]
    where = f" in line {lines[-1]} of its cell" if lines else ""
    return f"it raised {_words(error)}{where}"
