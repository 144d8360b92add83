"""Training in lockstep: the same weights and the same batches, step by step in both libraries.

In single precision the two networks diverge sooner or later, since each step magnifies the rounding
errors of the one before: Adam divides every gradient by its own magnitude, even the smallest.
Double precision shows whether the cause is rounding or a bug: there, rounding errors are 10^9 times
smaller, and the effect of a bug is as large as before.
"""

from typing import NamedTuple

import numpy as np

from minicnn import keras_reference
from minicnn.keras_reference import difference
from minicnn.model import Sequential

APART = 1e-3  # relative; rounding errors of a single step are far smaller


class Lockstep(NamedTuple):
    """The losses of both, and how much the weights differ; each array has one entry per step.

    All values are those before the step. `ours` and `theirs` are the losses, `weights` is the
    largest absolute difference between two weights. Prints as a table.
    """

    dtype: str
    ours: np.ndarray
    theirs: np.ndarray
    weights: np.ndarray

    @property
    def relative_losses(self) -> np.ndarray:
        """Difference of the losses in each step, relative to Keras' loss."""
        return np.abs(self.ours - self.theirs) / np.abs(self.theirs)

    def first_apart(self, limit: float = APART) -> int | None:
        """The first step, counted from 1, whose losses differ by more than `limit`, or None."""
        apart = np.flatnonzero(self.relative_losses > limit)
        return int(apart[0]) + 1 if apart.size else None

    def __str__(self) -> str:
        lines = [f"{'step':>5}{'minicnn':>14}{'Keras':>14}{'losses':>11}{'weights':>11}"]
        steps = len(self.ours)
        shown = {1, 2, 5, 10, 20, *range(50, steps, 50), steps}
        columns = zip(self.ours, self.theirs, self.relative_losses, self.weights, strict=True)
        for step, (own, other, losses, weights) in enumerate(columns, 1):
            if step in shown:
                lines.append(f"{step:>5}{own:>14.9f}{other:>14.9f}{losses:>11.1e}{weights:>11.1e}")
        return "\n".join(lines)


def lockstep(model: Sequential, x: np.ndarray, y: np.ndarray, batch_size: int = 32) -> Lockstep:
    """Train `model` and its Keras twin on the same batches, in order: one pass over x.

    The model is built and compiled; its weights change. The last batch may be smaller.
    """
    twin = keras_reference.to_keras(model)
    ours, theirs, weights = [], [], []
    with keras_reference.precision(model.dtype):
        for start in range(0, len(x), batch_size):
            batch = slice(start, start + batch_size)
            pairs = zip(model.get_weights(), twin.get_weights(), strict=True)
            weights.append(max(difference(own, other)[0] for own, other in pairs))
            images, labels = np.asarray(x[batch], model.dtype), y[batch]
            ours.append(np.atleast_1d(model.train_on_batch(images, labels))[0])
            theirs.append(np.atleast_1d(twin.train_on_batch(images, labels))[0])
    return Lockstep(model.dtype.name, *(np.array(a, np.float64) for a in (ours, theirs, weights)))
