"""The loss: how far predictions are from the labels, and in which direction they should move."""

from typing import Any

import numpy as np

from minicnn.shapes import Shape
from minicnn.validation import Check
from minicnn.validation.configuration import Configurable


class Loss(Configurable):
    """Base class. A loss of your own defines `losses_and_gradient`, and `targets` if it needs to.

    It receives whole batches, unless it sets `samples_are_independent` to True: the loss of a
    sample then depends on that sample alone, and parts of a batch may run on several threads.

    >>> class MeanSquaredError(Loss):
    ...     def losses_and_gradient(self, y_true, y_pred):
    ...         error = y_pred - y_true
    ...         return (error**2).mean(axis=1), 2 * error / error.shape[1]
    """

    name = "loss"
    samples_are_independent = False

    def losses_and_gradient(
        self, y_true: np.ndarray, y_pred: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The loss of each sample (n,), and its gradient with respect to `y_pred`.

        A step divides the gradient by n: it minimises the mean of the losses.
        """
        raise NotImplementedError

    def targets(self, check: Check, y: Any, name: str, n: int, output_shape: Shape) -> np.ndarray:
        """`y` as `losses_and_gradient` takes it, checked; here, any n numbers or arrays.

        `output_shape` is that of one sample's predictions.
        """
        array = check.real_array(y, name)
        check.same_length(array, name, n)
        return array


def cross_entropy_of_logits(
    labels: np.ndarray, logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Softmax and cross-entropy together, which cannot overflow: -log(softmax(z)[label]).

        loss = log(sum_j exp(z_j - m)) - (z_label - m),  m = max(z)
        dloss/dz_j = softmax(z)_j - 1[j = label]

    Computed separately, softmax rounds to 0 and its logarithm to -inf as soon as scores differ by
    104 (in float32). Here every exponent is at most 0 and the sum at least 1.

    Takes labels (n,) and logits (n, classes); returns the losses (n,), in double precision, so that
    sums over a data set do not depend on its batches, and the gradient of each, (n, classes).
    """
    rows = np.arange(len(labels))
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    totals = exponentials.sum(axis=1)
    gradient = exponentials / totals[:, None]
    gradient[rows, labels] -= 1
    return np.log(totals) - shifted[rows, labels], gradient.astype(logits.dtype)


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy between integer labels and predictions; calling it returns the mean.

    Parameters
    ----------
    from_logits : bool
        Whether predictions are scores of any size (True) or probabilities (False).
    name : str

    Notes
    -----
    A model that ends in Softmax, or in a Dense with it, is trained on its logits all the same: see
    `eager.without_softmax`. Other probabilities p are clipped to [1e-7, 1 - 1e-7] and renormalised,
    as softmax(log(p)) = p / sum(p).

    Examples
    --------
    >>> loss = SparseCategoricalCrossentropy()
    >>> round(loss([1, 0], [[0.1, 0.9], [0.5, 0.5]]), 6)
    0.399254
    """

    clip = 1e-7

    def __init__(self, from_logits: bool = False, name: str = "sparse_categorical_crossentropy"):
        check = Check(type(self).__name__)
        self.from_logits = check.flag(from_logits, "from_logits")
        self.name = check.name(name)

    def __call__(self, y_true: Any, y_pred: Any) -> float:
        """Mean loss over the samples, for labels (n,) and predictions (n, classes).

        Raises
        ------
        ValueError, TypeError
            For labels that are not integers in [0, classes), for other shapes, for no samples.
        """
        check = Check(type(self).__name__)
        y_pred = check.scores(y_pred, "y_pred")
        labels = check.class_labels(y_true, "y_true", *y_pred.shape)
        return float(self.losses_and_gradient(labels, y_pred)[0].mean())

    def losses_and_gradient(self, y_true, y_pred):
        if self.from_logits:
            return cross_entropy_of_logits(y_true, y_pred)
        clipped = np.clip(y_pred, self.clip, 1 - self.clip)
        losses, dlog = cross_entropy_of_logits(y_true, np.log(clipped))
        return losses, dlog / clipped * (clipped == y_pred)  # none where it was clipped

    def targets(self, check, y, name, n, output_shape):
        if len(output_shape) != 1:
            raise ValueError(
                f"{check.who}: the loss needs one score a class, but the model's output has shape "
                f"{output_shape}; end it with Flatten() and Dense(classes)"
            )
        return check.class_labels(y, name, n, output_shape[0])


LOSSES = {"sparse_categorical_crossentropy": SparseCategoricalCrossentropy}


def require_finite(losses: np.ndarray) -> None:
    """Raise FloatingPointError if a loss is not finite: its gradient would spoil all weights."""
    wrong = losses[~np.isfinite(losses)]
    if len(wrong):
        raise FloatingPointError(
            f"the loss of {len(wrong)} of {len(losses)} samples is not finite but {wrong[0]}; this "
            "step was not taken, and the weights are those of before. Is there NaN or infinity in "
            "the samples? If not, training has diverged: a lower learning rate may help"
        )
