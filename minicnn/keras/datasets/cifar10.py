"""`minicnn.datasets.cifar10`, in its home in Keras."""

from minicnn.datasets.cifar10 import load_data

__all__ = ["load_data"]
