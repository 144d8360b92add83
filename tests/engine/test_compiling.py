"""Compiled code on disk, and promise 26: minicnn starts anywhere."""

import gc
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from numba.core import event
from numba.core.errors import TypingError

import minicnn
from minicnn.engine import compiling
from tests.promises import installation


def test_promise_26_damaged_compiled_code_is_replaced():
    kept, figure = installation.damaged_caches(0.05)
    assert kept, figure


@pytest.mark.full  # minutes: kernels are compiled in each place
def test_promise_26_it_starts_in_all_places():
    kept, figure = installation.places()
    assert kept, figure


def test_a_cache_that_cannot_be_written_is_one_warning_of_one_line(monkeypatch):
    monkeypatch.setattr(compiling, "_warned", False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            compiling._warn(OSError("no room\nanywhere"))
    (warning,) = caught
    assert "NUMBA_CACHE_DIR" in str(warning.message)
    shown = warnings.formatwarning(
        warning.message, warning.category, warning.filename, warning.lineno
    )
    assert shown.count("\n") == 1


START = """
import numpy as np
from minicnn.engine.kernels import relu
print(relu.relu_backward(*np.ones((2, 3), np.float32), np.float32(0)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of the file size are POSIX")
def test_a_process_that_can_write_nothing_works_with_one_line_of_warning(tmp_path):
    limited = ["sh", "-c", 'ulimit -f 0 && exec "$@"', "sh", sys.executable, "-B", "-c", START]
    outcome = subprocess.run(
        ["env", f"NUMBA_CACHE_DIR={tmp_path}", *limited],
        capture_output=True,
        text=True,
        check=True,
    )
    assert outcome.stdout == "[1. 1. 1.]\n"
    assert outcome.stderr.count("\n") == 1
    assert "compiled kernels cannot be kept on disk" in outcome.stderr


POOLED = """
import numpy as np
from minicnn.engine.kernels import few_channels
from minicnn.shapes import window_geometry

g, pool = (window_geometry((4, 4), (2, 2), (s, s), "same") for s in (1, 2))
x, kernel, winner = np.ones((1, 4, 4, 1)), np.zeros((2, 2, 1, 1)), np.empty((1, 2, 2, 1), np.uint8)
print(few_channels.forward_pooled(x, kernel, np.zeros(1), g, pool, winner, 0.0).max())
"""


def test_a_kernel_is_compiled_again_if_a_kernel_changes_that_it_calls(tmp_path):
    package = Path(minicnn.__file__).parent
    copied = shutil.copytree(
        package, tmp_path / "minicnn", ignore=shutil.ignore_patterns("__pycache__", "*.gz", "*.npz")
    )

    def largest():
        environment = {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "compiled")}
        command = [sys.executable, "-c", POOLED]
        env = os.environ | environment
        return float(subprocess.check_output(command, text=True, env=env, cwd=tmp_path))

    assert largest() == 0
    pooling = copied / "engine" / "kernels" / "pooling.py"
    old = "best[ch] = floor if largest < floor else largest"
    source = pooling.read_text()
    assert source.count(old) == 1
    pooling.write_text(source.replace(old, f"{old} + 1"))
    assert largest() == 1


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_pauses_while_a_kernel_is_compiled(tmp_path, monkeypatch, enabled):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    states = []

    class Watch(event.Listener):
        def on_start(self, _event):
            states.append(gc.isenabled())

        on_end = on_start

    if not enabled:
        gc.disable()
    try:
        kernel = compiling.jit(lambda x: x + 1)
        with event.install_listener("numba:compile", Watch()):
            kernel(1.0)
            with pytest.raises(TypingError):
                compiling.jit(lambda x: x.nothing)(1.0)
        states.append(gc.isenabled())
    finally:
        gc.enable()
    assert states[0] is False
    assert states[-1] is enabled
