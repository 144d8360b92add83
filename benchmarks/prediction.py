"""Prediction of the time of a step on another machine: for `scaling.py --predict`.

A step runs on one thread, and every part of it that `minicnn.engine.threads` would give to a thread
is timed. The parts are then assigned to the other machine's cores in the same way: each to the
first core that is free. All other work is serial. As a test, the same calculation for the cores of
this machine is printed next to what they need in fact.
"""

import heapq
import math
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple
from unittest import mock

from measure import compiled_model, in_turns, noting_time, seconds, sgemm_peak, steps_of

from minicnn import Sequential, set_num_threads
from minicnn.engine import available_cores, threads
from minicnn.engine.blas import one_thread
from minicnn.engine.kernels.winograd_matrices import tile_size
from minicnn.plots.architecture import multiply_adds

BATCH_SIZES = (32, 64, 128, 256, 512)
NUMBER = 4  # bytes of a float32


class Laptop(NamedTuple):
    """The machine to predict for. Every number is an assumption."""

    cores: int = 8
    core_gflops: float = 90.0  # AVX2: 32 FLOP a cycle at 3 GHz, of which BLAS reaches 94 %
    bandwidth: float = 60.0  # GB/s: two channels of DDR5, some 70 % of their 83
    cache: float = 1.0  # MB of L2 a core


class Pieces(NamedTuple):
    """Seconds of one step on one thread."""

    serial: float
    calls: list[list[float]]  # for each call of `threads.run`, its parts

    def on(self, cores: int) -> tuple[float, float]:
        """Seconds of all calls on `cores`: if no core was ever idle, and until the last is done."""
        last = sum(time_of_last(durations, cores) for durations in self.calls)
        return sum(map(sum, self.calls)) / cores, last


def time_of_last(durations: list[float], cores: int) -> float:
    """When the last part is done, if each core takes the next one as soon as it is free."""
    free = [0.0] * cores
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def pieces(function: Callable[[], Any]) -> Pieces:
    """The pieces of one call of `function`, which has to run on one thread."""
    calls: list[list[float]] = []
    run = threads.run

    def timed_run(work: Callable, parts: list) -> list:
        calls.append([])
        return run(noting_time(work, calls[-1]), parts)

    with mock.patch.object(threads, "run", timed_run):
        took = seconds(function)
    return Pieces(took - sum(map(sum, calls)), calls)


def predict(laptop: Laptop, runs: int, sgemm_size: int = 2048) -> list[dict[str, Any]]:
    """Print and return, for each batch size, the measured and the predicted times."""
    cores = available_cores()
    one, all_cores = (sgemm_peak(n, sgemm_size) for n in (1, cores))
    print_assumptions(laptop, one, all_cores, cores)
    model = compiled_model()
    print_working_set(model, laptop)
    slower = all_cores / cores / laptop.core_gflops
    handing_over = time_to_hand_over(runs)
    rows = []
    for batch_size in BATCH_SIZES:
        moved = bytes_moved(model, batch_size)
        for name, function in steps_of(model, batch_size).items():
            found, times = measured_here(function, cores, runs, handing_over, batch_size)
            times |= predicted(found, laptop, slower, handing_over, moved[name], batch_size)
            rows.append({"batch": batch_size, "work": name, **times})
    set_num_threads(cores)
    print_rows(rows, cores, laptop)
    return rows


