"""Where the time of one training step goes, operation by operation: for `kernels.py --layers`."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any
from unittest import mock

from measure import compiled_model, digits, in_turns, multiply_adds, spread, steps_of

from minicnn import Sequential, set_num_threads
from minicnn.engine import Plan, updates
from minicnn.engine.operations import Operation

Key = tuple[str, str]  # operation and pass
METHODS = {  # of an operation, and what they are called in the table
    "prepare": "prepare",
    "forward": "forward",
    "backward": "backward",
    "weight_gradients": "backward",
}
REST = ("loss, Python", "")


def profile(images: int, runs: int, peaks: dict[str, float]) -> dict[str, Any]:
    """Print the profile of a training step of the tutorial's network; `peaks`: sgemm's, by threads.

    Parts are timed on one thread, so that they add up; the whole step also on all threads.
    """
    model = compiled_model()
    train = steps_of(model, images)["training"]
    whole = {}
    for threads in sorted(map(int, peaks)):
        set_num_threads(threads)
        whole[str(threads)] = [t / images * 1e6 for t in in_turns({"": train}, runs)[""]]

    set_num_threads(1)
    plan = Plan(model.layers, model.loss)
    operations = [operation for segment in plan._segments for operation in segment.operations]
    gathered = timed_steps(plan, operations, model, images, runs)
    work = arithmetic(operations)
    print_profile(gathered, work, whole, peaks, images)
    rows = [
        {"part": part, "pass": name, "us": us, "multiply_adds": work.get((part, name), 0)}
        for (part, name), us in gathered.items()
    ]
    return {"layers": rows, "step": whole}


def timed_steps(
    plan: Plan, operations: list[Operation], model: Sequential, images: int, runs: int
) -> dict[Key, list[float]]:
    """Microseconds per image of each part of some training steps."""
    parts: dict[Key, float] = {}

    def timed(function: Callable[..., Any], key: Key) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            start = time.perf_counter()
            result = function(*args)
            parts[key] = parts.get(key, 0.0) + time.perf_counter() - start
            return result

        return run

    for operation in operations:
        for method, name in METHODS.items():
            key = title(operation), name
            setattr(operation, method, timed(getattr(operation, method), key))
    update = timed(updates.update_weights, (type(model.optimizer).__name__, "update"))
    x, labels = digits(images)
    gathered: dict[Key, list[float]] = {}
    with mock.patch.object(updates, "update_weights", update):
        for _ in range(runs):
            parts.clear()
            start = time.perf_counter()
            plan.train(model.optimizer, x, labels, seed=(0, 0))
            took = time.perf_counter() - start
            for key, seconds in [*parts.items(), (REST, took - sum(parts.values()))]:
                gathered.setdefault(key, []).append(seconds / images * 1e6)
    return gathered


def title(operation: Operation) -> str:
    """`PooledConvolution conv2d`"""
    return f"{type(operation).__name__} {operation.layer.name}"


def arithmetic(operations: list[Operation]) -> dict[Key, int]:
    """Multiply-adds per image of each pass.

    The backward pass takes as many as the forward pass for each of its two gradients; the first
    operation computes only that of the kernel.
    """
    work = {}
    for number, operation in enumerate(operations):
        forward = multiply_adds(operation.layer)
        work[title(operation), "forward"] = forward
        work[title(operation), "backward"] = forward * (2 if number else 1)
    return work


def print_profile(gathered, work, whole, peaks, images) -> None:
    """One line for each part, with its share of the roofline if it multiplies matrices."""
    print(f"\none step of the tutorial's network, {images} images, one thread")
    print(f"{'':32}{'':10}{'us per image (lowest - highest)':>34}{'of roofline':>13}")
    for (part, name), us in gathered.items():
        if median(us) < 0.05:
            continue  # nothing to prepare
        at_peak = 2 * work.get((part, name), 0) / peaks["1"] / 1e3  # us
        share = f"{at_peak / median(us):.1%}" if at_peak else ""
        print(f"{part:32}{name:10}{spread(us, '{:.1f}'):>34}{share:>13}")
    total = sum(work.values())
    for threads, us in whole.items():
        share = 2 * total / peaks[threads] / 1e3 / median(us)
        print(f"{f'whole step, {threads} thread(s)':42}{spread(us, '{:.1f}'):>34}{share:>13.1%}")
    print(
        f"Arithmetic of the formulas: {2 * total / 1e6:.1f} MFLOP per image, at the roofline "
        + ", ".join(f"{2 * total / p / 1e3:.0f} us with {n} thread(s)" for n, p in peaks.items())
    )
