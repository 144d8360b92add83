"""What `fit`, `evaluate` and `predict` read: arrays or a Dataset, as checked batches.

Arrays are checked as a whole before the first step; a Dataset batch by batch, each one before the
step that would use it.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minicnn.data import Dataset, as_dataset
from minicnn.validation import Check, plain

Batch = tuple[np.ndarray, np.ndarray | None]  # x in the model's dtype; targets, unless predicting


class Source(NamedTuple):
    """Where batches come from, pass by pass."""

    check: Check  # names the caller in errors
    start_pass: Callable[[], Iterator[Batch]]
    cardinality: int  # batches in a pass, or as `Dataset.cardinality`


def source(
    model: Any, check: Check, x: Any, y: Any, loss: Any, batch_size: Any, rng: Any = None
) -> Source:
    """Batches for a model, from arrays or from a Dataset of batches; what can be checked now, is.

    Parameters
    ----------
    model : Sequential
        Built now if it has waited for its first data.
    x, y : arrays; or a Dataset or generator, and None
    loss : Loss or None
        Checks the labels; None if there are none.
    batch_size : int or None
        For arrays, 32 if None. A Dataset has its own batches.
    rng : Generator or None
        Draws a new order of all samples for each pass over arrays. None leaves them as they are.
    """
    x = build_from(as_dataset(x), model, check)
    input_shape, output_shape, dtype = model.input_shape, model.output_shape, model.dtype

    def checked(x: Any, y: Any, name: str) -> Batch:
        x = check.samples(x, name, input_shape)
        if loss is None:
            return x, None
        check.labelled(x, y)
        return x, loss.targets(check, y, "y", len(x), output_shape)

    def pass_over_dataset() -> Iterator[Batch]:
        for element in x:
            images, targets = checked(*check.dataset_batch(element), "a Dataset's x")
            yield plain(images, dtype), targets

    if isinstance(x, Dataset):
        check.dataset_alone(y, batch_size)
        return Source(check, pass_over_dataset, x.cardinality())
    size = check.integer(32 if batch_size is None else batch_size, "batch_size")
    images, targets = checked(x, y, "x")

    def pass_over_arrays() -> Iterator[Batch]:
        order = None if rng is None else rng.permutation(len(images))
        for start in range(0, len(images), size):
            part = slice(start, start + size)
            part = part if order is None else order[part]
            yield plain(images[part], dtype), None if targets is None else targets[part]

    return Source(check, pass_over_arrays, -(-len(images) // size))


def build_from(x: Any, model: Any, check: Check) -> Any:
    """Make the weights of a model that has waited for its first data, x.

    Returns x, or a Dataset whose first pass still has the element that was drawn to see its shape.
    """
    if model.input_shape is not None:
        return x
    first = x
    if isinstance(x, Dataset):
        elements, dataset = iter(x), x
        element = next(elements, None)
        check.not_empty(element is not None)
        begun = [itertools.chain([element], elements)]
        x = Dataset(lambda: begun.pop() if begun else iter(dataset), dataset.cardinality())
        first, _ = check.dataset_batch(element)
    model.build(check.real_array(first, "x").shape)
    return x


class Epochs:
    """Cuts the passes of a source into epochs; each `for` loop over it is one epoch.

    Without `steps` an epoch is a pass. With it, one pass lives across the epochs: the second
    continues where the first ended. Data that end in the middle of an epoch cut it short, with a
    warning, and the next epoch starts a new pass, as in Keras 3. Error messages call `steps` by
    `name`, the caller's argument; None if there is none.

    Attributes
    ----------
    steps : int or None
        Batches in an epoch; None until the first has ended, if it cannot be known before.
    """

    def __init__(self, source: Source, steps: Any, name: str | None = "steps"):
        if steps is None:
            source.check.ends(source.cardinality, name)
        else:
            steps = source.check.integer(steps, name)
        self._source = source
        self._limit = steps
        self._pass: Iterator[Batch] | None = None
        self._taken = 0
        self.steps = steps or (source.cardinality if source.cardinality > 0 else None)

    def __iter__(self) -> Iterator[Batch]:
        if self._pass is None or self._taken == self._source.cardinality:
            self._pass, self._taken = self._source.start_pass(), 0
        steps = 0
        for batch in itertools.islice(self._pass, self._limit):
            steps += 1
            self._taken += 1
            yield batch
        self._source.check.not_empty(self._taken > 0)
        if self._limit is None:
            self._pass, self.steps = None, steps
        elif steps < self._limit:
            self._pass = None
            self._source.check.warn_of_too_few_batches()

    def close(self) -> None:
        """End the current pass, and with it a thread that prefetches for it."""
        if self._pass is not None:
            self._pass.close()
            self._pass = None
