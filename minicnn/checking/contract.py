"""The contract of layers, losses and optimizers, checked on small networks.

Keras cannot check this: what the engine does with layers, losses and optimizers of the user's own,
and what both plans promise about `training`, `state`, `trainable` and random numbers.
"""

from typing import Any

import numpy as np

import minicnn
from minicnn import Input, Sequential
from minicnn.activations import Activation
from minicnn.checking.case_types import Numbers
from minicnn.layers import Conv2D, Dense, Dropout, Flatten, Layer, MaxPooling2D
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import Optimizer
from minicnn.step import forward

SAMPLES, CLASSES, STEPS, RATE = 40, 3, 3, 0.4
TOLERANCE = 1e-10  # float64; the engine sums in another order
TANH = Activation("relu", np.tanh, lambda dy, y: dy * (1 - y**2))  # its name must not matter


class _SameShape(Layer):
    def output_shape(self, input_shape):
        return input_shape


class Centred(_SameShape):
    """x without the mean of its batch, in training: needs the whole batch."""

    def forward(self, x, training=False):
        return x - training * x.mean(axis=0), None

    def backward(self, dy, cache):
        return dy - dy.mean(axis=0), {}


class Watched(_SameShape):
    """x, with the mean of the latest batch and the number of steps as state."""

    samples_are_independent = True  # but the state is not: it needs the whole batch

    def new_state(self, input_shape, dtype):
        return {"mean": np.zeros(input_shape, dtype), "steps": np.zeros(1, dtype)}

    def forward(self, x):
        return x, x.mean(axis=0)

    def backward(self, dy, cache):
        return dy, {}

    def next_state(self, cache):
        return {"mean": cache, "steps": self.state["steps"] + 1}


class Noisy(_SameShape):
    """x times random numbers, in training: they are those of the whole batch."""

    samples_are_independent = True

    def forward(self, x, rng):
        noise = np.ones(x.shape) if rng is None else rng.random(x.shape)
        return x * noise, noise

    def backward(self, dy, cache):
        return dy * cache, {}


class HalvedPooling(MaxPooling2D):
    """A subclass that computes something else than its base class."""

    def forward(self, x):
        y, cache = super().forward(x)
        return y / 2, cache

    def backward(self, dy, cache):
        return super().backward(dy / 2, cache)


class SpreadLoss(SparseCategoricalCrossentropy):
    """Cross-entropy, plus the squares of the batch's mean predictions."""

    def losses_and_gradient(self, y_true, y_pred):
        losses, gradient = super().losses_and_gradient(y_true, y_pred)
        mean = y_pred.mean(axis=0)
        return losses + (mean**2).sum(), gradient + 2 * mean


class ColumnSGD(Optimizer):
    """SGD with momentum, of gradients whose columns are divided by their norms."""

    slots = ("velocity",)

    def update(self, gradient, weight, velocity):
        velocity *= 0.5
        velocity += gradient / (1 + np.sqrt((gradient**2).sum(axis=0)))
        weight -= self.learning_rate * velocity


def broken_promise() -> str:
    """The first promise that is not kept, in words, or ""."""
    core, engine = _results_of_training(run_eagerly=True), _results_of_training(run_eagerly=False)
    promises = {
        "the engine computes what the core computes": _equal(core, engine),
        "frozen weights do not change": not core["change of frozen weights"],
        "state is updated once a step": core["steps counted"] == STEPS,
        "a loss of the user's own is computed as written": core["loss"] == core["expected loss"],
        **_promises_about_the_core(),
    }
    return next((words for words, is_kept in promises.items() if not is_kept), "")


def _results_of_training(run_eagerly: bool) -> dict[str, Any]:
    """What a network of all these reports and learns in some steps, the last two partly frozen."""
    minicnn.set_random_seed(31)
    frozen, watched = Dense(6, activation="relu"), Watched()
    model = Sequential(
        [
            Input((6, 5, 1)),
            Conv2D(4, 3, padding="same", activation="relu"),
            HalvedPooling(2),
            watched,
            Flatten(),
            Dropout(RATE),
            frozen,
            Centred(),
            Noisy(),
            Dense(5, activation=TANH),
            Dense(CLASSES, activation="softmax"),
        ],
        dtype="float64",
    )
    loss, numbers = SpreadLoss(), Numbers(37)
    x, y = numbers.real((SAMPLES, 6, 5, 1)), numbers.labels(SAMPLES, CLASSES)
    model.compile(ColumnSGD(0.1), loss, run_eagerly=run_eagerly)
    losses = [model.train_on_batch(x, y)]
    frozen.trainable, before = False, frozen.get_weights()
    losses += [model.train_on_batch(x, y) for _ in range(STEPS - 1)]
    pairs = zip(frozen.get_weights(), before, strict=True)
    predictions = model.predict(x, SAMPLES, verbose=0)
    return {
        "losses": losses,
        "change of frozen weights": sum(np.abs(now - old).sum() for now, old in pairs),
        "steps counted": watched.state["steps"].item(),
        "predictions": predictions,
        "loss": model.evaluate(x, y, SAMPLES, verbose=0),
        "expected loss": loss.losses_and_gradient(y, predictions)[0].mean(),
        **{f"weight {i}": weight for i, weight in enumerate(model.get_weights())},
    }


def _equal(core: dict[str, Any], engine: dict[str, Any]) -> bool:
    return all(np.allclose(engine[name], core[name], 0, TOLERANCE) for name in core)


def _promises_about_the_core() -> dict[str, bool]:
    """Of Dropout, and of layers that are told whether this is a step of training.

    The engine keeps them as well: above, it computes what the core computes.
    """
    layer, centred = Dropout(RATE), Centred()
    for each in (layer, centred):
        each.build((50,), np.random.default_rng(0), "float64")
    x = Numbers(41).real((SAMPLES, 50)) + 3  # no zeros
    (y, cache), (second, _) = (_training_pass(layer, x, step) for step in (1, 2))
    dropped = y == 0
    centre, _ = _training_pass(centred, x, 1)
    return {
        "Dropout drops a share of `rate`": abs(dropped.mean() - RATE) < 0.05,
        "Dropout divides the others by 1 - rate": np.allclose(
            y[~dropped] * (1 - RATE), x[~dropped]
        ),
        "Dropout keeps its mask for the backward pass": (layer.backward(x, cache)[0] == y).all(),
        "Dropout draws other numbers in each step": (dropped != (second == 0)).any(),
        "training=True in training": np.allclose(centre, x - x.mean(axis=0)),
        "training=False elsewhere": (forward([layer, centred], x)[0][-1] == x).all(),
    }


def _training_pass(layer: Layer, x: np.ndarray, step: int) -> tuple[np.ndarray, Any]:
    (_, y), (cache,) = forward([layer], x, training=True, seed=(43, step))
    return y, cache
