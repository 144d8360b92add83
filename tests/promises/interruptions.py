"""Promises 19 and 20: Ctrl-C at any moment, and resumed training."""

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from minicnn.datasets import mnist
from tests import idx_files
from tests.promises import Outcome

ONE_SECOND_AND_A_BATCH = 1.5
IN_A_PROCESS = 25  # interrupts, one after the other

# Trains one model again and again from the same start and in the same order, first without Ctrl-C.
# For each Ctrl-C it prints the number of steps taken, and what is wrong: "bits" if weights or
# optimizer differ from those after that many steps without Ctrl-C, names of threads that still run,
# "BLAS", "handler" (of the signal).
TRAINER = """
import hashlib, signal, sys, threading, time
import numpy as np
import minicnn
from minicnn import Input, Sequential, callbacks, layers
from minicnn.data import Dataset
from minicnn.engine import blas

signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
rng = np.random.default_rng(0)
x, y = rng.normal(size=(6400, 8, 8, 2)).astype("float32"), rng.integers(0, 10, 6400)
minicnn.set_num_threads(2)

def start():
    minicnn.clear_session()
    minicnn.set_random_seed(1)
    model = Sequential([Input((8, 8, 2)), layers.Conv2D(8, 3, activation="relu"), layers.Flatten(),
                        layers.Dense(400, "relu"), layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model, Dataset.from_tensor_slices((x, y)).shuffle(500).batch(32).prefetch(2)

def digest(model):
    arrays = [*model.get_weights(), *(a for slot in model.optimizer.state.values() for a in slot)]
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).digest()

class Digests(callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        undisturbed[kind].append(digest(self.model))

def fit(kind, model, dataset, **options):
    data = {"x": x, "y": y} if kind == "arrays" else {"x": dataset}
    model.fit(**data, verbose=0, **options)

undisturbed = {}
for kind in ("arrays", "dataset"):
    model, dataset = start()
    fit(kind, model, dataset, steps_per_epoch=1)  # compiles
    model, dataset = start()
    undisturbed[kind] = [None]  # no state before the first step
    fit(kind, model, dataset, callbacks=Digests())
usual_blas = [library.num_threads for library in blas.libraries()]
print("ready", flush=True)
for number in range(int(sys.argv[1])):
    kind = ("arrays", "dataset")[number % 2]
    model, dataset = start()
    first = digest(model)
    undisturbed[kind][0] = first
    try:
        print("go", flush=True)
        fit(kind, model, dataset)
        print("late", flush=True)
        while True:
            time.sleep(0.01)
    except KeyboardInterrupt:
        caught = True
    wrong = []
    print("caught", flush=True)
    steps = model.optimizer.iterations
    deadline = time.monotonic() + 1
    def extra():
        return [t.name for t in threading.enumerate()
                if t is not threading.main_thread() and not t.name.startswith("minicnn-worker")]
    while extra() and time.monotonic() < deadline:
        time.sleep(0.01)
    wrong += extra()
    expected = undisturbed[kind][steps]
    if steps and digest(model) != expected or not steps and model.get_weights() and not all(
            np.array_equal(a, b) for a, b in zip(model.get_weights(), start()[0].get_weights())):
        wrong.append("bits")
    blas_threads = [library.num_threads for library in blas.libraries()]
    if blas.one_thread.inside or blas_threads != usual_blas:
        wrong.append("BLAS")
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        wrong.append("handler")
    print(steps, *wrong, flush=True)
"""


