"""What the benchmarks share: models, timing in turns, the roofline, cells of tables, JSON files.

minicnn is imported where it is needed: `one_run.py`, which uses this module, also measures the
memory of other libraries.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from networks import NETWORKS, data, sequential

Times = dict[Any, list[float]]


def seconds(function: Callable[..., Any], *args: Any) -> float:
    """Time of one call."""
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def noting_time(function: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    """The same function; the seconds of each call are appended to `times`."""

    def timed(*args: Any) -> Any:
        start = time.perf_counter()
        result = function(*args)
        times.append(time.perf_counter() - start)
        return result

    return timed


def in_turns(functions: dict[Any, Callable[[], Any]], runs: int, warm_up: bool = True) -> Times:
    """Seconds of `runs` calls of each function: each is called once, then each a second time, ...

    A machine that is slow for a while is then slow for all of them.
    """
    if warm_up:
        for function in functions.values():
            function()
    times: Times = {name: [] for name in functions}
    for _ in range(runs):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return times


def sgemm_peak(threads: int, size: int = 2048, runs: int = 5) -> float:
    """GFLOP/s of the best of some large float32 matrix products in SciPy's BLAS, minicnn's."""
    from scipy.linalg.blas import sgemm
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    a, b = (np.asfortranarray(rng.random((size, size), np.float32)) for _ in range(2))
    with threadpool_limits(limits=threads, user_api="blas"):
        best = min(in_turns({"sgemm": lambda: sgemm(1.0, a, b)}, runs)["sgemm"])
    return 2 * size**3 / best / 1e9


def digits(images: int, size: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """The first test images of MNIST, resized to (n, size, size, 1) by nearest pixels, and labels.

    Random images would not do: most pixels of digits are zero, and so are many gradients, which
    some kernels leave out.
    """
    _, (x, y) = data("tutorial", 0, images)
    nearest = np.arange(size) * 28 // size
    return np.ascontiguousarray(x[:, nearest][:, :, nearest]), y


def compiled_model(image_size: int = 28, filters: int = 32) -> Any:
    """The tutorial's network, by default in its own size; `filters` of the first convolution."""
    import minicnn

    network = NETWORKS["tutorial"]._replace(
        input_shape=(image_size, image_size, 1), filters=(filters, 2 * filters)
    )
    model = sequential(minicnn, network)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def steps_of(model: Any, batch_size: int) -> dict[str, Callable[[], Any]]:
    """Functions for one training step and one prediction of `model`, each with one batch."""
    from minicnn.engine import Plan

    x, labels = digits(batch_size, model.input_shape[0])
    plan = Plan(model.layers, model.loss)
    return {
        "training": lambda: plan.train(model.optimizer, x, labels, seed=(0, 0)),
        "inference": lambda: model.predict(x, batch_size=batch_size, verbose=0),
    }


def spread(values: list[float], form: str) -> str:
    """`median (lowest - highest)`."""
    low, middle, high = (form.format(v) for v in (min(values), median(values), max(values)))
    return f"{middle} ({low} - {high})"


def figure_form(value: float) -> str:
    """The format for numbers of this size, of about three digits."""
    return "{:.0f}" if value >= 100 else "{:.1f}" if value >= 10 else "{:.2f}"


def made_with(packages: tuple[str, ...] = ()) -> dict[str, Any]:
    """The machine, and the versions of Python, minicnn's dependencies and `packages`."""
    from minicnn.checking.environment import PACKAGES, machine, versions

    return {"machine": machine(), "versions": versions((*PACKAGES, *packages))}


def heading(made: dict[str, Any]) -> str:
    """Machine and versions in one line, and the load of the machine, which should be below one."""
    from minicnn.checking.environment import in_words

    load = f"; load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{made['machine']}; {in_words(made['versions'])}{load}"


def write_json(path: str, content: dict[str, Any]) -> None:
    """Write `content` to a file."""
    Path(path).write_text(json.dumps(content, indent=1) + "\n")
