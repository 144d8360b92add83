"""Random networks of all kinds that the explorer shows."""

import numpy as np

from minicnn.layers import (
    Activation,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
    ReLU,
    Softmax,
)
from minicnn.model import Sequential


def with_random_biases(model, rng):
    """The model with biases that are not zero, as after training."""
    model.set_weights(
        [
            rng.uniform(-0.2, 0.2, weight.shape) if weight.ndim == 1 else weight
            for weight in model.get_weights()
        ]
    )
    return model


def random_network(number):
    """Odd sizes, strides, both paddings, with and without bias, logits or probabilities."""
    rng = np.random.default_rng(number)
    shape = *rng.integers(9, 17, 2).tolist(), int(rng.integers(1, 4))
    parts = [Input(shape)]
    for place in range(rng.integers(1, 3)):
        parts.append(_convolution(rng, first=place == 0))
        parts += [ReLU()] if rng.random() < 0.3 else []
        parts += [_pooling(rng, fits=place == 0)] if rng.random() < 0.7 else []
        parts += [Dropout(0.4)] if rng.random() < 0.3 else []
    if rng.random() < 0.2:
        parts.append(Dense(3, activation="relu"))  # at each pixel
    parts.append(Flatten())
    if rng.random() < 0.5:
        activation = rng.choice(["relu", "softmax", "linear"])
        parts.append(Dense(6, activation=str(activation), use_bias=rng.random() < 0.7))
    parts += [Activation("relu")] if number % 5 == 0 else []
    last = ("logits", "softmax", "layer")[number % 3]
    parts.append(Dense(4, activation="softmax" if last == "softmax" else None))
    parts += [Softmax()] if last == "layer" else []
    return with_random_biases(Sequential(parts), rng), rng


def _sizes(rng, low, high):
    return tuple(rng.integers(low, high, 2).tolist())


def _convolution(rng, first):
    window = _sizes(rng, 1, 6)
    activation = rng.choice(["relu", "linear", "softmax"], p=[0.7, 0.2, 0.1])
    return Conv2D(
        int(rng.integers(1, 6)),
        window,
        strides=_sizes(rng, 1, 3),
        padding="valid" if first and rng.random() < 0.6 else "same",  # later images may be small
        activation=str(activation),
        use_bias=rng.random() < 0.7,
    )


def _pooling(rng, fits):
    window = _sizes(rng, 1, 4)
    strides = None if rng.random() < 0.5 else _sizes(rng, 1, 3)
    padding = "valid" if fits and rng.random() < 0.4 else "same"
    return MaxPooling2D(window, strides, padding=padding)
