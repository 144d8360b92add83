"""The one place for Numba's options, the cache of compiled code, and who is told of compiling."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numba
from numba.core import caching, event

OPTIONS = {
    # Threads run Python code and kernels side by side, so a kernel must let go of the GIL.
    "nogil": True,
    # 1/0 is inf, as in NumPy; Python's rule adds a branch that keeps loops from vectorising.
    "error_model": "numpy",
    # Sums may be reordered to fill vector registers. "nnan" and "ninf" stay out: they delete
    # every test for NaN, and a network whose loss is NaN would report finite numbers.
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}


def jit(function: Callable) -> Callable:
    """Compile `function` when first called, and keep the machine code on disk where that works.

    Kernels that call each other stand in one file: Numba's cache does not notice a change in
    another file. If no folder can be written, kernels are compiled anew in every process;
    the environment variable NUMBA_CACHE_DIR names a folder of your choice.
    """
    kernel = numba.njit(**OPTIONS)(function)
    kernel._cache = _CacheFromFirstUse(function)
    return kernel


class _CacheFromFirstUse:
    """Numba's cache of one kernel, opened when it is first asked for something.

    With `cache=True` it would be opened on import, which tries and makes folders, and fails where
    none can be written.
    """

    def __init__(self, function: Callable):
        self._function = function
        self._opened: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._opened is None:
            try:
                self._opened = caching.FunctionCache(self._function)
            except RuntimeError:  # "cannot cache function ...: no locator available"
                self._opened = caching.NullCache()
        return getattr(self._opened, name)


class _OnFirstCompilation(event.Listener):
    def __init__(self, tell: Callable[[], None]):
        self.tell = tell
        self.told = False

    def on_start(self, _event: event.Event) -> None:
        if not self.told:
            self.told = True
            self.tell()

    def on_end(self, _event: event.Event) -> None:
        pass


@contextlib.contextmanager
def announce_compilation(tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell()` once if a kernel has to be compiled meanwhile (code found on disk is not)."""
    with event.install_listener("numba:compile", _OnFirstCompilation(tell)):
        yield
