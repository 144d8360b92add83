"""What `fit`, `evaluate` and `predict` read: arrays or a Dataset, as checked batches.

Arrays are checked as a whole before the first step; a Dataset batch by batch, each one before the
step that would use it.
"""

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minicnn.data import INFINITE_CARDINALITY, Dataset
from minicnn.losses import Loss
from minicnn.shapes import Shape
from minicnn.validation import Check, frames_to_user, plain

DEFAULT_BATCH_SIZE = 32

Batch = tuple[np.ndarray, np.ndarray | None]  # x in the model's dtype; targets, unless predicting


class Wanted(NamedTuple):
    """What a model takes, for the checks and their messages."""

    check: Check
    input_shape: Shape
    output_shape: Shape
    dtype: np.dtype
    loss: Loss | None  # None: no targets are wanted

    def targets(self, y: Any, x: np.ndarray) -> np.ndarray | None:
        """`y` as the loss takes it."""
        if self.loss is None:
            return None
        if y is None:
            raise ValueError(f"{self.check.who}: expected labels y beside x, received None")
        if len(x) == 0:
            raise ValueError(f"{self.check.who}: expected at least one sample, received none")
        return self.loss.targets(self.check, y, "y", len(x), self.output_shape)


class Source(NamedTuple):
    """Where batches come from, pass by pass."""

    start_pass: Callable[[], Iterator[Batch]]
    cardinality: int  # batches in a pass, or as `Dataset.cardinality`


def source(
    x: Any,
    y: Any,
    batch_size: int | None,
    wanted: Wanted,
    shuffle_rng: np.random.Generator | None = None,
) -> Source:
    """Batches from arrays, or from a Dataset of batches; what can be checked now, is.

    Parameters
    ----------
    x, y : arrays; or a Dataset and None
    batch_size : int or None
        For arrays, 32 if None. A Dataset has its own batches.
    wanted : Wanted
    shuffle_rng : Generator or None
        Draws a new order of all samples for each pass over arrays. None leaves them as they are.

    Raises
    ------
    TypeError, ValueError
        With what was expected and what was received.
    """
    if isinstance(x, Dataset):
        return _from_dataset(x, y, batch_size, wanted)
    check = wanted.check
    size = check.integer(DEFAULT_BATCH_SIZE if batch_size is None else batch_size, "batch_size")
    x = check.samples(x, "x", wanted.input_shape)
    targets = wanted.targets(y, x)

    def one_pass() -> Iterator[Batch]:
        order = None if shuffle_rng is None else shuffle_rng.permutation(len(x))
        for start in range(0, len(x), size):
            members = slice(start, start + size) if order is None else order[start : start + size]
            yield plain(x[members], wanted.dtype), None if targets is None else targets[members]

    return Source(one_pass, -(-len(x) // size))


def _from_dataset(dataset: Dataset, y: Any, batch_size: int | None, wanted: Wanted) -> Source:
    who = wanted.check.who
    if y is not None:
        raise ValueError(f"{who}: a Dataset brings its own labels, but y was passed too")
    if batch_size is not None:
        raise ValueError(
            f"{who}: a Dataset brings its own batches, but batch_size={batch_size!r} was passed; "
            "use dataset.batch(batch_size)"
        )

    def one_pass() -> Iterator[Batch]:
        for element in dataset:
            x, y = element if isinstance(element, tuple) and len(element) == 2 else (element, None)
            if isinstance(x, tuple):
                raise ValueError(
                    f"{who}: expected a Dataset of (x, y) batches, "
                    f"received a tuple of {len(element)}"
                )
            x = wanted.check.samples(x, "a Dataset's x", wanted.input_shape)
            yield plain(x, wanted.dtype), wanted.targets(y, x)

    return Source(one_pass, dataset.cardinality())


class Epochs:
    """Cuts the passes of a source into epochs; each `for` loop over it is one epoch.

    Without `steps_per_epoch` an epoch is a pass. With it, one pass lives across the epochs: the
    second continues where the first ended. Data that end in the middle of an epoch cut it short,
    with a warning, and the next epoch starts a new pass, as in Keras 3.

    Attributes
    ----------
    steps : int or None
        Batches in an epoch; None until the first has ended, if it cannot be known before.
    """

    def __init__(self, source: Source, steps_per_epoch: Any, name: str, who: str):
        if steps_per_epoch is not None:
            steps_per_epoch = Check(who).integer(steps_per_epoch, name)
        elif source.cardinality == INFINITE_CARDINALITY:
            raise ValueError(f"{who}: this Dataset never ends; say how far to go with {name}=")
        elif source.cardinality == 0:
            raise ValueError(f"{who}: expected at least one batch, received an empty Dataset")
        self._who = who
        self._source = source
        self._limit = steps_per_epoch
        self._pass: Iterator[Batch] | None = None
        self._taken = 0
        self.steps = steps_per_epoch or (source.cardinality if source.cardinality > 0 else None)

    def __iter__(self) -> Iterator[Batch]:
        if self._pass is None or self._taken == self._source.cardinality:
            self._pass, self._taken = self._source.start_pass(), 0
        steps = 0
        for batch in itertools.islice(self._pass, self._limit):
            steps += 1
            self._taken += 1
            yield batch
        if self._taken == 0:
            raise ValueError(f"{self._who}: expected at least one batch, received an empty Dataset")
        if self._limit is None:
            self._pass, self.steps = None, steps
        elif steps < self._limit:
            self._pass = None
            warnings.warn(
                "Your input ran out of data; interrupting training. Make sure that your dataset "
                "can generate at least `steps_per_epoch * epochs` batches. You may need to use "
                "the `.repeat()` function when building your dataset.",
                stacklevel=frames_to_user(),
            )

    def close(self) -> None:
        """End the current pass, and with it a thread that prefetches for it."""
        if self._pass is not None:
            self._pass.close()
            self._pass = None
