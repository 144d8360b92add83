"""Promise 28: small defects planted in the core, and how many of them the quick suite notices.

    python -m benchmarks.promises.teeth                     a sample of all mutants
    python -m benchmarks.promises.teeth --modules data.py --share 1

The package is copied to a temporary folder, and the copy altered, so that subprocesses of tests are
altered, too. First the suite runs once on the right code and notes which functions each test
runs. Every mutant then meets the tests that run its function, in a process of its own: the
quickest first, and of these the ones that run least besides, until one fails. That costs some
seconds a mutant instead of minutes, and errs on the safe side: tests not asked catch nothing.
"""

import argparse
import collections
import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.promises import Outcome
from tests.promises.field import Field, ask, import_once, in_child
from tests.promises.mutants import MODULES, Mutant, sample

SHARE = 0.1  # of all mutants
ENOUGH = 0.95
FIRST_TESTS = 150  # so many of the nearest are collected before all others
UNREAD = "compiled code does not look at the end of a slice; as plain Python it fails"
SPEED = "the result is the same, only speed may differ"
SAME = "it is the same, whatever the numbers are"
HARMLESS: dict[tuple[str, str, str, str], str] = {  # survivors by Mutant.name, and why
    (
        "batches.py",
        "Epochs.close",
        "self._pass.close()",
        "pass",
    ): "the next line drops the last reference, at which CPython closes a generator",
    ("kernels/im2col.py", "_copy_windows", "ki + 1", "ki - 1"): UNREAD,
    (
        "kernels/im2col.py",
        "_add_windows",
        "dpadded.shape[0] - g.top",
        "dpadded.shape[0] + g.top",
    ): "the image reaches beyond the windows only without padding, and then g.top is 0",
    (
        "kernels/planes.py",
        "_add_planes",
        "i + 1",
        "i + 2",
    ): "of the longer slice the same numbers are read",
    (
        "kernels/planes.py",
        "_add_planes",
        "dplanes.shape[1] - g.top",
        "dplanes.shape[1] + g.top",
    ): "the image reaches beyond the windows only without padding, and then g.top is 0",
    ("kernels/registers.py", "", "SUMS >= 16", "SUMS > 16"): "SUMS is 20 or 5",
    ("kernels/registers.py", "_Numbers.lanes", "CACHE_LINE * 8", "CACHE_LINE + 8"): SPEED,
    ("kernels/registers.py", "_Numbers.lanes", "CACHE_LINE * 8", "CACHE_LINE * 9"): SPEED,
    (
        "kernels/sparse.py",
        "_loops.gradients",
        "-pool.kw // pool.sw",
        "-pool.kw * pool.sw",
    ): "lists get more room than they need",
    (
        "kernels/registers.py",
        "",
        "20 if binding.get_host_cpu_features().get('avx512f') else 5",
        "21 if binding.get_host_cpu_features().get('avx512f') else 5",
    ): SPEED,
    ("kernels/sparse.py", "prepare", "_run(kw, c)", "_run(c, kw)"): SAME,
    ("kernels/sparse.py", "_transpose", "left + 16", "left + 17"): SAME,
    ("kernels/tiles.py", "", "16", "17"): SPEED,
    ("kernels/tiles.py", "compiled_loops.put_some", "p + 1", "p - 1"): UNREAD,
    (
        "kernels/registers.py",
        "_add_windows_in_registers.generate",
        "build.mul(values[5], _int(row))",
        "build.mul(_int(row), values[5])",
    ): SAME,
    (
        "kernels/tiles.py",
        "compiled_loops.new_stacks",
        "max(1, TILES_AT_ONCE // tiles)",
        "max(2, TILES_AT_ONCE // tiles)",
    ): SPEED,
    ("kernels/tiles.py", "compiled_loops.put_some", "(p + 1) * c", "p + 1 + c"): UNREAD,
    (
        "kernels/tiles.py",
        "_points_of_tiles.points",
        "column + q > w",
        "column + q >= w",
    ): "a tile that is filled with pixels anyway is filled with zeros before",
    (
        "kernels/tiles.py",
        "_tiles_of_points.put",
        "(row + i, column * c + start:column * c + stop)",
        "(row + i, column * c + start:column * c + stop - 1)",
    ): UNREAD,
    (
        "kernels/winograd.py",
        "grad_input",
        "_new_du(dx, dy)[:0]",
        "_new_du(dx, dy)[1:0]",
    ): "empty either way",
    ("layers.py", "sum_of_rows", "-1", "-2"): "NumPy takes any negative length for what is left",
    (
        "parallel.py",
        "_keep_freed_memory",
        "mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY)",
        "mallopt(KEPT_MEMORY, M_TRIM_THRESHOLD)",
    ): SPEED,
    (
        "parallel.py",
        "_keep_freed_memory",
        "mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)",
        "mallopt(LARGEST_KEPT, M_MMAP_THRESHOLD)",
    ): SPEED,
}


