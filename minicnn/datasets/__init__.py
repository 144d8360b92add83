"""Data sets: MNIST, which is part of the package, and files of the same format.

- `mnist`: `load_data`
- `idx`: `load_idx` for Fashion-MNIST, KMNIST and others in the format of MNIST
"""

from minicnn.datasets import mnist
from minicnn.datasets.idx import load_idx

__all__ = ["load_idx", "mnist"]
