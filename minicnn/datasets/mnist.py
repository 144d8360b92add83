"""MNIST: 70,000 handwritten digits, as `keras.datasets.mnist` gives them, but from the package.

Where they come from, who made them and under which licence: see README.md beside this file.
"""

import io
from importlib import resources

import numpy as np

Images = tuple[np.ndarray, np.ndarray]


def load_data() -> tuple[Images, Images]:
    """The digits, in the original order.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8: images (60000, 28, 28) and (10000, 28, 28), 0 for paper and 255 for ink; labels
        (60000,) and (10000,) from 0 to 9.
    """
    content = resources.files(__package__).joinpath("mnist.npz").read_bytes()  # in a zip, too
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])
