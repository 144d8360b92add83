"""The cases that are compared with Keras: the default rows of the ledger, and random ones."""

from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn.checking.case_types import LayerCase, LossCase, Numbers, OptimizerCase, TrainingCase
from minicnn.checking.further_cases import further_cases
from minicnn.engine import ALGORITHMS, why_not
from minicnn.layers import Conv2D

FLOATS = ("float64", "float32")

SAME = {"padding": "same"}
SAME_RELU = {"padding": "same", "activation": "relu"}
CONVOLUTION_CASES: list[tuple[dict[str, Any], tuple[int, ...], bool]] = [
    # The tutorial's two, in whole numbers.
    ({"filters": 32, "kernel_size": (5, 5), **SAME}, (1, 28, 28, 1), True),
    ({"filters": 64, "kernel_size": (5, 5), **SAME}, (1, 14, 14, 32), True),
    # Winograd tiles that extend over the edge of the image.
    ({"filters": 4, "kernel_size": (5, 5), **SAME}, (3, 9, 11, 3), False),
    ({"filters": 5, "kernel_size": (3, 3), "padding": "valid"}, (2, 10, 7, 2), False),
    # An odd number of cells of padding, and strides that leave a remainder.
    ({"filters": 3, "kernel_size": (4, 2), **SAME}, (3, 6, 9, 2), False),
    ({"filters": 3, "kernel_size": (3, 2), "strides": (2, 3), **SAME}, (2, 8, 11, 2), False),
    ({"filters": 2, "kernel_size": (2, 3), "strides": (3, 2)}, (2, 9, 8, 3), False),
    # A kernel as large as the image; a 1x1 kernel without bias; ReLU with many sums exactly zero.
    ({"filters": 4, "kernel_size": (4, 5)}, (20, 4, 5, 1), False),
    ({"filters": 3, "kernel_size": (1, 1), "use_bias": False}, (2, 3, 4, 5), False),
    ({"filters": 3, "kernel_size": (3, 3), **SAME_RELU}, (2, 7, 6, 2), True),
    # Several groups of images: Winograd processes a few images at a time.
    ({"filters": 4, "kernel_size": (3, 3), **SAME_RELU}, (17, 8, 7, 3), False),
]
POOLING_CASES: list[tuple[dict[str, Any], tuple[int, ...]]] = [
    ({"pool_size": (2, 2)}, (2, 14, 14, 3)),
    ({"pool_size": (2, 2)}, (3, 7, 9, 2)),  # an odd row and column left over
    ({"pool_size": (3, 2), "strides": (1, 2)}, (2, 7, 6, 2)),  # windows overlap
    ({"pool_size": (3, 3), "strides": (2, 2), "padding": "same"}, (2, 8, 5, 2)),
    ({"pool_size": (2, 1), "strides": (1, 1), "padding": "same"}, (2, 5, 4, 2)),  # negative maxima
    ({"pool_size": (32, 32)}, (1, 33, 32, 4)),  # more cells than a byte can number
]
DENSE_CASES: list[tuple[dict[str, Any], tuple[int, ...], bool]] = [
    ({"units": 10}, (20, 64), False),
    ({"units": 7, "activation": "relu"}, (5, 12), True),
    ({"units": 5, "activation": "softmax"}, (6, 9), False),
    ({"units": 4, "use_bias": False}, (2, 3, 5), False),
    ({"units": 32, "activation": "relu"}, (11, 260), True),  # several blocks, also of terms
]


def _loss_cases(dtype: str) -> Iterator[LossCase]:
    def real() -> np.ndarray:
        return Numbers(19).real((6, 10)) * 4

    labels = (3, 1, 4, 1, 5, 9)
    huge = float(np.float32(3e38))
    yield LossCase("10 classes, logits around 4", real, labels, dtype)
    yield LossCase("all logits equal", lambda: np.full((6, 10), 7.0), labels, dtype)
    thousand = np.where(np.arange(10) % 2, 1000.0, -1000.0)
    yield LossCase("logits of +-1000", lambda: np.tile(thousand, (6, 1)), labels, dtype)
    # Correct predictions only: for others TensorFlow's loss is infinite, the exact one 6e38.
    yield LossCase(
        "logits of +-3e38", lambda: np.where(np.eye(10), huge, -huge)[list(labels)], labels, dtype
    )

    def probabilities() -> np.ndarray:
        values = np.abs(real()) + 0.1
        values /= values.sum(axis=1, keepdims=True)
        values[0] = np.eye(10)[7]  # certain and wrong: is clipped
        return values

    yield LossCase("bare probabilities", probabilities, labels, dtype, from_logits=False)
    yield from further_cases(dtype, probabilities)


