"""Promise 14: NaN and infinity show in every result that depends on them, and in no other sample.

Which outputs of a sliding window depend on a cell is computed from the geometry alone: `reach`.
"""

import numpy as np

from minicnn.engine import ALGORITHMS, Plan
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU, Softmax
from minicnn.losses import SparseCategoricalCrossentropy
from tests.promises import Outcome
from tests.promises.small_network import X, Y, new_model

BATCH, CHANNELS, FILTERS = 3, 8, 8


def nothing_is_hidden(share: float = 1) -> Outcome:
    """14: NaN and infinity in one sample, in weights and in gradients, through all layers."""
    places, wrong = 0, []
    for number in range(max(3, round(300 * share))):
        rng = np.random.default_rng([14, number])
        for name, spoil, run in _passes(rng):
            for value in (np.nan, np.inf, -np.inf):
                places += 1
                with np.errstate(invalid="ignore", over="ignore"):
                    fault = _fault(spoil, run, value, rng)
                if fault:
                    wrong.append(f"{name}, {value}: {fault}")
    more, faults = _models()
    wrong += faults
    first = f", the first: {wrong[0]}" if wrong else ""
    return Outcome(
        not wrong, f"{places + more:,} places of NaN and infinity, {len(wrong)} wrong{first}"
    )


def _fault(spoil, run, value, rng):
    """What is wrong when `value` is put at a random place of an array."""
    name, array, must = spoil
    clean = run()
    place = tuple(int(rng.integers(size)) for size in array.shape)
    kept, array[place] = array[place], value
    spoiled = run()
    array[place] = kept
    for key, cells in must(place, value).items():
        # Infinity times zero, and infinity less infinity, are NaN: also right.
        hidden = np.isfinite(spoiled[key][cells])
        if value != value:
            hidden |= ~np.isnan(spoiled[key][cells])
        if hidden.any():
            return f"{name}{list(place)} is hidden in {hidden.sum()} cells of {key}"
    if name in ("x", "dy"):
        others = np.arange(len(array)) != place[0]
        for key in ("y", "dx"):
            if not np.array_equal(spoiled[key][others], clean[key][others]):
                return f"{name}{list(place)} changes {key} of other samples"
    return None


def reach(size, window, stride, before, outputs):
    """(outputs, window, size) booleans: is this cell of the input at this place of the window?"""
    i, k, r = np.ogrid[:outputs, :window, :size]
    return i * stride + k - before == r


def _passes(rng):
    """(name, (array to change, where that must show), function that runs a pass), by layer."""
    h, w = rng.integers(5, 10, 2)
    padding, dtype = rng.choice(["valid", "same"]), rng.choice(["float32", "float64"])
    for algorithm in ALGORITHMS:
        kernel, strides = tuple(rng.integers(1, 6, 2)), tuple(rng.integers(1, 4, 2))
        if algorithm == "winograd":
            kernel, strides = (3, 3), (1, 1)
        layer = Conv2D(FILTERS, kernel, strides, padding, algorithm=algorithm)
        x, dy, runs = _built(layer, (h, w, CHANNELS), rng, dtype)
        places = _of_convolution(layer, x, dy, layer.geometry(x.shape[1:]))
        yield from ((algorithm, place, run) for place in places for run in runs)
    layer = MaxPooling2D(tuple(rng.integers(1, 5, 2)), tuple(rng.integers(1, 4, 2)), padding)
    x, dy, runs = _built(layer, (h, w, CHANNELS), rng, dtype)
    if rng.random() < 0.3:
        x[0] = np.nan  # windows of NaN alone
        for run in runs:
            _require_all_nan(run)
        x[0] = 0
    rows, columns = _reach_of(layer.geometry(x.shape[1:]))

    def of_pooling(place, value):
        n, row, column, c = place
        hit = rows[:, :, row].any(1)[:, None] & columns[:, :, column].any(1)
        return {} if value == -np.inf else {"y": _only(dy.shape, n, hit, c)}

    yield from (("pooling", ("x", x, of_pooling), run) for run in runs)
    for layer in (Dense(3), ReLU(), Flatten(), Softmax()):
        x, dy, runs = _built(layer, (7,), rng, dtype)
        places = _of_vectors(layer, x, dy)
        yield from ((type(layer).__name__, place, run) for place in places for run in runs)
    yield from _losses(rng, dtype)


