"""Shards depend on the batch alone, so results do not depend on threads; BLAS gets its own back."""

import hashlib
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import threadpoolctl

import minicnn
from benchmarks.promises.threads import memory, predict_from_threads, processes
from minicnn import Sequential, layers, parallel

HANGING = 10.0  # seconds after which a test gives up


def blas_threads():
    libraries = threadpoolctl.threadpool_info()
    return [library["num_threads"] for library in libraries if library["user_api"] == "blas"]


@pytest.fixture
def three_blas_threads():
    """BLAS at three threads, which nothing sets by itself: so a test sees what restores them."""
    parallel._blas_libraries()  # loaded before they are counted
    with threadpoolctl.threadpool_limits(3, user_api="blas"):
        before = blas_threads()
        assert set(before) == {3}
        yield before


# cut


def test_shards_cover_a_batch_in_order():
    for images in (*range(1, 300), 1000, 1024, 9999, 60000):
        shards = parallel.cut(images)
        assert [i for shard in shards for i in range(images)[shard]] == list(range(images))
        *lengths, last = (shard.stop - shard.start for shard in shards)
        assert len(set(lengths)) <= 1  # all but the last are of one length
        assert 0 < last <= max(lengths, default=images)
        assert min(lengths, default=parallel.SMALLEST_SHARD) >= parallel.SMALLEST_SHARD
        assert len(shards) <= parallel.MOST_SHARDS


def test_a_batch_of_nothing_has_no_shards():
    assert parallel.cut(0) == []
    assert parallel.run(lambda shard: shard, []) == []


def test_shards_do_not_depend_on_the_number_of_threads():
    cuts = []
    for threads in (1, 2, 3, 64):
        minicnn.set_num_threads(threads)
        cuts.append([parallel.cut(images) for images in range(300)])
    assert cuts[0] == cuts[1] == cuts[2] == cuts[3]


# run

TWO_SHARDS = parallel.cut(32)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_shards(threads):
    minicnn.set_num_threads(threads)
    shards = parallel.cut(100)
    late = threading.Event()

    def function(shard):
        if threads > 1 and shard.start == 0:
            assert late.wait(HANGING)  # the first shard ends after the second
        if shard.start > 0:
            late.set()
        return shard.start

    assert parallel.run(function, shards) == [shard.start for shard in shards]


def test_shards_run_at_the_same_time():
    minicnn.set_num_threads(2)
    both = threading.Barrier(2)
    parallel.run(lambda shard: both.wait(HANGING), TWO_SHARDS)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_error_of_the_first_failing_shard_is_raised(threads):
    minicnn.set_num_threads(threads)

    def function(shard):
        if shard.start >= 32:
            raise RuntimeError(f"shard at {shard.start}")

    with pytest.raises(RuntimeError, match=r"^shard at 32$"):
        parallel.run(function, parallel.cut(128))
    assert parallel.run(lambda shard: shard.stop, TWO_SHARDS) == [16, 32]  # and life goes on


def test_whatever_a_helping_thread_raises_comes_out_and_the_thread_lives_on():
    minicnn.set_num_threads(2)
    both = threading.Barrier(2)

    def function(shard):
        both.wait(HANGING)  # each thread has one
        if threading.current_thread() is not threading.main_thread():
            raise SystemExit("a helper's")

    for _ in range(3):
        with pytest.raises(SystemExit, match="a helper's"):
            parallel.run(function, TWO_SHARDS)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_run_inside_a_run(monkeypatch, threads):
    monkeypatch.setattr(parallel, "_helpers", parallel._Helpers())  # others had more threads
    minicnn.set_num_threads(threads)
    outcome = []

    def inner(shard):
        return parallel.run(lambda part: part.start + shard.start, TWO_SHARDS)

    def outer():
        outcome.append(parallel.run(inner, TWO_SHARDS))

    user = threading.Thread(target=outer, daemon=True)
    user.start()
    user.join(HANGING)
    assert outcome == [[[0, 16], [16, 32]]]


def test_an_interrupt_behind_a_kernel_comes_out_as_one():
    def kernel(error):
        raise SystemError("returned a result with an exception set") from error

    with pytest.raises(KeyboardInterrupt):
        parallel.run(kernel, [KeyboardInterrupt()])
    for error in (None, ValueError()):
        with pytest.raises(SystemError):
            parallel.run(kernel, [error])


def test_runs_inside_the_users_own_threads():
    minicnn.set_num_threads(2)
    x = np.arange(1000.0)

    def users_work(k):
        return sum(sum(parallel.run(lambda s: (k * x[s]).sum(), parallel.cut(1000))) for _ in "abc")

    with ThreadPoolExecutor(8) as users:
        futures = [users.submit(users_work, k) for k in range(40)]
        sums = [future.result(HANGING) for future in futures]
    assert sums == [3 * k * x.sum() for k in range(40)]


