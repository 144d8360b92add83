"""The loss: how far predictions are from labels, and which way to move them."""

from typing import Any

import numpy as np

from minicnn import checks
from minicnn.configuration import Configurable
from minicnn.kernels import softmax


def cross_entropy_of_logits(
    labels: np.ndarray, logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Softmax and cross-entropy in one, which cannot overflow: -log(softmax(z)[label]).

        loss = log(sum_j exp(z_j - m)) - (z_label - m),  m = max(z)
        dloss/dz_j = softmax(z)_j - 1[j = label]

    Computed apart, softmax rounds to 0 and its logarithm to -inf as soon as scores differ by 104
    (in float32). Here every exponent is at most 0 and the sum at least 1.

    Parameters
    ----------
    labels : (n,) integers below the number of classes
    logits : (n, classes)

    Returns
    -------
    losses : (n,) float64
        In double precision, so that sums over a data set do not depend on how it was cut.
    gradient : (n, classes), dtype of `logits`
        Of each sample's own loss; divide by n for that of the mean.
    """
    return softmax.cross_entropy(labels, logits)


class SparseCategoricalCrossentropy(Configurable):
    """Cross-entropy between integer labels and predictions; a call gives its mean.

    Parameters
    ----------
    from_logits : bool
        Whether predictions are scores of any size (True) or probabilities (False).
    name : str

    Notes
    -----
    A model that ends in softmax is trained on its logits even with `from_logits=False`: the
    probabilities are put aside and nothing is clipped, as Keras does under TensorFlow. Only bare
    probabilities, in a call of your own, are clipped to [1e-7, 1 - 1e-7] and renormalised.

    Examples
    --------
    >>> loss = SparseCategoricalCrossentropy()
    >>> round(loss([1, 0], [[0.1, 0.9], [0.5, 0.5]]), 6)
    0.399254
    """

    clip = 1e-7

    def __init__(self, from_logits: bool = False, name: str = "sparse_categorical_crossentropy"):
        self.from_logits = checks.flag(from_logits, "from_logits", type(self).__name__)
        self.name = checks.name(name, type(self).__name__)

    def __call__(self, y_true: Any, y_pred: Any) -> float:
        """Mean loss over the samples.

        Parameters
        ----------
        y_true : (n,) or (n, 1) integers
        y_pred : (n, classes)

        Raises
        ------
        ValueError, TypeError
            For labels that are no integers in [0, classes), for no samples, for other shapes.
        """
        who = type(self).__name__
        y_pred = checks.scores(y_pred, f"{who}: y_pred")
        labels = checks.class_labels(y_true, f"{who}: y_true", len(y_pred), y_pred.shape[1])
        return float(self.losses_and_gradient(labels, y_pred)[0].mean())

    def losses_and_gradient(
        self, labels: np.ndarray, y_pred: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each sample's loss (n,) and its gradient by the predictions (n, classes), unchecked."""
        if self.from_logits:
            return cross_entropy_of_logits(labels, y_pred)
        clipped = np.clip(y_pred, self.clip, 1 - self.clip)
        losses, dlog = cross_entropy_of_logits(labels, np.log(clipped))
        return losses, dlog / clipped * (clipped == y_pred)  # a clipped value no longer moves


LOSSES = {"sparse_categorical_crossentropy": SparseCategoricalCrossentropy}


def get(loss: Any) -> SparseCategoricalCrossentropy:
    """The loss of that name, or the given one."""
    if isinstance(loss, str) and loss in LOSSES:
        return LOSSES[loss]()
    if isinstance(loss, SparseCategoricalCrossentropy):
        return loss
    known = ", ".join(f'"{key}"' for key in LOSSES)
    raise ValueError(f"compile: loss must be {known} or an instance of it, received {loss!r}")
