"""Where mutants are planted: a copy of the project, and forked processes that ask its tests."""

import contextlib
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.promises.mutants import Mutant

ROOT = Path(__file__).parents[2]
COPIED = ("minicnn", "tests", "lessons", "benchmarks", "pyproject.toml", "README.md", ".ci")
# Not asked: what other programs print, and a table that is compared with the source's text.
NOT_ASKED = ("test_benchmarks.py", "test_lessons.py", "test_readme.py", "test_scale_out.py",
             "test_zoo.py")  # fmt: skip
FEW = 30  # tests
BUCKETS = (0.1, 1.0, 10.0)  # seconds: tests of like length are sorted by nearness
ADDRESS_SPACE = 16 << 30  # bytes: a mutant may ask for any size
IMPORTED_ONCE = """numpy numba scipy.linalg scipy.linalg.cython_blas threadpoolctl tqdm
pytest hypothesis matplotlib.figure tensorflow keras"""


class Test(NamedTuple):
    """What is known of a test: seconds, and the functions that it runs ("losses.py:35")."""

    seconds: float
    functions: frozenset[str]


# In the processes of the tests.


class _Watch:
    """A plugin of pytest: notes functions and seconds by test."""

    def __init__(self, folder: Path):
        self.package = f"{folder / 'minicnn'}{os.sep}"
        self.found: dict[str, tuple[float, list[str]]] = {}
        self.failed: list[str] = []
        self.codes: set[Any] = set()
        threading.settrace(self._call)  # before the package starts its threads
        sys.settrace(self._call)

    def _call(self, frame, _event, _argument):
        self.codes.add(frame.f_code)

    def pytest_runtest_logstart(self, nodeid):
        self.codes.clear()
        self.start = time.perf_counter()

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid):
        seconds = time.perf_counter() - self.start
        if sys.gettrace() is None:  # a test may have turned it off
            sys.settrace(self._call)
        functions = {
            f"{Path(code.co_filename.removeprefix(self.package)).as_posix()}:{code.co_firstlineno}"
            for code in tuple(self.codes)
            if code.co_filename.startswith(self.package) and code.co_name != "<module>"
        }
        self.found[nodeid] = seconds, sorted(functions)


class _Chosen:
    """A plugin of pytest: runs the given tests alone, in that order; notes the first failure.

    Each has ten times the seconds that it took on the right code, and a minute to compile.
    """

    def __init__(self, seconds: dict[str, float]):
        self.seconds = seconds
        self.places = {name: place for place, name in enumerate(seconds)}
        self.failed = ""

    def pytest_runtest_logstart(self, nodeid):
        _allow(10 * self.seconds[nodeid] + 60)

    def pytest_collection_modifyitems(self, items):
        items[:] = sorted(
            (item for item in items if item.nodeid in self.places),
            key=lambda item: self.places[item.nodeid],
        )

    def pytest_runtest_logreport(self, report):
        if report.failed and not self.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.failed = f"{report.nodeid}: {str(getattr(crash, 'message', ''))[:200]}"

    def pytest_collectreport(self, report):
        if report.failed and not self.failed:
            self.failed = f"{report.nodeid} cannot be imported"


def in_child(folder: Path, cache: Path, work: Callable[[], Any]) -> Any:
    """What `work()` returns in a forked process that finds the package in `folder`.

    "time-out" if that took more time than `_allow` allows; "crash" if it does not come to its end.
    """
    answer = folder.parent / "answer.json"
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            _settle(folder, cache)
            answer.write_text(json.dumps(work()))
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(70)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # what the test has started
    if status == 0:
        return json.loads(answer.read_text())
    return "time-out" if os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGALRM) else "crash"


