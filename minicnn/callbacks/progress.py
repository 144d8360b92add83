"""What `fit`, `evaluate` and `predict` print while they run."""

import contextlib
import contextvars
import functools
import shutil
import sys
import time
from numbers import Integral
from typing import Any

from minicnn.callbacks.output import is_terminal, say
from minicnn.engine import COMPILING, announce_compilation

INTERVAL = 0.1  # seconds after which the bar is drawn again
SHORTEST_BAR = 5  # characters
WIDEST = 100  # of a terminal's columns
IN_A_NOTEBOOK = 79


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


def columns() -> int:
    """Characters of a line that can be written again and again; 0 if `sys.stdout` has none.

    A terminal and a notebook return to the beginning of the line at a carriage return. A pipe and
    a file keep everything.
    """
    if type(sys.stdout).__module__.startswith("ipykernel"):
        return IN_A_NOTEBOOK
    if is_terminal():
        room = min(shutil.get_terminal_size().columns, WIDEST) - len("^C ")  # which is echoed
        return max(room, 1)
    return 0


class Progress:
    """The progress of one epoch: a bar while it runs, and one line at the end, which stays.

    The bar is shown on a terminal and in a notebook. To a pipe or a file only the last line is
    written, without control characters. An error or an interrupt leaves it, too: it says how far
    the epoch had come. Used as a context manager, it also says when kernels are being compiled,
    which is why the first step may take long. `steps` is None if the number of batches in the
    epoch is not known.
    """

    def __init__(self, verbose: int, steps: int | None):
        self.verbose = verbose
        self.steps = steps
        self.done = 0
        self.logs: dict[str, float] = {}
        self.started = self.first_done = self.last_done = self.drawn = time.perf_counter()
        self.bar = None
        self.context = contextlib.ExitStack()

    def __enter__(self) -> "Progress":
        if self.verbose:
            # Kernels may be compiled by a helper thread. What it prints would not appear in the
            # cell of the notebook that runs, but in the one that has started the thread.
            here = contextvars.copy_context()
            tell = functools.partial(here.run, self._print_compiling)
            self.context.enter_context(announce_compilation(tell))
        if self.verbose == 1 and columns():
            from tqdm import tqdm

            count = f"{{n_fmt:>{len(str(self.steps))}}}/{{total_fmt}} {{bar}} {{desc}}"
            self.bar = tqdm(
                total=self.steps,
                file=sys.stdout,
                leave=False,
                ncols=columns(),
                bar_format=count if self.steps else "{n_fmt}/? {desc}",
            )
            self.context.callback(self.bar.close)
        return self

    def __exit__(self, _kind: Any, error: BaseException | None, _traceback: Any) -> None:
        self.context.close()
        if error is not None and self.done:
            self.end(self.logs)
        if isinstance(error, KeyboardInterrupt):
            leave_out_internals(error)

    def _print_compiling(self) -> None:
        if self.bar is None:
            say(COMPILING)
        else:
            self.bar.write(COMPILING, file=sys.stdout)

    def step(self, logs: dict[str, float]) -> None:
        """Count a batch that is done; `logs` are the running means."""
        self.done += 1
        self.logs = logs
        self.last_done = time.perf_counter()
        if self.done == 1:
            self.first_done = self.last_done
        is_due = self.last_done > self.drawn + INTERVAL or self.done == self.steps
        if self.bar is not None and is_due:
            self.drawn, self.bar.n, self.bar.ncols = self.last_done, self.done, columns()
            self.bar.set_description_str(self._beside_the_bar())  # draws the bar, too

    def end(self, logs: dict[str, float]) -> None:
        """Print the line that remains when the epoch is done."""
        if self.verbose:
            seconds = time.perf_counter() - self.started
            parts = [f"{self.done}/{self.steps or self.done}", f"{seconds:.0f}s", self._pace()]
            say(" - ".join([*parts, format_logs(logs)] if logs else parts))

    def _beside_the_bar(self) -> str:
        """Time left, pace, running values: those for which there is room, none of them cut."""
        times, values = [self._pace()], [format_logs({name: self.logs[name]}) for name in self.logs]
        if self.steps and self.done > 1:
            seconds = (self.steps - self.done) * self._seconds_per_step()
            times.insert(0, f"{self.bar.format_interval(seconds)} left")
        room = columns() - len(f"{self.steps}/{self.steps} ") - SHORTEST_BAR - 1
        while times + values and len(" - ".join(times + values)) > room:
            (times or values).pop()
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # a metric has any name
        return " - ".join(times + values).encode(encoding, "replace").decode(encoding)

    def _seconds_per_step(self) -> float:
        """The mean. The first step, which may compile, counts only while it is alone."""
        if self.done > 1:
            return (self.last_done - self.first_done) / (self.done - 1)
        return self.last_done - self.started

    def _pace(self) -> str:
        seconds = self._seconds_per_step()
        return f"{seconds * 1e3:.0f}ms/step" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us/step"


def leave_out_internals(error: BaseException) -> None:
    """Shorten a traceback to the first function of this package, and what is not part of it below.

    Where inside of a step Ctrl-C was noticed says nothing; where in a callback of the user's, does.
    """
    last = entry = error.__traceback__
    while entry is not None:
        entry = entry.tb_next
        module = entry and entry.tb_frame.f_globals.get("__name__", "")
        if not module or not module.startswith("minicnn."):
            last.tb_next = entry
            last = entry
