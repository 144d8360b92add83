"""What the benchmarks share: measuring in turns, the roofline, tables' cells, JSON files."""

import json
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from minicnn.environment import in_words, machine, versions

Times = dict[str, list[float]]


def in_turns(functions: dict[str, Callable[[], Any]], runs: int, warm_up: bool = True) -> Times:
    """Seconds that each function takes, `runs` times each, one after the other and again.

    A machine that is slow for a while is then slow for all of them.
    """
    times: Times = {name: [] for name in functions}
    if warm_up:
        for function in functions.values():
            function()
    for _ in range(runs):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return times


def seconds(function: Callable[[], Any]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def sgemm_peak(threads: int, size: int = 2048, runs: int = 5) -> float:
    """GFLOP/s of one large float32 matrix product, the best of some: what BLAS can do here.

    It is the BLAS that minicnn's kernels call, SciPy's.
    """
    from scipy.linalg.blas import sgemm
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    a, b = (np.asfortranarray(rng.random((size, size), np.float32)) for _ in range(2))
    with threadpool_limits(limits=threads, user_api="blas"):
        best = min(in_turns({"sgemm": lambda: sgemm(1.0, a, b)}, runs)["sgemm"])
    return 2 * size**3 / best / 1e9


def multiply_adds(layer: Any) -> int:
    """Multiply-adds an image of a built layer, done as the formula says: padding included."""
    layer = getattr(layer, "convolution", layer)  # of one that pools as well
    kernel = layer.params.get("kernel")
    if kernel is None:
        return 0
    positions = layer.output_shape(layer.input_shape)[:-1]
    return int(np.prod(positions, dtype=int)) * kernel.size


def digits(images: int, size: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """MNIST's first test digits, resized by taking nearest pixels: (n, size, size, 1), labels.

    Digits rather than noise: most of their cells are zero, for which there are short cuts.
    """
    from minicnn.datasets import mnist
    from minicnn.tutorial import scaled

    _, (x, y) = mnist.load_data()
    nearest = np.arange(size) * 28 // size
    return np.ascontiguousarray(scaled(x[:images])[:, nearest][:, :, nearest]), y[:images]


def spread(values: list[float], form: str) -> str:
    """`median (lowest - highest)`."""
    low, middle, high = (form.format(v) for v in (min(values), median(values), max(values)))
    return f"{middle} ({low} - {high})"


def figure_form(value: float) -> str:
    """How to write numbers of that size: to three digits or so."""
    return "{:.0f}" if value >= 100 else "{:.1f}" if value >= 10 else "{:.2f}"


def made_with(packages: tuple[str, ...] = ()) -> dict[str, Any]:
    """Machine and versions, without which figures mean nothing."""
    from minicnn.environment import PACKAGES

    return {"machine": machine(), "versions": versions((*PACKAGES, *packages))}


def heading(made: dict[str, Any]) -> str:
    """The same in one line, and how busy the machine is: more than one is too busy."""
    load = f"; load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{made['machine']}; {in_words(made['versions'])}{load}"


def write_json(path: str, content: dict[str, Any]) -> None:
    """Write `content` to a file."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")


def new_figure(height: float, title: str) -> Any:
    """A picture 9 inches wide: with text of 10 points it is readable at 900 pixels."""
    from matplotlib.figure import Figure

    figure = Figure((9, height), dpi=150, layout="constrained")
    figure.suptitle(title, fontsize=14)
    return figure
