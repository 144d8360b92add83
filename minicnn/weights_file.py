"""Weights on disk: an NPZ file (a zip of plain arrays), never pickled, replaced as a whole."""

import contextlib
import glob
import math
import os
import time
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.layer import Layer
from minicnn.session import snake_case
from minicnn.shapes import Shape

SECONDS_TO_ABANDONED = 60
LONGEST_HEADER = 1000  # characters; NumPy's has 118 for arrays of a few axes
LONGEST_LIST = 10_000  # characters of a message
KINDS = {"f": "floating point", "u": "unsigned integers"}


def save(path: Any, layers: list[Layer]) -> None:
    """Write the weights of `layers` to `path`, all or nothing.

    Raises
    ------
    ValueError
        If `path` does not end in .npz.
    OSError
        If it cannot be written; then `path` is as it was.
    """
    write_arrays(npz_path(path), by_key(layers))


def load(path: Any, layers: list[Layer]) -> None:
    """Read the weights of `layers` from `path`; nothing is changed unless all of them fit.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no file of weights, or one for other layers: what was expected and what came.
    """
    own = by_key(layers)
    with open_arrays(npz_path(path), "the weights of this model") as archive:
        check_names(archive, own)
        found = {key: read_array(archive, key, weight.shape) for key, weight in own.items()}
        found = {key: array.astype(own[key].dtype) for key, array in found.items()}
    for key, weight in own.items():
        weight[...] = found[key]


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an NPZ file, all or nothing.

    The file is written beside `path` and takes its place when it is complete on disk: whoever
    reads `path` meanwhile finds the old file or the new one, never a part.
    """
    _remove_abandoned(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(temporary, "xb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def open_arrays(path: Path, content: str) -> Iterator[zipfile.ZipFile]:
    """An NPZ file to read from; whatever is wrong with it is a ValueError that names `path`."""
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                yield archive
        except Exception as error:  # over damaged files zipfile and NumPy raise a dozen kinds
            reason = str(error) or type(error).__name__
            raise ValueError(f"{path} does not hold {content}: {reason}") from None


def check_names(archive: zipfile.ZipFile, expected: Iterable[str]) -> None:
    """Refuse an archive that does not hold the arrays of these names, once each, and no others."""
    names = sorted(name.removesuffix(".npy") for name in archive.namelist())
    expected = sorted(expected)
    if names != expected:
        found = str(names[: 2 * len(expected)])  # a million names would fill memory and screen
        raise ValueError(f"expected the arrays {expected}, found {found[:LONGEST_LIST]}")


def read_array(archive: zipfile.ZipFile, key: str, shape: Shape, kind: str = "f") -> np.ndarray:
    """The array `key`, if it has this shape and a dtype of this kind: "f" is floating point.

    All of it is checked before memory is taken, and nothing is unpickled: a file can neither
    promise more than it is asked for nor run code.
    """
    member = archive.getinfo(f"{key}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # savez writes no others, and zipfile unpacks 4,096 bytes at once: of bzip2, into gigabytes.
        raise ValueError(f"{key} is compressed in a way that NumPy does not use")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"expected {key} in version 1.0 of NumPy's format, found {version}")
        found, by_columns, dtype = np.lib.format.read_array_header_1_0(
            file, max_header_size=LONGEST_HEADER
        )
        if found != shape or dtype.kind != kind:
            raise ValueError(
                f"expected {key} of shape {shape} in {KINDS[kind]}, found shape {found} of {dtype}"
            )
        size = math.prod(shape) * dtype.itemsize
        data = file.read(size + 1)  # reading to the end lets zipfile compare the checksum
    if len(data) != size:
        amount = "more" if len(data) > size else "fewer"
        raise ValueError(f"{key} has {amount} bytes than its {shape} of {dtype} need")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C")


def _remove_abandoned(path: Path) -> None:
    """Remove the parts that saves to `path` left when they were killed.

    A save under way is recognised by its age: it has written within the last minute.
    """
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError):  # another save may remove it at the same time
            if time.time() - part.stat().st_mtime > SECONDS_TO_ABANDONED:
                part.unlink()


def by_key(layers: list[Layer]) -> dict[str, np.ndarray]:
    """The weights by names that depend on the architecture alone: conv2d/kernel, conv2d_1/bias.

    Layers' own names go on counting from model to model, so they would not fit a second model.
    """
    counts: dict[str, int] = {}
    arrays = {}
    for layer in layers:
        kind = snake_case(type(layer).__name__)
        count = counts.get(kind, 0)
        counts[kind] = count + 1
        for key, weight in layer.params.items():
            arrays[f"{kind}_{count}/{key}" if count else f"{kind}/{key}"] = weight
    return arrays


def npz_path(path: Any) -> Path:
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"expected the name of a file to end in .npz, received {path}")
    return path
