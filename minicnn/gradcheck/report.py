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


def _entries(count: int) -> str:
    return f"{count} entry" if count == 1 else f"{count} entries"
