"""The IDX format of MNIST and its relatives: Fashion-MNIST, KMNIST, the digits of EMNIST.

A file has a header and then its data, row by row. The header, with big-endian numbers: two zero
bytes, one byte for the type (8: unsigned bytes), one for the number of axes, then four bytes for
the length of each axis. Described by LeCun, Cortes and Burges on the MNIST page.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minicnn.datasets.mnist import Images

UNSIGNED_BYTES = 8
PIECE = 2**16  # bytes
FILES = {
    "x_train": ("train-images-idx3-ubyte", 3),
    "y_train": ("train-labels-idx1-ubyte", 1),
    "x_test": ("t10k-images-idx3-ubyte", 3),
    "y_test": ("t10k-labels-idx1-ubyte", 1),
}


def load_idx(folder: Any) -> tuple[Images, Images]:
    """Read a data set from a folder with its four files, gzipped or not, under their usual names.

    Parameters
    ----------
    folder : path
        Holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
        t10k-labels-idx1-ubyte, each gzipped with the suffix `.gz`, or not.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8: images (n, h, w) and labels (n,), as from `mnist.load_data`.

    Raises
    ------
    OSError
        If the folder or one of the files is missing, or cannot be read.
    ValueError
        If a file is damaged, or if the numbers of images and labels differ.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"expected a folder with IDX files, but {folder} is not one")
    arrays = {}
    for key, (name, axes) in FILES.items():
        path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
        if path is None:
            raise FileNotFoundError(f"expected a file {name} or {name}.gz in {folder}")
        arrays[key] = read_idx(path, axes)
    for part in ("train", "test"):
        images, labels = len(arrays[f"x_{part}"]), len(arrays[f"y_{part}"])
        if images != labels:
            raise ValueError(
                f"{folder}: expected a label for each image, "
                f"found {images} images and {labels} labels for {part}ing"
            )
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])


def read_idx(path: Any, axes: int) -> np.ndarray:
    """The array of unsigned bytes in one IDX file, gzipped if its name ends in `.gz`.

    Parameters
    ----------
    path : str or path
    axes : int
        The number of axes that the array must have.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, or another kind of file.
    """
    path = Path(path)
    gzipped = path.suffix == ".gz"
    try:
        with gzip.open(path) if gzipped else open(path, "rb") as file:
            return _read(file, axes)
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is not a sound IDX file: {error}") from None


def _read(file: BinaryIO, axes: int) -> np.ndarray:
    header = file.read(4 + 4 * axes)
    expected_magic = bytes([0, 0, UNSIGNED_BYTES, axes])
    if len(header) < 4 + 4 * axes or header[:4] != expected_magic:
        raise ValueError(
            f"expected it to start with bytes {expected_magic.hex(' ')} and {axes} lengths, "
            f"found {header.hex(' ') or 'nothing'}"
        )
    shape = struct.unpack(f">{axes}I", header[4:])
    size = math.prod(shape)  # Python's integers do not wrap around
    if size == 0:
        raise ValueError(f"expected at least one byte of data, found a shape of {shape}")
    data = bytearray()  # grows with the file: a large size in the header must not take memory
    while piece := file.read(min(size + 1 - len(data), PIECE)):
        data += piece
    if len(data) != size:
        found = "more" if len(data) > size else f"{len(data)}"
        raise ValueError(
            f"expected {size} bytes after the header, for shape {shape}, found {found}"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)