def _built(layer, shape, rng, dtype):
    """Samples, gradients, and functions that run a pass with them: by the core, by the engine."""
    layer.build(tuple(map(int, shape)), rng, str(dtype))
    x = rng.normal(size=(BATCH, *layer.input_shape)).astype(dtype)
    dy = rng.normal(size=(BATCH, *layer.output_shape(layer.input_shape))).astype(dtype)
    plan = Plan([layer])

    def core():
        y, cache = layer.forward(x)
        y = y.copy()  # Flatten gives a view of x, which is restored later
        dx, grads = layer.backward(dy, cache)
        return {"y": y, "dx": dx.copy(), **grads}

    def engine():
        y, dx, grads = plan.passes(x, dy)
        return {"y": y, "dx": dx, **dict(zip(layer.params, grads, strict=True))}

    return x, dy, [core, engine]


def _reach_of(g):
    return reach(g.h, g.kh, g.sh, g.top, g.oh), reach(g.w, g.kw, g.sw, g.left, g.ow)


def _only(shape, n, cells, c):
    """Booleans (n, rows, columns, c): these cells of one image and channel, or of all (a slice)."""
    mask = np.zeros(shape, bool)
    mask[n, ..., c] = cells[..., None] if isinstance(c, slice) else cells
    return mask


def _of_convolution(layer, x, dy, g):
    """x, weights and dy of a convolution, each with the results that depend on it."""
    rows, columns = _reach_of(g)
    kernel, every = layer.params["kernel"], slice(None)

    def grid(of_rows, of_columns):
        return of_rows[:, None] & of_columns

    def in_x(place, _):
        n, row, column, c = place
        taps = grid(rows[:, :, row].any(0), columns[:, :, column].any(0))
        dkernel = np.zeros(kernel.shape, bool)
        dkernel[:, :, c] = taps[:, :, None]
        cells = grid(rows[:, :, row].any(1), columns[:, :, column].any(1))
        return {"y": _only(dy.shape, n, cells, every), "kernel": dkernel}

    def in_kernel(place, _):
        ki, kj, c, f = place
        cells = grid(rows[:, ki].any(1), columns[:, kj].any(1))
        touched = grid(rows[:, ki].any(0), columns[:, kj].any(0))
        return {"y": _only(dy.shape, every, cells, f), "dx": _only(x.shape, every, touched, c)}

    def in_bias(place, _):
        return {"y": _only(dy.shape, every, np.ones((g.oh, g.ow), bool), place[0])}

    def in_dy(place, _):
        n, i, j, f = place
        touched = grid(rows[i].any(0), columns[j].any(0))
        dkernel = np.zeros(kernel.shape, bool)
        dkernel[..., f] = grid(rows[i].any(1), columns[j].any(1))[:, :, None]
        bias = np.arange(FILTERS) == f
        return {"dx": _only(x.shape, n, touched, every), "kernel": dkernel, "bias": bias}

    yield "x", x, in_x
    yield "kernel", kernel, in_kernel
    yield "bias", layer.params["bias"], in_bias
    yield "dy", dy, in_dy


