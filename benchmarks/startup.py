"""How long a user waits: import, first step, first fit of a new architecture; memory.

    python benchmarks/startup.py

Every figure is measured in new processes; the two imports are timed in turns. The first step is
measured with and without compiled kernels on disk.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from measure import in_turns, seconds

STEP = """
import minicnn, minicnn.tutorial
(x, y), _ = minicnn.datasets.mnist.load_data()
model = minicnn.tutorial.tutorial_network()
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.train_on_batch(minicnn.tutorial.scaled(x[:32]), y[:32])
"""

# Architectures whose kernels nobody has compiled for them, and what the time of each row needs:
# seconds of the first and of the second `fit` of 64 images in a new process.
FIT = """
import sys, time
import numpy as np, minicnn
from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
images, layers, dtype = {architecture}
x = np.random.default_rng(0).random((64, *images))
model = minicnn.Sequential([Input(images), *layers, Flatten(), Dense(10, "softmax")], dtype=dtype)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
for _ in range(2):
    start = time.perf_counter()
    model.fit(x, np.arange(64) % 10, verbose=0)
    print(time.perf_counter() - start)
"""
NEW_ARCHITECTURES = {
    "16, 32 filters 3x3": """(28, 28, 1), [
        Conv2D(16, 3, padding="same", activation="relu"), MaxPooling2D(),
        Conv2D(32, 3, padding="same", activation="relu"), MaxPooling2D()], "float32" """,
    "24, 48 filters 5x5": """(28, 28, 1), [
        Conv2D(24, 5, padding="same", activation="relu"), MaxPooling2D(),
        Conv2D(48, 5, padding="same", activation="relu"), MaxPooling2D()], "float32" """,
    "32, 64, 128 filters 3x3 on 64x64x3": """(64, 64, 3), [
        Conv2D(32, 3, activation="relu"), MaxPooling2D(),
        Conv2D(64, 3, activation="relu"), MaxPooling2D(),
        Conv2D(128, 3, activation="relu"), MaxPooling2D()], "float32" """,
    "16, 32 filters 7x7 and 1x1": """(28, 28, 1), [
        Conv2D(16, 7, activation="relu"), MaxPooling2D(),
        Conv2D(32, 1, activation="relu"), MaxPooling2D()], "float32" """,
    "16, 32 filters 3x3, strides 2": """(28, 28, 1), [
        Conv2D(16, 3, 2, activation="relu"), Conv2D(32, 3, 2, activation="relu")], "float32" """,
    "16, 32 filters 3x3, no pooling": """(28, 28, 1), [
        Conv2D(16, 3, activation="relu"), Conv2D(32, 3, activation="relu")], "float32" """,
    "the tutorial's in float64": """(28, 28, 1), [
        Conv2D(32, 5, padding="same", activation="relu"), MaxPooling2D(),
        Conv2D(64, 5, padding="same", activation="relu"), MaxPooling2D()], "float64" """,
}


def python(*arguments: str, **environment: str) -> Callable[[], Any]:
    """A function that runs Python with these arguments in a new process."""
    command = [sys.executable, *arguments]
    return lambda: subprocess.check_output(command, env=os.environ | environment)


def main() -> None:
    """Measure and print."""
    python("-m", "minicnn", "train", "--steps-per-epoch", "200")()
    # The largest of all processes so far, hence before the others.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory of the command line's training and evaluation: {peak:.0f} MB")

    imports = {
        "numpy, numba, scipy.linalg": python("-c", "import numpy, numba, scipy.linalg"),
        "minicnn": python("-c", "import minicnn"),
    }
    times = in_turns(imports, 9, warm_up=False)
    base, own = (median(times[name]) for name in imports)
    print(
        f"import numpy, numba, scipy.linalg: {base:.2f} s; import minicnn: {own:.2f} s, "
        f"{own / base:.2f} times as long"
    )

    with tempfile.TemporaryDirectory() as folder:
        step = python("-c", STEP, NUMBA_CACHE_DIR=folder)
        cold = seconds(step)
        warm = median(in_turns({"": step}, 5, warm_up=False)[""])
        print(
            f"start of Python to end of the first step: {cold:.1f} s if kernels have to be "
            f"compiled, {warm:.1f} s if they are on disk"
        )
    with tempfile.TemporaryDirectory() as folder:
        # An epoch takes long enough for the kernels of other architectures to be compiled, too.
        epoch = python("-m", "minicnn", "train", NUMBA_CACHE_DIR=folder)
        print(f"one epoch of the tutorial's network, compiling included: {seconds(epoch):.1f} s")
        print("then the first fit of a new architecture, and its second fit:", flush=True)
        for name, architecture in NEW_ARCHITECTURES.items():
            own = Path(shutil.copytree(folder, f"{folder}-copy"))
            fit = python("-c", FIT.format(architecture=architecture), NUMBA_CACHE_DIR=str(own))
            first, second = map(float, fit().split())
            print(f"{name:36}{first:8.2f} s{second:8.3f} s", flush=True)
            shutil.rmtree(own)


if __name__ == "__main__":
    main()
