"""Models from files that commands are given."""

from pathlib import Path

from minicnn import Sequential, load_model
from minicnn.saving import model_file, npz
from minicnn.tutorial import tutorial_network


def read(path: Path, image_shape: tuple[int, ...] = (28, 28, 1), classes: int = 10) -> Sequential:
    """The model in a file of `model.save`, or the tutorial's network with weights from a file.

    `image_shape` and `classes` are those of the tutorial's network.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read, or holds neither a model nor such weights.
    """
    with npz.open_arrays(path, "a model") as archive:
        is_model = f"{model_file.JSON}.npy" in archive.namelist()
    if is_model:
        return load_model(path)
    model = tutorial_network(image_shape, classes)
    model.load_weights(path)
    return model
