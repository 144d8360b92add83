"""What is reported while training and evaluating: averages over samples, not over batches."""

from typing import Any

import numpy as np

from minicnn import checks
from minicnn.configuration import Configurable


class Mean(Configurable):
    """The mean of all values since the last reset, each sample counting once.

    An epoch's loss is such a mean. A mean of batch means would count the samples of a short last
    batch more than the others.
    """

    def __init__(self, name: str = "mean"):
        self.name = checks.name(name, type(self).__name__)
        self.reset_state()

    def reset_state(self) -> None:
        """Forget all values."""
        self.total, self.count = 0.0, 0

    def update(self, values: np.ndarray) -> float:
        """Take in the values of some samples (n,), at least one; returns their own mean."""
        values = checks.real_array(values, f"{type(self).__name__}: values")
        if values.ndim != 1 or len(values) == 0:
            raise ValueError(
                f"{type(self).__name__}: expected values of shape (samples,) with at least one "
                f"sample, received {values.shape}"
            )
        total = float(values.sum(dtype=np.float64))
        self.total += total
        self.count += len(values)
        return total / len(values)

    def result(self) -> float:
        """The mean so far; 0.0 before the first value, as in Keras."""
        return self.total / self.count if self.count else 0.0


class SparseCategoricalAccuracy(Mean):
    """Share of samples whose largest prediction is the labelled one; the first of equals counts.

    Examples
    --------
    >>> accuracy = SparseCategoricalAccuracy()
    >>> accuracy.update_state([1, 0], [[0.1, 0.9], [0.5, 0.5]])
    >>> accuracy.result()
    1.0
    """

    def __init__(self, name: str = "sparse_categorical_accuracy"):
        super().__init__(name)

    def update_state(self, y_true: Any, y_pred: Any) -> None:
        """Count labels (n,) against predictions (n, classes), checked as by the loss."""
        who = type(self).__name__
        y_pred = checks.scores(y_pred, f"{who}: y_pred")
        labels = checks.class_labels(y_true, f"{who}: y_true", len(y_pred), y_pred.shape[1])
        self.update(self.per_sample(labels, y_pred))

    @staticmethod
    def per_sample(labels: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """(n,) booleans: which samples were classified rightly."""
        return y_pred.argmax(axis=1) == labels


METRICS = {
    "accuracy": lambda: SparseCategoricalAccuracy("accuracy"),
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
}


def get(metric: Any) -> SparseCategoricalAccuracy:
    """The metric of that name, or the given one."""
    if isinstance(metric, str) and metric in METRICS:
        return METRICS[metric]()
    if isinstance(metric, SparseCategoricalAccuracy):
        return metric
    known = ", ".join(f'"{key}"' for key in METRICS)
    raise ValueError(
        f"compile: a metric must be one of {known} or a SparseCategoricalAccuracy, "
        f"received {metric!r}"
    )
