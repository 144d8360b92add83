"""Promise 14: NaN and infinity show in every result that depends on them, and in no other sample.

A result depends on a number if it changes with it, by the core, where all other numbers are equal.
"""

import functools

import numpy as np

from minicnn.engine import ALGORITHMS, Plan
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU, Softmax
from minicnn.losses import SparseCategoricalCrossentropy
from tests.promises import Outcome, outcome
from tests.promises.small_network import X, Y, new_model, same_bits

BATCH, CHANNELS, FILTERS = 3, 8, 8
# The results that show a NaN in the argument or weight of that name.
SHOWN_IN = {
    "x": ("y", "kernel"),
    "kernel": ("y", "dx"),
    "bias": ("y",),
    "dy": ("dx", "kernel", "bias"),
    "logits": ("y", "dx"),
    "probabilities": ("y", "dx"),
}
# What may give finite numbers: -inf is no maximum, exp(-inf) is 0, and probabilities are clipped.
WITHOUT_EFFECT = {
    ("pooling", "x"): (-np.inf,),
    ("ReLU", "x"): (-np.inf,),
    ("Softmax", "x"): (-np.inf,),
    ("loss", "logits"): (-np.inf,),
    ("loss", "probabilities"): (-np.inf, np.inf),
}


def nothing_is_hidden(share: float = 1) -> Outcome:
    """14: NaN and infinity in one sample, in weights and in gradients, through all layers."""
    places, wrong = 0, []
    for number in range(max(3, round(300 * share))):
        rng = np.random.default_rng([14, number])
        for what, name, arrays, core, run in _passes(rng):
            for value in (np.nan, np.inf, -np.inf):
                places += 1
                with np.errstate(invalid="ignore", over="ignore"):
                    fault = _fault(what, name, arrays, core, run, value, rng)
                if fault:
                    wrong.append(f"{what}, {value}: {fault}")
    more, faults = _models()
    return outcome(f"{places + more:,} places of NaN and infinity", wrong + faults)


def _fault(what, name, arrays, core, run, value, rng):
    """What is wrong when `value` is put at a random place of the array of that name."""
    array = arrays[name]
    place = tuple(int(rng.integers(size)) for size in array.shape)
    clean, spoiled = run(), _changed(array, place, value, run)
    if value not in WITHOUT_EFFECT.get((what, name), ()):
        dependent = _dependent(arrays, array, place, core)
        for key in set(SHOWN_IN[name]) & set(clean):
            # Infinity times zero, and infinity less infinity, are NaN: also right.
            shows = np.isnan(spoiled[key]) if np.isnan(value) else ~np.isfinite(spoiled[key])
            if (hidden := dependent[key] & ~shows).any():
                return f"{name}{list(place)} is hidden in {hidden.sum()} cells of {key}"
    if name in ("x", "dy"):
        others = np.arange(len(array)) != place[0]
        for key in ("y", "dx"):
            if not np.array_equal(spoiled[key][others], clean[key][others]):
                return f"{name}{list(place)} changes {key} of other samples"
    return None


def _changed(array, place, value, run):
    """The results of a pass with `value` at that place of the array, which is restored."""
    kept, array[place] = array[place], value
    results = run()
    array[place] = kept
    return results


def _dependent(arrays, array, place, core):
    """{result: booleans}: whether each cell depends on that place of the array."""
    kept = {name: each.copy() for name, each in arrays.items()}
    for each in arrays.values():
        each[...] = 0.5
    usual, others = core(), _changed(array, place, 0.75, core)
    for name, each in kept.items():
        arrays[name][...] = each
    return {key: usual[key] != others[key] for key in usual}


