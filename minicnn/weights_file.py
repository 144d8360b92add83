"""Weights on disk: an NPZ file (a zip of plain arrays), never pickled, replaced as a whole."""

import contextlib
import glob
import os
import time
import uuid
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minicnn.layer import Layer
from minicnn.session import snake_case

SECONDS_TO_ABANDONED = 60


def save(path: Any, layers: list[Layer]) -> None:
    """Write the weights of `layers` to `path`, all or nothing.

    The file is written beside `path` and takes its place when it is complete on disk: whoever
    reads `path` meanwhile finds the old file or the new one, never a part.

    Raises
    ------
    ValueError
        If `path` does not end in .npz.
    OSError
        If it cannot be written; then `path` is as it was.
    """
    path = _npz_path(path)
    _remove_abandoned(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(temporary, "xb") as file:
            np.savez(file, **_by_key(layers))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load(path: Any, layers: list[Layer]) -> None:
    """Read the weights of `layers` from `path`; nothing is changed unless all of them fit.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no file of weights, or one for other layers: what was expected and what came.
    """
    path = _npz_path(path)
    own = _by_key(layers)
    with open(path, "rb") as file:
        try:
            found = _read(file, own)
        except Exception as error:  # over damaged files zipfile and NumPy raise a dozen kinds
            reason = str(error) or type(error).__name__
            raise ValueError(f"{path} does not hold the weights of this model: {reason}") from None
    for key, weight in own.items():
        weight[...] = found[key]


def _read(file: BinaryIO, expected: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        names = sorted(name.removesuffix(".npy") for name in archive.namelist())
        if names != sorted(expected):
            raise ValueError(f"expected the arrays {sorted(expected)}, found {names}")
        return {key: _read_array(archive, key, weight) for key, weight in expected.items()}


def _read_array(archive: zipfile.ZipFile, key: str, expected: np.ndarray) -> np.ndarray:
    member = archive.getinfo(f"{key}.npy")
    if member.file_size > 16 * expected.size + 2**16:  # the widest floats, the longest header
        raise ValueError(f"{key} has {member.file_size:,} bytes, too many for {expected.shape}")
    with archive.open(member) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):  # reading to the end also lets zipfile compare the checksum
            raise ValueError(f"{key} has more bytes than its {array.shape} of {array.dtype} need")
    if array.shape != expected.shape or array.dtype.kind != "f":
        raise ValueError(
            f"expected {key} of shape {expected.shape} in floating point, "
            f"found shape {array.shape} of {array.dtype}"
        )
    return array.astype(expected.dtype)


def _remove_abandoned(path: Path) -> None:
    """Remove the parts that saves to `path` left when they were killed.

    A save under way is recognised by its age: it has written within the last minute.
    """
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError):  # another save may remove it at the same time
            if time.time() - part.stat().st_mtime > SECONDS_TO_ABANDONED:
                part.unlink()


def _by_key(layers: list[Layer]) -> dict[str, np.ndarray]:
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


def _npz_path(path: Any) -> Path:
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"expected the name of a weights file to end in .npz, received {path}")
    return path
