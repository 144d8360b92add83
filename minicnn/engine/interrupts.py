"""Ctrl-C, and other signals whose handlers may raise, wait for the end of a step.

Python runs a signal's handler between any two operations of the main thread, and the usual handler
of SIGINT raises KeyboardInterrupt there: half of the weights may be updated, BLAS may stay at one
thread, or Numba, which runs some Python after a kernel, turns the exception into a SystemError.

So while a plan is in use, its own handler stands in for the usual ones. It looks at what was
interrupted. Inside the engine it records the signal, which then acts at the end of the step.
Anywhere else (in a callback, in a data source that waits) the signal acts at once.
"""

import contextlib
import signal
import sys
import threading
from types import FrameType
from typing import Any

from minicnn.engine.compiling import is_compiling

NAMES = ("SIGALRM", "SIGVTALRM", "SIGPROF", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGTERM", "SIGQUIT")
# SIGINT is the first to be replaced and the last to be put back.
SIGNALS = [signal.SIGINT, *(getattr(signal, name) for name in NAMES if hasattr(signal, name))]
ENGINE = "minicnn.engine."
WAITING = "minicnn.engine.prefetching"  # waits for a data source: may be interrupted
WAIT = "\nStopping as soon as the kernels for this step are compiled ..."

_current: "Deferred | None" = None


class Deferred:
    """A context in which signals that interrupt the engine are recorded, to act later.

    Only the main thread receives signals: in other threads, and inside another such context, it
    does nothing.
    """

    def __init__(self):
        self.usual: dict[int, Any] = {}
        self.pending: dict[int, FrameType | None] = {}

    def __enter__(self) -> None:
        global _current
        if _current is not None or threading.current_thread() is not threading.main_thread():
            return
        try:
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):
                    self.usual[number] = handler
                    signal.signal(number, self.on_signal)
        except BaseException:  # raised by a handler that had not been replaced yet
            self._restore()
            raise
        _current = self

    def __exit__(self, *_error: Any) -> None:
        global _current
        if _current is not self:
            return
        _current = None
        try:
            self._restore()
        finally:
            self.act()

    def _restore(self) -> None:
        try:
            for number, handler in reversed(self.usual.items()):
                if signal.getsignal(number) == self.on_signal:  # else somebody has set another one
                    signal.signal(number, handler)
        except BaseException:  # raised by a handler that was just put back, before the others
            self._restore()
            raise

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The handler: records the signal, or passes it on."""
        if _is_inside_engine(frame):
            if is_compiling():  # which may take half a minute
                with contextlib.suppress(Exception):  # stderr may be closed, or in use
                    print(WAIT, file=sys.stderr, flush=True)
            self.pending[number] = frame
        else:
            self.usual[number](number, frame)

    def act(self) -> None:
        """Call the usual handlers of the signals recorded so far; they may raise."""
        while self.pending:
            number, frame = self.pending.popitem()
            self.usual[number](number, frame)


def act() -> None:
    """At the end of a step: let the recorded signals act."""
    if _current is not None and threading.current_thread() is threading.main_thread():
        _current.act()


def cause(error: SystemError) -> BaseException:
    """What Numba has turned into a SystemError: an exception that a signal's handler raised."""
    found: BaseException = error
    while isinstance(found, SystemError) and found.__cause__ is not None:
        found = found.__cause__
    return found


def _is_inside_engine(frame: FrameType | None) -> bool:
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(ENGINE) and module != WAITING:
            return True
        frame = frame.f_back
    return False
