"""What a user's code may do between steps: training goes on as by the core, and nothing is lost."""

import numpy as np
import pytest

import minicnn
from minicnn import layers
from minicnn.callbacks import Callback
from minicnn.engine import blas
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import SGD
from tests.tolerances import assert_close
from tests.twins import SPARSE, bits

X, Y = np.random.default_rng(8).normal(size=(40, 6)), np.arange(40) % 3


def new_model(run_eagerly=False):
    minicnn.set_random_seed(6)
    parts = [layers.Dense(5, "relu"), layers.Dropout(0.3), layers.Dense(3, "softmax")]
    model = minicnn.Sequential([minicnn.Input((6,)), *parts])
    model.compile(SGD(0.1, momentum=0.5), SPARSE, metrics=["accuracy"], run_eagerly=run_eagerly)
    return model


def compiled_anew(model):
    model.compile(SGD(0.05), SPARSE, metrics=["accuracy"], run_eagerly=model.run_eagerly)


def trained_by_another(model):
    other = new_model(model.run_eagerly)
    other.fit(X, Y, batch_size=16, verbose=0)
    model.set_weights(other.get_weights())


ACTS = {
    "seed": lambda model: minicnn.set_random_seed(9),
    "draws": lambda model: minicnn.session.random_stream().random(3),
    "threads": lambda model: minicnn.set_num_threads(1 + minicnn.get_num_threads() % 3),
    "weights": lambda model: model.set_weights([w * 0.5 for w in model.get_weights()]),
    "in place": lambda model: model.layers[0].params["bias"].__iadd__(0.25),
    "learning rate": lambda model: setattr(model.optimizer, "learning_rate", 0.01),
    "compile": compiled_anew,
    "freezes": lambda model: setattr(model.layers[0], "trainable", False),
    "evaluates": lambda model: model.evaluate(X[:9], Y[:9], verbose=0),
    "predicts": lambda model: model.predict(X[:17], verbose=0),
    "trains another": trained_by_another,
    "summary": lambda model: model.summary(lambda line: None),
}


class Acts(Callback):
    """Acts after the second batch of the first epoch, and after the epoch."""

    def __init__(self, act):
        self.act = act

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            self.act(self.model)

    def on_epoch_end(self, epoch, logs=None):
        self.act(self.model)


def trained(act, run_eagerly):
    model = new_model(run_eagerly)
    minicnn.set_num_threads(2)
    history = model.fit(X, Y, batch_size=9, epochs=3, verbose=0, callbacks=Acts(act))
    return model, history


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_training_goes_on_as_by_the_core(act):
    (fast, history), (core, expected) = trained(act, False), trained(act, True)
    for found, wanted in zip(fast.get_weights(), core.get_weights(), strict=True):
        assert_close(found, wanted, "float32 steps")
    assert fast.optimizer.iterations == core.optimizer.iterations
    for name, values in expected.history.items():
        assert len(values) == 3
        assert_close(history.history[name], values, "float32 steps")


ENDS = [ValueError, KeyboardInterrupt, SystemExit, StopIteration]


@pytest.mark.parametrize("error", ENDS)
@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end", "on_epoch_end"])
def test_an_exception_leaves_everything_as_after_the_last_step(error, hook):
    class Fails(Callback):
        pass

    def fail(self, number, logs=None):
        if number == 1 or hook == "on_epoch_end":
            raise error("stop")

    setattr(Fails, hook, fail)
    before = [library.get_num_threads() for library in blas.libraries()]
    model = new_model()
    with pytest.raises(error, match="stop"):
        model.fit(X, Y, batch_size=9, verbose=0, callbacks=Fails())
    steps = {"on_train_batch_begin": 1, "on_train_batch_end": 2, "on_epoch_end": 5}[hook]
    assert model.optimizer.iterations == steps
    assert [library.get_num_threads() for library in blas.libraries()] == before
    weights = bits(model)
    model.evaluate(X, Y, verbose=0)
    assert bits(model) == weights
    model.fit(X, Y, batch_size=9, verbose=0)
    assert model.optimizer.iterations == steps + 5


def test_all_hooks_of_keras_are_called():
    called = []

    class Counts(Callback):
        def __getattribute__(self, name):
            if name.startswith("on_"):
                called.append(name)
            return super().__getattribute__(name)

    model, counts = new_model(), Counts()
    data = {"validation_data": (X[:3], Y[:3])}
    model.fit(X, Y, batch_size=20, verbose=0, callbacks=counts, **data)
    step = ["on_train_batch_begin", "on_batch_begin", "on_train_batch_end", "on_batch_end"]
    test = ["on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end"]
    start = ["on_train_begin", "on_epoch_begin"]
    assert called == [*start, *step, *step, *test, "on_epoch_end", "on_train_end"]
    called.clear()
    model.evaluate(X, Y, verbose=0, callbacks=counts, batch_size=40)
    model.predict(X, verbose=0, callbacks=counts, batch_size=40)
    assert called == [*test, *(name.replace("test", "predict") for name in test)]


class HalfLoss(SparseCategoricalCrossentropy):
    """A loss of the user's own, in double precision and by columns, as NumPy likes to give it."""

    samples_are_independent = True

    def losses_and_gradient(self, y_true, y_pred):
        losses, gradient = super().losses_and_gradient(y_true, y_pred)
        return losses / 2, np.asfortranarray(gradient.astype(np.float64) / 2)


@pytest.mark.parametrize("independent", [False, True])
def test_gradients_of_an_own_loss_may_have_any_dtype_and_layout(independent):
    results = []
    for eagerly in (False, True):
        model, loss = new_model(eagerly), HalfLoss()
        loss.samples_are_independent = independent
        model.compile(SGD(0.1), loss, run_eagerly=eagerly)
        model.fit(X, Y, batch_size=20, verbose=0)
        results.append(model.get_weights())
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected, "float32 steps")


def test_gradients_of_an_own_loss_have_the_shape_of_the_predictions():
    class Wrong(HalfLoss):
        def losses_and_gradient(self, y_true, y_pred):
            losses, gradient = super().losses_and_gradient(y_true, y_pred)
            return losses, gradient[:, :2]

    model = new_model()
    model.compile("sgd", Wrong())
    with pytest.raises(ValueError, match=r"Wrong: expected a gradient of the shape \(40, 3\)"):
        model.train_on_batch(X, Y)
