"""One run of one library in a process of its own, which `compare.py` starts: figures as JSON.

Before any clock starts, the library has to give minicnn's probabilities for some images.
"""

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from networks import NETWORKS, data
from peers import PEERS, Library

INFERENCE_BATCH_SIZE = 64
WARM_UP_BATCHES = 10
SINGLE_IMAGES = 200
CHECKED_IMAGES = 8
LARGEST_DIFFERENCE = 1e-4  # of probabilities; three convolutions in float32 reach 1e-6


def one_run(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """The figures of one peer: microseconds an image, test accuracy, megabytes."""
    peer = PEERS[name]
    given = np.load(Path(arguments.folder) / f"{arguments.network}-{arguments.seed}.npz")
    weights = [given[key] for key in sorted(set(given.files) - {"expected"})]
    (x, y), (x_test, y_test) = data(arguments.network, arguments.images, arguments.test_images)
    library = peer.build(NETWORKS[arguments.network], weights, arguments.threads, **peer.options)
    x, x_test = library.place(x), library.place(x_test)
    difference = library.probabilities(x_test[:CHECKED_IMAGES]) - given["expected"]
    largest = np.abs(difference).max()
    if not largest < LARGEST_DIFFERENCE:
        raise SystemExit(f"not the same network: probabilities differ by {largest}")

    training, inferring = {}, {}
    for batch_size in arguments.batch_sizes:
        if peer.trains:
            # The last batch may be smaller, and whoever compiles for each size does so here.
            warm_up = WARM_UP_BATCHES * batch_size + len(y) % batch_size
            library.train(x[:warm_up], y[:warm_up], batch_size)
            took = seconds(library.train, x, y, batch_size)
            training[f"training, batch {batch_size}"] = took / len(y) * 1e6
        if batch_size == arguments.batch_sizes[0]:
            inferring = inference(library, x_test, y_test)
    if not peer.trains:  # nothing was learned, and what training needs was not needed
        del inferring["accuracy"]
        return inferring
    if arguments.network != "tutorial":
        del inferring["accuracy"]  # of random labels
    return training | inferring | {"memory": peak_memory()}


def inference(library: Library, x: Any, y: np.ndarray) -> dict[str, float]:
    """Microseconds an image in batches and alone; and how many are right."""
    size = INFERENCE_BATCH_SIZE
    warm_up = WARM_UP_BATCHES * size + len(y) % size
    library.accuracy(x[:warm_up], y[:warm_up], size)
    start = time.perf_counter()
    accuracy = library.accuracy(x, y, size)
    in_batches = (time.perf_counter() - start) / len(y)
    alone = [
        seconds(library.probabilities, x[number : number + 1])
        for number in range(min(SINGLE_IMAGES, len(y)))
    ]
    return {
        f"inference, batch {size}": in_batches * 1e6,
        # The first ones warm up.
        "one image": median(alone[len(alone) // 4 :]) * 1e6,
        "accuracy": accuracy,
    }


def seconds(function: Callable[..., Any], *args: Any) -> float:
    """Time of one call."""
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def peak_memory() -> float:
    """Of this process, in MB; the data are part of it."""
    status = Path("/proc/self/status")
    if status.exists():  # the figure below begins, on Linux, with that of the process that forked
        (line,) = (ln for ln in status.read_text().splitlines() if ln.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def use_cores(threads: int) -> None:
    """Keep to that many cores, as some libraries count cores and ask nobody. On Linux only."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def main() -> None:
    """One run; its figures are the last line written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("--folder", required=True, help="where compare.py put the weights")
    parser.add_argument("--network", choices=NETWORKS, default="tutorial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--test-images", type=int, default=10_000)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    use_cores(arguments.threads)
    print(json.dumps(one_run(arguments.name, arguments)))


if __name__ == "__main__":
    main()
