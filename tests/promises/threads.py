"""Promises 21, 22, 24 and 25: threads, processes, prefetching and memory."""

import gc
import itertools
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numba.core.registry import CPUDispatcher

import minicnn
from minicnn import Input, Sequential
from minicnn.data import Dataset
from minicnn.engine import kernels
from minicnn.layers import Dense
from tests.promises import Outcome, outcome
from tests.promises.small_network import X, Y, new_model

PATIENCE = 10.0  # seconds without an answer that count as a hang
SOON = 1.0  # seconds within which a thread has to end
MOST_GROWTH = 5 * 2**20  # bytes


def predict_from_threads(share: float = 1) -> Outcome:
    """21: eight threads predict, also while another model trains, with the bits of one thread."""
    rng = np.random.default_rng(21)
    images = [rng.random((int(n), *X.shape[1:]), "float32") for n in rng.integers(1, 50, 8)]
    model, calls = new_model(), max(5, round(1000 * share))
    expected = [model.predict(x, verbose=0).tobytes() for x in images]

    def user(number: int) -> int:
        which = [(number + turn) % len(images) for turn in range(calls)]
        return sum(model.predict(images[i], verbose=0).tobytes() != expected[i] for i in which)

    x, y = rng.random((40, *X.shape[1:]), "float32"), rng.integers(0, 3, 40)
    weights = _steps(new_model(), x, y, 10)  # without predictions at the same time
    wrong = steps = 0
    for trains in (False, True):
        with ThreadPoolExecutor(8) as pool:
            users = [pool.submit(user, number) for number in range(8)]
            while trains and (steps == 0 or not all(each.done() for each in users)):
                wrong += _steps(new_model(), x, y, 10) != weights
                steps += 10
            wrong += sum(each.result() for each in users)
    return Outcome(
        wrong == 0,
        f"2 x 8 threads x {calls:,} predictions, {steps:,} steps of another model meanwhile, "
        f"{wrong} with other bits than alone",
    )


def _steps(model, x, y, steps: int) -> bytes:
    for _ in range(steps):
        model.train_on_batch(x, y)
    return b"".join(weight.tobytes() for weight in model.get_weights())


def _predict_in_child(weights) -> bytes:
    model = new_model()
    model.set_weights(weights)
    return model.predict(np.tile(X, (10, 1, 1, 1)), verbose=0).tobytes()


def _fork_after_work(threads: int, busy: bool, delay: float) -> None:
    """Fork after work on threads, and end with the status of the child: see `ENDS`."""
    warnings.simplefilter("ignore")  # of Python, about threads and forks
    minicnn.set_num_threads(threads)
    weights = new_model().get_weights()
    expected = _predict_in_child(weights)
    if busy:  # another thread is computing at the moment of the fork

        def compute():
            for _ in range(2000):
                _predict_in_child(weights)

        threading.Thread(target=compute, daemon=True).start()
        time.sleep(delay)
    child = multiprocessing.get_context("fork").Process(target=_end, args=(weights, expected))
    child.start()
    child.join(PATIENCE)
    status = HANG if child.exitcode is None else child.exitcode
    child.kill()
    sys.exit(status)


def _end(weights, expected: bytes) -> None:
    try:
        status = SAME if _predict_in_child(weights) == expected else OTHER
    except Exception:
        status = CLEAR_ERROR
    os._exit(status)


SAME, OTHER, CLEAR_ERROR, HANG = range(10, 14)  # statuses, unlike those of Python
ENDS = {SAME: "the same bits", OTHER: "other bits", CLEAR_ERROR: "a clear error", HANG: "a hang"}


def processes(share: float = 1) -> Outcome:
    """22: a spawned pool works; a child forked after work on threads gives a result or an error."""
    weights = new_model().get_weights()
    expected = _predict_in_child(weights)
    tasks, forks = max(4, round(40 * share)), max(2, round(20 * share))
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(2) as pool:
        results = pool.map_async(_predict_in_child, [weights] * tasks, 1).get(120)
    spawned = sum(result == expected for result in results)
    found = Counter()
    for fork in range(forks if hasattr(os, "fork") else 0):
        delay = 0.01 + 0.0037 * fork  # hung in one of eight before locks were reset
        process = spawn.Process(target=_fork_after_work, args=(1 + fork % 4, fork % 4 > 0, delay))
        process.start()
        process.join(120)
        process.kill()
        found[process.exitcode] += 1
    ends = ", ".join(f"{n} with {ENDS.get(end, f'status {end}')}" for end, n in found.items())
    return Outcome(
        spawned == tasks and set(found) <= {SAME, CLEAR_ERROR},
        f"{spawned} of {tasks} tasks of a spawned pool right; {found.total()} forks: "
        f"{ends or 'none, as there is no fork here'}",
    )