def test_threads_may_change_while_others_work():
    x = np.arange(512)

    def users_work(k):
        minicnn.set_num_threads(1 + k % 4)
        return sum(parallel.run(lambda s: int(x[s].sum()), parallel.cut(512)))

    with ThreadPoolExecutor(4) as users:
        futures = [users.submit(users_work, k) for k in range(100)]
        assert {future.result(HANGING) for future in futures} == {int(x.sum())}


# BLAS


@pytest.mark.parametrize("threads", [1, 2])
def test_blas_has_one_thread_inside_and_its_own_number_afterwards(three_blas_threads, threads):
    minicnn.set_num_threads(threads)
    inside = parallel.run(lambda _: blas_threads(), parallel.cut(32))
    assert all(set(counts) == {1} for counts in inside)
    assert blas_threads() == three_blas_threads


@pytest.mark.parametrize("threads", [1, 2])
def test_blas_gets_its_threads_back_after_an_error(three_blas_threads, threads):
    minicnn.set_num_threads(threads)
    with pytest.raises(ZeroDivisionError):
        parallel.run(lambda _: 1 / 0, parallel.cut(32))
    assert blas_threads() == three_blas_threads


def test_blas_gets_its_threads_back_when_the_last_of_several_leaves(three_blas_threads):
    entered = [threading.Event() for _ in range(3)]
    leave = [threading.Event() for _ in range(3)]

    def user(i):
        with parallel.blas_on_one_thread():
            entered[i].set()
            assert leave[i].wait(HANGING)
            if i == 1:
                raise ZeroDivisionError

    with ThreadPoolExecutor(3) as users:
        visits = []
        for i in range(3):
            visits.append(users.submit(user, i))
            assert entered[i].wait(HANGING)
        for i in (1, 0, 2):  # not in the order in which they came
            assert set(blas_threads()) == {1}
            leave[i].set()
            assert (visits[i].exception(HANGING) is not None) == (i == 1)
        assert blas_threads() == three_blas_threads


def test_blas_may_be_held_back_twice_by_one_thread(three_blas_threads):
    with parallel.blas_on_one_thread():
        with parallel.blas_on_one_thread():
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {1}
    assert blas_threads() == three_blas_threads


# set_num_threads


@pytest.mark.parametrize("wrong", [0, -1, 1.5, 2.0, "2", True, None])
def test_a_number_of_threads_that_cannot_be_is_refused(wrong):
    minicnn.set_num_threads(2)
    with pytest.raises((TypeError, ValueError), match="set_num_threads: threads must be"):
        minicnn.set_num_threads(wrong)
    assert minicnn.get_num_threads() == 2


def test_numpy_integers_are_numbers_of_threads():
    minicnn.set_num_threads(np.int64(3))
    assert minicnn.get_num_threads() == 3
    assert type(minicnn.get_num_threads()) is int


# the promise behind all this


def trained_bits(threads):
    """SHA-256 of a small model's weights and predictions after nine steps."""
    minicnn.set_num_threads(threads)
    minicnn.clear_session()
    minicnn.set_random_seed(3)
    rng = np.random.default_rng(3)
    x = rng.random((100, 7, 6, 2), dtype=np.float32)
    y = rng.integers(4, size=100)
    model = Sequential(
        [
            minicnn.Input((7, 6, 2)),
            layers.Conv2D(5, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=37, epochs=3, verbose=0)
    bits = hashlib.sha256()
    for array in (*model.get_weights(), model.predict(x, verbose=0)):
        bits.update(array.tobytes())
    return bits.hexdigest()


def test_the_same_bits_for_any_number_of_threads():
    once = trained_bits(1)
    assert [trained_bits(threads) for threads in (1, 2, 3)] == [once] * 3


@pytest.mark.parametrize("check", [predict_from_threads, memory], ids=lambda check: check.__name__)
def test_promises_21_and_25_are_kept(check):
    outcome = check(0.01)
    assert outcome.kept, outcome.figure


@pytest.mark.full
def test_promise_22_processes():
    outcome = processes(0.2)
    assert outcome.kept, outcome.figure


def test_an_interrupt_waits_for_the_part_under_way():
    """In a kernel it would come out as a SystemError: see `parallel.run`."""
    minicnn.set_num_threads(1)
    done = []

    def function(part):
        signal.raise_signal(signal.SIGINT)
        done.append(part)

    with pytest.raises(KeyboardInterrupt):
        parallel.run(function, [1, 2])
    assert done == [1]
