"""The networks that are compared: their layers, their data, and their weights in other layouts."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MNIST = Path(__file__).parents[1] / "minicnn" / "datasets" / "mnist.npz"

Samples = tuple[np.ndarray, np.ndarray]  # images, labels


class Network(NamedTuple):
    """Convolutions with "same" padding and ReLU, 2x2 pooling after each; then dense layers."""

    input_shape: tuple[int, int, int]
    filters: tuple[int, ...]
    kernel_size: int
    units: tuple[int, ...]  # with ReLU between them and softmax after the last


NETWORKS = {
    "tutorial": Network((28, 28, 1), (32, 64), 5, (64, 10)),
    "3x3": Network((32, 32, 3), (32, 64, 128), 3, (10,)),
    "128x128": Network((128, 128, 3), (16, 32, 64), 3, (10,)),
    "224x224": Network((224, 224, 3), (32, 64), 3, (10,)),
}


def sequential(library: Any, network: Network) -> Any:
    """The network in `library`, which is minicnn or keras: the same code builds both."""
    layers = library.layers
    stack = [library.Input(network.input_shape)]
    for filters in network.filters:
        stack.append(layers.Conv2D(filters, network.kernel_size, padding="same", activation="relu"))
        stack.append(layers.MaxPooling2D(2))
    *hidden, last = network.units
    stack.append(layers.Flatten())
    stack += [layers.Dense(units, activation="relu") for units in hidden]
    return library.Sequential([*stack, layers.Dense(last, activation="softmax")])


def data(name: str, images: int, test_images: int) -> tuple[Samples, ...]:
    """Training and test data of a network: MNIST for the tutorial's, otherwise random numbers.

    Images (n, h, w, c) are float32 from 0 to 1. MNIST is read without minicnn, which would add to
    the memory of processes that measure other libraries.
    """
    samples = []
    for seed, (part, count) in enumerate({"train": images, "test": test_images}.items()):
        if name == "tutorial":
            with np.load(MNIST) as file:
                x = np.divide(file[f"x_{part}"][:count, ..., None], 255, dtype=np.float32)
                y = file[f"y_{part}"][:count].astype(np.int64)
        else:
            network, rng = NETWORKS[name], np.random.default_rng(seed)
            x = rng.random((count, *network.input_shape), np.float32)
            y = rng.integers(0, network.units[-1], count)
        samples.append((x, y))
    return tuple(samples)


def features(network: Network) -> int:
    """Length of the flattened output of the last pooling layer."""
    h, w, _ = network.input_shape
    halvings = 2 ** len(network.filters)
    return (h // halvings) * (w // halvings) * network.filters[-1]


def channels_first(network: Network, weights: list[np.ndarray]) -> list[np.ndarray]:
    """The weights for PyTorch and ONNX: kernels (f, c, kh, kw), dense kernels (units, inputs)."""
    turned = [weight.T if weight.ndim == 2 else weight for weight in weights]
    convolutions = len(network.filters)
    for layer in range(convolutions):
        turned[2 * layer] = weights[2 * layer].transpose(3, 2, 0, 1)
    # Flatten yields (c, h, w) there, (h, w, c) here.
    units, inputs = turned[2 * convolutions].shape
    first = turned[2 * convolutions].reshape(units, -1, network.filters[-1])
    turned[2 * convolutions] = first.swapaxes(1, 2).reshape(units, inputs)
    return [array.copy(order="C") for array in turned]
