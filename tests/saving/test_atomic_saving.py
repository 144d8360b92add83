"""Promise 18: a save is complete or has not happened."""

import os
import time

import numpy as np
import pytest

from minicnn import Input, Sequential
from minicnn.layers import Dense
from minicnn.saving.npz import SECONDS_TO_ABANDONED
from tests.promises import saves


def new_model():
    return Sequential([Input((6,)), Dense(5), Dense(4)])


@pytest.fixture
def path(tmp_path):
    """A file with the weights of a model."""
    path = tmp_path / "some [weights].npz"
    new_model().save_weights(path)
    return path


def full_disk(file, **_arrays):
    file.write(b"half a file")
    raise OSError("cut off")


def interrupted(_file_descriptor):
    raise KeyboardInterrupt("cut off")


@pytest.mark.parametrize(
    ("module", "name", "fails"), [(np, "savez", full_disk), (os, "fsync", interrupted)]
)
def test_a_failed_or_interrupted_save_leaves_the_old_file_and_nothing_else(
    path, monkeypatch, module, name, fails
):
    before = path.read_bytes()
    monkeypatch.setattr(module, name, fails)
    with pytest.raises((OSError, KeyboardInterrupt), match="cut off"):
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


def test_the_file_of_a_killed_save_is_removed_by_a_later_save(path):
    names = f".{path.name}.1.part", f".{path.name}.2.part", ".other.npz.3.part"
    old, young, other = map(path.with_name, names)
    for part in (old, young, other):
        part.write_bytes(b"half")
    long_ago = time.time() - 2 * SECONDS_TO_ABANDONED
    for part in (old, other):
        os.utime(part, (long_ago, long_ago))
    new_model().save_weights(path)
    assert sorted(path.parent.iterdir()) == sorted([path, young, other])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill -9")
@pytest.mark.parametrize("check", [saves.killed_saves, saves.failed_saves])
def test_promise_18_a_save_is_complete_or_has_not_happened(check):
    kept, figure = check(0.1)
    assert kept, figure
