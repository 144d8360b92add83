"""What `fit` reports: the record it returns, and the lines it shows meanwhile."""

import contextlib
import sys
import time
from numbers import Integral
from typing import Any

from minicnn.kernels.jit import announce_compilation

COMPILING = "Compiling the kernels for this processor, once (10 to 20 seconds) ..."


class History:
    """The record of one `fit`.

    Attributes
    ----------
    history : dict of lists
        By name, one value an epoch: "accuracy", "loss", and "val_..." with validation data. The
        loss is the mean over the samples of the epoch, each at the weights of its own step.
    epoch : list of int
        From 0.
    params : dict
        "verbose", "epochs" and "steps" (batches in an epoch).
    batches : dict of lists
        By name, one value a batch, over all epochs. Keras has no such list.
    """

    def __init__(self, params: dict[str, Any]):
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.params = params
        self.batches: dict[str, list[float]] = {}

    def end_batch(self, values: dict[str, float]) -> None:
        """Note the values of one batch."""
        for name, value in values.items():
            self.batches.setdefault(name, []).append(value)

    def end_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        """Note the values of one epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)


def verbosity(verbose: Any, who: str) -> int:
    """0 (silent), 1 (a bar) or 2 (one line an epoch) from what Keras accepts: "auto" is 1."""
    if isinstance(verbose, str) and verbose == "auto":
        return 1
    if isinstance(verbose, Integral) and verbose in (0, 1, 2):
        return int(verbose)
    raise ValueError(f'{who}: verbose must be "auto", 0, 1 or 2, received {verbose!r}')


def format_logs(logs: dict[str, float]) -> str:
    """`accuracy: 0.9625 - loss: 0.1201`, as Keras writes numbers."""
    return " - ".join(
        f"{name}: {value:.4f}" if abs(value) > 1e-3 else f"{name}: {value:.4e}"
        for name, value in logs.items()
    )


class Progress:
    """Shows how far an epoch is: a live bar on a terminal, one line at its end everywhere.

    In a pipe, a file or a notebook nothing but that line is written: no control codes. On entry
    it starts to listen for kernels being compiled, to say why the first step takes long.
    """

    def __init__(self, verbose: int, steps: int | None):
        self.verbose = verbose
        self.steps = steps
        self.done = 0
        self.started = self.first_done = time.perf_counter()
        self.bar = None
        self.context = contextlib.ExitStack()

    def __enter__(self) -> "Progress":
        if self.verbose:
            self.context.enter_context(announce_compilation(self._tell_of_compilation))
        if self.verbose == 1 and sys.stdout.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=self.steps,
                file=sys.stdout,
                leave=False,
                dynamic_ncols=True,
                bar_format="{n_fmt}/{total_fmt} {bar:25} {remaining} left{postfix}",
            )
            self.context.callback(self.bar.close)
        return self

    def __exit__(self, *_error) -> None:
        self.context.close()

    def _tell_of_compilation(self) -> None:
        if self.bar is None:
            print(COMPILING, flush=True)
        else:
            self.bar.write(COMPILING, file=sys.stdout)

    def step(self, logs: dict[str, float]) -> None:
        """One batch is done; `logs` are the running values."""
        self.done += 1
        if self.done == 1:
            self.first_done = time.perf_counter()
        if self.bar is not None:
            self.bar.set_postfix_str(f"{self._pace()} - {format_logs(logs)}", refresh=False)
            self.bar.update()

    def end(self, logs: dict[str, float]) -> None:
        """The line that stays when all is done."""
        if self.verbose:
            seconds = time.perf_counter() - self.started
            parts = [f"{self.done}/{self.steps or self.done}", f"{seconds:.0f}s", self._pace()]
            print(" - ".join([*parts, format_logs(logs)] if logs else parts), flush=True)

    def _pace(self) -> str:
        """Time a step. The first, which may compile, is left out once there is another."""
        now = time.perf_counter()
        seconds = now - self.started
        if self.done > 1:
            seconds = (now - self.first_done) / (self.done - 1)
        return f"{seconds * 1e3:.0f}ms/step" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us/step"
