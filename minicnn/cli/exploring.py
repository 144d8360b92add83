"""The command `explore`: writes the explorer of a network, and opens it."""

import argparse
import webbrowser
from pathlib import Path

import minicnn
from minicnn import Sequential
from minicnn.cli import arguments, stored_models
from minicnn.cli.arguments import Parser
from minicnn.cli.training import Data, load_data
from minicnn.engine import COMPILING, announce_compilation
from minicnn.tutorial import scaled, tutorial_network

TRAINING = (
    "No model is given: the tutorial's network learns {} for one epoch first (about 10 seconds)"
)


def add_arguments(parser: Parser) -> None:
    """The flags of `explore`."""
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL.npz",
        type=arguments.weights_to_read,
        help="a model written by model.save, or weights written by train --save (default: the "
        "tutorial's network, trained for one epoch now)",
    )
    parser.add_argument(
        "--data",
        default="mnist",
        metavar="mnist|FOLDER",
        help="where the images come from: MNIST, or a folder with the four IDX files of a data "
        "set of the same format (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=arguments.file_to_write(".html"),
        default="explorer.html",
        metavar="FILE.html",
        help="the file to write, replacing an older one (default: %(default)s)",
    )
    parser.add_argument(
        "--no-open", action="store_true", help="do not open the file in the web browser"
    )


def explore(args: argparse.Namespace) -> None:
    """Write a page in which every number of a network can be looked at, and open it."""
    from minicnn import explorer

    minicnn.clear_session()
    minicnn.set_random_seed(0)
    with args.parser.blaming("--data"):
        data = load_data(args.data)
    model = _trained(args.data, data) if args.model is None else _read(args, data)
    images, labels = scaled(data.x_test), data.y_test
    try:
        with announce_compilation(lambda: print(COMPILING, flush=True)):
            path = explorer.write(model, args.output, images, labels)
    except OSError as error:
        args.parser.error(f"argument --output: {error}")
    except ValueError as error:
        args.parser.error(f"argument MODEL.npz: {error}")
    print(f"Explorer written to {path} ({path.stat().st_size / 1e6:.1f} MB)", flush=True)
    if args.no_open or not webbrowser.open(Path(path).resolve().as_uri()):
        print("Open it in a web browser; it needs neither a server nor a network")


def _trained(name: str, data: Data) -> Sequential:
    print(TRAINING.format(name), flush=True)
    model = tutorial_network((*data.x_train.shape[1:], 1), data.classes)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(scaled(data.x_train), data.y_train, verbose=2)
    return model


def _read(args: argparse.Namespace, data: Data) -> Sequential:
    shape = *data.x_train.shape[1:], 1
    with args.parser.blaming("MODEL.npz"):
        model = stored_models.read(args.model, shape, data.classes)
        if model.input_shape != shape:
            raise ValueError(
                f"{args.model} takes images of shape {model.input_shape}, but those of {args.data} "
                f"have shape {shape}; pass --data FOLDER, or call minicnn.explorer.write"
            )
        if model.output_shape[-1] <= data.y_test.max():
            raise ValueError(
                f"{args.model} knows {model.output_shape[-1]} classes, but {args.data} has labels "
                f"up to {data.y_test.max()}"
            )
        return model
