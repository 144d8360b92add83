"""Promises 1, 2, 3, 5 and 7: numbers, gradients and training, beside Keras and differences."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

# As in the tests: oneDNN is wrong for some odd geometries. To be set before TensorFlow is imported.
os.environ |= {
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
}
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))  # whose cases are counted here

import numpy as np
from test_gradcheck import random_network
from test_optimizers import CONFIGURATIONS, STEPS, formula, trajectory
from test_tutorial_network import PROMISED, batches, keras_step, pair
from tolerances import TOLERANCES

import minicnn
from benchmarks.promises import Outcome
from minicnn.datasets import mnist
from minicnn.gradcheck import check_gradients
from minicnn.parity import cases, ledger
from minicnn.parity.command import tutorial_lockstep
from minicnn.parity.kinds import OptimizerCase
from minicnn.tutorial import scaled

NETWORKS = 70
SEEDS, IMAGES = 5, 20_000
POINTS = 0.003  # of accuracy, on average over the seeds


def _keras() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own imports warn
        import keras
    return keras


def forward(share: float = 1) -> Outcome:
    """Promise 1: outputs in random geometries, and their errors against double precision."""
    return _compared(share, ("output",))


def backward(share: float = 1) -> Outcome:
    """Promise 2: dx, dkernel and dbias in the same geometries."""
    return _compared(share, ("dx", "dkernel", "dbias"))


def _compared(share: float, columns: tuple[str, ...]) -> Outcome:
    _keras()
    counts = {kind: max(5, round(share * count)) for kind, count in ledger.FULL.items()}
    rows = list(ledger.full(counts=counts))
    wrong = 0
    worst = {"exact": 0.0, "float64": 0.0, "float32": 0.0, "float32 winograd": 0.0}
    for row in rows:
        limit = ledger.TOLERANCES[row.tolerance][columns[0] != "output"]
        largest = max((row.differences.get(name, 0.0) for name in columns), default=0.0)
        worst[row.tolerance] = max(worst[row.tolerance], largest)
        wrong += 0 if largest <= limit else max(1, row.mismatches)
    ratios = [r.error_ratio for r in rows if r.error_ratio and r.tolerance != "float32 winograd"]
    asked = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
    figure = (
        f"{asked}, in two precisions and every algorithm: {sum(row.cases for row in rows):,} "
        f"compared, {wrong} mismatches; worst "
        + ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    )
    if "output" in columns:
        figure += f"; error up to {max(ratios):.2f} x TensorFlow's (Winograd exempt)"
    return Outcome(wrong == 0 and max(ratios) <= ledger.MOST_ERROR, figure)


def numerical_gradients(share: float = 1) -> Outcome:
    """Promise 3: every parameter of small random networks, by the loss and by the outputs."""
    numbers = range(max(2, round(share * NETWORKS)))
    rows = []
    for number in numbers:
        rng = np.random.default_rng([5, number])
        model, x, labels = random_network(rng)
        rows += check_gradients(model, x, labels, rng=rng).rows
        rows += check_gradients(model, x, rng=rng).rows
    failures = sum(not row.ok for row in rows)
    skipped = sum(row.skipped for row in rows)
    figure = (
        f"{len(numbers)} networks, {sum(row.checked for row in rows):,} derivatives: {failures} of "
        f"{len(rows)} gradients wrong, {skipped} derivatives skipped at kinks, worst relative "
        f"error {max(row.error for row in rows):.1e}"
    )
    return Outcome(failures == 0 and skipped == 0, figure)


def optimizers(share: float = 1) -> Outcome:
    """Promise 5: trajectories against double precision, and against Keras."""
    _keras()
    steps = max(10, round(share * STEPS))
    wrong, worst = 0, {}
    for dtype, tolerance in (("float64", "float64"), ("float32", "float32 trajectory")):
        for optimizer, arguments in CONFIGURATIONS.values():
            ours = trajectory(optimizer, arguments, steps, np.dtype(dtype))
            right = formula(optimizer, steps, **arguments)
            scale = np.abs(right).max(axis=0)  # each weight's own: they differ by eleven digits
            errors = (np.abs(ours - right) / scale).max(axis=0)
            wrong += int((errors > TOLERANCES[tolerance][0]).sum())
            worst[dtype] = max(worst.get(dtype, 0), errors.max())
    beside_keras = [case for case in cases.quick_cases() if isinstance(case, OptimizerCase)]
    rows = [ledger.compare(case, case.theirs()) for case in beside_keras]
    mismatches = sum(not row.ok for row in rows)
    figure = (
        f"{2 * len(CONFIGURATIONS)} trajectories of {steps:,} steps and 48 weights, gradients from "
        f"1e-8 to 1e3: {wrong} of {2 * 48 * len(CONFIGURATIONS)} weights off, worst float64 "
        f"{worst['float64']:.1e}, float32 {worst['float32']:.1e}; {len(rows)} of {STEPS:,} steps "
        f"beside Keras: {mismatches} mismatches"
    )
    return Outcome(wrong == 0 and mismatches == 0, figure)


def training(share: float = 1) -> Outcome:
    """Promise 7: losses step by step from the same weights, and accuracy over some seeds."""
    keras = _keras()
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
        f"{adam:.1e}; Adam in float32 parts by {PROMISED:g} "
        + (f"at step {single}" if single else "nowhere")
        + f" (rounding); accuracy after {images:,} images over {seeds} seeds: {own:.4f}, Keras "
        f"{other:.4f}, {100 * apart:.2f} points apart"
    )
    return Outcome(max(sgd, adam) <= PROMISED and apart <= POINTS, figure)
