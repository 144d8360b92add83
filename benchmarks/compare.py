"""minicnn compared with the other libraries that are installed: training, inference, memory.

    python benchmarks/compare.py                        what is installed, 3 runs each, in turns
    python benchmarks/compare.py --images 60000 --peers minicnn keras     whole epochs: accuracy
    python benchmarks/compare.py --json FILE --figure FILE.png

Every run is a process of its own, so that threads of one library do not slow down another. All have
the same number of threads, the same network with the same weights (checked before anything is
timed), and ten batches to warm up, so that compilation is not counted. What each library runs is in
`libraries.py`. Machines are seldom idle: the ratios, taken run by run, mean more than single times.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from libraries import Minicnn
from measure import figure_form, heading, made_with, spread, write_json
from networks import NETWORKS, data, sequential
from one_run import CHECKED_IMAGES
from peers import PEERS

import minicnn
from minicnn.engine import available_cores
from minicnn.plots import BLUE, GREY, SMALL, new_figure, save

OURS = "minicnn"
PACKAGES = ("torch", "jax", "onnxruntime", "openvino", "onnx")
UNITS = {"accuracy": "share of the test images", "memory": "MB, data included"}
USUAL_UNIT = "us per image"
TITLES = {
    "tutorial": "tutorial's network",
    **{name: f"{name} network" for name in NETWORKS if name != "tutorial"},
}
ON_THE_CPU = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
Runs = dict[str, list[dict[str, float]]]  # of each peer


def main() -> None:
    """Run all peers in turns, print tables, and write the files that were asked for."""
    arguments = parsed_arguments()
    missing = missing_peers(arguments.peers)
    result: dict[str, Any] = {
        **made_with(PACKAGES),
        "threads": arguments.threads,
        "images": arguments.images,
        "missing": missing,
        "networks": {},
    }
    print(heading(result), flush=True)
    peers = [name for name in arguments.peers if name not in missing]
    for network in arguments.networks:
        runs, failed = run_in_turns(network, peers, arguments)
        result["networks"][network] = {"runs": runs, "failed": failed, "summary": summary(runs)}
    report(result)
    if arguments.json:
        write_json(arguments.json, result)
    if arguments.figure:
        save(draw(result), arguments.figure)


def parsed_arguments() -> argparse.Namespace:
    """The command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add, some = parser.add_argument, {"nargs": "+", "metavar": "NAME"}
    add("--runs", type=int, default=3, help="of each peer (default 3)")
    add("--peers", **some, choices=PEERS, default=list(PEERS), help=f"of {', '.join(PEERS)}")
    add(
        "--networks",
        **some,
        choices=NETWORKS,
        default=["tutorial", "3x3"],
        help=f"of {', '.join(NETWORKS)} (random images; the first batch size only)",
    )
    add(
        "--images",
        type=int,
        default=6400,
        help="to train with (default 6,400; all: 60,000); a quarter of them where they are random",
    )
    add("--test-images", type=int, default=10_000, help="(default 10,000)")
    in_training = "in training (default 32 64)"
    add("--batch-sizes", type=int, nargs="+", default=[32, 64], help=in_training)
    cores = available_cores()
    add("--threads", type=int, default=cores, help=f"(default all: {cores})")
    add("--json", metavar="FILE", help="write all figures there as well")
    add("--figure", metavar="FILE", help="draw a picture there")
    return parser.parse_args()


def missing_peers(names: list[str]) -> dict[str, str]:
    """The peers that cannot run, and the modules for them that are not installed."""
    absent = {
        name: [module for module in PEERS[name].needs if importlib.util.find_spec(module) is None]
        for name in names
    }
    return {name: ", ".join(modules) for name, modules in absent.items() if modules}


def run_in_turns(
    network: str, peers: list[str], arguments: argparse.Namespace
) -> tuple[Runs, dict[str, str]]:
    """The figures of all runs, and the error of each peer that failed."""
    runs: Runs = {name: [] for name in peers}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.runs):
            write_weights(network, seed, folder)
            if seed == 0 and OURS in peers:
                # On a new machine this compiles the kernels. In the run that did it, compilation
                # of other kernels would go on beside the steps that are timed.
                few = argparse.Namespace(**vars(arguments) | {"images": 256, "test_images": 256})
                with contextlib.suppress(RuntimeError):  # the run below reports it
                    in_a_process(OURS, network, seed, folder, few)
            for name in [name for name in peers if name not in failed]:
                try:
                    runs[name].append(in_a_process(name, network, seed, folder, arguments))
                except RuntimeError as error:
                    failed[name] = str(error)
                    del runs[name]
                    print(f"{network}, {name}: FAILED: {error}", flush=True)
                else:
                    figures = ", ".join(f"{m} {v:.4g}" for m, v in runs[name][-1].items())
                    print(f"{network}, run {seed + 1}, {name}: {figures}", flush=True)
    return runs, failed


def write_weights(network: str, seed: int, folder: str) -> None:
    """Write the weights that all peers start from, and minicnn's probabilities with them."""
    minicnn.set_random_seed(seed)
    weights = sequential(minicnn, NETWORKS[network]).get_weights()
    _, (x_test, _) = data(network, 0, CHECKED_IMAGES)
    expected = Minicnn(NETWORKS[network], weights, 1).probabilities(x_test)
    arrays = {f"weight_{number:03}": weight for number, weight in enumerate(weights)}
    np.savez(Path(folder) / f"{network}-{seed}.npz", expected=expected, **arrays)


