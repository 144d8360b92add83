"""Training depends neither on `np.seterr` nor on an infinite pixel."""

import numpy as np
import pytest

import minicnn
from minicnn import layers
from minicnn.callbacks import Callback
from minicnn.keras.callbacks import TerminateOnNaN
from minicnn.losses import Loss
from tests.twins import SPARSE, bits, classifier


def images(n):
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (n, 6, 6, 1)).astype("float32"), np.arange(n) % 3


def network(run_eagerly=False):
    minicnn.set_random_seed(1)
    convolution = layers.Conv2D(4, 3, activation="relu")
    parts = [convolution, layers.Flatten(), layers.Dense(3, "softmax")]
    model = minicnn.Sequential([minicnn.Input((6, 6, 1)), *parts])
    model.compile("adam", SPARSE, run_eagerly=run_eagerly)
    return model


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_numbers_are_the_same_where_the_user_lets_numpy_raise(run_eagerly):
    """Scores of pixels up to 255 differ so much that softmax underflows."""
    found = []
    for state in ("warn", "raise"):
        model, (x, y) = network(run_eagerly), images(40)
        with np.errstate(all=state, under=state if state == "raise" else "ignore"):
            model.fit(x * 100, y, epochs=2, verbose=0)
            found.append([*bits(model), model.predict(x * 100, verbose=0).tobytes()])
            found[-1].append(model.evaluate(x * 100, y, verbose=0))
            found[-1].append(np.asarray(layers.Softmax()(x[:, :, 0, 0] * 100)).tobytes())
    assert found[0] == found[1]


def test_the_users_state_holds_in_callbacks():
    seen = []

    class Looks(Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(np.geterr())

    with np.errstate(all="raise"):
        network().fit(*images(4), verbose=0, callbacks=Looks())
    assert seen == [dict.fromkeys(("divide", "over", "under", "invalid"), "raise")]


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("sample", [0, 9, 39])  # of three shards
def test_a_step_with_an_infinite_gradient_and_a_finite_loss_is_not_taken(run_eagerly, sample):
    """The loss of -inf after ReLU is that of 0; the gradient of the kernel is 0 * -inf."""
    model, (x, y) = network(run_eagerly), images(40)
    model.train_on_batch(x, y)
    kernel, bias = model.layers[0].get_weights()
    model.layers[0].set_weights([np.abs(kernel), bias])
    x[sample, 2, 2] = -np.inf
    assert np.isfinite(model.evaluate(x, y, batch_size=40, verbose=0))
    before = bits(model), model.optimizer.iterations
    with pytest.raises(FloatingPointError, match="step 1 of epoch 1, a gradient is not finite"):
        model.fit(x, y, batch_size=40, verbose=0)
    assert (bits(model), model.optimizer.iterations) == before


class InfiniteGradient(Loss):
    """A finite loss whose gradient is infinite for one score of one sample."""

    samples_are_independent = True

    def losses_and_gradient(self, y_true, y_pred):
        gradient = np.zeros_like(y_pred)
        gradient[y_true == 7, 1] = np.inf
        return np.ones(len(y_pred)), gradient


class OfWholeBatches(InfiniteGradient):
    """Computed after the shards of all layers, not in those of the last ones."""

    samples_are_independent = False


class StopGradient(layers.Layer):
    """What comes after it teaches nothing to what is before."""

    samples_are_independent = True

    def output_shape(self, input_shape):
        return input_shape

    def forward(self, x):
        return x, None

    def backward(self, dy, cache):
        return np.zeros_like(dy), {}


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("sample", [0, 9, 39])
@pytest.mark.parametrize("loss", [InfiniteGradient, OfWholeBatches])
def test_no_gradient_is_left_out_of_that(run_eagerly, use_bias, sample, loss):
    """Only those of the last layer are infinite: without a bias, only a factor of its kernel's."""
    parts = [layers.Dense(4), StopGradient(), layers.Dense(2, use_bias=use_bias)]
    model = minicnn.Sequential([minicnn.Input((3,)), *parts])
    model.compile("adam", loss(), run_eagerly=run_eagerly)
    before = bits(model)
    y = np.zeros(40, int)
    y[sample] = 7
    with pytest.raises(FloatingPointError, match="a gradient is not finite"):
        model.fit(np.ones((40, 3)), y, batch_size=40, verbose=0)
    assert bits(model) == before


class InfinitePenaltyGradient:
    """A finite penalty whose gradient is infinite."""

    def __call__(self, weight):
        return 0.0

    def gradient(self, weight):
        return np.full_like(weight, np.inf)


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_nor_is_that_of_a_penalty(run_eagerly):
    model, (x, y) = network(run_eagerly), images(40)
    model.layers[0].regularizers["kernel"] = InfinitePenaltyGradient()
    before = bits(model), model.optimizer.iterations
    with pytest.raises(FloatingPointError, match="a gradient is not finite"):
        model.fit(x, y, batch_size=40, verbose=0)
    assert (bits(model), model.optimizer.iterations) == before
    model.layers[0].trainable = False  # of a frozen layer nothing is used
    model.fit(x, y, batch_size=40, verbose=0)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_it_ends_training_where_nan_shall_end_it():
    model = classifier(layers.Dense(4, "relu"))
    x = np.ones((2, 5))
    x[1, 0] = -np.inf
    model.layers[0].set_weights([np.ones((5, 4)), np.zeros(4)])
    before = bits(model)
    model.fit(x, [0, 1], verbose=0, callbacks=TerminateOnNaN())
    assert bits(model) == before
