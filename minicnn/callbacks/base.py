"""The base class of callbacks, and the list of all callbacks of one `fit`."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from minicnn.validation import answers_unknown_keywords

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
    stops_at_nan = False  # whether a loss that is not finite ends training without an error

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = answers_unknown_keywords(cls.__init__)

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
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after a training step."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Another name of `on_train_batch_end`."""

    def on_test_begin(self, logs: Logs = None) -> None:
        """Called before an evaluation, also that of `validation_data`; `logs` is None."""

    def on_test_end(self, logs: Logs = None) -> None:
        """Called after an evaluation, with its results."""

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called before a batch is evaluated; `logs` is None."""

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after a batch is evaluated, with the running means."""

    def on_predict_begin(self, logs: Logs = None) -> None:
        """Called before `predict`; `logs` is None."""

    def on_predict_end(self, logs: Logs = None) -> None:
        """Called after `predict`; `logs` is empty."""

    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called before the outputs of a batch are computed; `logs` is None."""

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after the outputs of a batch are computed; `logs` is empty."""


class CallbackList:
    """All callbacks of one `fit`. `callbacks("on_epoch_begin", 3)` calls that method of each.

    It is made of a Callback, a list of Callback, or None; error messages start with `who`. If there
    is a `model`, they are told.
    """

    def __init__(self, callbacks: Any, who: str, model: Any = None):
        if isinstance(callbacks, Callback):
            callbacks = [callbacks]
        elif callbacks is not None and not isinstance(callbacks, list | tuple):
            raise TypeError(f"{who}: callbacks must be a list of Callback, received {callbacks!r}")
        self._callbacks = list(callbacks or [])
        for callback in self._callbacks:
            if not isinstance(callback, Callback):
                hint = "; call the class to get one" if isinstance(callback, type) else ""
                raise TypeError(f"{who}: expected a Callback, received {callback!r}{hint}")
        if model is not None:
            self("set_model", model)

    @property
    def stops_at_nan(self) -> bool:
        """Whether one of them says so."""
        return any(callback.stops_at_nan for callback in self._callbacks)

    def batches(self, event: str, batches: Iterable, logs: Callable[[], Any] = dict) -> Iterator:
        """`batches`, with callbacks called before and after all of them and each of them.

        `event` is "test" or "predict"; `logs()` returns the running means.
        """
        self(f"on_{event}_begin")
        for number, batch in enumerate(batches):
            self(f"on_{event}_batch_begin", number)
            yield batch
            self(f"on_{event}_batch_end", number, logs())
        self(f"on_{event}_end", logs())

    def __call__(self, event: str, *arguments: Any) -> None:
        """Call the method `event` of each callback, in the order of the list."""
        for callback in self._callbacks:
            getattr(callback, event)(*arguments)
