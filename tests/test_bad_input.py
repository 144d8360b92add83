"""Dishonest input is refused in words, before a weight changes."""

import re
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import Input, Sequential
from minicnn.data import Dataset
from minicnn.initializers import GlorotUniform, Initializer
from minicnn.layers import Conv2D, Dense, Flatten, Layer, MaxPooling2D, ReLU, Softmax
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.metrics import SparseCategoricalAccuracy
from minicnn.optimizers import SGD, Adam

LOSS = "sparse_categorical_crossentropy"
X = np.random.default_rng(1).random((6, 8, 7, 1)).astype("float32")
Y = np.array([0, 1, 2, 0, 1, 2])


def new_model(dtype="float32"):
    minicnn.set_random_seed(3)
    model = Sequential([Input((8, 7, 1))], dtype=dtype)
    for layer in (Conv2D(8, 3, activation="relu"), Conv2D(8, 3, padding="same"), MaxPooling2D(2)):
        model.add(layer)
    for layer in (Flatten(), Dense(5, activation="relu"), Dense(3, activation="softmax")):
        model.add(layer)
    model.compile("adam", LOSS, metrics=["accuracy"])
    return model


def layer(layer_type, *arguments, **named):
    """A layer built for images of 5x6 with 2 channels."""
    result = layer_type(*arguments, **named)
    result.build((5, 6, 2), np.random.default_rng(0))
    return result


class WrongShape(Initializer):
    def __call__(self, shape, rng=None, dtype="float32"):
        return np.zeros(3, dtype)


def object_array():
    return np.array([object()] * 6)


