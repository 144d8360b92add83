"""Promises 4, 6, 8, 10 to 13 and 15: ties, stable losses, means, valid and invalid input."""

import contextlib
import tempfile
from pathlib import Path

import numpy as np

from minicnn import Input, Sequential
from minicnn.activations import softmax
from minicnn.data import Dataset
from minicnn.layers import Dense, Flatten, MaxPooling2D
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import SGD
from tests.promises import Outcome, outcome, refusals
from tests.promises.array_forms import CALLS, FORMS, LABELS, WHOLE, WHOLE_ONLY, gradient_checks
from tests.promises.small_network import LOSS, X, Y, new_model, same_bits
from tests.reference import Case, pool_gradient_loops, pool_loops


def ties_of_pooling(share: float = 1) -> Outcome:
    """4: of equal maxima the first in row-major order, and no other, gets the gradient."""
    cases, ties, wrong = max(4, round(1000 * share)), 0, []
    for number in range(cases):
        rng = np.random.default_rng([4, number])
        window, strides = rng.integers(1, 5, 2), rng.integers(1, 4, 2)
        h, w = rng.integers(4, 10, 2)
        case = Case(2, h, w, 2, 0, *window, *strides, rng.choice(["valid", "same"]))
        layer = MaxPooling2D(tuple(window), tuple(strides), case.padding)
        layer.build((h, w, 2), rng)
        x = rng.integers(0, 3, case.x_shape).astype(rng.choice(["float32", "float64"]))
        y, cache = layer.forward(x)
        dy = rng.integers(-9, 10, y.shape).astype(x.dtype)  # overlapping windows add up, exactly
        dx, _ = layer.backward(dy, cache)
        for _, _, cells in case.windows(case.padded(x, fill=-1)):
            maxima = cells == cells.max(axis=(1, 2), keepdims=True)
            ties += np.count_nonzero(maxima.sum(axis=(1, 2)) > 1)
        if not np.array_equal(dx, pool_gradient_loops(dy, pool_loops(x, case)[1], case)):
            wrong.append(f"pooling {number}")
    return outcome(f"{cases:,} poolings, {ties:,} windows with ties", wrong)


