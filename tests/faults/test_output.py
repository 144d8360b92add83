"""`sys.stdout` may be anything: an object without `isatty`, None, closed, of a narrow encoding."""

import contextlib
import io

import numpy as np
import pytest

from minicnn.callbacks import EarlyStopping, ModelCheckpoint
from minicnn.callbacks.output import is_terminal, say
from minicnn.cli.main import main
from tests.twins import classifier

X, Y = np.ones((4, 5)), np.array([0, 1, 2, 0])


class Tee:
    """What programs put in the place of `sys.stdout` to write into two files."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


def closed():
    file = io.StringIO()
    file.close()
    return file


@pytest.mark.parametrize("make", [lambda: None, Tee, closed], ids=["None", "tee", "closed"])
def test_everything_that_prints_runs(make):
    model, out = classifier(metrics=["accuracy"]), make()
    with contextlib.redirect_stdout(out):
        model.fit(X, Y, epochs=2, callbacks=EarlyStopping("loss", verbose=1))
        model.evaluate(X, Y)
        model.predict(X)
        model.summary()
        assert not is_terminal()
    if isinstance(out, Tee):
        assert "Epoch 2/2\n1/1 - " in out.text
        assert "Total params: 18" in out.text


def test_commands_run_without_an_output(run):
    with contextlib.redirect_stdout(None):
        assert run("summary").status == 0


def test_characters_that_the_output_lacks_become_escapes(tmp_path):
    """The name of a checkpoint, for instance: training must not end because of it."""
    model = classifier()
    model.layers[0].name = "größe"
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="ascii")) as out:
        path = tmp_path / "größe.npz"
        model.fit(X, Y, verbose=0, callbacks=ModelCheckpoint(path, monitor="loss", verbose=1))
        model.summary()
        say("a\udc80")  # of the name of a file in another encoding
    assert rb"gr\xf6\xdfe.npz" in out.buffer.getvalue()
    assert out.buffer.getvalue().endswith(b"a\\udc80\n")
    assert path.exists()


def test_a_command_writes_names_that_the_output_lacks():
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="ascii")) as out:
        assert main(["summary"]) == 0
        print("größe")
    assert out.buffer.getvalue().splitlines()[0] == b'Model: "sequential"'
