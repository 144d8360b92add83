"""IDX files, written by the description of their format; shares no code with `minicnn.datasets`."""

import struct

import numpy as np

NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def header(*shape, magic=None):
    """The header of a file that holds an array of that shape."""
    magic = bytes([0, 0, 8, len(shape)]) if magic is None else magic
    return magic + struct.pack(f">{len(shape)}I", *shape)


def idx(array):
    """The content of a valid file that holds `array`, of uint8."""
    return header(*array.shape) + array.tobytes()


def write_folder(folder, arrays):
    """Write the four files of a data set; `arrays` has the keys of `NAMES`."""
    for key, array in arrays.items():
        (folder / NAMES[key]).write_bytes(idx(array.astype(np.uint8)))


def write_learnable_data(folder, train=64, test=40, size=(8, 6), test_size=None, classes=3):
    """A new folder with a data set that can be learned: in images of class k row k is bright."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    arrays = {}
    for part, count, (h, w) in (("train", train, size), ("test", test, test_size or size)):
        labels = np.arange(count) % classes
        images = rng.integers(0, 100, (count, h, w))
        images[np.arange(count), labels % h] += 150
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
    write_folder(folder, arrays)
    return folder
