"""With several shards of a batch, and with weights that are updated in several parts."""

import signal

import numpy as np
import pytest

import minicnn
from minicnn import layers
from minicnn.engine import threads, updates
from minicnn.losses import Loss
from minicnn.optimizers import SGD, Adam, Optimizer
from tests.tolerances import assert_close
from tests.twins import SPARSE, bits, classifier

# First and last samples of shards, for batches of one, of two, of several and of most shards.
SIZES = {n: [part.start for part in threads.cut(n)] for n in (8, 9, 32, 33, 300)}
PLACES = [
    (n, place)
    for n, starts in SIZES.items()
    for place in sorted({*starts[:2], *(start - 1 for start in (*starts[1:3], n)), n // 2})
]


class MeanSquaredError(Loss):
    """One that gets whole batches."""

    def losses_and_gradient(self, y_true, y_pred):
        error = y_pred - np.eye(3)[y_true]
        return (error**2).mean(axis=1), 2 * error / 3


@pytest.mark.parametrize("loss", [SPARSE, MeanSquaredError()])
@pytest.mark.parametrize(("n", "place"), PLACES)
def test_nan_in_any_sample_is_noticed_before_the_step(n, place, loss):
    model = classifier(layers.Dense(4, "relu"))
    model.compile("adam", loss)
    x, y = np.random.default_rng(0).random((n, 5)), np.arange(n) % 3
    model.train_on_batch(x, y)
    before = bits(model), model.optimizer.iterations
    x[place, 4] = np.nan
    with pytest.raises(FloatingPointError, match=f"the loss of 1 of {n} samples is not finite"):
        model.fit(x, y, batch_size=n, verbose=0)
    assert (bits(model), model.optimizer.iterations) == before
    assert np.flatnonzero(np.isnan(model.predict(x, n, verbose=0)).any(axis=1)).tolist() == [place]


MOST = updates.MOST_NUMBERS
LENGTHS = [[1], [MOST - 1], [MOST], [MOST + 1], [2 * MOST], [3, 2 * MOST, 5], [MOST - 3, 4, MOST]]


@pytest.mark.parametrize("sizes", LENGTHS, ids=str)
def test_every_number_of_every_weight_is_updated_once(sizes):
    """At and around the length of a part, on all threads."""
    for optimizer, step in ((SGD(1.0), 1.0), (Adam(1.0), None), (Counting(1.0), 1.0)):
        weights = [np.zeros(size, np.float32) for size in sizes]
        gradients = [[np.ones(size, np.float32), np.ones(size, np.float32)] for size in sizes]
        updates.update_weights(optimizer, gradients, weights)
        expected = -1.0 if step is None else -2 * step
        for weight in weights:
            assert_close(weight, np.full_like(weight, expected), "float32")
    parts = updates.cut(sizes)
    assert max(sum(s.stop - s.start for _, s in part) for part in parts) <= MOST
    assert sum(s.stop - s.start for part in parts for _, s in part) == sum(sizes)


class Counting(Optimizer):
    """Number by number, in parts."""

    elementwise = True

    def update(self, gradient, weight):
        weight -= self.learning_rate * gradient


LARGE = (900, 700)  # the dense kernel has 630,000 numbers: three parts


def large_model(optimizer, run_eagerly=False):
    minicnn.set_random_seed(3)
    parts = [layers.Dense(LARGE[1], "relu"), layers.Dense(3, "softmax")]
    model = minicnn.Sequential([minicnn.Input(LARGE[:1]), *parts])
    model.compile(optimizer, SPARSE, run_eagerly=run_eagerly)
    return model


X, Y = np.random.default_rng(1).normal(size=(33, LARGE[0])), np.arange(33) % 3


@pytest.mark.parametrize("optimizer", [lambda: SGD(0.1, momentum=0.5), Adam, lambda: Counting(0.1)])
def test_a_large_weight_is_trained_as_by_the_core(optimizer):
    fast, core = large_model(optimizer()), large_model(optimizer(), run_eagerly=True)
    for model in (fast, core):
        for _ in range(2):
            model.train_on_batch(X, Y)
    for found, expected in zip(fast.get_weights(), core.get_weights(), strict=True):
        assert_close(found, expected, "float32 steps")


class CtrlCInside(Counting):
    """Presses Ctrl-C in every part."""

    elementwise = True  # a promise about this class's own `update`: it is not inherited

    def update(self, gradient, weight):
        super().update(gradient, weight)
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number_of_threads", [1, 2])
def test_ctrl_c_in_any_part_waits_until_all_weights_are_updated(number_of_threads):
    minicnn.set_num_threads(number_of_threads)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        model = large_model(CtrlCInside(0.1))
        expected = large_model(Counting(0.1))
        expected.fit(X, Y, batch_size=33, shuffle=False, verbose=0)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y, batch_size=33, epochs=5, shuffle=False, verbose=0)
        assert model.optimizer.iterations == 1
        assert bits(model) == bits(expected)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
