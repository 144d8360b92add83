"""Ctrl-C between two things that belong together: it waits until both are done.

Python raises KeyboardInterrupt between any two operations of the main thread: when half of the
weights have changed, say. Other threads never see one, and for them nothing is done here.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class _Held:
    """While inside, signals that come are kept, and the last way out hands them on.

    There is one such object, `_held`, for as many blocks inside each other as there may be.
    """

    usual = None  # the handler of SIGINT that is stood in for, if one is
    depth = 0
    arrived = None

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *_error) -> None:
        self.depth -= 1
        if self.depth == 0 and self.arrived:
            details, self.arrived = self.arrived, None
            (self.usual or signal.getsignal(signal.SIGINT))(*details)

    def on_signal(self, *details) -> None:
        if self.depth:
            self.arrived = details
        else:
            self.usual(*details)


_held = _Held()


def _nobody_interrupts() -> bool:
    return threading.get_ident() != threading.main_thread().ident


def watched() -> contextlib.AbstractContextManager:
    """Prepare for blocks of `deferred`, which would each have to ask the system for it."""
    if _held.usual or _nobody_interrupts():
        return contextlib.nullcontext()
    usual = signal.getsignal(signal.SIGINT)
    return _standing_in_for(usual) if callable(usual) else contextlib.nullcontext()


@contextlib.contextmanager
def _standing_in_for(usual: Callable) -> Iterator[None]:
    try:
        with _held:
            signal.signal(signal.SIGINT, _held.on_signal)
            _held.usual = usual
        yield
    finally:
        if _held.usual:
            with _held:
                found = signal.signal(signal.SIGINT, usual)
                if found != _held.on_signal:  # somebody has chosen another meanwhile
                    signal.signal(signal.SIGINT, found)
                _held.usual = None


def deferred() -> contextlib.AbstractContextManager:
    """Let an interrupt (SIGINT) that comes in this block act when the block is done.

    Blocks may be inside each other. A handler of the user's own waits alike.
    """
    if _nobody_interrupts():
        return contextlib.nullcontext()
    return _held if _held.usual else _deferred_once()


@contextlib.contextmanager
def _deferred_once() -> Iterator[None]:
    with watched(), _held:
        yield
