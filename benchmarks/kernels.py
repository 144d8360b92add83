"""One convolution computed in several ways, from Python loops to Winograd on all threads.

    python benchmarks/kernels.py                 the tutorial's second convolution, 14x14x32 -> 64
    python benchmarks/kernels.py --layers        where the time of one training step goes

Every implementation is compared with the formula before it is timed. All are timed in turns, on one
core and with BLAS on one thread unless their title says otherwise.

GFLOP/s count the arithmetic of the formula, whatever an implementation computes. One that saves
arithmetic may exceed 100 % of the roofline, which is the speed of a large matrix product in BLAS.
"""

import argparse
from collections.abc import Callable
from itertools import product
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from measure import Times, figure_form, heading, in_turns, made_with, sgemm_peak, spread, write_json
from step_profile import profile

from minicnn import set_num_threads
from minicnn.engine import algorithms, available_cores, threads
from minicnn.engine.blas import one_thread
from minicnn.engine.kernels import direct
from minicnn.layers import Conv2D
from minicnn.shapes import Geometry, window_geometry

# As shares of the largest number: sums of up to some thousand products in float32. Winograd's
# transforms multiply and divide by up to some dozens, which costs a digit.
LARGEST_ERROR = {"Winograd": 1e-4, "Winograd, all threads": 1e-4}
USUAL_ERROR = 1e-5
DIRECTIONS = ("forward", "backward")


def main() -> None:
    """Print the comparison, or the profile of a step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=14, help="height and width (default 14)")
    parser.add_argument("--channels", type=int, default=32, help="(default 32)")
    parser.add_argument("--filters", type=int, default=64, help="(default 64)")
    parser.add_argument("--kernel-size", type=int, default=5, help="3 or 5 (default 5)")
    parser.add_argument("--images", type=int, default=64, help="in a batch (default 64)")
    parser.add_argument("--runs", type=int, default=7, help="of each implementation (default 7)")
    parser.add_argument("--layers", action="store_true", help="profile one training step instead")
    parser.add_argument("--sgemm-size", type=int, default=2048, help=argparse.SUPPRESS)
    parser.add_argument("--json", metavar="FILE", help="write all figures there as well")
    arguments = parser.parse_args()

    cores = available_cores()
    made = made_with()
    peaks = {str(n): sgemm_peak(n, arguments.sgemm_size) for n in sorted({1, cores})}
    print(heading(made))
    for count, peak in peaks.items():
        print(f"roofline: sgemm reaches {peak:.0f} GFLOP/s with {count} thread(s)")
    if arguments.layers:
        measured = profile(arguments.images, arguments.runs, peaks)
    else:
        measured = compare(arguments, peaks)
    if arguments.json:
        settings = {k: v for k, v in vars(arguments).items() if k != "json"}
        write_json(arguments.json, {**made, **settings, "sgemm_gflops": peaks, **measured})


class Implementation(NamedTuple):
    """One implementation of a convolution.

    `forward(x, kernel, bias, geometry)` returns y, `backward(x, dy, kernel, geometry)` dx and
    dkernel.
    """

    title: str
    forward: Callable[..., np.ndarray]
    backward: Callable[..., tuple[np.ndarray, np.ndarray]]
    images: int | None = None  # at most, since Python takes seconds for one
    threads: int = 1


def python_forward(x, kernel, bias, g):
    """The formula with Python's own lists and numbers."""
    x, kernel, bias = x.tolist(), kernel.tolist(), bias.tolist()
    channels, filters = range(len(kernel[0][0])), range(len(bias))
    y = [[[list(bias) for _ in range(g.ow)] for _ in range(g.oh)] for _ in x]
    for image, _ in enumerate(x):
        for i, j, ki, kj, row, column in positions(g):
            pixel, out = x[image][row][column], y[image][i][j]
            for ch in channels:
                for o in filters:
                    out[o] += pixel[ch] * kernel[ki][kj][ch][o]
    return np.array(y)


