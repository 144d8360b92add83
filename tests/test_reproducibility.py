"""Promise 9: one seed, one set of bits, in new processes and on any number of threads."""

import subprocess
import sys

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


def weights_after_training(root, seed, threads):
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(seed), str(threads)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


def test_promise_9_a_seed_gives_the_same_bits_in_new_processes_and_on_any_threads(request):
    root = request.config.rootpath
    hashes = [weights_after_training(root, 7, threads) for threads in (1, 2, 3)]
    assert len(set(hashes)) == 1
    assert len(hashes[0]) == 64
    assert weights_after_training(root, 8, 2) != hashes[0]


@pytest.mark.full
def test_promise_9_twenty_new_processes(request):
    hashes = {weights_after_training(request.config.rootpath, 7, 1 + i % 4) for i in range(20)}
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
