"""The command `verify`: comparisons with Keras, and planted bugs, as printed tables.

The comparisons themselves are in `minicnn.checking`.
"""

import argparse
import json
import sys
import time
from typing import Any

import minicnn
from minicnn import keras_reference
from minicnn.checking import cases, environment, golden, ledger
from minicnn.checking.lockstep import APART, Lockstep, lockstep
from minicnn.cli import arguments
from minicnn.cli.arguments import Parser
from minicnn.datasets import mnist
from minicnn.engine import announce_compilation
from minicnn.tutorial import scaled, tutorial_network

LOCKSTEP_STEPS, LOCKSTEP_BATCH = 200, 32
COMPILING = "Compiling kernels for all kinds of layers, once (about a minute) ..."


def add_arguments(parser: Parser) -> None:
    """The flags of `verify`."""
    layers = sorted({case.layer for case in cases.quick_cases()})
    parser.add_argument(
        "--layer",
        choices=layers,
        metavar="NAME",
        help=f"only that layer's rows of the ledger: {', '.join(layers)}",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--full",
        action="store_true",
        help="a ledger of random geometries instead: 1,000 of convolution, 500 of pooling, 200 "
        "of dense layers, in both precisions; takes minutes and needs TensorFlow",
    )
    what.add_argument(
        "--lockstep",
        action="store_true",
        help="train the tutorial's network and its Keras twin side by side for 200 steps; "
        "needs TensorFlow",
    )
    what.add_argument(
        "--planted-bugs",
        "--zoo",
        action="store_true",
        help="plant bugs, one at a time, and show which kinds of checks notice each; takes minutes",
    )
    parser.add_argument(
        "--golden",
        action="store_true",
        help="compare with answers of Keras from a file, even if TensorFlow is installed",
    )
    parser.add_argument(
        "--json",
        type=arguments.json_to_write,
        metavar="FILE.json",
        help="also write all numbers to this file",
    )
    parser.add_argument(
        "--figures",
        type=arguments.folder_to_write,
        metavar="FOLDER",
        help="with --lockstep: draw a figure into this folder",
    )


def verify(args: argparse.Namespace) -> int:
    """Compare with Keras, number by number; the exit status is 1 if anything is wrong."""
    minicnn.clear_session()
    if args.layer and (args.lockstep or args.planted_bugs):
        args.parser.error("argument --layer: it chooses rows of the ledger, not of anything else")
    if args.figures and not args.lockstep:
        args.parser.error("argument --figures: only --lockstep draws a picture")
    start = time.perf_counter()
    command = _lockstep if args.lockstep else _planted_bugs if args.planted_bugs else _ledger
    with announce_compilation(lambda: print(COMPILING, file=sys.stderr, flush=True)):
        found, ok = command(args)
    print(f"{environment.machine()}; {time.perf_counter() - start:.0f} s")
    if args.json:
        about = {"machine": environment.machine(), "versions": environment.versions()}
        with args.parser.blaming("--json"):
            args.json.write_text(json.dumps(about | found, indent=1) + "\n")
    return 0 if ok else 1


def _ledger(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    reference, answer = _reference(args)
    print(f"minicnn {minicnn.__version__} compared with {reference}")
    print("largest differences, as a share of the largest value in Keras' array\n")
    print(ledger.HEADER)
    rows = []
    for row in ledger.full(args.layer) if args.full else ledger.quick(answer, args.layer):
        print(row.line(), flush=True)
        rows.append(row)
    compared = sum(row.cases for row in rows)
    mismatches = sum(row.mismatches for row in rows)
    print(f"\n{compared:,} cases compared, {mismatches:,} mismatches")
    found = {"reference": reference, "rows": [row._asdict() for row in rows]}
    return found, all(row.ok for row in rows)


def _reference(args: argparse.Namespace) -> tuple[str, Any]:
    """The reference in words, and the function that returns its answer to a case."""
    why = "as asked for"
    if not args.golden or args.full:
        try:
            keras_reference.require_keras()
        except ImportError as error:
            if args.full:
                args.parser.error(f"argument --full: {error}")
            why = "since TensorFlow is not installed here"
        else:
            found = environment.versions()
            return f"Keras, live ({environment.in_words(found)})", lambda case: case.theirs()
    stored = golden.Golden()
    made_with = environment.in_words(stored.versions)
    return f"golden answers of Keras, {why}; they were made with {made_with}", stored.answer


def _lockstep(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    try:
        keras_reference.require_keras()
    except ImportError as error:
        args.parser.error(f"argument --lockstep: {error}")
    print(
        f"The tutorial's network in minicnn and in Keras: the same initial weights, the same "
        f"{LOCKSTEP_STEPS} batches\nof {LOCKSTEP_BATCH} MNIST digits, Adam; largest differences of "
        f"losses (relative) and of weights, before each step"
    )
    runs = {}
    for dtype in ("float32", "float64"):
        runs[dtype] = run = tutorial_lockstep(dtype)
        step = run.first_apart()
        print(f"\n{dtype}\n{run}")
        print(
            f"losses are within {APART:g} in all steps"
            if step is None
            else f"losses are more than {APART:g} apart for the first time at step {step}"
        )
    ok = runs["float64"].first_apart() is None
    print(
        "\nIn double precision they agree, so the differences in single precision are rounding.\n"
        if ok
        else "\nThey differ in double precision, too: that is not rounding, but a bug.\n"
    )
    if args.figures:
        _draw(args, runs)
    return {
        "steps": {
            dtype: {"minicnn": run.ours.tolist(), "keras": run.theirs.tolist()}
            | {"weights": run.weights.tolist(), "first_apart": run.first_apart()}
            for dtype, run in runs.items()
        }
    }, ok


def tutorial_lockstep(dtype: str, steps: int = LOCKSTEP_STEPS, seed: int = 0) -> Lockstep:
    """The tutorial's network and its Keras twin, trained on the same batches.

    Both precisions start from the same weights.

    Raises
    ------
    ImportError
        Without TensorFlow.
    """
    (x, y), _ = mnist.load_data()
    minicnn.set_random_seed(seed)
    weights = tutorial_network().get_weights()
    model = tutorial_network(dtype=dtype)
    model.set_weights(weights)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    images = steps * LOCKSTEP_BATCH
    return lockstep(model, scaled(x[:images]), y[:images], LOCKSTEP_BATCH)


def _draw(args: argparse.Namespace, runs: dict[str, Lockstep]) -> None:
    from minicnn import plots

    with args.parser.blaming("--figures"):
        args.figures.mkdir(parents=True, exist_ok=True)
        path = args.figures / "lockstep.png"
        plots.save(plots.lockstep(runs), path)
    print(f"Picture saved: {path}")


def _planted_bugs(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    from minicnn.checking import kill_matrix

    def progress(name: str, found: Any) -> None:
        print(kill_matrix.row(name, found), flush=True)

    print("Bugs planted in minicnn, one at a time, and which kind of check notices them\n")
    print(kill_matrix.heading())
    matrix = kill_matrix.kill_matrix(progress=progress)
    print("\n".join(matrix.totals()))
    return {"planted_bugs": matrix._asdict()}, matrix.ok
