"""Promise 18: a save is complete or has not happened, whatever interrupts it.

The saves run in processes forked from a fresh one. All weights of a model are one number, so that a
file that mixes two models, or holds half of one, is noticed when it is loaded.
"""

import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from minicnn import Input, Sequential
from minicnn.layers import Dense
from minicnn.saving.npz import SECONDS_TO_ABANDONED
from tests.promises import Outcome

NOBODY = 65534
CANNOT = "not counted: these checks need fork and kill -9, which this system lacks"
# Run in a file system of its own, which is full, then read-only.
ON_A_SMALL_DISK = """
import errno, os, pathlib, subprocess, sys
import numpy as np
from minicnn import Input, Sequential
from minicnn.layers import Dense
path = pathlib.Path(sys.argv[1], "w.npz")
small, large = (Sequential([Input((n,)), Dense(n)]) for n in (100, 700))
small.save_weights(path)
before = path.read_bytes()
expected = {"full": errno.ENOSPC, "read-only": errno.EROFS}
for place, code in expected.items():
    if place == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", sys.argv[1]], check=True)
    for _ in range(5):
        try:
            large.save_weights(path)
        except OSError as error:
            good = error.errno == code
        else:
            good = False
        good &= path.read_bytes() == before and os.listdir(sys.argv[1]) == ["w.npz"]
        print(place, "kept" if good else "broken")
"""


def killed_saves(share: float = 1) -> Outcome:
    """18: `kill -9` at 200 random moments of a save."""
    if not hasattr(os, "fork"):
        return Outcome(False, CANNOT)
    return _in_a_fresh_process(_kill_saves, max(10, round(200 * share)))


def failed_saves(share: float = 1) -> Outcome:
    """18: a full disk, a limit of file sizes, folders that cannot be written, two savers."""
    if not hasattr(os, "fork"):
        return Outcome(False, CANNOT)
    return _in_a_fresh_process(_fail_saves, max(5, round(50 * share)))


def _in_a_fresh_process(check: Callable[[Path, int], Outcome], times: int) -> Outcome:
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh,
    ):
        Path(folder).chmod(0o755)  # for a user who may only read
        return fresh.submit(check, Path(folder), times).result()


def _model(number: int, units: int = 300) -> Sequential:
    model = Sequential([Input((units,)), Dense(units)])
    model.set_weights([np.full(weight.shape, number) for weight in model.get_weights()])
    return model


def _number_in(path: Path) -> int | None:
    """The number of the model in the file; None if it does not hold exactly one."""
    model = _model(-1)
    with contextlib.suppress(OSError, ValueError):
        model.load_weights(path)
        numbers = np.unique(np.concatenate([w.ravel() for w in model.get_weights()]))
        if len(numbers) == 1 and numbers[0] >= 0:
            return int(numbers[0])
    return None


def _parts(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix != ".npz"]


def _forked(work: Callable[[], None]) -> int:
    """Start `work` in a forked process; its status is 0 if nothing was raised."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def _kill_saves(folder: Path, times: int) -> Outcome:
    path = folder / "w.npz"
    durations = []
    for _ in range(10):
        start = time.perf_counter()
        _model(0).save_weights(path)
        durations.append(time.perf_counter() - start)
    # Moments are drawn from the usual duration of a save, and a little after.
    latest, draw, found = 0, random.Random(18), Counter()
    for number in range(1, times + 1):
        model = _model(number)
        begun, begin = os.pipe()
        child = _forked(lambda m=model, fd=begin: (os.write(fd, b"."), m.save_weights(path)))
        os.close(begin)
        os.read(begun, 1)
        before = len(_parts(folder))
        time.sleep(1.2 * statistics.median(durations) * draw.random())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(begun)
        content = _number_in(path)
        in_the_middle = len(_parts(folder)) > before
        moment = "after" if content == number else "in the middle" if in_the_middle else "before"
        found[moment if content in (latest, number) else "broken"] += 1
        latest = latest if content is None else content
    left = _parts(folder)
    long_ago = time.time() - 2 * SECONDS_TO_ABANDONED
    for part in left:
        os.utime(part, (long_ago, long_ago))
    _model(0).save_weights(path)
    piled_up = len(_parts(folder))
    figure = (
        f"{times - found['broken']} of {times} kills left the old or the new file complete: "
        f"{found['before']} came before the first byte, {found['in the middle']} in the middle, "
        f"{found['after']} after the last; of {len(left)} parts left, {piled_up} are there "
        f"after the next save a minute later"
    )
    spread = found["in the middle"] >= times / 10
    return Outcome(found["broken"] == piled_up == 0 and spread, figure)


def _fail_saves(folder: Path, times: int) -> Outcome:
    path = folder / "w.npz"
    _model(0).save_weights(path)
    good: dict[str, list[bool]] = {}
    size = path.stat().st_size
    limits = [0, 1, 100, size // 2, size - 1]
    for limit in limits:
        child = _forked(lambda limit=limit: _refused(path, limit))
        good.setdefault("limit of the file size", []).append(_old_file_after(child, path))
    folder.chmod(0o555)
    path.chmod(0o444)
    good["read-only folder"] = [_old_file_after(_forked(lambda: _refused(path)), path)]
    folder.chmod(0o755)
    path.chmod(0o644)
    disk = _on_a_small_disk(folder / "disk")
    good |= disk
    good["two savers"] = _two_savers(path, times)
    counts = ", ".join(f"{name} {sum(kept)} of {len(kept)}" for name, kept in good.items())
    kept = all(all(values) for values in good.values())
    missing = "" if disk else "; no full disk: nothing can be mounted here"
    return Outcome(kept, f"old or new file complete, nothing else left: {counts}{missing}")


def _refused(path: Path, limit: int | None = None) -> None:
    """Try to save as a user who may not write, or may write no more than `limit` bytes."""
    if limit is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    elif os.geteuid() == 0:  # root may write anywhere
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        _model(1).save_weights(path)
    except OSError:
        return
    raise AssertionError("saved")


def _old_file_after(child: int, path: Path) -> bool:
    refused = os.waitpid(child, 0)[1] == 0
    return refused and _number_in(path) == 0 and not _parts(path.parent)


def _on_a_small_disk(folder: Path) -> dict[str, list[bool]]:
    """Save on a disk of 1 MiB, where the system allows one; otherwise nothing is counted."""
    if shutil.which("unshare") is None:
        return {}
    folder.mkdir()
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    mount = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
    command = ["unshare", "--mount", *as_root, "sh", "-c", mount, folder, sys.executable]
    outcome = subprocess.run(
        [*command, "-c", ON_A_SMALL_DISK, folder],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    folder.rmdir()
    good: dict[str, list[bool]] = {}
    for line in outcome.stdout.splitlines():
        place, _, found = line.rpartition(" ")
        good.setdefault(f"{place} disk", []).append(found == "kept")
    return good


def _two_savers(path: Path, times: int) -> list[bool]:
    """What a reader finds while two processes save to the same file."""

    def save(number: int) -> None:
        for _ in range(times):
            _model(number).save_weights(path)

    savers = [_forked(lambda number=number: save(number)) for number in (1, 2)]
    found, ended = [], []
    while len(ended) < len(savers):
        found.append(_number_in(path) in (0, 1, 2))
        for saver in set(savers) - {child for child, _ in ended}:
            child, status = os.waitpid(saver, os.WNOHANG)
            ended += [(child, status)] if child else []
    found += [status == 0 for _, status in ended]
    return [*found, not _parts(path.parent)]
