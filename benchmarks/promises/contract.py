"""Promise 27: one battery for all layers, optimizers and losses. What is new gets a row here.

A check takes a row and returns what is wrong, in words, or "".
"""

import functools
import inspect
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.promises import Outcome
from minicnn import Input, Sequential, keras_reference, layers, losses, optimizers
from minicnn.gradcheck import check_gradients
from minicnn.layers import CONVOLUTIONS, Conv2D, Dense, Flatten, MaxPooling2D, ReLU, Softmax
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import SGD, Adam
from minicnn.parity import ledger
from minicnn.parity.kinds import LossCase, OptimizerCase

SAMPLES = 5


class LayerRow(NamedTuple):
    """A layer, made anew by `new()`, and the shape of one sample."""

    new: Callable[[], layers.Layer]
    shape: tuple[int, ...]

    def built(self, dtype: str = "float64") -> tuple[layers.Layer, np.ndarray, np.ndarray]:
        """The layer with random weights; x without ties; dy."""
        rng, layer = np.random.default_rng(3), self.new()
        layer.build(self.shape, rng, dtype)
        layer.set_weights([rng.standard_normal(w.shape) / 2 for w in layer.params.values()])
        size = SAMPLES * int(np.prod(self.shape))
        x = (rng.permutation(size).reshape(SAMPLES, *self.shape) + 0.5) / size * 4 - 2
        dy = rng.standard_normal((SAMPLES, *layer.output_shape(self.shape)))
        return layer, x.astype(dtype), dy.astype(dtype)


LAYERS = {
    **{
        f"Conv2D {name}": LayerRow(
            lambda name=name: Conv2D(2, 3, activation="relu", algorithm=name), (6, 5, 2)
        )
        for name in CONVOLUTIONS
    },
    "Conv2D strides": LayerRow(lambda: Conv2D(3, (2, 3), (2, 1), "same"), (5, 6, 1)),
    "MaxPooling2D": LayerRow(lambda: MaxPooling2D((2, 3), 2, "same"), (5, 6, 2)),
    "Flatten": LayerRow(Flatten, (2, 3, 2)),
    "Dense": LayerRow(lambda: Dense(3, "softmax"), (5,)),
    "Dense without bias": LayerRow(lambda: Dense(3, "relu", use_bias=False), (2, 5)),
    "ReLU": LayerRow(ReLU, (2, 4)),
    "Softmax": LayerRow(Softmax, (4,)),
}
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
    """Public classes that no row is about."""
    covered = {type(row.new()) for row in LAYERS.values()} | {row[0] for row in OPTIMIZERS.values()}
    covered |= {type(new()) for new in LOSSES.values()}
    public = [getattr(layers, name) for name in layers.__all__ if name not in ("Input", "Layer")]
    public += [*optimizers.OPTIMIZERS.values(), *losses.LOSSES.values()]
    return sorted({cls.__name__ for cls in public if cls not in covered})


# Layers.


def shapes_and_dtypes(row: LayerRow) -> str:
    """As announced by `output_shape` and `params`, in the precision of the layer."""
    for dtype in ("float32", "float64"):
        layer, x, dy = row.built(dtype)
        y, cache = layer.forward(x)
        dx, grads = layer.backward(dy, cache)
        wanted = {"y": dy.shape, "dx": x.shape} | {k: v.shape for k, v in layer.params.items()}
        found = {"y": y, "dx": dx, **grads}
        if {key: array.shape for key, array in found.items()} != wanted:
            return f"shapes {found}, expected {wanted}"
        if {array.dtype for array in found.values()} != {np.dtype(dtype)}:
            return f"not all in {dtype}"
        if not _same(grads, layer.weight_gradients(dy, cache)):
            return "weight_gradients differs from backward"
    return ""


def right_gradients(row: LayerRow) -> str:
    """Against central differences."""
    layer, x, _ = row.built()
    report = check_gradients(layer, x, rng=np.random.default_rng(1))
    complete = all(found.checked == found.entries for found in report.rows)
    return "" if report.ok and complete else str(report)


