"""The ledger: the differences between minicnn and Keras, case by case, and their tolerances.

The engine is compared quantity by quantity, and the core in one column.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from minicnn.checking import cases
from minicnn.checking.case_types import Answer
from minicnn.keras_reference import difference
from minicnn.session import snake_case

# Largest differences of outputs and of gradients, relative to the largest value in Keras' array,
# with the reason why they are not smaller.
TOLERANCES = {
    "exact": (0.0, 0.0, "integers: no sum and no product is rounded"),
    "float64": (1e-10, 1e-10, "the same formula; sums are in another order"),
    "float32": (1e-5, 1e-4, "sums of up to some thousand rounded products in another order"),
    "float32 winograd": (1e-5, 1e-4, "as float32, but its errors may be larger: see MOST_ERROR"),
    "optimizer": (1e-4, 1e-4, "Keras rounds the betas to the precision of the weights"),
    "own layer": (2e-7, 2e-7, "float64; TensorFlow rounds an epsilon or a slope to float32"),
    "differences": (1e-6, 1e-6, "central differences in double precision"),
}
WINOGRAD = " winograd"
# How many times as large as TensorFlow's own an error may be. Winograd trades digits for speed.
MOST_ERROR = {"float32": 2.0, "float32 winograd": 4.0}
COLUMNS = ("output", "dx", "dkernel", "dbias", "core")
FULL = {"Conv2D": 1000, "MaxPooling2D": 500, "Dense": 200}


class Row(NamedTuple):
    """One line of the ledger.

    `differences` has the largest relative one for each column, over `cases` cases: of the engine by
    quantity, and of the core over all quantities. `error_ratio` compares the engine's errors
    against double precision with TensorFlow's own, where that was asked.
    """

    layer: str
    configuration: str
    dtype: str
    differences: dict[str, float]
    tolerance: str
    cases: int = 1
    mismatches: int = 0
    error_ratio: float | None = None

    @property
    def ok(self) -> bool:
        return self.mismatches == 0 and not self._too_inexact

    @property
    def _too_inexact(self) -> bool:
        return self.error_ratio is not None and self.error_ratio > MOST_ERROR[self.tolerance]

    def line(self) -> str:
        """As printed."""
        cells = [
            f"{self.differences[name]:>8.1e}" if name in self.differences else " " * 8
            for name in COLUMNS
        ]
        output, gradient, _ = TOLERANCES[self.tolerance]
        allowed = ", ".join(f"{limit:.0e}" if limit else "0" for limit in {output: 0, gradient: 0})
        verdict = f"MISMATCH ({self.mismatches} of {self.cases})" if self.mismatches else "ok"
        if self._too_inexact:
            verdict = "TOO INEXACT"
        if self.error_ratio is not None:
            verdict += f", error {self.error_ratio:.2f} x TensorFlow's"
        text = f"{self.layer:20.20} {self.configuration:47.47} {self.dtype:7} {' '.join(cells)}"
        return f"{text}  {allowed:12} {verdict}"


HEADER = (
    f"{'layer':20} {'configuration':47} {'dtype':7} "
    f"{'output':>8} {'dX':>8} {'dW':>8} {'db':>8} {'core':>8}  {'tolerance':12} verdict"
)


def compare(
    case: Any, theirs: Answer, ours: Answer | None = None, core: Answer | None = None
) -> Row:
    """The engine's and the core's answers to a case beside Keras'."""
    found, same = _differences(ours or case.ours(), theirs, case.tolerance)
    core = core or case.core()
    differences: dict[str, float] = {}
    for name, relative in found.items():
        column = name.split(":")[0]
        differences[column] = max(relative, differences.get(column, 0.0))
    # The core has no Winograd, whose row allows more.
    core_differences, core_same = _differences(core, theirs, case.tolerance.removesuffix(WINOGRAD))
    differences["core"] = max(core_differences.values())
    mismatch = int(not (same and core_same))
    return Row(case.layer, case.configuration, case.dtype, differences, case.tolerance, 1, mismatch)


def _differences(ours: Answer, theirs: Answer, tolerance: str) -> tuple[dict[str, float], bool]:
    """The relative difference of each quantity, and whether all are within the tolerance."""
    output, gradient, _ = TOLERANCES[tolerance]
    differences, same = {}, list(ours) == list(theirs)
    for name, expected in theirs.items():
        relative = difference(ours[name], expected)[1] if name in ours else np.inf
        differences[name] = relative
        same &= relative <= (output if name.startswith("output") else gradient)
    return differences, same


def quick(answer: Callable[[Any], Answer], layer: str | None = None) -> Iterator[Row]:
    """Rows of all quick cases, or those of one layer; `answer(case)` is Keras'."""
    answers: dict[str, tuple[Answer, Answer]] = {}  # Keras' and the core's: algorithms share them
    for case in cases.quick_cases():
        if layer in (None, case.layer):
            if case.key not in answers:
                answers[case.key] = answer(case), case.core()
            theirs, core = answers[case.key]
            yield compare(case, theirs, core=core)


def full(layer: str | None = None, counts: dict[str, int] = FULL) -> Iterator[Row]:
    """Rows over random cases, one for each layer, algorithm and precision; asks live Keras."""
    for kind, count in counts.items():
        if layer in (None, snake_case(kind)):
            yield from _full_rows(kind, count)


def _full_rows(kind: str, count: int) -> Iterator[Row]:
    rows: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    errors: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    for double in cases.random_cases(kind, count):
        single = replace(double, dtype="float32")
        right, theirs = double.theirs(), single.theirs()
        for case, answer in ((double, right), (single, theirs)):
            core = case.core()
            for variant in cases.with_algorithms(case) if kind == "Conv2D" else [case]:
                ours = variant.ours()
                key = (variant.dtype, variant.algorithm or "", variant.tolerance)
                rows[key].append(compare(variant, answer, ours, core))
                if case is single and variant.tolerance != "exact":
                    errors[key] += _errors(ours, theirs, right)
    for key in sorted(rows):
        numbers = "integers" if key[2] == "exact" else "real numbers"
        words = [f"{len(rows[key]):,} random geometries", numbers, key[1]]
        yield _total(", ".join(filter(None, words)), rows[key], errors[key])


def _total(configuration: str, rows: list[Row], errors: list[tuple[float, float]]) -> Row:
    """Rows of one kind as one; `errors` against double precision are ours and theirs."""
    ratio = None
    if errors:
        ours, theirs = np.sqrt(np.mean(np.square(errors), axis=0))
        ratio = float(ours / theirs)
    names = dict.fromkeys(name for row in rows for name in row.differences)
    return rows[0]._replace(
        configuration=configuration,
        differences={name: max(row.differences.get(name, 0.0) for row in rows) for name in names},
        cases=len(rows),
        mismatches=sum(row.mismatches for row in rows),
        error_ratio=ratio,
    )


def _errors(ours: Answer, theirs: Answer, right: Answer) -> list[tuple[float, float]]:
    """Root-mean-square errors in single precision, (ours, theirs), for each quantity."""
    errors = []
    for name, exact in right.items():
        scale = float(np.abs(exact).max(initial=0)) or 1.0
        pair = [np.sqrt(np.mean(((a[name] - exact) / scale) ** 2)) for a in (ours, theirs)]
        errors.append((float(pair[0]), float(pair[1])))
    return errors
