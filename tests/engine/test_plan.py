"""The engine computes the numbers of the core: layers, gradients, losses, and steps of training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import Input, Sequential, layers
from minicnn.checking.contract import SpreadLoss
from minicnn.eager import EagerPlan
from minicnn.engine import ALGORITHMS, Plan
from minicnn.engine.algorithms import why_not
from minicnn.layers import Conv2D, Dense, Dropout, Flatten, Layer, MaxPooling2D, ReLU
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.step import backward, forward
from tests.promises.contract_layers import LAYERS
from tests.promises.golden_bits import NETWORKS
from tests.reference import built, cases, quick, random_array
from tests.tolerances import assert_close
from tests.twins import SPARSE

floats = pytest.mark.parametrize("dtype", ["float32", "float64"])


def assert_engine_equals_core(chain, x, dy, output="", gradient=""):
    """The same y, dx and gradients of weights by the layers as written and by the engine."""
    dtype = str(x.dtype)
    output = output if output and dtype == "float32" else dtype
    gradient = gradient or ("float32 gradient" if dtype == "float32" else dtype)
    activations, caches = forward(chain, x)
    expected = backward(chain, caches, dy)
    y, dx, gradients = Plan(chain).passes(x, dy)
    assert_close(y, activations[-1], output)
    assert_close(dx, expected[0][0], gradient)
    weights = [grads[key] for layer, (_, grads) in zip(chain, expected, strict=True)
               for key in layer.params]  # fmt: skip
    for found, wanted in zip(gradients, weights, strict=True):
        assert_close(found, wanted, gradient)
    assert {array.dtype for array in (y, dx, *gradients)} == {x.dtype}


@floats
@pytest.mark.parametrize("row", LAYERS.values(), ids=LAYERS)
def test_every_layer(row, dtype):
    layer, x, dy = row.built(dtype)
    assert_engine_equals_core([layer], x, dy)


@pytest.mark.parametrize("name", ALGORITHMS)
@floats
@quick
@given(case=cases(), activation=st.sampled_from([None, "relu", "softmax"]), bias=st.booleans())
def test_convolutions_of_random_geometries(name, dtype, case, activation, bias):
    if name == "winograd":  # which serves few others
        side = 3 if case.kh % 2 else 5
        case = case._replace(h=max(case.h, side), w=max(case.w, side), kh=side, kw=side, sh=1, sw=1)
    assert why_not(name, case.geometry) is None
    rng = np.random.default_rng(list(case[:-1]))
    window = (case.kh, case.kw), (case.sh, case.sw), case.padding
    layer = Conv2D(case.f, *window, activation=activation, use_bias=bias, algorithm=name)
    built(layer, case.x_shape[1:], rng, dtype)
    x = random_array(rng, case.x_shape, dtype)
    dy = random_array(rng, (case.n, *case.output_size, case.f), dtype)
    row = "float32 winograd" if name == "winograd" and dtype == "float32" else ""
    assert_engine_equals_core([layer], x, dy, row, row)


@floats
@quick
@given(case=cases(), pool=cases())
def test_convolutions_with_poolings_of_random_geometries(dtype, case, pool):
    """With integers, which are exact: ties and zeros are the same ones in both."""
    rng = np.random.default_rng(list(case[:-1]))
    window = (case.kh, case.kw), (case.sh, case.sw), case.padding
    convolution = Conv2D(case.f, *window, activation="relu", algorithm="im2col")
    built(convolution, case.x_shape[1:], rng, dtype, whole=True)
    h, w = case.output_size
    size = min(pool.kh, h), min(pool.kw, w)
    pooling = MaxPooling2D(size, (pool.sh, pool.sw), pool.padding)
    pooling.build((h, w, case.f), rng, dtype)
    x = random_array(rng, case.x_shape, dtype, whole=True)
    dy = random_array(rng, (case.n, *pooling.output_shape((h, w, case.f))), dtype, whole=True)
    assert_engine_equals_core([convolution, pooling], x, dy)


def trained(model_of, x, y, eagerly, batch_size, epochs=1, loss=SPARSE):
    """The model after training, with its losses batch by batch."""
    minicnn.set_random_seed(3)
    minicnn.clear_session()
    model = model_of()
    model.compile("adam", loss, metrics=["accuracy"], run_eagerly=eagerly)
    history = model.fit(x, y, batch_size, epochs, verbose=0)
    return model, history.batches["loss"]


def assert_training_equals_core(model_of, x, y, tolerance, **arguments):
    (ours, losses), (core, expected) = (
        trained(model_of, x, y, eagerly, **arguments) for eagerly in (False, True)
    )
    assert_close(losses, expected, tolerance)
    for found, wanted in zip(ours.get_weights(), core.get_weights(), strict=True):
        assert_close(found, wanted, tolerance)
    x, y = x[:40], y[:40]
    assert_close(ours.predict(x, verbose=0), core.predict(x, verbose=0), tolerance)
    assert_close(ours.evaluate(x, y, verbose=0), core.evaluate(x, y, verbose=0), tolerance)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_fifty_steps_of_a_network(network, rng):
    x, y = rng.random((99, 28, 28, 1)), rng.integers(0, 10, 99)  # the last batch is short

    def model():
        return Sequential(network(), dtype="float64")

    loss = SparseCategoricalCrossentropy(from_logits=network.__name__ == "strided")
    assert_training_equals_core(model, x, y, "steps", batch_size=2, epochs=1, loss=loss)


def test_run_eagerly_runs_the_code_of_the_layers(monkeypatch):
    model = Sequential([Input((4,)), Dense(3, "softmax")])
    calls = []
    as_written = Dense.forward
    monkeypatch.setattr(Dense, "forward", lambda *args: calls.append(1) or as_written(*args))
    for eagerly, count in ((False, 0), (True, 2)):
        model.compile("sgd", SPARSE, run_eagerly=eagerly)
        model.fit(np.ones((3, 4)), [0, 1, 2], verbose=0)
        model.evaluate(np.ones((3, 4)), [0, 1, 2], verbose=0)
        assert len(calls) == count
    with pytest.raises(TypeError, match="compile: run_eagerly must be True or False"):
        model.compile("sgd", SPARSE, run_eagerly=1)


# Layers and losses of the user's own: as written, on the whole batch.


class BatchNormalization(Layer):
    """With moving averages, for evaluation, as state."""

    def output_shape(self, input_shape):
        return input_shape

    def new_params(self, input_shape, rng, dtype):
        c = input_shape[-1:]
        return {"gamma": np.ones(c, dtype), "beta": np.zeros(c, dtype)}

    def new_state(self, input_shape, dtype):
        return {"mean": np.zeros(input_shape[-1:], dtype), "var": np.ones(input_shape[-1:], dtype)}

    def forward(self, x, training=False):
        axes = tuple(range(x.ndim - 1))
        mean, var = (x.mean(axes), x.var(axes)) if training else self.state.values()
        normal = (x - mean) / np.sqrt(var + 1e-3)
        return self.params["gamma"] * normal + self.params["beta"], (normal, mean, var)

    def backward(self, dy, cache):
        normal, _, var = cache
        axes = tuple(range(dy.ndim - 1))
        grads = {"gamma": (dy * normal).sum(axes), "beta": dy.sum(axes)}
        n = dy.size / dy.shape[-1]
        dx = dy - grads["beta"] / n - normal * grads["gamma"] / n
        return self.params["gamma"] / np.sqrt(var + 1e-3) * dx, grads

    def next_state(self, cache):
        _, mean, var = cache
        return {
            "mean": 0.9 * self.state["mean"] + 0.1 * mean,
            "var": 0.9 * self.state["var"] + 0.1 * var,
        }


class KeepsItsInput(Layer):
    """Keeps x between the passes instead of in the cache."""

    def output_shape(self, input_shape):
        return input_shape

    def forward(self, x):
        self.x = x
        return x * x, None

    def backward(self, dy, cache):
        return 2 * self.x * dy, {}


def small(*own, last="softmax"):
    """A function that makes a model with these layers in the middle."""

    def model():
        convolution = Conv2D(4, 3, padding="same", activation="relu")
        ends = [Flatten(), Dense(3, last)]
        middle = [make() for make in own]
        return Sequential(
            [Input((6, 5, 1)), convolution, *middle, MaxPooling2D(), *ends], dtype="float64"
        )

    return model


OWN = {
    "batch normalization": (small(BatchNormalization), SPARSE),
    "keeps its input": (small(KeepsItsInput), SPARSE),
    "Dropout": (small(lambda: Dropout(0.4)), SPARSE),
    "all three": (small(BatchNormalization, lambda: Dropout(0.4), KeepsItsInput), SPARSE),
    "a loss": (small(last=None), SpreadLoss(from_logits=True)),
    "a loss and a layer": (small(KeepsItsInput, last=None), SpreadLoss(from_logits=True)),
}


@pytest.mark.parametrize("batch_size", [17, 32, 64])
@pytest.mark.parametrize(("model", "loss"), OWN.values(), ids=OWN)
def test_own_layers_and_losses_train_as_written(model, loss, batch_size, rng):
    minicnn.set_num_threads(2)
    x, y = rng.standard_normal((150, 6, 5, 1)), rng.integers(0, 3, 150)
    assert_training_equals_core(model, x, y, "steps", batch_size=batch_size, epochs=2, loss=loss)


def test_layers_say_whether_their_samples_are_independent():
    """Only then they receive shards."""
    sizes = []

    class Counting(ReLU):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)

    class Independent(Counting):
        samples_are_independent = True

    for layer_type, expected in ((Counting, [40]), (Independent, [8, 16, 16])):
        sizes.clear()
        model = Sequential([Input((3,)), layer_type(), Dense(2)])
        model.predict(np.ones((40, 3)), batch_size=40, verbose=0)
        assert sorted(sizes) == expected


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_dropout_draws_the_same_masks_for_any_number_of_threads(threads, rng):
    minicnn.set_num_threads(threads)
    layer = Dropout(0.5)
    layer.build((6, 5, 1), rng)
    x, dy = np.ones((50, 6, 5, 1), "float32"), np.ones((50, 6, 5, 1), "float32")
    seed = (7, 3)
    activations, _ = forward([layer], x, training=True, seed=seed)
    y, dx, _ = Plan([layer]).passes(x, dy, training=True, seed=seed)
    np.testing.assert_array_equal(y, activations[-1])
    np.testing.assert_array_equal(dx, y)
    assert set(np.unique(y)) == {0, 2}


def test_frozen_layers_do_not_change():
    for eagerly in (False, True):
        model = Sequential([Input((3,)), Dense(4), Dense(2, "softmax")])
        model.layers[0].trainable = False
        model.compile("adam", SPARSE, run_eagerly=eagerly)
        before = model.get_weights()
        model.fit(np.ones((5, 3)), [0, 1, 0, 1, 1], verbose=0)
        changed = [not np.array_equal(*pair)
                   for pair in zip(before, model.get_weights(), strict=True)]  # fmt: skip
        assert changed == [False, False, True, True]


def test_both_plans_have_the_same_methods():
    public = {name for name in vars(EagerPlan) if not name.startswith("_")}
    assert public <= set(dir(Plan))
    assert layers.Dropout is Dropout
