"""Shards depend on the batch alone, so results do not depend on threads; BLAS is restored."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import threadpoolctl

import minicnn
from minicnn.engine import blas, interrupts
from minicnn.engine import threads as engine_threads
from minicnn.engine.threads import MOST_SHARDS, SMALLEST_SHARD, cut, run
from tests.promises.threads import memory, predict_from_threads, processes

HANGING = 10.0  # seconds after which a test gives up


def blas_threads():
    libraries = threadpoolctl.threadpool_info()
    return [library["num_threads"] for library in libraries if library["user_api"] == "blas"]


@pytest.fixture
def three_blas_threads():
    """BLAS at three threads, a number that nothing else sets, so that a test sees it restored."""
    blas.libraries()  # loads them
    with threadpoolctl.threadpool_limits(3, user_api="blas"):
        before = blas_threads()
        assert set(before) == {3}
        yield before


# cut


def test_shards_cover_a_batch_in_order():
    for images in (*range(1, 300), 1000, 1024, 9999, 60000):
        shards = cut(images)
        assert [i for shard in shards for i in range(images)[shard]] == list(range(images))
        *lengths, last = (shard.stop - shard.start for shard in shards)
        assert len(set(lengths)) <= 1  # all but the last are of one length
        assert 0 < last <= max(lengths, default=images)
        assert min(lengths, default=SMALLEST_SHARD) >= SMALLEST_SHARD
        assert len(shards) <= MOST_SHARDS


def test_an_empty_batch_has_no_shards():
    assert cut(0) == []
    assert run(lambda shard: shard, []) == []


def test_shards_do_not_depend_on_the_number_of_threads():
    cuts = []
    for threads in (1, 2, 3, 64):
        minicnn.set_num_threads(threads)
        cuts.append([cut(images) for images in range(300)])
    assert cuts[0] == cuts[1] == cuts[2] == cuts[3]


# run

TWO_SHARDS = cut(2 * SMALLEST_SHARD)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_shards(threads):
    minicnn.set_num_threads(threads)
    shards = cut(100)
    late = threading.Event()

    def function(shard):
        if threads > 1 and shard.start == 0:
            assert late.wait(HANGING)  # the first shard ends after the second
        if shard.start > 0:
            late.set()
        return shard.start

    assert run(function, shards) == [shard.start for shard in shards]


def test_shards_run_at_the_same_time():
    minicnn.set_num_threads(2)
    both = threading.Barrier(2)
    run(lambda shard: both.wait(HANGING), TWO_SHARDS)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_error_of_the_first_failing_shard_is_raised(threads):
    minicnn.set_num_threads(threads)

    def function(shard):
        if shard.start >= 32:
            raise RuntimeError(f"shard at {shard.start}")

    with pytest.raises(RuntimeError, match=r"^shard at 32$"):
        run(function, cut(128))
    assert run(lambda shard: shard.stop, TWO_SHARDS) == [8, 16]  # threads still work


def test_an_error_in_a_helper_thread_is_raised_and_the_thread_continues():
    minicnn.set_num_threads(2)
    both = threading.Barrier(2)

    def function(shard):
        both.wait(HANGING)  # each thread has one
        if threading.current_thread() is not threading.main_thread():
            raise SystemExit("a helper's")

    for _ in range(3):
        with pytest.raises(SystemExit, match="a helper's"):
            run(function, TWO_SHARDS)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_run_inside_a_run(monkeypatch, threads):
    monkeypatch.setattr(engine_threads, "_helpers", engine_threads._Helpers())  # no threads yet
    minicnn.set_num_threads(threads)
    outcome = []

    def inner(shard):
        return run(lambda part: part.start + shard.start, TWO_SHARDS)

    def outer():
        outcome.append(run(inner, TWO_SHARDS))

    user = threading.Thread(target=outer, daemon=True)
    user.start()
    user.join(HANGING)
    assert outcome == [[[0, 8], [8, 16]]]


@pytest.mark.parametrize(
    ("cause", "raised"),
    [(None, SystemError), (ValueError(), ValueError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_system_error_of_numba_is_replaced_by_its_cause(cause, raised):
    def kernel(cause):
        raise SystemError("returned a result with an exception set") from cause

    with pytest.raises(raised):
        run(kernel, [cause])


def test_runs_inside_the_users_own_threads():
    minicnn.set_num_threads(2)
    x = np.arange(1000.0)

    def users_work(k):
        return sum(sum(run(lambda s: (k * x[s]).sum(), cut(1000))) for _ in "abc")

    with ThreadPoolExecutor(8) as users:
        futures = [users.submit(users_work, k) for k in range(40)]
        sums = [future.result(HANGING) for future in futures]
    assert sums == [3 * k * x.sum() for k in range(40)]


def test_threads_may_change_while_others_work():
    x = np.arange(512)

    def users_work(k):
        minicnn.set_num_threads(1 + k % 4)
        return sum(run(lambda s: int(x[s].sum()), cut(512)))

    with ThreadPoolExecutor(4) as users:
        futures = [users.submit(users_work, k) for k in range(100)]
        assert {future.result(HANGING) for future in futures} == {int(x.sum())}


# BLAS


@pytest.mark.parametrize("threads", [1, 2])
def test_blas_has_one_thread_inside_and_its_own_number_afterwards(three_blas_threads, threads):
    minicnn.set_num_threads(threads)
    inside = run(lambda _: blas_threads(), cut(32))
    assert all(set(counts) == {1} for counts in inside)
    assert blas_threads() == three_blas_threads


@pytest.mark.parametrize("threads", [1, 2])
def test_the_threads_of_blas_are_restored_after_an_error(three_blas_threads, threads):
    minicnn.set_num_threads(threads)
    with pytest.raises(ZeroDivisionError):
        run(lambda _: 1 / 0, cut(32))
    assert blas_threads() == three_blas_threads


def test_the_threads_of_blas_are_restored_when_the_last_of_several_contexts_ends(
    three_blas_threads,
):
    entered = [threading.Event() for _ in range(3)]
    leave = [threading.Event() for _ in range(3)]

    def user(i):
        with blas.one_thread:
            entered[i].set()
            assert leave[i].wait(HANGING)
            if i == 1:
                raise ZeroDivisionError

    with ThreadPoolExecutor(3) as users:
        visits = []
        for i in range(3):
            visits.append(users.submit(user, i))
            assert entered[i].wait(HANGING)
        for i in (1, 0, 2):  # not in the order in which they entered
            assert set(blas_threads()) == {1}
            leave[i].set()
            assert (visits[i].exception(HANGING) is not None) == (i == 1)
        assert blas_threads() == three_blas_threads


def test_blas_may_be_limited_twice_by_one_thread(three_blas_threads):
    with blas.one_thread:
        with blas.one_thread:
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {1}
    assert blas_threads() == three_blas_threads


# set_num_threads


@pytest.mark.parametrize("wrong", [0, -1, 1.5, 2.0, "2", True, None])
def test_an_invalid_number_of_threads_is_refused(wrong):
    minicnn.set_num_threads(2)
    with pytest.raises((TypeError, ValueError), match="set_num_threads: threads must be"):
        minicnn.set_num_threads(wrong)
    assert minicnn.get_num_threads() == 2


def test_numpy_integers_are_numbers_of_threads():
    minicnn.set_num_threads(np.int64(3))
    assert minicnn.get_num_threads() == 3
    assert type(minicnn.get_num_threads()) is int


# Promises


@pytest.mark.parametrize("check", [predict_from_threads, memory], ids=lambda check: check.__name__)
def test_promises_21_and_25_are_kept(check):
    outcome = check(0.01)
    assert outcome.kept, outcome.figure


@pytest.mark.full
def test_promise_22_processes():
    outcome = processes(0.2)
    assert outcome.kept, outcome.figure


def test_a_deferred_interrupt_waits_for_the_end_of_a_run():
    done = []

    def function(part):
        signal.raise_signal(signal.SIGINT)
        done.append(part)

    with pytest.raises(KeyboardInterrupt), interrupts.Deferred():
        run(function, [1, 2])
    assert sorted(done) == [1, 2]
