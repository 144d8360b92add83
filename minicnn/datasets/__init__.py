"""Data sets: MNIST, which is part of the package, and others from files on this machine.

- `mnist`, `fashion_mnist`, `cifar10`: `load_data`
- `idx`: `load_idx` for KMNIST and others in the format of MNIST
- `folders`: where files are looked for
"""

from minicnn.datasets import cifar10, fashion_mnist, mnist
from minicnn.datasets.idx import load_idx

__all__ = ["cifar10", "fashion_mnist", "load_idx", "mnist"]
