"""Validation: arguments, arrays and configurations, each accepted or refused with a clear error.

    check = Check("Conv2D 'conv2d'")
    filters = check.integer(filters, "filters")
    x = check.samples(x, "x", (28, 28, 1))

An error says who was called, what was expected and what came.
"""

import sys
import warnings
from typing import Any

from minicnn.validation.arrays import is_plain, plain, usual_float_errors
from minicnn.validation.data import DataChecks
from minicnn.validation.finite import (
    not_finite,
    refuse_gradients,
    require_finite,
    require_finite_gradients,
)
from minicnn.validation.keywords import (
    AnswersUnknownNames,
    ClassAnswersUnknownNames,
    answers_unknown_keywords,
)
from minicnn.validation.models import ModelChecks
from minicnn.validation.tensors import Number, Tensor

__all__ = [
    "AnswersUnknownNames",
    "Check",
    "ClassAnswersUnknownNames",
    "Number",
    "Tensor",
    "answers_unknown_keywords",
    "frames_to_user",
]
__all__ += ["is_plain", "not_finite", "plain", "refuse_gradients"]
__all__ += ["require_finite", "require_finite_gradients"]
__all__ += ["usual_float_errors"]


class Check(DataChecks, ModelChecks):
    """Checks on behalf of one caller, whose name begins every message."""

    def warn_of_too_few_batches(self) -> None:
        """Keras' warning that a data set has ended in the middle of an epoch."""
        warnings.warn(
            "Your input ran out of data; interrupting training. Make sure that your dataset can "
            "generate at least `steps_per_epoch * epochs` batches. You may need to use the "
            "`.repeat()` function when building your dataset.",
            stacklevel=frames_to_user(),
        )

    def warn_of_softmax(self, name: str) -> None:
        """Keras' warning that a loss of logits follows a softmax; it is the logits that it gets."""
        warnings.warn(
            f'"`{name}` received `from_logits=True`, but the `output` argument was produced by a '
            "Softmax activation and thus does not represent logits. Was this intended?",
            stacklevel=frames_to_user(),
        )

    def deprecated_input_shape(self, value: Any) -> tuple[int, ...]:
        """A layer's `input_shape`, with the warning that Keras gives for it."""
        shape = self.shape(value, "input_shape")
        warnings.warn(
            "Do not pass an `input_shape` argument to a layer. Start the model with "
            "`Input(shape)` instead.",
            stacklevel=frames_to_user(),
        )
        return shape


def frames_to_user() -> int:
    """Stack level of the code outside this package, so that a warning points at the user's line."""
    frame, level = sys._getframe(1), 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith("minicnn."):
        frame, level = frame.f_back, level + 1
    return level
