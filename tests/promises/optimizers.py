"""Promise 5: a thousand steps of each optimizer equal its formula, and those of Keras."""

from typing import Any

import numpy as np

from minicnn.checking import cases, ledger
from minicnn.checking.case_types import OptimizerCase
from minicnn.optimizers import SGD, Adam
from tests.promises import Outcome
from tests.tolerances import TOLERANCES

STEPS = 1000
WEIGHTS = 48
CONFIGURATIONS: dict[str, tuple[type, dict[str, Any]]] = {
    "Adam": (Adam, {}),
    "Adam, other numbers": (
        Adam,
        {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
    ),
    "Adam, beta_1 = 0": (Adam, {"beta_1": 0.0}),
    "SGD": (SGD, {}),
    "SGD, momentum": (SGD, {"learning_rate": 0.1, "momentum": 0.9}),
    "SGD, nesterov": (SGD, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
}


def trajectories(share: float = 1) -> Outcome:
    """5: weights after each step."""
    steps = max(10, round(share * STEPS))
    wrong, worst = 0, {}
    for dtype, tolerance in (("float64", "float64"), ("float32", "float32 trajectory")):
        for optimizer, arguments in CONFIGURATIONS.values():
            ours = trajectory(optimizer, arguments, steps, np.dtype(dtype))
            expected = formula(optimizer, steps, **arguments)
            scale = np.abs(expected).max(axis=0)  # of each weight: they differ by eleven digits
            errors = (np.abs(ours - expected) / scale).max(axis=0)
            wrong += int((errors > TOLERANCES[tolerance][0]).sum())
            worst[dtype] = max(worst.get(dtype, 0), errors.max())
    with_keras = [case for case in cases.quick_cases() if isinstance(case, OptimizerCase)]
    rows = [ledger.compare(case, case.theirs()) for case in with_keras]
    mismatches = sum(not row.ok for row in rows)
    figure = (
        f"{2 * len(CONFIGURATIONS)} trajectories of {steps:,} steps and {WEIGHTS} weights, "
        f"gradients from 1e-8 to 1e3: {wrong} of {2 * WEIGHTS * len(CONFIGURATIONS)} weights off, "
        f"worst float64 {worst['float64']:.1e}, float32 {worst['float32']:.1e}; {len(rows)} of "
        f"{STEPS:,} steps compared with Keras: {mismatches} mismatches"
    )
    return Outcome(wrong == 0 and mismatches == 0, figure)


def gradients(steps: int = STEPS) -> np.ndarray:
    """(steps, weights): the gradients of each weight have a size of their own, from 1e-8 to 1e3.

    A quarter keep their sign, so that steps add up; the others change it.
    """
    rng = np.random.default_rng(8)
    sizes = np.logspace(-8, 3, WEIGHTS)
    values = sizes * rng.uniform(0.5, 1.5, (steps, WEIGHTS))
    signs = rng.choice([-1, 1], (steps, WEIGHTS))
    signs[:, ::4] = 1
    return (values * signs).astype(np.float32)


def trajectory(
    optimizer: type, arguments: dict[str, Any], steps: int = STEPS, dtype: Any = np.float32
) -> np.ndarray:
    """minicnn's weights after each step."""
    ours, weight, result = optimizer(**arguments), np.zeros(WEIGHTS, dtype), []
    for gradient in gradients(steps).astype(dtype):
        ours.apply([gradient], [weight])
        result.append(weight.copy())
    return np.array(result)


def formula(
    optimizer: type,
    steps: int,
    learning_rate: float | None = None,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    momentum: float = 0.0,
    nesterov: bool = False,
    mistake: str | None = None,
) -> np.ndarray:
    """Weights after each step, in double precision, by the formulas of Keras' documentation.

    `mistake` names one thing to do wrong; see the code.
    """
    w, m, v = np.zeros(WEIGHTS), np.zeros(WEIGHTS), np.zeros(WEIGHTS)
    result = []
    for t, g in enumerate(gradients(steps).astype(np.float64), start=1):
        if optimizer is SGD:
            lr = learning_rate or 0.01
            m = momentum * m - lr * g
            w = w + momentum * m - lr * g if nesterov else w + m
        else:
            lr = learning_rate or 0.001
            m = beta_1 * m + (1 - beta_1) * g
            v = beta_2 * v + (1 - beta_2) * g**2
            t += {"t counts from 0": -1 + 1e-3, "t is one ahead": 1}.get(mistake, 0)
            root, first = np.sqrt(1 - beta_2**t), 1 - beta_1**t
            if mistake == "no bias correction":
                root = first = 1
            denominator = {
                "epsilon inside the root": np.sqrt(v + epsilon),
                # Algorithm 1 of the paper, and PyTorch.
                "epsilon corrected for bias": np.sqrt(v) + epsilon * root,
                "PyTorch's epsilon": np.sqrt(v) + 1e-8,
            }.get(mistake, np.sqrt(v) + epsilon)
            w = w - lr * root / first * m / denominator
        result.append(w)
    return np.array(result)
