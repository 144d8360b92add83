"""Ctrl-C and time limits around calls of one shard: the user's exception, and nothing else."""

import random
import signal

import numpy as np
import pytest

import minicnn
from minicnn import layers
from minicnn.engine import interrupts
from tests.twins import SPARSE

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")


class TimeIsOverError(Exception):
    """What the user's handler raises."""


def raise_it(*_):
    raise TimeIsOverError


@pytest.fixture(scope="module")
def model():
    convolution = layers.Conv2D(16, 3, activation="relu")
    parts = [convolution, layers.MaxPooling2D(), layers.Flatten(), layers.Dense(3, "softmax")]
    made = minicnn.Sequential([minicnn.Input((12, 12, 1)), *parts])
    made.compile("adam", SPARSE)
    made.fit(X, Y, batch_size=8, verbose=0)  # compiles
    return made


X, Y = np.random.default_rng(0).random((16, 12, 12, 1)), np.arange(16) % 3
CALLS = {
    "fit": lambda model: model.fit(X, Y, batch_size=8, epochs=100, verbose=0),
    "train_on_batch": lambda model: [model.train_on_batch(X[:8], Y[:8]) for _ in range(300)],
    "evaluate": lambda model: [model.evaluate(X, Y, verbose=0) for _ in range(300)],
    "predict_on_batch": lambda model: [model.predict_on_batch(X[:8]) for _ in range(900)],
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("name", ["SIGALRM", "SIGINT"])
def test_the_users_exception_arrives_at_any_moment(model, call, name):
    """The timer's signal is SIGALRM; its handler raises, or sends SIGINT, whose handler raises."""
    handlers = {
        signal.SIGALRM: raise_it if name == "SIGALRM" else lambda *_: signal.raise_signal(2),
        signal.SIGINT: signal.default_int_handler,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    rng, expected = random.Random(1), TimeIsOverError if name == "SIGALRM" else KeyboardInterrupt
    try:
        for _ in range(6):
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.001, 0.01))
            with pytest.raises(expected):
                call(model)
            for number, handler in handlers.items():
                assert signal.getsignal(number) is handler
            assert interrupts._current is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_handler_that_raises_as_soon_as_it_is_back_leaves_the_others_back(monkeypatch):
    before = signal.signal(signal.SIGALRM, raise_it)
    put_back = signal.signal

    def signal_that_comes_at_once(number, handler):
        put_back(number, handler)
        if handler is raise_it:
            signal.raise_signal(number)

    try:
        deferred = interrupts.Deferred()
        deferred.__enter__()
        usual = dict(deferred.usual)
        assert {signal.SIGALRM, signal.SIGINT} <= set(usual)
        monkeypatch.setattr(signal, "signal", signal_that_comes_at_once)
        with pytest.raises(TimeIsOverError):
            deferred.__exit__()
        assert {number: signal.getsignal(number) for number in usual} == usual
    finally:
        put_back(signal.SIGALRM, before)


def test_handlers_that_callbacks_set_stay(model):
    """Of any of the signals, in any hook; also those of a nested `evaluate`."""
    number, before = signal.SIGUSR1, signal.getsignal(signal.SIGUSR1)

    def own(*_):
        pass

    class Sets(minicnn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.evaluate(X, Y, verbose=0)
            for each in (number, signal.SIGINT):
                signal.signal(each, own)
            self.model.evaluate(X, Y, verbose=0)

    ctrl_c = signal.getsignal(signal.SIGINT)
    try:
        model.fit(X, Y, verbose=0, callbacks=Sets())
        assert signal.getsignal(number) is own
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, ctrl_c)
        signal.signal(number, before)