def prefetch(share: float = 1) -> Outcome:
    """24: errors arrive with their traceback, nothing hangs, and all threads end."""
    errors, abandoned = max(20, round(400 * share)), max(50, round(1000 * share))
    interrupts = max(2, round(20 * share)) if hasattr(signal, "pthread_kill") else 0
    faults = [_error_arrives(i % 7, i % 5 + 1, in_map=i % 2 == 1) for i in range(errors)]
    for start in range(abandoned):
        elements = iter(_endless().shuffle(10).batch(2).prefetch(1 + start % 3))
        if start % 4:  # the others are never started
            next(elements)
    del elements
    gone = _seconds_to_no_thread()
    faults.append(f"{_prefetch_threads()} threads after {SOON:g} s" if gone > SOON else "")
    faults += [_interrupt(started=i % 2 == 1) for i in range(interrupts)]
    counted = (
        f"{errors} errors, {abandoned:,} abandoned iterators (threads gone after {gone:.2f} s), "
        f"{interrupts} interrupts"
    )
    return outcome(counted, [fault for fault in faults if fault])


def _prefetch_threads() -> int:
    return sum(thread.name == "minicnn-prefetch" for thread in threading.enumerate())


def _seconds_to_no_thread() -> float:
    started = time.monotonic()
    while _prefetch_threads() and time.monotonic() - started < 2 * SOON:
        time.sleep(0.002)
    return time.monotonic() - started


def _endless() -> Dataset:
    return Dataset.from_generator(itertools.count)


def _error_arrives(position: int, ahead: int, in_map: bool) -> str:
    """What is wrong with an error raised at that position by the source, or by a map function."""

    def the_failing_part(element):
        if element == position:
            raise OSError("disk on fire")
        return element

    def failing():
        yield from map(the_failing_part, range(10))

    source = _endless().map(the_failing_part) if in_map else Dataset.from_generator(failing)
    received = []
    try:
        received.extend(source.prefetch(ahead))
    except OSError as error:
        names = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
        if not {"the_failing_part", "_error_arrives"} <= names:
            return f"an error at {position} came with the traceback {names}"
    else:
        return f"an error at {position} did not come"
    return "" if received == list(range(position)) else f"{received} before {position}"


def _interrupt(started: bool) -> str:
    """What is wrong when Ctrl-C is pressed while a consumer waits for an element."""
    wake_up = threading.Event()

    def source():
        if started:
            yield 0
        wake_up.wait(PATIENCE)

    elements = iter(Dataset.from_generator(source).prefetch(1))
    if started:
        next(elements)
    main, pressed = threading.get_ident(), []

    def press():
        pressed.append(time.monotonic())
        signal.pthread_kill(main, signal.SIGINT)

    timer = threading.Timer(0.05, press)
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
    timer.start()
    try:
        next(elements)
    except KeyboardInterrupt:
        late = time.monotonic() - pressed[0]
    except StopIteration:
        return "Ctrl-C had no effect"
    finally:
        timer.join()
        signal.signal(signal.SIGINT, usual)
        wake_up.set()
    gone = _seconds_to_no_thread()
    if late > SOON or gone > SOON:
        return f"after Ctrl-C it took {late:.1f} s, and {gone:.1f} s for the thread"
    return ""


def memory(share: float = 1) -> Outcome:
    """25: neither steps nor predictions make memory grow, or compile anything after the first."""
    steps, predictions = max(200, round(100_000 * share)), max(50, round(10_000 * share))
    tiny = Sequential([Input((4,)), Dense(3, "softmax")])
    tiny.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    images = new_model()
    x, y = np.random.default_rng(25).random((8, 4), "float32"), np.arange(8) % 3
    many = np.random.default_rng(25).random((100, *X.shape[1:]), "float32")

    def work(steps: int, predictions: int) -> None:
        for _ in range(steps):
            tiny.train_on_batch(x, y)
        for number in range(predictions):
            images.predict(many[: 1 + 37 * number % 100], 1 + 11 * number % 40, verbose=0)
        images.fit(X, Y, verbose=0)

    work(max(200, steps // 20), max(100, predictions // 20))
    compiled, before = _compiled_versions(), _resident()
    work(steps, predictions)
    growth, after = _resident() - before, _compiled_versions()
    return Outcome(
        growth < MOST_GROWTH and after == compiled,
        f"{steps:,} steps and {predictions:,} predictions of 1 to 100 images, growth "
        f"{growth / 2**20:.1f} MiB, compiled versions {compiled} before and {after} after",
    )


def _resident() -> int:
    """Bytes of memory in use; on systems without /proc, the maximum so far."""
    gc.collect()
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _compiled_versions() -> int:
    """Number of compiled versions of all kernels that have been loaded."""
    folder = Path(kernels.__file__).parent
    # By type(o): isinstance looks at the referent of a weak proxy, which may be gone.
    found = (o for o in gc.get_objects() if issubclass(type(o), CPUDispatcher))
    files = ((o, Path(o.py_func.__code__.co_filename)) for o in found)
    return sum(len(o.signatures) for o, file in files if folder in file.parents)
