"""`Dataset.prefetch` prepares elements on a thread, changes nothing, and always ends."""

import gc
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.data import AUTOTUNE, Dataset
from minicnn.engine import prefetching
from tests.promises.threads import prefetch

SOON = 1.0  # seconds within which a thread has to end
HANGING = 10.0  # seconds after which a test fails


def threads():
    return sum(thread.name == "minicnn-prefetch" for thread in threading.enumerate())


def comes_true(condition, seconds=SOON):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def in_time(function):
    """`function()` on a thread, so that a deadlock makes only one test fail."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    thread.join(HANGING)
    assert not thread.is_alive(), "deadlock"
    assert results, "it raised"
    return results[0]


@pytest.fixture(autouse=True)
def no_thread_stays():
    assert threads() == 0
    yield
    assert comes_true(lambda: threads() == 0)


def infinite(read=None):
    def source():
        i = 0
        while True:
            if read is not None:
                read.append(i)
            yield i
            i += 1

    return Dataset.from_generator(source)


def fails_at(position, error=OSError):
    def the_failing_source():
        yield from range(position)
        raise error("disk on fire")

    return Dataset.from_generator(the_failing_source)


@pytest.mark.parametrize("buffer_size", [0, 1, 2, 7, 100, AUTOTUNE])
def test_content_and_order_do_not_change(buffer_size):
    x = np.arange(60.0).reshape(20, 3)
    plain = Dataset.from_tensor_slices((x, np.arange(20))).batch(3)
    for _ in range(2):
        pairs = in_time(lambda: list(zip(plain, plain.prefetch(buffer_size), strict=True)))
        for expected, actual in pairs:
            for a, b in zip(actual, expected, strict=True):
                np.testing.assert_array_equal(a, b, strict=True)


def test_an_empty_dataset():
    assert in_time(lambda: list(Dataset.from_generator(lambda: iter(())).prefetch(3))) == []


@pytest.mark.parametrize("buffer_size", [1, 2, 5])
def test_works_exactly_buffer_size_ahead(buffer_size):
    read = []
    ahead = iter(infinite(read).prefetch(buffer_size))
    assert read == []  # it starts with the first element that is asked for
    for taken in range(1, 5):
        next(ahead)
        assert comes_true(lambda taken=taken: len(read) == taken + buffer_size)
        time.sleep(0.02)  # no further while the consumer is busy
        assert len(read) == taken + buffer_size


def test_source_and_consumer_work_at_the_same_time():
    # The consumer of element i waits until the source prepares element i + 1.
    prepared = [threading.Event() for _ in range(10)]

    def source():
        for i in range(9):
            prepared[i].set()
            yield i
        prepared[9].set()

    for i in Dataset.from_generator(source).prefetch(1):
        assert prepared[i + 1].wait(HANGING)


@pytest.mark.parametrize("position", [0, 1, 5])
@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt, GeneratorExit])
def test_an_error_is_raised_in_its_place_with_its_traceback(position, error):
    def consume():
        received = []
        try:
            for element in fails_at(position, error).prefetch(2):
                received.append(element)
        except BaseException as caught:
            return received, caught
        return received, None

    received, caught = in_time(consume)
    assert received == list(range(position))
    assert type(caught) is error
    assert "disk on fire" in str(caught)
    functions = [frame.name for frame in traceback.extract_tb(caught.__traceback__)]
    assert "the_failing_source" in functions
    assert "consume" in functions


def test_an_error_at_the_start_of_a_pass_is_raised():
    def the_failing_start():
        raise OSError("no such disk")

    with pytest.raises(OSError, match="no such disk"):
        list(Dataset.from_generator(the_failing_start).prefetch(2))


def test_after_an_error_the_pass_is_over_and_a_new_one_can_start():
    recipe = fails_at(2).prefetch(1)
    for _ in range(2):
        elements = iter(recipe)
        assert [next(elements), next(elements)] == [0, 1]
        with pytest.raises(OSError, match="fire"):
            next(elements)
        with pytest.raises(StopIteration):
            next(elements)


@pytest.mark.parametrize("buffer_size", [1, 3, 50])
def test_a_consumer_that_stops_early_leaves_no_thread(buffer_size):
    for element in infinite().prefetch(buffer_size):
        assert threads() == 1
        if element == 3:
            break
    assert comes_true(lambda: threads() == 0)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_consumer_that_fails_leaves_no_thread(error):
    def consume():
        for element in infinite().batch(2).prefetch(2):
            if element[0] == 4:
                raise error

    with pytest.raises(error):
        consume()
    assert comes_true(lambda: threads() == 0)


def test_promise_24_errors_abandoned_passes_and_interrupts():
    outcome = prefetch(0.05)
    assert outcome.kept, outcome.figure


def test_a_pass_abandoned_in_a_reference_cycle_leaves_no_thread():
    class Holder:
        pass

    gc.disable()
    try:
        holder = Holder()
        holder.itself, holder.elements = holder, iter(infinite().prefetch(2))
        next(holder.elements)
        del holder
        assert threads() == 1
        gc.collect()
    finally:
        gc.enable()
    assert comes_true(lambda: threads() == 0)


def test_the_source_is_closed_when_the_consumer_stops():
    closed = threading.Event()

    def source():
        try:
            yield from range(1000)
        finally:
            closed.set()

    for _ in Dataset.from_generator(source).prefetch(2):
        break
    assert closed.wait(SOON)


def test_a_prefetch_of_a_prefetch():
    twice = infinite().prefetch(2).batch(3).prefetch(2)
    assert in_time(lambda: [batch.tolist() for batch in twice.take(2)]) == [[0, 1, 2], [3, 4, 5]]


def test_two_passes_at_the_same_time():
    recipe = Dataset.from_tensor_slices(np.arange(50)).prefetch(3)
    pairs = in_time(lambda: list(zip(recipe, recipe, strict=True)))
    assert pairs == [(i, i) for i in range(50)]


def test_slow_sources_and_slow_consumers_finish():
    def slow_source():
        for i in range(20):
            time.sleep(0.002 * (i % 3))
            yield i

    def consume():
        received = []
        for element in Dataset.from_generator(slow_source).prefetch(2):
            time.sleep(0.002 * (element % 4))
            received.append(element)
        return received

    assert in_time(consume) == list(range(20))


def test_a_consumer_that_stops_does_not_wait_for_a_source_that_hangs(monkeypatch):
    monkeypatch.setattr(prefetching, "PATIENCE", 0.05)
    hangs, wake_up = threading.Event(), threading.Event()

    def source():
        yield 0
        hangs.set()
        wake_up.wait(HANGING)

    elements = iter(Dataset.from_generator(source).prefetch(1))
    assert next(elements) == 0
    assert hangs.wait(HANGING)
    started = time.monotonic()
    elements.close()
    assert time.monotonic() - started < SOON
    wake_up.set()


def test_a_program_may_end_during_a_pass():
    program = (
        "from minicnn.data import Dataset\n"
        "elements = iter(Dataset.from_tensor_slices([1, 2, 3]).repeat().prefetch(2))\n"
        "print(next(elements))\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(minicnn.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "1\n", "")
