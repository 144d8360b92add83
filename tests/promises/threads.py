"""Promises 21, 22, 24 and 25: threads, processes, prefetching and memory."""

import gc
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numba.core.registry import CPUDispatcher

import minicnn
from minicnn import Input, Sequential
from minicnn.data import Dataset
from minicnn.engine import kernels
from minicnn.layers import Dense
from tests.promises import Outcome
from tests.promises.small_network import X, Y, new_model

ROOT = Path(minicnn.__file__).parents[1]
PATIENCE = 10.0  # seconds without an answer that count as a hang
SOON = 1.0  # seconds within which a thread has to end
MOST_GROWTH = 5 * 2**20  # bytes


def predict_from_threads(share: float = 1) -> Outcome:
    """21: eight threads predict, also while another model trains, with the bits of one thread."""
    rng = np.random.default_rng(21)
    images = [rng.random((int(n), *X.shape[1:]), "float32") for n in rng.integers(1, 50, 8)]
    model, calls = new_model(), max(5, round(1000 * share))
    expected = [model.predict(x, verbose=0).tobytes() for x in images]
    wrong = 0

    def user(number: int) -> int:
        different = 0
        for turn in range(calls):
            which = (number + turn) % len(images)
            different += model.predict(images[which], verbose=0).tobytes() != expected[which]
        return different

    x, y = rng.random((40, *X.shape[1:]), "float32"), rng.integers(0, 3, 40)
    alone = new_model()  # what training gives without predictions beside it
    weights = _steps(alone, x, y, 10)
    for trains in (False, True):
        with ThreadPoolExecutor(9) as users:
            others = [users.submit(user, number) for number in range(8)]
            steps = 0
            while trains and (steps == 0 or not all(other.done() for other in others)):
                minicnn.set_random_seed(0)
                wrong += _steps(new_model(), x, y, 10) != weights
                steps += 10
            wrong += sum(other.result() for other in others)
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


# A program that forks after its threads have worked; its status says how the child ended.
FORKING = """
import os, signal, sys, threading, time
from tests.promises.threads import _predict_in_child, new_model
import minicnn
minicnn.set_num_threads(int(sys.argv[1]))
weights = new_model().get_weights()
expected = _predict_in_child(weights)
if sys.argv[3] == "busy":  # another thread is computing at the moment of the fork
    busy = threading.Thread(target=lambda: [_predict_in_child(weights) for _ in range(2000)])
    busy.daemon = True
    busy.start()
    time.sleep(float(sys.argv[4]))
child = os.fork()
if child == 0:
    status = 1
    try:
        status = 0 if _predict_in_child(weights) == expected else 2
    except Exception as error:
        print("error:", error, file=sys.stderr, flush=True)
        status = 3
    finally:
        os._exit(status)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.02)
os.kill(child, signal.SIGKILL)
sys.exit(4)
"""
ENDS = {0: "the same bits", 2: "other bits", 3: "a clear error", 4: "a hang"}  # by status


def processes(share: float = 1) -> Outcome:
    """22: a spawned pool works; a child forked after work on threads gives a result or an error."""
    weights = new_model().get_weights()
    expected = _predict_in_child(weights)
    tasks = max(4, round(40 * share))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.map_async(_predict_in_child, [weights] * tasks, 1).get(120)
    spawned = sum(result == expected for result in results)
    found: dict[str, int] = {}
    forks = max(2, round(20 * share))
    if hasattr(os, "fork"):
        for fork in range(forks):
            command = [sys.executable, "-W", "ignore", "-c", FORKING]
            command += [str(1 + fork % 4), str(PATIENCE), ("idle", "busy")[fork % 4 > 0]]
            command += [str(0.01 + 0.0037 * fork)]  # hung in one of eight before locks were reset
            done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False)
            end = ENDS.get(done.returncode, f"an end with status {done.returncode}")
            found[end] = found.get(end, 0) + 1
    fine = found.get(ENDS[0], 0) + found.get(ENDS[3], 0)
    ends = ", ".join(f"{count} with {end}" for end, count in found.items()) or "none: no fork here"
    return Outcome(
        spawned == tasks and fine == sum(found.values()),
        f"{spawned} of {tasks} tasks of a spawned pool right; {sum(found.values())} forks: {ends}",
    )


def prefetch(share: float = 1) -> Outcome:
    """24: errors arrive with their traceback, nothing hangs, and all threads end."""
    wrong = []
    errors = max(20, round(400 * share))
    for number in range(errors):
        fault = _error_arrives(number % 7, number % 5 + 1, in_map=number % 2 == 1)
        if fault:
            wrong.append(fault)
    abandoned = max(50, round(1000 * share))
    for start in range(abandoned):
        elements = iter(_endless().shuffle(10).batch(2).prefetch(1 + start % 3))
        if start % 4:  # the others are never started
            next(elements)
    del elements
    gone = _seconds_to_no_thread()
    if gone > SOON:
        wrong.append(f"{_prefetch_threads()} threads after {SOON:g} s")
    interrupts = max(2, round(20 * share)) if hasattr(signal, "pthread_kill") else 0
    for number in range(interrupts):
        fault = _interrupt(started=number % 2 == 1)
        if fault:
            wrong.append(fault)
    first = f", the first: {wrong[0]}" if wrong else ""
    return Outcome(
        not wrong,
        f"{errors} errors, {abandoned:,} abandoned iterators (threads gone after {gone:.2f} s), "
        f"{interrupts} interrupts: {len(wrong)} wrong{first}",
    )


def _prefetch_threads() -> int:
    return sum(thread.name == "minicnn-prefetch" for thread in threading.enumerate())


def _seconds_to_no_thread() -> float:
    started = time.monotonic()
    while _prefetch_threads() and time.monotonic() - started < 2 * SOON:
        time.sleep(0.002)
    return time.monotonic() - started


def _endless() -> Dataset:
    def numbers():
        number = 0
        while True:
            yield number
            number += 1

    return Dataset.from_generator(numbers)


def _error_arrives(position: int, ahead: int, in_map: bool) -> str | None:
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
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        if "the_failing_part" not in names or "_error_arrives" not in names:
            return f"an error at {position} came with the traceback {names}"
    else:
        return f"an error at {position} did not come"
    return None if received == list(range(position)) else f"{received} before {position}"


def _interrupt(started: bool) -> str | None:
    """What is wrong when Ctrl-C is pressed while a consumer waits for an element."""
    wake_up = threading.Event()

    def source():
        if started:
            yield 0
        wake_up.wait(PATIENCE)

    elements = iter(Dataset.from_generator(source).prefetch(1))
    if started:
        next(elements)
    main = threading.get_ident()
    signal_at = []

    def press():
        signal_at.append(time.monotonic())
        signal.pthread_kill(main, signal.SIGINT)

    timer = threading.Timer(0.05, press)
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
    timer.start()
    try:
        next(elements)
    except KeyboardInterrupt:
        late = time.monotonic() - signal_at[0]
    except StopIteration:
        return "Ctrl-C had no effect"
    finally:
        timer.join()
        signal.signal(signal.SIGINT, usual)
        wake_up.set()
    gone = _seconds_to_no_thread()
    if late > SOON or gone > SOON:
        return f"after Ctrl-C it took {late:.1f} s, and {gone:.1f} s for the thread"
    return None


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
    dispatchers = (o for o in gc.get_objects() if issubclass(type(o), CPUDispatcher))
    return sum(
        len(d.signatures)
        for d in dispatchers
        if folder in Path(d.py_func.__code__.co_filename).parents
    )