def nothing_changes_in_a_pass(row: LayerRow) -> str:
    """Neither arguments nor weights; so a second pass has the same bits."""
    layer, x, dy = row.built()
    before = [a.copy() for a in (x, dy, *layer.params.values())]
    passes = [_there_and_back(layer, x, dy) for _ in range(2)]
    if not _equal([x, dy, *layer.params.values()], before):
        return "x, dy or weights have changed"
    return "" if _equal(*passes) else "a second pass has other bits"


def threads_may_share_it(row: LayerRow) -> str:
    """One object, four threads."""
    layer, x, dy = row.built()
    alone = _there_and_back(layer, x, dy)
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda _: _there_and_back(layer, x, dy), range(12))
    return "" if all(_equal(one, alone) for one in found) else "other bits beside other threads"


def samples_do_not_meet(row: LayerRow) -> str:
    """Outputs of a sample are the same in every batch; gradients of weights are sums."""
    layer, x, dy = row.built()
    y, dx, *grads = _there_and_back(layer, x, dy)
    parts = [_there_and_back(layer, x[i : i + 1], dy[i : i + 1]) for i in reversed(range(SAMPLES))]
    ys, dxs, *sums = ([part[i] for part in parts][::-1] for i in range(len(parts[0])))
    pairs = [(y, np.concatenate(ys)), (dx, np.concatenate(dxs))]
    pairs += [(grad, np.sum(each, axis=0)) for grad, each in zip(grads, sums, strict=True)]
    close = all(np.allclose(a, b, rtol=1e-12, atol=1e-12) for a, b in pairs)
    return "" if close else "a batch is not what its samples are"


def honest_input(row: LayerRow) -> str:
    """Other orders in memory and other dtypes of the same numbers."""
    layer, x, dy = row.built("float32")
    x, dy = np.round(x * 4), np.round(dy * 4)
    plain = _there_and_back(layer, x, dy)
    for other in (np.asfortranarray, lambda a: a.astype(">f8"), lambda a: a.astype("int16")):
        if not _equal(_there_and_back(layer, other(x), other(dy)), plain):
            return f"other bits for {other(x).dtype} with strides {other(x).strides}"
    return ""


def refusals(row: LayerRow) -> str:
    """What cannot be computed is refused in words that name the layer, and changes nothing."""
    layer, x, dy = row.built()
    before = layer.get_weights()
    _, cache = layer.forward(x)
    wrong: dict[str, Callable[[], Any]] = {
        "not built": lambda: row.new().forward(x),
        "shape of x": lambda: layer.forward(x[..., None]),
        "text": lambda: layer.forward(x.astype(str)),
        "complex": lambda: layer.forward(x + 1j),
        "shape of dy": lambda: layer.backward(dy[1:], cache),
        "size 0": lambda: row.new().build((0, *row.shape[1:]), np.random.default_rng(0)),
        "dtype": lambda: row.new().build(row.shape, np.random.default_rng(0), "float16"),
        "too many weights": lambda: layer.set_weights([*before, before]),
    }
    for name, call in wrong.items():
        if complaint := _not_refused(call, type(layer).__name__):
            return f"{name}: {complaint}"
    return "" if _equal(layer.get_weights(), before) else "weights have changed"


def weights_are_copied(row: LayerRow) -> str:
    """Out and in."""
    layer, *_ = row.built()
    before = layer.get_weights()
    for weight in layer.get_weights():
        weight += 1
    given = [weight + 1 for weight in before]
    layer.set_weights(given)
    if not _equal(layer.get_weights(), given):
        return "set_weights sets something else"
    for weight in given:
        weight += 1
    return "" if _equal(layer.get_weights(), [w + 1 for w in before]) else "weights are shared"


