"""Keras on TensorFlow: imported when needed, with a chosen precision; what both libraries share."""

import contextlib
import os
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

# What layers and optimizers of either library are made of, in the words of both.
REGULARIZERS = ("kernel_regularizer", "bias_regularizer")
WINDOW = ("pool_size", "strides", "padding")
ARGUMENTS = {
    "Activation": ("activation",),
    "AveragePooling2D": WINDOW,
    "BatchNormalization": ("axis", "momentum", "epsilon", "center", "scale"),
    "Conv2D": (
        *("filters", "kernel_size", "strides", "padding", "activation", "use_bias"),
        *REGULARIZERS,
    ),
    "Dense": ("units", "activation", "use_bias", *REGULARIZERS),
    "Dropout": ("rate", "seed"),
    "Flatten": (),
    "GlobalAveragePooling2D": ("keepdims",),
    "GlobalMaxPooling2D": ("keepdims",),
    "LeakyReLU": ("negative_slope",),
    "MaxPooling2D": WINDOW,
    "ReLU": (),
    "Rescaling": ("scale", "offset"),
    "Reshape": ("target_shape",),
    "Softmax": (),
}
OPTIMIZER_ARGUMENTS = {
    "Adadelta": ("learning_rate", "rho", "epsilon"),
    "Adam": ("learning_rate", "beta_1", "beta_2", "epsilon"),
    "Nadam": ("learning_rate", "beta_1", "beta_2", "epsilon"),
    "RMSprop": ("learning_rate", "rho", "momentum", "epsilon"),
    "SGD": ("learning_rate", "momentum", "nesterov"),
}


def require_keras() -> types.ModuleType:
    """Keras on TensorFlow, imported.

    Raises
    ------
    ImportError
        With what to install, if it is not there or runs on something else.
    """
    if "tensorflow" not in sys.modules:
        # TensorFlow 2.21 convolves with oneDNN, which in single precision is wrong for some odd
        # geometries (one channel, strides 1 and 2, a single column of outputs) and now and then
        # corrupts the heap. A reference has to be right. No use once TensorFlow is imported.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import keras
        import tensorflow  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'the Keras reference needs TensorFlow: pip install "minicnn[test]", or tensorflow-cpu'
        ) from error
    if keras.backend.backend() != "tensorflow":
        raise ImportError(
            f"the Keras reference runs on TensorFlow, but Keras is set to "
            f'"{keras.backend.backend()}"; set the environment variable KERAS_BACKEND=tensorflow'
        )
    return keras


@contextlib.contextmanager
def precision(dtype: Any) -> Iterator[types.ModuleType]:
    """Keras with `dtype` as its default for everything: rates, labels, metrics, too."""
    keras = require_keras()
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(np.dtype(dtype).name)
    keras.config.set_dtype_policy(np.dtype(dtype).name)
    try:
        yield keras
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def new_keras_optimizer(kind: str, **arguments: Any) -> Any:
    """`keras.optimizers.<kind>` that keeps its arguments in full precision.

    TensorFlow casts a float of Python by way of float32, whatever it casts it to: a beta_2 of 0.999
    becomes 0.9990000129, and in double precision Adam's steps are off by 1e-5. NumPy's it leaves.
    """
    exact = {name: np.float64(v) if isinstance(v, float) else v for name, v in arguments.items()}
    if kind in ("Adadelta", "Nadam"):  # they multiply variables by them, which takes Python's alone
        exact = {name: float(v) if isinstance(v, float) else v for name, v in arguments.items()}
    return getattr(require_keras().optimizers, kind)(**exact)


def slots_of(keras_optimizer: Any) -> list[list[Any]]:
    """What the optimizer keeps for each weight, in the order of our `slots`."""
    kind = type(keras_optimizer).__name__
    if kind in ("Adam", "Nadam"):
        return [keras_optimizer._momentums, keras_optimizer._velocities]
    if kind == "Adadelta":
        return [keras_optimizer._accumulated_grads, keras_optimizer._accumulated_delta_vars]
    if kind == "RMSprop":
        return [each for each in (keras_optimizer._velocities, keras_optimizer._momentums) if each]
    return [keras_optimizer.momentums] if keras_optimizer.momentum else []


def own_class(kind: str, *homes: types.ModuleType) -> Any:
    """minicnn's class of that name, from the first module that has one; None if there is none."""
    return next((vars(home)[kind] for home in homes if kind in vars(home)), None)
