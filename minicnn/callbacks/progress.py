"""What `fit`, `evaluate` and `predict` print while they run."""

import contextlib
import sys
import time
from numbers import Integral
from typing import Any

from minicnn.engine import announce_compilation

COMPILING = "Compiling the kernels for this processor, once (10 to 20 seconds) ..."


def verbosity(verbose: Any, who: str) -> int:
    """0 (silent), 1 (a progress bar) or 2 (one line an epoch); "auto" is 1, as in Keras."""
    if isinstance(verbose, str) and verbose == "auto":
        return 1
    if isinstance(verbose, Integral) and verbose in (0, 1, 2):
        return int(verbose)
    raise ValueError(f'{who}: verbose must be "auto", 0, 1 or 2, received {verbose!r}')


def format_logs(logs: dict[str, float]) -> str:
    """`accuracy: 0.9625 - loss: 0.1201`, with numbers as Keras writes them."""
    return " - ".join(
        f"{name}: {value:.4f}" if abs(value) > 1e-3 else f"{name}: {value:.4e}"
        for name, value in logs.items()
    )


class Progress:
    """The progress of one epoch: a bar on a terminal, and one line at the end everywhere.

    To a pipe, a file or a notebook only that line is written, without control characters. Used as
    a context manager, it also says when kernels are being compiled, which is why the first step
    may take long.

    Parameters
    ----------
    verbose : int
        From `verbosity`.
    steps : int or None
        Batches in the epoch; None if that is not known.
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
            self.context.enter_context(announce_compilation(self._print_compiling))
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

    def _print_compiling(self) -> None:
        if self.bar is None:
            print(COMPILING, flush=True)
        else:
            self.bar.write(COMPILING, file=sys.stdout)

    def step(self, logs: dict[str, float]) -> None:
        """Count a batch that is done; `logs` are the running means."""
        self.done += 1
        if self.done == 1:
            self.first_done = time.perf_counter()
        if self.bar is not None:
            self.bar.set_postfix_str(f"{self._pace()} - {format_logs(logs)}", refresh=False)
            self.bar.update()

    def end(self, logs: dict[str, float]) -> None:
        """Print the line that remains when the epoch is done."""
        if self.verbose:
            seconds = time.perf_counter() - self.started
            parts = [f"{self.done}/{self.steps or self.done}", f"{seconds:.0f}s", self._pace()]
            print(" - ".join([*parts, format_logs(logs)] if logs else parts), flush=True)

    def _pace(self) -> str:
        """Mean time of a step. The first one, which may compile, counts only while it is alone."""
        now = time.perf_counter()
        seconds = now - self.started
        if self.done > 1:
            seconds = (now - self.first_done) / (self.done - 1)
        return f"{seconds * 1e3:.0f}ms/step" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us/step"
