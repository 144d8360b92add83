"""What a step would cost on another machine, from pieces measured here: `scaling.py --predict`.

One step runs on one thread, and every piece of work that `minicnn.parallel` would hand to a thread
is timed. The pieces are then dealt out to more cores, each to the first that is free, as the
threads would take them; what is left is serial. Whether that is right is checked against the
threads there are here.
"""

import heapq
import math
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple
from unittest import mock

from measure import digits, in_turns, multiply_adds, seconds, sgemm_peak

from minicnn import Sequential, parallel, step
from minicnn.objective import objective
from minicnn.tutorial import tutorial_network

BATCH_SIZES = (32, 64, 128, 256, 512)
WINOGRAD_POINTS = 64
NUMBER = 4  # bytes


class Laptop(NamedTuple):
    """The machine that is thought of. Every number is an assumption."""

    cores: int = 8
    core_gflops: float = 90.0  # AVX2: 32 FLOP a cycle at 3 GHz, of which BLAS reaches 94 %
    bandwidth: float = 60.0  # GB/s: two channels of DDR5, of whose 83 some 70 % are reached
    cache: float = 1.0  # MB of L2 a core


class Pieces(NamedTuple):
    """One step on one thread, in seconds: what stays serial, and what each call dealt out."""

    serial: float
    calls: list[list[float]]

    def on(self, cores: int) -> tuple[float, float]:
        """Seconds that `cores` would work if none was ever idle, and that the last one does."""
        return (
            sum(map(sum, self.calls)) / cores,
            sum(time_of_last(durations, cores) for durations in self.calls),
        )


def time_of_last(durations: list[float], cores: int) -> float:
    """When all is done, if each core takes the next piece as soon as it is free."""
    free = [0.0] * cores
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def pieces(function: Callable[[], Any]) -> Pieces:
    """Of one call of `function`, with one thread."""
    calls: list[list[float]] = []
    run = parallel.run

    def timed_run(work: Callable, parts: list) -> list:
        calls.append([])

        def timed(part: Any) -> Any:
            start = time.perf_counter()
            result = work(part)
            calls[-1].append(time.perf_counter() - start)
            return result

        return run(timed, parts)

    with mock.patch.object(parallel, "run", timed_run):
        took = seconds(function)
    return Pieces(took - sum(map(sum, calls)), calls)


def predict(laptop: Laptop, runs: int, sgemm_size: int = 2048) -> list[dict[str, Any]]:
    """Print and return, for each batch size, what is measured here and predicted there."""
    cores = parallel.available_cores()
    one, all_cores = (sgemm_peak(n, sgemm_size) for n in (1, cores))
    print_assumptions(laptop, one, all_cores, cores)
    model = tutorial_network()
    model.compile("adam", "sparse_categorical_crossentropy")
    print_working_set(model, laptop)
    slower = all_cores / cores / laptop.core_gflops
    handing_over = time_to_hand_over(runs)
    rows = []
    for batch_size in BATCH_SIZES:
        x, labels = digits(batch_size)
        goal = objective(model.layers, model.loss)
        work = {
            "training": lambda g=goal, x=x, y=labels: step.train_step(g, model.optimizer, x, y),
            "inference": lambda x=x: model.predict(x, batch_size=len(x), verbose=0),
        }
        moved = bytes_moved(model, batch_size)
        for name, function in work.items():
            row: dict[str, Any] = {"batch": batch_size, "work": name}
            row |= here(function, cores, runs, handing_over, batch_size)
            row |= there(row.pop("pieces"), laptop, slower, handing_over, moved[name], batch_size)
            rows.append(row)
    parallel.set_num_threads(cores)
    print_rows(rows, cores, laptop)
    return rows


