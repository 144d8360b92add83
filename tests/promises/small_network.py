"""A small image classifier and its samples, for checks of promises."""

import numpy as np

import minicnn
from minicnn import Input, Sequential
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D

LOSS = "sparse_categorical_crossentropy"
X = np.random.default_rng(1).random((6, 8, 7, 1)).astype("float32")
Y = np.array([0, 1, 2, 0, 1, 2])


def new_model(dtype="float32"):
    """A compiled model, always with the same weights."""
    minicnn.set_random_seed(3)
    layers = [
        Conv2D(8, 3, activation="relu"),
        Conv2D(8, 3, padding="same"),
        MaxPooling2D(2),
        Flatten(),
        Dense(5, activation="relu"),
        Dense(3, activation="softmax"),
    ]
    model = Sequential([Input(X.shape[1:]), *layers], dtype=dtype)
    model.compile("adam", LOSS, metrics=["accuracy"])
    return model


def state(model):
    """All that training changes: weights and state of the optimizer as bytes, its step count."""
    arrays = [array for slot in model.optimizer.state.values() for array in slot]
    return [
        array.tobytes() for array in (*model.get_weights(), *arrays)
    ], model.optimizer.iterations


def same_bits(actual, expected):
    """Whether two lists of arrays and numbers are equal, NaN and dtypes included."""
    return all(
        np.array_equal(a, b, equal_nan=True) and np.asarray(a).dtype == np.asarray(b).dtype
        for a, b in zip(actual, expected, strict=True)
    )
