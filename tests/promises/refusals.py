"""Promise 13: a table of calls with invalid arguments, by the name their error starts with."""

import re
from pathlib import Path

import numpy as np

import minicnn
from minicnn import Input, Sequential, plots
from minicnn.data import Dataset
from minicnn.gradcheck import check_gradients
from minicnn.initializers import GlorotUniform, Initializer, Zeros
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU, Softmax
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.metrics import Mean, SparseCategoricalAccuracy
from minicnn.optimizers import SGD, Adam
from tests.promises.array_forms import ArrayLike
from tests.promises.small_network import LOSS, X, Y, new_model, state

# What a clear message contains.
WANTED = re.compile(
    r"expected|must|made for|needs? |has to|only once|before|does not|cannot|already|"
    r"brings its own|never ends|add some first"
)
IMAGES = X[..., 0]
HUGE = 10**30  # more than any array can hold


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


def masked():
    return np.ma.masked_equal(X, X[0, 0, 0, 0])


def gradients(layer=None, x=None, **changed):
    x = np.ones((1, 3)) if x is None else x
    arguments = {"rng": np.random.default_rng(0)} | changed
    return check_gradients(layer or Dense(2), x, **arguments)


def dataset(*arrays):
    """Batches of four."""
    return Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(4)


def of_dataset(method, *argument_lists):
    """Calls of a method of a Dataset."""
    return {
        str(arguments): lambda m, arguments=arguments: getattr(dataset(X), method)(*arguments)
        for arguments in argument_lists
    }


def backward(dy_shape, of=None):
    """A backward pass of a convolution, or another layer, with a gradient of that shape."""
    built = of or Conv2D(4, 3)
    built.build((5, 6, 2), np.random.default_rng(0))
    _, cache = built.forward(np.zeros((2, 5, 6, 2)))
    return built.backward(np.zeros(dy_shape), cache)


