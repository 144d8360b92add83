"""Promises 19 and 20: Ctrl-C at any moment, and resumed training."""

import contextlib
import hashlib
import itertools
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import minicnn
from minicnn import Input, Sequential, callbacks, layers
from minicnn.data import Dataset
from minicnn.datasets import mnist
from minicnn.engine import blas
from tests import idx_files
from tests.promises import Outcome

ONE_SECOND_AND_A_BATCH = 1.5
IN_A_PROCESS = 25  # interrupts, one after the other
ROOT = Path(__file__).parents[2]
KINDS = ("arrays", "dataset")
# In the processes that receive Ctrl-C, which background jobs ignore.
USUAL_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
TRAINER = "from tests.promises.interruptions import train_again_and_again as t; t({})"


def train_again_and_again(times: int) -> None:
    """Train one model again and again from the same start and in the same order, until Ctrl-C.

    For each Ctrl-C it prints whether it came after the end, the number of steps taken, and what is
    wrong: "bits" if weights or optimizer differ from those after that many steps without Ctrl-C,
    names of threads that still run, "BLAS", "handler" (of the signal).
    """
    minicnn.set_num_threads(2)
    undisturbed = {kind: _undisturbed(kind) for kind in KINDS}
    usual_blas = [library.num_threads for library in blas.libraries()]
    print("ready", flush=True)
    for number in range(times):
        kind, is_late = KINDS[number % 2], False
        model, data = _at_the_start(kind)
        try:
            print("go", flush=True)
            model.fit(**data, verbose=0)
            is_late = True
            time.sleep(60)
        except KeyboardInterrupt:
            print("caught", flush=True)
        deadline = time.monotonic() + 1
        while (wrong := _threads_left()) and time.monotonic() < deadline:
            time.sleep(0.01)
        steps = model.optimizer.iterations
        if _digest(model) != undisturbed[kind][steps]:
            wrong.append("bits")
        if blas.one_thread.inside or usual_blas != [b.num_threads for b in blas.libraries()]:
            wrong.append("BLAS")
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            wrong.append("handler")
        print(int(is_late), steps, *wrong, flush=True)


