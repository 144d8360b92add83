"""What all tests share: fresh names for every test, a quiet TensorFlow, a generator of numbers."""

import importlib
import os
import signal
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import minicnn
from minicnn.__main__ import main

WITHOUT_TENSORFLOW = "TensorFlow is not installed"

# A shell that runs the tests in its background has Ctrl-C ignored, which some tests press.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# TensorFlow 2.21 on the CPU convolves with oneDNN, which in single precision is wrong for some odd
# geometries (one channel, strides 1 and 2, a single column of outputs: 324 of 10,368, up to made-up
# numbers of 500,000), and now and then corrupts the heap. Without it none is wrong. To be set
# before TensorFlow is imported.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"


def pytest_addoption(parser):
    parser.addoption("--threads", type=int, help="threads that minicnn may use, if not all cores")


def pytest_configure(config):
    if config.getoption("--threads"):
        minicnn.set_num_threads(config.getoption("--threads"))


def pytest_terminal_summary(terminalreporter):
    skipped = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])]
    count = sum(WITHOUT_TENSORFLOW in reason for reason in skipped)
    if count:
        terminalreporter.write_line(
            f"{count} tests beside Keras were skipped: {WITHOUT_TENSORFLOW}", yellow=True, bold=True
        )


@pytest.fixture(autouse=True)
def fresh_session():
    """Names start over and randomness is fixed, whatever ran before; threads as they were."""
    threads = minicnn.get_num_threads()
    minicnn.clear_session()
    minicnn.set_random_seed(0)
    yield
    minicnn.set_num_threads(threads)


@pytest.fixture(scope="session")
def tf():
    """TensorFlow, or a skip that says that it is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own imports warn
        return pytest.importorskip("tensorflow", reason=WITHOUT_TENSORFLOW)


@pytest.fixture(scope="session")
def keras(tf):
    return pytest.importorskip("keras")


@pytest.fixture
def promises(monkeypatch):
    """Imports a module of benchmarks/promises, where what minicnn promises is counted."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return lambda name: importlib.import_module(f"promises.{name}")


@pytest.fixture
def rng():
    return np.random.default_rng(20)


class Result(NamedTuple):
    """Of a command."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys):
    """Runs a command in this process; returns its status and what it wrote."""

    def run(*argv):
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in argv])
        except SystemExit as end:
            status = end.code
        return Result(status, *capsys.readouterr())

    return run
