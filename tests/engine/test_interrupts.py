"""Promise 19: Ctrl-C during training takes effect between two steps, and nothing is left over."""

import gc
import inspect
import signal
import sys
import threading
import time

import numpy as np
import pytest
from numba.core import event

import minicnn
from minicnn import Input, Sequential, layers
from minicnn.callbacks import Callback
from minicnn.data import Dataset
from minicnn.engine import Plan, blas, interrupts
from minicnn.engine.threads import run
from minicnn.optimizers import SGD
from tests.promises import interruptions
from tests.twins import SPARSE

X = np.random.default_rng(5).normal(size=(50, 6, 5, 2))
Y = np.arange(50) % 3


def new_model(optimizer="adam"):
    minicnn.set_random_seed(1)
    model = Sequential(
        [
            Input((6, 5, 2)),
            layers.Conv2D(3, [3, 2], padding="same", activation="relu", strides=(2, 1)),
            layers.MaxPooling2D(2, padding="same"),
            layers.Flatten(),
            layers.Dense(3, "softmax"),
        ]
    )
    model.compile(optimizer, SPARSE, metrics=["accuracy"])
    return model


def bits(model):
    arrays = [*model.get_weights(), *(a for slot in model.optimizer.state.values() for a in slot)]
    return [array.tobytes() for array in arrays]


class CtrlCInside(SGD):
    """Presses Ctrl-C when a part of the weights has been updated."""

    def update(self, gradient, weight, velocity):
        super().update(gradient, weight, velocity)
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def ctrl_c():
    """Ctrl-C as in a terminal; in a background job it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("threads", [1, 3])
def test_promise_19_an_interrupt_in_an_update_waits_for_the_end_of_the_step(ctrl_c, threads):
    minicnn.set_num_threads(threads)
    model = new_model(CtrlCInside(0.1, momentum=0.9))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, verbose=0)
    assert model.optimizer.iterations == 1
    twin = new_model(SGD(0.1, momentum=0.9))
    twin.fit(X, Y, steps_per_epoch=1, verbose=0)
    assert bits(model) == bits(twin)
    assert blas.one_thread.inside == 0
    assert model.stop_training is False


def test_an_interrupt_while_compiling_says_that_it_has_to_wait(ctrl_c, capsys):
    class CtrlCWhileCompiling(CtrlCInside):
        def update(self, gradient, weight, velocity):
            with event.trigger_event("numba:compile"):
                super().update(gradient, weight, velocity)

    with pytest.raises(KeyboardInterrupt):
        new_model(CtrlCWhileCompiling(0.1)).fit(X, Y, verbose=0)
    assert interrupts.WAIT in capsys.readouterr().err
    with pytest.raises(KeyboardInterrupt):
        new_model(CtrlCInside(0.1)).fit(X, Y, verbose=0)
    assert capsys.readouterr().err == ""


class Looks(layers.Layer):
    """Notes whether signals wait, and how often BLAS is held to one thread."""

    samples_are_independent = True

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append((interrupts._current is not None, blas.one_thread.inside))
        return x, None


@pytest.mark.parametrize(("samples", "expected"), [(16, (False, 0)), (17, (True, 2))])
def test_promise_19_signals_wait_in_predict_on_batch_where_there_are_shards(
    ctrl_c, samples, expected
):
    """A single shard does without, since it takes time."""
    looks = Looks()
    model = Sequential([Input((5,)), looks, layers.Dense(2)])
    model.predict_on_batch(np.zeros((samples, 5)))
    assert set(looks.seen) == {expected}
    assert blas.one_thread.inside == 0


def test_promise_19_an_interrupt_in_a_callback_acts_at_once(ctrl_c):
    class Interrupting(Callback):
        def on_train_batch_end(self, batch, logs=None):
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("there was no interrupt")

    threads = threading.active_count()
    minicnn.set_num_threads(1)
    dataset = Dataset.from_tensor_slices((X, Y)).repeat().batch(8).prefetch(2)
    with pytest.raises(KeyboardInterrupt):
        new_model().fit(dataset, steps_per_epoch=5, verbose=0, callbacks=Interrupting())
    assert threading.active_count() == threads


def each_call_interrupted(block):
    """Run `block()` repeatedly, each time with Ctrl-C at the start of the next of its calls."""

    def call(frame, event, _argument):
        nonlocal left
        code = frame.f_code
        # Python ignores exceptions in callbacks of weak references.
        lost = code.co_flags & inspect.CO_GENERATOR or "_weakrefset" in code.co_filename
        if event == "call" and not lost:
            left -= 1
            if left == 0:
                signal.raise_signal(signal.SIGINT)

    for number in range(2, 10_000):  # the first call is that of `block` itself
        left, tracer = number, sys.gettrace()
        gc.disable()  # it may call anything at any time, and Python ignores exceptions there, too
        try:
            sys.settrace(call)
            block()
        except KeyboardInterrupt:
            pass
        except RuntimeError as error:  # from Python's Thread.start, if it was waiting
            assert "release unlocked lock" in str(error)  # noqa: PT017
        finally:
            sys.settrace(tracer)
            gc.enable()
        yield
        if left > 0:  # there was no such call any more
            assert number > 10
            return
    raise AssertionError("too many calls")


def test_promise_19_blas_and_handlers_are_restored_whichever_call_is_interrupted(ctrl_c):
    libraries = blas.libraries()
    before = [library.num_threads for library in libraries]

    plan = Plan(new_model().layers)

    def block():
        with plan:
            pass

    for _ in each_call_interrupted(block):
        assert blas.one_thread.inside == 0
        assert interrupts._current is None
        assert [library.num_threads for library in libraries] == before
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_promise_19_threads_continue_whichever_call_is_interrupted(ctrl_c):
    minicnn.set_num_threads(2)

    def block():
        with interrupts.Deferred():
            return run(lambda part: part, [1, 2])

    for _ in each_call_interrupted(block):
        assert block() == [1, 2]
        assert blas.one_thread.inside == 0


def test_promise_19_a_prefetching_thread_ends_whichever_call_is_interrupted(ctrl_c):
    threads = threading.active_count()
    dataset = Dataset.from_tensor_slices(np.arange(3)).prefetch(1)

    def consume():
        elements = iter(dataset)
        assert [next(elements), next(elements)] == [0, 1]
        elements.close()

    for _ in each_call_interrupted(consume):
        deadline = time.monotonic() + 2
        while threading.active_count() > threads and time.monotonic() < deadline:
            time.sleep(0.001)
        assert threading.active_count() == threads


def test_promise_19_a_fit_in_another_thread_sets_no_handler(ctrl_c):
    model = new_model(SGD(0.1))
    thread = threading.Thread(target=lambda: model.fit(X, Y, verbose=0))
    thread.start()
    thread.join()
    assert model.optimizer.iterations == 2


def test_promise_19_another_handler_waits_for_the_end_of_the_step(ctrl_c):
    seen = []
    signal.signal(signal.SIGINT, lambda *_: seen.append(model.optimizer.iterations))
    model = new_model(CtrlCInside(0.1))
    model.fit(X, Y, verbose=0)
    assert seen == [1, 2]
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are different there")
@pytest.mark.parametrize("share", [0.02, pytest.param(1, marks=pytest.mark.full)])
def test_promise_19_at_random_moments_in_a_new_process(share):
    outcome = interruptions.interrupted_fits(share)
    assert outcome.kept, outcome.figure
