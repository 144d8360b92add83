"""The kill matrix of planted bugs: which type of check notices which mistake?

Every row of `BUGS` is a mistake that somebody has made in a network, as one replacement in the
source of one module. Every row of `CHECKS` is a way in which people test a network. The matrix says
which check notices which bug:

    python -m minicnn verify --planted-bugs

It shows what each check is worth, and that the checks of this package leave no gap: a wrong output
or gradient is noticed by a check that compares every number, any other bug by some check, and the
right code raises no alarm.
"""

import contextlib
import importlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from minicnn.checking.checks import CHECKS, ENOUGH, MEAN_TOLERANCE, TEST_IMAGES, TRAINING_IMAGES
from minicnn.checking.planted_bugs import BUGS, Bug
from minicnn.checking.planting import altered, planted

RIGHT_CODE = "the right code"
QUIET, NOTICED, BROKEN = ".", "x", "!"
PATIENCE = 1200.0  # seconds, compiling included, after which a bug counts as a hang
NAME_WIDTH = 52
EVERY_NUMBER = ("elementwise", "numerical", "contract")  # checks that compare every number

LEGEND = [
    f"{NOTICED} noticed   {BROKEN} noticed by an error, a crash or a hang   {QUIET} not noticed",
    "numerical: against central differences; contract: own layers, Dropout, state, frozen layers;",
    f"accuracy: at least {ENOUGH:.0%} of {TEST_IMAGES:,} digits after {TRAINING_IMAGES:,}, seen "
    "once;",
    f"all others: against Keras' stored answers, means within {MEAN_TOLERANCE:.1%} of the mean "
    "magnitude.",
]


class Finding(NamedTuple):
    """The result of one check for one bug: a mark, and in words what was noticed first."""

    mark: str
    words: str = ""


Findings = dict[str, Finding]  # by check


class Matrix(NamedTuple):
    """Findings by bug; those of the right code come first."""

    findings: dict[str, Findings]

    @property
    def bugs(self) -> list[Bug]:
        """Those that were planted."""
        return [bug for bug in BUGS if bug.name in self.findings]

    @property
    def false_alarms(self) -> list[str]:
        """Checks that find something wrong with the right code."""
        return [check for check in CHECKS if _noticed(self.findings[RIGHT_CODE], check)]

    @property
    def missed(self) -> list[str]:
        """Bugs not noticed by the checks that should notice them.

        A wrong output or gradient has to be noticed by a check that looks at every number. Other
        bugs have to be noticed by any check.
        """
        missed = []
        for bug in self.bugs:
            enough = EVERY_NUMBER if bug.kind in ("forward", "gradient") else CHECKS
            if not any(_noticed(self.findings[bug.name], check) for check in enough):
                missed.append(bug.name)
        return missed

    @property
    def ok(self) -> bool:
        return not self.false_alarms and not self.missed

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The table as printed."""
        lines = [heading(), row(RIGHT_CODE, self.findings[RIGHT_CODE])]
        for module, group in itertools.groupby(self.bugs, lambda bug: bug.module):
            lines += [module, *(row(f"  {bug.name}", self.findings[bug.name]) for bug in group)]
        return lines + self.totals()

    def totals(self) -> list[str]:
        """The end of the table: how many bugs each check noticed, the legend, what is wrong."""
        found = [self.findings[bug.name] for bug in self.bugs]
        counts = [sum(_noticed(each, check) for each in found) for check in CHECKS]
        wrong = [f"MISSED: {name}" for name in self.missed]
        wrong += [f"FALSE ALARM: {check}" for check in self.false_alarms]
        return [_cells(f"noticed, of {len(found)}", counts), *LEGEND, *wrong]


def heading() -> str:
    """The first line of the table."""
    return _cells("", CHECKS)


def row(name: str, findings: Findings) -> str:
    """One line of the table."""
    return _cells(name, (findings[check].mark for check in CHECKS))


def _cells(name: str, values: Iterable[Any]) -> str:
    cells = zip(values, CHECKS, strict=True)
    return f"{name:{NAME_WIDTH}}" + "".join(f"{v!s:>{len(check) + 2}}" for v, check in cells)


def _noticed(findings: Findings, check: str) -> bool:
    return findings[check].mark != QUIET


def kill_matrix(
    names: Iterable[str] | None = None,
    progress: Callable[[str, Findings], None] | None = None,
) -> Matrix:
    """Run all checks on the right code, then on every bug, or on those of the given names.

    Each runs in a process of its own, as many at a time as there are cores. A bug in a large
    kernel, which has to be compiled, takes one or two minutes, others about twenty seconds.
    `progress` is called with the name and the findings of each, in the order of the table.
    """
    chosen = [bug.name for bug in BUGS] if names is None else [_bug(name).name for name in names]
    # The right code goes first, alone: it writes compiled kernels to disk, for all others to use.
    findings = {RIGHT_CODE: _examine(RIGHT_CODE)}
    tell = progress or (lambda name, found: None)
    tell(RIGHT_CODE, findings[RIGHT_CODE])
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for name, found in zip(chosen, pool.map(_examine, chosen), strict=True):
            findings[name] = found
            tell(name, found)
    finally:
        pool.shutdown(cancel_futures=True)
    return Matrix(findings)


def _bug(name: str) -> Bug:
    bugs = {bug.name: bug for bug in BUGS}
    if name not in bugs:
        raise ValueError(f"expected the name of a planted bug, received {name!r}")
    return bugs[name]


def _examine(name: str) -> Findings:
    """The findings of all checks for one bug, in a process of its own, which may crash."""
    findings: Findings = {}
    while waiting := [check for check in CHECKS if check not in findings]:
        command = [sys.executable, "-m", "minicnn.checking.kill_matrix", name, *waiting]
        try:
            done = subprocess.run(command, capture_output=True, timeout=PATIENCE)
            output = done.stdout
            end = f"exit code {done.returncode}: {done.stderr.decode()[-500:]}"
        except subprocess.TimeoutExpired as late:
            output, end = late.stdout or b"", f"no answer for {PATIENCE:.0f} s"
        for line in output.decode().splitlines():
            check, mark, words = json.loads(line)
            findings[check] = Finding(mark, words)
        stopped = next((check for check in waiting if check not in findings), None)
        if stopped:
            findings[stopped] = Finding(BROKEN, end)
    return findings


def _main(name: str, *checks: str) -> None:
    """Print one line for each check as soon as it is done: its name, a mark, and words."""
    with contextlib.ExitStack() as stack:
        if name != RIGHT_CODE:
            _, _, module, old, new = _bug(name)
            stack.enter_context(planted(module, altered(module, old, new)))
        # Imported inside, so that they belong to the planted package.
        importlib.import_module("minicnn").set_num_threads(1)  # other bugs use the other cores
        fresh = importlib.import_module("minicnn.checking.kill_matrix")
        for check in checks:
            print(json.dumps([check, *fresh.finding(check)]), flush=True)


def finding(check: str) -> Finding:
    """The result of one check for the package as it is."""
    try:
        words = CHECKS[check]()
    except Exception as error:
        return Finding(BROKEN, repr(error))
    return Finding(NOTICED, words) if words else Finding(QUIET)


if __name__ == "__main__":
    _main(*sys.argv[1:])
