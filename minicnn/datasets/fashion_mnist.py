"""Fashion-MNIST: 70,000 grey pictures of clothes, as `keras.datasets.fashion_mnist`.

Xiao, Rasul and Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms" (2017). It is read from files on this machine, and never downloaded.
"""

from pathlib import Path
from typing import Any

from minicnn.datasets.folders import first_with, keras_folder
from minicnn.datasets.idx import FILES, files_in, load_idx
from minicnn.datasets.mnist import Images

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of its package dataset-fashion-mnist


def load_data(folder: Any = None) -> tuple[Images, Images]:
    """Images and labels, in the original order, as from `mnist.load_data`.

    Parameters
    ----------
    folder : path, optional
        Where the four files are. By default the folder to which Keras downloads them, or that of
        Debian's package dataset-fashion-mnist.

    Raises
    ------
    OSError
        If they are in none of these folders; the message names the files.
    """
    folders = [folder] if folder is not None else [keras_folder("fashion-mnist"), DEBIAN]
    names = [f"{name}.gz" for name, _ in FILES.values()]
    return load_idx(first_with(files_in, folders, "Fashion-MNIST", names))
