"""Callbacks that act on a value of the logs: `EarlyStopping` and `ModelCheckpoint`."""

import math
import string
import warnings
from pathlib import Path
from typing import Any

from minicnn.callbacks.base import Callback, Logs
from minicnn.callbacks.output import say
from minicnn.saving.npz import is_keras_file, npz_path
from minicnn.validation import Check, frames_to_user


class Monitor(Callback):
    """Watches one value of the logs; its name, or `mode`, says whether more or less is better."""

    def __init__(self, monitor: str, mode: str, verbose: int, min_delta: float = 0):
        self._check = Check(type(self).__name__)
        self.monitor = self._check.instance(monitor, str, "monitor", "a name")
        if mode not in ("auto", "min", "max"):
            raise self._check.error(f'mode must be "auto", "min" or "max", received {mode!r}')
        self.mode = mode
        self.min_delta = abs(self._number(min_delta, "min_delta"))
        if verbose not in (0, 1):
            raise self._check.error(f"verbose must be 0 or 1, received {verbose!r}")
        self.verbose = int(verbose)
        self.best: float | None = None
        self._sign = 0

    def _number(self, value: Any, name: str) -> float:
        number = float(self._check.real(value, name))
        if math.isnan(number):
            raise self._check.error(f"{name} must be a number, received {value!r}", TypeError)
        return number

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
            return 1  # metrics are shares of correctly classified samples
        raise self._check.error(
            f'is more {self.monitor} better or worse? Pass mode="max" or '
            f'"min"; "auto" knows {["loss", *metrics]}, and these with "val_" in front'
        )

    def _improves(self, value: float, on: float | None) -> bool:
        if on is None:
            return not math.isnan(value)  # Keras accepts NaN, and then nothing is ever better
        return self._sign * value - self.min_delta > self._sign * on

    def _current(self, logs: Logs) -> float | None:
        value = (logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(
                f"{self._check.who} watches {self.monitor!r}, which is not among the values "
                f"of this epoch: {', '.join(logs or {})}",
                stacklevel=frames_to_user(),
            )
        return value


class EarlyStopping(Monitor):
    """Stop training when a monitored value no longer improves.

    Parameters
    ----------
    monitor : str
        Its name in the logs. "val_loss" needs `validation_data`.
    min_delta : float
        A change that is not larger than this is no improvement.
    patience : int
        Number of epochs without improvement after which training stops.
    verbose : 0 or 1
        1 prints when training stops, and which weights are restored.
    mode : "auto", "min" or "max"
        Whether less or more is better; "auto" knows it for the loss and for metrics.
    baseline : float, optional
        The count of epochs without improvement starts again only when the value is better than
        this, too.
    restore_best_weights : bool
        When training ends, set the weights to those after the best epoch, instead of leaving those
        of the last step. The optimizer's state is not changed.
    start_from_epoch : int
        Number of epochs at the start that are not monitored.

    Attributes
    ----------
    stopped_epoch : int
        The epoch, from 0, after which training was stopped; 0 if it was not.
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
        super().__init__(monitor, mode, verbose, min_delta)
        check = self._check
        self.patience = check.integer(patience, "patience", minimum=0)
        self.baseline = None if baseline is None else self._number(baseline, "baseline")
        self.restore_best_weights = check.flag(restore_best_weights, "restore_best_weights")
        self.start_from_epoch = check.integer(start_from_epoch, "start_from_epoch", minimum=0)
        self._reset()

    def _reset(self) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.best_weights = None

    def on_train_begin(self, logs=None):
        self._reset()

    def on_epoch_end(self, epoch, logs=None):
        current = self._current(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._remember(epoch)  # even if the value is NaN: there may be no better one
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
            say(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                text = "Restoring model weights from the end of the best epoch"
                say(f"{text}: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class ModelCheckpoint(Monitor):
    """Save the model, or its weights, during training.

    Parameters
    ----------
    filepath : str or path
        Ends in .npz, .keras or .h5. `{epoch}` (from 1), `{batch}` (from 1, with an integer
        `save_freq`) and names of the logs are filled in: "{epoch:02d}-{val_loss:.2f}.npz". Missing
        folders are created.
    monitor, mode
        For `save_best_only`: as in `EarlyStopping`.
    verbose : 0 or 1
        1 prints what is saved.
    save_best_only : bool
        Save only if the value is better than all before it, also in earlier calls of `fit`.
    save_weights_only : bool
        Call `model.save_weights` instead of `model.save`.
    save_freq : "epoch" or int
        Save after every epoch, or after that many batches. Training can be resumed with identical
        results only from a file written at the end of an epoch: see `minicnn.load_model`.
    initial_value_threshold : float, optional
        For `save_best_only`: the value that the first one has to improve on.
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
        super().__init__(monitor, mode, verbose)
        check = self._check
        if initial_value_threshold is not None:
            self.best = self._number(initial_value_threshold, "initial_value_threshold")
        self.filepath = str(filepath if is_keras_file(filepath) else npz_path(filepath))
        try:
            fields = string.Formatter().parse(self.filepath)
            self._names = [name for _, name, _, _ in fields if name is not None]
        except ValueError as error:
            raise check.error(f"filepath {self.filepath!r} cannot be filled in: {error}") from None
        self.save_best_only = check.flag(save_best_only, "save_best_only")
        self.save_weights_only = check.flag(save_weights_only, "save_weights_only")
        self.save_freq = save_freq
        if save_freq != "epoch":
            self.save_freq = check.integer(save_freq, 'save_freq, if not "epoch",')
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
                raise self._check.error(
                    f"filepath {self.filepath!r} asks for {name!r}, expected one of {known}"
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
            if current is not None:
                if not self._improves(current, self.best):
                    return
                self.best = current
        try:
            path = Path(self.filepath.format(epoch=self._epoch + 1, **logs))
        except KeyError as name:
            raise self._check.error(
                f"filepath {self.filepath!r} asks for {name}, which is not among the values of "
                f"this epoch: {', '.join(logs)}"
            ) from None
        path.parent.mkdir(parents=True, exist_ok=True)
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        if self.verbose:
            say(f"Epoch {self._epoch + 1}: saved in {path}")
