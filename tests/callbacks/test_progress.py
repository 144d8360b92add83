"""Item 15: what `fit`, `evaluate` and `predict` print, to a pipe and to a terminal."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from minicnn.callbacks import progress as progress_module
from minicnn.callbacks.progress import COMPILING, Progress
from minicnn.data import Dataset
from tests.twins import SPARSE, classifier

NUMBER = r"\d(\.\d{4}(e[+-]\d\d)?|\.\d+e-\d\d)"
PACE = r"\d+s - \d+(ms|us)/step"
METRICS = rf"accuracy: {NUMBER} - loss: {NUMBER}"
X, Y = np.ones((100, 3)), np.arange(100) % 2


@pytest.fixture(scope="module")
def model():
    model = classifier(inputs=3, classes=2, optimizer="adam", metrics=["accuracy"])
    # Compiles the kernels, so that the message about it is not among what is tested.
    model.fit(X[:4], Y[:4], verbose=0)
    return model


def printed(capsys):
    output = capsys.readouterr()
    assert output.err == ""
    # No control characters except ends of lines.
    assert re.fullmatch(r"[\n\x20-\x7e]*", output.out)
    return output.out.splitlines()


def assert_lines(lines, patterns):
    assert len(lines) == len(patterns), lines
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), line


@pytest.mark.parametrize("verbose", [1, 2, "auto"])
def test_item_15_one_line_an_epoch_where_there_is_no_terminal(model, capsys, verbose):
    model.fit(X, Y, verbose=verbose)
    assert_lines(printed(capsys), [rf"4/4 - {PACE} - {METRICS}"])


@pytest.mark.parametrize("verbose", [1, 2, "auto"])
def test_item_15_epochs_are_numbered_if_there_are_several(model, capsys, verbose):
    model.fit(X, Y, epochs=3, verbose=verbose)
    line = rf"4/4 - {PACE} - {METRICS}"
    assert_lines(printed(capsys), ["Epoch 1/3", line, "Epoch 2/3", line, "Epoch 3/3", line])


def test_item_15_verbose_0_is_silent(model, capsys):
    model.fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y))
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    model.train_on_batch(X, Y)
    assert printed(capsys) == []


def test_item_15_output_is_the_default(model, capsys):
    model.fit(X, Y)
    model.evaluate(X, Y)
    model.predict(X)
    line = rf"4/4 - {PACE}"
    assert_lines(printed(capsys), [f"{line} - {METRICS}", f"{line} - {METRICS}", line])


def test_item_15_validation_is_on_the_same_line(model, capsys):
    model.fit(X, Y, verbose=2, validation_data=(X, Y))
    validation = rf"val_accuracy: {NUMBER} - val_loss: {NUMBER}"
    assert_lines(printed(capsys), [rf"4/4 - {PACE} - {METRICS} - {validation}"])


def test_item_15_the_printed_numbers_are_those_of_the_history(model, capsys):
    history = model.fit(X, Y, epochs=2, verbose=2).history
    lines = printed(capsys)[1::2]
    for line, accuracy, loss in zip(lines, history["accuracy"], history["loss"], strict=True):
        assert line.endswith(f" - accuracy: {accuracy:.4f} - loss: {loss:.4f}")


def test_item_15_steps_are_counted_where_their_number_was_unknown(model, capsys):
    dataset = Dataset.from_generator(lambda: iter([(X, Y)] * 3))
    model.fit(dataset, epochs=2, verbose=1)
    line = rf"3/3 - {PACE} - {METRICS}"
    assert_lines(printed(capsys), ["Epoch 1/2", line, "Epoch 2/2", line])


def test_item_15_the_first_step_is_left_out_of_the_pace(monkeypatch, capsys):
    clock = iter([0.0, 7.0, 7.25, 7.5])
    monkeypatch.setattr(progress_module.time, "perf_counter", lambda: next(clock))
    progress = Progress(2, steps=3)  # started at 0
    for _ in range(3):
        progress.step({})  # the first ends at 7 s, with compiling
    progress.end({"loss": 0.0005})  # at 7.25 s the line, at 7.5 s the pace: 2 steps in 0.5 s
    assert printed(capsys) == ["3/3 - 7s - 250ms/step - loss: 5.0000e-04"]


@pytest.mark.parametrize("verbose", [3, -1, "loud", None, [1]])
def test_other_kinds_of_verbose_are_refused(model, verbose):
    with pytest.raises(ValueError, match=r'fit: verbose must be "auto", 0, 1 or 2, received'):
        model.fit(X, Y, verbose=verbose)


# Run on a pseudo-terminal of 100 columns.
PROGRAM = f"""
import time
import numpy as np
from minicnn import Input, Sequential, layers
from minicnn.data import Dataset

class Slow(layers.ReLU):
    def forward(self, x):
        time.sleep(0.01)
        return super().forward(x)

model = Sequential([Input((3,)), Slow(), layers.Dense(2, "softmax")])
model.compile("sgd", {SPARSE!r}, metrics=["accuracy"])
x, y = np.ones((80, 3)), np.arange(80) % 2
print("first")
model.fit(x, y, batch_size=2, epochs=2, verbose="auto")
model.fit(Dataset.from_generator(lambda: iter([(x, y)] * 20)), verbose=1)
model.evaluate(x, y)
model.fit(x, y, verbose=2)
print("last")
"""


def on_a_terminal(program):
    """All that `program` writes to a pseudo-terminal."""
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals on this system")
    import fcntl
    import struct
    import termios

    terminal, side_of_program = pty.openpty()
    fcntl.ioctl(side_of_program, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        stdout=side_of_program,
        stderr=side_of_program,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(side_of_program)
    output = b""
    try:
        while chunk := os.read(terminal, 4096):
            output += chunk
    except OSError:  # on Linux: the program has closed its side
        pass
    finally:
        os.close(terminal)
        assert process.wait(timeout=60) == 0, output
    return output.decode()


def screen(output):
    """The lines that stay visible: text after a carriage return overwrites its line."""
    lines = []
    for line in output.replace("\r\n", "\n").split("\n"):
        shown = ""
        for text in line.split("\r"):
            shown = text + shown[len(text) :]
        lines.append(shown.rstrip())
    return lines


def test_item_15_a_terminal_shows_a_bar_whose_last_line_stays():
    output = on_a_terminal(PROGRAM)
    lines = [line for line in screen(output) if line and line != COMPILING]
    line = rf"{PACE} - {METRICS}"
    expected = ["first", "Epoch 1/2", f"40/40 - {line}", "Epoch 2/2", f"40/40 - {line}"]
    expected += [f"20/20 - {line}", f"3/3 - {line}", f"3/3 - {line}", "last"]
    assert_lines(lines, expected)

    # Before that: steps, a growing bar, the pace, running values.
    states = [text for text in output.split("\r") if re.search(r"\d+/40 \S*█", text)]
    assert len(states) > 5, output
    assert all(re.search(rf"/step - {METRICS}", state) for state in states)
    bars = [state.count("█") for state in states]
    assert max(bars) > bars[0]
    assert re.search(r"\d+/\? .*/step - accuracy", output)  # where the number of steps is unknown
