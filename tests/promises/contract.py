"""Promise 27: one battery of checks for all layers, optimizers and losses.

A new one gets a row here; rows and checks of layers are in `contract_layers.py`. A check takes a
row, and raises an AssertionError that says what is wrong.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.special import softmax

from minicnn import keras, layers, losses, optimizers
from minicnn.checking import ledger
from minicnn.checking.case_types import LossCase, OptimizerCase
from minicnn.checking.further_cases import FurtherLossCase, RoundedOptimizerCase
from minicnn.gradcheck import check_gradients
from minicnn.losses import CategoricalCrossentropy, SparseCategoricalCrossentropy
from minicnn.optimizers import SGD, Adam
from tests.promises import Outcome, outcome
from tests.promises.contract_layers import CHECKS, LAYERS, SAMPLES, as_keras, equal, refuses

OPTIMIZERS: dict[str, Callable[..., optimizers.Optimizer]] = {
    "Adam": Adam,
    "SGD": SGD,
    "SGD nesterov": functools.partial(SGD, momentum=0.875, nesterov=True),
    "RMSprop": keras.optimizers.RMSprop,
    "Nadam": keras.optimizers.Nadam,
    "Adadelta": keras.optimizers.Adadelta,
}
ROUNDED = (keras.optimizers.Nadam, keras.optimizers.Adadelta)  # by Keras, to single precision
# Their steps do not become smaller near a minimum, or are too small to get there.
NEVER_REST = (keras.optimizers.RMSprop, keras.optimizers.Adadelta)
LOSSES = {
    "of probabilities": SparseCategoricalCrossentropy,
    "of logits": functools.partial(SparseCategoricalCrossentropy, from_logits=True),
    "one-hot rows": CategoricalCrossentropy,
    "one-hot rows of logits": functools.partial(CategoricalCrossentropy, from_logits=True),
    "squared error": keras.losses.MeanSquaredError,
}


def without_row() -> list[str]:
    """Public classes without a row."""
    news = [row.new for row in LAYERS.values()] + [*OPTIMIZERS.values(), *LOSSES.values()]
    covered = {type(new()) for new in news}
    public = [getattr(layers, name) for name in layers.__all__ if name not in ("Input", "Layer")]
    public += [*optimizers.OPTIMIZERS.values(), *losses.LOSSES.values()]
    public += [cls for cls in keras.layers.FURTHER if not cls.__name__.startswith("Random")]
    return sorted({cls.__name__ for cls in public if cls not in covered})


# Optimizers.

New = Callable[..., optimizers.Optimizer]


def _weights_and_gradients() -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(4)
    shapes = [(4, 3), (3,)]
    return [rng.standard_normal(s) for s in shapes], [rng.standard_normal(s) for s in shapes]


def first_step(new: New) -> None:
    """Each weight moves against its gradient, in place; the gradients stay; steps are counted."""
    optimizer = new()
    weights, gradients = _weights_and_gradients()
    before, given = _weights_and_gradients()
    optimizer.apply(gradients, weights)
    moves = [b - w for b, w in zip(before, weights, strict=True)]
    assert equal(map(np.sign, moves), map(np.sign, given)), "a weight moves with its gradient"
    assert equal(gradients, given), "gradients have changed"
    kept = [array for arrays in optimizer.state.values() for array in arrays]
    shared = any(np.shares_memory(array, gradient) for array in kept for gradient in gradients)
    assert not shared, "the state shares memory with the gradients"
    shapes = [[array.shape for array in arrays] for arrays in optimizer.state.values()]
    assert shapes == [[w.shape for w in weights]] * len(optimizer.slots), f"state of {shapes}"
    assert optimizer.iterations == 1, f"{optimizer.iterations} steps counted"


def no_gradient_no_step(new: New) -> None:
    """Gradients of zero at the first step change nothing."""
    (weights, _), (before, _) = _weights_and_gradients(), _weights_and_gradients()
    new().apply([np.zeros_like(w) for w in weights], weights)
    assert equal(weights, before), "weights move without a gradient"


def finds_a_minimum(new: New) -> None:
    """A thousand steps reach the minimum of (w - 3)^2."""
    if new in NEVER_REST:
        return
    optimizer, weight = new(learning_rate=0.05), np.zeros(2)
    for _ in range(1000):
        optimizer.apply([2 * (weight - 3)], [weight])
    assert np.allclose(weight, 3, atol=1e-3), f"ends at {weight}"


def refused_steps(new: New) -> None:
    """A step that cannot be taken changes nothing."""
    optimizer = new()
    weights, gradients = _weights_and_gradients()
    optimizer.apply(gradients, weights)
    before = _everything(optimizer, weights)
    others = [w.copy() for w in weights]
    read_only = weights[0].copy()
    read_only.flags.writeable = False
    wrong = {
        "shape": ([gradients[0].T, gradients[1]], weights),
        "would broadcast": ([gradients[1], gradients[1]], weights),
        "number": (gradients[:1], weights),
        "none": ([], weights),
        "one more": ([*gradients, *gradients], [*weights, *others]),
        "one twice": ([*gradients, *gradients], [*weights, *weights]),
        "text": ([g.astype(str) for g in gradients], weights),
        "complex": ([g * 1j for g in gradients], weights),
        "lists": (gradients, [w.tolist() for w in weights]),
        "integers": (gradients, [w.astype(int) for w in weights]),
        "read-only": (gradients, [read_only, weights[1]]),
        "strided": (gradients, [np.ones((3, 4)).T, weights[1]]),
        "float16": (gradients, [w.astype("float16") for w in weights]),
        "other model": (gradients, others),
    }
    for what, arguments in wrong.items():
        refuses(what, type(optimizer).__name__, optimizer.apply, *arguments)
    assert equal(_everything(optimizer, weights), before), "a refused step has changed something"


def _everything(optimizer: optimizers.Optimizer, weights: list[np.ndarray]) -> list[np.ndarray]:
    """Copies of all that a step changes."""
    arrays = [*weights, *(array for slot in optimizer.state.values() for array in slot)]
    return [*(array.copy() for array in arrays), np.array(optimizer.iterations)]


def refused_arguments(new: New) -> None:
    """Invalid arguments of the constructor raise an error that names the argument."""
    for name, argument in inspect.signature(new).parameters.items():
        numbers = (-1, float("nan"), "0.1", None, [0.1], True)
        for value in numbers if not isinstance(argument.default, bool) else (1, "yes", None):
            refuses(f"{name}={value!r}", name, new, **{name: value})


def steps_of_keras(new: New) -> None:
    """Fifty steps in double precision equal those of Keras."""
    options = getattr(new, "keywords", {})
    kind = RoundedOptimizerCase if new in ROUNDED else OptimizerCase
    case = kind(type(new()).__name__, options, "float64", steps=50)
    found = ledger.compare(case, case.theirs())
    assert found.ok, found.line()


# Losses.

LABELS = np.array([3, 0, 1, 1, 2])
NewLoss = Callable[[], SparseCategoricalCrossentropy]


def _predictions(loss: SparseCategoricalCrossentropy) -> np.ndarray:
    values = np.random.default_rng(6).standard_normal((SAMPLES, 4))
    return values if getattr(loss, "from_logits", True) else softmax(values, axis=1)


def _labels(loss: Any) -> np.ndarray:
    return LABELS if type(loss) is SparseCategoricalCrossentropy else np.eye(4)[LABELS]


def loss_by_differences(new: NewLoss) -> None:
    """The gradient equals central differences, and the mean loss that of the samples."""
    loss = new()
    labels = _labels(loss)

    class AsLayer:
        def forward(self, x):
            return loss.losses_and_gradient(labels, x)

        def backward(self, dy, cache):
            return cache * dy[:, None], {}

    predictions = _predictions(loss)
    report = check_gradients(AsLayer(), predictions, rng=np.random.default_rng(1))
    assert report.ok, str(report)
    each, _ = loss.losses_and_gradient(labels, predictions)
    assert each.dtype == np.float64, f"losses of {each.dtype}"
    assert np.isclose(loss(labels, predictions), each.mean()), "not the mean of the losses"


def samples_do_not_affect_each_others_losses(new: NewLoss) -> None:
    """Each sample of a batch has the loss and gradient that it has alone."""
    loss = new()
    labels, predictions = _labels(loss), _predictions(loss)
    each, gradient = loss.losses_and_gradient(labels, predictions)
    for i in range(SAMPLES):
        alone = loss.losses_and_gradient(labels[i : i + 1], predictions[i : i + 1])
        assert equal(alone, (each[i : i + 1], gradient[i : i + 1])), f"sample {i} differs alone"
    assert equal(predictions, _predictions(loss)), "predictions have changed"


def refused_labels(new: NewLoss) -> None:
    """Invalid labels and predictions raise an error that names the argument."""
    loss = new()
    predictions = _predictions(loss)
    right = _labels(loss)
    wrong = [right[1:], right.astype(str), right + 1j]
    if right is LABELS:
        wrong += [LABELS - 1, LABELS + 1, LABELS + 0.5, np.eye(5)[:, :4], LABELS * np.nan]
    else:
        wrong += [LABELS, right[:, 1:], right[..., None]]
    for labels in wrong:
        refuses(repr(labels), "y_true", loss, labels, predictions)
    refuses("predictions", "y_", loss, right, predictions[0])


def loss_of_keras(new: NewLoss) -> None:
    """Loss and gradient in double precision equal those of Keras."""
    loss = new()
    arguments = "battery", lambda: _predictions(loss), tuple(LABELS), "float64"
    from_logits = getattr(loss, "from_logits", True)
    case = LossCase(*arguments, from_logits)
    if _labels(loss) is not LABELS:
        case = FurtherLossCase(*arguments, from_logits, kind=type(loss).__name__)
    found = ledger.compare(case, case.theirs())
    assert found.ok, found.line()


OPTIMIZER_CHECKS = [
    first_step,
    no_gradient_no_step,
    finds_a_minimum,
    refused_steps,
    refused_arguments,
    steps_of_keras,
]
LOSS_CHECKS = [
    loss_by_differences,
    samples_do_not_affect_each_others_losses,
    refused_labels,
    loss_of_keras,
]
BATTERY = [(LAYERS, CHECKS), (OPTIMIZERS, OPTIMIZER_CHECKS), (LOSSES, LOSS_CHECKS)]
NEEDS_KERAS = (as_keras, steps_of_keras, loss_of_keras)


def cells() -> Iterator[tuple[str, Callable[[], None], bool]]:
    """Every check of every row: its name, the check to call, and whether it needs Keras."""
    for rows, checks in BATTERY:
        for name, row in rows.items():
            for check in checks:
                called = functools.partial(check, row)
                yield f"{name}: {check.__name__}", called, check in NEEDS_KERAS


def battery(share: float = 1) -> Outcome:
    """27: every check of every row. Small enough to be counted in full at any share."""
    wrong, checks = [f"{name} has no row" for name in without_row()], list(cells())
    for name, check, _ in checks:
        try:
            check()
        except Exception as error:
            wrong.append(f"{name}: {error!r}"[:300])
    parts = f"{len(LAYERS)} layers, {len(OPTIMIZERS)} optimizers, {len(LOSSES)} losses"
    return outcome(f"{len(checks)} checks of {parts}", wrong, "failed")
