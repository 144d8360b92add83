"""The commands `train` and `evaluate`."""

import argparse
import contextlib
import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minicnn
from minicnn import Sequential, datasets, scale_out
from minicnn.callbacks import History
from minicnn.cli import arguments, resuming, workers
from minicnn.cli.arguments import Parser
from minicnn.data import AUTOTUNE, Dataset
from minicnn.layers import Conv2D
from minicnn.optimizers import Adam
from minicnn.tutorial import scaled, tutorial_network

RESULT = "test loss: {:.4f} - test accuracy: {:.4f}"
COUNT: dict[str, Any] = {"type": arguments.integer_from(1), "metavar": "N"}


class Data(NamedTuple):
    """Images (n, h, w) and labels (n,), all of them bytes, and the number of classes."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int


def train(args: argparse.Namespace) -> None:
    """Train the tutorial's network and test it; save its weights and draw figures on request."""
    resuming.check_arguments(args)
    workers.check_arguments(args)  # last, because it says so if TensorFlow is missing
    data, model = _data_and_network(args)
    if args.batch_size > len(data.x_train):
        args.parser.error(
            f"argument --batch-size: expected at most {len(data.x_train)}, the number of training "
            f"images, received '{args.batch_size}'"
        )
    chief = not args.worker  # None without --workers
    if args.figures and chief:
        with args.parser.blaming("--figures"):  # now, so that a long training does not end in it
            args.figures.mkdir(parents=True, exist_ok=True)
            arguments.try_to_write(args.figures / "learning_curve.png")
    h, w = data.x_train.shape[1:]
    print(
        f"Training on {args.data}: {len(data.x_train):,} images of {h} x {w} pixels, "
        f"{data.classes} classes ({_threads()}, seed {args.seed})",
        flush=True,
    )
    if chief:
        model.summary()
    _compile(model, args.learning_rate)
    model, history = _fit(model, data, args)
    if not chief:
        print(f"Worker {args.worker} has done its part; worker 0 has the result")
        return
    loss, accuracy = model.evaluate(scaled(data.x_test), data.y_test, verbose=0)
    if not math.isfinite(loss):
        print("Training has diverged: the loss is not finite. Try a lower --learning-rate.")
    if args.save:
        with args.parser.blaming("--save"):
            model.save_weights(args.save)
        print(f"Weights saved in {args.save}")
    if args.figures:
        with args.parser.blaming("--figures"):
            _save_figures(model, history, data, args.figures)
    print(RESULT.format(loss, accuracy))


def evaluate(args: argparse.Namespace) -> None:
    """Compute loss and accuracy of saved weights on the test images."""
    data, model = _data_and_network(args)
    with args.parser.blaming("FILE.npz"):
        model.load_weights(args.weights)
    _compile(model)
    images = f"{len(data.x_test):,} test images"
    print(f"Evaluating {args.weights} on {args.data}: {images} ({_threads()})", flush=True)
    result = model.evaluate(scaled(data.x_test), data.y_test, batch_size=args.batch_size)
    print(RESULT.format(*result))


def _data_and_network(args: argparse.Namespace) -> tuple[Data, Sequential]:
    minicnn.clear_session()  # each command is a session of its own, also in the same process
    if args.threads:
        minicnn.set_num_threads(args.threads)
    minicnn.set_random_seed(args.seed)
    with args.parser.blaming("--data"):
        data = load_data(args.data)
        return data, tutorial_network((*data.x_train.shape[1:], 1), data.classes)


def load_data(name: str) -> Data:
    """MNIST, or the data set in a folder of IDX files."""
    parts = datasets.mnist.load_data() if name == "mnist" else datasets.load_idx(name)
    (x_train, y_train), (x_test, y_test) = parts
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"{name}: expected training and test images of one size, "
            f"found {x_train.shape[1:]} and {x_test.shape[1:]}"
        )
    classes = max(10, int(y_train.max()) + 1, int(y_test.max()) + 1)
    return Data(x_train, y_train, x_test, y_test, classes)


def _compile(model: Sequential, learning_rate: float = 0.001) -> None:
    loss = "sparse_categorical_crossentropy"
    model.compile(Adam(learning_rate=learning_rate), loss, metrics=["accuracy"])


