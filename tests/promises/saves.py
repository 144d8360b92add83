"""Promise 18: a save is complete or has not happened, whatever interrupts it.

The saves run in processes forked from a fresh one. All weights of a model are one number, so that a
file that mixes two models, or holds half of one, is noticed when it is loaded.
"""

import contextlib
import errno
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from minicnn import Input, Sequential
from minicnn.layers import Dense
from minicnn.saving.npz import SECONDS_TO_ABANDONED
from tests.promises import Outcome
from tests.promises.installation import ROOT, mounting

NOBODY = 65534
FORK = multiprocessing.get_context("fork") if hasattr(os, "fork") else None


def killed_saves(share: float = 1) -> Outcome:
    """18: `kill -9` at 200 random moments of a save."""
    return _in_a_fresh_process(_kill_saves, max(10, round(200 * share)))


def failed_saves(share: float = 1) -> Outcome:
    """18: a full disk, a limit of file sizes, folders that cannot be written, two savers."""
    return _in_a_fresh_process(_fail_saves, max(5, round(50 * share)))


def _in_a_fresh_process(check: Callable[[Path, int], Outcome], times: int) -> Outcome:
    if FORK is None:
        return Outcome(False, "not counted: needs fork and kill -9, which this system lacks")
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


def _forked(work: Callable[..., object], *arguments: object) -> BaseProcess:
    """Start `work` in a forked process; its exit code is 0 if nothing was raised."""
    process = FORK.Process(target=work, args=arguments)
    process.start()
    return process


def _kill_saves(folder: Path, times: int) -> Outcome:
    path = folder / "w.npz"
    start = time.perf_counter()
    _model(0).save_weights(path)
    # How long a save takes changes with what else runs on the machine: the moments are drawn from
    # a span that grows after a save that was killed and shrinks after one that was complete.
    span = time.perf_counter() - start
    latest, draw, found = 0, random.Random(18), Counter()
    for number in range(1, times + 1):
        model = _model(number)
        before = len(_parts(folder))
        begun, begin = FORK.Pipe(duplex=False)
        child = _forked(lambda m=model, b=begin: (b.send_bytes(b"."), m.save_weights(path)))
        begun.recv_bytes()
        time.sleep(span * draw.random())
        child.kill()
        child.join()
        content = _number_in(path)
        in_the_middle = len(_parts(folder)) > before
        moment = "after" if content == number else "in the middle" if in_the_middle else "before"
        found[moment if content in (latest, number) else "broken"] += 1
        span *= 0.8 if moment == "after" else 1.25
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
    size = path.stat().st_size
    limits = [_is_refused(path, limit) for limit in (0, 1, 100, size // 2, size - 1)]
    folder.chmod(0o555)
    path.chmod(0o444)
    good = {"limit of the file size": limits, "read-only folder": [_is_refused(path)]}
    folder.chmod(0o755)
    path.chmod(0o644)
    disk = _on_a_small_disk(folder / "disk")
    good |= disk | {"two savers": _two_savers(path, times)}
    counts = ", ".join(f"{name} {sum(kept)} of {len(kept)}" for name, kept in good.items())
    kept = all(all(values) for values in good.values())
    missing = "" if disk else "; no full disk: nothing can be mounted here"
    return Outcome(kept, f"old or new file complete, nothing else left: {counts}{missing}")


def _is_refused(path: Path, limit: int | None = None) -> bool:
    """Whether a save that has to fail raises OSError and leaves the old file alone."""
    child = _forked(_save_in_vain, path, limit)
    child.join()
    return child.exitcode == 0 and _number_in(path) == 0 and not _parts(path.parent)


def _save_in_vain(path: Path, limit: int | None) -> None:
    """Save as a user who may write no more than `limit` bytes, or nothing if there is none."""
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


def _on_a_small_disk(folder: Path) -> dict[str, list[bool]]:
    """Save on a disk of 1 MiB, where the system allows one; otherwise nothing is counted."""
    command = mounting('mount -t tmpfs -o size=1m none "$0" && exec "$@"')
    if command is None:
        return {}
    folder.mkdir()
    program = "from tests.promises.saves import print_saves_in_vain as p, sys; p(sys.argv[1])"
    done = subprocess.run(
        [*command, folder, sys.executable, "-c", program, folder],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
    )
    folder.rmdir()
    return json.loads(done.stdout or "{}")


def print_saves_in_vain(folder: str) -> None:
    """Whether saves on a disk that is full, then read-only, fail and leave the old file alone."""
    path, good = Path(folder, "w.npz"), {}
    _model(0, units=100).save_weights(path)
    before = path.read_bytes()
    for place, code in (("full disk", errno.ENOSPC), ("read-only disk", errno.EROFS)):
        if code == errno.EROFS:
            subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        for _ in range(5):
            found = None
            try:
                _model(1, units=700).save_weights(path)
            except OSError as error:
                found = error.errno
            alone = path.read_bytes() == before and [*Path(folder).iterdir()] == [path]
            good.setdefault(place, []).append(found == code and alone)
    print(json.dumps(good))


def _two_savers(path: Path, times: int) -> list[bool]:
    """What a reader finds while two processes save to the same file."""

    def save(number: int) -> None:
        for _ in range(times):
            _model(number).save_weights(path)

    savers = [_forked(save, number) for number in (1, 2)]
    found = []
    while any(saver.is_alive() for saver in savers):
        found.append(_number_in(path) in (0, 1, 2))
    return [*found, *(saver.exitcode == 0 for saver in savers), not _parts(path.parent)]
