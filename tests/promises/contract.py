"""Promise 27: one battery of checks for all layers, optimizers and losses.

A new one gets a row here; rows and checks of layers are in `contract_layers.py`. A check takes a
row and returns what is wrong, in words, or "".
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn import layers, losses, optimizers
from minicnn.checking import ledger
from minicnn.checking.case_types import LossCase, OptimizerCase
from minicnn.gradcheck import check_gradients
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import SGD, Adam
from tests.promises import Outcome
from tests.promises.contract_layers import (
    CHECKS,
    LAYERS,
    SAMPLES,
    as_keras,
    equal,
    not_refused,
)

OPTIMIZERS: dict[str, tuple[type, dict[str, Any]]] = {
    "Adam": (Adam, {}),
    "SGD": (SGD, {}),
    "SGD nesterov": (SGD, {"momentum": 0.875, "nesterov": True}),
}
LOSSES = {
    "of probabilities": lambda: SparseCategoricalCrossentropy(),
    "of logits": lambda: SparseCategoricalCrossentropy(from_logits=True),
}


def without_row() -> list[str]:
    """Public classes without a row."""
    covered = {type(row.new()) for row in LAYERS.values()} | {row[0] for row in OPTIMIZERS.values()}
    covered |= {type(new()) for new in LOSSES.values()}
    public = [getattr(layers, name) for name in layers.__all__ if name not in ("Input", "Layer")]
    public += [*optimizers.OPTIMIZERS.values(), *losses.LOSSES.values()]
    return sorted({cls.__name__ for cls in public if cls not in covered})


# Optimizers.

Chosen = tuple[type, dict[str, Any]]


def _weights_and_gradients() -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(4)
    shapes = [(4, 3), (3,)]
    return [rng.standard_normal(s) for s in shapes], [rng.standard_normal(s) for s in shapes]


def first_step(row: Chosen) -> str:
    """Each weight moves against its gradient, in place; the gradients stay; steps are counted."""
    optimizer = row[0](**row[1])
    weights, gradients = _weights_and_gradients()
    before, given = [w.copy() for w in weights], [g.copy() for g in gradients]
    optimizer.apply(gradients, weights)
    if not all((np.sign(b - w) == np.sign(g)).all() for b, w, g in zip(before, weights, given)):  # noqa: B905
        return "a weight does not move against its gradient"
    if not equal(gradients, given):
        return "gradients have changed"
    kept = [array for arrays in optimizer.state.values() for array in arrays]
    if any(np.shares_memory(array, gradient) for array in kept for gradient in gradients):
        return "the state shares memory with the gradients"
    state = [[a.shape for a in arrays] for arrays in optimizer.state.values()]
    wanted = [[w.shape for w in weights]] * len(optimizer.slots)
    return "" if (optimizer.iterations, state) == (1, wanted) else "wrong state after one step"


def no_gradient_no_step(row: Chosen) -> str:
    """Gradients of zero at the first step change nothing."""
    optimizer = row[0](**row[1])
    weights, _ = _weights_and_gradients()
    before = [w.copy() for w in weights]
    optimizer.apply([np.zeros_like(w) for w in weights], weights)
    return "" if equal(weights, before) else "weights move without a gradient"


def finds_a_minimum(row: Chosen) -> str:
    """A thousand steps reach the minimum of (w - 3)^2."""
    optimizer, weight = row[0](**row[1] | {"learning_rate": 0.05}), np.zeros(2)
    for _ in range(1000):
        optimizer.apply([2 * (weight - 3)], [weight])
    return "" if np.allclose(weight, 3, atol=1e-3) else f"ends at {weight}"


def refused_steps(row: Chosen) -> str:
    """A step that cannot be taken changes nothing."""
    optimizer = row[0](**row[1])
    weights, gradients = _weights_and_gradients()
    optimizer.apply(gradients, weights)
    before = _everything(optimizer, weights)
    others = [w.copy() for w in weights]
    read_only = weights[0].copy()
    read_only.flags.writeable = False
    wrong: dict[str, Callable[[], Any]] = {
        "shape": lambda: optimizer.apply([gradients[0].T, gradients[1]], weights),
        "would broadcast": lambda: optimizer.apply([gradients[1], gradients[1]], weights),
        "number": lambda: optimizer.apply(gradients[:1], weights),
        "none": lambda: optimizer.apply([], weights),
        "one more": lambda: optimizer.apply([*gradients, *gradients], [*weights, *others]),
        "one twice": lambda: optimizer.apply([*gradients, *gradients], [*weights, *weights]),
        "text": lambda: optimizer.apply([g.astype(str) for g in gradients], weights),
        "complex": lambda: optimizer.apply([g * 1j for g in gradients], weights),
        "lists": lambda: optimizer.apply(gradients, [w.tolist() for w in weights]),
        "integers": lambda: optimizer.apply(gradients, [w.astype(int) for w in weights]),
        "read-only": lambda: optimizer.apply(gradients, [read_only, weights[1]]),
        "strided": lambda: optimizer.apply(gradients, [np.ones((3, 4)).T, weights[1]]),
        "float16": lambda: optimizer.apply(gradients, [w.astype("float16") for w in weights]),
        "other model": lambda: optimizer.apply(gradients, others),
    }
    for name, call in wrong.items():
        if complaint := not_refused(call, row[0].__name__):
            return f"{name}: {complaint}"
    same = equal(_everything(optimizer, weights), before)
    return "" if same else "a refused step has changed something"


def _everything(optimizer: optimizers.Optimizer, weights: list[np.ndarray]) -> list[np.ndarray]:
    """Copies of all that a step changes."""
    arrays = [*weights, *(array for slot in optimizer.state.values() for array in slot)]
    return [*(array.copy() for array in arrays), np.array(optimizer.iterations)]


def refused_arguments(row: Chosen) -> str:
    """Invalid arguments of the constructor raise an error that names the argument."""
    for name, argument in inspect.signature(row[0]).parameters.items():
        numbers = (-1, float("nan"), "0.1", None, [0.1], True)
        for value in numbers if not isinstance(argument.default, bool) else (1, "yes", None):
            if complaint := not_refused(lambda n=name, v=value: row[0](**{n: v}), name):
                return f"{name}={value!r}: {complaint}"
    return ""


def steps_of_keras(row: Chosen) -> str:
    """Fifty steps in double precision equal those of Keras."""
    case = OptimizerCase(row[0].__name__, row[1], "float64", steps=50)
    found = ledger.compare(case, case.theirs())
    return "" if found.ok else found.line()


# Losses.

LABELS = np.array([3, 0, 1, 1, 2])


def _predictions(loss: SparseCategoricalCrossentropy) -> np.ndarray:
    values = np.random.default_rng(6).standard_normal((SAMPLES, 4))
    if loss.from_logits:
        return values
    exponentials = np.exp(values)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def loss_by_differences(new: Callable[[], Any]) -> str:
    """The gradient equals central differences, and the mean loss that of the samples."""
    loss = new()

    class AsLayer:
        def forward(self, x):
            return loss.losses_and_gradient(LABELS, x)

        def backward(self, dy, cache):
            return cache * dy[:, None], {}

    predictions = _predictions(loss)
    report = check_gradients(AsLayer(), predictions, rng=np.random.default_rng(1))
    each, _ = loss.losses_and_gradient(LABELS, predictions)
    if each.dtype != np.float64 or not np.isclose(loss(LABELS, predictions), each.mean()):
        return "the mean is not that of the samples' losses"
    return "" if report.ok else str(report)


def samples_do_not_affect_each_others_losses(new: Callable[[], Any]) -> str:
    """Each sample of a batch has the loss and gradient that it has alone."""
    loss = new()
    predictions = _predictions(loss)
    before = predictions.copy()
    each, gradient = loss.losses_and_gradient(LABELS, predictions)
    for i in range(SAMPLES):
        alone = loss.losses_and_gradient(LABELS[i : i + 1], predictions[i : i + 1])
        if not equal(alone, (each[i : i + 1], gradient[i : i + 1])):
            return f"sample {i} has another loss alone"
    return "" if equal([predictions], [before]) else "predictions have changed"


def refused_labels(new: Callable[[], Any]) -> str:
    """Invalid labels and predictions raise an error that names the argument."""
    loss = new()
    predictions = _predictions(loss)
    wrong = [LABELS - 1, LABELS + 1, LABELS + 0.5, LABELS[1:], np.eye(5)[:, :4], LABELS * np.nan]
    wrong += [LABELS.astype(str), LABELS + 1j]
    for labels in wrong:
        if complaint := not_refused(lambda labels=labels: loss(labels, predictions), "y_true"):
            return f"{labels!r}: {complaint}"
    return not_refused(lambda: loss(LABELS, predictions[0]), "y_pred")


def loss_of_keras(new: Callable[[], Any]) -> str:
    """Loss and gradient in double precision equal those of Keras."""
    loss = new()
    case = LossCase(
        "battery", lambda: _predictions(loss), tuple(LABELS), "float64", loss.from_logits
    )
    found = ledger.compare(case, case.theirs())
    return "" if found.ok else found.line()


BATTERY: list[tuple[dict[str, Any], list[Callable[[Any], str]]]] = [
    (LAYERS, CHECKS),
    (
        OPTIMIZERS,
        [
            first_step,
            no_gradient_no_step,
            finds_a_minimum,
            refused_steps,
            refused_arguments,
            steps_of_keras,
        ],
    ),
    (
        LOSSES,
        [
            loss_by_differences,
            samples_do_not_affect_each_others_losses,
            refused_labels,
            loss_of_keras,
        ],
    ),
]
NEEDS_KERAS = (as_keras, steps_of_keras, loss_of_keras)


def cells() -> Iterator[tuple[str, Callable[[], str], bool]]:
    """Every check of every row: its name, the check to call, and whether it needs Keras."""
    for rows, checks in BATTERY:
        for name, row in rows.items():
            for check in checks:
                called = functools.partial(check, row)
                yield f"{name}: {check.__name__}", called, check in NEEDS_KERAS


def battery(share: float = 1) -> Outcome:
    """27: every check of every row. Small enough to be counted in full at any share."""
    wrong = [f"{name}: {words}" for name, check, _ in cells() if (words := check())]
    wrong += [f"{name} has no row" for name in without_row()]
    count = sum(1 for _ in cells())
    parts = f"{len(LAYERS)} layers, {len(OPTIMIZERS)} optimizers, {len(LOSSES)} losses"
    figure = f"{count} checks of {parts}: {len(wrong)} failed; " + "; ".join(wrong)[:300]
    return Outcome(not wrong, figure.removesuffix("; "))
