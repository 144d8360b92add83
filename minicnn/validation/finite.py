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
    for gradient in gradients:
        if not np.isfinite(gradient).all():
            _refuse_step("a gradient", gradient[~np.isfinite(gradient)][0])


def _refuse_step(what: str, number: Any) -> None:
    raise FloatingPointError(
        f"{what} is not finite but {number}; this step was not taken, and the weights are those "
        "of before. Is there NaN or infinity in the samples? If not, training has diverged: a "
        "lower learning rate may help"
    )
