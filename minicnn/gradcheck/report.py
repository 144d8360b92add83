"""What a gradient check has found: a row for each gradient, printed as a table."""

import math
from dataclasses import dataclass


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
    problem: str = ""  # why nothing, or too little, could be compared
    ok: bool = False
    wrong: int = 0  # how many of the checked ones
    mistake: str = ""  # what the numbers look like, in words
    directions: bool = False  # directions were checked instead of entries

    @property
    def gradient(self) -> str:
        """The gradient's own name: "dkernel" for "kernel"."""
        layer, dot, weight = self.name.rpartition(".")
        return self.name if weight == "dx" else f"{layer}{dot}d{weight}"

    def __str__(self) -> str:
        if self.problem:
            return f"{self.gradient} {self.problem}"
        where = list(self.index) if self.index else " in a direction" * self.directions
        return f"{self.gradient}{where or ''}: {self.analytic:.8g} expected {self.numeric:.8g}"

    def explanation(self) -> str:
        """How much of a wrong gradient is wrong, and what mistake it looks like."""
        kind = "directions" if self.directions else "entries"
        words = [f"{self.wrong:,} of {self.checked:,} {kind} are wrong"] * bool(self.wrong)
        words += [self.mistake] * bool(self.mistake)
        return _sentence(f"{self.gradient}: {'; '.join(words)}") if words else ""


@dataclass(frozen=True)
class GradientReport:
    """One row for each gradient, and promises that passes break. Print it, or ask `report.ok`."""

    rows: tuple[GradientRow, ...]
    tolerance: float
    sample: int | None = None
    broken: tuple[str, ...] = ()  # what training needs besides, and the layer does not keep
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every gradient was checked and none is wrong, and no promise is broken."""
        return all(row.ok for row in self.rows) and not self.broken

    def __bool__(self) -> bool:
        # Any other object is true, and `assert check_gradients(...)` would never fail.
        raise TypeError("a GradientReport is neither true nor false; ask report.ok")

    def assert_ok(self) -> None:
        """Raise an AssertionError with the whole report, unless all is right: for pytest."""
        if not self.ok:
            raise AssertionError(f"gradients are not right\n{self}")

    def __str__(self) -> str:
        lines = self._table() if self.rows else []
        if self.sample is not None:
            lines.append(f"Of each array at most {self.sample} entries were drawn at random.")
        tried = sum(row.checked + row.skipped for row in self.rows)
        if skipped := sum(row.skipped for row in self.rows):
            share = f"{skipped / tried:.0%}"
            lines.append(f"{_entries(skipped)} skipped ({share}): a kink was crossed.")
        failed = [row for row in self.rows if not row.ok]
        if self.rows:
            worst = max(self.rows, key=lambda row: (not row.ok, row.error))
            names = ", ".join(row.gradient for row in failed)
            checked = _entries(sum(row.checked for row in self.rows))
            verdict = f"Failed: {names}" if failed else f"Right: {checked} checked"
            lines.append(f"{verdict}. Worst: {worst}.")
        lines += filter(None, (row.explanation() for row in failed))
        lines += [_sentence(f"Broken: {words}") for words in self.broken]
        lines += [_sentence(f"Note: {words}") for words in self.notes]
        return "\n".join(lines)

    def _table(self) -> list[str]:
        table = [("gradient", "checked", "skipped", "worst error", "")]
        for row in self.rows:
            of = "directions" if row.directions else f"of {row.entries}"
            error, verdict = f"{row.error:.1e}", "ok" if row.ok else "FAILED"
            cells = f"{row.checked} {of}", f"{row.skipped}", error, verdict
            table.append((row.gradient, *cells))
        first, *widths = (max(map(len, column)) for column in zip(*table, strict=True))
        return [
            "  ".join([name.ljust(first), *map(str.rjust, cells, widths)]).rstrip()
            for name, *cells in table
        ]


def _entries(count: int) -> str:
    return f"{count} entry" if count == 1 else f"{count} entries"


def _sentence(words: str) -> str:
    return words if words.endswith("?") else f"{words}."
