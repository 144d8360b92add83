"""Metrics besides those of the core."""

from typing import Any

from minicnn.keras.left_out import module_getattr
from minicnn.metrics import METRICS, Mean, Metric, SparseCategoricalAccuracy
from minicnn.validation import Check

__all__ = ["CategoricalAccuracy", "Mean", "Metric", "SparseCategoricalAccuracy"]
__getattr__ = module_getattr("metrics")


class CategoricalAccuracy(SparseCategoricalAccuracy):
    """Share of samples whose largest prediction is where their one-hot row is largest."""

    def __init__(self, name: str = "categorical_accuracy"):
        super().__init__(name)

    def update_state(self, y_true: Any, y_pred: Any) -> None:
        """Compare one-hot rows (n, classes) with predictions (n, classes)."""
        check = Check("CategoricalAccuracy")
        y_pred = check.scores(y_pred, "y_pred")
        self.update(self.per_sample(check.one_hot_rows(y_true, "y_true", *y_pred.shape), y_pred))


METRICS |= {
    "acc": lambda: SparseCategoricalAccuracy("acc"),
    "categorical_accuracy": CategoricalAccuracy,
    "categoricalaccuracy": CategoricalAccuracy,
    "sparsecategoricalaccuracy": SparseCategoricalAccuracy,
}