REFUSED = {
    "Conv2D": {
        "filters 0": lambda m: Conv2D(0, 3),
        "filters negative": lambda m: Conv2D(-4, 3),
        "filters float": lambda m: Conv2D(4.0, 3),
        "filters None": lambda m: Conv2D(None, 3),
        "filters text": lambda m: Conv2D("4", 3),
        "filters True": lambda m: Conv2D(True, 3),
        "kernel_size 0": lambda m: Conv2D(4, 0),
        "kernel_size of three": lambda m: Conv2D(4, (3, 3, 3)),
        "kernel_size float": lambda m: Conv2D(4, (3, 2.5)),
        "kernel_size None": lambda m: Conv2D(4, None),
        "strides 0": lambda m: Conv2D(4, 3, strides=0),
        "strides negative": lambda m: Conv2D(4, 3, strides=(1, -1)),
        "strides None": lambda m: Conv2D(4, 3, strides=None),
        "padding unknown": lambda m: Conv2D(4, 3, padding="full"),
        "padding None": lambda m: Conv2D(4, 3, padding=None),
        "activation unknown": lambda m: Conv2D(4, 3, activation="rellu"),
        "activation number": lambda m: Conv2D(4, 3, activation=1),
        "use_bias number": lambda m: Conv2D(4, 3, use_bias=1),
        "initializer unknown": lambda m: Conv2D(4, 3, kernel_initializer="he"),
        "initializer class": lambda m: Conv2D(4, 3, kernel_initializer=GlorotUniform),
        "initializer None": lambda m: Conv2D(4, 3, bias_initializer=None),
        "algorithm unknown": lambda m: Conv2D(4, 3, algorithm="fft"),
        "algorithm None": lambda m: Conv2D(4, 3, algorithm=None),
        "name empty": lambda m: Conv2D(4, 3, name=""),
        "name with slash": lambda m: Conv2D(4, 3, name="a/b"),
        "name number": lambda m: Conv2D(4, 3, name=3),
        "input_shape number": lambda m: Conv2D(4, 3, input_shape=28),
        "input_shape with None": lambda m: Conv2D(4, 3, input_shape=(None, 28, 1)),
        "of vectors": lambda m: Conv2D(4, 3).build((9,), None),
        "of gray images": lambda m: Conv2D(4, 3).build((9, 9), None),
        "larger than the image": lambda m: Conv2D(4, 5).build((4, 9, 1), None),
        "of no channels": lambda m: Conv2D(4, 3).build((9, 9, 0), None),
        "of text": lambda m: Conv2D(4, 3).build("9x9", None),
        "of None": lambda m: Conv2D(4, 3).build(None, None),
        "in integers": lambda m: Conv2D(4, 3).build((9, 9, 1), None, "int32"),
        "with strides": lambda m: Conv2D(4, 3, 2, algorithm="winograd").build((9, 9, 1), None),
        "of 4x4": lambda m: Conv2D(4, 4, algorithm="winograd").build((9, 9, 1), None),
        "forward one sample": lambda m: layer(Conv2D, 4, 3).forward(np.zeros((5, 6, 2))),
        "forward other size": lambda m: layer(Conv2D, 4, 3).forward(np.zeros((1, 6, 5, 2))),
        "forward other channels": lambda m: layer(Conv2D, 4, 3).forward(np.zeros((1, 5, 6, 3))),
        "backward of another shape": lambda m: backward((2, 3, 4, 5)),
        "backward of another batch": lambda m: backward((3, 3, 4, 4)),
        "backward of one number": lambda m: backward(()),
        "weights missing": lambda m: m.layers[0].set_weights([]),
        "weights swapped": lambda m: m.layers[0].set_weights(m.layers[0].get_weights()[::-1]),
        "add what does not fit": lambda m: m.add(Conv2D(4, 3)),
        "filters huge": lambda m: Conv2D(HUGE, 3),
        "filters list": lambda m: Conv2D([4], 3),
        "filters array": lambda m: Conv2D(np.array([4]), 3),
        "algorithm array": lambda m: Conv2D(4, 3, algorithm=X),
        "activation list": lambda m: Conv2D(4, 3, activation=["relu"]),
        "build dtype array": lambda m: Conv2D(4, 3).build((9, 9, 1), None, X),
        "padding NaN": lambda m: Conv2D(4, 3, padding=np.nan),
    },
    "MaxPooling2D": {
        "pool_size 0": lambda m: MaxPooling2D(0),
        "pool_size None": lambda m: MaxPooling2D(None),
        "pool_size text": lambda m: MaxPooling2D("2"),
        "strides 0": lambda m: MaxPooling2D(2, strides=0),
        "strides of one": lambda m: MaxPooling2D(2, strides=(1,)),
        "padding unknown": lambda m: MaxPooling2D(2, padding="causal"),
        "of vectors": lambda m: MaxPooling2D().build((9,), None),
        "larger than the image": lambda m: MaxPooling2D(2).build((1, 9, 1), None),
        "forward None": lambda m: layer(MaxPooling2D).forward(None),
        "backward pooling": lambda m: backward((2, 2, 2, 2), MaxPooling2D(2)),
        "pool_size NaN": lambda m: MaxPooling2D(np.nan),
        "strides huge": lambda m: MaxPooling2D(2, strides=HUGE),
    },
    "Dense": {
        "units 0": lambda m: Dense(0),
        "units float": lambda m: Dense(10.0),
        "units None": lambda m: Dense(None),
        "activation unknown": lambda m: Dense(10, "tanh"),
        "use_bias text": lambda m: Dense(10, use_bias="yes"),
        "dense of single numbers": lambda m: Dense(3).build((), None),
        "initializer's shape": lambda m: Dense(3, kernel_initializer=WrongShape()).build(
            (2,), None
        ),
        "forward before build": lambda m: Dense(3).forward(np.zeros((1, 2))),
        "count_params before build": lambda m: Dense(3).count_params(),
        "backward dense": lambda m: backward((2, 5, 6, 4), Dense(3)),
        "weights transposed": lambda m: m.layers[4].set_weights(
            [m.layers[4].get_weights()[0].T, np.zeros(5)]
        ),
        "weights text": lambda m: m.layers[5].set_weights([np.full((5, 3), "0"), np.zeros(3)]),
        "weights None": lambda m: m.layers[5].set_weights(None),
        "weights broadcast": lambda m: m.layers[5].set_weights([0.0, 0.0]),
        "units huge": lambda m: Dense(HUGE),
        "units complex": lambda m: Dense(1j),
        "units bool of NumPy": lambda m: Dense(np.True_),
    },
    "Input": {
        "number": lambda m: Input(28),
        "with 0": lambda m: Input((28, 0, 1)),
        "with None": lambda m: Input((None, 28, 1)),
        "generator": lambda m: Input(i for i in (3, 4)),
        "text": lambda m: Input("28"),
    },
    "GlorotUniform": {
        "seed negative": lambda m: GlorotUniform(-1),
        "seed float": lambda m: GlorotUniform(0.5),
        "of a bias": lambda m: GlorotUniform(1)((3,)),
        "shape number": lambda m: GlorotUniform()(3),
        "shape negative": lambda m: GlorotUniform()((3, -2)),
        "shape NaN": lambda m: GlorotUniform()((3, np.nan)),
        "rng number": lambda m: GlorotUniform()((3, 2), 7),
        "dtype integer": lambda m: GlorotUniform()((3, 2), None, "int8"),
    },
    "SparseCategoricalCrossentropy": {
        "from_logits text": lambda m: SparseCategoricalCrossentropy("no"),
        "of no samples": lambda m: SparseCategoricalCrossentropy()([], np.zeros((0, 3))),
        "of one row": lambda m: SparseCategoricalCrossentropy()([0], np.zeros(3)),
        "label 3 of 3": lambda m: SparseCategoricalCrossentropy()([3], np.zeros((1, 3))),
        "label -1": lambda m: SparseCategoricalCrossentropy()([-1], np.zeros((1, 3))),
        "label text": lambda m: SparseCategoricalCrossentropy()(["0"], np.zeros((1, 3))),
        "of text": lambda m: SparseCategoricalCrossentropy()([0], [["a", "b"]]),
        "two labels": lambda m: SparseCategoricalCrossentropy()([0, 1], np.zeros((1, 3))),
        "name number": lambda m: SparseCategoricalCrossentropy(name=3),
        "masked": lambda m: SparseCategoricalCrossentropy()(
            np.ma.masked_equal([0, 1], 1), np.eye(2)
        ),
        "label NaN": lambda m: SparseCategoricalCrossentropy()([np.nan], np.eye(1)),
    },
    "Adam": {
        "rate 0": lambda m: Adam(0),
        "rate negative": lambda m: Adam(-0.001),
        "rate NaN": lambda m: Adam(float("nan")),
        "rate infinite": lambda m: Adam(float("inf")),
        "rate text": lambda m: Adam("0.001"),
        "rate None": lambda m: Adam(None),
        "beta_1 1": lambda m: Adam(beta_1=1),
        "beta_1 1.5": lambda m: Adam(beta_1=1.5),
        "beta_2 negative": lambda m: Adam(beta_2=-0.1),
        "epsilon 0": lambda m: Adam(epsilon=0),
        "rate complex": lambda m: Adam(1j),
        "rate huge": lambda m: Adam(10**400),
        "rate array": lambda m: Adam(np.array([0.1])),
        "beta_1 NaN": lambda m: Adam(beta_1=np.nan),
        "beta_2 infinite": lambda m: Adam(beta_2=np.inf),
        "epsilon NaN": lambda m: Adam(epsilon=np.nan),
        "epsilon infinite": lambda m: Adam(epsilon=np.inf),
        "gradients None": lambda m: Adam().apply(None, [np.zeros(2)]),
        "gradient of another shape": lambda m: Adam().apply([np.zeros(3)], [np.zeros(2)]),
        "gradient text": lambda m: Adam().apply([np.array(["a", "b"])], [np.zeros(2)]),
        "weights number": lambda m: Adam().apply([], 3),
        "weights of integers": lambda m: Adam().apply([np.zeros(2)], [np.zeros(2, int)]),
        "weights read-only": lambda m: Adam().apply([np.zeros(2)], [np.broadcast_to(0.0, 2)]),
        "of another model": lambda m: m.optimizer.apply([np.zeros(2)], [np.zeros(2)]),
    },
    "SGD": {
        "rate complex": lambda m: SGD(1j),
        "rate True": lambda m: SGD(True),
        "momentum 1": lambda m: SGD(momentum=1.0),
        "momentum negative": lambda m: SGD(momentum=-0.9),
        "nesterov number": lambda m: SGD(nesterov=1),
        "momentum NaN": lambda m: SGD(momentum=np.nan),
        "momentum text": lambda m: SGD(momentum="0.9"),
    },
    "Sequential": {
        "dtype": lambda m: Sequential(dtype="float16"),
        "dtype integer": lambda m: Sequential(dtype="int32"),
        "dtype unknown": lambda m: Sequential(dtype="double precision"),
        "dtype None": lambda m: Sequential(dtype=None),
        "dtype of Python": lambda m: Sequential(dtype=int),
        "add a number": lambda m: m.add(3),
        "add a class": lambda m: m.add(Dense),
        "add a taken name": lambda m: m.add(Dense(3, name=m.layers[-1].name)),
        "add Input late": lambda m: m.add(Input((3,))),
        "build without samples": lambda m: Sequential([Dense(3)]).build((None,)),
        "build number": lambda m: Sequential([Dense(3)]).build(3),
        "build for other images": lambda m: m.build((None, 28, 28, 1)),
        "weights before build": lambda m: Sequential([Dense(3)]).get_weights(),
        "without layers": lambda m: Sequential().get_weights(),
        "weights missing": lambda m: m.set_weights(m.get_weights()[:-1]),
        "weights too many": lambda m: m.set_weights([*m.get_weights(), m.get_weights()[0]]),
        "weights reversed": lambda m: m.set_weights(m.get_weights()[::-1]),
        "weights dict": lambda m: m.set_weights(dict(enumerate(m.get_weights()))),
        "weights None": lambda m: m.set_weights(None),
        "weights last wrong": lambda m: m.set_weights([*m.get_weights()[:-1], np.zeros(4)]),
        "weights last text": lambda m: m.set_weights([*m.get_weights()[:-1], ["a"] * 3]),
        "weights array": lambda m: m.set_weights(np.zeros(3)),
        "layers number": lambda m: Sequential(3),
        "layers generator": lambda m: Sequential(Dense(3) for _ in range(2)),
        "name number": lambda m: Sequential(name=3),
        "dtype array": lambda m: Sequential(dtype=X),
        "build -1 samples": lambda m: Sequential([Dense(3)]).build((-1, 3)),
        "build text samples": lambda m: Sequential([Dense(3)]).build(("a", 3)),
        "summary to a file name": lambda m: m.summary("summary.txt"),
        "weights masked": lambda m: m.set_weights(
            [*m.get_weights()[:-1], np.ma.masked_equal([1, 2, 3], 2)]
        ),
        "weights generator": lambda m: m.set_weights(w for w in m.get_weights()),
        "weights complex": lambda m: m.set_weights([w * 1j for w in m.get_weights()]),
    },
    "Softmax": {
        "softmax of single numbers": lambda m: Softmax().build((), None),
        "forward complex": lambda m: layer(Softmax).forward(np.zeros((1, 5, 6, 2), complex)),
    },
    "set_random_seed": {
        "set_random_seed": lambda m: minicnn.set_random_seed(-1),
        "None": lambda m: minicnn.set_random_seed(None),
        "float": lambda m: minicnn.set_random_seed(1.0),
        "array": lambda m: minicnn.set_random_seed(np.arange(3)),
    },
    "set_num_threads": {
        "0": lambda m: minicnn.set_num_threads(0),
        "float": lambda m: minicnn.set_num_threads(1.5),
        "huge": lambda m: minicnn.set_num_threads(HUGE),
        "NaN": lambda m: minicnn.set_num_threads(np.nan),
        "None": lambda m: minicnn.set_num_threads(None),
        "text": lambda m: minicnn.set_num_threads("2"),
    },
    "ReLU": {
        "forward text": lambda m: layer(ReLU).forward(np.full((1, 5, 6, 2), "1")),
        "forward dates": lambda m: layer(ReLU).forward(np.zeros((1, 5, 6, 2), "M8[s]")),
        "backward relu": lambda m: backward((2, 5, 6), ReLU()),
    },
    "Flatten": {
        "forward ragged": lambda m: layer(Flatten).forward([[1, 2], [3]]),
        "backward flatten": lambda m: backward((2, 5, 6, 2), Flatten()),
        "weights too many": lambda m: m.layers[3].set_weights([np.zeros(3)]),
    },
    "SparseCategoricalAccuracy": {
        "label 250": lambda m: SparseCategoricalAccuracy().update_state([250], np.eye(1)),
        "one-hot": lambda m: SparseCategoricalAccuracy().update_state(np.eye(3), np.eye(3)),
        "name empty": lambda m: SparseCategoricalAccuracy(""),
        "label 0.5": lambda m: SparseCategoricalAccuracy().update_state([0.5], np.eye(1)),
    },
    "fit": {
        "before compile": lambda m: Sequential([Input((2,)), Dense(2)]).fit([[1, 2]], [0]),
        "x dict": lambda m: m.fit({"x": X}, Y, verbose=0),
        "y missing": lambda m: m.fit(X, verbose=0),
        "y too short": lambda m: m.fit(X, Y[:5], verbose=0),
        "y -1": lambda m: m.fit(X, Y - 1, verbose=0),
        "y 3 of 3": lambda m: m.fit(X, Y + 1, verbose=0),
        "y NaN": lambda m: m.fit(X, np.where(Y, Y, np.nan), verbose=0),
        "y infinite": lambda m: m.fit(X, np.where(Y, Y, np.inf), verbose=0),
        "y 0.5": lambda m: m.fit(X, Y * 0.5, verbose=0),
        "y one-hot": lambda m: m.fit(X, np.eye(3)[Y], verbose=0),
        "y text": lambda m: m.fit(X, Y.astype(str), verbose=0),
        "y one number": lambda m: m.fit(X, 1, verbose=0),
        "nothing": lambda m: m.fit(X[:0], Y[:0], verbose=0),
        "batch_size 0": lambda m: m.fit(X, Y, batch_size=0, verbose=0),
        "epochs 0": lambda m: m.fit(X, Y, epochs=0, verbose=0),
        "epochs float": lambda m: m.fit(X, Y, epochs=1.5, verbose=0),
        "steps_per_epoch 0": lambda m: m.fit(X, Y, steps_per_epoch=0, verbose=0),
        "shuffle text": lambda m: m.fit(X, Y, shuffle="batch", verbose=0),
        "verbose 3": lambda m: m.fit(X, Y, verbose=3),
        "dataset and y": lambda m: m.fit(dataset(X, Y), Y, verbose=0),
        "dataset and batch_size": lambda m: m.fit(dataset(X, Y), batch_size=2, verbose=0),
        "dataset not batched": lambda m: m.fit(Dataset.from_tensor_slices((X, Y)), verbose=0),
        "dataset without labels": lambda m: m.fit(dataset(X), verbose=0),
        "dataset wrong labels": lambda m: m.fit(dataset(X, Y + 3), verbose=0),
        "dataset endless": lambda m: m.fit(dataset(X, Y).repeat(), verbose=0),
        "dataset empty": lambda m: m.fit(dataset(X, Y).take(0), verbose=0),
        "y masked": lambda m: m.fit(X, np.ma.masked_equal(Y, 2), verbose=0),
        "y complex": lambda m: m.fit(X, Y * 1j, verbose=0),
        "y dates": lambda m: m.fit(X, Y.astype("M8[s]"), verbose=0),
        "y structured": lambda m: m.fit(X, np.zeros(6, "i4,i4"), verbose=0),
        "y generator": lambda m: m.fit(X, (y for y in Y), verbose=0),
        "y ragged": lambda m: m.fit(X, [[0], [1, 2]], verbose=0),
        "y table of labels too long": lambda m: m.fit(X, ArrayLike(np.zeros(7)), verbose=0),
        "x structured": lambda m: m.fit(np.zeros(6, "f4,f4"), Y, verbose=0),
        "epochs huge": lambda m: m.fit(X, Y, epochs=HUGE, verbose=0),
        "epochs NaN": lambda m: m.fit(X, Y, epochs=np.nan, verbose=0),
        "epochs None": lambda m: m.fit(X, Y, epochs=None, verbose=0),
        "verbose text": lambda m: m.fit(X, Y, verbose="loud"),
        "verbose float": lambda m: m.fit(X, Y, verbose=1.0),
        "shuffle None": lambda m: m.fit(X, Y, shuffle=None, verbose=0),
        "dataset of triples": lambda m: m.fit(dataset(X, Y, Y), verbose=0),
    },
    "compile": {
        "optimizer unknown": lambda m: m.compile("adamm", LOSS),
        "optimizer class": lambda m: m.compile(Adam, LOSS),
        "loss unknown": lambda m: m.compile("adam", "mse"),
        "loss None": lambda m: m.compile("adam", None),
        "metric unknown": lambda m: m.compile("adam", LOSS, metrics=["acc"]),
        "metrics text": lambda m: m.compile("adam", LOSS, metrics="accuracy"),
        "metrics class": lambda m: m.compile("adam", LOSS, metrics=[SparseCategoricalAccuracy]),
        "optimizer None": lambda m: m.compile(None, LOSS),
        "loss class": lambda m: m.compile("adam", SparseCategoricalCrossentropy),
    },
    "predict": {
        "x one sample": lambda m: m.predict(X[0], verbose=0),
        "x without channels": lambda m: m.predict(X[..., 0], verbose=0),
        "x of other images": lambda m: m.predict(X[:, :7], verbose=0),
        "x None": lambda m: m.predict(None, verbose=0),
        "x text": lambda m: m.predict("mnist.npz", verbose=0),
        "x objects": lambda m: m.predict(object_array(), verbose=0),
        "x complex": lambda m: m.predict(X * 1j, verbose=0),
        "x ragged": lambda m: m.predict([X[0], X[1, 1:]], verbose=0),
        "batch_size negative": lambda m: m.predict(X, batch_size=-1, verbose=0),
        "x masked": lambda m: m.predict(masked(), verbose=0),
        "x structured": lambda m: m.predict(np.zeros(6, "f4,f4"), verbose=0),
        "x dates": lambda m: m.predict(X.astype("M8[s]"), verbose=0),
        "x generator": lambda m: m.predict((x for x in X), verbose=0),
        "x set": lambda m: m.predict({1, 2}, verbose=0),
        "x table of objects": lambda m: m.predict(ArrayLike(object_array()), verbose=0),
        "x table of two columns": lambda m: m.predict(ArrayLike(np.zeros((6, 2))), verbose=0),
        "x of rank 5": lambda m: m.predict(X[None], verbose=0),
        "x number": lambda m: m.predict(3.0, verbose=0),
        "batch_size huge": lambda m: m.predict(X, HUGE, verbose=0),
        "batch_size True": lambda m: m.predict(X, True, verbose=0),
        "batch_size NaN": lambda m: m.predict(X, np.nan, verbose=0),
        "verbose array": lambda m: m.predict(X, verbose=X),
        "steps 0": lambda m: m.predict(X, verbose=0, steps=0),
    },
    "predict_on_batch": {
        "one sample": lambda m: m.predict_on_batch(X[0]),
        "other images": lambda m: m.predict_on_batch(X[:, :7]),
        "None": lambda m: m.predict_on_batch(None),
        "objects": lambda m: m.predict_on_batch(object_array()),
        "masked": lambda m: m.predict_on_batch(masked()),
        "a Dataset": lambda m: m.predict_on_batch(Dataset.from_tensor_slices(X).batch(2)),
    },
    "evaluate": {
        "y too long": lambda m: m.evaluate(X[:5], Y, verbose=0),
        "y 250": lambda m: m.evaluate(X, np.full(6, 250, np.uint8), verbose=0),
        "nothing": lambda m: m.evaluate(X[:0], Y[:0], verbose=0),
        "batch_size float": lambda m: m.evaluate(X, Y, batch_size=2.0, verbose=0),
        "steps text": lambda m: m.evaluate(X, Y, steps="2", verbose=0),
        "return_dict number": lambda m: m.evaluate(X, Y, verbose=0, return_dict=1),
        "y -1 of 64 bits": lambda m: m.evaluate(X, np.full(6, 2**64 - 1, np.uint64), verbose=0),
        "x dict": lambda m: m.evaluate({"x": X}, Y, verbose=0),
        "steps NaN": lambda m: m.evaluate(X, Y, verbose=0, steps=np.nan),
    },
    "train_on_batch": {
        "y objects": lambda m: m.train_on_batch(X, object_array()),
        "train on nothing": lambda m: m.train_on_batch(X[:0], Y[:0]),
        "train on None": lambda m: m.train_on_batch(None, None),
        "train on a number": lambda m: m.train_on_batch(3, 3),
        "train on wrong labels": lambda m: m.train_on_batch(X, Y + 1),
        "x masked": lambda m: m.train_on_batch(masked(), Y),
        "y one-hot": lambda m: m.train_on_batch(X, np.eye(3)[Y]),
        "y too short": lambda m: m.train_on_batch(X, Y[:5]),
        "y NaN": lambda m: m.train_on_batch(X, np.where(Y, Y, np.nan)),
    },
    "fit, validation_data": {
        "validation x alone": lambda m: m.fit(X, Y, validation_data=X, verbose=0),
        "validation labels": lambda m: m.fit(X, Y, validation_data=(X, Y + 1), verbose=0),
    },
    "expected the name of a file": {
        "load other ending": lambda m: m.load_weights("weights.h5"),
        "save other ending": lambda m: m.save_weights("weights"),
    },
    "not_weights.npz": {
        "load no weights file": lambda m: m.load_weights(Path("not_weights.npz")),
    },
    "other_layers.npz": {
        "load other layers": lambda m: m.load_weights("other_layers.npz"),
    },
    "other_sizes.npz": {
        "load other sizes": lambda m: m.load_weights("other_sizes.npz"),
    },
    "from_tensor_slices": {
        "dataset of lengths": lambda m: Dataset.from_tensor_slices((X, Y[:3])),
        "dataset of a number": lambda m: Dataset.from_tensor_slices(3),
        "objects": lambda m: Dataset.from_tensor_slices(object_array()),
        "masked": lambda m: Dataset.from_tensor_slices(masked()),
        "ragged": lambda m: Dataset.from_tensor_slices([[1, 2], [3]]),
        "generator": lambda m: Dataset.from_tensor_slices(x for x in X),
        "None": lambda m: Dataset.from_tensor_slices((X, None)),
    },
    "from_generator": {
        "dataset from a list": lambda m: Dataset.from_generator([1, 2]),
        "a generator": lambda m: Dataset.from_generator(x for x in X),
    },
    "shuffle": of_dataset(
        *("shuffle", (0,), (-1,), (2.0,), ("2",), (True,), (None,), (HUGE,)),
        *((3, -1), (3, 1.5), (3, 1, 0)),
    ),
    "repeat": of_dataset("repeat", (-2,), (1.5,), ("2",), (True,), (HUGE,)),
    "batch": {
        **of_dataset("batch", (0,), (-1,), (2.0,), (None,), (False,), (2, "no")),
        "of two structures": lambda m: list(
            Dataset.from_generator(lambda: iter([(1, 2), np.arange(2)])).batch(2)
        ),
        "of two shapes": lambda m: list(Dataset.from_generator(lambda: iter([X, X[0]])).batch(2)),
    },
    "take": of_dataset("take", (-2,), (1.5,), (None,), (True,)),
    "map": of_dataset("map", (3,), (None,)),
    "prefetch": of_dataset("prefetch", (-2,), (0.5,), (None,), (True,)),
    "Zeros": {
        "shape None": lambda m: Zeros()(None),
        "dtype None": lambda m: Zeros()((3,), None, None),
    },
    "Mean": {
        "of nothing": lambda m: Mean().update(np.zeros(0)),
        "of a number": lambda m: Mean().update(3.0),
        "of text": lambda m: Mean().update(np.array(["3"])),
    },
    "Dataset": {
        "of a list": lambda m: Dataset([1, 2], 2),
        "cardinality -3": lambda m: Dataset(lambda: iter([1]), -3),
        "cardinality float": lambda m: Dataset(lambda: iter([1]), 2.5),
    },
    "check_gradients": {
        "number": lambda m: gradients(3),
        "class": lambda m: gradients(Dense),
        "float32": lambda m: gradients(x=np.ones((1, 3), "float32")),
        "text": lambda m: gradients(x=np.array([["a"]])),
        "NaN": lambda m: gradients(x=np.full((1, 3), np.nan)),
        "nothing": lambda m: gradients(x=np.ones((0, 3))),
        "rng None": lambda m: gradients(rng=None),
        "step 0": lambda m: gradients(step=0),
        "step True": lambda m: gradients(step=True),
        "step infinite": lambda m: gradients(step=np.inf),
        "tolerance NaN": lambda m: gradients(tolerance=np.nan),
        "sample 0": lambda m: gradients(sample=0),
        "sample float": lambda m: gradients(sample=2.0),
        "y without a model": lambda m: gradients(y=[0]),
    },
    "digit_grid": {
        "images number": lambda m: plots.digit_grid(3, Y),
        "images of rank 2": lambda m: plots.digit_grid(IMAGES[0], Y),
        "labels too short": lambda m: plots.digit_grid(IMAGES, Y[:5]),
        "labels text": lambda m: plots.digit_grid(IMAGES, "abcdef"),
        "rows 0": lambda m: plots.digit_grid(IMAGES, Y, rows=0),
        "names too few": lambda m: plots.digit_grid(IMAGES, Y, class_names=["bag", "boot"]),
        "names number": lambda m: plots.digit_grid(IMAGES, Y, class_names=3),
    },
    "learning_curve": {
        "dict": lambda m: plots.learning_curve({"loss": [1, 2]}),
    },
    "filters": {
        "kernel": lambda m: plots.filters(m.get_weights()[0]),
    },
    "confusion_matrix": {
        "one label for all": lambda m: plots.confusion_matrix([1], Y),
        "predicted -1": lambda m: plots.confusion_matrix(Y, Y - 1),
        "labels 0.5": lambda m: plots.confusion_matrix(Y * 0.5, Y),
        "probabilities": lambda m: plots.confusion_matrix(Y, np.eye(3)[Y]),
        "nothing": lambda m: plots.confusion_matrix([], []),
    },
    "worst_mistakes": {
        "label -1": lambda m: plots.worst_mistakes(IMAGES, Y - 1, np.eye(3)[Y]),
        "classes": lambda m: plots.worst_mistakes(IMAGES, Y, Y),
        "probabilities too few": lambda m: plots.worst_mistakes(IMAGES, Y, np.eye(3)),
        "count 0": lambda m: plots.worst_mistakes(IMAGES, Y, np.eye(3)[Y - 1], 0),
    },
    "shape_ribbon": {
        "layers": lambda m: plots.shape_ribbon(m.layers),
    },
}


