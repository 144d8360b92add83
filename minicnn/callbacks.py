"""Callbacks: what `fit` does besides learning, at the ends of batches and epochs. As in Keras.

model.fit(x, y, epochs=50, validation_data=(x_val, y_val),
          callbacks=[EarlyStopping(patience=3), ModelCheckpoint("best.npz", save_best_only=True)])
"""

import csv
import math
import string
import warnings
from numbers import Real
from pathlib import Path
from typing import Any

from minicnn import checks, weights_file
from minicnn.shapes import positive_int

__all__ = ["CSVLogger", "Callback", "EarlyStopping", "ModelCheckpoint"]

Logs = dict[str, float] | None


class Callback:
    """Base class: override what you need; `fit` calls it at that moment.

    Epochs and batches count from 0. `logs` holds, by name, running means of the epoch so far after
    a batch, the epoch's means (and "val_..." with validation data) after an epoch. What a callback
    adds to the logs of an epoch, later ones see, and the `History`. To end training, set
    `self.model.stop_training = True`: the batch is the last one, and the epoch ends as usual.

    Attributes
    ----------
    model : Sequential
        The one being trained.
    params : dict
        As `History.params`.
    """

    model: Any = None
    params: dict[str, Any]

    def set_model(self, model: Any) -> None:
        """Before all else; raise here what must end `fit` before anything has changed."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Right after `set_model`."""
        self.params = params

    def on_train_begin(self, logs: Logs = None) -> None:
        """Before the first epoch; `logs` is None."""

    def on_train_end(self, logs: Logs = None) -> None:
        """After the last epoch, with its logs; not after an error or Ctrl-C."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Before an epoch; `logs` is None."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """After an epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a step; `logs` is None."""

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a step."""


