"""Promises 16 and 17: damaged files are refused at once, by name, and change nothing.

Every result is compared with what the file was made from, or with a reader that shares no code with
minicnn. Time is processor time; memory is what tracemalloc counts beyond what was in use before.
Each check draws a share of its cases at random.
"""

import contextlib
import random
import tempfile
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn import Input, Sequential
from minicnn.datasets import load_idx
from minicnn.datasets.idx import read_idx
from minicnn.layers import Conv2D, Dense, Flatten
from tests.promises import Outcome, damaged_idx, damaged_weights, outcome

SECONDS = 2.0  # more counts as a hang
MOST_MEMORY = 3  # times the size of the data
ALLOWANCE = 2**20  # bytes: buffers, directories of archives and messages, whatever the size


class Attempt(NamedTuple):
    """Result of reading a damaged file."""

    value: Any  # None if it was refused
    fault: str  # what is wrong with how it ended, or ""
    seconds: float
    peak: int  # bytes


def attempt(read: Callable[[], Any], named: Path) -> Attempt:
    """Call `read`; a refusal has to be a ValueError or OSError that names the file or folder."""
    value, fault = None, ""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    start = time.process_time()  # other processes may slow this one down
    try:
        value = read()
    except (ValueError, OSError) as error:
        fault = "" if str(named) in str(error) else "refused without its name"
    except Exception as error:
        fault = f"crashed with {type(error).__name__}"
    seconds = time.process_time() - start
    peak = tracemalloc.get_traced_memory()[1] - before
    return Attempt(value, "hung" if seconds > SECONDS else fault, seconds, peak)


@contextlib.contextmanager
def _traced() -> Iterator[Path]:
    """A folder, while memory is traced."""
    tracemalloc.start()
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of zipfile and NumPy, over odd headers
            yield Path(folder)
    finally:
        tracemalloc.stop()


class _Tally:
    """Counts the results of all cases."""

    def __init__(self):
        self.faults: dict[str, str] = {}  # by the name of the case
        self.ends: Counter = Counter()
        self.seconds = self.times = 0.0

    def add(self, name: str, found: Attempt, right: bool, size: int) -> None:
        fault, times = found.fault, (found.peak - ALLOWANCE) / max(size, 1)
        if not fault and not right:
            fault = "refused though valid" if found.value is None else "read though damaged"
        if not fault and times > MOST_MEMORY:
            fault = "took too much memory"
        if fault:
            self.faults[name] = fault
        self.ends["refused" if found.value is None else "read"] += 1
        self.seconds, self.times = max(self.seconds, found.seconds), max(self.times, times)

    def outcome(self, what: str, how: str) -> Outcome:
        figure = (
            f"{self.ends.total():,} {what}: {self.ends['refused']:,} refused by name, "
            f"{self.ends['read']:,} read {how}, slowest {self.seconds:.2f} s, "
            f"memory at most {self.times:.1f} times the size of the data and 1 MiB"
        )
        return outcome(
            figure, [f"{name}: {fault}" for name, fault in self.faults.items()], "faults"
        )


def _drawn(cases: list, share: float) -> list:
    return random.Random(16).sample(cases, max(1, round(share * len(cases))))


def idx_files(share: float = 1) -> Outcome:
    """16: mutated IDX files, plain and gzipped, against an independent strict reader."""
    tally = _Tally()
    with _traced() as folder:
        for case in _drawn(list(damaged_idx.cases()), share):
            path = folder / ("file.gz" if case.gzipped else "file")
            path.write_bytes(case.content)
            found = attempt(lambda path=path, case=case: read_idx(path, case.axes), path)
            expected, unpacked = damaged_idx.strictly_read(case)
            right = _same(found.value, expected)
            tally.add(case.name, found, right, max(unpacked, len(case.content)))
        for images, labels, part in _drawn(damaged_idx.COUNTS, share):
            damaged_idx.write_folder(folder, images, labels, part)
            found = attempt(lambda: load_idx(folder), folder)
            right = (found.value is not None) == (images == labels)
            tally.add(f"{images} images, {labels} labels", found, right, 1000)
    return tally.outcome("IDX files", "as an independent reader does")


def _same(found: np.ndarray | None, expected: np.ndarray | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return np.array_equal(found, expected) and found.dtype == expected.dtype


def weights_files(share: float = 1) -> Outcome:
    """17: mutated NPZ files: they load the bits they were made from, or change nothing."""
    tally, side_effects = _Tally(), 0
    model = small_model()
    own = [np.full_like(weight, 0.5) for weight in model.get_weights()]
    with _traced() as folder:
        trace, path = folder / "trace", folder / "inside" / "w.npz"
        path.parent.mkdir()
        model.save_weights(path)
        for case in _drawn(list(damaged_weights.cases(path.read_bytes(), trace)), share):
            path.write_bytes(case.content)
            model.set_weights(own)
            found = attempt(lambda: model.load_weights(path) or model.get_weights(), path)
            expected = own if found.value is None else case.arrays
            right = expected is not None and _bits(model.get_weights()) == _bits(expected)
            right &= not (found.value is None and case.valid)
            tally.add(case.name, found, right, sum(w.nbytes for w in own) + len(case.content))
            side_effects += trace.exists() or len(list(folder.rglob("*"))) != 2
    kept, figure = tally.outcome("weights files", "with the bits they were made from")
    return Outcome(kept and side_effects == 0, f"{figure}, {side_effects} ran code or left files")


def small_model() -> Sequential:
    """A model whose weights file is small enough to be cut at each byte."""
    return Sequential([Input((5, 4, 1)), Conv2D(2, 3), Flatten(), Dense(2, use_bias=False)])


def _bits(arrays: list[np.ndarray]) -> list[bytes]:
    return [array.tobytes() for array in arrays]
