"""Item 15: what `fit`, `evaluate` and `predict` print: to a pipe, a terminal and a notebook."""

import contextlib
import contextvars
import io
import os
import re
import signal
import subprocess
import sys
import threading
import traceback

import numpy as np
import pytest
from numba.core import event

from minicnn import Input, Sequential, layers
from minicnn.callbacks import Callback, History
from minicnn.callbacks import progress as progress_module
from minicnn.callbacks.progress import COMPILING, Progress
from minicnn.data import Dataset
from minicnn.engine import compiling
from minicnn.optimizers import SGD
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
    clock = iter([0.0, 7.0, 7.25, 7.5, 9.0])
    monkeypatch.setattr(progress_module.time, "perf_counter", lambda: next(clock))
    progress = Progress(2, steps=3)  # started at 0
    for _ in range(3):
        progress.step({})  # the first ends at 7 s, with compiling
    progress.end({"loss": 0.0005})  # at 9 s, after validation: 2 steps took 0.5 s
    assert printed(capsys) == ["3/3 - 9s - 250ms/step - loss: 5.0000e-04"]


@pytest.mark.parametrize("verbose", [3, -1, "loud", None, [1]])
def test_other_kinds_of_verbose_are_refused(model, verbose):
    with pytest.raises(ValueError, match=r'fit: verbose must be "auto", 0, 1 or 2, received'):
        model.fit(X, Y, verbose=verbose)


# Run on a pseudo-terminal of 80 columns.
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
    fcntl.ioctl(side_of_program, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        stdout=side_of_program,
        stderr=side_of_program,
        env={name: os.environ[name] for name in os.environ if name != "COLUMNS"},
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
    assert all(re.search(rf"/step - {METRICS}$", state.rstrip()) for state in states)
    assert max(len(state) for state in states) < 80  # else the terminal would break the line
    bars = [state.count("█") for state in states]
    assert max(bars) > bars[0]
    assert re.search(r"\d+/\? .*/step - accuracy", output)  # where the number of steps is unknown


class NotebookOutput(io.StringIO):
    """Stands for what a kernel puts in place of `sys.stdout`."""

    encoding = "UTF-8"

    def isatty(self):
        return False


NotebookOutput.__module__ = "ipykernel.iostream"


def test_a_notebook_shows_the_bar_too_and_keeps_it_while_validating(model):
    class Looking(Callback):
        def on_test_begin(self, logs=None):
            seen.append(screen(output.getvalue())[-1])

    seen = []
    with contextlib.redirect_stdout(NotebookOutput()) as output:
        model.fit(X, Y, epochs=2, validation_data=(X, Y), callbacks=[Looking()])
    line = rf"4/4 - {PACE} - {METRICS} - val_accuracy: {NUMBER} - val_loss: {NUMBER}"
    lines = screen(output.getvalue())
    assert_lines(lines, ["Epoch 1/2", line, "Epoch 2/2", line, ""])
    assert_lines(seen, [rf"4/4 █+ 00:00 left - \d+(ms|us)/step - {METRICS}"] * 2)


def test_names_that_the_output_cannot_write_do_not_end_the_epoch():
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="")
    output.isatty = lambda: True
    with contextlib.redirect_stdout(output), Progress(1, steps=1) as progress:
        progress.step({"größe": 1})
        output.flush()
        assert "gr??e: 1.0000" in output.buffer.getvalue().decode()
        progress.end({"größe": 1})


@pytest.mark.full
def test_a_real_notebook():
    """An interrupted `fit` in a kernel: the bar, how far it came, and a short traceback."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    cell = f"""
import signal, time, numpy as np, minicnn
from minicnn import layers
class Slow(minicnn.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.15)
class Interrupted(minicnn.optimizers.SGD):
    def update(self, gradient, weight, velocity):
        if self.iterations == 7:
            signal.raise_signal(signal.SIGINT)
