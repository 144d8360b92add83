"""Count all promises: prints a table line by line, and writes the full count to results.md.

    python -m tests.promises                          the full counts: some hours
    python -m tests.promises --only 5,9 --share 0.1   two of them, at a tenth

Every promise is counted in a process of its own; one that crashes or hangs is not kept.
"""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from minicnn.checking import environment
from tests.promises import Outcome

ROOT = Path(__file__).parents[2]
RESULT = Path(__file__).with_name("results.md")
HOURS = 3600.0
NOT_COUNTED = "not counted"


class Promise(NamedTuple):
    """`checks` are functions of this package, "module:name", each called with a share."""

    number: int
    words: str
    checks: tuple[str, ...]
    limit: float = 1 * HOURS  # seconds for each check, after which it counts as a hang


PROMISES = [
    Promise(1, "forward equals TensorFlow", ("against_keras:forward",)),
    Promise(2, "backward equals TensorFlow", ("against_keras:backward",)),
    Promise(3, "gradients are right by themselves", ("gradients:numerical_gradients",)),
    Promise(4, "ties of max pooling go to the first", ("inputs:ties_of_pooling",)),
    Promise(5, "optimizers follow Keras and their formulas", ("optimizers:trajectories",)),
    Promise(6, "softmax and cross-entropy are stable", ("inputs:stable_cross_entropy",)),
    Promise(7, "training follows Keras", ("training:training",)),
    Promise(8, "the loss is a mean over samples", ("inputs:loss_per_sample",)),
    Promise(9, "bitwise repeatable", ("repeatability:repeatable",)),
    Promise(10, "samples do not depend on their batch", ("inputs:batch_independence",)),
    Promise(11, "arguments and state untouched", ("inputs:nothing_is_touched",)),
    Promise(12, "valid input in any form works", ("inputs:valid_input",)),
    Promise(13, "invalid input is refused", ("inputs:invalid_input",)),
    Promise(14, "NaN and infinity are never hidden", ("nans:nothing_is_hidden",)),
    Promise(15, "no samples give no predictions", ("inputs:no_samples",)),
    Promise(16, "damaged IDX files are refused", ("damaged_files:idx_files",)),
    Promise(17, "damaged weights files are refused", ("damaged_files:weights_files",)),
    Promise(18, "saves are atomic", ("saves:killed_saves", "saves:failed_saves")),
    Promise(19, "Ctrl-C between two steps", ("interruptions:interrupted_fits",)),
    Promise(20, "resumed training equals uninterrupted", ("interruptions:resumed_fits",)),
    Promise(21, "threads may share a model", ("threads:predict_from_threads",)),
    Promise(22, "processes: spawn and fork", ("threads:processes",)),
    Promise(23, "Dataset keeps the rules of tf.data", ("pipelines:datasets",)),
    Promise(24, "prefetching loses nothing", ("threads:prefetch",)),
    Promise(25, "memory does not grow", ("threads:memory",)),
    Promise(
        26, "installs and starts anywhere", ("installation:places", "installation:damaged_caches")
    ),
    Promise(27, "one contract for all parts", ("contract:battery",)),
    Promise(28, "the tests notice defects", ("mutation_testing:mutants_are_caught",), 8 * HOURS),
]


class Line(NamedTuple):
    """One line of the table."""

    number: int
    words: str
    verdict: str  # "kept", "FELL SHORT" or "not counted"
    figure: str
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.number:>2}  {self.words:43} {self.verdict:11} {self.seconds:6.0f} s  "
            f"{self.figure}"
        )


def count(promise: Promise, share: float) -> Line:
    """Count one promise; it is kept if all of its checks say so."""
    start = time.perf_counter()
    outcomes = [_outcome(check, share, promise.limit) for check in promise.checks]
    seconds = time.perf_counter() - start
    verdict = "kept" if all(outcome and outcome.kept for outcome in outcomes) else "FELL SHORT"
    if None in outcomes:
        verdict = NOT_COUNTED
    figure = "; ".join(outcome.figure for outcome in outcomes if outcome) or "no such check yet"
    return Line(promise.number, promise.words, verdict, figure, seconds)


def _outcome(check: str, share: float, limit: float) -> Outcome | None:
    """Result of a check in a process of its own; None if there is no such check."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "tests.promises", "--check", check]
        try:
            done = subprocess.run(
                [*command, "--share", str(share), "--answer", str(answer)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            return Outcome(False, f"{check}: no answer within {limit:,.0f} s")
        if not answer.exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return Outcome(False, f"{check}: ended with status {done.returncode}: {last[:200]}")
        found = json.loads(answer.read_text())
    return Outcome(*found) if found else None


def _answer(check: str, share: float, answer: Path) -> None:
    """In the process of one check: write its result to a file; null if there is no such check."""
    module, _, name = check.partition(":")
    outcome = None
    if (Path(__file__).parent / f"{module}.py").exists():
        function = getattr(importlib.import_module(f"tests.promises.{module}"), name, None)
        outcome = function and function(share)
    found = (bool(outcome.kept), outcome.figure) if outcome else None
    answer.write_text(json.dumps(found))


def report(lines: list[Line], share: float) -> Iterator[str]:
    """The table as Markdown, with what it was made with."""
    kept = sum(line.verdict == "kept" for line in lines)
    yield "# What minicnn promises, counted\n"
    flag = "" if share == 1 else f" --share {share:g}"
    yield (
        f"Written by `python -m tests.promises{flag}` on {environment.machine()}, with "
        f"{environment.in_words(environment.versions())}.\n"
    )
    yield f"{kept} of {len(lines)} kept.\n"
    yield "| # | property | | figure | seconds |"
    yield "|---|---|---|---|---|"
    for line in lines:
        figure = line.figure.replace("|", "\\|").replace("\n", " ").replace(str(ROOT), ".")
        yield f"| {line.number} | {line.words} | {line.verdict} | {figure} | {line.seconds:.0f} |"


def main() -> int:
    """Print the table; status 1 unless all that was asked for is kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", metavar="N,N", help="numbers of promises")
    parser.add_argument("--share", type=float, default=1.0, help="of the full counts, e.g. 0.01")
    parser.add_argument("--check", help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.check:
        _answer(args.check, args.share, args.answer)
        return 0
    numbers = [int(n) for n in args.only.split(",")] if args.only else [p.number for p in PROMISES]
    lines = []
    for promise in PROMISES:
        if promise.number in numbers:
            lines.append(count(promise, args.share))
            print(lines[-1], flush=True)
    kept = sum(line.verdict == "kept" for line in lines)
    print(f"{kept} of {len(lines)} kept")
    if len(lines) == len(PROMISES) and args.share == 1:
        RESULT.write_text("\n".join(report(lines, args.share)) + "\n", encoding="utf-8")
    return 0 if kept == len(lines) else 1


if __name__ == "__main__":
    sys.exit(main())