def in_a_process(
    name: str, network: str, seed: int, folder: str, arguments: argparse.Namespace
) -> dict[str, float]:
    """The figures of one run; a RuntimeError with the last line of its errors if it fails."""
    # The network with random images is there for its kernel size: it gets fewer of them.
    real = network == "tutorial"
    sizes = arguments.batch_sizes if real else arguments.batch_sizes[:1]
    options = {
        "network": network,
        "seed": seed,
        "folder": folder,
        "images": arguments.images if real else -(-arguments.images // 4),
        "test-images": arguments.test_images if real else -(-arguments.test_images // 4),
        "threads": arguments.threads,
    }
    command = [sys.executable, str(Path(__file__).with_name("one_run.py")), name]
    command += [f"--{key}={value}" for key, value in options.items()]
    command += ["--batch-sizes", *map(str, sizes)]
    environment = os.environ | ON_THE_CPU | {"OMP_NUM_THREADS": str(arguments.threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        errors = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise RuntimeError(errors[-1][:200])
    return json.loads(done.stdout.splitlines()[-1])


def summary(runs: Runs) -> dict[str, dict[str, dict[str, list[float]]]]:
    """By measure and peer: [median, lowest, highest] of the figures and of peer / minicnn.

    Ratios are taken run by run.
    """
    found: dict[str, Any] = {}
    for name, results in runs.items():
        for measure in results[0] if results else ():
            own = [run[measure] for run in results]
            row = found.setdefault(measure, {})[name] = {"figures": three(own)}
            if OURS in runs and measure != "accuracy":
                ours = [run[measure] for run in runs[OURS]]
                row["ratios"] = three([a / b for a, b in zip(own, ours, strict=True)])
    return found


def three(values: list[float]) -> list[float]:
    """Median, lowest, highest."""
    return [median(values), min(values), max(values)]


def report(result: dict[str, Any]) -> None:
    """Print a table for each measure, the best peer first, and the result in words."""
    print(f"\n{heading(result)}")
    print(f"{result['threads']} threads, {result['images']:,} images to train with, float32")
    for network, part in result["networks"].items():
        for measure, rows in part["summary"].items():
            print(f"\n{TITLES[network]}: {measure}, {UNITS.get(measure, USUAL_UNIT)}")
            print(f"{'':36}{'median (lowest - highest)':>28}{'/ minicnn':>24}")
            for name in best_first(measure, rows):
                print(table_line(measure, name, rows[name]))
            if measure != "accuracy":
                print("=> " + verdict(rows))
        for name, reason in part["failed"].items():
            print(f"{network}: {PEERS[name].title} failed: {reason}")
    for name, modules in result["missing"].items():
        print(f"missing: {PEERS[name].title} (not installed: {modules})")


def best_first(measure: str, rows: dict[str, Any]) -> list[str]:
    """The peers' names, sorted by median."""
    return sorted(rows, key=lambda n: rows[n]["figures"][0], reverse=measure == "accuracy")


def table_line(measure: str, name: str, row: dict[str, list[float]]) -> str:
    """The line of one peer in the table of one measure."""
    form = "{:.4f}" if measure == "accuracy" else figure_form(row["figures"][0])
    ratios = spread(row["ratios"], "{:.2f}") if "ratios" in row and name != OURS else ""
    return f"  {PEERS[name].title:34}{spread(row['figures'], form):>28}{ratios:>24}"


def verdict(rows: dict[str, Any]) -> str:
    """Which peer needs least; it is a draw unless that is so in every run."""
    ratios = {name: row["ratios"] for name, row in rows.items() if "ratios" in row and name != OURS}
    if not ratios:
        return "nothing to compare"
    best = min(ratios, key=lambda name: ratios[name][0])
    ratio, low, high = ratios[best]
    title = PEERS[best].title
    if low > 1:
        return f"minicnn wins: {title}, the next best, needs {ratio:.2f} times as much"
    if high < 1:
        return f"{title} wins: minicnn needs {1 / ratio:.2f} times as much"
    return f"a draw: {title} needs {ratio:.2f} times as much as minicnn, but not in every run"


def draw(result: dict[str, Any]) -> Any:
    """Each library in its best setting: bars for medians, lines from lowest to highest."""
    panels = [
        (network, measure, rows)
        for network, part in result["networks"].items()
        for measure, rows in part["summary"].items()
        if measure not in UNITS and (network, measure) != ("3x3", "one image")
    ]
    rows_of_panels = -(-len(panels) // 2)
    title = "Microseconds per image, each library in its best setting: shorter is better"
    figure = new_figure(1.2 + 2.3 * rows_of_panels, title)
    all_axes = list(figure.subplots(rows_of_panels, 2, squeeze=False).flat)
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    for axes, (network, measure, rows) in zip(all_axes, panels, strict=False):
        best: dict[str, str] = {}  # setting by library
        for name in best_first(measure, rows):
            best.setdefault(PEERS[name].library, name)
        middle, low, high = np.transpose([rows[name]["figures"] for name in best.values()])
        colours = [BLUE if name == OURS else GREY for name in best.values()]
        bars = axes.barh(list(best), middle, color=colours, xerr=(middle - low, high - middle))
        axes.bar_label(bars, fmt="{:,.0f}", padding=4, fontsize=SMALL)
        axes.set_title(f"{TITLES[network]}: {measure}", fontsize=SMALL + 1)
        axes.invert_yaxis()
        axes.margins(x=0.18)
        axes.set_xlim(left=0)
        axes.tick_params(labelsize=SMALL, length=0)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.set_xticks([])
    figure.supxlabel(f"{result['machine']}; {result['threads']} threads, float32", fontsize=SMALL)
    return figure


if __name__ == "__main__":
    main()
