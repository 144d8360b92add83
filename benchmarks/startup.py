"""How long a user waits: import, and first step with and without compiled kernels on disk; memory.

    python benchmarks/startup.py

Every figure is measured in new processes; the two imports are timed in turns.
"""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
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


def python(*arguments: str, **environment: str) -> Callable[[], Any]:
    """A function that runs Python with these arguments in a new process."""
    return lambda: subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )


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


if __name__ == "__main__":
    main()