def _of_vectors(layer, x, dy):
    """The same for layers over vectors."""
    every = slice(None)

    def in_x(place, value):
        n, i = place
        if isinstance(layer, Dense):
            return {"y": (n, every), "kernel": (i, every)}
        if isinstance(layer, Softmax):  # exp(-inf) is 0
            return {} if value == -np.inf else {"y": (n, every)}
        return {} if isinstance(layer, ReLU) and value == -np.inf else {"y": (n, i)}

    def in_dy(place, _):
        n, i = place
        if isinstance(layer, Dense):
            return {"dx": (n, every), "kernel": (every, i), "bias": i}
        return {"dx": (n, every if isinstance(layer, Softmax) else i)}

    yield "x", x, lambda place, value: _as_masks(in_x(place, value))
    yield "dy", dy, lambda place, value: _as_masks(in_dy(place, value))
    if isinstance(layer, Dense):
        yield (
            "kernel",
            layer.params["kernel"],
            lambda place, _: {"y": (slice(None), place[1]), "dx": (slice(None), place[0])},
        )
        yield "bias", layer.params["bias"], lambda place, _: {"y": (slice(None), place[0])}


def _as_masks(must):
    return {key: np.index_exp[cells] for key, cells in must.items()}


def _losses(rng, dtype):
    """A score of NaN or +inf: loss and gradient of its sample are not finite."""
    labels = rng.integers(0, 4, BATCH)
    for from_logits in (True, False):
        scores = (rng.normal(size=(BATCH, 4)) if from_logits else rng.random((BATCH, 4))) * 0.9
        scores = scores.astype(dtype)
        loss = SparseCategoricalCrossentropy(from_logits)

        def run(loss=loss, scores=scores):
            losses, gradient = loss.losses_and_gradient(labels, scores)
            return {"y": losses, "dx": gradient}

        def must(place, value, from_logits=from_logits):
            # A probability of infinity is clipped to 1; a score of -inf is a probability of 0.
            shows = value != value or (from_logits and value > 0)
            return {"y": place[:1], "dx": place[:1]} if shows else {}

        yield "loss", ("x", scores, must), run


def _require_all_nan(run):
    with np.errstate(invalid="ignore"):
        if not np.isnan(run()["y"][0]).all():
            raise AssertionError("pooling of NaN alone gives a finite number")


def _models():
    """Whole models: NaN and infinity in each weight and each sample."""
    cases, wrong = 0, []
    for value in (np.nan, np.inf):
        for i, weight in enumerate(new_model().get_weights()):
            for place in (0, weight.size // 2, weight.size - 1):
                cases += 1
                model = new_model()
                weights = model.get_weights()
                weights[i].flat[place] = value
                model.set_weights(weights)
                with np.errstate(invalid="ignore", over="ignore"):
                    p = model.predict(X, verbose=0)
                    loss = model.evaluate(X, Y, verbose=0)[0]
                    refused = _training_is_refused(model, X)
                if np.isnan(p).any() and not (np.isnan(loss) and refused):
                    wrong.append(f"{value} in weight {i}: loss {loss}, training refused: {refused}")
                if np.isnan(value) and not np.isnan(p).all():
                    wrong.append(f"NaN in weight {i} gives predictions of {p[0]}")
        for spoiled in range(len(X)):
            cases += 1
            model, x = new_model(), X.copy()
            clean = model.predict(x, verbose=0)
            x[spoiled, 4, 3] = value
            with np.errstate(invalid="ignore", over="ignore"):
                p = model.predict(x, verbose=0)
                loss = model.evaluate(x, Y, verbose=0)[0]
                refused = _training_is_refused(model, x)
            others = np.arange(len(x)) != spoiled
            if not np.isnan(p[spoiled]).all() or not np.array_equal(p[others], clean[others]):
                wrong.append(f"{value} in sample {spoiled} gives {p}")
            if not np.isnan(loss) or not refused:
                wrong.append(
                    f"{value} in sample {spoiled}: loss {loss}, training refused: {refused}"
                )
    return cases, wrong


def _training_is_refused(model, x):
    """Whether a training step raises an error and changes no weight."""
    before = model.get_weights()
    try:
        model.train_on_batch(x, Y)
    except FloatingPointError:
        return all(
            np.array_equal(old, new, equal_nan=True)
            for old, new in zip(before, model.get_weights(), strict=True)
        )
    return False
