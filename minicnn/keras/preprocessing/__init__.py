"""Preprocessing: `preprocessing.image.ImageDataGenerator`."""

from minicnn.keras.left_out import module_getattr
from minicnn.keras.preprocessing import image

__all__ = ["image"]
__getattr__ = module_getattr("preprocessing")