def python_backward(x, dy, kernel, g):
    """The same products; each passes dy times one of its factors to the gradient of the other."""
    dx, dkernel = np.zeros_like(x).tolist(), np.zeros_like(kernel).tolist()
    x, dy, kernel = x.tolist(), dy.tolist(), kernel.tolist()
    channels, filters = range(len(kernel[0][0])), range(len(kernel[0][0][0]))
    for image, _ in enumerate(x):
        for i, j, ki, kj, row, column in positions(g):
            pixel, dpixel, out = x[image][row][column], dx[image][row][column], dy[image][i][j]
            for ch in channels:
                for o in filters:
                    dpixel[ch] += out[o] * kernel[ki][kj][ch][o]
                    dkernel[ki][kj][ch][o] += out[o] * pixel[ch]
    return np.array(dx), np.array(dkernel)


def positions(g: Geometry):
    """The cells of all windows that lie inside the image: i, j, ki, kj, row, column."""
    for i, j, ki, kj in product(*map(range, (g.oh, g.ow, g.kh, g.kw))):
        row, column = i * g.sh + ki - g.top, j * g.sw + kj - g.left
        if 0 <= row < g.h and 0 <= column < g.w:
            yield i, j, ki, kj, row, column


def core(kernel: np.ndarray, bias: np.ndarray | None, g: Geometry) -> Conv2D:
    """The layer as `compile(..., run_eagerly=True)` runs it: plain NumPy."""
    layer = Conv2D(kernel.shape[3], (g.kh, g.kw), padding="same", use_bias=bias is not None)
    layer.params, layer.input_shape = {"kernel": kernel, "bias": bias}, (g.h, g.w, kernel.shape[2])
    return layer


def core_forward(x, kernel, bias, g):
    """The core's forward pass."""
    return core(kernel, bias, g).forward(x)[0]


def core_backward(x, dy, kernel, g):
    """The core's backward pass without the gradient of a bias."""
    cache = x, dy  # without an activation, only the shape of y is used
    dx, grads = core(kernel, None, g).backward(dy, cache)
    return dx, grads["kernel"]


def by_algorithm(title: str, name: str) -> Implementation:
    """An algorithm of the engine on one thread; what it prepares from the kernel is timed, too."""

    def forward(x, kernel, bias, g):
        prepared = algorithms.prepare(name, kernel)
        return algorithms.ALGORITHMS[name].forward(x, prepared, bias, g)

    def backward(x, dy, kernel, g):
        return algorithms.gradients(name, x, dy, algorithms.prepare(name, kernel), g)

    return Implementation(title, forward, backward)


def on_threads(title: str, name: str, cores: int) -> Implementation:
    """The same on all threads: the batch is cut into shards, whose gradients are summed."""

    def forward(x, kernel, bias, g):
        prepared, run = algorithms.prepare(name, kernel), algorithms.ALGORITHMS[name].forward
        parts = threads.run(lambda s: run(x[s], prepared, bias, g), threads.cut(len(x)))
        return np.concatenate(parts)

    def backward(x, dy, kernel, g):
        prepared = algorithms.prepare(name, kernel)
        parts = threads.run(
            lambda s: algorithms.gradients(name, x[s], dy[s], prepared, g), threads.cut(len(x))
        )
        dx, dkernel = zip(*parts, strict=True)
        return np.concatenate(dx), np.sum(dkernel, axis=0)

    return Implementation(title, forward, backward, threads=cores)


def implementations(cores: int) -> list[Implementation]:
    """All versions, in the order of the table."""
    return [
        Implementation("pure Python", python_forward, python_backward, images=1),
        Implementation("core: NumPy (run_eagerly=True)", core_forward, core_backward),
        by_algorithm("direct: the loops, compiled", "direct"),
        by_algorithm("im2col + BLAS", "im2col"),
        by_algorithm("Winograd", "winograd"),
        on_threads("Winograd, all threads", "winograd", cores),
    ]


def compare(arguments: argparse.Namespace, peaks: dict[str, float]) -> dict[str, Any]:
    """Check and time all versions and print the table; returns its figures."""
    size, kernel_size = arguments.size, arguments.kernel_size
    geometry = window_geometry((size, size), (kernel_size, kernel_size), (1, 1), "same")
    inputs = arrays(geometry, arguments)
    work = size**2 * kernel_size**2 * arguments.channels * arguments.filters  # multiply-adds
    cores = available_cores()
    set_num_threads(cores)
    found: dict[str, Any] = {"multiply_adds": work, "ladder": {}}
    print(
        f"\n{size}x{size}x{arguments.channels} -> {arguments.filters}, {kernel_size}x{kernel_size} "
        f'"same", float32, {arguments.images} images, {arguments.runs} runs, '
        f"{work:,} multiply-adds per image for each of y, dx and dkernel"
    )
    with one_thread:  # once for all runs, since setting BLAS' threads takes time
        versions = implementations(cores)
        for version in versions:
            check(version, inputs, geometry)
        for direction in DIRECTIONS:
            times = time_all(versions, direction, inputs, geometry, arguments.runs)
            flops = 2 * work * (1 if direction == "forward" else 2)  # two gradients
            found["ladder"][direction] = print_table(direction, versions, times, flops, peaks)
    return found