def write_files(folder):
    """Two weights files of other models, and a file that is no archive."""
    (folder / "not_weights.npz").write_bytes(b"PK\x03\x04 and so on")
    Sequential([Input((2,)), Dense(3)]).save_weights(folder / "other_layers.npz")
    other = new_model()
    other.layers[-1].params["kernel"] = np.zeros((4, 3), "float32")
    other.save_weights(folder / "other_sizes.npz")


def rows():
    """All (who, what, call)."""
    return [(who, what, call) for who, calls in REFUSED.items() for what, call in calls.items()]


def fault(model, who, call):
    """What is wrong with how a trained model refuses `call`; None if nothing is."""
    before, names = state(model), [layer.name for layer in model.layers]
    try:
        call(model)
    except (ValueError, TypeError) as error:
        message, frame = str(error), error.__traceback__
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    else:
        return "was accepted"
    if state(model) != before or [layer.name for layer in model.layers] != names:
        return "changed the model"
    while frame.tb_next is not None:
        frame = frame.tb_next
    by = Path(frame.tb_frame.f_code.co_filename)
    if not by.is_relative_to(Path(minicnn.__file__).parent):
        return f"was refused by {by.name}, not by minicnn"
    if not message.startswith(who):
        return f"does not start with {who}: {message}"
    if not WANTED.search(message):
        return f"does not say what was expected: {message}"
    return None
