"""A file that is replaced keeps its permissions and its links; names may be long."""

import os
import stat

import numpy as np
import pytest

from minicnn.saving import npz
from tests.twins import bits, classifier

pytestmark = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


@pytest.fixture
def old(tmp_path):
    """A file of weights, and a model with others."""
    path = tmp_path / "w.npz"
    classifier().save_weights(path)
    return path, classifier()


def assert_holds(path, model):
    other = classifier()
    other.load_weights(path)
    assert bits(other) == bits(model)
    assert not list(path.parent.glob(".*"))


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_permissions_are_kept(old, mode):
    path, model = old
    path.chmod(mode)
    model.save_weights(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert_holds(path, model)


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_goes_on_pointing_to_the_file(old, exists):
    path, model = old
    folder = path.with_name("links")
    folder.mkdir()
    link = folder / "link.npz"
    link.symlink_to("../w.npz")
    if not exists:
        path.unlink()
    model.save_weights(link)
    assert str(link.readlink()) == "../w.npz"
    assert_holds(path, model)


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_file_of_several_names_keeps_them(old, monkeypatch, interrupted):
    path, model = old
    other = path.with_name("other.npz")
    os.link(path, other)
    copy, calls = npz.shutil.copyfile, []

    def interrupt_first(source, target):
        calls.append(target)
        if interrupted and len(calls) == 1:
            target.write_bytes(b"half")
            raise KeyboardInterrupt
        copy(source, target)

    monkeypatch.setattr(npz.shutil, "copyfile", interrupt_first)
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            model.save_weights(path)
    else:
        model.save_weights(path)
    assert path.samefile(other)
    assert_holds(other, model)


@pytest.mark.parametrize("length", [200, 201, 234, 255])
def test_a_name_may_be_as_long_as_the_file_system_allows(old, length, run):
    path, model = old
    path = path.with_name("n" * (length - 4) + ".npz")
    model.save_weights(path)
    model.save_weights(path)
    assert_holds(path, model)
    run("train", "--save", path, "--epochs", 0).assert_one_line_error("--epochs")


def test_a_missing_folder_and_an_empty_name_are_named(tmp_path):
    model = classifier()
    with pytest.raises(FileNotFoundError, match=r"there is no folder for w\.npz: '.*/nowhere'$"):
        model.save(tmp_path / "nowhere" / "w.npz")
    for save in (model.save, model.save_weights):
        with pytest.raises(ValueError, match=r"to end in \.npz, or in .*, received ''$"):
            save("")
    assert list(tmp_path.iterdir()) == []
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    with pytest.raises(ValueError, match=r"other\.npz does not hold the weights of this model"):
        model.load_weights(tmp_path / "other.npz")
