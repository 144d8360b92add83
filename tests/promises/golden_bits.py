"""Hashes of the weights after 200 steps of five networks, on 1, 2 and 3 threads.

Run it before and after a change that must not alter results, on one machine:

    python tests/promises/golden_bits.py

It uses nothing but the public interface, so it also runs against an older version. The hashes
depend on the processor; they are printed, not stored.
"""

import hashlib

import numpy as np

import minicnn
from minicnn.datasets import mnist
from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D

STEPS, BATCH = 200, 32
SHAPE = (28, 28, 1)


def same(filters, size, **options):
    """A convolution as most of the networks have it."""
    return Conv2D(filters, size, padding="same", activation="relu", **options)


def tutorial():
    """The tutorial's network, by its own layers."""
    convolutions = [same(32, 5), MaxPooling2D(2), same(64, 5), MaxPooling2D(2)]
    return [Input(SHAPE), *convolutions, Flatten(), Dense(64, "relu"), Dense(10, "softmax")]


def three_by_three():
    """Three 3x3 convolutions, the last of them without pooling."""
    middle = Conv2D(16, 3, activation="relu")
    convolutions = [same(8, 3), MaxPooling2D(2), middle, MaxPooling2D(2), same(24, 3)]
    return [Input(SHAPE), *convolutions, Flatten(), Dense(10, "softmax")]


def without_pooling():
    """Two convolutions and no pooling."""
    first = Conv2D(8, 5, activation="relu")
    return [Input(SHAPE), first, same(8, 5), Flatten(), Dense(10, "softmax")]


def strided():
    """Strides instead of pooling, rectangular kernels, and an overlapping pooling."""
    convolutions = [
        same(12, (5, 3), strides=(2, 2)),
        same(16, (3, 4), strides=(1, 2), use_bias=False),
        MaxPooling2D((3, 2), strides=(2, 1), padding="same"),
    ]
    return [Input(SHAPE), *convolutions, Flatten(), Dense(20, "relu"), Dense(10)]


def one_channel():
    """One filter, one channel, and a dense layer whose units fill no block."""
    convolutions = [same(1, 3), MaxPooling2D(2), Conv2D(1, 5, padding="same")]
    return [Input(SHAPE), *convolutions, Flatten(), Dense(13, "relu"), Dense(10, "softmax")]


NETWORKS = [tutorial, three_by_three, without_pooling, strided, one_channel]


def weights_after_training(layers, images, labels, dtype="float32"):
    """The weights after `STEPS` steps of Adam."""
    minicnn.set_random_seed(0)
    minicnn.clear_session()
    model = minicnn.Sequential(layers, dtype=dtype)
    logits = type(model.layers[-1]) is Dense and model.layers[-1].activation.name == "linear"
    loss = minicnn.losses.SparseCategoricalCrossentropy(from_logits=logits)
    model.compile("adam", loss, metrics=["accuracy"])
    n = STEPS * BATCH - 7  # the last batch is short
    history = model.fit(images[:n], labels[:n], batch_size=BATCH, verbose=0)
    outputs = model.predict(images[:100], verbose=0)
    losses = np.array(history.batches["loss"])
    return [*model.get_weights(), outputs, losses]


def main():
    (images, labels), _ = mnist.load_data()
    images = images[..., None] / np.float32(255)
    for network in NETWORKS:
        for threads in (1, 2, 3):
            minicnn.set_num_threads(threads)
            digest = hashlib.sha256()
            for array in weights_after_training(network(), images, labels):
                digest.update(np.ascontiguousarray(array).tobytes())
            print(f"{network.__name__:16} {threads} threads  {digest.hexdigest()[:16]}", flush=True)


if __name__ == "__main__":
    main()