def trained_saved_loaded(row: LayerRow) -> str:
    """As part of a model."""

    def model() -> Sequential:
        return Sequential([Input(row.shape), row.new(), Flatten(), Dense(3)])

    first, second = model(), model()
    _, x, _ = row.built("float32")
    loss = SparseCategoricalCrossentropy(from_logits=True)
    first.compile("sgd", loss)
    before = first.get_weights()
    first.fit(x, np.arange(SAMPLES) % 3, verbose=0)
    if any(np.array_equal(a, b) for a, b in zip(before, first.get_weights(), strict=True)):
        return "some weights do not learn"
    with tempfile.TemporaryDirectory() as folder:
        first.save_weights(Path(folder) / "weights.npz")
        second.load_weights(Path(folder) / "weights.npz")
    predictions = [each.predict(x, verbose=0) for each in (first, second)]
    return "" if np.array_equal(*predictions) else "other predictions after loading"


def as_keras(row: LayerRow) -> str:
    """Outputs and gradients, in double precision."""
    layer, x, dy = row.built()
    theirs = list(keras_reference.layer_pass(layer, x, dy).values())
    ours = _there_and_back(layer, x, dy)
    names = ("y", "dx", *layer.params)
    for name, a, b in zip(names, ours, theirs, strict=True):
        _, relative = keras_reference.difference(a, b)
        if relative > ledger.TOLERANCES["float64"][0]:
            return f"{name} differs by {relative:.1e}"
    return ""


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
    if not _equal(gradients, given):
        return "gradients have changed"
    state = [[a.shape for a in arrays] for arrays in optimizer.state.values()]
    wanted = [[w.shape for w in weights]] * len(optimizer.slots)
    return "" if (optimizer.iterations, state) == (1, wanted) else "wrong state after one step"


def no_gradient_no_step(row: Chosen) -> str:
    """Before anything has been learned."""
    optimizer = row[0](**row[1])
    weights, _ = _weights_and_gradients()
    before = [w.copy() for w in weights]
    optimizer.apply([np.zeros_like(w) for w in weights], weights)
    return "" if _equal(weights, before) else "weights move without a gradient"


def goes_downhill(row: Chosen) -> str:
    """To the lowest point of (w - 3)^2."""
    optimizer, weight = row[0](**row[1] | {"learning_rate": 0.05}), np.zeros(2)
    for _ in range(1000):
        optimizer.apply([2 * (weight - 3)], [weight])
    return "" if np.allclose(weight, 3, atol=1e-3) else f"ends at {weight}"


def refused_steps(row: Chosen) -> str:
    """A step that cannot be taken changes nothing."""
    optimizer = row[0](**row[1])
    weights, gradients = _weights_and_gradients()
    optimizer.apply(gradients, weights)
    before = [w.copy() for w in weights], optimizer.iterations
    read_only = weights[0].copy()
    read_only.flags.writeable = False
    wrong: dict[str, Callable[[], Any]] = {
        "shape": lambda: optimizer.apply([gradients[0].T, gradients[1]], weights),
        "number": lambda: optimizer.apply(gradients[:1], weights),
        "text": lambda: optimizer.apply([g.astype(str) for g in gradients], weights),
        "read-only": lambda: optimizer.apply(gradients, [read_only, weights[1]]),
        "strided": lambda: optimizer.apply(gradients, [np.ones((3, 4)).T, weights[1]]),
        "float16": lambda: optimizer.apply(gradients, [w.astype("float16") for w in weights]),
        "other model": lambda: optimizer.apply(gradients[::-1], weights[::-1]),
    }
    for name, call in wrong.items():
        if complaint := _not_refused(call, row[0].__name__):
            return f"{name}: {complaint}"
    same = _equal(weights, before[0]) and optimizer.iterations == before[1]
    return "" if same else "a refused step has changed something"


def refused_arguments(row: Chosen) -> str:
    """No argument takes nonsense."""
    for name, argument in inspect.signature(row[0]).parameters.items():
        numbers = (-1, float("nan"), "0.1", None, [0.1], True)
        for value in numbers if not isinstance(argument.default, bool) else (1, "yes", None):
            if complaint := _not_refused(lambda n=name, v=value: row[0](**{n: v}), name):
                return f"{name}={value!r}: {complaint}"
    return ""