def _allow(seconds: float) -> None:
    """From now on this process has so many seconds of processor time, then a signal ends it.

    By the clock it has some minutes more: a machine may be busy, or stopped for a while.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 3 * seconds + 60)


def _settle(folder: Path, cache: Path) -> None:
    os.setsid()
    _allow(7200)
    log = os.open(folder.parent / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.chdir(folder)
    sys.path[:] = [str(folder), *(path for path in sys.path if path not in ("", str(ROOT)))]
    os.environ |= {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(cache)}
    importlib.import_module("numba").config.CACHE_DIR = str(cache)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, resource.RLIM_INFINITY))


def _pytest(plugin: Any, files: list[str]) -> int:
    import pytest

    # Hypothesis' plugin has been imported once for all.
    quietly = ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main(["-x", *quietly, *files], plugins=[plugin]))


def ask(tests: dict[str, float]) -> str:
    """The first failure of these tests, in words; "" if there is none. With their usual seconds."""
    plugin = _Chosen(tests)
    status = _pytest(plugin, sorted({name.partition("::")[0] for name in tests}))
    return plugin.failed or ("" if status in (0, 5) else f"pytest ended with status {status}")


def _watch(folder: Path, files: list[str]) -> dict[str, Any]:
    plugin = _Watch(folder)
    status = _pytest(plugin, files)
    return {"status": status, "failed": plugin.failed, "tests": plugin.found}


# In the process that plants.


class Field:
    """The copy of the project in which mutants are planted, and what its tests run."""

    def __init__(self, folder: Path):
        self.folder = folder / "project"
        self.cache = folder / "compiled"
        self.tests: dict[str, Test] = {}
        if not self.folder.exists():
            self._copy()
        known = folder / "tests.json"
        if not known.exists():
            known.write_text(json.dumps(self._run_all_tests()))
        found = json.loads(known.read_text())
        self.tests = {
            name: Test(seconds, frozenset(functions))
            for name, (seconds, functions) in found.items()
        }

    def _copy(self) -> None:
        skip = shutil.ignore_patterns("__pycache__", "results")
        for name in COPIED:
            source, target = ROOT / name, self.folder / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=skip)
            else:
                shutil.copy2(source, target)

    def _run_all_tests(self) -> dict[str, Any]:
        files = sorted(path.name for path in (self.folder / "tests").glob("test_*.py"))
        asked = [f"tests/{name}" for name in files if name not in NOT_ASKED]
        found = in_child(self.folder, self.cache, lambda: _watch(self.folder, asked))
        if not isinstance(found, dict) or found["status"]:
            output = (self.folder.parent / "output.txt").read_text()[-2000:]
            raise RuntimeError(f"the suite is not green on the right code: {found}\n{output}")
        return found["tests"]

    def nearest(self, mutant: Mutant) -> list[str]:
        """The tests that may notice a mutant, the quickest and nearest first.

        They run its function. What happens on import, and compiled code, is not seen to be run, and
        what a cache keeps is run by its first user alone; so if they are few, those follow that run
        anything in the module, and those that run anything in one that imports it.
        """
        own = f"{mutant.module}:{mutant.first_line}"
        names: dict[str, None] = {}  # in order
        for wanted in ({own}, *self._functions_around(mutant.module)):
            if len(names) < FEW:
                found = [name for name, test in self.tests.items() if test.functions & wanted]
                names |= dict.fromkeys(sorted(found, key=lambda n: self._distance(self.tests[n])))
        return list(names)

    def _functions_around(self, module: str) -> Iterator[set[str]]:
        everything = {f for test in self.tests.values() for f in test.functions}
        yield {f for f in everything if f.startswith(f"{module}:")}
        word = Path(module).stem
        importing = [
            path.relative_to(self.folder / "minicnn").as_posix()
            for path in (self.folder / "minicnn").rglob("*.py")
            if any(
                "import" in line and word in line.replace(",", " ").replace(".", " ").split()
                for line in path.read_text().splitlines()
            )
        ]
        yield {f for f in everything if f.partition(":")[0] in importing}
        yield everything

    @staticmethod
    def _distance(test: Test) -> tuple[int, int, float]:
        bucket = sum(test.seconds > limit for limit in BUCKETS)
        return bucket, len(test.functions), test.seconds

    @contextlib.contextmanager
    def planted(self, mutant: Mutant) -> Iterator[Path]:
        """Meanwhile the copy has the mutant; yields a folder for compiled code.

        Of what is in there, minicnn takes no code that the mutant may be part of.
        """
        file = self.folder / "minicnn" / mutant.module
        right, times = file.read_bytes(), (file.stat().st_atime_ns, file.stat().st_mtime_ns)
        cache = self.cache.with_name("compiled_with_mutant")
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(self.cache, cache, copy_function=os.link)
        try:
            file.write_text(mutant.source)
            yield cache
        finally:
            file.write_bytes(right)
            os.utime(file, ns=times)  # compiled code is kept by the time of its source
            for compiled in file.parent.glob(f"__pycache__/{file.stem}.*.pyc"):
                compiled.unlink()


def import_once() -> None:
    """What every process would have to import. Nothing of it may start a thread of Python's."""
    os.environ |= {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_ENABLE_ONEDNN_OPTS": "0",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in IMPORTED_ONCE.split():
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
