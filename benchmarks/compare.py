"""minicnn and Keras side by side: one epoch of the tutorial's network on MNIST, run in turns.

    python benchmarks/compare.py                 5 runs each, all 60,000 images: some minutes
    python benchmarks/compare.py --runs 3 --images 20000

Every run is a process of its own, so that neither library's threads are in the other's way. Each
warms up on ten batches first, so that nobody's compiling is counted. Machines are seldom quiet:
look at the ratios, taken run by run, rather than at single times.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from statistics import median

import numpy as np

from minicnn.environment import in_words, machine, versions

INFERENCE_BATCH_SIZE = 64
ROWS = {  # key: (title, unit, format, whether Keras / minicnn is a speed-up)
    "training": ("training", "us an image", "{:.0f}", True),
    "inference": (f"inference, batch {INFERENCE_BATCH_SIZE}", "us an image", "{:.0f}", True),
    "accuracy": ("test accuracy", "", "{:.4f}", False),
    "memory": ("peak memory", "MB", "{:.0f}", False),
}


def main() -> None:
    """Run both in turns and print the table, or be one such run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each (default 5)")
    parser.add_argument("--images", type=int, default=60_000, help="to train with (default all)")
    parser.add_argument("--batch-size", type=int, default=32, help="(default 32)")
    parser.add_argument("--json", metavar="FILE", help="write all figures there as well")
    parser.add_argument("--be", choices=BUILDERS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.be:
        print(json.dumps(one_run(arguments)))
        return

    runs = {name: [] for name in BUILDERS}
    for seed in range(arguments.runs):
        for name in BUILDERS:
            runs[name].append(run_in_a_process(name, seed, arguments))
            print(f"run {seed + 1}, {name}: {describe(runs[name][-1])}", flush=True)
    print_table(runs, arguments)
    if arguments.json:
        setting = {"images": arguments.images, "batch_size": arguments.batch_size}
        with open(arguments.json, "w") as file:
            json.dump({"machine": machine(), **setting, "runs": runs}, file, indent=1)


def run_in_a_process(name: str, seed: int, arguments: argparse.Namespace) -> dict[str, float]:
    """The figures of one run."""
    command = [sys.executable, __file__, "--be", name, "--seed", str(seed)]
    command += ["--images", str(arguments.images), "--batch-size", str(arguments.batch_size)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def one_run(arguments: argparse.Namespace) -> dict[str, float]:
    """Train for an epoch and evaluate; both models have the same methods, which is the point."""
    from minicnn.datasets import mnist
    from minicnn.tutorial import scaled

    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    x_train, y_train = scaled(x_train[: arguments.images]), y_train[: arguments.images]
    x_test = scaled(x_test)
    model = BUILDERS[arguments.be](arguments.seed)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    def timed(function, *args, **options):
        start = time.perf_counter()
        result = function(*args, verbose=0, **options)
        return time.perf_counter() - start, result

    size = arguments.batch_size
    timed(model.fit, x_train[: 10 * size], y_train[: 10 * size], batch_size=size)
    timed(model.evaluate, x_test[:640], y_test[:640], batch_size=INFERENCE_BATCH_SIZE)
    training, _ = timed(model.fit, x_train, y_train, batch_size=size)
    inference, (_, accuracy) = timed(
        model.evaluate, x_test, y_test, batch_size=INFERENCE_BATCH_SIZE
    )
    return {
        "training": training / len(x_train) * 1e6,
        "inference": inference / len(x_test) * 1e6,
        "accuracy": accuracy,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def build_minicnn(seed: int):
    """The tutorial's network."""
    import minicnn
    from minicnn.tutorial import tutorial_network

    minicnn.set_random_seed(seed)
    return tutorial_network()


def build_keras(seed: int):
    """The same network."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


BUILDERS = {"minicnn": build_minicnn, "keras": build_keras}


def describe(figures: dict[str, float]) -> str:
    """One run in one line."""
    parts = (
        f"{title} {form.format(figures[key])} {unit}".rstrip()
        for key, (title, unit, form, _) in ROWS.items()
    )
    return ", ".join(parts)


def print_table(runs: dict[str, list[dict[str, float]]], arguments: argparse.Namespace) -> None:
    """Medians, spreads and, for times, the median of the ratios run by run."""
    print(f"\n{machine()}; {in_words(versions())}")
    print(f"{arguments.images:,} images, batches of {arguments.batch_size}, {arguments.runs} runs")
    print(f"{'median (lowest - highest)':26}{'minicnn':>26}{'keras':>26}{'keras / minicnn':>26}")
    for key, (title, unit, form, is_time) in ROWS.items():
        values = {name: [run[key] for run in results] for name, results in runs.items()}
        cells = [spread(values[name], form) for name in BUILDERS]
        if is_time:
            ratios = [k / m for k, m in zip(values["keras"], values["minicnn"], strict=True)]
            cells.append(spread(ratios, "{:.2f}"))
        label = f"{title}, {unit}" if unit else title
        print(f"{label:26}" + "".join(f"{cell:>26}" for cell in cells))
    means = {name: np.mean([run["accuracy"] for run in results]) for name, results in runs.items()}
    print("mean test accuracy: " + ", ".join(f"{name} {mean:.4f}" for name, mean in means.items()))


def spread(values: list[float], form: str) -> str:
    """`median (lowest - highest)`."""
    low, middle, high = (form.format(v) for v in (min(values), median(values), max(values)))
    return f"{middle} ({low} - {high})"


if __name__ == "__main__":
    main()
