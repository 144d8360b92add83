"""BLAS is held to one thread while the engine's own threads work; this is the only place.

Two pools of threads on the same cores slow each other down: idle BLAS threads spin on the cores
that the other pool needs, which cost a factor of 2.6 when it was measured.
"""

import functools
import os
import threading
from typing import Any


@functools.cache
def libraries() -> list[Any]:
    """The loaded BLAS libraries; SciPy's is loaded first, since Numba's np.dot calls it."""
    import scipy.linalg.cython_blas  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas").lib_controllers


class OneThread:
    """A context in which BLAS has one thread; at the end it has as many as before.

    Contexts may be nested, and several Python threads may be inside at once: the first to enter
    sets the limit, the last to leave removes it.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.inside = 0
        self.before: list[int] = []

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.before = [library.get_num_threads() for library in libraries()]
                for library in libraries():
                    _set_threads(library, 1)
            self.inside += 1

    def __exit__(self, *_error: Any) -> None:
        with self.lock:
            if self.inside == 1:
                self._remove_limit()
            self.inside = max(self.inside - 1, 0)

    def start_anew(self) -> None:
        """In a forked child: the threads that were inside are gone, and a lock may be locked."""
        self.lock = threading.Lock()
        if self.inside:
            self._remove_limit()
            self.inside = 0

    def _remove_limit(self) -> None:
        for library, threads in zip(libraries(), self.before, strict=True):
            _set_threads(library, threads)


one_thread = OneThread()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=one_thread.start_anew)


def _set_threads(library: Any, threads: int) -> None:
    _let_any_thread_limit(library)
    library.set_num_threads(threads)
    _let_any_thread_limit(library)


def _let_any_thread_limit(library: Any) -> None:
    # Since version 3.8 threadpoolctl silently ignores every thread but the one that first set a
    # limit. The last to leave is often another one, and BLAS would keep one thread for good.
    if hasattr(library, "clear_controlling_thread"):
        library.clear_controlling_thread(force=True)
