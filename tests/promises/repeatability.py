"""Promise 9: a seed gives the same bits in new processes, on any threads, with any cache."""

import itertools
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.promises import Outcome

ROOT = Path(__file__).parents[2]
SEED = 7
LAYERS = ("", "omp", "tbb", "workqueue")  # Numba's threading layers; minicnn uses none of them
COLD = 4

# 20 steps of the tutorial's network on MNIST, half of them with a shuffled Dataset.
PROGRAM = """
import hashlib
import sys
import minicnn
from minicnn import datasets
from minicnn.data import AUTOTUNE, Dataset
from tests.twins import SPARSE, tutorial_network

seed, threads = map(int, sys.argv[1:])
minicnn.set_random_seed(seed)
minicnn.set_num_threads(threads)
(x, y), _ = datasets.mnist.load_data()
x = x[:2000].reshape(-1, 28, 28, 1) / 255.0
samples = Dataset.from_tensor_slices((x, y[:2000]))
model = tutorial_network(minicnn, minicnn.layers)
model.compile("adam", SPARSE, metrics=["accuracy"])
model.fit(samples.shuffle(500).repeat().batch(20).prefetch(AUTOTUNE), epochs=2, steps_per_epoch=5,
          verbose=0)
model.fit(x[:200], y[:200], batch_size=20, verbose=0)
assert model.optimizer.iterations == 20
print(hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest())
"""


def repeatable(share: float = 1) -> Outcome:
    """9: training in new processes ends with the same weights, and with others for another seed."""
    cores = os.cpu_count() or 1
    warm = list(itertools.product(LAYERS, (1, 2, 3, max(4, cores))))
    warm = warm[: max(2, round(share * len(warm)))]
    hashes = [
        weights_after_training(SEED, threads, NUMBA_THREADING_LAYER=layer)
        for layer, threads in warm
    ]
    cold = [1, 2, 3, max(4, cores)][: max(1, round(share * COLD))]
    for threads in cold:
        with tempfile.TemporaryDirectory() as folder:
            hashes += [
                weights_after_training(SEED, threads, NUMBA_CACHE_DIR=folder) for _ in range(2)
            ]
    found, other = Counter(hashes), weights_after_training(SEED + 1, 2)
    failed = sum(n for value, n in found.items() if len(value) != 64)
    kept = len(found) == 1 and not failed and other not in found
    layers = ", ".join(sorted({layer or "default" for layer, _ in warm}))
    return Outcome(
        kept,
        f"{len(hashes)} processes of 20 steps ({len(warm)} with a warm cache, {len(cold)} with a "
        f"cold one and {len(cold)} with what these have cached; threads 1, 2, 3 and "
        f"{max(4, cores)}; layers {layers}): {len(found)} distinct SHA-256, {failed} failures",
    )


def weights_after_training(seed: int, threads: int, **environment: str) -> str:
    """The hash of the weights after `PROGRAM` in a new process, or its error."""
    chosen = {name: value for name, value in environment.items() if value}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(seed), str(threads)],
        cwd=ROOT,
        env=os.environ | chosen,
        capture_output=True,
        text=True,
        timeout=900,
    )
    return done.stdout.strip() if done.returncode == 0 else done.stderr[-300:]
