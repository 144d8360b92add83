"""The names of TensorFlow that `import minicnn as tf` has besides `tf.keras` and `tf.data`."""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicnn.keras import activations
from minicnn.keras.left_out import error_for, sentence
from minicnn.session import set_random_seed
from minicnn.validation import Tensor


class _Namespace(SimpleNamespace):
    """A module of TensorFlow, of which some names are there."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            sentence(self.__name__, name)
            or f"tf.{self.__name__}.{name} is not part of minicnn; it has {', '.join(vars(self))}"
        )


_ACTIVATIONS = {name: getattr(activations, name) for name in activations.__all__}
del _ACTIVATIONS["linear"]

NAMES: dict[str, Any] = {
    # Of one CPU there are no devices to choose from.
    "config": _Namespace(__name__="config", list_physical_devices=lambda device_type=None: []),
    "convert_to_tensor": lambda value, dtype=None: np.asarray(value, dtype).view(Tensor),
    "expand_dims": lambda value, axis: np.expand_dims(value, axis),
    "float32": np.dtype("float32"),
    "float64": np.dtype("float64"),
    "newaxis": None,
    "nn": _Namespace(__name__="nn", **_ACTIVATIONS),
    "random": _Namespace(__name__="random", set_seed=set_random_seed),
}
INSTEAD = {
    "GradientTape": "gradients are in each layer's backward; minicnn.gradcheck checks them",
    "Variable": "weights are NumPy arrays: layer.params",
    "function": "functions are compiled by the engine where that helps; leave it out",
    "compat": "it has the names of TensorFlow 2",
}


def tensorflow_name(name: str) -> Any:
    """`minicnn.<name>`, for the `__getattr__` of the package."""
    if name in NAMES:
        return NAMES[name]
    has = ", ".join(["keras", "data", *NAMES])
    instead = INSTEAD.get(name, f"of TensorFlow it has {has}; arrays are NumPy's")
    other = f"{name} is not part of minicnn: {instead}"
    raise error_for("tensorflow", name, sys._getframe(2), other)
