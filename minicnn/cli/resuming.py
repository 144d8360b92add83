"""The flags `--checkpoint` and `--resume` of `train`: an interrupted training is continued.

The result is the same as without the interruption, bit for bit.
"""

import argparse
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.callbacks import Callback
from minicnn.cli import arguments
from minicnn.model import Sequential
from minicnn.saving import model_file

SETTINGS = ("batch_size", "steps_per_epoch", "learning_rate", "seed")


class Checkpoint(Callback):
    """Save the model before the first epoch and after each, with what it was trained on.

    Training that is interrupted in the middle of an epoch can be resumed from the end of the epoch
    before it; the batches since then are repeated in the same order.
    """

    def __init__(self, path: Path, trained_on: dict[str, Any], epochs_done: int):
        self.path = path
        self.trained_on = trained_on
        self.epochs_done = epochs_done

    def on_train_begin(self, logs=None):
        self._save()

    def on_epoch_end(self, epoch, logs=None):
        self.epochs_done = epoch + 1
        self._save()

    def _save(self) -> None:
        notes = {"trained_on": self.trained_on, "epochs_done": self.epochs_done}
        model_file.save(self.path, self.model, notes)


def trained_on(args: argparse.Namespace, *arrays: np.ndarray) -> dict[str, Any]:
    """What has to be the same when training is resumed: settings, and a checksum of the data."""
    checksum = 0
    for array in arrays:
        checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
    return {"data": checksum} | {name: getattr(args, name) for name in SETTINGS}


def resume(args: argparse.Namespace, now: dict[str, Any]) -> tuple[Sequential, int]:
    """The model in the file and the number of epochs that are done.

    The session's random stream continues as when the file was written. A file that is not a
    checkpoint, or one of another training, is a ValueError.
    """
    path = args.resume
    model, notes = model_file.load(path)
    if not isinstance(notes, dict) or set(notes) != {"trained_on", "epochs_done"}:
        raise ValueError(f"{path} was not written by train --checkpoint")
    before, done = notes["trained_on"], notes["epochs_done"]
    if before["data"] != now["data"]:
        raise ValueError(f"{path} was trained on other images; pass the same --data")
    for name in SETTINGS:
        if before[name] != now[name]:
            flag = f"--{name.replace('_', '-')}"
            was, is_now = (
                f"with {flag} {v}" if v else f"without {flag}" for v in (before[name], now[name])
            )
            raise ValueError(f"{path} was trained {was}, expected the same, received {is_now}")
    if done > args.epochs:
        raise ValueError(f"{path} is after {done} epochs, more than --epochs {args.epochs}")
    return model, done


def add_arguments(parser: arguments.Parser) -> None:
    """The two flags."""
    parser.add_argument(
        "--checkpoint",
        type=arguments.file_to_write(".npz"),
        metavar="FILE.npz",
        help="write everything needed to resume training to this file, at the start and after "
        "every epoch, replacing an older one (default: write nothing)",
    )
    parser.add_argument(
        "--resume",
        type=arguments.weights_to_read,
        metavar="FILE.npz",
        help="resume training from this checkpoint, and continue to write it; all other flags "
        "must be as before, and --epochs counts from the start (default: start anew)",
    )


def check_arguments(args: argparse.Namespace) -> None:
    """End with an error if flags do not fit together or the checkpoint cannot be written."""
    error = args.parser.error
    if args.resume and args.checkpoint:
        error("argument --resume: it keeps writing its own file; leave out --checkpoint")
    for flag in ("resume", "checkpoint"):
        if getattr(args, flag) and args.workers:
            error(f"argument --{flag}: not together with --workers")
    if args.resume:
        with args.parser.blaming("--resume"):
            arguments.try_to_write(args.resume)
