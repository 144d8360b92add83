"""The network of the tutorial, and images as it takes them: for scripts, lessons and tests."""

import numpy as np

from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from minicnn.model import Sequential


def tutorial_network(
    input_shape: tuple[int, int, int] = (28, 28, 1), classes: int = 10, dtype: str = "float32"
) -> Sequential:
    """Two convolutions, each followed by pooling, then two dense layers; built, not compiled.

    Pooling twice needs images (h, w, c) of at least 4 x 4 pixels. For MNIST: 253,514 weights.
    """
    return Sequential(
        [
            Input(input_shape),
            Conv2D(32, kernel_size=5, padding="same", activation="relu"),
            MaxPooling2D(pool_size=2),
            Conv2D(64, kernel_size=5, padding="same", activation="relu"),
            MaxPooling2D(pool_size=2),
            Flatten(),
            Dense(64, activation="relu"),
            Dense(classes, activation="softmax"),
        ],
        dtype=dtype,
    )


def scaled(images: np.ndarray) -> np.ndarray:
    """Grey images (n, h, w) of bytes as the network takes them: (n, h, w, 1) float32, 0 to 1."""
    return np.divide(images[..., None], 255, dtype=np.float32)
