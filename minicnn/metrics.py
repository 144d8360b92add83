"""What is reported during training and evaluation: means over samples, not over batches."""

from typing import Any

import numpy as np

from minicnn.validation import Check
from minicnn.validation.configuration import Configurable


class Mean(Configurable):
    """The mean of all values since the last reset; each sample counts once.

    The loss of an epoch is such a mean. A mean of batch means would give more weight to the
    samples of a short last batch.
    """

    def __init__(self, name: str = "mean"):
        self.name = Check(type(self).__name__).name(name)
        self.reset_state()

    def reset_state(self) -> None:
        """Forget all values."""
        self.total, self.count = 0.0, 0

    def update(self, values: np.ndarray) -> float:
        """Add the values of some samples (n,), at least one; returns their own mean."""
        values = Check(type(self).__name__).sample_values(values)
        total = float(values.sum(dtype=np.float64))
        self.total += total
        self.count += len(values)
        return total / len(values)

    def result(self) -> float:
        """The mean so far; 0.0 before the first value, as in Keras."""
        return self.total / self.count if self.count else 0.0


class Metric(Mean):
    """Base class. A metric of your own defines `per_sample`; its mean is reported.

    >>> class Confidence(Metric):
    ...     def per_sample(self, y_true, y_pred):
    ...         return y_pred.max(axis=1)
    """

    def per_sample(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """The value of each sample (n,), from checked labels and predictions (n, ...)."""
        raise NotImplementedError


class SparseCategoricalAccuracy(Metric):
    """Share of samples whose largest prediction is at the label; the first of equal ones counts.

    >>> accuracy = SparseCategoricalAccuracy()
    >>> accuracy.update_state([1, 0], [[0.1, 0.9], [0.5, 0.5]])
    >>> accuracy.result()
    1.0
    """

    def __init__(self, name: str = "sparse_categorical_accuracy"):
        super().__init__(name)

    def update_state(self, y_true: Any, y_pred: Any) -> None:
        """Compare labels (n,) with predictions (n, classes), checked as by the loss."""
        check = Check(type(self).__name__)
        y_pred = check.scores(y_pred, "y_pred")
        self.update(self.per_sample(check.class_labels(y_true, "y_true", *y_pred.shape), y_pred))

    @staticmethod
    def per_sample(y_true, y_pred):
        labels = y_true.argmax(axis=1) if y_true.ndim > 1 else y_true  # of one-hot rows
        return y_pred.argmax(axis=1) == labels


METRICS = {
    "accuracy": lambda: SparseCategoricalAccuracy("accuracy"),
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
}