# What is refused, a line for each, called with a trained model: making and building things, passes
# through layers and losses, and what a model or a Dataset is asked to do.
BUILD = {
    "Conv2D filters 0": lambda m: Conv2D(0, 3),
    "Conv2D filters negative": lambda m: Conv2D(-4, 3),
    "Conv2D filters float": lambda m: Conv2D(4.0, 3),
    "Conv2D filters None": lambda m: Conv2D(None, 3),
    "Conv2D filters text": lambda m: Conv2D("4", 3),
    "Conv2D filters True": lambda m: Conv2D(True, 3),
    "Conv2D kernel_size 0": lambda m: Conv2D(4, 0),
    "Conv2D kernel_size of three": lambda m: Conv2D(4, (3, 3, 3)),
    "Conv2D kernel_size float": lambda m: Conv2D(4, (3, 2.5)),
    "Conv2D kernel_size None": lambda m: Conv2D(4, None),
    "Conv2D strides 0": lambda m: Conv2D(4, 3, strides=0),
    "Conv2D strides negative": lambda m: Conv2D(4, 3, strides=(1, -1)),
    "Conv2D strides None": lambda m: Conv2D(4, 3, strides=None),
    "Conv2D padding unknown": lambda m: Conv2D(4, 3, padding="full"),
    "Conv2D padding None": lambda m: Conv2D(4, 3, padding=None),
    "Conv2D activation unknown": lambda m: Conv2D(4, 3, activation="rellu"),
    "Conv2D activation number": lambda m: Conv2D(4, 3, activation=1),
    "Conv2D use_bias number": lambda m: Conv2D(4, 3, use_bias=1),
    "Conv2D initializer unknown": lambda m: Conv2D(4, 3, kernel_initializer="he"),
    "Conv2D initializer class": lambda m: Conv2D(4, 3, kernel_initializer=GlorotUniform),
    "Conv2D initializer None": lambda m: Conv2D(4, 3, bias_initializer=None),
    "Conv2D algorithm unknown": lambda m: Conv2D(4, 3, algorithm="fft"),
    "Conv2D algorithm None": lambda m: Conv2D(4, 3, algorithm=None),
    "Conv2D name empty": lambda m: Conv2D(4, 3, name=""),
    "Conv2D name with slash": lambda m: Conv2D(4, 3, name="a/b"),
    "Conv2D name number": lambda m: Conv2D(4, 3, name=3),
    "Conv2D input_shape number": lambda m: Conv2D(4, 3, input_shape=28),
    "Conv2D input_shape with None": lambda m: Conv2D(4, 3, input_shape=(None, 28, 1)),
    "MaxPooling2D pool_size 0": lambda m: MaxPooling2D(0),
    "MaxPooling2D pool_size None": lambda m: MaxPooling2D(None),
    "MaxPooling2D pool_size text": lambda m: MaxPooling2D("2"),
    "MaxPooling2D strides 0": lambda m: MaxPooling2D(2, strides=0),
    "MaxPooling2D strides of one": lambda m: MaxPooling2D(2, strides=(1,)),
    "MaxPooling2D padding unknown": lambda m: MaxPooling2D(2, padding="causal"),
    "Dense units 0": lambda m: Dense(0),
    "Dense units float": lambda m: Dense(10.0),
    "Dense units None": lambda m: Dense(None),
    "Dense activation unknown": lambda m: Dense(10, "tanh"),
    "Dense use_bias text": lambda m: Dense(10, use_bias="yes"),
    "Input number": lambda m: Input(28),
    "Input with 0": lambda m: Input((28, 0, 1)),
    "Input with None": lambda m: Input((None, 28, 1)),
    "GlorotUniform seed negative": lambda m: GlorotUniform(-1),
    "GlorotUniform seed float": lambda m: GlorotUniform(0.5),
    "GlorotUniform of a bias": lambda m: GlorotUniform(1)((3,)),
    "loss from_logits text": lambda m: SparseCategoricalCrossentropy("no"),
    "Adam rate 0": lambda m: Adam(0),
    "Adam rate negative": lambda m: Adam(-0.001),
    "Adam rate NaN": lambda m: Adam(float("nan")),
    "Adam rate infinite": lambda m: Adam(float("inf")),
    "Adam rate text": lambda m: Adam("0.001"),
    "Adam rate None": lambda m: Adam(None),
    "Adam beta_1 1": lambda m: Adam(beta_1=1),
    "Adam beta_1 1.5": lambda m: Adam(beta_1=1.5),
    "Adam beta_2 negative": lambda m: Adam(beta_2=-0.1),
    "Adam epsilon 0": lambda m: Adam(epsilon=0),
    "SGD rate complex": lambda m: SGD(1j),
    "SGD rate True": lambda m: SGD(True),
    "SGD momentum 1": lambda m: SGD(momentum=1.0),
    "SGD momentum negative": lambda m: SGD(momentum=-0.9),
    "SGD nesterov number": lambda m: SGD(nesterov=1),
    "model dtype": lambda m: Sequential(dtype="float16"),
    "conv of vectors": lambda m: Conv2D(4, 3).build((9,), None),
    "conv of gray images": lambda m: Conv2D(4, 3).build((9, 9), None),
    "conv larger than the image": lambda m: Conv2D(4, 5).build((4, 9, 1), None),
    "conv of no channels": lambda m: Conv2D(4, 3).build((9, 9, 0), None),
    "conv of text": lambda m: Conv2D(4, 3).build("9x9", None),
    "conv of None": lambda m: Conv2D(4, 3).build(None, None),
    "conv in integers": lambda m: Conv2D(4, 3).build((9, 9, 1), None, "int32"),
    "winograd with strides": lambda m: Conv2D(4, 3, 2, algorithm="winograd").build((9, 9, 1), None),
    "winograd of 4x4": lambda m: Conv2D(4, 4, algorithm="winograd").build((9, 9, 1), None),
    "pooling of vectors": lambda m: MaxPooling2D().build((9,), None),
    "pooling larger than the image": lambda m: MaxPooling2D(2).build((1, 9, 1), None),
    "dense of single numbers": lambda m: Dense(3).build((), None),
    "softmax of single numbers": lambda m: Softmax().build((), None),
    "initializer's shape": lambda m: Dense(3, kernel_initializer=WrongShape()).build((2,), None),
    "set_random_seed": lambda m: minicnn.set_random_seed(-1),
    "set_num_threads 0": lambda m: minicnn.set_num_threads(0),
    "set_num_threads float": lambda m: minicnn.set_num_threads(1.5),
}
PASS = {
    "forward before build": lambda m: Dense(3).forward(np.zeros((1, 2))),
    "count_params before build": lambda m: Dense(3).count_params(),
    "forward one sample": lambda m: layer(Conv2D, 4, 3).forward(np.zeros((5, 6, 2))),
    "forward other size": lambda m: layer(Conv2D, 4, 3).forward(np.zeros((1, 6, 5, 2))),
    "forward other channels": lambda m: layer(Conv2D, 4, 3).forward(np.zeros((1, 5, 6, 3))),
    "forward text": lambda m: layer(ReLU).forward(np.full((1, 5, 6, 2), "1")),
    "forward complex": lambda m: layer(Softmax).forward(np.zeros((1, 5, 6, 2), complex)),
    "forward dates": lambda m: layer(ReLU).forward(np.zeros((1, 5, 6, 2), "M8[s]")),
    "forward None": lambda m: layer(MaxPooling2D).forward(None),
    "forward ragged": lambda m: layer(Flatten).forward([[1, 2], [3]]),
    "backward of another shape": lambda m: there_and_back((2, 3, 4, 5)),
    "backward of another batch": lambda m: there_and_back((3, 3, 4, 4)),
    "backward of one number": lambda m: there_and_back(()),
    "backward pooling": lambda m: there_and_back((2, 2, 2, 2), MaxPooling2D(2)),
    "backward flatten": lambda m: there_and_back((2, 5, 6, 2), Flatten()),
    "backward dense": lambda m: there_and_back((2, 5, 6, 4), Dense(3)),
    "backward relu": lambda m: there_and_back((2, 5, 6), ReLU()),
    "layer weights missing": lambda m: m.layers[0].set_weights([]),
    "layer weights too many": lambda m: m.layers[3].set_weights([np.zeros(3)]),
    "layer weights swapped": lambda m: m.layers[0].set_weights(m.layers[0].get_weights()[::-1]),
    "layer weights transposed": lambda m: m.layers[4].set_weights(
        [m.layers[4].get_weights()[0].T, np.zeros(5)]
    ),
    "layer weights text": lambda m: m.layers[5].set_weights([np.full((5, 3), "0"), np.zeros(3)]),
    "layer weights None": lambda m: m.layers[5].set_weights(None),
    "layer weights broadcast": lambda m: m.layers[5].set_weights([0.0, 0.0]),
    "loss of no samples": lambda m: SparseCategoricalCrossentropy()([], np.zeros((0, 3))),
    "loss of one row": lambda m: SparseCategoricalCrossentropy()([0], np.zeros(3)),
    "loss label 3 of 3": lambda m: SparseCategoricalCrossentropy()([3], np.zeros((1, 3))),
    "loss label -1": lambda m: SparseCategoricalCrossentropy()([-1], np.zeros((1, 3))),
    "loss label text": lambda m: SparseCategoricalCrossentropy()(["0"], np.zeros((1, 3))),
    "loss of text": lambda m: SparseCategoricalCrossentropy()([0], [["a", "b"]]),
    "loss two labels": lambda m: SparseCategoricalCrossentropy()([0, 1], np.zeros((1, 3))),
    "metric label 250": lambda m: SparseCategoricalAccuracy().update_state([250], np.eye(1)),
    "metric one-hot": lambda m: SparseCategoricalAccuracy().update_state(np.eye(3), np.eye(3)),
}
MODEL = {
    "add a number": lambda m: m.add(3),
    "add a class": lambda m: m.add(Dense),
    "add a taken name": lambda m: m.add(Dense(3, name=m.layers[-1].name)),
    "add Input late": lambda m: m.add(Input((3,))),
    "add what does not fit": lambda m: m.add(Conv2D(4, 3)),
    "build without samples": lambda m: Sequential([Dense(3)]).build((None,)),
    "build number": lambda m: Sequential([Dense(3)]).build(3),
    "build for other images": lambda m: m.build((None, 28, 28, 1)),
    "weights before build": lambda m: Sequential([Dense(3)]).get_weights(),
    "model without layers": lambda m: Sequential().get_weights(),
    "fit before compile": lambda m: Sequential([Input((2,)), Dense(2)]).fit([[1, 2]], [0]),
    "compile optimizer unknown": lambda m: m.compile("adamm", LOSS),
    "compile optimizer class": lambda m: m.compile(Adam, LOSS),
    "compile loss unknown": lambda m: m.compile("adam", "mse"),
    "compile loss None": lambda m: m.compile("adam", None),
    "compile metric unknown": lambda m: m.compile("adam", LOSS, metrics=["acc"]),
    "compile metrics text": lambda m: m.compile("adam", LOSS, metrics="accuracy"),
    "x one sample": lambda m: m.predict(X[0], verbose=0),
    "x without channels": lambda m: m.predict(X[..., 0], verbose=0),
    "x of other images": lambda m: m.predict(X[:, :7], verbose=0),
    "x None": lambda m: m.predict(None, verbose=0),
    "x text": lambda m: m.predict("mnist.npz", verbose=0),
    "x objects": lambda m: m.predict(object_array(), verbose=0),
    "x complex": lambda m: m.predict(X * 1j, verbose=0),
    "x ragged": lambda m: m.predict([X[0], X[1, 1:]], verbose=0),
    "x dict": lambda m: m.fit({"x": X}, Y, verbose=0),
    "y missing": lambda m: m.fit(X, verbose=0),
    "y too short": lambda m: m.fit(X, Y[:5], verbose=0),
    "y too long": lambda m: m.evaluate(X[:5], Y, verbose=0),
    "y -1": lambda m: m.fit(X, Y - 1, verbose=0),
    "y 3 of 3": lambda m: m.fit(X, Y + 1, verbose=0),
    "y 250": lambda m: m.evaluate(X, np.full(6, 250, np.uint8), verbose=0),
    "y NaN": lambda m: m.fit(X, np.where(Y, Y, np.nan), verbose=0),
    "y infinite": lambda m: m.fit(X, np.where(Y, Y, np.inf), verbose=0),
    "y 0.5": lambda m: m.fit(X, Y * 0.5, verbose=0),
    "y one-hot": lambda m: m.fit(X, np.eye(3)[Y], verbose=0),
    "y text": lambda m: m.fit(X, Y.astype(str), verbose=0),
    "y objects": lambda m: m.train_on_batch(X, object_array()),
    "y one number": lambda m: m.fit(X, 1, verbose=0),
    "fit nothing": lambda m: m.fit(X[:0], Y[:0], verbose=0),
    "evaluate nothing": lambda m: m.evaluate(X[:0], Y[:0], verbose=0),
    "train on nothing": lambda m: m.train_on_batch(X[:0], Y[:0]),
    "train on None": lambda m: m.train_on_batch(None, None),
    "train on a number": lambda m: m.train_on_batch(3, 3),
    "train on wrong labels": lambda m: m.train_on_batch(X, Y + 1),
    "batch_size 0": lambda m: m.fit(X, Y, batch_size=0, verbose=0),
    "batch_size negative": lambda m: m.predict(X, batch_size=-1, verbose=0),
    "batch_size float": lambda m: m.evaluate(X, Y, batch_size=2.0, verbose=0),
    "epochs 0": lambda m: m.fit(X, Y, epochs=0, verbose=0),
    "epochs float": lambda m: m.fit(X, Y, epochs=1.5, verbose=0),
    "steps_per_epoch 0": lambda m: m.fit(X, Y, steps_per_epoch=0, verbose=0),
    "steps text": lambda m: m.evaluate(X, Y, steps="2", verbose=0),
    "shuffle text": lambda m: m.fit(X, Y, shuffle="batch", verbose=0),
    "verbose 3": lambda m: m.fit(X, Y, verbose=3),
    "return_dict number": lambda m: m.evaluate(X, Y, verbose=0, return_dict=1),
    "validation x alone": lambda m: m.fit(X, Y, validation_data=X, verbose=0),
    "validation labels": lambda m: m.fit(X, Y, validation_data=(X, Y + 1), verbose=0),
    "dataset and y": lambda m: m.fit(dataset(X, Y), Y, verbose=0),
    "dataset and batch_size": lambda m: m.fit(dataset(X, Y), batch_size=2, verbose=0),
    "dataset not batched": lambda m: m.fit(Dataset.from_tensor_slices((X, Y)), verbose=0),
    "dataset without labels": lambda m: m.fit(dataset(X), verbose=0),
    "dataset wrong labels": lambda m: m.fit(dataset(X, Y + 3), verbose=0),
    "dataset endless": lambda m: m.fit(dataset(X, Y).repeat(), verbose=0),
    "dataset empty": lambda m: m.fit(dataset(X, Y).take(0), verbose=0),
    "model weights missing": lambda m: m.set_weights(m.get_weights()[:-1]),
    "model weights last wrong": lambda m: m.set_weights([*m.get_weights()[:-1], np.zeros(4)]),
    "model weights last text": lambda m: m.set_weights([*m.get_weights()[:-1], ["a"] * 3]),
    "model weights array": lambda m: m.set_weights(np.zeros(3)),
    "load other ending": lambda m: m.load_weights("weights.h5"),
    "save other ending": lambda m: m.save_weights("weights"),
    "load no weights file": lambda m: m.load_weights(Path("not_weights.npz")),
    "load other layers": lambda m: m.load_weights("other_layers.npz"),
    "load other sizes": lambda m: m.load_weights("other_sizes.npz"),
    "dataset of lengths": lambda m: Dataset.from_tensor_slices((X, Y[:3])),
    "dataset of a number": lambda m: Dataset.from_tensor_slices(3),
    "dataset from a list": lambda m: Dataset.from_generator([1, 2]),
    "dataset shuffle 0": lambda m: dataset(X).shuffle(0),
    "dataset shuffle seed": lambda m: dataset(X).shuffle(3, seed=-1),
    "dataset repeat -2": lambda m: dataset(X).repeat(-2),
    "dataset batch 0": lambda m: dataset(X).batch(0),
    "dataset batch float": lambda m: dataset(X).batch(2.0),
    "dataset take None": lambda m: dataset(X).take(None),
    "dataset map number": lambda m: dataset(X).map(3),
    "dataset prefetch -2": lambda m: dataset(X).prefetch(-2),
}
REFUSED = BUILD | PASS | MODEL


