"""Where data sets that are not part of the package are looked for."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def keras_folder(name: str) -> Path:
    """The folder of a data set among those that Keras has downloaded."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "datasets" / name


def first_with(
    has_data: Callable[[Path], bool], folders: Iterable[Any], what: str, files: list[str]
) -> Path:
    """The first folder for which `has_data` is true.

    Raises FileNotFoundError, with all `files` to put into one of the folders, if it is of none.
    """
    folders = [Path(folder) for folder in folders]
    for folder in folders:
        if folder.is_dir() and has_data(folder):
            return folder
    places = " or ".join(str(folder) for folder in folders)
    raise FileNotFoundError(
        f"{what} is not part of minicnn, and is not downloaded: expected {', '.join(files)} in "
        f"{places}; another folder is passed by load_data(folder)"
    )