class Verdict(NamedTuple):
    """`end` is "caught", "time-out" or "survived"; `words`: by which test, or of how many."""

    mutant: Mutant
    end: str
    words: str


def verdict(field: Field, mutant: Mutant) -> Verdict:
    """Ask the tests, the nearest first."""
    names = field.nearest(mutant)
    with field.planted(mutant) as cache:
        for part in filter(None, (names[:FIRST_TESTS], names[FIRST_TESTS:])):
            usual = {name: field.tests[name].seconds for name in part}
            found = in_child(field.folder, cache, functools.partial(ask, usual))
            if found:
                return Verdict(mutant, "time-out" if found == "time-out" else "caught", found)
    return Verdict(mutant, "survived", f"{len(names):,} tests")


def run(
    mutants: list[Mutant], folder: Path, tell: Callable[[Verdict], None] = lambda verdict: None
) -> list[Verdict]:
    """The verdicts on all mutants, planted in a copy in `folder`."""
    import_once()
    field, verdicts = Field(folder), []
    for mutant in mutants:
        verdicts.append(verdict(field, mutant))
        tell(verdicts[-1])
    return verdicts


def outcome(verdicts: list[Verdict]) -> Outcome:
    """Kept if enough of the mutants that do harm are caught, and no survivor is unexplained."""
    ends = collections.Counter(verdict.end for verdict in verdicts)
    caught = ends["caught"] + ends["time-out"]
    harmless = sum(v.end == "survived" and v.mutant.name in HARMLESS for v in verdicts)
    harmful, unknown = len(verdicts) - harmless, ends["survived"] - harmless
    figure = (
        f"of {len(verdicts):,} mutants {caught:,} caught, {ends['time-out']} of them by time-out; "
        f"{harmless} survivors do no harm, for known reasons, {unknown} unexplained: "
        f"{caught / max(harmful, 1):.1%} of those that do harm caught"
    )
    return Outcome(caught >= ENOUGH * harmful and unknown == 0, figure)


def teeth(share: float) -> Outcome:
    """Promise 28."""
    with tempfile.TemporaryDirectory() as folder:
        return outcome(run(sample(MODULES, SHARE * share), Path(folder)))


def main() -> None:
    """Print every verdict, then the sum."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--modules", nargs="+", default=MODULES, metavar="FILE.py")
    parser.add_argument("--share", type=float, default=SHARE, help="of all mutants")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of mutants")
    parser.add_argument("--only", default="", metavar="WORDS", help="mutants that say so")
    parser.add_argument("--folder", type=Path, help="for the copy, which is used again if there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        drawn = sample(args.modules, args.share, args.seed)
        mutants = [mutant for mutant in drawn if args.only in str(mutant)]
        start = time.perf_counter()

        def tell(verdict: Verdict) -> None:
            why = HARMLESS.get(verdict.mutant.name, "")
            seconds = time.perf_counter() - start
            print(f"{seconds:6.0f} s {verdict.end:8} {verdict.mutant}\n    {why or verdict.words}",
                  flush=True)  # fmt: skip

        print(outcome(run(mutants, args.folder or Path(temporary), tell)).figure)


if __name__ == "__main__":
    main()