def here(function, cores, runs, handing_over, batch_size) -> dict[str, Any]:
    """Us an image on one thread and on all; and what the pieces say of all."""
    times = {}
    for threads in (cores, 1):
        parallel.set_num_threads(threads)
        times[threads] = median(in_turns({"": function}, runs)[""])
    found = sorted((pieces(function) for _ in range(runs)), key=lambda p: p.serial + p.on(1)[0])
    middle = found[len(found) // 2]
    replayed = middle.serial + middle.on(cores)[1]
    if cores > 1:
        replayed += handing_over * len(middle.calls)
    unit = 1e6 / batch_size
    return {
        "one thread": times[1] * unit,
        "all threads": times[cores] * unit,
        "all threads, replayed": replayed * unit,
        "pieces": middle,
    }


def there(
    measured: Pieces,
    laptop: Laptop,
    slower: float,
    handing_over: float,
    moved: float,
    batch_size: int,
) -> dict[str, Any]:
    """The laptop's us an image, and what they are made of: the largest part is the limit."""
    busy, last = (slower * t for t in measured.on(laptop.cores))
    unit = 1e6 / batch_size
    parts = {
        "arithmetic": busy,
        "idle cores": last - busy,
        "serial part": measured.serial + handing_over * len(measured.calls),
    }
    compute = sum(parts.values())
    # Memory works at the same time as the cores; it counts where it takes longer than they do.
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
    """Seconds to give two threads something to do, and to hear that it is done."""
    parallel.set_num_threads(2)
    with parallel.blas_on_one_thread():
        times = in_turns({"": lambda: parallel.run(lambda _: None, [0, 1])}, 50 * runs)[""]
    return median(times)


def bytes_moved(model: Sequential, batch_size: int) -> dict[str, float]:
    """Bytes of a step that go through memory if no array outlives a layer in a cache.

    Outputs are written and read on the way there; on the way back they are read again, and their
    gradients written and read. Each shard reads the weights and brings gradients of its own, which
    are summed; Adam reads weight, gradient and two moments, and writes three of them.
    """
    outputs = [math.prod(layer.output_shape(layer.input_shape)) for layer in model.layers]
    numbers = (math.prod(model.input_shape) + sum(outputs)) * NUMBER * batch_size
    weights, shards = model.count_params() * NUMBER, len(parallel.cut(batch_size))
    return {
        "training": 5 * numbers + weights * (4 * shards + 7),
        "inference": 2 * numbers + weights * shards,
    }


def print_assumptions(laptop: Laptop, one: float, all_cores: float, cores: int) -> None:
    """What is measured, and what is believed."""
    print(
        f"\nhere: sgemm reaches {one:.0f} GFLOP/s on one core and {all_cores:.0f} on {cores}\n"
        f"there, assumed: {laptop.cores} cores of {laptop.core_gflops:.0f} GFLOP/s each in sgemm, "
        f"{laptop.bandwidth:.0f} GB/s, {laptop.cache:g} MB of L2 a core\n"
        "assumed as well: what threads do scales with sgemm's speed a core, what is serial takes\n"
        "as long as here; all cores are equal and none slows down as it gets warm; threads never\n"
        "wait for each other in Python; no third-level cache, so what is moved between layers\n"
        "goes through memory"
    )


def print_working_set(model: Sequential, laptop: Laptop) -> None:
    """What a core uses again and again should fit in its cache."""
    for layer in model.layers:
        if getattr(layer, "algorithm_", None) == "winograd":
            *_, c, f = layer.params["kernel"].shape
            size = 2 * WINOGRAD_POINTS * c * f * NUMBER / 2**20  # U transposed, and dU
            words = "fits" if size < 0.8 * laptop.cache else "does not fit"
            print(
                f"{layer.name}: transformed weights and their gradient are {size:.2f} MB, which "
                f"{words} in {laptop.cache:g} MB; if not, products wait for the next cache"
            )
    work = sum(map(multiply_adds, model.layers))
    print(f"dense arithmetic forward: {2 * work / 1e6:.1f} MFLOP an image")


def print_rows(rows: list[dict[str, Any]], cores: int, laptop: Laptop) -> None:
    """A table for training and one for inference."""
    heads = ("1 thread", f"{cores} threads", "replayed", "laptop", "its growth")
    for work in ("training", "inference"):
        print(f"\n{work}, us an image")
        print(f"{'batch':8}" + "".join(f"{head:>12}" for head in heads) + "  made of")
        for row in rows:
            if row["work"] != work:
                continue
            here = (row["one thread"], row["all threads"], row["all threads, replayed"])
            cells = "".join(f"{us:>12.1f}" for us in (*here, row["laptop"]))
            growth = row["laptop, one core"] / row["laptop"]
            parts = ", ".join(f"{k} {us:.1f}" for k, us in row["laptop, parts"].items())
            print(f"{row['batch']:<8}{cells}{growth:>12.2f}  {parts}; most of it {row['limit']}")
    for row in rows:
        shards = len(parallel.cut(row["batch"]))
        if row["work"] == "training" and shards < laptop.cores:
            print(
                f"Batches of {row['batch']} are cut into {shards} shards: "
                f"{laptop.cores - shards} of {laptop.cores} cores have nothing to do in a pass."
            )
    hungry = max(rows, key=lambda row: row["GB/s needed"])
    print(
        f"At most {hungry['GB/s needed']:.0f} GB/s are needed ({hungry['work']}, batch "
        f"{hungry['batch']}), of {laptop.bandwidth:.0f}."
    )
