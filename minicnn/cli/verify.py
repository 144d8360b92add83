"""The command `verify`: comparisons with Keras, and planted bugs, as printed tables.

The comparisons themselves are in `minicnn.checking`.
"""

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import minicnn
from minicnn import keras_reference
from minicnn.checking import cases, environment, golden, ledger, own_layers
from minicnn.checking.lockstep import APART, Lockstep, lockstep
from minicnn.cli import arguments
from minicnn.cli.arguments import Parser
from minicnn.datasets import mnist
from minicnn.engine import announce_compilation, compile_ahead
from minicnn.tutorial import scaled, tutorial_network

LOCKSTEP_STEPS, LOCKSTEP_BATCH = 200, 32
COMPILING = "Compiling kernels for all kinds of layers, once (about a minute) ..."


def add_arguments(parser: Parser) -> None:
    """The flags of `verify`."""
    layers = sorted({case.layer for case in cases.quick_cases()})
    rows = f"only that layer's rows of the ledger: {', '.join(layers)}"
    parser.add_argument("--layer", choices=layers, metavar="NAME", help=rows)
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
    what.add_argument(
        "--mine",
        type=Path,
        metavar="FILE.py",
        help="layers of your own instead: every class in that file with forward and backward. "
        "Gradients are checked by differences; a layer with a method keras_twin(self), which "
        "returns a Keras layer, is compared with it. The file is run",
    )
    parser.add_argument(
        "--golden",
        action="store_true",
        help="compare with answers of Keras from a file, even if TensorFlow is installed",
    )
    parser.add_argument(
        "--json",
        type=arguments.file_to_write(".json"),
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
    if args.layer and (args.lockstep or args.planted_bugs or args.mine):
        args.parser.error("argument --layer: it chooses rows of the ledger, not of anything else")
    if args.golden and args.mine:
        args.parser.error("argument --golden: it has no answers for layers of your own")
    if args.figures and not args.lockstep:
        args.parser.error("argument --figures: only --lockstep draws a picture")
    start = time.perf_counter()
    command = _lockstep if args.lockstep else _planted_bugs if args.planted_bugs else _ledger
    command = _mine if args.mine else command

    def compiling() -> None:
        print(COMPILING, file=sys.stderr, flush=True)
        compile_ahead("float32")  # the cases begin with float64

    with announce_compilation(compiling):
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


def _mine(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Layers of the user's own, from a file."""
    with args.parser.blaming("--mine"):
        kinds = own_layers.classes(args.mine)
        if any(hasattr(kind, "keras_twin") for kind in kinds):
            keras_reference.require_keras()
    print(f"{len(kinds)} layers of {args.mine}: gradients by differences; and beside Keras, as a")
    print("share of the largest value in Keras' array\n")
    print(ledger.HEADER)
    rows, explanations, notes = [], [], {}
    for row, words, own_notes in own_layers.check(kinds):
        print(row.line(), flush=True)
        rows.append(row)
        explanations += [f"{row.layer}, {row.configuration}\n{words}"] * bool(words)
        notes |= dict.fromkeys(own_notes)
    print("\n".join(["", *(f"{words}\n" for words in explanations), *notes]))
    without = [kind.__name__ for kind in kinds if not hasattr(kind, "keras_twin")]
    if without:
        print(f"Without a keras_twin, so not compared with Keras: {', '.join(without)}")
    if others := own_layers.others(args.mine, kinds):
        print(f"No layers, so not checked: {', '.join(others)}")
    mismatches = sum(row.mismatches > 0 for row in rows)
    print(f"{len(rows)} rows, {mismatches} of them wrong")
    return {"rows": [row._asdict() for row in rows]}, not mismatches


def _reference(args: argparse.Namespace) -> tuple[str, Any]:
    """The reference in words, and the function that returns its answer to a case."""
    why = "as asked for"
    if args.full:
        with args.parser.blaming("--full"):
            keras_reference.require_keras()
    if not args.golden or args.full:
        with contextlib.suppress(ImportError):
            keras_reference.require_keras()
            found = environment.versions()
            return f"Keras, live ({environment.in_words(found)})", lambda case: case.theirs()
        why = "since TensorFlow is not installed here"
    stored = golden.Golden()
    made_with = environment.in_words(stored.versions)
    return f"golden answers of Keras, {why}; they were made with {made_with}", stored.answer


def _lockstep(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    with args.parser.blaming("--lockstep"):
        keras_reference.require_keras()
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
