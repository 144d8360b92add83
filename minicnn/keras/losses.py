"""Losses besides those of the core, and losses as functions: `loss=losses.mean_squared_error`.

As functions they return the loss of each sample, as in Keras.
"""

from typing import Any

import numpy as np

from minicnn.keras.left_out import module_getattr
from minicnn.losses import (
    LOSSES,
    CategoricalCrossentropy,
    Loss,
    SparseCategoricalCrossentropy,
)
from minicnn.validation import Check, Number, Tensor

__all__ = ["CategoricalCrossentropy", "Loss", "MeanSquaredError", "SparseCategoricalCrossentropy"]
__all__ += ["categorical_crossentropy", "mean_squared_error", "sparse_categorical_crossentropy"]
__getattr__ = module_getattr("losses")


class MeanSquaredError(Loss):
    """The mean over the outputs of (y_pred - y_true)^2, for targets of the outputs' shape.

    Targets (n,) are taken for (n, 1) if the model has one output a sample.
    """

    samples_are_independent = True

    def __init__(self, name: str = "mean_squared_error"):
        self.name = Check("MeanSquaredError").name(name)

    def __call__(self, y_true: Any, y_pred: Any) -> float:
        """The mean over samples and outputs."""
        check = Check("MeanSquaredError")
        y_pred = check.real_array(y_pred, "y_pred")
        y_true = self.targets(check, y_true, "y_true", len(y_pred), y_pred.shape[1:])
        return Number(self.losses_and_gradient(y_true, y_pred)[0].mean())

    def losses_and_gradient(self, y_true, y_pred):
        outputs = y_pred[0].size
        error = y_pred - y_true
        losses = np.square(error.reshape(len(error), -1)).mean(axis=1, dtype=np.float64)
        return losses, (2 / outputs * error).astype(y_pred.dtype)

    def targets(self, check, y, name, n, output_shape):
        array = super().targets(check, y, name, n, output_shape)
        if array.shape == (n,) and output_shape == (1,):
            array = array[:, None]
        if array.shape != (n, *output_shape):
            raise ValueError(
                f"{check.who}: expected {name} of the outputs' shape {(n, *output_shape)}, "
                f"received {array.shape}; labels become one-hot rows by keras.utils.to_categorical"
            )
        return array


def mean_squared_error(y_true: Any, y_pred: Any) -> np.ndarray:
    """The mean over the last axis of (y_pred - y_true)^2."""
    return np.square(np.asarray(y_pred) - np.asarray(y_true)).mean(axis=-1).view(Tensor)


def categorical_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False) -> np.ndarray:
    """The loss of each sample: see `CategoricalCrossentropy`."""
    return _each(CategoricalCrossentropy(from_logits), y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False
) -> np.ndarray:
    """The loss of each sample: see `SparseCategoricalCrossentropy`."""
    return _each(SparseCategoricalCrossentropy(from_logits), y_true, y_pred)


def _each(loss: SparseCategoricalCrossentropy, y_true: Any, y_pred: Any) -> np.ndarray:
    check = Check(loss.name)
    y_pred = check.scores(y_pred, "y_pred")
    targets = loss.targets(check, y_true, "y_true", len(y_pred), y_pred.shape[1:])
    return loss.losses_and_gradient(targets, y_pred)[0].astype(y_pred.dtype).view(Tensor)


# By name in all spellings, and as functions.
for _name, _class in (
    ("categorical_crossentropy", CategoricalCrossentropy),
    ("sparse_categorical_crossentropy", SparseCategoricalCrossentropy),
    ("mean_squared_error", MeanSquaredError),
):
    LOSSES[_name] = LOSSES[_name.replace("_", "")] = LOSSES[globals()[_name]] = _class
LOSSES["mse"] = MeanSquaredError
