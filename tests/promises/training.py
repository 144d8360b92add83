"""Promise 7: training the tutorial's network gives the losses and the accuracy of Keras."""

from typing import Any

import numpy as np

import minicnn
from minicnn.cli.verify import tutorial_lockstep
from minicnn.datasets import mnist
from minicnn.tutorial import scaled
from tests.promises import Outcome
from tests.promises.against_keras import import_keras
from tests.twins import SPARSE, tutorial_network

RELATIVE = 1e-3  # of the losses of 100 steps
SEEDS, IMAGES = 5, 20_000
POINTS = 0.003  # of accuracy, on average over the seeds


def training(share: float = 1) -> Outcome:
    """7: losses step by step from the same weights, and accuracy over some seeds."""
    keras = import_keras()
    (x, y), (x_test, y_test) = mnist.load_data()
    x, x_test = scaled(x), scaled(x_test)
    steps, seeds = max(10, round(share * 100)), max(1, round(share * SEEDS))
    minicnn.set_random_seed(0)
    ours, theirs = pair(keras, "sgd")
    expected = [keras_step(theirs, x[part], y[part]) for part in batches(64)[:steps]]
    n = 64 * steps
    history = ours.fit(x[:n], y[:n], batch_size=64, shuffle=False, verbose=0)
    sgd = np.abs(np.array(history.batches["loss"]) / expected - 1).max()
    adam = tutorial_lockstep("float64", steps).relative_losses.max()
    single = tutorial_lockstep("float32", steps).first_apart()
    images = max(640, round(share * IMAGES))
    accuracies = np.zeros((seeds, 2))
    for seed in range(seeds):
        minicnn.set_random_seed(seed)
        for column, model in enumerate(pair(keras, "adam")):
            model.fit(x[:images], y[:images], shuffle=False, verbose=0)
            accuracies[seed, column] = model.evaluate(x_test, y_test, verbose=0)[1]
    own, other = accuracies.mean(axis=0)
    apart = abs(own - other)
    figure = (
        f"losses of {steps} steps: SGD in float32 within {sgd:.1e}, Adam in float64 within "
        f"{adam:.1e}; Adam in float32 differs by {RELATIVE:g} "
        + (f"at step {single}" if single else "nowhere")
        + f" (rounding); accuracy after {images:,} images over {seeds} seeds: {own:.4f}, Keras "
        f"{other:.4f}, {100 * apart:.2f} points apart"
    )
    return Outcome(max(sgd, adam) <= RELATIVE and apart <= POINTS, figure)


def pair(keras: Any, optimizer: str) -> tuple[Any, Any]:
    """The tutorial's network in minicnn and in Keras, compiled, with the same weights."""
    ours = tutorial_network(minicnn, minicnn.layers)
    theirs = tutorial_network(keras, keras.layers)
    theirs.set_weights(ours.get_weights())
    for model in (ours, theirs):
        model.compile(optimizer, SPARSE, metrics=["accuracy"])
    return ours, theirs


def batches(size: int) -> list[slice]:
    """The slices of 100 batches."""
    return [slice(i, i + size) for i in range(0, 100 * size, size)]


def keras_step(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """The loss of one step; older versions of Keras add up metrics unless they are reset."""
    model.reset_metrics()
    return float(model.train_on_batch(x, y)[0])