def dataset(*arrays):
    """Batches of four."""
    return Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(4)


def there_and_back(dy_shape, of=None):
    built = of or Conv2D(4, 3)
    built.build((5, 6, 2), np.random.default_rng(0))
    _, cache = built.forward(np.zeros((2, 5, 6, 2)))
    return built.backward(np.zeros(dy_shape), cache)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with three files that hold no weights of `new_model`."""
    monkeypatch.chdir(tmp_path)
    Path("not_weights.npz").write_bytes(b"PK\x03\x04 and so on")
    Sequential([Input((2,)), Dense(3)]).save_weights("other_layers.npz")
    weights = new_model()
    weights.layers[-1].params["kernel"] = np.zeros((4, 3), "float32")
    weights.save_weights("other_sizes.npz")
    return tmp_path


def test_at_least_a_hundred_cases_are_refused():
    assert len(REFUSED) == len(BUILD) + len(PASS) + len(MODEL) > 150


# A clean message says what was wanted, and what came instead or what to do.
WANTED = re.compile(
    r"expected|must|needs? |has to|only once|before|does not|cannot|already|"
    r"brings its own|never ends|add some first"
)


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused_and_nothing_changes(call, folder):
    model = new_model()
    model.fit(X, Y, verbose=0)  # so that the optimizer has a state, too
    before, state = model.get_weights(), optimizer_state(model)
    names = [layer.name for layer in model.layers]
    with pytest.raises((ValueError, TypeError)) as refusal:
        call(model)
    message = str(refusal.value)
    assert WANTED.search(message), message
    assert "minicnn" in str(refusal.traceback[-1].path), "raised by a library, not by minicnn"
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert [layer.name for layer in model.layers] == names
    for old, new in zip(state, optimizer_state(model), strict=True):
        np.testing.assert_array_equal(old, new)


def optimizer_state(model):
    arrays = [a.copy() for slot in model.optimizer.state.values() for a in slot]
    return [*arrays, model.optimizer.iterations]


def test_layer_of_your_own_says_what_is_missing():
    for method in (
        lambda m: m.output_shape((1,)),
        lambda m: m.forward(X),
        lambda m: m.backward(X, X),
    ):
        with pytest.raises(NotImplementedError):
            method(Layer())