def stable_cross_entropy(share: float = 1) -> Outcome:
    """6: neither NaN nor infinity for any float32 logits; nothing is clipped."""
    rng = np.random.default_rng(6)
    rows, bad, worst = 0, 0, 0.0
    loss = SparseCategoricalCrossentropy(from_logits=True)
    for number in range(max(20, round(2000 * share))):
        classes = int(rng.integers(2, 21))
        extremes = [0, 1, 1000, -1000, 3e38, -3e38, 10.0 ** rng.integers(-8, 38)]
        kinds = rng.choice(extremes, (50, classes)), rng.normal(size=(50, classes)) * 1000
        z = kinds[number % 2].astype(("float32", "float64")[number // 2 % 2])
        z[0] = z[0, 0]  # all equal
        labels = rng.integers(0, classes, 50)
        losses, gradient = loss.losses_and_gradient(labels, z)
        exact = z.astype(np.longdouble)
        top = exact.max(axis=1, keepdims=True)
        p = np.exp(exact - top)
        total = p.sum(axis=1, keepdims=True)
        expected = np.log(total[:, 0]) + (top[:, 0] - exact[np.arange(50), labels])
        slope = p / total - np.eye(classes)[labels]
        with np.errstate(invalid="ignore"):
            error = np.abs(losses - expected) / np.maximum(1, np.abs(expected))
            error = np.maximum(error, np.abs(gradient - slope).max(axis=1))
        finite = np.isfinite(losses) & np.isfinite(gradient).all(axis=1)
        finite &= np.isfinite(softmax(z)).all(axis=1)
        rows, bad = rows + 50, bad + int((~finite | ~(error < 1e-6)).sum())
        worst = max(worst, float(np.max(error)))
    # The logit of the wrong class is larger by 1000.
    model = Sequential([Input((1,)), Dense(2, "softmax", use_bias=False)])
    model.set_weights([[[1000.0, 0.0]]])
    model.compile("sgd", LOSS)
    thousand = model.evaluate([[1.0]], [1], verbose=0)
    return Outcome(
        bad == 0 and thousand == 1000,
        f"{rows:,} rows of logits up to 3e38, {bad} not finite or wrong by more than 1e-6, worst "
        f"{worst:.0e}; a model's loss of 1000 is reported as {thousand:g}",
    )


def _samples(number: int, n: int):
    """A model of small images in one of two precisions, and n samples."""
    rng = np.random.default_rng([8, number])
    model = new_model(("float32", "float64")[number % 2])
    model.set_weights([rng.normal(scale=0.3, size=w.shape) for w in model.get_weights()])
    return model, rng.random((n, *X.shape[1:])), rng.integers(0, 3, n)


def loss_per_sample(share: float = 1) -> Outcome:
    """8: `evaluate` and `fit` report a mean over samples, whatever the batches are."""
    calls, worst = 0, 0.0
    for number in range(max(2, round(40 * share))):
        n = 81 + 13 * number % 70
        model, x, y = _samples(number, n)
        p = model.predict(x, n, verbose=0).astype(np.float64)
        expected = -np.log(p[np.arange(n), y]).mean(), (p.argmax(axis=1) == y).mean()
        for size in (1, 7, 64, 80, n):
            dataset = Dataset.from_tensor_slices((x, y)).batch(size)
            # So small a rate changes no weight: the running mean is that of one model.
            model.compile(SGD(1e-30), LOSS, metrics=["accuracy"])
            reports = [model.evaluate(x, y, size, verbose=0), model.evaluate(dataset, verbose=0)]
            for data in ((x, y, size), (dataset,)):
                history = model.fit(*data, verbose=0).history
                reports.append([history["loss"][0], history["accuracy"][0]])
            calls += len(reports)
            worst = max(worst, float(np.abs(np.divide(reports, expected) - 1).max()))
    return Outcome(
        worst < 1e-6, f"{calls:,} reports at batch sizes 1, 7, 64, 80, n, worst {worst:.0e}"
    )


def batch_independence(share: float = 1) -> Outcome:
    """10: predictions of a sample are equal alone, in a slice, in another order, in any batch."""
    rows, same, worst = 0, 0, 0.0
    for number in range(max(2, round(100 * share))):
        n = 67
        model, x, _ = _samples(number, n)
        whole = model.predict(x, verbose=0)
        rng = np.random.default_rng(number)
        start, stop = sorted(rng.choice(n + 1, 2, replace=False))
        chosen = [rng.permutation(n), np.arange(start, stop), rng.integers(0, n, 1)]
        for order, size in zip(chosen * 2, (1, 7, 64, None, 32, 32), strict=True):
            apart = np.abs(model.predict(x[order], size, verbose=0) - whole[order])
            rows, same = rows + len(order), same + int((apart == 0).all(axis=1).sum())
            worst = max(worst, float(apart.max()))
    return Outcome(
        worst <= 1e-6, f"{rows:,} predictions, worst difference {worst:.0e}, {same:,} the same bits"
    )


def nothing_is_touched(share: float = 1) -> Outcome:
    """11: arguments are not changed, and no array shares memory with the model."""
    checks = []  # (what, whether it is right)
    for kind, make in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            model, y = new_model(), Y.astype(np.uint8)
            x = make(WHOLE, Path(folder))
            for array in (x, y):
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False
            before = np.array(x).tobytes(), y.tobytes()
            for name, call in CALLS.items():
                call(model, x, y)
                same = (np.array(x).tobytes(), y.tobytes()) == before
                checks.append((f"{name} of {kind}", same))
            del x  # Windows removes no file that is mapped
    model = new_model()
    clean, weights = model.predict(X, verbose=0), model.get_weights()
    for name, arrays in {
        "get_weights": model.get_weights(),
        "layer.get_weights": [w for layer in model.layers for w in layer.get_weights()],
        "predict": [model.predict(X, verbose=0)],
    }.items():
        for array in arrays:
            array[...] = 7
            same = np.array_equal(model.predict(X, verbose=0), clean)
            checks.append((f"writing into {name}", same))
    model.set_weights(weights)
    inside = [own for layer in model.layers for own in layer.params.values()]
    for weight in weights:
        shared = any(np.shares_memory(weight, own) for own in inside)
        checks.append(("memory of set_weights", not shared))
    view = Sequential([Input(X.shape[1:]), Flatten()]).predict(X, verbose=0)
    checks.append(("memory of predict", not np.shares_memory(view, X)))
    wrong = [what for what, is_right in checks if not is_right]
    return outcome(f"{len(checks):,} calls and arrays", wrong, "changed or shared")


def valid_input(share: float = 1) -> Outcome:
    """12: the same numbers in any form give the bits of contiguous float32."""
    cases, wrong = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for name, call in CALLS.items():
            for what, given, plain in _valid_samples(Path(folder)):
                cases += 1
                if not same_bits(call(new_model(), *given), call(new_model(), *plain)):
                    wrong.append(f"{name} of {what}")
        more, faults = gradient_checks(FORMS.items(), Path(folder))
    return outcome(f"{cases + more} calls", wrong + faults, "differ")


def _valid_samples(folder):
    """(what, samples and labels in some form, the same samples and labels in plain form)."""
    for kind, make in FORMS.items():
        yield kind, (make(WHOLE, folder), Y), (WHOLE, Y)
        if kind not in WHOLE_ONLY:
            yield f"one as {kind}", (make(X[:1], folder), Y[:1]), (X[:1], Y[:1])
    for kind, make in LABELS.items():
        yield f"labels {kind}", (WHOLE, make(Y)), (WHOLE, Y)
    truth = WHOLE > 2
    yield "booleans", (truth, Y % 2 > 0), (truth.astype("float32"), Y % 2)


def invalid_input(share: float = 1) -> Outcome:
    """13: a clear error before anything changes; see `refusals`."""
    model = new_model()
    model.fit(X, Y, verbose=0)  # so that the optimizer has a state
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        refusals.write_files(Path(folder))
        rows = refusals.rows()
        found = [(who, what, refusals.fault(model, who, call)) for who, what, call in rows]
    wrong = [f"{who}: {what} {fault}" for who, what, fault in found if fault]
    return outcome(f"{len(rows)} wrong arguments", wrong, "not refused cleanly")


def no_samples(share: float = 1) -> Outcome:
    """15: predictions for no samples have no rows, and the model's dtype."""
    cases, wrong = 0, []
    for dtype in ("float32", "float64"):
        trained = new_model(dtype)
        trained.fit(X, Y, verbose=0)
        unbuilt = Sequential([Flatten(), Dense(3)], dtype=dtype)  # until the first data come
        for model in (new_model(dtype), trained, unbuilt):
            for kind in ("float32", "float64", "uint8", "bool", ">f4"):
                nothing = np.empty((0, *X.shape[1:]), kind)
                batches = Dataset.from_generator(lambda nothing=nothing: iter([nothing, nothing]))
                for x, size in ((nothing, None), (nothing, 1), (nothing[::-1], 7), (batches, None)):
                    cases += 1
                    y = model.predict(x, size, verbose=0)
                    if y.shape != (0, 3) or y.dtype != dtype:
                        wrong.append(f"{dtype} of {kind}: {y.shape} of {y.dtype}")
    return outcome(f"{cases} predictions of no samples", wrong, "not (0, 3)")
