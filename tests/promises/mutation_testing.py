"""Promise 28: small defects planted in the package, and how many of them the tests notice.

    python -m tests.promises.mutation_testing                           a sample of all mutants
    python -m tests.promises.mutation_testing --modules data.py --share 1

First the quick suite runs once on the right code and records which functions each test runs. Each
mutant is then planted in a forked process (see `minicnn.checking.planting`), which runs the tests
that run its function until one fails: the quickest first, and of these the ones that run the least
other code. That takes some seconds instead of minutes. Tests that are not run notice nothing, and
neither do new processes that a test starts: they import the right code.
"""

import argparse
import collections
import contextlib
import functools
import importlib
import json
import multiprocessing
import os
import re
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from minicnn.checking.planting import ROOT as PACKAGE
from minicnn.checking.planting import planted
from tests.promises import Outcome
from tests.promises.harmless_mutants import HARMLESS
from tests.promises.mutants import MODULES, Mutant, names, sample

SHARE = 0.02  # of all mutants: 300
ENOUGH = 0.95
FIRST_TESTS = 150  # so many of the nearest are collected before all others
FEW = 30  # tests
BUCKETS = (0.1, 1.0, 10.0)  # seconds: tests of similar duration are sorted by nearness
ADDRESS_SPACE = 16 << 30  # bytes: a mutant may ask for any size
# Tests of other programs, and of the text of the sources. V8, which runs the explorer's JavaScript,
# reserves more than ADDRESS_SPACE.
NOT_RUN = """benchmarks lessons checking/test_kill_matrix.py test_architecture.py test_readme.py
explorer/test_arithmetic.py explorer/test_numbers.py explorer/test_page.py
explorer/test_pictures.py"""
IMPORTED_ONCE = """numpy numba scipy.linalg scipy.linalg.cython_blas threadpoolctl tqdm pytest
xdist hypothesis matplotlib.figure tensorflow keras"""


class RecordedTest(NamedTuple):
    """What is known about a test: its duration, and the functions it runs ("losses.py:35")."""

    seconds: float
    functions: frozenset[str]


class Verdict(NamedTuple):
    """`end` is "caught", "time-out" or "survived"; `words`: by which test, or of how many."""

    mutant: Mutant
    end: str
    words: str


class _Recorder:
    """A plugin of pytest that records functions and seconds by test."""

    def __init__(self):
        self.tests: dict[str, tuple[float, list[str]]] = {}
        self.codes: set[Any] = set()
        threading.settrace(self._call)  # before the package starts its threads
        sys.settrace(self._call)

    def _call(self, frame, _event, _argument):
        self.codes.add(frame.f_code)

    def pytest_runtest_logstart(self, nodeid):
        self.codes.clear()
        self.start = time.perf_counter()

    def pytest_runtest_logfinish(self, nodeid):
        seconds = time.perf_counter() - self.start
        if sys.gettrace() is None:  # a test may have turned it off
            sys.settrace(self._call)
        functions = {
            f"{Path(code.co_filename).relative_to(PACKAGE).as_posix()}:{code.co_firstlineno}"
            for code in tuple(self.codes)
            if code.co_filename.startswith(f"{PACKAGE}{os.sep}") and code.co_name != "<module>"
        }
        self.tests[nodeid] = seconds, sorted(functions)


class _Chosen:
    """A plugin of pytest that runs the given tests in that order, and records the first failure.

    Each may take ten times the seconds that it took on the right code, and a minute to compile.
    """

    def __init__(self, seconds: dict[str, float]):
        self.seconds = seconds
        self.failed = ""

    def pytest_runtest_logstart(self, nodeid):
        _limit_time(10 * self.seconds[nodeid] + 60)

    def pytest_collection_modifyitems(self, items):
        found = {item.nodeid: item for item in items}
        items[:] = [found[name] for name in self.seconds if name in found]

    def pytest_runtest_logreport(self, report):
        if report.failed and not self.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.failed = f"{report.nodeid}: {str(getattr(crash, 'message', ''))[:200]}"

    def pytest_collectreport(self, report):
        if report.failed and not self.failed:
            self.failed = f"{report.nodeid} cannot be imported"


