"""A forked process draws numbers of its own, and hangs on no lock of the parent."""

import multiprocessing
import os
import threading

import pytest

import minicnn
from minicnn import session
from minicnn.engine import blas
from minicnn.engine.threads import run
from tests.twins import classifier

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def in_child(work):
    """What `work()` returns in a forked process, which may take ten seconds."""
    fork = multiprocessing.get_context("fork")
    answer, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=lambda: sender.send(work()))
    child.start()
    sender.close()
    try:
        return answer.recv() if answer.poll(10) else "hangs"
    finally:
        child.kill()
        child.join()


def weights():
    return classifier().get_weights()[0].tobytes()


def test_forked_workers_have_different_weights_as_the_seed_says():
    found = []
    for _ in range(2):
        minicnn.set_random_seed(5)
        session._forks = 0
        found.append([in_child(weights) for _ in range(3)])
        found[-1].append(weights())
    assert found[0] == found[1]
    assert len(set(found[0])) == 4
    minicnn.set_random_seed(5)
    assert weights() == found[0][-1]  # forks use up nothing of the parent's numbers


def test_a_seed_in_the_child_is_as_everywhere():
    minicnn.set_random_seed(7)
    expected = weights()

    def seeded():
        minicnn.set_random_seed(7)
        return weights()

    assert in_child(seeded) == expected


def test_locks_that_another_thread_holds_do_not_stop_the_child():
    """The generator's own lock, that of BLAS and that of the helper threads."""
    held, over = threading.Event(), threading.Event()
    generator = minicnn.session.random_stream()

    def hold():
        from minicnn.engine.threads import _helpers

        with generator.bit_generator.lock, blas.one_thread.lock, _helpers.lock:
            held.set()
            over.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    try:
        assert in_child(weights) not in ("hangs", b"")
        assert in_child(lambda: run(lambda part: part + 1, [1, 2, 3])) == [2, 3, 4]
    finally:
        over.set()
        thread.join()


def test_a_fork_inside_an_epoch_leaves_blas_as_it_was():
    def threads():
        return [library.get_num_threads() for library in blas.libraries()]

    def after():
        blas.one_thread.__exit__()
        with blas.one_thread:
            inside = threads()
        return inside, threads()

    before = threads()
    with blas.one_thread:
        assert in_child(after) == ([1] * len(before), before)
    assert threads() == before