def interrupted_fits(share: float) -> Outcome:
    """19: SIGINT at random moments of `fit`, with arrays and prefetched Datasets in turn."""
    wanted = max(1, round(100 * share))
    draw = random.Random(19)
    done, late, faults, slowest, steps_seen = 0, 0, [], 0.0, []
    while done < wanted:
        count = min(IN_A_PROCESS, wanted - done)
        with subprocess.Popen(
            [sys.executable, "-c", TRAINER, str(count)], stdout=subprocess.PIPE, text=True
        ) as child:
            try:
                _require(child.stdout.readline(), "ready\n")
                for _ in range(count):
                    _require(child.stdout.readline(), "go\n")
                    time.sleep(0.3 * draw.random())
                    sent = time.monotonic()
                    child.send_signal(signal.SIGINT)
                    answer = child.stdout.readline()
                    was_late = answer == "late\n"
                    if was_late:
                        answer = child.stdout.readline()
                    delay = time.monotonic() - sent
                    steps, *wrong = child.stdout.readline().split()
                    late += was_late
                    done += not was_late
                    slowest = max(slowest, delay)
                    if not was_late:
                        steps_seen.append(int(steps))
                    if answer != "caught\n" or wrong or delay > ONE_SECOND_AND_A_BATCH:
                        faults.append((steps, delay, *wrong))
                _require(child.wait(timeout=60), 0)
            finally:
                child.kill()
    return Outcome(
        not faults,
        f"{done - len(faults)}/{done} interrupts after {min(steps_seen)} to {max(steps_seen)} "
        f"steps: KeyboardInterrupt after at most {slowest * 1e3:.0f} ms, weights and optimizer bit "
        f"for bit at a whole step, no thread left over" + (f"; faults: {faults}" if faults else ""),
    )


def resumed_fits(share: float) -> Outcome:
    """20: `train --checkpoint`, stopped after k of n epochs or by Ctrl-C, and `--resume`.

    All in new processes; with arrays, and with the infinite Dataset of `--steps-per-epoch`.
    """
    epochs = max(2, round(6 * share))
    right = total = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_data(folder / "data")
        for extra in ([], ["--steps-per-epoch", "40"]):
            whole = _weights(folder, [*extra, "--epochs", str(epochs)])
            cases = [(k, False) for k in range(1, epochs + 1)] + [(k, True) for k in range(epochs)]
            for k, by_ctrl_c in cases:
                file = str(folder / "checkpoint.npz")
                Path(file).unlink(missing_ok=True)
                if by_ctrl_c:
                    _interrupt_in_epoch(folder, [*extra, "--checkpoint", file], k, epochs)
                else:
                    _run(folder, [*extra, "--checkpoint", file, "--epochs", str(k)])
                resumed = _weights(folder, [*extra, "--resume", file, "--epochs", str(epochs)])
                total += 1
                right += resumed == whole
    return Outcome(
        right == total,
        f"{right}/{total} stops (after every k of {epochs} epochs, and by Ctrl-C within every one; "
        "arrays and Datasets), resumed in new processes: weights bit-identical",
    )


def _write_data(folder: Path) -> None:
    """1,600 digits of MNIST for training and 100 for testing, as IDX files."""
    folder.mkdir()
    (x, y), (x_test, y_test) = mnist.load_data()
    train, test = {"x_train": x[:1600], "y_train": y[:1600]}, {"x_test": x_test, "y_test": y_test}
    idx_files.write_folder(folder, train | {key: array[:100] for key, array in test.items()})


def _command(folder: Path, flags: list[str]) -> list[str]:
    return [sys.executable, "-m", "minicnn", "train", "--data", str(folder / "data"), *flags]


def _run(folder: Path, flags: list[str]) -> None:
    subprocess.run(_command(folder, flags), check=True, stdout=subprocess.DEVNULL)


def _weights(folder: Path, flags: list[str]) -> list[bytes]:
    """Train, and return the bits of all weights at the end."""
    saved = folder / "weights.npz"
    _run(folder, [*flags, "--save", str(saved)])
    with np.load(saved) as arrays:
        return [arrays[key].tobytes() for key in arrays]


def _interrupt_in_epoch(folder: Path, flags: list[str], k: int, epochs: int) -> None:
    """Press Ctrl-C in epoch k (from 0) of a training."""
    command = _command(folder, [*flags, "--epochs", str(epochs)])
    default = "import signal, runpy; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command[1:3] = ["-c", default + "runpy.run_module('minicnn', run_name='__main__')"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            while not (line := run.stdout.readline()).startswith(f"Epoch {k + 1}/"):
                if not line:
                    raise RuntimeError(f"training ended early: {run.stderr.read()}")
            time.sleep(0.15)
            run.send_signal(signal.SIGINT)
            _, errors = run.communicate(timeout=120)
        finally:
            run.kill()
    _require((run.returncode, "to go on, pass --resume" in errors), (130, True))


def _require(received: object, expected: object) -> None:
    if received != expected:
        raise RuntimeError(f"expected {expected!r}, received {received!r}")
