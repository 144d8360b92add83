"""minicnn starts in hostile places: promise 26."""

import subprocess
import sys
import warnings

import pytest

from minicnn.kernels import jit


def test_promise_26_damaged_compiled_code_is_made_anew(promises):
    kept, figure = promises("installation").damaged_caches(0.05)
    assert kept, figure


@pytest.mark.full  # minutes: kernels are compiled in each of the places
def test_promise_26_it_starts_in_all_places(promises):
    kept, figure = promises("installation").places()
    assert kept, figure


def test_a_cache_that_cannot_be_kept_is_one_warning_of_one_line(monkeypatch):
    monkeypatch.setattr(jit, "_warned", False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            jit._warn(OSError("no room\nanywhere"))
    (warning,) = caught
    assert "NUMBA_CACHE_DIR" in str(warning.message)
    shown = warnings.formatwarning(
        warning.message, warning.category, warning.filename, warning.lineno
    )
    assert shown.count("\n") == 1


START = """
import numpy as np
from minicnn.kernels import relu
print(relu.grad_before_floor(*np.ones((2, 3), np.float32), np.float32(0)))
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
