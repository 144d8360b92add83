"""`python -m minicnn verify --mine FILE.py`: the layers of a user's file."""

import json
import sys

import pytest

RIGHT = '''
import numpy as np
from minicnn.layers import Layer
from minicnn.losses import Loss
from helper_of_mine import twin


class Scale(Layer):
    example_arguments = ({"factor": 2.0}, {"factor": -0.5})

    def __init__(self, factor, name=None):
        super().__init__(name)
        self.factor = factor

    def keras_twin(self):
        return twin(self.factor)

    def forward(self, x):
        return x * x.dtype.type(self.factor), None

    def backward(self, dy, cache):
        return dy * dy.dtype.type(self.factor), {}


class Square:
    """Without a base class, and without a twin."""

    example_shape = (3,)

    def forward(self, x):
        return x**2, x

    def backward(self, dy, x):
        return 2 * dy * x, {}


class Loss2(Loss):
    pass
'''
HELPER = """
def twin(factor):
    import keras

    return keras.layers.Rescaling(factor)
"""
WRONG = RIGHT.replace("return dy * dy", "return -dy * dy").replace("2 * dy * x", "2 * dy * x**3")


@pytest.fixture
def mine(tmp_path):
    """Writes a file with such source, and returns its path."""
    (tmp_path / "helper_of_mine.py").write_text(HELPER)

    def write(source):
        path = tmp_path / "mine.py"
        path.write_text(source)
        return path

    yield write
    sys.modules.pop("helper_of_mine", None)
    sys.modules.pop("_mine_mine", None)


def test_right_layers(keras, run, mine, tmp_path):
    result = run("verify", "--mine", mine(RIGHT), "--json", tmp_path / "found.json")
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    assert sum(line.startswith("Scale ") for line in lines) == 6
    assert sum(line.startswith("Square ") for line in lines) == 1
    assert "Without a keras_twin, so not compared with Keras: Square" in lines
    assert "No layers, so not checked: Loss2" in lines
    assert "7 rows, 0 of them wrong" in lines
    assert len(json.loads((tmp_path / "found.json").read_text())["rows"]) == 7


def test_wrong_layers_end_with_status_1(keras, run, mine):
    result = run("verify", "--mine", mine(WRONG))
    assert result.status == 1
    assert result.out.count("MISMATCH") == 7
    assert "the sign is wrong" in result.out
    assert "Square, 3: gradients" in result.out


def test_without_tensorflow_gradients_alone_are_checked(run, mine, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    result = run("verify", "--mine", mine(RIGHT))
    assert result.status == 2
    assert "--mine: the Keras reference needs TensorFlow" in result.err
    result = run("verify", "--mine", mine(RIGHT.replace("def keras_twin", "def other")))
    assert result.status == 0


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("x = (", "cannot be imported: SyntaxError"),
        ("raise SystemExit", "cannot be imported: SystemExit"),
        ("x = 1", "defines no class with forward and backward"),
    ],
)
def test_files_that_cannot_be_used(run, mine, source, words):
    result = run("verify", "--mine", mine(source))
    assert result.status == 2
    assert words in result.err
    assert len(result.err.splitlines()) == 1


def test_flags_that_do_not_go_together(run, mine, tmp_path):
    path = mine(RIGHT)
    for flags, words in [
        (["--mine", tmp_path / "none.py"], "there is no"),
        (["--mine", path, "--layer", "dense"], "--layer"),
        (["--mine", path, "--golden"], "--golden"),
        (["--mine", path, "--full"], "not allowed with"),
    ]:
        result = run("verify", *flags)
        assert result.status == 2
        assert words in result.err


def test_a_layer_that_cannot_be_made_is_not_right(run, mine):
    source = RIGHT.replace("example_arguments", "other").replace("def keras_twin", "def other_twin")
    result = run("verify", "--mine", mine(source))
    assert result.status == 1
    assert "NOT CHECKED" in result.out
    assert "set example_arguments and example_shape" in result.out