model = minicnn.Sequential([minicnn.Input((3,)), layers.Dense(2, "softmax")])
model.compile(Interrupted(), {SPARSE!r})
model.fit(np.ones((80, 3)), np.arange(80) % 2, batch_size=2, callbacks=[Slow()])"""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    nbclient.NotebookClient(book, kernel_name="python3", allow_errors=True).execute()
    *streams, error = book.cells[0].outputs
    text = "".join(stream["text"] for stream in streams if stream["name"] == "stdout")
    assert len(re.findall(r"\r *\d+/40 \S*█", text)) > 3, text
    assert_lines([screen(text)[-2]], [rf"6/40 - {PACE} - loss: {NUMBER}"])
    assert error["ename"] == "KeyboardInterrupt"
    assert len("\n".join(error["traceback"]).splitlines()) < 25


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (120, r"2/2 █+ 00:00 left - \dus/step - accuracy: 0.5000 - loss: 2.2500 - top_k: 0.7500"),
        (76, r"2/2 █+ 00:00 left - accuracy: 0.5000 - loss: 2.2500 - top_k: 0.7500"),
        (60, r"2/2 █+ accuracy: 0.5000 - loss: 2.2500 - top_k: 0.7500"),
        (50, r"2/2 █+ accuracy: 0.5000 - loss: 2.2500"),
        (30, r"2/2 █+ accuracy: 0.5000"),
        (20, r"2/2 █+"),
        (3, r"2/2"),
        (1, r"2"),
    ],
)
def test_what_does_not_fit_beside_the_bar_is_left_out_and_never_cut(monkeypatch, width, expected):
    monkeypatch.setattr(progress_module, "IN_A_NOTEBOOK", width)
    logs = {"accuracy": 0.5, "loss": 2.25, "top_k": 0.75}
    output = NotebookOutput()
    with contextlib.redirect_stdout(output), Progress(1, steps=2) as progress:
        progress.step(logs)
        progress.step(logs)
        state = screen(output.getvalue())[-1]
    assert len(state) <= width
    assert re.fullmatch(expected, state), state


class CtrlC(SGD):
    """Presses Ctrl-C in the third step, whose loss is not counted then."""

    def update(self, gradient, weight, velocity):
        super().update(gradient, weight, velocity)
        if self.iterations == 3:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def ctrl_c():
    """Ctrl-C as in a terminal; in a background job it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def functions(error):
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_an_interrupt_leaves_how_far_training_came_and_a_short_traceback(ctrl_c, capsys, verbose):
    model = classifier(inputs=3, classes=2, optimizer=CtrlC(), metrics=["accuracy"])
    with pytest.raises(KeyboardInterrupt) as caught:
        model.fit(X, Y, verbose=verbose)
    assert_lines(printed(capsys), [rf"2/4 - {PACE} - {METRICS}"] if verbose else [])
    assert functions(caught.value)[1:] == ["checked", "fit"]


def test_the_traceback_of_an_interrupt_shows_the_function_of_the_user_that_was_running(ctrl_c):
    def loaded():
        yield X, Y
        signal.raise_signal(signal.SIGINT)

    class Interrupting(Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.work()

        def work(self):
            signal.raise_signal(signal.SIGINT)

    model = classifier(inputs=3, classes=2)
    with pytest.raises(KeyboardInterrupt) as caught:
        model.fit(X, Y, verbose=0, callbacks=[Interrupting()])
    assert functions(caught.value)[1:] == ["checked", "fit", "on_train_batch_end", "work"]
    for call, names in ((model.evaluate, ["evaluate", "_evaluate"]), (model.predict, ["predict"])):
        with pytest.raises(KeyboardInterrupt) as caught:
            call(Dataset.from_generator(loaded), verbose=0)
        assert functions(caught.value)[1:] == ["checked", *names, "loaded"]


def test_an_error_leaves_how_far_training_came_and_its_whole_traceback(capsys):
    def broken():
        yield X, Y
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk") as caught:
        classifier(inputs=3, classes=2).fit(Dataset.from_generator(broken))
    assert_lines(printed(capsys), [rf"1/1 - {PACE} - loss: {NUMBER}"])
    assert "_learn" in functions(caught.value)


@pytest.mark.parametrize("verbose", [1, 2])
def test_compiling_is_said_once_in_the_cell_that_runs(monkeypatch, verbose):
    class Output(io.StringIO):
        def write(self, text):
            written.append((text, cell.get("none")))

    def compile_something():
        with event.trigger_event("numba:compile"), event.trigger_event("numba:compile"):
            pass

    written, cell = [], contextvars.ContextVar("cell")
    cell.set("this one")
    monkeypatch.setattr(sys, "stdout", Output())
    with Progress(verbose, steps=3):
        helper = threading.Thread(target=compile_something)
        helper.start()
        helper.join()
        compile_something()
    assert [each for each in written if each[0] != "\n"] == [(COMPILING, "this one")]


def test_compiling_after_a_fit_that_compiled_nothing_is_said_as_usual(monkeypatch, capsys):
    monkeypatch.setattr(compiling._usual, "told", False)
    with Progress(1, steps=1):
        pass
    assert not compiling._usual.told
    with Progress(1, steps=1), event.trigger_event("numba:compile"):
        pass
    assert compiling._usual.told
    assert printed(capsys) == [COMPILING]


def test_a_history_says_how_many_epochs_and_their_last_values(model):
    assert repr(History({})) == "<History epochs=0>"
    history = model.fit(X, Y, epochs=2, verbose=0)
    accuracy, loss = (history.history[name][-1] for name in ("accuracy", "loss"))
    assert repr(history) == f"<History epochs=2, accuracy={accuracy:.4g}, loss={loss:.4g}>"


def test_a_model_says_how_large_it_is():
    model = Sequential([layers.Flatten(), layers.Dense(2)], name="small")
    assert repr(model) == "<Sequential name=small, layers=2, built=False>"
    model.build((None, 3))
    assert repr(model) == "<Sequential name=small, layers=2, parameters=8, built=True>"
    assert repr(Sequential([Input((3,))], name="a")).endswith("layers=0, parameters=0, built=True>")
