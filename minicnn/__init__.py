"""minicnn: a convolutional network from scratch, equal to Keras and fast on a CPU.

Modules and names are those of Keras: `from minicnn import Sequential, layers, datasets`. Programs
for Keras run with their imports changed: `from minicnn import keras`, `import minicnn as tf`.
"""

import importlib
from typing import Any

from minicnn import callbacks, data, datasets, initializers, layers, losses, metrics, optimizers
from minicnn.engine import get_num_threads, set_num_threads
from minicnn.layers import Input
from minicnn.model import Sequential
from minicnn.saving import load_model
from minicnn.session import clear_session, set_random_seed

__version__ = "0.1.0"

__all__ = ["Input", "Sequential", "callbacks", "clear_session", "data", "datasets"]
__all__ += ["get_num_threads", "initializers", "layers", "load_model", "losses", "metrics"]
__all__ += ["optimizers", "set_num_threads", "set_random_seed"]


def __getattr__(name: str) -> Any:
    """`keras`, and names of TensorFlow: imported when somebody asks for them."""
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    keras = importlib.import_module("minicnn.keras")
    return keras if name == "keras" else keras.tensorflow_name(name)
