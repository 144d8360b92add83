"""Keras' layers: those of the core, and further ones, with Keras' other names for some."""

from typing import Any

from minicnn.keras.augmentation import RandomFlip, RandomRotation, RandomZoom
from minicnn.keras.functional import Input
from minicnn.keras.left_out import module_getattr
from minicnn.keras.normalization import BatchNormalization
from minicnn.keras.pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D
from minicnn.keras.shaping import LeakyReLU, Rescaling, Reshape
from minicnn.layers import (
    Activation,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPooling2D,
    ReLU,
    Softmax,
)

FURTHER = (
    AveragePooling2D,
    BatchNormalization,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    LeakyReLU,
    RandomFlip,
    RandomRotation,
    RandomZoom,
    Rescaling,
    Reshape,
)
__all__ = ["Activation", "Conv2D", "Dense", "Dropout", "Flatten", "Input", "InputLayer", "Layer"]
__all__ += ["MaxPooling2D", "ReLU", "Softmax", *(layer.__name__ for layer in FURTHER)]
__all__ += ["AvgPool2D", "Convolution2D", "GlobalAvgPool2D", "GlobalMaxPool2D", "MaxPool2D"]
__getattr__ = module_getattr("layers")

Convolution2D = Conv2D
MaxPool2D = MaxPooling2D
AvgPool2D = AveragePooling2D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D


def InputLayer(shape: Any = None, input_shape: Any = None, **options: Any) -> Any:  # noqa: N802
    """`Input(shape)`; `input_shape` is its name in older programs."""
    return Input(shape if input_shape is None else input_shape, **options)
