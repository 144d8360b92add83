"""Parallel work lives here and nowhere else: a batch in shards, shards on threads, BLAS held back.

The cut depends on the size of the batch and never on the number of threads, and results come back
in the order of the shards. So one seed gives the same bits on one core and on eight.
"""

import collections
import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import TypeVar

from minicnn import interrupts
from minicnn.shapes import positive_int

Part, Result = TypeVar("Part"), TypeVar("Result")

# Each shard brings a full set of gradients, to be made and summed: with shards of 8 images a step
# took 15 % longer than with 16, on two cores. Large batches get larger shards for the same reason.
SMALLEST_SHARD = 16
MOST_SHARDS = 16
MOST_NUMBERS = 1 << 18  # of a part: 0.3 ms of Adam; to wake a second thread up takes 0.1

# Of glibc's malloc.h, with the largest values that make a difference.
M_TRIM_THRESHOLD, KEPT_MEMORY = -1, 1 << 28  # bytes
M_MMAP_THRESHOLD, LARGEST_KEPT = -3, 1 << 25


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # honours taskset and containers; not on macOS, Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_threads = available_cores()


def set_num_threads(threads: int) -> None:
    """How many threads share the work of a batch. Results do not depend on it, bit for bit.

    Raises
    ------
    TypeError, ValueError
        If `threads` is not an integer of at least 1.
    """
    global _threads
    _threads = positive_int(threads, "threads", "set_num_threads")


def get_num_threads() -> int:
    """The number of threads in use: at first the cores this process may run on."""
    return _threads


def cut(images: int) -> list[slice]:
    """The shards of a batch, as slices; a function of the batch size alone."""
    size = max(SMALLEST_SHARD, -(-images // MOST_SHARDS))
    return [slice(start, min(start + size, images)) for start in range(0, images, size)]


def parts(sizes: list[int]) -> list[list[tuple[int, slice]]]:
    """Arrays of those sizes in parts of `MOST_NUMBERS`: (which array, slice) for each piece."""
    found: list[list[tuple[int, slice]]] = [[]]
    room = MOST_NUMBERS
    for index, size in enumerate(sizes):
        start = 0
        while start < size:
            if room == 0:
                found.append([])
                room = MOST_NUMBERS
            stop = min(start + room, size)
            found[-1].append((index, slice(start, stop)))
            room -= stop - start
            start = stop
    return found


def run(function: Callable[[Part], Result], parts: list[Part]) -> list[Result]:
    """`[function(part) for part in parts]`, on all threads.

    The error of the first part that failed is raised, once no thread is at work any more. With one
    part there is nothing to share, and BLAS may do with its threads as it likes.
    """
    _keep_freed_memory()
    if len(parts) == 1:
        with interrupts.Unveiled():
            return [function(parts[0])]
    results: dict[int, Result] = {}
    errors: dict[int, BaseException] = {}
    waiting = iter(range(len(parts)))  # all threads share it: each part is taken once, in order

    def work() -> None:
        for index in waiting:
            try:
                with interrupts.deferred():  # see `interrupts.Unveiled`
                    results[index] = function(parts[index])
            except Exception as error:
                errors[index] = error
                break

    done: SimpleQueue[None] = SimpleQueue()

    def help_out() -> None:
        try:
            work()
        except BaseException as error:
            errors[len(parts)] = error
        finally:
            done.put(None)

    with blas_on_one_thread():
        # This thread works, too: it would otherwise have to be woken up in the end.
        helpers, asked = min(_threads, len(parts)) - 1, 0
        held = interrupts.holder()
        try:
            with interrupts.deferred():
                _helpers.start(_threads)  # one more than are asked: a part may run parts of its own
                for _ in range(helpers):
                    _helpers.tasks.put(help_out)
                    asked += 1
            work()
        finally:  # KeyboardInterrupt included
            held.depth += 1  # nobody may be at work any more
            try:
                collections.deque(waiting, maxlen=0)  # after an error, nothing new is begun
                for _ in range(asked):
                    done.get()
            finally:
                held.__exit__()
    if errors:
        raise errors[min(errors)]
    return [results[index] for index in range(len(parts))]


@functools.cache
def _keep_freed_memory() -> None:
    """Ask glibc not to hand large arrays back to the system as soon as they are freed.

    It does so by default, and gets them anew for the next shard, page by page, each to be filled
    with zeros first: 2,000 page faults a step, and a third of the time of training on two cores.
    What is kept that way is at most `KEPT_MEMORY`. Other systems have no such thing to ask.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY)
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)


class _Helpers:
    """Threads that wait for tasks. A ThreadPoolExecutor takes four times as long to ask one."""

    def __init__(self):
        self.lock = threading.Lock()
        self.tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.threads: list[threading.Thread] = []

    def start(self, threads: int) -> None:
        """Have at least so many."""
        with self.lock:
            while len(self.threads) < threads:
                name = f"minicnn-worker_{len(self.threads)}"
                thread = threading.Thread(target=self._serve, name=name, daemon=True)
                thread.start()
                self.threads.append(thread)

    def _serve(self) -> None:
        while True:
            self.tasks.get()()


_helpers = _Helpers()

if hasattr(os, "register_at_fork"):  # a forked child has the object but not its threads
    os.register_at_fork(after_in_child=_helpers.__init__)


@functools.cache
def _blas_libraries():
    # The libraries must be loaded before they can be found: Numba's np.dot calls SciPy's BLAS.
    import scipy.linalg.cython_blas  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas").lib_controllers


def _set_blas_threads(library, threads: int) -> None:
    _let_any_thread_limit(library)
    library.set_num_threads(threads)
    _let_any_thread_limit(library)


def _let_any_thread_limit(library) -> None:
    # From version 3.8 on, threadpoolctl ignores in silence every thread but the one that set a
    # limit first. The last to leave is often another, and BLAS would stay at one thread for good.
    if hasattr(library, "clear_controlling_thread"):
        library.clear_controlling_thread(force=True)


class _BlasLimit:
    """Counts who is inside, because several of the user's threads may predict at once."""

    def __init__(self):
        self.lock = threading.Lock()
        self.inside = 0
        self.before: list[int] = []

    def enter(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.before = [library.get_num_threads() for library in _blas_libraries()]
                for library in _blas_libraries():
                    _set_blas_threads(library, 1)
            self.inside += 1

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                for library, threads in zip(_blas_libraries(), self.before, strict=True):
                    _set_blas_threads(library, threads)


_blas_limit = _BlasLimit()

if hasattr(os, "register_at_fork"):  # another thread may hold the lock in that moment, for ever
    os.register_at_fork(after_in_child=_blas_limit.__init__)


@contextlib.contextmanager
def blas_on_one_thread() -> Iterator[None]:
    """Hold BLAS to one thread meanwhile; afterwards it has as many as before.

    Two pools of threads on the same cores get in each other's way: BLAS' idle workers spin on the
    cores that ours need, which cost a factor of 2.6 when it was measured.
    """
    held, inside = interrupts.holder(), False
    with interrupts.watched():
        try:
            with held:  # or BLAS could stay at one thread for good
                _blas_limit.enter()
                inside = True
            yield
        finally:
            held.depth += 1
            try:
                if inside:
                    _blas_limit.leave()
            finally:
                held.__exit__()