def steps_of_keras(row: Chosen) -> str:
    """Fifty of them, in double precision."""
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
    """Its gradient; and the mean is that of the samples' own losses."""
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
        return "the mean is another"
    return "" if report.ok else str(report)


def losses_of_samples_do_not_meet(new: Callable[[], Any]) -> str:
    """Neither in a batch nor in memory."""
    loss = new()
    predictions = _predictions(loss)
    before = predictions.copy()
    each, gradient = loss.losses_and_gradient(LABELS, predictions)
    for i in range(SAMPLES):
        alone = loss.losses_and_gradient(LABELS[i : i + 1], predictions[i : i + 1])
        if not _equal(alone, (each[i : i + 1], gradient[i : i + 1])):
            return f"sample {i} has another loss alone"
    return "" if _equal([predictions], [before]) else "predictions have changed"


def refused_labels(new: Callable[[], Any]) -> str:
    """And predictions."""
    loss = new()
    predictions = _predictions(loss)
    wrong = [LABELS - 1, LABELS + 1, LABELS + 0.5, LABELS[1:], np.eye(5)[:, :4], LABELS * np.nan]
    wrong += [LABELS.astype(str), LABELS + 1j]
    for labels in wrong:
        if complaint := _not_refused(lambda labels=labels: loss(labels, predictions), "y_true"):
            return f"{labels!r}: {complaint}"
    return _not_refused(lambda: loss(LABELS, predictions[0]), "y_pred")


def loss_of_keras(new: Callable[[], Any]) -> str:
    """Loss and gradient, in double precision."""
    loss = new()
    case = LossCase(
        "battery", lambda: _predictions(loss), tuple(LABELS), "float64", loss.from_logits
    )
    found = ledger.compare(case, case.theirs())
    return "" if found.ok else found.line()


BATTERY: list[tuple[dict[str, Any], list[Callable[[Any], str]]]] = [
    (
        LAYERS,
        [
            shapes_and_dtypes,
            right_gradients,
            nothing_changes_in_a_pass,
            threads_may_share_it,
            samples_do_not_meet,
            honest_input,
            refusals,
            weights_are_copied,
            trained_saved_loaded,
            as_keras,
        ],
    ),
    (
        OPTIMIZERS,
        [
            first_step,
            no_gradient_no_step,
            goes_downhill,
            refused_steps,
            refused_arguments,
            steps_of_keras,
        ],
    ),
    (
        LOSSES,
        [loss_by_differences, losses_of_samples_do_not_meet, refused_labels, loss_of_keras],
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


def kept_by_all(share: float = 1) -> Outcome:
    """Promise 27. Small enough to be counted in full at any share."""
    wrong = [f"{name}: {words}" for name, check, _ in cells() if (words := check())]
    wrong += [f"{name} has no row" for name in without_row()]
    count = sum(1 for _ in cells())
    parts = f"{len(LAYERS)} layers, {len(OPTIMIZERS)} optimizers, {len(LOSSES)} losses"
    figure = f"{count} checks of {parts}: {len(wrong)} failed; " + "; ".join(wrong)[:300]
    return Outcome(not wrong, figure.removesuffix("; "))


def _there_and_back(layer: layers.Layer, x: np.ndarray, dy: np.ndarray) -> list[np.ndarray]:
    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)
    return [y, dx, *grads.values()]


def _equal(some: Any, others: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def _same(some: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> bool:
    return list(some) == list(others) and _equal(some.values(), others.values())


def _not_refused(call: Callable[[], Any], name: str) -> str:
    """What is wrong with how `call` is refused; its error has to say `name`."""
    try:
        call()
    except (TypeError, ValueError) as error:
        return "" if name in str(error) else f"the error does not say {name!r}: {error}"
    except Exception as error:
        return f"ends with {error!r}"
    return "is not refused"
