"""One run of one library in a process of its own, started by `compare.py`; prints JSON.

Before anything is timed, the library's probabilities for some images are compared with minicnn's.
"""

import argparse
import json
import os
import platform
import resource
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from libraries import Library
from measure import seconds
from networks import NETWORKS, data
from peers import PEERS

INFERENCE_BATCH_SIZE = 64
WARM_UP_BATCHES = 10
SINGLE_IMAGES = 200
CHECKED_IMAGES = 8
LARGEST_DIFFERENCE = 1e-4  # of probabilities; three convolutions in float32 reach 1e-6


def one_run(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """The figures of one peer: microseconds per image, test accuracy, megabytes."""
    peer = PEERS[name]
    given = np.load(Path(arguments.folder) / f"{arguments.network}-{arguments.seed}.npz")
    weights = [given[key] for key in sorted(set(given.files) - {"expected"})]
    (x, y), (x_test, y_test) = data(arguments.network, arguments.images, arguments.test_images)
    library = peer.build(NETWORKS[arguments.network], weights, arguments.threads, **peer.options)
    x, x_test = library.place(x), library.place(x_test)
    largest = np.abs(library.probabilities(x_test[:CHECKED_IMAGES]) - given["expected"]).max()
    if not largest < LARGEST_DIFFERENCE:
        raise SystemExit(f"not the same network: probabilities differ by {largest}")

    training, inferring = {}, {}
    for batch_size in arguments.batch_sizes:
        if peer.trains:
            # The size of the last batch, too: some libraries compile for each batch size.
            warm_up = WARM_UP_BATCHES * batch_size + len(y) % batch_size
            library.train(x[:warm_up], y[:warm_up], batch_size)
            took = seconds(library.train, x, y, batch_size)
            training[f"training, batch {batch_size}"] = took / len(y) * 1e6
        if batch_size == arguments.batch_sizes[0]:
            inferring = inference(library, x_test, y_test)
    if not peer.trains or arguments.network != "tutorial":
        del inferring["accuracy"]  # untrained, or of random labels
    if not peer.trains:  # memory without training does not compare with that of the others
        return inferring
    return training | inferring | {"memory": peak_memory()}


def inference(library: Library, x: Any, y: np.ndarray) -> dict[str, float]:
    """Microseconds per image, in batches and one by one, and the accuracy."""
    size = INFERENCE_BATCH_SIZE
    warm_up = WARM_UP_BATCHES * size + len(y) % size
    library.accuracy(x[:warm_up], y[:warm_up], size)
    start = time.perf_counter()
    accuracy = library.accuracy(x, y, size)
    in_batches = (time.perf_counter() - start) / len(y)
    one_by_one = [
        seconds(library.probabilities, x[number : number + 1])
        for number in range(min(SINGLE_IMAGES, len(y)))
    ]
    return {
        f"inference, batch {size}": in_batches * 1e6,
        "one image": median(one_by_one[len(one_by_one) // 4 :]) * 1e6,  # the first ones warm up
        "accuracy": accuracy,
    }


def peak_memory() -> float:
    """The largest memory of this process so far in MB, data included."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, `ru_maxrss` starts with the memory of the parent process
        (line,) = (ln for ln in status.read_text().splitlines() if ln.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def main() -> None:
    """Measure, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("--folder", required=True, help="with the weights, from compare.py")
    parser.add_argument("--network", choices=NETWORKS, default="tutorial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--test-images", type=int, default=10_000)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # on Linux: not every library has a setting for threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    print(json.dumps(one_run(arguments.name, arguments)))


if __name__ == "__main__":
    main()
