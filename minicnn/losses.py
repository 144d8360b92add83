"""The loss: how far predictions are from the labels, and in which direction they should move."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.shapes import Shape
from minicnn.validation import Check, Number, usual_float_errors
from minicnn.validation.configuration import Configurable


class Loss(Configurable):
    """Base class. A loss of your own defines `losses_and_gradient`, and `targets` if it needs to.

    It receives whole batches, unless it sets `samples_are_independent` to True: the loss of a
    sample then depends on that sample alone, and parts of a batch may run on several threads.
    A subclass has to set it again.

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
    Of one-hot rows, or other probabilities p (n, classes), it is the sum over labels of p loss.
    """
    rows = np.arange(len(labels))
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    totals = exponentials.sum(axis=1)
    gradient = exponentials / totals[:, None]
    if labels.ndim == 2:
        weight = labels.sum(axis=1)
        losses = np.log(totals) * weight - (labels * shifted).sum(axis=1)
        return losses, (gradient * weight[:, None] - labels).astype(logits.dtype)
    gradient[rows, labels] -= 1
    return np.log(totals) - shifted[rows, labels], gradient.astype(logits.dtype)


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy between integer labels and predictions; calling it returns the mean.

    Parameters
    ----------
    from_logits : bool
        Whether predictions are scores of any size (True) or probabilities (False).
    name : str

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
    kind_of_labels = "class_labels"
    samples_are_independent = True

    def __init__(self, from_logits: bool = False, name: str = "sparse_categorical_crossentropy"):
        check = Check(type(self).__name__)
        self.from_logits = check.flag(from_logits, "from_logits")
        self.name = check.name(name)

    @usual_float_errors
    def __call__(self, y_true: Any, y_pred: Any) -> float:
        """Mean loss, for labels as `fit` takes them and predictions (n, classes)."""
        check = Check(type(self).__name__)
        y_pred = check.scores(y_pred, "y_pred")
        labels = self.targets(check, y_true, "y_true", len(y_pred), y_pred.shape[1:])
        return Number(self.losses_and_gradient(labels, y_pred)[0].mean())

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
        return getattr(check, self.kind_of_labels)(y, name, n, *output_shape)


class CategoricalCrossentropy(SparseCategoricalCrossentropy):
    """Cross-entropy between one-hot rows, or other probabilities, and predictions.

    Labels are (n, classes). Bare probabilities are first divided by their sum and then clipped.
    """

    kind_of_labels = "one_hot_rows"
    samples_are_independent = True

    def __init__(self, from_logits: bool = False, name: str = "categorical_crossentropy"):
        super().__init__(from_logits, name)

    def losses_and_gradient(self, y_true, y_pred):
        if self.from_logits:
            return cross_entropy_of_logits(y_true, y_pred)
        total = y_pred.sum(axis=1, keepdims=True)
        p = y_pred / total
        clipped = np.clip(p, self.clip, 1 - self.clip)
        dp = -(y_true / clipped * (clipped == p)).astype(p.dtype)  # none where it was clipped
        losses = -(y_true * np.log(clipped)).sum(axis=1, dtype=np.float64)
        return losses, (dp - (dp * p).sum(axis=1, keepdims=True)) / total


class WeightedLoss(Loss):
    """A loss with a weight for each sample: `weigh` makes targets records of "y" and "weight"."""

    def __init__(self, loss: Loss, weigh: Callable[[np.ndarray], np.ndarray]):
        self.loss, self.weigh = loss, weigh
        self.samples_are_independent = loss.samples_are_independent

    def targets(self, *arguments):
        return self.weigh(self.loss.targets(*arguments))

    def losses_and_gradient(self, y_true, y_pred):
        losses, gradient = self.loss.losses_and_gradient(y_true["y"], y_pred)
        weight = y_true["weight"]
        weights = weight.reshape(-1, *[1] * (y_pred.ndim - 1)).astype(y_pred.dtype)
        return losses * weight, gradient * weights


CROSS_ENTROPIES = (SparseCategoricalCrossentropy, CategoricalCrossentropy)
LOSSES = {
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
}
