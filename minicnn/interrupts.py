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

    There is one such object, `_held`, for as many blocks inside each other as there may be. In a
    `finally`, `with` would come too late: as a function begins, be it `__enter__`, Python may raise
    KeyboardInterrupt. To add 1 to `depth` is no call; in the end there is `__exit__`.
    """

    usual = None  # the handler of SIGINT that is stood in for, if one is
    depth = 0
    arrived = None

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *_error) -> None:
        self.depth -= 1
        self.hand_on()

    def hand_on(self) -> None:
        """What has come, to whom it was meant for, unless another block is still inside."""
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


def holder() -> _Held:
    """For a `finally` inside `watched`: see `_Held`. In other threads it holds nothing."""
    return _Held() if _nobody_interrupts() else _held


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
        _held.depth += 1
        try:
            if _held.usual and signal.getsignal(signal.SIGINT) == _held.on_signal:
                signal.signal(signal.SIGINT, usual)  # unless somebody chose another
        finally:
            # No call from here on either: the usual handler is back, and may raise.
            _held.usual = None
            _held.depth -= 1
            _held.hand_on()


def deferred() -> contextlib.AbstractContextManager:
    """Let an interrupt (SIGINT) that comes in this block act when the block is done.

    Blocks may be inside each other. A handler of the user's own waits alike.
    """
    if _nobody_interrupts():
        return contextlib.nullcontext()
    return _held if _held.usual else _deferred_once()


class Unveiled:
    """Let an interrupt that comes in a kernel come out of this block as KeyboardInterrupt.

    Numba runs some Python behind a kernel, to make arrays of what it returns; if that is where
    KeyboardInterrupt is raised, a SystemError comes out.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind, error, _traceback) -> None:
        if isinstance(error, SystemError) and isinstance(error.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from None


@contextlib.contextmanager
def _deferred_once() -> Iterator[None]:
    with watched(), _held:
        yield
