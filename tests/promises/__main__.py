"""Count all promises: prints a table line by line, and writes the full count to results.md.

    python -m tests.promises                          the full counts: some hours
    python -m tests.promises --only 5,9 --share 0.1   two of them, at a tenth

Every promise is counted in a process of its own; one that crashes or hangs is not kept.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from minicnn.checking import environment
from tests.promises import Outcome

ROOT = Path(__file__).parents[2]
RESULT = Path(__file__).with_name("results.md")
HOURS = 3600.0
# Seconds for each check, after which it counts as a hang; by the number of the promise.
LIMITS = {28: 8 * HOURS}

# By number: what is promised, and functions of this package, each called with a share.
PROMISES = {
    1: ("forward equals TensorFlow", "against_keras.forward"),
    2: ("backward equals TensorFlow", "against_keras.backward"),
    3: ("gradients are right by themselves", "gradients.numerical_gradients"),
    4: ("ties of max pooling go to the first", "inputs.ties_of_pooling"),
    5: ("optimizers follow Keras and their formulas", "optimizers.trajectories"),
    6: ("softmax and cross-entropy are stable", "inputs.stable_cross_entropy"),
    7: ("training follows Keras", "training.training"),
    8: ("the loss is a mean over samples", "inputs.loss_per_sample"),
    9: ("bitwise repeatable", "repeatability.repeatable"),
    10: ("samples do not depend on their batch", "inputs.batch_independence"),
    11: ("arguments and state untouched", "inputs.nothing_is_touched"),
    12: ("valid input in any form works", "inputs.valid_input"),
    13: ("invalid input is refused", "inputs.invalid_input"),
    14: ("NaN and infinity are never hidden", "nans.nothing_is_hidden"),
    15: ("no samples give no predictions", "inputs.no_samples"),
    16: ("damaged IDX files are refused", "damaged_files.idx_files"),
    17: ("damaged weights files are refused", "damaged_files.weights_files"),
    18: ("saves are atomic", "saves.killed_saves", "saves.failed_saves"),
    19: ("Ctrl-C between two steps", "interruptions.interrupted_fits"),
    20: ("resumed training equals uninterrupted", "interruptions.resumed_fits"),
    21: ("threads may share a model", "threads.predict_from_threads"),
    22: ("processes: spawn and fork", "threads.processes"),
    23: ("Dataset keeps the rules of tf.data", "pipelines.datasets"),
    24: ("prefetching loses nothing", "threads.prefetch"),
    25: ("memory does not grow", "threads.memory"),
    26: ("installs and starts anywhere", "installation.places", "installation.damaged_caches"),
    27: ("one contract for all parts", "contract.battery"),
    28: ("the tests notice defects", "mutation_testing.mutants_are_caught"),
}


class Line(NamedTuple):
    """One line of the table."""

    number: int
    words: str
    outcome: Outcome
    seconds: float

    @property
    def verdict(self) -> str:
        return "kept" if self.outcome.kept else "FELL SHORT"


def count(number: int, share: float) -> Line:
    """Count one promise; it is kept if all of its checks say so."""
    start = time.perf_counter()
    words, *checks = PROMISES[number]
    outcomes = [_outcome(check, share, LIMITS.get(number, 1 * HOURS)) for check in checks]
    kept, figures = zip(*outcomes, strict=True)
    return Line(number, words, Outcome(all(kept), "; ".join(figures)), time.perf_counter() - start)


def _outcome(check: str, share: float, limit: float) -> Outcome:
    """Result of a check in a process of its own, which prints it last."""
    module, _, name = check.partition(".")
    program = (
        f"import json; from tests.promises.{module} import {name}; "
        f"print(json.dumps({name}({share}), default=bool))"  # NumPy's bool is not JSON's
    )
    command = [sys.executable, "-c", program]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=limit
        )
    except subprocess.TimeoutExpired:
        return Outcome(False, f"{check}: no answer within {limit:,.0f} s")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Outcome(False, f"{check}: ended with status {done.returncode}: {last[:200]}")
    return Outcome(*json.loads(done.stdout.splitlines()[-1]))


def report(lines: list[Line]) -> Iterator[str]:
    """The table as Markdown, with what it was made with."""
    yield "# What minicnn promises, counted\n"
    yield (
        f"Written by `python -m tests.promises` on {environment.machine()}, with "
        f"{environment.in_words(environment.versions())}.\n"
    )
    yield f"{sum(line.outcome.kept for line in lines)} of {len(lines)} kept.\n"
    yield "| # | property | | figure | seconds |"
    yield "|---|---|---|---|---|"
    for line in lines:
        figure = line.outcome.figure.replace("|", "\\|").replace("\n", " ").replace(str(ROOT), ".")
        yield f"| {line.number} | {line.words} | {line.verdict} | {figure} | {line.seconds:.0f} |"


def main() -> int:
    """Print the table; status 1 unless all that was asked for is kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", metavar="N,N", help="numbers of promises")
    parser.add_argument("--share", type=float, default=1.0, help="of the full counts, e.g. 0.01")
    args = parser.parse_args()
    lines = []
    for number in map(int, args.only.split(",")) if args.only else PROMISES:
        line = count(number, args.share)
        print(
            f"{number:>2}  {line.words:43} {line.verdict:10} {line.seconds:6.0f} s  "
            f"{line.outcome.figure}",
            flush=True,
        )
        lines.append(line)
    kept = sum(line.outcome.kept for line in lines)
    print(f"{kept} of {len(lines)} kept")
    if len(lines) == len(PROMISES) and args.share == 1:
        RESULT.write_text("\n".join(report(lines)) + "\n", encoding="utf-8")
    return 0 if kept == len(lines) else 1


if __name__ == "__main__":
    sys.exit(main())
