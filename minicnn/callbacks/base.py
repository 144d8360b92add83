"""The base class of callbacks, and the list of all callbacks of one `fit`."""

from typing import Any

Logs = dict[str, float] | None


class Callback:
    """Base class: override the methods you need; `fit` calls each at the time it is named after.

    Epochs and batches count from 0. After a batch, `logs` holds the running means of the epoch by
    name; after an epoch, its means, and those of the validation data as "val_...". Values that a
    callback adds to the logs of an epoch are seen by the callbacks after it and recorded in the
    `History`. To stop training, set `self.model.stop_training = True`: no further batch is
    trained, and the epoch ends as usual.

    Attributes
    ----------
    model : Sequential
        The model in training.
    params : dict
        As `History.params`.
    """

    model: Any = None
    params: dict[str, Any]

    def set_model(self, model: Any) -> None:
        """Called first; an error raised here ends `fit` before anything has changed."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called right after `set_model`."""
        self.params = params

    def on_train_begin(self, logs: Logs = None) -> None:
        """Called before the first epoch; `logs` is None."""

    def on_train_end(self, logs: Logs = None) -> None:
        """Called after the last epoch, with its logs; not after an error or Ctrl-C."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Called before an epoch; `logs` is None."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Called after an epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called before a training step; `logs` is None."""

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after a training step."""


class CallbackList:
    """All callbacks of one `fit`. `callbacks("on_epoch_begin", 3)` calls that method of each.

    Parameters
    ----------
    callbacks : Callback, list of Callback, or None
    who : str
        The caller, for error messages.

    Raises
    ------
    TypeError
        For anything else.
    """

    def __init__(self, callbacks: Any, who: str):
        if callbacks is None:
            callbacks = []
        elif isinstance(callbacks, Callback):
            callbacks = [callbacks]
        if not isinstance(callbacks, list | tuple):
            raise TypeError(f"{who}: callbacks must be a list of Callback, received {callbacks!r}")
        for callback in callbacks:
            if not isinstance(callback, Callback):
                hint = "; call the class to get one" if isinstance(callback, type) else ""
                raise TypeError(f"{who}: expected a Callback, received {callback!r}{hint}")
        self._callbacks = list(callbacks)

    def __call__(self, event: str, *arguments: Any) -> None:
        """Call the method `event` of each callback, in the order of the list."""
        for callback in self._callbacks:
            getattr(callback, event)(*arguments)
