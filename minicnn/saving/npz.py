"""NPZ files (zip archives of NumPy arrays): written completely or not at all, read with distrust.

Nothing is ever pickled or unpickled. A new file replaces an older one only when it is complete on
disk.
"""

import contextlib
import errno
import glob
import hashlib
import math
import os
import shutil
import stat
import time
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

SECONDS_TO_ABANDONED = 60
LONGEST_NAME = 200  # bytes, to which a temporary name adds 39; most file systems allow 255
LONGEST_HEADER = 1000  # characters; NumPy writes 118 for arrays with a few axes
LONGEST_LIST = 10_000  # characters of names in a message
KINDS = {"b": "booleans", "f": "floating point", "i": "integers", "u": "unsigned integers"}


def is_keras_file(path: Any) -> bool:
    """Whether the name ends as those of Keras' files do: see `keras_file`."""
    return Path(path).suffix in (".keras", ".h5", ".hdf5")


def npz_path(path: Any) -> Path:
    """`path` as a Path, if it ends in .npz."""
    if Path(path).suffix != ".npz":
        raise ValueError(
            f"expected the name of a file to end in .npz, or in .keras or .h5, received '{path}'"
        )
    return Path(path)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an NPZ file completely or not at all.

    Arrays that `read_array` could not read, of objects or text for instance, are a TypeError.
    """
    for key, array in arrays.items():
        if array.dtype.kind not in KINDS:
            raise TypeError(f"{key}: expected an array of real numbers, found one of {array.dtype}")
    write_file(path, lambda file: np.savez(file, **arrays))


def write_file(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Let `write` write a file, completely or not at all.

    It is written as a temporary file in the same folder, which is renamed to `path` when it is
    complete on disk: another process that reads `path` finds the old file or the new one. The new
    file has the permissions of the old one, and a symbolic link goes on pointing to it. A file that
    has several names (hard links) keeps them: the complete file is copied into it.
    """
    path = Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(
            errno.ENOENT, f"there is no folder for {path.name}", f"{path.parent}"
        )
    _remove_abandoned(path)
    temporary = path.with_name(f"{temporary_prefix(path)}{uuid.uuid4().hex}.part")
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        old = path.stat() if path.is_file() else None
        if old is not None:
            temporary.chmod(stat.S_IMODE(old.st_mode))
        if old is not None and old.st_nlink > 1:
            _copy_into(path, temporary)
        else:
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _copy_into(path: Path, complete: Path) -> None:
    """Overwrite a file without a new inode; after Ctrl-C it is written once more, and complete."""
    try:
        shutil.copyfile(complete, path)
    except KeyboardInterrupt:
        shutil.copyfile(complete, path)
        raise


def temporary_prefix(path: Path) -> str:
    """The beginning of names of temporary files for `path`; of a long name, its hash."""
    name = path.name
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{name}."


def _remove_abandoned(path: Path) -> None:
    """Remove temporary files of saves to `path` whose process was killed.

    A save in progress is recognised by the age of its file: it has written within a minute.
    """
    for part in path.parent.glob(f"{glob.escape(temporary_prefix(path))}*.part"):
        with contextlib.suppress(OSError):  # another save may remove it at the same time
            if time.time() - part.stat().st_mtime > SECONDS_TO_ABANDONED:
                part.unlink()


@contextlib.contextmanager
def open_arrays(path: Path, content: str) -> Iterator[zipfile.ZipFile]:
    """Open an NPZ file for reading; all errors in its content become a ValueError with `path`."""
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                yield archive
        except Exception as error:  # for damaged files zipfile and NumPy raise a dozen kinds
            reason = str(error) or type(error).__name__
            raise ValueError(f"{path} does not hold {content}: {reason}") from None


def check_names(archive: zipfile.ZipFile, expected: Iterable[str]) -> None:
    """Raise a ValueError unless the archive holds exactly the arrays of these names, once each."""
    names = sorted(name.removesuffix(".npy") for name in archive.namelist())
    expected = sorted(expected)
    if names != expected:
        found = str(names[: 2 * len(expected)])  # a million names would fill memory and screen
        raise ValueError(f"expected the arrays {expected}, found {found[:LONGEST_LIST]}")


def read_array(
    archive: zipfile.ZipFile, key: str, shape: tuple[int, ...], kind: str = "f"
) -> np.ndarray:
    """The array `key` of an archive, if it has this shape and a dtype of this kind.

    Everything is checked before memory is allocated, and nothing is unpickled: a file can neither
    claim to be larger than expected nor run code. `kind` is a key of `KINDS`.
    """
    member = archive.getinfo(f"{key}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # savez writes no others, and from 4,096 bytes of bzip2 zipfile may unpack gigabytes.
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
        data = file.read(size + 1)  # reading to the end makes zipfile compare the checksum
    if len(data) != size:
        amount = "more" if len(data) > size else "fewer"
        raise ValueError(f"{key} has {amount} bytes than its {shape} of {dtype} need")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C")
