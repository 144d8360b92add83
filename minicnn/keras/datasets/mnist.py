"""`minicnn.datasets.mnist`, in its home in Keras."""

from minicnn.datasets.mnist import load_data

__all__ = ["load_data"]
