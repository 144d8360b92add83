"""Promise 9: one seed, one set of bits, in new processes and on any number of threads."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import Input, Sequential, layers
from minicnn.data import Dataset

# 20 steps of the tutorial's network on MNIST, half of them through a shuffled dataset.
PROGRAM = """
import hashlib
import sys
import minicnn
from minicnn import datasets
from minicnn.data import AUTOTUNE, Dataset
sys.path.insert(0, "tests")
from twins import SPARSE, tutorial_network

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


def weights_after_training(root, *seeds_and_threads):
    """Hashes of the weights, each from a process of its own, all at the same time."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, *map(str, each)], cwd=root, **pipes)
        for each in seeds_and_threads
    ]
    hashes = []
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        hashes.append(out.strip())
    return hashes


def test_promise_9_a_seed_gives_the_same_bits_in_new_processes_and_on_any_threads(request):
    root = request.config.rootpath
    *same, other = weights_after_training(root, (7, 1), (7, 2), (7, 3), (8, 2))
    assert len(set(same)) == 1
    assert len(same[0]) == 64
    assert other != same[0]


@pytest.mark.full
def test_promise_9_twenty_new_processes(request):
    root = request.config.rootpath
    hashes = {weights_after_training(root, (7, 1 + i % 4))[0] for i in range(20)}
    assert len(hashes) == 1


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
from minicnn.kernels import dense, sparse, winograd
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
    arrays += sparse.gradients(x, y, y, winner, floor, sparse.prepare(kernel), g, pool)
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


def test_promise_9_code_from_the_disk_gives_the_bits_of_code_just_compiled(tmp_path):
    first, compiled = hashes_of_convolutions(tmp_path, "8,16,float32")
    assert compiled > 0
    assert hashes_of_convolutions(tmp_path, "8,16,float32") == (first, 0)


@pytest.mark.full
def test_promise_9_variants_compiled_in_different_processes_do_not_meet(tmp_path):
    """Numba's names for machine code start over in every process: see `jit.named`."""
    variants = ["8,16,float32", "16,8,float32", "8,16,float64", "24,24,float32"]
    apart = [hashes_of_convolutions(tmp_path, variant)[0][0] for variant in variants]
    assert len(set(apart)) == 4
    assert hashes_of_convolutions(tmp_path, *variants) == (apart, 0)
    assert hashes_of_convolutions(tmp_path, *reversed(variants)) == (apart[::-1], 0)


POOLED = """
import numpy as np
from minicnn.kernels import planes
from minicnn.shapes import window_geometry

g, pool = (window_geometry((4, 4), (2, 2), (s, s), "same") for s in (1, 2))
x, kernel, winner = np.ones((1, 4, 4, 1)), np.zeros((2, 2, 1, 1)), np.empty((1, 2, 2, 1), np.uint8)
print(planes.forward_pooled(x, kernel, np.zeros(1), g, pool, winner, 0.0).max())
"""


def test_a_kernel_is_compiled_anew_if_one_changes_that_it_calls_from_another_file(tmp_path):
    package = Path(minicnn.__file__).parent
    copied = shutil.copytree(
        package, tmp_path / "minicnn", ignore=shutil.ignore_patterns("__pycache__", "*.gz", "*.npz")
    )

    def largest():
        environment = {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "compiled")}
        command = [sys.executable, "-c", POOLED]
        env = os.environ | environment
        return float(subprocess.check_output(command, text=True, env=env, cwd=tmp_path))

    assert largest() == 0
    pooling = copied / "kernels" / "pooling.py"
    old = "best[ch] = floor if largest < floor else largest"
    source = pooling.read_text()
    assert source.count(old) == 1
    pooling.write_text(source.replace(old, f"{old} + 1"))
    assert largest() == 1