def _passes(rng):
    """(what, name of an array to spoil, all arrays, the core's pass, the pass to examine)."""
    h, w = rng.integers(5, 10, 2)
    padding, dtype = rng.choice(["valid", "same"]), rng.choice(["float32", "float64"])
    for algorithm in ALGORITHMS:
        kernel, strides = tuple(rng.integers(1, 6, 2)), tuple(rng.integers(1, 4, 2))
        if algorithm == "winograd":
            kernel, strides = (3, 3), (1, 1)
        layer = Conv2D(FILTERS, kernel, strides, padding, algorithm=algorithm)
        arrays, runs = _built(layer, (h, w, CHANNELS), rng, dtype)
        for name in ("x", "kernel", "bias", "dy"):
            yield from ((algorithm, name, arrays, runs[0], run) for run in runs)
    layer = MaxPooling2D(tuple(rng.integers(1, 5, 2)), tuple(rng.integers(1, 4, 2)), padding)
    arrays, runs = _built(layer, (h, w, CHANNELS), rng, dtype)
    if rng.random() < 0.3:
        arrays["x"][0] = np.nan  # windows of NaN alone
        for run in runs:
            _require_all_nan(run)
        arrays["x"][0] = 0
    yield from (("pooling", "x", arrays, runs[0], run) for run in runs)
    for layer in (Dense(3), ReLU(), Flatten(), Softmax()):
        arrays, runs = _built(layer, (7,), rng, dtype)
        for name in ("x", "dy", *layer.params):
            yield from ((type(layer).__name__, name, arrays, runs[0], run) for run in runs)
    labels = rng.integers(0, 4, BATCH)
    for name, scores in (
        ("logits", rng.normal(size=(BATCH, 4))),
        ("probabilities", rng.random((BATCH, 4))),
    ):
        arrays = {name: (scores * 0.9).astype(dtype)}
        run = functools.partial(
            _loss, SparseCategoricalCrossentropy(name == "logits"), labels, *arrays.values()
        )
        yield "loss", name, arrays, run, run


def _loss(loss, labels, scores):
    losses, gradient = loss.losses_and_gradient(labels, scores)
    return {"y": np.broadcast_to(losses[:, None], gradient.shape), "dx": gradient}


def _built(layer, shape, rng, dtype):
    """Samples, gradients and weights, and functions that run a pass with them: core and engine."""
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

    return {"x": x, "dy": dy, **layer.params}, [core, engine]


def _require_all_nan(run):
    with np.errstate(invalid="ignore"):
        if not np.isnan(run()["y"][0]).all():
            raise AssertionError("pooling of NaN alone gives a finite number")


def _models():
    """Whole models: NaN and infinity in each weight and each sample."""
    cases, wrong = 0, []
    clean = new_model().predict(X, verbose=0)
    for value in (np.nan, np.inf):
        for i, weight in enumerate(new_model().get_weights()):
            for place in (0, weight.size // 2, weight.size - 1):
                cases += 1
                model = new_model()
                weights = model.get_weights()
                weights[i].flat[place] = value
                model.set_weights(weights)
                p, is_reported = _reports(model, X)
                hidden = np.isnan(value) and not np.isnan(p).all()
                if hidden or (np.isnan(p).any() and not is_reported):
                    wrong.append(f"{value} in weight {i} gives {p[0]}, reported: {is_reported}")
        for spoiled in range(len(X)):
            cases += 1
            x = X.copy()
            x[spoiled, 4, 3] = value
            p, is_reported = _reports(new_model(), x)
            others = np.arange(len(x)) != spoiled
            right = np.isnan(p[spoiled]).all() and np.array_equal(p[others], clean[others])
            if not (right and is_reported):
                wrong.append(f"{value} in sample {spoiled} gives {p}, reported: {is_reported}")
    return cases, wrong


def _reports(model, x):
    """Predictions; and whether the loss is NaN, and a training step raises and changes nothing."""
    with np.errstate(invalid="ignore", over="ignore"):
        p, loss = model.predict(x, verbose=0), model.evaluate(x, Y, verbose=0)[0]
        before = model.get_weights()
        try:
            model.train_on_batch(x, Y)
        except FloatingPointError:
            return p, np.isnan(loss) and same_bits(model.get_weights(), before)
    return p, False
