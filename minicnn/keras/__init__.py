"""Keras' namespace: programs for Keras run with their imports changed.

    from minicnn import keras
    from minicnn.keras.models import Sequential
    import minicnn as tf                            # tf.keras, tf.data, tf.nn, ...

It has the parts of the core under Keras' names, and further parts that the core does without. Those
are written against the contract that everybody has for their own (`minicnn.layers.Layer`,
`minicnn.losses.Loss`, `minicnn.optimizers.Optimizer`, ...), each with its formula and source: they
serve as examples. README.md in this folder lists them. A name that Keras has and minicnn has not is
answered with a sentence.

This package is imported when somebody asks for it, or for a name that it adds, such as "rmsprop".
"""

import sys

from minicnn.initializers import Initializer
from minicnn.keras import (
    activations,
    backend,
    callbacks,
    datasets,
    initializers,
    layers,
    left_out,
    losses,
    metrics,
    models,
    optimizers,
    preprocessing,
    random,
    regularizers,
    utils,
)
from minicnn.keras.functional import Input, KerasTensor
from minicnn.keras.models import Model, Sequential
from minicnn.keras.regularizers import Regularizer
from minicnn.keras.tensorflow import tensorflow_name
from minicnn.layers import Layer
from minicnn.losses import Loss
from minicnn.metrics import Metric
from minicnn.optimizers import Optimizer
from minicnn.saving import keras_file
from minicnn.validation.configuration import KNOWN, Configurable

__all__ = ["Initializer", "Input", "KerasTensor", "Layer", "Loss", "Metric", "Model", "Optimizer"]
__all__ += ["Regularizer", "Sequential", "activations", "backend", "callbacks", "datasets"]
__all__ += ["initializers", "layers", "losses", "metrics", "models", "optimizers"]
__all__ += ["preprocessing", "random", "regularizers", "tensorflow_name", "utils"]

__version__ = keras_file.VERSION  # of the Keras whose names these are


def __getattr__(name: str) -> object:
    raise left_out.error_for("", name, sys._getframe(1))


def _classes() -> dict[str, type]:
    """All classes of this package that a file may describe, by name."""
    homes = (initializers, layers, losses, metrics, optimizers, optimizers.schedules, regularizers)
    found = [each for home in homes for each in vars(home).values() if isinstance(each, type)]
    return {each.__name__: each for each in found if issubclass(each, Configurable)}


KNOWN |= {name: each for name, each in _classes().items() if name not in KNOWN}
sys.meta_path.append(left_out.Modules())
