"""`CSVLogger`: the logs of every epoch in a file."""

import csv
from pathlib import Path
from typing import Any

from minicnn.callbacks.base import Callback
from minicnn.validation import Check


class CSVLogger(Callback):
    """Write the logs of every epoch to a file: a header with their names, then a line an epoch.

    Parameters
    ----------
    filename : str or path
    separator : str
        One character between the columns.
    append : bool
        Append to an existing file, whose columns must be the same, instead of replacing it.

    Notes
    -----
    The first column is "epoch", counted from 0. The columns of validation are there without
    validation data, too, with "NA", so that a later `fit` can append to the same file.
    """

    def __init__(self, filename: Any, separator: str = ",", append: bool = False):
        check = Check("CSVLogger")
        self.filename = Path(filename)
        if not isinstance(separator, str) or len(separator) != 1 or separator in '\r\n"':
            expected = "separator must be one character, and no quote or end of line"
            raise check.error(f"{expected}, received {separator!r}")
        self.separator = separator
        self.append = check.flag(append, "append")
        self.keys: list[str] = []

    def on_train_begin(self, logs=None):
        self.keys = []
        with open(self.filename, "a" if self.append else "w"):
            pass  # if the file cannot be written, say so now and not after an epoch

    def on_epoch_end(self, epoch, logs=None):
        # Opened for every line: nothing is lost and nothing stays open, however training ends.
        with open(self.filename, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=self.separator)
            if not self.keys:
                self.keys = sorted(logs)
                if not any(key.startswith("val_") for key in self.keys):
                    self.keys += [f"val_{key}" for key in self.keys]
                if file.tell() == 0:
                    writer.writerow(["epoch", *self.keys])
            writer.writerow([epoch, *(logs.get(key, "NA") for key in self.keys)])
