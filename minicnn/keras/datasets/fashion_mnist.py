"""`minicnn.datasets.fashion_mnist`, in its home in Keras."""

from minicnn.datasets.fashion_mnist import load_data

__all__ = ["load_data"]