def measured_here(function, cores, runs, handing_over, batch_size) -> tuple[Pieces, dict[str, Any]]:
    """Pieces; microseconds per image on one thread, on all, and the latter from the pieces."""
    times = {}
    for count in (cores, 1):
        set_num_threads(count)
        times[count] = median(in_turns({"": function}, runs)[""])
    samples = [pieces(function) for _ in range(runs)]
    middle = sorted(samples, key=lambda p: p.serial + p.on(1)[0])[runs // 2]
    replayed = middle.serial + middle.on(cores)[1]
    if cores > 1:
        replayed += handing_over * len(middle.calls)
    unit = 1e6 / batch_size
    found = {"one thread": times[1], "all threads": times[cores], "all threads, replayed": replayed}
    return middle, {name: took * unit for name, took in found.items()}


def predicted(measured, laptop, slower, handing_over, moved, batch_size) -> dict[str, Any]:
    """The laptop's microseconds per image, and their parts, the largest of which is the limit."""
    busy, last = (slower * t for t in measured.on(laptop.cores))
    unit = 1e6 / batch_size
    parts = {
        "arithmetic": busy,
        "idle cores": last - busy,
        "serial part": measured.serial + handing_over * len(measured.calls),
    }
    compute = sum(parts.values())
    # Memory and cores work at the same time: memory counts for as long as it takes longer.
    parts["memory"] = max(0.0, moved / laptop.bandwidth / 1e9 - compute)
    alone = measured.serial + slower * measured.on(1)[0]
    total = sum(parts.values())
    return {
        "laptop": total * unit,
        "laptop, one core": alone * unit,
        "laptop, parts": {name: part * unit for name, part in parts.items()},
        "limit": max(parts, key=parts.__getitem__),
        "GB/s needed": moved / compute / 1e9,
    }


def time_to_hand_over(runs: int) -> float:
    """Seconds to start two threads on a task and to wait for both."""
    set_num_threads(2)
    with one_thread:
        times = in_turns({"": lambda: threads.run(lambda _: None, [0, 1])}, 50 * runs)[""]
    return median(times)


def bytes_moved(model: Sequential, batch_size: int) -> dict[str, float]:
    """Bytes that a step moves to and from memory, if no array stays in a cache between layers.

    Outputs are written and read in the forward pass. In the backward pass they are read again, and
    their gradients are written and read. Each shard reads the weights and writes its own gradients,
    which are summed. Adam reads weight, gradient and two moments, and writes all but the gradient.
    """
    outputs = [math.prod(layer.output_shape(layer.input_shape)) for layer in model.layers]
    numbers = (math.prod(model.input_shape) + sum(outputs)) * NUMBER * batch_size
    weights, shards = model.count_params() * NUMBER, len(threads.cut(batch_size))
    return {
        "training": 5 * numbers + weights * (4 * shards + 7),
        "inference": 2 * numbers + weights * shards,
    }


def print_assumptions(laptop: Laptop, one: float, all_cores: float, cores: int) -> None:
    """Print what is measured on this machine, and what is assumed of the other."""
    print(
        f"\nthis machine: sgemm reaches {one:.0f} GFLOP/s on one core, {all_cores:.0f} on {cores}\n"
        f"the laptop (assumed): {laptop.cores} cores, each of {laptop.core_gflops:.0f} GFLOP/s in "
        f"sgemm and with {laptop.cache:g} MB of L2; {laptop.bandwidth:.0f} GB/s\n"
        "also assumed: the speed of the threads' work scales with that of sgemm on one core, and\n"
        "serial work takes as long as here; all cores are equal and do not slow down when warm;\n"
        "threads never wait for each other in Python; there is no third-level cache, so arrays\n"
        "between layers go through memory"
    )


def print_working_set(model: Sequential, laptop: Laptop) -> None:
    """Print whether the transformed kernels, which each core reads repeatedly, fit in its cache."""
    for layer in model.layers:
        if getattr(layer, "algorithm_", None) == "winograd":
            r, _, c, f = layer.params["kernel"].shape
            size = tile_size(r) ** 2 * c * f * NUMBER / 2**20
            fits = "fits" if size < 0.8 * laptop.cache else "does not fit"
            print(
                f"{layer.name}: transformed kernel of {size:.2f} MB {fits} in {laptop.cache:g} MB"
            )
    work = sum(map(multiply_adds, model.layers))
    print(f"arithmetic of the forward pass: {2 * work / 1e6:.1f} MFLOP per image")


def print_rows(rows: list[dict[str, Any]], cores: int, laptop: Laptop) -> None:
    """Print a table for training and one for inference."""
    columns = ("one thread", "all threads", "all threads, replayed", "laptop")
    heads = ("1 thread", f"{cores} threads", "calculated", "laptop", "speed-up")
    for work in ("training", "inference"):
        print(f"\n{work}, us per image")
        print(f"{'batch':8}" + "".join(f"{head:>12}" for head in heads) + "  parts of the laptop's")
        for row in (row for row in rows if row["work"] == work):
            cells = "".join(f"{row[column]:>12.1f}" for column in columns)
            growth = row["laptop, one core"] / row["laptop"]
            parts = ", ".join(f"{k} {us:.1f}" for k, us in row["laptop, parts"].items())
            print(f"{row['batch']:<8}{cells}{growth:>12.2f}  {parts}; limit: {row['limit']}")
    for row in rows:
        shards = len(threads.cut(row["batch"]))
        if row["work"] == "training" and shards < laptop.cores:
            print(
                f"Batches of {row['batch']} are cut into {shards} shards: during the passes, "
                f"{laptop.cores - shards} of {laptop.cores} cores are idle."
            )
    hungry = max(rows, key=lambda row: row["GB/s needed"])
    print(
        f"At most {hungry['GB/s needed']:.0f} GB/s are needed ({hungry['work']}, batch "
        f"{hungry['batch']}); the laptop has {laptop.bandwidth:.0f}."
    )
