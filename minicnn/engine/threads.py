"""All multithreading of passes and updates is in this module: shards, and threads that run them.

How a batch is cut depends on its size and never on the number of threads, and results come back in
the order of the shards. So the same seed gives the same bits on one core and on eight.
"""

import collections
import ctypes
import functools
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from minicnn.engine import interrupts
from minicnn.engine.blas import one_thread
from minicnn.validation import Check

Part, Result = TypeVar("Part"), TypeVar("Result")

# Images in a shard. With 8 instead of 16 a step takes 5 % longer on one core and inference 10 %, so
# shards are smaller only where a batch would otherwise not occupy four cores, and only in training.
SMALLEST_SHARD, USUAL_SHARD = 8, 16
# Each shard makes the gradients of all convolutions, which have to be summed.
MOST_SHARDS = 16

# From glibc's malloc.h, with the largest values that make a difference.
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
    _threads = Check("set_num_threads").integer(threads, "threads")


def get_num_threads() -> int:
    """The number of threads in use: at first the cores this process may run on."""
    return _threads


def cut(images: int, smallest: int = SMALLEST_SHARD) -> list[slice]:
    """The shards of a batch, as slices; they do not depend on the number of threads."""
    size = max(smallest, min(USUAL_SHARD, -(-images // 4)), -(-images // MOST_SHARDS))
    return [slice(start, min(start + size, images)) for start in range(0, images, size)]


def run(function: Callable[[Part], Result], parts: list[Part]) -> list[Result]:
    """`[function(part) for part in parts]`, on all threads.

    The error of the first part that failed is raised, once no thread is working any more. With a
    single part there is nothing to share, and BLAS may use its own threads.
    """
    _keep_freed_memory()
    if len(parts) == 1:
        try:
            return [function(parts[0])]
        except SystemError as error:
            raise interrupts.cause(error) from None
    results: dict[int, Result] = {}
    errors: dict[int, BaseException] = {}
    waiting = iter(range(len(parts)))  # shared by all threads: each part is taken once, in order
    done: SimpleQueue[None] = SimpleQueue()

    def work() -> None:
        for index in waiting:
            try:
                results[index] = function(parts[index])
            except Exception as error:
                errors[index] = error
                break

    def help_out() -> None:
        try:
            work()
        except BaseException as error:
            errors[len(parts)] = error
        finally:
            done.put(None)

    with one_thread:
        # The calling thread works, too: otherwise it would have to be woken up in the end.
        helpers = min(_threads, len(parts)) - 1
        _helpers.start(_threads)  # one more than are asked: a part may itself call `run`
        for _ in range(helpers):
            _helpers.tasks.put(help_out)
        try:
            work()
        finally:
            collections.deque(waiting, maxlen=0)  # after an error, no other part is begun
            for _ in range(helpers):
                done.get()
    if errors:
        raise errors[min(errors)]
    return [results[index] for index in range(len(parts))]


def start(thread: threading.Thread) -> None:
    """Start a thread. Here an interrupt is recorded: inside `Thread.start` it would become an error
    about a lock. See `interrupts`."""
    thread.start()


@functools.cache
def _keep_freed_memory() -> None:
    """Ask glibc not to return large arrays to the system as soon as they are freed.

    It does so by default, and gets them anew for the next shard, page by page, each of which has to
    be filled with zeros first: 2,000 page faults a step, and a third of the time of training on
    two cores. What is kept that way is at most `KEPT_MEMORY`. Other systems have no such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY)
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)


class _Helpers:
    """Threads that wait for tasks. A ThreadPoolExecutor takes four times as long to start one."""

    def __init__(self):
        self.lock = threading.Lock()
        self.tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.threads: list[threading.Thread] = []

    def start(self, threads: int) -> None:
        """Make sure that there are at least so many."""
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
