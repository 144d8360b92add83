"""MNIST: 70,000 handwritten digits, as in `keras.datasets.mnist`, but without a download.

For their source, authors and licence see README.md in this folder.
"""

import io
from importlib import resources

import numpy as np

Images = tuple[np.ndarray, np.ndarray]


def load_data() -> tuple[Images, Images]:
    """Images and labels, in the original order.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8: images (60000, 28, 28) and (10000, 28, 28), with 0 for paper and 255 for ink;
        labels (60000,) and (10000,), from 0 to 9.
    """
    content = resources.files(__package__).joinpath("mnist.npz").read_bytes()  # works in a zip, too
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])