def arrays(g: Geometry, arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """Random x, dy, kernel and bias."""
    rng = np.random.default_rng(0)
    n, c, f = arguments.images, arguments.channels, arguments.filters
    shapes = {
        "x": (n, g.h, g.w, c),
        "dy": (n, g.oh, g.ow, f),
        "kernel": (g.kh, g.kw, c, f),
        "bias": (f,),
    }
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def check(version: Implementation, inputs: dict[str, np.ndarray], g: Geometry) -> None:
    """Raise an error if results differ from the formula's, which `direct` computes in float64."""
    x, dy = inputs["x"][: version.images], inputs["dy"][: version.images]
    kernel, bias = inputs["kernel"], inputs["bias"]
    dx, dkernel = version.backward(x, dy, kernel, g)
    x64, dy64, kernel64, bias64 = (array.astype(np.float64) for array in (x, dy, kernel, bias))
    pairs = {
        "y": (version.forward(x, kernel, bias, g), direct.forward(x64, kernel64, bias64, g)),
        "dx": (dx, direct.grad_input(dy64, kernel64, g)),
        "dkernel": (dkernel, direct.grad_kernel(x64, dy64, g)),
    }
    for name, (ours, formula) in pairs.items():
        error = np.abs(ours - formula).max() / np.abs(formula).max()
        if ours.shape != formula.shape or not error < LARGEST_ERROR.get(version.title, USUAL_ERROR):
            raise ValueError(f"{version.title}: {name} is not the formula's: off by {error:.1e}")


def time_all(versions, direction, inputs, g, runs) -> Times:
    """Microseconds per image of each implementation; Python's loops once, all others in turns."""

    def call(version: Implementation) -> Callable[[], Any]:
        x, dy = inputs["x"][: version.images], inputs["dy"][: version.images]
        if direction == "forward":
            return lambda: version.forward(x, inputs["kernel"], inputs["bias"], g)
        return lambda: version.backward(x, dy, inputs["kernel"], g)

    slow = {version.title: call(version) for version in versions if version.images}
    fast = {version.title: call(version) for version in versions if not version.images}
    times = in_turns(slow, 1, warm_up=False) | in_turns(fast, runs)
    counts = {version.title: version.images or len(inputs["x"]) for version in versions}
    return {title: [t / counts[title] * 1e6 for t in own] for title, own in times.items()}


def print_table(direction, versions, times, flops, peaks) -> dict[str, dict[str, Any]]:
    """Print one line for each implementation; returns the figures."""
    print(f"\n{direction}")
    print(
        f"{'':30}{'us per image (lowest - highest)':>36}{'times as fast':>14}{'GFLOP/s':>10}"
        f"{'of roofline':>13}"
    )
    rows: dict[str, dict[str, Any]] = {}
    before = None
    for version in versions:
        own = times[version.title]
        us = median(own)
        gflops, peak = flops / us / 1e3, peaks[str(version.threads)]
        row = {"us": own, "images": version.images, "gflops": gflops, "of_roofline": gflops / peak}
        rows[version.title] = row | {"times_as_fast": before / us if before else None}
        ratio = f"{before / us:.1f}" if before else ""
        note = f" ({version.images} image only)" if version.images else ""
        print(
            f"{version.title + note:30}{spread(own, figure_form(us)):>36}{ratio:>14}"
            f"{figure_form(gflops).format(gflops):>10}{gflops / peak:>13.1%}"
        )
        before = us
    for count, peak in peaks.items():
        title = f"roofline, {count} thread(s)"
        print(f"{title:30}{flops / peak / 1e3:>36.1f}{'':14}{peak:>10.0f}{1:>13.1%}")
    return rows


if __name__ == "__main__":
    main()
