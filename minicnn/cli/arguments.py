"""Types of command-line arguments: numbers and paths, checked before any work starts."""

import argparse
import contextlib
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn


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
        """Turn an OSError or ValueError into an error that names this argument."""
        try:
            yield
        except (OSError, ValueError) as error:
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


@checked_path
def weights_to_read(text: str) -> None:
    """The type of a path to an existing file of weights."""
    _check_npz(text)
    if not Path(text).is_file():
        raise ValueError(f"expected a file of weights, but there is no {text}")


@checked_path
def weights_to_write(text: str) -> None:
    """The type of a path to a file of weights that can be written."""
    _check_npz(text)
    folder = Path(text).parent
    if not folder.is_dir():
        raise ValueError(f"expected a folder that exists, but {folder} is not one")
    try_to_write(folder, Path(text).name)


@checked_path
def json_to_write(text: str) -> None:
    """The type of a path to a JSON file that can be written."""
    if Path(text).suffix != ".json" or Path(text).is_dir():
        raise ValueError(f"expected the name of a file that ends in .json, received {text!r}")
    folder = Path(text).parent
    if not folder.is_dir():
        raise ValueError(f"expected a folder that exists, but {folder} is not one")
    try_to_write(folder, Path(text).name)


@checked_path
def folder_to_write(text: str) -> None:
    """The type of a path to a folder, which need not exist."""
    if not text:
        raise ValueError("expected the name of a folder, received ''")
    if Path(text).exists() and not Path(text).is_dir():
        raise ValueError(f"expected a folder or the name of a new one, but {text} is a file")


def try_to_write(folder: Path, name: str) -> None:
    """Create a temporary file and remove it: permissions alone do not tell on all file systems.

    Its name is as long as that of the temporary file to which weights are written first.

    Raises
    ------
    OSError
        If the file cannot be created.
    """
    prefix = f".{name}.{'0' * 24}"
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=prefix, suffix=".part"):
            pass
    except OSError as error:
        raise OSError(f"{folder / name} cannot be written: {error.strerror}") from None


def _check_npz(text: str) -> None:
    if Path(text).suffix != ".npz":
        raise ValueError(f"expected the name of a file that ends in .npz, received {text!r}")
    if Path(text).is_dir():
        raise ValueError(f"expected the name of a file, but {text} is a folder")
