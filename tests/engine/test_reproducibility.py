"""Promise 9: a seed gives the same bits in new processes and on any number of threads."""

import os
import subprocess
import sys

import numpy as np
import pytest

import minicnn
from minicnn import Input, Sequential, layers
from minicnn.data import Dataset
from tests.promises.repeatability import repeatable, weights_after_training


def test_promise_9_a_seed_gives_the_same_bits_in_new_processes_and_on_any_threads():
    *same, other = (weights_after_training(*each) for each in ((7, 1), (7, 2), (7, 3), (8, 2)))
    assert len(set(same)) == 1
    assert len(same[0]) == 64
    assert other != same[0]


@pytest.mark.full
def test_promise_9_in_full():
    outcome = repeatable()
    assert outcome.kept, outcome.figure


def trained(data, **arguments):
    minicnn.set_random_seed(3)
    model = Sequential(
        [
            Input((9, 8, 2)),
            layers.Conv2D(5, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(4, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(*data(), epochs=2, verbose=0, **arguments)
    weights = b"".join(weight.tobytes() for weight in model.get_weights())
    return weights, history.batches, model.predict(data()[0], verbose=0).tobytes()


@pytest.mark.parametrize("batch_size", [1, 8, 9, 100, 333])
def test_promise_9_the_number_of_threads_changes_no_bit(rng, batch_size):
    x, y = rng.normal(size=(333, 9, 8, 2)), rng.integers(0, 4, 333)
    results = []
    for threads in (1, 2, 3, 5, 16):
        minicnn.set_num_threads(threads)
        results.append(trained(lambda: (x, y), batch_size=batch_size))
    assert all(result == results[0] for result in results)


def test_promise_9_prefetching_changes_no_bit(rng):
    x, y = rng.normal(size=(90, 9, 8, 2)), rng.integers(0, 4, 90)
    results = []
    for ahead in (0, 1, 5, -1):

        def shuffled(ahead=ahead):
            numbers = Dataset.from_tensor_slices((x.astype(np.float32), y))
            return (numbers.shuffle(40, seed=2).batch(8).prefetch(ahead),)

        results.append(trained(shuffled))
    assert all(result == results[0] for result in results)


# Outputs and gradients of a Winograd convolution for each variant of channels, filters, precision.
CONVOLUTIONS = """
import hashlib, sys
import numpy as np
from numba.core import event
from minicnn.engine.kernels import dense, pooled_gradients, winograd
from minicnn.shapes import window_geometry

g = window_geometry((9, 8), (3, 3), (1, 1), "same")
pool = window_geometry((9, 8), (2, 2), (2, 2), "valid")
counter = event.RecordingListener()
event.register("numba:compile", counter)
for variant in sys.argv[1:]:
    c, f, dtype = variant.split(",")
    rng = np.random.default_rng(1)
    x, dy, kernel, bias = (
        rng.standard_normal(shape).astype(dtype)
        for shape in [(3, 9, 8, int(c)), (3, 9, 8, int(f)), (3, 3, int(c), int(f)), int(f)]
    )
    prepared = winograd.prepare(kernel)
    arrays = winograd.forward(x, prepared, bias, g), *winograd.gradients(x, dy, prepared, g)
    winner = np.empty((3, pool.oh, pool.ow, int(f)), np.uint8)
    y = winograd.forward_pooled(x, prepared, bias, g, pool, winner, x.dtype.type(0))
    floor = x.dtype.type(0)
    arrays += pooled_gradients.gradients(
        x, y, y, winner, floor, pooled_gradients.prepare(kernel), g, pool
    )
    rows = (np.ascontiguousarray(a) for a in (x[0, 0], kernel[0, 0], bias))
    arrays += (dense.forward(*rows, floor),)
    print(hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest())
print(len(counter.buffer))
"""


def hashes_of_convolutions(cache, *variants):
    """In a new process, with compiled code in the folder `cache`."""
    process = subprocess.run(
        [sys.executable, "-c", CONVOLUTIONS, *variants],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache)},
        check=False,
    )
    assert process.returncode == 0, process.stderr
    *hashes, compiled = process.stdout.split()
    return hashes, int(compiled)


def test_promise_9_cached_code_gives_the_bits_of_new_code(tmp_path):
    first, compiled = hashes_of_convolutions(tmp_path, "8,16,float32")
    assert compiled > 0
    assert hashes_of_convolutions(tmp_path, "8,16,float32") == (first, 0)


@pytest.mark.full
def test_promise_9_variants_compiled_in_different_processes_are_not_confused(tmp_path):
    """Numba's names of machine code start over in every process: see `compiling`."""
    variants = ["8,16,float32", "16,8,float32", "8,16,float64", "24,24,float32"]
    apart = [hashes_of_convolutions(tmp_path, variant)[0][0] for variant in variants]
    assert len(set(apart)) == 4
    assert hashes_of_convolutions(tmp_path, *variants) == (apart, 0)
    assert hashes_of_convolutions(tmp_path, *reversed(variants)) == (apart[::-1], 0)