def _fit(model: Sequential, data: Data, args: argparse.Namespace) -> tuple[Sequential, History]:
    """Train; returns the trained model, which is another one if it comes from a checkpoint."""
    x, y = scaled(data.x_train), data.y_train
    fit_arguments: dict[str, Any] = {"epochs": args.epochs}
    if args.steps_per_epoch is None:
        fit_arguments |= {"x": x, "y": y, "batch_size": args.batch_size}
    else:
        # As in the tutorial: an endless data set, so that there is enough for any number of steps.
        endless = Dataset.from_tensor_slices((x, y)).shuffle(len(y)).repeat()
        batches = endless.batch(args.batch_size).prefetch(AUTOTUNE)
        fit_arguments |= {"x": batches, "steps_per_epoch": args.steps_per_epoch}
    if args.checkpoint or args.resume:
        trained_on, done = resuming.trained_on(args, data.x_train, data.y_train), 0
        if args.resume:  # only now: the shuffle has drawn its seed, as it did before
            with args.parser.blaming("--resume"):
                model, done = resuming.resume(args, trained_on)
            if args.steps_per_epoch is not None:
                fit_arguments["x"] = batches.skip(done * args.steps_per_epoch)
            print(f"Going on from {args.resume}: {done} epochs are done", flush=True)
        path = args.checkpoint or args.resume
        fit_arguments["callbacks"] = resuming.Checkpoint(path, trained_on, done)
        fit_arguments["initial_epoch"] = done
    fit = model.fit
    if args.workers:
        who = f"Worker {args.worker} of {len(args.workers)}, at {args.workers[args.worker]}"
        print(f"{who}: waiting until all have started", flush=True)
        fit = functools.partial(scale_out.fit, model, workers=args.workers, worker=args.worker)
    with args.parser.blaming("--workers") if args.workers else contextlib.nullcontext():
        try:
            return model, fit(**fit_arguments)
        except FloatingPointError as error:
            args.parser.error(str(error))


def _save_figures(model: Sequential, history: History, data: Data, folder: Path) -> None:
    from minicnn import plots  # not earlier: importing Matplotlib takes time

    probabilities = model.predict(scaled(data.x_test), verbose=0)
    convolutions = [layer for layer in model.layers if isinstance(layer, Conv2D)]
    figures = {
        "digits": plots.digit_grid(data.x_train, data.y_train),
        **({"learning_curve": plots.learning_curve(history)} if history.batches else {}),
        **{f"filters_{layer.name}": plots.filters(layer) for layer in convolutions},
        "confusion_matrix": plots.confusion_matrix(data.y_test, probabilities.argmax(axis=1)),
        "worst_mistakes": plots.worst_mistakes(data.x_test, data.y_test, probabilities),
    }
    for name, figure in figures.items():
        plots.save(figure, folder / f"{name}.png")
    print(f"Pictures saved in {folder}: {', '.join(f'{name}.png' for name in figures)}")


def _threads() -> str:
    threads = minicnn.get_num_threads()
    return "1 thread" if threads == 1 else f"{threads} threads"


def add_train_arguments(parser: Parser) -> None:
    """The flags of `train`, without those of `resuming` and `workers`."""
    _add_shared_arguments(parser)
    add = parser.add_argument
    add("--epochs", **COUNT, default=1, help="how many (default: %(default)s)")
    add(
        "--steps-per-epoch",
        **COUNT,
        help="batches in an epoch (default: one pass over all training images)",
    )
    add(
        "--learning-rate",
        type=arguments.positive_number,
        default=0.001,
        metavar="RATE",
        help="of the optimizer, Adam (default: %(default)s)",
    )
    add(
        "--seed",
        type=arguments.integer_from(0),
        default=0,
        metavar="N",
        help="determines the initial weights and the order of the images: the same seed gives the "
        "same result (default: %(default)s)",
    )
    add(
        "--save",
        type=arguments.file_to_write(".npz"),
        metavar="FILE.npz",
        help="write the weights to this file, replacing an older one (default: do not save them)",
    )
    add(
        "--figures",
        type=arguments.folder_to_write,
        metavar="FOLDER",
        help="draw digits, learning curve, filters, confusion matrix and worst mistakes into "
        "this folder, which is created if necessary (default: draw nothing)",
    )


def add_evaluate_arguments(parser: Parser) -> None:
    """The flags of `evaluate`."""
    parser.add_argument(
        "weights",
        metavar="FILE.npz",
        type=arguments.weights_to_read,
        help="weights written by: python -m minicnn train --save FILE.npz",
    )
    _add_shared_arguments(parser)
    parser.set_defaults(seed=0)


def _add_shared_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "--data",
        default="mnist",
        metavar="mnist|FOLDER",
        help="MNIST, which comes with minicnn, or a folder with the four IDX files of a data set "
        "of the same format, gzipped or not (default: %(default)s)",
    )
    add("--batch-size", **COUNT, default=32, help="images in a batch (default: %(default)s)")
    add(
        "--threads",
        **COUNT,
        help="cores to use; results do not depend on it (default: all that are available)",
    )
