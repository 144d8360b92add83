"""Fixtures that all tests share."""

import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import minicnn
from minicnn.cli.main import main
from minicnn.keras_reference import precision

ROOT = Path(__file__).parents[1]
WITHOUT_TENSORFLOW = "TensorFlow is not installed"
WITHOUT_V8 = "mini-racer, which carries the JavaScript engine V8, is not installed"
WITHOUT_BROWSER = "no Chromium or Chrome, or no Playwright, is installed"

# A shell that runs the tests as a background job has Ctrl-C ignored; some tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--threads", type=int, help="threads that minicnn may use, if not all cores")


def pytest_configure(config):
    if config.getoption("--threads"):
        minicnn.set_num_threads(config.getoption("--threads"))


def pytest_terminal_summary(terminalreporter):
    skipped = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])]
    for missing in (WITHOUT_TENSORFLOW, WITHOUT_V8, WITHOUT_BROWSER):
        count = sum(missing in reason for reason in skipped)
        if count:
            line = f"{count} tests were skipped: {missing}"
            terminalreporter.write_line(line, yellow=True, bold=True)


@pytest.fixture(autouse=True)
def fresh_session():
    """Automatic names and the random seed start over; the number of threads is restored."""
    threads = minicnn.get_num_threads()
    minicnn.clear_session()
    minicnn.set_random_seed(0)
    yield
    minicnn.set_num_threads(threads)


@pytest.fixture(scope="session")
def tf():
    """TensorFlow, or a skip that says that it is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from its own imports
        return pytest.importorskip("tensorflow", reason=WITHOUT_TENSORFLOW)


@pytest.fixture(scope="session")
def keras(tf):
    return pytest.importorskip("keras")


@pytest.fixture
def double(keras):
    """Keras in double precision throughout."""
    with precision("float64"):
        yield keras


@pytest.fixture
def rng():
    return np.random.default_rng(20)


class Result(NamedTuple):
    """Result of a command."""

    status: int
    out: str
    err: str

    def assert_one_line_error(self, *parts):
        """Status 2, no output, and one line of error that contains all `parts`."""
        assert (self.status, self.out) == (2, "")
        assert re.fullmatch(r"minicnn( \w+)?: error: .*\n", self.err), self.err
        assert [part for part in parts if part not in self.err] == []


@pytest.fixture
def run(capsys):
    """Runs a command in this process; returns its status and what it printed."""

    def run(*argv):
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in argv])
        except SystemExit as end:
            status = end.code
        return Result(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def python():
    """Runs Python in a new process, in the folder of the repository."""

    def python(*argv, **options):
        options = {
            "capture_output": True,
            "encoding": "utf-8",
            "timeout": 300,
            "cwd": ROOT,
        } | options
        return subprocess.run([sys.executable, *map(str, argv)], **options)

    return python