class Callbacks:
    """All callbacks of one `fit`: a call of `("on_epoch_begin", 3)` is one of that method of each.

    Raises
    ------
    TypeError
        For anything but a Callback or a list of them.
    ValueError
        What a callback has against the model; none of them has begun then.
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
        for callback in self._callbacks:
            getattr(callback, event)(*arguments)


class _Monitor(Callback):
    """Watches one value of the logs; what counts as better depends on its name or on `mode`."""

    def __init__(self, monitor: str, mode: str, min_delta: float, best: float | None):
        who = type(self).__name__
        if not isinstance(monitor, str):
            raise TypeError(f"{who}: monitor must be a name, received {monitor!r}")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f'{who}: mode must be "auto", "min" or "max", received {mode!r}')
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(_number(min_delta, "min_delta", who))
        self.best = best
        self._sign = 0

    def set_model(self, model):
        super().set_model(model)
        self._sign = self._direction()

    def _direction(self) -> int:
        """1 if more is better, -1 if less is."""
        name = self.monitor.removeprefix("val_")
        if self.mode != "auto":
            return 1 if self.mode == "max" else -1
        if name == "loss":
            return -1
        metrics = [metric.name for metric in self.model.metrics]
        if name in metrics:
            return 1  # metrics are shares of samples that were classified rightly
        raise ValueError(
            f'{type(self).__name__}: is more {self.monitor} better or worse? Pass mode="max" or '
            f'"min"; "auto" knows {["loss", *metrics]}, and these with "val_" in front'
        )

    def _improves(self, value: float, on: float | None) -> bool:
        if on is None:
            return not math.isnan(value)  # Keras takes NaN, and then nothing is ever better
        return self._sign * value - self.min_delta > self._sign * on

    def _current(self, logs: Logs) -> float | None:
        value = (logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(
                f"{type(self).__name__} watches {self.monitor!r}, which is not among the values "
                f"of this epoch: {', '.join(logs or {})}",
                stacklevel=checks.frames_to_user(),
            )
        return value


class EarlyStopping(_Monitor):
    """End training when a value has stopped getting better.

    Parameters
    ----------
    monitor : str
        Its name in the logs. "val_loss" needs `validation_data`.
    min_delta : float
        A smaller change than this is none.
    patience : int
        Epochs without an improvement after which to stop.
    verbose : 0 or 1
        1 says when it stops, and what it restores.
    mode : "auto", "min" or "max"
        Whether less or more is better; "auto" knows it of the loss and of metrics.
    baseline : float, optional
        Only an improvement that is also one over this number makes `patience` start over.
    restore_best_weights : bool
        Give the model, when training ends, its weights of after the best epoch. The optimizer
        keeps its state. Otherwise weights are those of the last step.
    start_from_epoch : int
        Epochs to let pass before the first look.

    Attributes
    ----------
    stopped_epoch : int
        The epoch, from 0, after which it stopped training; 0 if it did not.
    best, best_epoch, best_weights
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ):
        super().__init__(monitor, mode, min_delta, None)
        who = "EarlyStopping"
        self.patience = positive_int(patience, "patience", who, minimum=0)
        self.verbose = _talkative(verbose, who)
        self.baseline = None if baseline is None else _number(baseline, "baseline", who)
        self.restore_best_weights = checks.flag(restore_best_weights, "restore_best_weights", who)
        self.start_from_epoch = positive_int(start_from_epoch, "start_from_epoch", who, minimum=0)
        self._start_over()

    def _start_over(self) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.best_weights = None

    def on_train_begin(self, logs=None):
        self._start_over()

    def on_epoch_end(self, epoch, logs=None):
        current = self._current(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._remember(epoch)  # better than nothing, even if it is NaN
        self.wait += 1
        if self._improves(current, self.best):
            self.best = current
            self._remember(epoch)
            if self.baseline is None or self._improves(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:  # Keras never stops after the first epoch
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _remember(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()

    def on_train_end(self, logs=None):
        if self.verbose and self.stopped_epoch > 0:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping", flush=True)
        if self.best_weights is not None:
            if self.verbose:
                print(f"Back to the weights of after epoch {self.best_epoch + 1}", flush=True)
            self.model.set_weights(self.best_weights)


class ModelCheckpoint(_Monitor):
    """Save the model, or its weights, as training goes on.

    Parameters
    ----------
    filepath : str or path
        Ends in .npz. `{epoch}` (from 1), `{batch}` (from 1, with an integer `save_freq`) and names
        of the logs are filled in: "{epoch:02d}-{val_loss:.2f}.npz". Folders are made if need be.
    monitor, mode
        For `save_best_only`: as in `EarlyStopping`.
    verbose : 0 or 1
        1 says what it saves.
    save_best_only : bool
        Save only what is better than all before it, those of earlier calls of `fit` included.
    save_weights_only : bool
        `model.save_weights` instead of `model.save`.
    save_freq : "epoch" or int
        After every epoch, or after that many batches. Training goes on exactly as it would have
        only from a file that was written at the end of an epoch: see `minicnn.load_model`.
    initial_value_threshold : float, optional
        For `save_best_only`: what has to be surpassed.
    """

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
    ):
        who, best = "ModelCheckpoint", initial_value_threshold
        best = None if best is None else _number(best, "initial_value_threshold", who)
        super().__init__(monitor, mode, 0, best)
        self.filepath = str(weights_file.npz_path(filepath))
        self._names = _placeholders(self.filepath, who)
        self.verbose = _talkative(verbose, who)
        self.save_best_only = checks.flag(save_best_only, "save_best_only", who)
        self.save_weights_only = checks.flag(save_weights_only, "save_weights_only", who)
        self.save_freq = save_freq
        if save_freq != "epoch":
            self.save_freq = positive_int(save_freq, 'save_freq, if not "epoch",', who)
        self._epoch = self._batches = 0

    def _direction(self):
        return super()._direction() if self.save_best_only else 0

    def set_model(self, model):
        super().set_model(model)
        values = ["loss", *(metric.name for metric in model.metrics)]
        known = ["epoch", *values, *(f"val_{name}" for name in values)]
        if self.save_freq != "epoch":
            known.append("batch")
        for name in self._names:
            if name not in known:
                raise ValueError(
                    f"ModelCheckpoint: filepath {self.filepath!r} asks for {name!r}, expected one "
                    f"of {known}"
                )

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.save_freq != "epoch":
            self._batches += 1
            if self._batches == self.save_freq:
                self._batches = 0
                self._save(logs | {"batch": batch + 1})

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._save(logs)

    def _save(self, logs: dict[str, float]) -> None:
        if self.save_best_only:
            current = self._current(logs)
            if current is not None and not self._improves(current, self.best):
                return
            self.best = self.best if current is None else current
        try:
            path = Path(self.filepath.format(epoch=self._epoch + 1, **logs))
        except KeyError as name:
            raise ValueError(
                f"ModelCheckpoint: filepath {self.filepath!r} asks for {name}, which is not among "
                f"the values of this epoch: {', '.join(logs)}"
            ) from None
        path.parent.mkdir(parents=True, exist_ok=True)
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        if self.verbose:
            print(f"Epoch {self._epoch + 1}: saved in {path}", flush=True)


class CSVLogger(Callback):
    """Write the logs of every epoch to a file, a line each, under a line of names.

    Parameters
    ----------
    filename : str or path
    separator : str
        One character between the columns.
    append : bool
        Go on below what is there already, instead of starting a new file. The columns must then be
        the same.

    Notes
    -----
    The first column is "epoch", from 0. Without validation its columns are there with "NA", so
    that they can come later.
    """

    def __init__(self, filename: Any, separator: str = ",", append: bool = False):
        self.filename = Path(filename)
        if not isinstance(separator, str) or len(separator) != 1 or separator in '\r\n"':
            raise ValueError(
                f"CSVLogger: separator must be one character, and no quote or end of line, "
                f"received {separator!r}"
            )
        self.separator = separator
        self.append = checks.flag(append, "append", "CSVLogger")
        self.keys: list[str] = []

    def on_train_begin(self, logs=None):
        self.keys = []
        with open(self.filename, "a" if self.append else "w"):
            pass  # whether it can be written is known now, and not after an epoch

    def on_epoch_end(self, epoch, logs=None):
        # Opened for every line: nothing is lost and nothing left open, however training ends.
        with open(self.filename, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=self.separator)
            if not self.keys:
                self.keys = sorted(logs)
                if not any(key.startswith("val_") for key in self.keys):
                    self.keys += [f"val_{key}" for key in self.keys]
                if file.tell() == 0:
                    writer.writerow(["epoch", *self.keys])
            writer.writerow([epoch, *(logs.get(key, "NA") for key in self.keys)])


def _number(value: Any, name: str, who: str) -> float:
    if not isinstance(value, Real) or isinstance(value, bool) or math.isnan(value):
        raise TypeError(f"{who}: {name} must be a number, received {value!r}")
    return float(value)


def _talkative(verbose: Any, who: str) -> int:
    if verbose not in (0, 1):
        raise ValueError(f"{who}: verbose must be 0 or 1, received {verbose!r}")
    return int(verbose)


def _placeholders(template: str, who: str) -> list[str]:
    """The names in braces."""
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ValueError(f"{who}: filepath {template!r} cannot be filled in: {error}") from None
    return fields
