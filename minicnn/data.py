"""`Dataset`: a recipe for a stream of samples or batches, by the rules of tf.data.

Every method returns a new recipe and does no work. Each `for` loop over a recipe runs it anew.

    Dataset.from_tensor_slices((x, y)).shuffle(10_000).repeat().batch(64).prefetch(AUTOTUNE)
"""

import itertools
import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicnn import engine
from minicnn.session import random_stream
from minicnn.validation import (
    AnswersUnknownNames,
    Check,
    ClassAnswersUnknownNames,
    answers_unknown_keywords,
)

INFINITE_CARDINALITY = -1
UNKNOWN_CARDINALITY = -2
AUTOTUNE = -1  # for prefetch: choose for me
experimental = SimpleNamespace(AUTOTUNE=AUTOTUNE)  # its home in TensorFlow 2.0


class Dataset(AnswersUnknownNames, metaclass=ClassAnswersUnknownNames):
    """A recipe for a stream of elements; an element is an array or a tuple of elements.

    Parameters
    ----------
    make_iterator : callable
        Starts one pass over the elements.
    cardinality : int
        Elements in a pass, or INFINITE_CARDINALITY, or UNKNOWN_CARDINALITY.

    Arguments that cannot be used are refused at once (TypeError, ValueError), not in a pass.
    """

    def __init__(self, make_iterator: Callable[[], Iterator], cardinality: int):
        check = Check("Dataset")
        self._make_iterator = check.function(make_iterator, "make_iterator")
        self._cardinality = check.integer(cardinality, "cardinality", UNKNOWN_CARDINALITY, None)

    def __iter__(self) -> Iterator:
        return self._make_iterator()

    def cardinality(self) -> int:
        """Elements in a pass, or -1 if there is no end, or -2 if it is unknown."""
        return self._cardinality

    def __len__(self) -> int:
        if self._cardinality < 0:
            raise TypeError("this Dataset has no length: it is endless or of unknown size")
        return self._cardinality

    def __bool__(self) -> bool:
        return True  # without this, `if dataset:` asks for a length

    @staticmethod
    def from_tensor_slices(tensors: Any) -> "Dataset":
        """One element for each index of the first axis, of one array or of all in a tuple.

        All need the same length; arrays of objects and arrays with masked values are refused.
        """
        arrays, size = Check("from_tensor_slices").tensors(tensors)
        return Dataset(lambda: (_slice(arrays, i) for i in range(size)), size)

    @staticmethod
    def from_generator(generator: Callable[[], Iterator]) -> "Dataset":
        """The elements that `generator()` yields; it is called once for each pass."""
        Check("from_generator").function(generator, "generator")
        return Dataset(lambda: iter(generator()), UNKNOWN_CARDINALITY)

    def shuffle(
        self, buffer_size: int, seed: int | None = None, reshuffle_each_iteration: bool = True
    ) -> "Dataset":
        """Mix the elements of a pass with a buffer of `buffer_size` elements.

        The buffer is filled first. Then each element that comes out is drawn from it at random
        and makes room for the next one of the input; at the end of the input the buffer drains.
        Element i cannot come out before position i - buffer_size + 1: only a buffer as large as
        the data makes all orders possible.

        Parameters
        ----------
        buffer_size : int
        seed : int, optional
            Fixes the sequence of orders, from run to run.
        reshuffle_each_iteration : bool
            Whether each pass gets an order of its own.
        """
        check = Check("shuffle")
        size = check.integer(buffer_size, "buffer_size")
        if seed is None:
            seed = int(random_stream().integers(2**63))
        seed = check.integer(seed, "seed", minimum=0, maximum=None)
        check.flag(reshuffle_each_iteration, "reshuffle_each_iteration")
        passes = itertools.count()

        def elements() -> Iterator:
            number = next(passes) if reshuffle_each_iteration else 0
            rng = np.random.default_rng([seed, number])
            source, buffer = iter(self), []
            while True:
                buffer += itertools.islice(source, size - len(buffer))
                if not buffer:
                    return
                place = int(rng.random() * len(buffer))
                buffer[place], buffer[-1] = buffer[-1], buffer[place]
                yield buffer.pop()

        return Dataset(elements, self._cardinality)

    def repeat(self, count: int | None = None) -> "Dataset":
        """One pass after the other: `count` of them, or without end if it is None or -1.

        A repeated empty dataset is empty.
        """
        count = Check("repeat").integer(-1 if count is None else count, "count", minimum=-1)

        def elements() -> Iterator:
            for _ in itertools.count() if count == -1 else range(count):
                empty = True
                for element in self:
                    empty = False
                    yield element
                if empty:
                    return

        cardinality = self._cardinality
        if count == 0 or cardinality == 0:
            cardinality = 0
        elif count == -1:
            cardinality = INFINITE_CARDINALITY
        elif cardinality > 0:
            cardinality *= count
        return Dataset(elements, cardinality)

    @answers_unknown_keywords
    def batch(self, batch_size: int, drop_remainder: bool = False) -> "Dataset":
        """`batch_size` elements at a time, stacked along a new first axis.

        The last batch may be smaller, unless `drop_remainder` leaves it out.
        """
        size = Check("batch").integer(batch_size, "batch_size")
        Check("batch").flag(drop_remainder, "drop_remainder")

        def elements() -> Iterator:
            source = iter(self)
            while members := list(itertools.islice(source, size)):
                if len(members) == size or not drop_remainder:
                    yield _stack(members)

        cardinality = self._cardinality
        if cardinality > 0:
            cardinality = cardinality // size if drop_remainder else math.ceil(cardinality / size)
        return Dataset(elements, cardinality)

    def take(self, count: int) -> "Dataset":
        """The first `count` elements of each pass; -1 takes all."""
        count = Check("take").integer(count, "count", minimum=-1)
        if count == -1:
            return self
        cardinality = self._cardinality
        if cardinality == INFINITE_CARDINALITY or cardinality > count:
            cardinality = count
        return Dataset(lambda: itertools.islice(self, count), cardinality)

    def skip(self, count: int) -> "Dataset":
        """All but the first `count` elements of each pass; -1 leaves none.

        Skipped elements are still drawn, so the rest keeps its order.
        """
        count = Check("skip").integer(count, "count", minimum=-1)
        if count == -1:
            return self.take(0)
        cardinality = self._cardinality
        if cardinality > 0:
            cardinality = max(cardinality - count, 0)
        return Dataset(lambda: itertools.islice(self, count, None), cardinality)

    @answers_unknown_keywords
    def map(self, function: Callable) -> "Dataset":
        """`function` of every element; the members of a tuple become its arguments."""
        Check("map").function(function, "function")

        def elements() -> Iterator:
            for element in self:
                yield function(*element) if isinstance(element, tuple) else function(element)

        return Dataset(elements, self._cardinality)

    def prefetch(self, buffer_size: int) -> "Dataset":
        """Prepare up to `buffer_size` elements ahead, on a background thread of each pass.

        The content does not change. See `engine.prefetched`.
        """
        ahead = Check("prefetch").integer(buffer_size, "buffer_size", minimum=AUTOTUNE)
        if ahead == 0:
            return self
        ahead = 2 if ahead == AUTOTUNE else ahead  # one ready, one in the making
        return Dataset(lambda: engine.prefetched(self, ahead), self._cardinality)


def as_dataset(value: Any) -> Any:
    """A generator of batches as a Dataset of one pass; anything else as it is."""
    generator = hasattr(value, "__next__") and not isinstance(value, Dataset)
    return Dataset(lambda: value, UNKNOWN_CARDINALITY) if generator else value


def _slice(arrays: Any, i: int) -> Any:
    """Member i of an array, or of all arrays in a tuple."""
    if isinstance(arrays, tuple):
        return tuple(_slice(array, i) for array in arrays)
    return arrays[i]


def _stack(elements: list[Any]) -> Any:
    """One element with a new first axis, made of elements of one structure and shape."""
    check = Check("batch")
    check.same_structure(elements)
    if isinstance(elements[0], tuple):
        return tuple(_stack(list(members)) for members in zip(*elements, strict=True))
    return check.stacked(elements)
