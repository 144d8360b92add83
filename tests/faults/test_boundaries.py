"""The first and the last channel, filter, row, column, image, label and step."""

import numpy as np
import pytest

import minicnn
from minicnn import layers
from minicnn.data import Dataset
from minicnn.engine import ALGORITHMS, Plan
from minicnn.layers import Conv2D, MaxPooling2D
from tests.tolerances import assert_close
from tests.twins import SPARSE, bits, classifier

SHAPE = (9, 10)
CELLS = [(0, 0, 0), (0, 8, 9), (16, 0, 9), (16, 8, 0), (16, 8, 9), (8, 4, 5)]  # image, row, column


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("c", "f"), [(1, 8), (8, 8), (9, 16), (16, 3)])
@pytest.mark.parametrize("pooled", [False, True])
def test_one_number_that_is_not_zero_is_seen_wherever_it_is(algorithm, c, f, pooled):
    """In an image of zeros, in the first and the last channel; its gradient in each filter.

    Kernels leave out what is blank: they have to look at all channels, rows and images to know.
    """
    rng = np.random.default_rng(0)
    convolution = Conv2D(f, 3, padding="same", activation="relu", algorithm=algorithm)
    chain = [convolution, MaxPooling2D(2)] if pooled else [convolution]
    shape = (*SHAPE, c)
    for layer in chain:
        layer.build(shape, rng)
        shape = layer.output_shape(shape)
    convolution.params["bias"][...] = rng.random(f) / 2
    plan = Plan(chain)
    for number, cell in enumerate(CELLS):
        x, dy = np.zeros((17, *SHAPE, c), np.float32), np.zeros((17, *shape), np.float32)
        x[(*cell, (c - 1) * (number % 2 == 0))] = 3
        position = [min(place, size - 1) for place, size in zip(cell[1:], shape, strict=False)]
        dy[(cell[0], *position, (f - 1) * (number % 2))] = 2
        found = plan.passes(x, dy)
        expected = core_passes(chain, x, dy)
        for one, other in zip(found[:2], expected[:2], strict=True):
            assert_close(one, other, "float32 winograd")
        for one, other in zip(found[2], expected[2], strict=True):
            assert_close(one, other, "float32 winograd")


def core_passes(chain, x, dy):
    caches, gradients = [], []
    for layer in chain:
        x, cache = layer.forward(x)
        caches.append(cache)
    for layer, cache in zip(reversed(chain), reversed(caches), strict=True):
        dy, own = layer.backward(dy, cache)
        gradients = [*(own[key] for key in layer.params), *gradients]
    return x, dy, gradients


@pytest.mark.parametrize("classes", [2, 255, 256, 257])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64", "float32"])
def test_the_last_label_is_one_and_the_next_is_not(classes, dtype):
    model = classifier(classes=classes)
    x = np.ones((2, 5))
    if classes - 1 <= (np.iinfo(dtype).max if dtype != "float32" else 2**24):
        found = model.evaluate(x, np.array([0, classes - 1], dtype), verbose=0)
        p = model.predict(x, verbose=0)[0]
        assert_close(found, -np.log(p[[0, -1]]).mean(), "float32 loss")
    if classes <= (np.iinfo(dtype).max if dtype != "float32" else 2**24):
        with pytest.raises(ValueError, match=f"from 0 to {classes - 1}, received {classes}"):
            model.evaluate(x, np.array([0, classes], dtype), verbose=0)


@pytest.mark.parametrize("n", [7, 8, 9, 15, 16, 17])
@pytest.mark.parametrize("batch_size", [1, 8, 16])
def test_the_last_sample_counts(n, batch_size):
    """In training, evaluation and prediction; of arrays, and of a Dataset."""
    x = np.zeros((n, 5))
    x[-1] = 1
    y = np.arange(n) % 3
    data = Dataset.from_tensor_slices((x, y)).batch(batch_size)
    for of_arrays in (True, False):
        model = classifier(metrics=["accuracy"])
        before = bits(model)
        outputs = model.predict(x if of_arrays else data, verbose=0)
        assert not np.array_equal(outputs[-1], outputs[0])
        assert len(outputs) == n
        arguments = (x, y, batch_size) if of_arrays else (data,)
        assert_close(
            model.evaluate(*arguments, verbose=0)[0],
            -np.log(outputs[np.arange(n), y]).mean(),
            "float32 loss",
        )
        model.fit(*arguments, verbose=0, shuffle=False)
        assert model.optimizer.iterations == -(-n // batch_size)
        kernel = np.frombuffer(before[0], np.float32).reshape(5, 3)
        assert (model.get_weights()[0] != kernel).any(axis=1).all()


@pytest.mark.parametrize(
    ("epochs", "initial", "steps"), [(1, 0, 1), (3, 0, 2), (3, 2, 1), (2, 2, 1)]
)
def test_the_last_epoch_and_the_last_step_are_taken(epochs, initial, steps):
    model = classifier()
    data = Dataset.from_tensor_slices((np.ones((4, 5)), [0, 1, 2, 0])).repeat().batch(2)
    history = model.fit(
        data, epochs=epochs, initial_epoch=initial, steps_per_epoch=steps, verbose=0
    )
    assert model.optimizer.iterations == (epochs - initial) * steps
    assert history.epoch == list(range(initial, epochs))


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_takes_skips_and_batches_at_their_ends(n):
    data = Dataset.from_tensor_slices(np.arange(3))
    for made, expected in (
        (data.take(n), [0, 1, 2][:n]),
        (data.skip(n), [0, 1, 2][n:]),
        (data.repeat(n), [0, 1, 2] * n),
    ):
        assert [int(element) for element in made] == expected
        assert made.cardinality() == len(expected)
    if n:
        sizes = [len(batch) for batch in data.batch(n)]
        assert (sum(sizes), max(sizes), len(sizes)) == (3, n, data.batch(n).cardinality())
        assert [len(b) for b in data.batch(n, drop_remainder=True)] == [n] * (3 // n)


def test_dropout_of_the_last_number_of_the_last_shard_is_that_of_the_whole_batch():
    minicnn.set_random_seed(0)
    x, seen = np.ones((33, 7), np.float32), []
    for eagerly in (True, False):
        parts = [minicnn.Input((7,)), layers.Dropout(0.5), layers.Dense(2, "softmax")]
        model = minicnn.Sequential(parts)
        model.set_weights([np.arange(14.0).reshape(7, 2), np.zeros(2)])
        model.compile("sgd", SPARSE, run_eagerly=eagerly)
        minicnn.set_random_seed(1)
        model.fit(x, np.zeros(33), batch_size=33, verbose=0)
        seen.append(model.get_weights())
    for found, expected in zip(*seen, strict=True):
        assert_close(found, expected, "float32 gradient")
