"""CIFAR-10: 60,000 colour images of ten kinds of things, as `keras.datasets.cifar10`.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009). It is read from files on
this machine, and never downloaded: from the binary version, cifar-10-binary.tar.gz. The version for
Python is pickled, and unpickling runs whatever code is in a file.
"""

from pathlib import Path
from typing import Any

import numpy as np

from minicnn.datasets.folders import first_with, keras_folder
from minicnn.datasets.mnist import Images

TRAINING = [f"data_batch_{number}.bin" for number in range(1, 6)]
TEST = "test_batch.bin"
RECORD = 1 + 32 * 32 * 3  # the label; red, green and blue, each row by row


def load_data(folder: Any = None) -> tuple[Images, Images]:
    """Images and labels, in the original order.

    Parameters
    ----------
    folder : path, optional
        Where data_batch_1.bin to data_batch_5.bin and test_batch.bin are. By default the folder
        cifar-10-batches-bin beside the files that Keras downloads.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8: images (50000, 32, 32, 3) and (10000, 32, 32, 3), labels (50000, 1) and (10000, 1).

    Raises
    ------
    OSError
        If the files are not there; the message names them.
    ValueError
        If a file is damaged.
    """
    folders = [folder] if folder is not None else [keras_folder("cifar-10-batches-bin")]
    found = first_with(_has_batches, folders, "CIFAR-10", [*TRAINING, TEST])
    parts = [_read(found / name) for name in TRAINING]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return (images, labels), _read(found / TEST)


def _has_batches(folder: Path) -> bool:
    return (folder / TRAINING[0]).is_file()


def _read(path: Path) -> Images:
    data = np.fromfile(path, np.uint8)
    if data.size == 0 or data.size % RECORD:
        raise ValueError(
            f"{path} is no batch of CIFAR-10: expected a multiple of {RECORD} bytes, "
            f"found {data.size}"
        )
    records = data.reshape(-1, RECORD)
    if records[:, 0].max() > 9:
        raise ValueError(f"{path} is no batch of CIFAR-10: found the label {records[:, 0].max()}")
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, :1].copy()
