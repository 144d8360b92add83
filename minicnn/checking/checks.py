"""Types of checks: ways in which people test a network.

Each is a function that returns the first thing it notices, in words, or "". All of them look at the
core and at the engine.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

import minicnn
from minicnn import Input, Sequential, datasets
from minicnn.checking import cases, contract, golden, ledger
from minicnn.checking.case_types import Answer, LayerCase
from minicnn.gradcheck import check_gradients
from minicnn.layer import Layer
from minicnn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D, ReLU, Softmax
from minicnn.optimizers import Adam
from minicnn.tutorial import scaled

MEAN_TOLERANCE = 1e-3  # of the mean magnitude
TRAINING_IMAGES, TEST_IMAGES = 4000, 1000
SAMPLED = 50  # entries of each gradient of a network
ENOUGH = 0.85  # the right code reaches 0.91 to 0.92; a test must leave room for chance


def shapes_differ() -> str:
    """Only the shapes of outputs and gradients of layers, against Keras'."""
    for case, answers, theirs in _layers_answers():
        for ours in answers:
            if {key: a.shape for key, a in ours.items()} != {k: a.shape for k, a in theirs.items()}:
                return case.configuration
    return ""


def means_differ() -> str:
    """Only the mean of each output and gradient of layers, against Keras'."""
    for case, answers, theirs in _layers_answers():
        for ours, (name, expected) in itertools.product(answers, theirs.items()):
            allowed = MEAN_TOLERANCE * np.abs(expected).mean()
            if not abs(ours[name].mean() - expected.mean()) <= allowed:
                return f"{name}: {case.configuration}"
    return ""


def elements_differ() -> str:
    """Every element of every case, against Keras', except the steps of a network."""
    rows = [ledger.compare(case, theirs, *answers) for case, answers, theirs in _layers_answers()]
    others = _other_cases(lambda layer: layer != "lockstep")
    return _first_difference(itertools.chain(rows, others))


def steps_differ() -> str:
    """The loss after each of some steps of a small network, against Keras'."""
    return _first_difference(_other_cases(lambda layer: layer == "lockstep"))


_golden = functools.cache(golden.Golden)


@functools.cache
def _layers_answers() -> list[tuple[LayerCase, tuple[Answer, Answer], Answer]]:
    """Cases of single layers, with the engine's and the core's answers, and Keras'."""
    chosen = [case for case in cases.quick_cases() if isinstance(case, LayerCase)]
    core = {case.key: case.core() for case in {case.key: case for case in chosen}.values()}
    return [(case, (case.ours(), core[case.key]), _golden().answer(case)) for case in chosen]


def _other_cases(wanted: Callable[[str], bool]) -> Iterator[ledger.Row]:
    for case in cases.quick_cases():
        if not isinstance(case, LayerCase) and wanted(case.layer):
            yield ledger.compare(case, _golden().answer(case))


def _first_difference(rows: Iterable[ledger.Row]) -> str:
    return next((f"{row.layer}, {row.configuration}" for row in rows if not row.ok), "")


def gradients_differ() -> str:
    """Gradients of the core's layers, and of small networks, against central differences.

    The differences are the core's. So with the engine's gradients both are checked at once.
    """
    rng = np.random.default_rng(29)
    for layer, shape in _layers_to_differentiate():
        layer.build(shape, rng, "float64")
        # No two alike: every window has one maximum, which a small step does not change.
        x = (rng.permutation(5 * int(np.prod(shape))).reshape(5, *shape) + 0.5) / 50 - 5
        if not check_gradients(layer, x, rng=rng).ok:
            return repr(layer)
    minicnn.set_random_seed(29)
    for shape, layers, run_eagerly in _networks_to_differentiate():
        model = Sequential([Input(shape), *layers], dtype="float64")
        loss = "sparse_categorical_crossentropy"
        model.compile("adam", loss, run_eagerly=run_eagerly)
        images, labels = rng.standard_normal((20, *shape)), rng.integers(0, 3, 20)
        if not check_gradients(model, images, labels, rng=rng, sample=SAMPLED).ok:
            return repr(layers)
    return ""


def _layers_to_differentiate() -> list[tuple[Layer, tuple[int, ...]]]:
    """Layers, and shapes of their inputs: padding that is odd, strides that divide nothing."""
    return [
        (Conv2D(3, (3, 2), strides=(2, 3), padding="same"), (6, 8, 2)),
        (Conv2D(2, (2, 3), activation="relu"), (5, 6, 2)),
        (Conv2D(2, 5, padding="same"), (6, 9, 3)),
        (MaxPooling2D(2), (5, 6, 2)),
        (MaxPooling2D((3, 2), strides=(1, 2), padding="same"), (5, 6, 2)),
        (Dense(3, activation="relu"), (7,)),
        (Dense(4), (2, 3)),
        (Dropout(0.4), (3, 4)),
        (Flatten(), (2, 3, 2)),
        (ReLU(), (3, 4)),
        (Softmax(), (4,)),
    ]


def _networks_to_differentiate() -> list[tuple[tuple[int, ...], list[Layer], bool]]:
    """Shapes of inputs, layers, and whether the core runs them: all algorithms, fused and not."""
    small: dict[str, Any] = {"padding": "same", "activation": "relu"}
    return [
        (
            (6, 5, 1),
            [Conv2D(2, 3, **small), MaxPooling2D(2), Flatten(), Dense(3, activation="softmax")],
            run_eagerly,
        )
        for run_eagerly in (True, False)
    ] + [
        (
            (8, 7, 2),
            [
                Conv2D(2, 3, **small, algorithm="winograd"),
                Conv2D(3, 5, **small, algorithm="winograd"),
                Conv2D(3, (3, 2), strides=(1, 2), padding="same", algorithm="direct"),
                Conv2D(4, (3, 2), strides=(2, 1), algorithm="im2col"),
                ReLU(),
                MaxPooling2D((3, 2), strides=(1, 2), padding="same"),
                Flatten(),
                Dense(5, activation="relu"),
                Dropout(0.4),
                Dense(3, activation="softmax"),
            ],
            False,
        )
    ]


def accuracy_is_low() -> str:
    """Whether a small network that has seen some digits once tells new ones apart."""
    (x_train, y_train), (x_test, y_test) = datasets.mnist.load_data()
    for run_eagerly in (True, False):
        minicnn.set_random_seed(0)
        model = Sequential(
            [
                Input((28, 28, 1)),
                Conv2D(8, 5, strides=2, padding="same", activation="relu"),
                MaxPooling2D(2),
                Conv2D(16, 3, padding="same", activation="relu"),
                Flatten(),
                Dense(10, activation="softmax"),
            ]
        )
        loss = "sparse_categorical_crossentropy"
        model.compile(Adam(0.008), loss, metrics=["accuracy"], run_eagerly=run_eagerly)
        model.fit(scaled(x_train[:TRAINING_IMAGES]), y_train[:TRAINING_IMAGES], verbose=0)
        _, accuracy = model.evaluate(scaled(x_test[:TEST_IMAGES]), y_test[:TEST_IMAGES], verbose=0)
        if not accuracy >= ENOUGH:
            return f"accuracy: {accuracy:.3f}"
    return ""


CHECKS: dict[str, Callable[[], str]] = {
    "shape only": shapes_differ,
    "mean only": means_differ,
    "elementwise": elements_differ,
    "numerical": gradients_differ,
    "contract": contract.broken_promise,
    "lockstep": steps_differ,
    "accuracy": accuracy_is_low,
}
