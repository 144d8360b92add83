"""A model without an Input sees the shape of its data without losing a batch."""

import numpy as np
import pytest

import minicnn
from minicnn import layers
from minicnn.data import Dataset
from tests.twins import SPARSE, bits

X, Y = np.random.default_rng(0).random((10, 3)), np.arange(10) % 2


def model(with_input, seed=1):
    minicnn.set_random_seed(seed)
    start = [minicnn.Input((3,))] if with_input else []
    made = minicnn.Sequential([*start, layers.Dense(2, "softmax")])
    made.compile("sgd", SPARSE)
    return made


def batches(with_labels=True):
    for start in range(0, 10, 4):
        part = slice(start, start + 4)
        yield (X[part], Y[part]) if with_labels else X[part]


def test_nothing_of_a_one_shot_iterator_is_lost():
    results = []
    for with_input in (True, False):
        results.append(model(with_input).predict(batches(False), verbose=0))
        trained = model(with_input)
        trained.fit(batches(), verbose=0)
        results[-1] = results[-1].tobytes(), bits(trained), trained.optimizer.iterations
        results[-1] += (model(with_input).evaluate(batches(), verbose=0),)
    assert results[0] == results[1]
    assert results[0][2] == 3


@pytest.mark.parametrize("prefetch", [0, 2])
def test_the_same_seed_gives_the_same_order(prefetch):
    orders = []
    for with_input in (True, False):
        seen = []

        def note(x, y, seen=seen):
            seen.append(x[0])
            return x, y

        data = Dataset.from_tensor_slices((X, Y)).shuffle(10, seed=2).map(note)
        model(with_input).fit(data.batch(4).prefetch(prefetch), epochs=3, verbose=0)
        orders.append(seen)
    assert orders[0] == orders[1]
    assert len(orders[0]) == 30


def test_samples_without_batches_are_explained():
    data = Dataset.from_tensor_slices((X, Y))
    with pytest.raises(ValueError, match=r"; pass dataset\.batch\(batch_size\)$"):
        model(True).fit(data)
