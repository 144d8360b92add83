"""What a training step checks before it changes a weight."""

from collections.abc import Iterable
from typing import Any

import numpy as np


def require_finite(losses: np.ndarray) -> None:
    """Raise FloatingPointError if a loss is not finite: its gradient would spoil all weights."""
    wrong = losses[~np.isfinite(losses)]
    if len(wrong):
        _refuse_step(f"the loss of {len(wrong)} of {len(losses)} samples", wrong[0])


def require_finite_gradients(gradients: Iterable[np.ndarray]) -> None:
    """The same for gradients: those of an infinite pixel may be NaN, and yet the loss finite."""
    refuse_gradients(not_finite(gradients))


def not_finite(arrays: Iterable[np.ndarray]) -> list[np.floating]:
    """From each array that has numbers which are not finite, the first of them."""
    return [array[~np.isfinite(array)][0] for array in arrays if not np.isfinite(array).all()]


def refuse_gradients(numbers: list[np.floating]) -> None:
    """Raise FloatingPointError if `not_finite` has found any numbers in gradients."""
    if numbers:
        _refuse_step("a gradient", numbers[0])


def _refuse_step(what: str, number: Any) -> None:
    raise FloatingPointError(
        f"{what} is not finite but {number}; this step was not taken, and the weights are those "
        "of before. Is there NaN or infinity in the samples? If not, training has diverged: a "
        "lower learning rate may help"
    )
