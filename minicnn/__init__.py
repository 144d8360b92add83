"""minicnn: a convolutional network from scratch, equal to Keras and fast on a CPU.

Modules and names are those of Keras: `from minicnn import Sequential, layers, datasets`.
"""

from minicnn import callbacks, data, datasets, initializers, layers, losses, metrics, optimizers
from minicnn.engine import get_num_threads, set_num_threads
from minicnn.layers import Input
from minicnn.model import Sequential
from minicnn.saving import load_model
from minicnn.session import clear_session, set_random_seed

__version__ = "0.1.0"

__all__ = [
    "Input",
    "Sequential",
    "callbacks",
    "clear_session",
    "data",
    "datasets",
    "get_num_threads",
    "initializers",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "optimizers",
    "set_num_threads",
    "set_random_seed",
]
