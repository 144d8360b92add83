"""How long a user waits: import, first step with and without compiled kernels on disk, memory.

    python benchmarks/startup.py

Each figure is taken from processes of their own, in turns where two are compared.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from statistics import median

IMPORTS = {
    "numpy + numba + scipy.linalg": "import numpy, numba, scipy.linalg",
    "minicnn": "import minicnn",
}
STEP = """
import minicnn, minicnn.tutorial
(x, y), _ = minicnn.datasets.mnist.load_data()
model = minicnn.tutorial.tutorial_network()
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.train_on_batch(minicnn.tutorial.scaled(x[:32]), y[:32])
"""
TRAIN = [sys.executable, "-m", "minicnn", "train", "--steps-per-epoch", "200"]


def seconds(command: list[str], **environment: str) -> float:
    """Time of a whole process."""
    start = time.perf_counter()
    subprocess.run(command, env=os.environ | environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Print one line a figure."""
    times: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(9):
        for name, code in IMPORTS.items():
            times[name].append(seconds([sys.executable, "-c", code]))
    base, own = (median(values) for values in times.values())
    print(
        f"import numpy, numba, scipy.linalg: {base:.2f} s; import minicnn: {own:.2f} s, "
        f"{own / base:.2f} times as long"
    )

    with tempfile.TemporaryDirectory() as folder:
        cold = seconds([sys.executable, "-c", STEP], NUMBA_CACHE_DIR=folder)
        warm = median(
            seconds([sys.executable, "-c", STEP], NUMBA_CACHE_DIR=folder) for _ in range(5)
        )
    print(
        f"start of Python to end of the first step: {cold:.1f} s if kernels have to be "
        f"compiled, {warm:.1f} s if they are on disk"
    )

    subprocess.run(TRAIN, stdout=subprocess.DEVNULL, check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory of the command line's training and evaluation: {peak:.0f} MB")


if __name__ == "__main__":
    main()
