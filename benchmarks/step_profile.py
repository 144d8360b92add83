"""Where the time of one training step goes, operation by operation: for `kernels.py --layers`."""

from collections.abc import Callable
from statistics import median
from typing import Any
from unittest import mock

from measure import compiled_model, digits, in_turns, noting_time, seconds, spread, steps_of

from minicnn import Sequential, set_num_threads
from minicnn.engine import Plan, updates
from minicnn.engine.operations import Operation
from minicnn.plots.architecture import multiply_adds

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
    operations = [operation for segment in plan.segments for operation in segment.operations]
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
    parts: dict[Key, list[float]] = {}

    def timed(function: Callable[..., Any], *key: str) -> Callable[..., Any]:
        return noting_time(function, parts.setdefault(key, []))

    for operation in operations:
        for method, name in METHODS.items():
            setattr(operation, method, timed(getattr(operation, method), title(operation), name))
    update = timed(updates.update_weights, type(model.optimizer).__name__, "update")
    x, labels = digits(images)
    gathered: dict[Key, list[float]] = {}
    with mock.patch.object(updates, "update_weights", update):
        for _ in range(runs):
            for times in parts.values():
                times.clear()
            took = seconds(lambda: plan.train(model.optimizer, x, labels, seed=(0, 0)))
            spent = {key: sum(times) for key, times in parts.items() if times}
            for key, own in [*spent.items(), (REST, took - sum(spent.values()))]:
                gathered.setdefault(key, []).append(own / images * 1e6)
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
