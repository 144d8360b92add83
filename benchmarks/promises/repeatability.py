"""Promise 9: one seed, one set of bits; in new processes, on any threads, from any cache."""

import itertools
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.promises import Outcome

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))  # the program is that of the tests

from test_reproducibility import PROGRAM  # noqa: E402

SEED = 7
LAYERS = ("", "omp", "tbb", "workqueue")  # Numba's; minicnn's kernels use none of them
COLD = 4


def repeatable(share: float = 1) -> Outcome:
    """Train in new processes; kept if all end with the same weights, and another seed does not."""
    cores = os.cpu_count() or 1
    warm = list(itertools.product(LAYERS, (1, 2, 3, max(4, cores))))
    warm = warm[: max(2, round(share * len(warm)))]
    hashes = [_weights(SEED, threads, NUMBA_THREADING_LAYER=layer) for layer, threads in warm]
    cold = [1, 2, 3, max(4, cores)][: max(1, round(share * COLD))]
    for threads in cold:
        with tempfile.TemporaryDirectory() as folder:
            hashes += [_weights(SEED, threads, NUMBA_CACHE_DIR=folder) for _ in range(2)]
    found, other = Counter(hashes), _weights(SEED + 1, 2)
    failed = sum(n for value, n in found.items() if len(value) != 64)
    kept = len(found) == 1 and not failed and other not in found
    layers = ", ".join(sorted({layer or "default" for layer, _ in warm}))
    return Outcome(
        kept,
        f"{len(hashes)} processes of 20 steps ({len(warm)} with a warm cache, {len(cold)} with a "
        f"cold one and {len(cold)} from what these left; threads 1, 2, 3 and {max(4, cores)}; "
        f"layers {layers}): {len(found)} distinct SHA-256, {failed} failures",
    )


def _weights(seed: int, threads: int, **environment: str) -> str:
    """The hash of the weights, or what went wrong."""
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