def quick_cases() -> list[Any]:
    """The default rows of the ledger; Keras' answers to them are stored in `golden.npz`."""
    cases: list[Any] = []
    for dtype in FLOATS:
        for arguments, shape, whole in CONVOLUTION_CASES:
            cases += with_algorithms(LayerCase("Conv2D", arguments, shape, dtype, whole))
        for arguments, shape in POOLING_CASES:  # integers: many ties
            ties = arguments["pool_size"] != (32, 32)
            cases.append(LayerCase("MaxPooling2D", arguments, shape, dtype, ties))
        cases += [LayerCase("Dense", *rest[:2], dtype, rest[2]) for rest in DENSE_CASES]
        cases += [
            LayerCase("Flatten", {}, (2, 3, 4, 5), dtype, True),
            LayerCase("ReLU", {}, (3, 4, 5), dtype, True),
            LayerCase("Softmax", {}, (4, 6), dtype),
            LayerCase("Softmax", {}, (4, 6), dtype, scale=500),  # exp overflows
        ]
        cases += _loss_cases(dtype)
        cases += [
            OptimizerCase("Adam", {}, dtype),
            OptimizerCase("SGD", {}, dtype),
            OptimizerCase("SGD", {"momentum": 0.9, "nesterov": True}, dtype),
        ]
    return [
        *cases,
        TrainingCase("evaluate", "loss and accuracy, last batch short"),
        TrainingCase("fit", "loss and accuracy of two epochs, last batch short"),
        TrainingCase("lockstep", "loss of 30 steps of Adam"),
    ]


def with_algorithms(case: LayerCase) -> list[LayerCase]:
    """The case, once for each algorithm that can serve it.

    Winograd's sums of integers are not always integers: where the exact sum is 0, the result may be
    1e-16, and ReLU then passes a gradient that it would stop otherwise. Neither is wrong.
    """
    on_kinks = case.whole and case.arguments.get("activation") == "relu"
    geometry = Conv2D(**case.arguments, name="conv2d").geometry(case.x_shape[1:])
    return [
        replace(case, algorithm=name)
        for name in ALGORITHMS
        if why_not(name, geometry) is None and not (name == "winograd" and on_kinks)
    ]


# A window that slides over images; the letters are those of `minicnn.shapes`.
Window = namedtuple("Window", "n h w c f kh kw sh sw padding")


def random_window(integer: Callable[[int, int], int], images: int, longest: int = 12) -> Window:
    """A random window; `integer(low, high)` draws an integer, both ends included.

    Height and width are drawn independently, and so are the other pairs. A window may be as large
    as the image, and even larger with "same" padding; strides may leave a remainder. One window in
    four is 3x3 or 5x5 with strides of 1, as in real networks.
    """
    padding = ("valid", "same")[integer(0, 1)]
    h, w = integer(1, longest), integer(1, longest)
    beyond = 2 if padding == "same" else 0
    # Most windows are small, as in real networks; one in four may have any size.
    largest = (5, 5, 5, longest)[integer(0, 3)]
    kh, kw = integer(1, min(h + beyond, largest)), integer(1, min(w + beyond, largest))
    sh, sw = integer(1, 4), integer(1, 4)
    square = (3, 5)[integer(0, 1)]
    if integer(0, 3) == 0 and square <= min(h, w) + beyond:
        kh, kw, sh, sw = square, square, 1, 1
    return Window(integer(1, images), h, w, integer(1, 4), integer(1, 5), kh, kw, sh, sw, padding)


def random_cases(kind: str, count: int) -> Iterator[LayerCase]:
    """`count` random cases of a layer in double precision; the algorithm is left open.

    Cases with ReLU use integers only. Otherwise a sum may be 1e-7 in one library and -1e-7 in the
    other, so that only one of them passes a gradient, and neither is wrong.
    """
    for number in range(count):
        numbers = Numbers(23, number)

        def integer(low: int, high: int, numbers: Numbers = numbers) -> int:
            return low + int(numbers.labels(1, high - low + 1)[0])

        window = random_window(integer, images=(5, 33)[integer(0, 3) == 0])
        # The gradient of a softmax over one unit is 0, up to rounding; over two units it is a
        # multiple of dy[0] - dy[1], which may be close to 0. Then all of its digits are rounding.
        activation = ("linear", "linear", "relu", "softmax")[integer(0, 3 if window.f > 2 else 2)]
        whole = integer(0, 1) == 1 or activation == "relu"
        shape = window[:4]
        strides = {"strides": (window.sh, window.sw), "padding": window.padding}
        options: dict[str, Any]
        if kind == "Conv2D":
            options = {"filters": window.f, "kernel_size": (window.kh, window.kw), **strides}
        elif kind == "MaxPooling2D":
            options = {"pool_size": (window.kh, window.kw), **strides}
        else:
            axes = (1, 1, 1, 2, 3)[integer(0, 4)]
            shape = (*(integer(1, 6) for _ in range(axes)), integer(1, 50))
            options = {"units": window.f + integer(0, 15)}
            if integer(0, 3) == 0:  # full and partial blocks: see `kernels.dense`
                shape, options = (integer(1, 20), integer(1, 600)), {"units": 32 * integer(1, 2)}
        if kind != "MaxPooling2D":
            options |= {"activation": activation, "use_bias": integer(0, 3) > 0}
        whole &= activation != "softmax"
        yield LayerCase(kind, options, shape, "float64", whole, seed=number)
