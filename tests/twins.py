"""Small models for tests: alone, next to Keras, and with a layer that records its inputs."""

import itertools

import minicnn
from minicnn import layers
from tests.tolerances import assert_close

SPARSE = "sparse_categorical_crossentropy"


def classifier(*first, inputs=5, classes=3, optimizer="sgd", metrics=(), dtype="float32"):
    """A compiled model: the layers `first`, then a dense layer with softmax."""
    parts = [minicnn.Input((inputs,)), *first, layers.Dense(classes, "softmax")]
    model = minicnn.Sequential(parts, dtype=dtype)
    model.compile(optimizer, SPARSE, metrics=list(metrics))
    return model


def bits(model):
    """The weights, then the state of the optimizer, array by array."""
    slots = model.optimizer.state.values() if model.optimizer else ()
    return [array.tobytes() for array in (*model.get_weights(), *itertools.chain(*slots))]


def twins(keras, optimizer="sgd", metrics=("accuracy",)):
    """A small classifier of 5 numbers into 3 classes: (ours, theirs), in double precision.

    SGD's rate is a power of two, because Keras rounds the rate to single precision.
    """
    ours = classifier(layers.Dense(6, "relu"), dtype="float64")
    dense = keras.layers.Dense(6, "relu"), keras.layers.Dense(3, "softmax")
    theirs = keras.Sequential([keras.Input((5,)), *dense])
    theirs.set_weights(ours.get_weights())
    for model, optimizers in ((ours, minicnn.optimizers), (theirs, keras.optimizers)):
        chosen = optimizers.SGD(2**-4, momentum=0.5) if optimizer == "sgd" else optimizers.Adam()
        kind = {"run_eagerly": True} if model is theirs else {}
        model.compile(chosen, SPARSE, metrics=list(metrics), **kind)
    return ours, theirs


def assert_same_weights(ours, theirs, tolerance):
    for weight, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_close(weight, expected, tolerance)


def samples(rng, n):
    """Labelled samples for the twins."""
    return rng.normal(size=(n, 5)), rng.integers(0, 3, n)


def tutorial_network(library, layer_library):
    """The network of the notebook, from `minicnn` or from `keras`."""
    return library.Sequential(
        [
            library.Input((28, 28, 1)),
            layer_library.Conv2D(32, [5, 5], padding="same", activation="relu"),
            layer_library.MaxPooling2D([2, 2]),
            layer_library.Conv2D(64, [5, 5], padding="same", activation="relu"),
            layer_library.MaxPooling2D([2, 2]),
            layer_library.Flatten(),
            layer_library.Dense(64, activation="relu"),
            layer_library.Dense(10, activation="softmax"),
        ]
    )


class Recorder(layers.Layer):
    """Passes its input on, and appends the first number of each sample to `seen`."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def output_shape(self, input_shape):
        return input_shape

    def forward(self, x):
        x = self.checked_input(x)
        self.seen += x.reshape(len(x), -1)[:, 0].tolist()
        return x, None

    def backward(self, dy, cache):
        return dy, {}


def recording_model():
    """A classifier of single numbers into two classes, and the list of those it has received."""
    recorder = Recorder()
    return classifier(recorder, inputs=1, classes=2), recorder.seen
