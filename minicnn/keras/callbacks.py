"""Keras' callbacks: those of `minicnn.callbacks`, and some that change the learning rate."""

from collections.abc import Callable

from minicnn.callbacks import Callback, CSVLogger, EarlyStopping, History, ModelCheckpoint
from minicnn.callbacks.monitors import Monitor
from minicnn.callbacks.output import say
from minicnn.keras.left_out import module_getattr
from minicnn.validation import Check

__all__ = ["CSVLogger", "Callback", "EarlyStopping", "History", "LambdaCallback"]
__all__ += ["LearningRateScheduler", "ModelCheckpoint", "ReduceLROnPlateau", "TerminateOnNaN"]
__getattr__ = module_getattr("callbacks")


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch, to `schedule(epoch, rate)` or `schedule(epoch)`.

    Epochs count from 0. The rate is recorded in the logs as "learning_rate".
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0):
        self.schedule = Check("LearningRateScheduler").function(schedule, "schedule")
        self.verbose = verbose

    def on_epoch_begin(self, epoch, logs=None):
        try:
            rate = self.schedule(epoch, float(self.model.optimizer.learning_rate))
        except TypeError:  # it takes the epoch alone
            rate = self.schedule(epoch)
        self.model.optimizer.learning_rate = rate
        if self.verbose:
            say(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch, logs=None):
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)


class ReduceLROnPlateau(Monitor):
    """Multiplies the learning rate by `factor` when a monitored value no longer improves.

    Parameters
    ----------
    monitor, verbose, mode, min_delta
        As for `EarlyStopping`.
    factor : float
        Below 1.
    patience : int
        Epochs without improvement after which the rate is reduced.
    cooldown : int
        Epochs after a reduction that do not count.
    min_lr : float
        The rate is never set lower.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ):
        super().__init__(monitor, mode, verbose, min_delta)
        check = self._check
        self.factor = check.number(factor, "factor", 0, 1)
        self.patience = check.integer(patience, "patience", minimum=0)
        self.cooldown = check.integer(cooldown, "cooldown", minimum=0)
        self.min_lr = check.number(min_lr, "min_lr", 0, from_low=True)
        self.wait = self.left = 0

    def on_train_begin(self, logs=None):
        self.best, self.wait, self.left = None, 0, 0

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        rate = logs["learning_rate"] = float(optimizer.learning_rate)
        current = self._current(logs)
        if current is None:
            return
        if self.left > 0:
            self.left -= 1
            self.wait = 0
        if self._improves(current, self.best):
            self.best, self.wait = current, 0
        elif self.left == 0:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                optimizer.learning_rate = max(rate * self.factor, self.min_lr)
                self.left, self.wait = self.cooldown, 0
                if self.verbose:
                    reduced = f"reducing learning rate to {optimizer.learning_rate}."
                    say(f"Epoch {epoch + 1}: ReduceLROnPlateau {reduced}")


class LambdaCallback(Callback):
    """Calls functions at the times of the methods that they are passed for, by their names."""

    def __init__(self, **functions: Callable):
        check = Check("LambdaCallback")
        for name, function in functions.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                known = ", ".join(each for each in dir(Callback) if each.startswith("on_"))
                raise TypeError(f"{check.who}: it has no argument {name!r}; it has {known}")
            if function is not None:
                setattr(self, name, check.function(function, name))


class TerminateOnNaN(Callback):
    """Ends training before a step whose loss is not finite, instead of raising an error.

    The epoch ends there; its logs are those of the steps before.
    """

    stops_at_nan = True
