"""The IDX format of MNIST and its relatives: Fashion-MNIST, KMNIST, EMNIST.

A file has a header and then its data, row by row. The header, with big-endian numbers: two zero
bytes, one byte for the type (8: unsigned bytes), one for the number of axes, then four bytes for
the length of each axis. Described by LeCun, Cortes and Burges on the MNIST page.
"""

import gzip
import math
import re
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
# With a dot, as some programs unpack them; and EMNIST's: emnist-letters-test-images-idx3-ubyte.gz
NAME = re.compile(r"(?:(.+)-)?(train|t10k|test)-(images|labels)[-.]idx[13]-ubyte(?:\.gz)?")
PARTS = {"train": "train", "t10k": "test", "test": "test"}
LETTERS = {"images": "x", "labels": "y"}


def load_idx(folder: Any, name: str | None = None) -> tuple[Images, Images]:
    """Read a data set from a folder with its four files, gzipped or not, under their usual names.

    Parameters
    ----------
    folder : path
        Holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
        t10k-labels-idx1-ubyte, each with the suffix `.gz` if it is gzipped. There may be a dot
        before "idx", or a name in front, as in emnist-letters-test-labels-idx1-ubyte.
    name : str, optional
        The name in front, "emnist-letters" for instance, if there are several data sets.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8: images (n, h, w) and labels (n,), as from `mnist.load_data`.

    Notes
    -----
    In EMNIST's files rows and columns of each image are exchanged. Images from files whose names
    begin with "emnist" are returned upright. Labels are returned as they are: those of
    emnist-letters count from 1, so a network of 26 scores is trained with `y_train - 1`.

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
    found = files_in(folder)
    if name is None and len(found) > 1 and "" not in found:
        raise ValueError(
            f"{folder} holds several data sets, {', '.join(sorted(found))}: pass the name of one "
            "to load_idx, or put its four files into a folder of their own"
        )
    if name is None:
        name = next(iter(found)) if found and "" not in found else ""
    paths = found.get(name, {})
    arrays = {}
    for key, (usual, axes) in FILES.items():
        if key not in paths:
            usual = f"{name}-{usual.replace('t10k', 'test')}" if name else usual
            raise FileNotFoundError(f"expected a file {usual} or {usual}.gz in {folder}")
        arrays[key] = read_idx(paths[key], axes)
    if name.startswith("emnist"):
        for key in ("x_train", "x_test"):
            arrays[key] = np.ascontiguousarray(arrays[key].transpose(0, 2, 1))
    for part in ("train", "test"):
        images, labels = len(arrays[f"x_{part}"]), len(arrays[f"y_{part}"])
        if images != labels:
            raise ValueError(
                f"{folder}: expected a label for each image, "
                f"found {images} images and {labels} labels for {part}ing"
            )
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])


def files_in(folder: Path) -> dict[str, dict[str, Path]]:
    """For each data set in a folder, by the name in front of its files ("" if none): the files."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir(), reverse=True):  # of a file and its .gz, the file
        match = NAME.fullmatch(path.name)
        if match and path.is_file():
            key = f"{LETTERS[match[3]]}_{PARTS[match[2]]}"
            found.setdefault(match[1] or "", {})[key] = path
    return found


def read_idx(path: Any, axes: int) -> np.ndarray:
    """The array of unsigned bytes in one IDX file, gzipped if its name ends in `.gz`.

    A damaged file, or one without that many axes, is a ValueError.
    """
    try:
        with (gzip.open if Path(path).suffix == ".gz" else open)(path, "rb") as file:
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
        found = "more" if len(data) > size else len(data)
        raise ValueError(f"expected {size} bytes of data, for shape {shape}, found {found}")
    return np.frombuffer(data, np.uint8).reshape(shape)
