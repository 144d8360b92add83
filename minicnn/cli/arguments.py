"""Types of command-line arguments: numbers and paths, checked before any work starts."""

import argparse
import contextlib
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from minicnn.saving.npz import temporary_prefix


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, without usage; the exit status is 2."""

    @property
    def name(self) -> str:
        """The beginning of error messages: `minicnn train`."""
        return self.prog.removeprefix("python -m ")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.name}: error: {' '.join(message.split())}\n")

    @contextlib.contextmanager
    def blaming(self, argument: str) -> Iterator[None]:
        """Turn such an error, or a package that is missing, into one that names this argument."""
        try:
            yield
        except (ImportError, OSError, ValueError) as error:
            self.error(f"argument {argument}: {_in_words(error)}")


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def integer_from(minimum: int) -> Callable[[str], int]:
    """The type of an integer of at least `minimum`."""

    def integer(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if not minimum <= value <= sys.maxsize:
            expected = f"of at least {minimum}" if value < minimum else "with fewer digits"
            raise argparse.ArgumentTypeError(f"expected an integer {expected}, received {text!r}")
        return value

    return integer


def positive_number(text: str) -> float:
    """The type of a number above 0, such as a learning rate."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:  # false for NaN, too
        raise argparse.ArgumentTypeError(f"expected a number above 0, received {text!r}")
    return value


def checked_path(check: Callable[[str], None]) -> Callable[[str], Path]:
    """The type of a path; `check` raises an OSError or ValueError for a wrong one."""

    def path(text: str) -> Path:
        try:
            check(text)
        except (OSError, ValueError) as error:
            raise argparse.ArgumentTypeError(_in_words(error)) from None
        return Path(text)

    return path


def _check_name(text: str, suffix: str) -> None:
    if Path(text).suffix != suffix:
        raise ValueError(f"expected the name of a file that ends in {suffix}, received {text!r}")
    if Path(text).is_dir():
        raise ValueError(f"expected the name of a file, but {text} is a folder")


@checked_path
def weights_to_read(text: str) -> None:
    """The type of a path to an existing file of weights."""
    _check_name(text, ".npz")
    if not Path(text).is_file():
        raise ValueError(f"expected a file of weights, but there is no {text}")


def file_to_write(suffix: str) -> Callable[[str], Path]:
    """The type of a path to a file with this suffix that can be written."""

    def check(text: str) -> None:
        _check_name(text, suffix)
        if not Path(text).parent.is_dir():
            raise ValueError(f"expected a folder that exists, but {Path(text).parent} is not one")
        try_to_write(Path(text))

    return checked_path(check)


@checked_path
def folder_to_write(text: str) -> None:
    """The type of a path to a folder, which need not exist."""
    if not text:
        raise ValueError("expected the name of a folder, received ''")
    if Path(text).exists() and not Path(text).is_dir():
        raise ValueError(f"expected a folder or the name of a new one, but {text} is a file")


def try_to_write(path: Path) -> None:
    """Create a temporary file and remove it: permissions alone do not tell on all file systems.

    Its name is as long as that of the temporary file to which weights are written first.
    If it cannot be created, that is an OSError.
    """
    path = Path(os.path.realpath(path))
    prefix = f"{temporary_prefix(path)}{'0' * 24}"
    try:
        tempfile.NamedTemporaryFile(dir=path.parent, prefix=prefix, suffix=".part").close()
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror}") from None
