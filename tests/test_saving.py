"""Saving weights is all or nothing, whatever comes in between: promise 18."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from minicnn import Input, Sequential, weights_file
from minicnn.layers import Dense


def new_model():
    return Sequential([Input((6,)), Dense(5), Dense(4)])


def bits(model):
    return tuple(weight.tobytes() for weight in model.get_weights())


@pytest.fixture
def path(tmp_path):
    """A file with the weights of a model."""
    path = tmp_path / "some [weights].npz"
    new_model().save_weights(path)
    return path


def test_a_failed_save_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    before = path.read_bytes()

    def full_disk(file, **_arrays):
        file.write(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space left"):
        new_model().save_weights(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_save_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    before = path.read_bytes()

    def interrupted(_file_descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        new_model().save_weights(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_save_to_nowhere_fails_cleanly(tmp_path):
    with pytest.raises(OSError, match=r"w\.npz"):
        new_model().save_weights(tmp_path / "no such folder" / "w.npz")
    (tmp_path / "w.npz").mkdir()
    with pytest.raises(OSError, match=r"w\.npz"):
        new_model().save_weights(tmp_path / "w.npz")
    assert list(tmp_path.iterdir()) == [tmp_path / "w.npz"]


def test_what_a_killed_save_left_is_removed_by_a_later_one(path):
    old, young, other = (
        path.with_name(name)
        for name in (f".{path.name}.1.part", f".{path.name}.2.part", ".other.npz.3.part")
    )
    for part in (old, young, other):
        part.write_bytes(b"half")
    long_ago = time.time() - 2 * weights_file.SECONDS_TO_ABANDONED
    for part in (old, other):
        os.utime(part, (long_ago, long_ago))
    new_model().save_weights(path)
    assert sorted(path.parent.iterdir()) == sorted([path, young, other])


def test_two_savers_do_not_mix(tmp_path):
    path = tmp_path / "w.npz"
    models = [new_model() for _ in range(2)]
    threads = [
        threading.Thread(target=lambda model=model: [model.save_weights(path) for _ in range(30)])
        for model in models
    ]
    for thread in threads:
        thread.start()
    reader = new_model()
    seen = set()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            reader.load_weights(path)
            seen.add(bits(reader))
    assert seen <= {bits(model) for model in models}
    assert list(tmp_path.iterdir()) == [path]


SAVER = """
import sys
import numpy as np
from minicnn import Input, Sequential, layers
model = Sequential([Input((1000,)), layers.Dense(1000)])
number = 0
while True:
    number += 1
    model.set_weights([np.full((1000, 1000), number), np.full(1000, number)])
    model.save_weights(sys.argv[1])
    print(number, flush=True)
"""


def kill_while_saving(tmp_path, times):
    """A process saves one model after the other, all of one number each, until it is killed."""
    path = tmp_path / "w.npz"
    model = Sequential([Input((1000,)), Dense(1000)])
    draw = random.Random(3)
    for _ in range(times):
        with subprocess.Popen(
            [sys.executable, "-c", SAVER, path], stdout=subprocess.PIPE, text=True
        ) as saver:
            saver.stdout.readline()
            time.sleep(0.05 * draw.random())
            saver.send_signal(signal.SIGKILL)
            reported = saver.stdout.read().split()
        latest = int(reported[-1]) if reported else 1

        model.load_weights(path)
        kernel, bias = model.get_weights()
        number = kernel[0, 0]
        assert (kernel == number).all()
        assert (bias == number).all()
        assert number in (latest, latest + 1)


needs_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 here")


@needs_kill
def test_promise_18_a_killed_save_leaves_the_old_file_or_the_new(tmp_path):
    kill_while_saving(tmp_path, 10)


@needs_kill
@pytest.mark.full
def test_promise_18_200_killed_saves_leave_the_old_file_or_the_new(tmp_path):
    kill_while_saving(tmp_path, 200)
