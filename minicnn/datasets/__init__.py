"""Images to learn from: MNIST, which ships with the package, and files of the same format."""

from minicnn.datasets import mnist
from minicnn.datasets.idx import load_idx

__all__ = ["load_idx", "mnist"]
