"""What a model file holds besides layers and weights: frozen layers, state, eager execution."""

import json

import numpy as np
import pytest

import minicnn
from minicnn import Input, Sequential, layers, load_model
from minicnn.activations import Activation
from minicnn.initializers import Initializer
from tests.twins import SPARSE, bits

X = np.random.default_rng(5).normal(size=(50, 6, 5, 2))
Y = np.arange(50) % 3


class Centering(layers.Layer):
    """Subtracts a moving average of the samples."""

    def new_state(self, input_shape, dtype):
        return {"mean": np.zeros(input_shape, dtype)}

    def output_shape(self, input_shape):
        return input_shape

    def forward(self, x):
        return x - self.state["mean"], x.mean(axis=0)

    def backward(self, dy, cache):
        return dy, {}

    def next_state(self, cache):
        return {"mean": 0.9 * self.state["mean"] + 0.1 * cache}


def new_model(frozen=(), run_eagerly=False):
    minicnn.set_random_seed(1)
    parts = [Centering(), layers.Conv2D(4, 3, activation="relu"), layers.Dropout(0.3)]
    parts += [layers.Flatten(), layers.Dense(3, "softmax")]
    model = Sequential([Input((6, 5, 2)), *parts])
    for number in frozen:
        model.layers[number].trainable = False
    model.compile("adam", SPARSE, run_eagerly=run_eagerly)
    return model


def load(path):
    return load_model(path, custom_objects={"Centering": Centering})


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("frozen", [(), (1,), (1, 4)])
def test_training_continues_with_frozen_layers_state_and_dropout(tmp_path, frozen, run_eagerly):
    whole = new_model(frozen, run_eagerly)
    whole.fit(X, Y, epochs=3, verbose=0)
    model = new_model(frozen, run_eagerly)
    model.fit(X, Y, epochs=1, verbose=0)
    model.save(tmp_path / "model.npz")
    minicnn.set_random_seed(99)
    loaded = load(tmp_path / "model.npz")
    assert bits(loaded) == bits(model)
    assert loaded.run_eagerly == run_eagerly
    assert [layer.trainable for layer in loaded.layers] == [k not in frozen for k in range(5)]
    loaded.fit(X, Y, epochs=3, initial_epoch=1, verbose=0)
    assert bits(loaded) == bits(whole)


def test_a_layer_that_is_frozen_after_training_has_no_slots_in_the_file(tmp_path):
    path = tmp_path / "model.npz"
    model = new_model()
    model.fit(X, Y, verbose=0)
    model.layers[1].trainable = False
    model.save(path)
    with np.load(path) as file:
        slots = [key for key in file if key.startswith("optimizer/m/")]
    assert slots == ["optimizer/m/dense/kernel", "optimizer/m/dense/bias"]
    model.fit(X, Y, epochs=2, initial_epoch=1, verbose=0)
    loaded = load(path)
    loaded.fit(X, Y, epochs=2, initial_epoch=1, verbose=0)
    count = len(model.get_weights())  # the unused moments of the frozen layer are not loaded
    assert bits(loaded)[:count] == bits(model)[:count]


@pytest.mark.parametrize("frozen", [[5], [-1], ["0"], [True], [1.5], 1, None])
def test_layers_that_do_not_exist_cannot_be_frozen(tmp_path, frozen):
    path = tmp_path / "model.npz"
    new_model(frozen=(1,)).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    content = json.loads(arrays["model.json"].tobytes())
    assert content["frozen"] == [1]
    assert "run_eagerly" not in content["training"]  # only what is unusual is written
    content["frozen"] = frozen
    arrays["model.json"] = np.frombuffer(json.dumps(content).encode(), np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="does not hold a model"):
        load(path)


class Own(Initializer):
    def __call__(self, shape, rng=None, dtype="float32"):
        return np.ones(shape, dtype)


def test_all_unknown_names_are_in_one_message(tmp_path):
    path = tmp_path / "model.npz"
    Sequential([Input((4,)), Centering(), layers.Dense(2, kernel_initializer=Own())]).save(path)
    expected = (
        "it uses 'Centering' and 'Own', which minicnn does not know; "
        r"pass custom_objects=\{'Centering': \.\.\., 'Own': \.\.\.\}"
    )
    with pytest.raises(ValueError, match=expected):
        load_model(path)
    with pytest.raises(ValueError, match=r"it uses 'Own', which .*=\{'Own': \.\.\.\}"):
        load(path)


def test_an_activation_of_ones_own_is_not_taken_for_a_built_in_one(tmp_path):
    path = tmp_path / "model.npz"
    own = Activation("relu", np.tanh, lambda dy, y: dy * (1 - y**2))
    model = Sequential([Input((4,)), layers.Dense(2, own), layers.Dense(2, "relu")])
    model.save(path)
    with pytest.raises(ValueError, match="it uses 'relu', which minicnn does not know"):
        load_model(path)
    loaded = load_model(path, custom_objects={"relu": own})
    assert loaded.layers[0].activation == own
    x = np.random.default_rng(0).normal(size=(5, 4))
    assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_state_of_objects_is_not_written(tmp_path):
    model = Sequential([Input((4,)), Centering()])
    model.layers[0].state["mean"] = np.array([None] * 4)
    with pytest.raises(TypeError, match="centering/mean: expected an array of real numbers"):
        model.save_weights(tmp_path / "weights.npz")
    assert list(tmp_path.iterdir()) == []
