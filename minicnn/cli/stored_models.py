"""Models from files that commands are given."""

from pathlib import Path
from typing import Any

from minicnn import Sequential, load_model
from minicnn.saving import model_file, npz
from minicnn.tutorial import tutorial_network


def read(path: Path, *shapes: Any) -> Sequential:
    """The model in a file of `model.save`, or the tutorial's network with weights from a file.

    `shapes` are those of the tutorial's network, if they are not MNIST's: image shape and classes.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read, or holds neither a model nor such weights.
    """
    with npz.open_arrays(path, "a model") as archive:
        is_model = f"{model_file.JSON}.npy" in archive.namelist()
    if is_model:
        return load_model(path)
    model = tutorial_network(*shapes)
    model.load_weights(path)
    return model