# In forked processes.


def in_child(work: Callable[[], Any], log: Path) -> Any:
    """What `work()` returns in a forked process, whose output goes to the file `log`.

    "time-out" if it takes longer than `_limit_time` allows; "crash" if it does not end normally.
    """
    fork = multiprocessing.get_context("fork")
    answer, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_run_in_child, args=(work, log, sender))
    child.start()
    sender.close()
    found = None
    with contextlib.suppress(EOFError):
        found = answer.recv()
    child.join()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)  # processes that a test has started
    if child.exitcode == 0:
        return found
    return "time-out" if -child.exitcode in (signal.SIGPROF, signal.SIGALRM) else "crash"


def _run_in_child(work: Callable[[], Any], log: Path, sender: Any) -> None:
    """Send what `work()` returns, then end without waiting for threads that a test has left."""
    status = 70
    try:
        os.setsid()
        _limit_time(7200)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.chdir(PACKAGE.parent)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, resource.RLIM_INFINITY))
        sender.send(work())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _limit_time(seconds: float) -> None:
    """From now on this process has so many seconds of processor time, then a signal ends it.

    Of wall-clock time it has more, as the machine may be busy.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 3 * seconds + 60)


def _pytest(plugin: Any, files: list[str]) -> int:
    import pytest

    # Hypothesis' plugin has been imported once for all.
    quietly = ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main(["-x", "-n", "0", *quietly, *files], plugins=[plugin]))


def _record_all_tests() -> tuple[int, dict[str, tuple[float, list[str]]]]:
    recorder = _Recorder()
    ignored = [f"--ignore=tests/{name}" for name in NOT_RUN.split()]
    return _pytest(recorder, ["tests", *ignored]), recorder.tests


def _first_failure(mutant: Mutant, seconds: dict[str, float]) -> str:
    """The first of these tests that fails with the mutant planted, in words; "" if none does."""
    chosen = _Chosen(seconds)
    with planted(mutant.module, mutant.source):
        status = _pytest(chosen, sorted({name.partition("::")[0] for name in seconds}))
    return chosen.failed or ("" if status in (0, 5) else f"pytest ended with status {status}")


# In this process.


def recorded_tests(file: Path) -> dict[str, RecordedTest]:
    """All tests of the quick suite, from `file`, or by running them once on the right code."""
    if not file.exists():
        log = file.with_suffix(".txt")
        found = in_child(_record_all_tests, log)
        if isinstance(found, str) or found[0]:
            raise RuntimeError(f"tests fail on the right code\n{log.read_text()[-2000:]}")
        file.write_text(json.dumps(found[1]))
    recorded = json.loads(file.read_text())
    return {name: RecordedTest(each[0], frozenset(each[1])) for name, each in recorded.items()}


def nearest(tests: dict[str, RecordedTest], mutant: Mutant) -> list[str]:
    """The tests that may notice a mutant, the quickest and nearest first.

    They run its function. Code that runs on import, and compiled code, is not seen to run, and of a
    cached function only the first call is. So if there are few, they are followed by tests that run
    anything in its module, then anything in a module that imports it, then by all others.
    """
    found: dict[str, None] = {}  # in order
    own = {f"{mutant.module}:{mutant.first_line}"}
    for functions in (own, *_functions_around(tests, mutant.module)):
        if len(found) < FEW:
            more = [name for name, test in tests.items() if test.functions & functions]
            found |= dict.fromkeys(sorted(more, key=lambda name: _distance(tests[name])))
    return list(found)


def _functions_around(tests: dict[str, RecordedTest], module: str) -> Iterator[set[str]]:
    everything = {function for test in tests.values() for function in test.functions}
    imports = re.compile(rf"(?m)^(?=.*import).*\b{Path(module).stem}\b")
    importing = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if imports.search(path.read_text(encoding="utf-8"))
    ]
    for modules in ([module], importing):
        yield {function for function in everything if function.partition(":")[0] in modules}
    yield everything


def _distance(test: RecordedTest) -> tuple[int, int, float]:
    bucket = sum(test.seconds > limit for limit in BUCKETS)
    return bucket, len(test.functions), test.seconds


def verdict(tests: dict[str, RecordedTest], mutant: Mutant, log: Path) -> Verdict:
    """Run the tests that may notice a mutant, the nearest first, until one fails."""
    chosen = nearest(tests, mutant)
    for part in filter(None, (chosen[:FIRST_TESTS], chosen[FIRST_TESTS:])):
        seconds = {name: tests[name].seconds for name in part}
        found = in_child(functools.partial(_first_failure, mutant, seconds), log)
        if found:
            return Verdict(mutant, "time-out" if found == "time-out" else "caught", found)
    return Verdict(mutant, "survived", f"{len(chosen):,} tests")


def verdicts(mutants: list[Mutant], folder: Path) -> Iterator[Verdict]:
    """The verdicts on all mutants; `folder` is for what is recorded about the tests."""
    if old := stale():
        raise ValueError(f"HARMLESS: expected names of mutants, but there are none of {old}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in IMPORTED_ONCE.split():  # instead of in every process; starts no Python threads
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    tests = recorded_tests(folder / "tests.json")
    for mutant in mutants:
        yield verdict(tests, mutant, folder / "output.txt")


def stale() -> list[tuple[str, str, str, str]]:
    """Entries of `HARMLESS` about source text that has changed."""
    modules = {module for module, *_ in HARMLESS} & set(MODULES)
    return sorted(set(HARMLESS).difference(*map(names, modules)))


def outcome(verdicts: list[Verdict]) -> Outcome:
    """Kept if enough of the harmful mutants are caught, and every survivor has a reason."""
    ends = collections.Counter(verdict.end for verdict in verdicts)
    caught = ends["caught"] + ends["time-out"]
    harmless = sum(v.end == "survived" and v.mutant.name in HARMLESS for v in verdicts)
    harmful, unknown = len(verdicts) - harmless, ends["survived"] - harmless
    figure = (
        f"of {len(verdicts):,} mutants {caught:,} caught, {ends['time-out']} of them by time-out; "
        f"{harmless} survivors change no result, for known reasons, {unknown} unexplained: "
        f"{caught / max(harmful, 1):.1%} of the others caught"
    )
    return Outcome(caught >= ENOUGH * harmful and unknown == 0, figure)


def mutants_are_caught(share: float = 1) -> Outcome:
    """28: 300 of all mutants, drawn at random."""
    with tempfile.TemporaryDirectory() as folder:
        return outcome(list(verdicts(sample(MODULES, SHARE * share), Path(folder))))


def main() -> None:
    """Print every verdict, then the sum."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--modules", nargs="+", default=MODULES, metavar="FILE.py")
    parser.add_argument("--share", type=float, default=SHARE, help="of all mutants")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of mutants")
    parser.add_argument("--only", default="", metavar="WORDS", help="mutants that contain them")
    parser.add_argument("--folder", type=Path, help="to keep what is recorded about the tests")
    args = parser.parse_args()
    drawn = sample(args.modules, args.share, args.seed)
    mutants, found = [mutant for mutant in drawn if args.only in str(mutant)], []
    with tempfile.TemporaryDirectory() as temporary:
        for each in verdicts(mutants, args.folder or Path(temporary)):
            found.append(each)
            why = HARMLESS.get(each.mutant.name, each.words)
            print(f"{each.end:8} {each.mutant}\n    {why}", flush=True)
    print(outcome(found).figure)


if __name__ == "__main__":
    main()
