"""The command `predict`: which digits pictures show."""

import argparse
from pathlib import Path

import numpy as np

import minicnn
from minicnn import Sequential
from minicnn.activations import softmax
from minicnn.cli import arguments, stored_models
from minicnn.cli.arguments import Parser
from minicnn.step import forward

LIKELIEST = 3


def add_arguments(parser: Parser) -> None:
    """The flags of `predict`."""
    parser.add_argument(
        "model",
        metavar="MODEL.npz",
        type=arguments.weights_to_read,
        help="a model written by model.save, or weights written by train --save",
    )
    parser.add_argument(
        "pictures",
        nargs="+",
        metavar="IMAGE",
        type=Path,
        help="photos or drawings of one digit each, dark on light or light on dark",
    )
    parser.add_argument(
        "--figures",
        type=arguments.folder_to_write,
        metavar="FOLDER",
        help="draw what the network saw of each picture into this folder, which is created if "
        "necessary (default: draw nothing)",
    )


def predict(args: argparse.Namespace) -> None:
    """Say which digits pictures show, each with its three likeliest answers."""
    from minicnn.explorer import pictures

    minicnn.clear_session()
    with args.parser.blaming("MODEL.npz"):
        model = stored_models.read(args.model)
        _require_grey(model, args.model)
    with args.parser.blaming("IMAGE"):
        seen = np.stack(
            [pictures.read_digit(path, model.input_shape[:2]) for path in args.pictures]
        )
    probabilities = _probabilities(model, seen[..., None])
    for path, of_classes in zip(args.pictures, probabilities, strict=True):
        order = np.argsort(-of_classes, kind="stable")[:LIKELIEST]
        print(f"{path}: {', '.join(f'{n} ({100 * of_classes[n]:.1f} %)' for n in order)}")
    if args.figures:
        with args.parser.blaming("--figures"):
            _draw(args, seen, probabilities)


def _require_grey(model: Sequential, path: Path) -> None:
    if len(model.input_shape) != 3 or model.input_shape[-1] != 1 or len(model.output_shape) != 1:
        raise ValueError(
            f"{path}: expected a model of grey images (height, width, 1) with one score a class, "
            f"received one from {model.input_shape} to {model.output_shape}"
        )


def _probabilities(model: Sequential, images: np.ndarray) -> np.ndarray:
    """(n, classes); a model that does not end in a softmax gives logits."""
    outputs = forward(model.layers, images)[0][-1]  # the core: a few pictures need no compiling
    last = getattr(model.layers[-1], "activation", None)
    return outputs if getattr(last, "name", None) == "softmax" else softmax(outputs)


def _draw(args: argparse.Namespace, seen: np.ndarray, probabilities: np.ndarray) -> None:
    from minicnn import plots
    from minicnn.explorer import pictures

    args.figures.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(args.pictures):
        figure = plots.prediction(pictures.grey(path), seen[number], probabilities[number])
        plots.save(figure, args.figures / f"{number + 1}_{path.stem}.png")
    print(f"What the network saw is in {args.figures}")