def _at_the_start(kind: str) -> tuple[Sequential, dict]:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6400, 8, 8, 2)).astype("float32"), rng.integers(0, 10, 6400)
    minicnn.clear_session()
    minicnn.set_random_seed(1)
    hidden = [layers.Conv2D(8, 3, activation="relu"), layers.Flatten(), layers.Dense(400, "relu")]
    model = Sequential([Input((8, 8, 2)), *hidden, layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    dataset = Dataset.from_tensor_slices((x, y)).shuffle(500).batch(32).prefetch(2)
    return model, {"x": x, "y": y} if kind == "arrays" else {"x": dataset}


def _undisturbed(kind: str) -> list[bytes]:
    """Digests of the model after 0, 1, 2... steps."""

    class Digests(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            found.append(_digest(self.model))

    model, data = _at_the_start(kind)
    found = [_digest(model)]
    model.fit(**data, verbose=0, callbacks=Digests())
    return found


def _digest(model: Sequential) -> bytes:
    """Of weights and optimizer, whose state may be there before the first step is complete."""
    slots = model.optimizer.state.values() if model.optimizer.iterations else ()
    arrays = [*model.get_weights(), *(array for slot in slots for array in slot)]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).digest()


def _threads_left() -> list[str]:
    names = {thread.name for thread in threading.enumerate()} - {threading.main_thread().name}
    return [name for name in names if not name.startswith("minicnn-worker")]


def interrupted_fits(share: float) -> Outcome:
    """19: SIGINT at random moments of `fit`, with arrays and prefetched Datasets in turn."""
    wanted = max(1, round(100 * share))
    draw = random.Random(19)
    faults, slowest, steps_seen = [], 0.0, []
    while len(steps_seen) < wanted:
        count = min(IN_A_PROCESS, wanted - len(steps_seen))
        with _process("-c", USUAL_CTRL_C + TRAINER.format(count)) as child:
            _require(child.stdout.readline(), "ready\n")
            for _ in range(count):
                _require(child.stdout.readline(), "go\n")
                time.sleep(0.3 * draw.random())
                sent = time.monotonic()
                child.send_signal(signal.SIGINT)
                answer = child.stdout.readline()
                delay = time.monotonic() - sent
                is_late, steps, *wrong = child.stdout.readline().split()
                slowest = max(slowest, delay)
                if not int(is_late):
                    steps_seen.append(int(steps))
                if answer != "caught\n" or wrong or delay > ONE_SECOND_AND_A_BATCH:
                    faults.append((steps, delay, *wrong))
            _require(child.wait(timeout=60), 0)
    return Outcome(
        not faults,
        f"{wanted - len(faults)}/{wanted} interrupts after {min(steps_seen)} to {max(steps_seen)} "
        f"steps: KeyboardInterrupt after at most {slowest * 1e3:.0f} ms, weights and optimizer bit "
        f"for bit at a whole step, no thread left over" + (f"; faults: {faults}" if faults else ""),
    )


@contextlib.contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen]:
    """A new process of Python, killed at the end if it still runs."""
    command = [sys.executable, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def resumed_fits(share: float) -> Outcome:
    """20: `train --checkpoint`, stopped after k of n epochs or by Ctrl-C, and `--resume`.

    All in new processes; with arrays, and with the infinite Dataset of `--steps-per-epoch`.
    """
    epochs = max(2, round(6 * share))
    total = ["--epochs", str(epochs)]
    resumed = []  # whether each ends with the weights of uninterrupted training
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_data(folder / "data")
        for extra in ([], ["--steps-per-epoch", "40"]):
            whole = _weights(folder, [*extra, *total])
            for k, by_ctrl_c in itertools.product(range(epochs), (False, True)):
                file = folder / "checkpoint.npz"
                file.unlink(missing_ok=True)
                flags = [*extra, "--checkpoint", str(file)]
                if by_ctrl_c:
                    _interrupt_in_epoch(folder, [*flags, *total], k)
                else:
                    _run(folder, [*flags, "--epochs", str(k + 1)])
                after = _weights(folder, [*extra, "--resume", str(file), *total])
                resumed.append(after == whole)
    return Outcome(
        all(resumed),
        f"{sum(resumed)}/{len(resumed)} stops (after every k of {epochs} epochs, and by Ctrl-C "
        "within every one; arrays and Datasets), resumed in new processes: weights bit-identical",
    )


def _write_data(folder: Path) -> None:
    """1,600 digits of MNIST for training and 100 for testing, as IDX files."""
    folder.mkdir()
    (x, y), (x_test, y_test) = mnist.load_data()
    train, test = {"x_train": x[:1600], "y_train": y[:1600]}, {"x_test": x_test, "y_test": y_test}
    idx_files.write_folder(folder, train | {key: array[:100] for key, array in test.items()})


def _run(folder: Path, flags: list[str]) -> None:
    command = [sys.executable, "-m", "minicnn", "train", "--data", str(folder / "data"), *flags]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _weights(folder: Path, flags: list[str]) -> list[bytes]:
    """Train, and return the bits of all weights at the end."""
    saved = folder / "weights.npz"
    _run(folder, [*flags, "--save", str(saved)])
    with np.load(saved) as arrays:
        return [arrays[key].tobytes() for key in arrays]


def _interrupt_in_epoch(folder: Path, flags: list[str], k: int) -> None:
    """Press Ctrl-C in epoch k (from 0) of a training."""
    program = USUAL_CTRL_C + "import runpy; runpy.run_module('minicnn', run_name='__main__')"
    with _process("-c", program, "train", "--data", str(folder / "data"), *flags) as run:
        while not (line := run.stdout.readline()).startswith(f"Epoch {k + 1}/"):
            _require(line != "", True)
        time.sleep(0.15)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=120)
    _require((run.returncode, "to go on, pass --resume" in errors), (130, True))


def _require(received: object, expected: object) -> None:
    if received != expected:
        raise RuntimeError(f"expected {expected!r}, received {received!r}")
