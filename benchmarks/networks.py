"""The networks to compare: descriptions, data, and weights in the layouts of other libraries."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MNIST = Path(__file__).parents[1] / "minicnn" / "datasets" / "mnist.npz"


class Network(NamedTuple):
    """Convolutions with "same" padding and ReLU, 2x2 pooling behind each; then dense layers."""

    input_shape: tuple[int, int, int]
    filters: tuple[int, ...]
    kernel_size: int
    units: tuple[int, ...]  # ReLU between them, softmax behind the last


NETWORKS = {
    "tutorial": Network((28, 28, 1), (32, 64), 5, (64, 10)),
    "3x3": Network((32, 32, 3), (32, 64, 128), 3, (10,)),
}


def data(name: str, images: int, test_images: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Images (n, h, w, c), 0 to 1, and labels to train and to test with: MNIST if it fits."""
    if name == "tutorial":
        with np.load(MNIST) as file:
            x, y, x_test, y_test = (file[k] for k in ("x_train", "y_train", "x_test", "y_test"))
        x, x_test = (
            np.divide(part[..., None], 255, dtype=np.float32)
            for part in (x[:images], x_test[:test_images])
        )
        y, y_test = (labels.astype(np.int64) for labels in (y[:images], y_test[:test_images]))
        return (x, y), (x_test, y_test)
    return tuple(
        (
            rng.random((count, *NETWORKS[name].input_shape), np.float32),
            rng.integers(0, NETWORKS[name].units[-1], count),
        )
        for rng, count in zip(
            map(np.random.default_rng, (0, 1)), (images, test_images), strict=True
        )
    )


def features(network: Network) -> int:
    """How many numbers the last pooling hands to the first dense layer."""
    h, w, _ = network.input_shape
    halvings = 2 ** len(network.filters)
    return (h // halvings) * (w // halvings) * network.filters[-1]


def channels_first(network: Network, weights: list[np.ndarray]) -> list[np.ndarray]:
    """The weights as PyTorch and ONNX want them: kernels f c kh kw, dense ones outputs inputs."""
    kernels, biases = weights[::2], weights[1::2]
    turned = []
    for layer, kernel in enumerate(kernels):
        if kernel.ndim == 4:
            kernel = kernel.transpose(3, 2, 0, 1)
        else:
            if layer == len(network.filters):  # what is flattened is c h w there, h w c here
                f = network.filters[-1]
                kernel = kernel.reshape(-1, f, kernel.shape[1]).swapaxes(0, 1)
                kernel = kernel.reshape(-1, kernel.shape[2])
            kernel = kernel.T
        turned.append(np.ascontiguousarray(kernel))
    return [array.copy() for pair in zip(turned, biases, strict=True) for array in pair]


def onnx_model(network: Network, weights: list[np.ndarray]) -> bytes:
    """The network as an ONNX file's bytes, for batches of any size."""
    from onnx import TensorProto, helper, numpy_helper

    arrays = channels_first(network, weights)
    names = [f"weight_{number}" for number in range(len(arrays))]
    pairs = list(zip(names[::2], names[1::2], strict=True))
    nodes: list[Any] = []

    def add(kind: str, *inputs: str, **attributes: Any) -> None:
        source = nodes[-1].output[0] if nodes else "x"
        output = f"{kind}_{len(nodes)}"
        nodes.append(helper.make_node(kind, [source, *inputs], [output], **attributes))

    for pair in pairs[: len(network.filters)]:
        add("Conv", *pair, pads=[network.kernel_size // 2] * 4)
        add("Relu")
        add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    add("Flatten")
    *hidden, last = pairs[len(network.filters) :]
    for pair in hidden:
        add("Gemm", *pair, transB=1)
        add("Relu")
    add("Gemm", *last, transB=1)
    add("Softmax", axis=1)

    h, w, c = network.input_shape
    images = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", c, h, w])
    result = helper.make_tensor_value_info(
        nodes[-1].output[0], TensorProto.FLOAT, ["n", network.units[-1]]
    )
    constants = [numpy_helper.from_array(a, name) for a, name in zip(arrays, names, strict=True)]
    graph = helper.make_graph(nodes, "network", [images], [result], constants)
    # Versions of 2021, which every reader of today knows.
    opsets = [helper.make_opsetid("", 13)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
