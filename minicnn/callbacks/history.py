"""`History`: the losses and metrics of one `fit`."""

from typing import Any


class History:
    """The record of one `fit`, which returns it.

    Attributes
    ----------
    history : dict of lists
        By name, one value for each epoch: "accuracy", "loss", and "val_..." with validation data.
        The loss is the mean over the samples of the epoch, each computed with the weights before
        its own step.
    epoch : list of int
        Counted from 0.
    params : dict
        "verbose", "epochs" and "steps" (batches in an epoch).
    batches : dict of lists
        By name, one value for each batch, over all epochs. Keras has no such list.
    """

    def __init__(self, params: dict[str, Any]):
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.params = params
        self.batches: dict[str, list[float]] = {}

    def __repr__(self) -> str:
        last = [f", {name}={values[-1]:.4g}" for name, values in self.history.items()]
        return f"<History epochs={len(self.epoch)}{''.join(last)}>"

    def end_batch(self, values: dict[str, float]) -> None:
        """Record the values of one batch."""
        for name, value in values.items():
            self.batches.setdefault(name, []).append(value)

    def end_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        """Record the values of one epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
