"""Keras' data sets, from `minicnn.datasets`."""

from minicnn.keras.datasets import cifar10, fashion_mnist, mnist
from minicnn.keras.left_out import module_getattr

__all__ = ["cifar10", "fashion_mnist", "mnist"]
__getattr__ = module_getattr("datasets")
