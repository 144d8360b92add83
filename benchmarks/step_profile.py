"""Where the time of one training step goes, layer by layer: for `kernels.py --layers`."""

import time
from statistics import median
from typing import Any

from measure import digits, in_turns, multiply_adds, spread

from minicnn import parallel, step
from minicnn.objective import objective
from minicnn.tutorial import tutorial_network

Parts = dict[tuple[str, str], float]  # (layer, method): seconds
METHODS = {  # and what they are called in the table
    "prepared": "prepare",
    "forward": "forward",
    "backward": "backward",
    "weight_gradients": "backward",
    "apply_sum": "update",
}
REST = ("loss, Python", "")


class Timed:
    """A layer or an optimizer that notes how long its methods take."""

    def __init__(self, thing: Any, title: str, parts: Parts):
        self.thing, self.title, self.parts = thing, title, parts

    def __getattr__(self, name: str) -> Any:
        own = getattr(self.thing, name)
        if name not in METHODS:
            return own

        def timed(*args: Any) -> Any:
            start = time.perf_counter()
            result = own(*args)
            key = self.title, METHODS[name]
            self.parts[key] = self.parts.get(key, 0.0) + time.perf_counter() - start
            # A prepared layer is another object, whose passes are to be timed as well.
            return Timed(result, self.title, self.parts) if name == "prepared" else result

        return timed


def profile(images: int, runs: int, peaks: dict[str, float]) -> dict[str, Any]:
    """Print the profile of a step of the tutorial's network; `peaks`: sgemm's, by threads.

    One thread, so that parts add up; the whole step on all threads stands beside it.
    """
    x, labels = digits(images)
    model = tutorial_network()
    model.compile("adam", "sparse_categorical_crossentropy")
    goal, optimizer = objective(model.layers, model.loss), model.optimizer
    parts: Parts = {}
    titles = [f"{type(layer).__name__} {layer.name}" for layer in goal.layers]
    timed_goal = goal._replace(
        layers=[Timed(*pair, parts) for pair in zip(goal.layers, titles, strict=True)]
    )
    timed_optimizer = Timed(optimizer, type(optimizer).__name__, parts)

    whole = {}
    for threads in sorted(map(int, peaks)):
        parallel.set_num_threads(threads)
        times = in_turns({"": lambda: step.train_step(goal, optimizer, x, labels)}, runs)[""]
        whole[str(threads)] = [seconds / images * 1e6 for seconds in times]

    parallel.set_num_threads(1)
    gathered: dict[tuple[str, str], list[float]] = {}
    for _ in range(runs):
        parts.clear()
        start = time.perf_counter()
        step.train_step(timed_goal, timed_optimizer, x, labels)
        took = time.perf_counter() - start
        for key, seconds in [*parts.items(), (REST, took - sum(parts.values()))]:
            gathered.setdefault(key, []).append(seconds / images * 1e6)
    work = arithmetic(goal.layers, titles)
    print_profile(gathered, work, whole, peaks, images)
    rows = [
        {"part": part, "pass": name, "us": us, "multiply_adds": work.get((part, name), 0)}
        for (part, name), us in gathered.items()
    ]
    return {"layers": rows, "step": whole}


def arithmetic(layers: list[Any], titles: list[str]) -> dict[tuple[str, str], int]:
    """Multiply-adds an image of each layer's passes: backward is twice forward, for two gradients;
    but the first layer is asked for one only."""
    work = {}
    for number, (layer, title) in enumerate(zip(layers, titles, strict=True)):
        forward = multiply_adds(layer)
        work[title, "forward"] = forward
        work[title, "backward"] = forward * (2 if number else 1)
    return work


def print_profile(gathered, work, whole, peaks, images) -> None:
    """A line for each part; what is dense arithmetic has its share of the roofline."""
    print(f"\none step of the tutorial's network, {images} images, one thread")
    print(f"{'':32}{'':10}{'us an image (lowest - highest)':>34}{'of roofline':>13}")
    for (part, name), us in gathered.items():
        if median(us) < 0.05:
            continue  # nothing to prepare
        at_peak = 2 * work.get((part, name), 0) / peaks["1"] / 1e3  # us
        share = f"{at_peak / median(us):.1%}" if at_peak else ""
        print(f"{part:32}{name:10}{spread(us, '{:.1f}'):>34}{share:>13}")
    total = sum(work.values())
    for threads, us in whole.items():
        share = 2 * total / peaks[threads] / 1e3 / median(us)
        title = f"whole step, {threads} thread(s)"
        print(f"{title:42}{spread(us, '{:.1f}'):>34}{share:>13.1%}")
    print(
        f"Dense arithmetic of the step: {2 * total / 1e6:.1f} MFLOP an image, at the roofline "
        + ", ".join(f"{2 * total / p / 1e3:.0f} us with {n} thread(s)" for n, p in peaks.items())
    )
