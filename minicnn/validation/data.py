"""Checks of data sets: what a `Dataset` is made of, and what `fit`, `evaluate`, `predict` read."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.validation.arrays import ArrayChecks


class DataChecks(ArrayChecks):
    """The part of `Check` that is about data sets."""

    def tensors(self, value: Any) -> tuple[Any, int]:
        """`value` as an array or as a tuple of tuples and arrays, and the length of all of them."""
        arrays: list[np.ndarray] = []
        structure = self._tensors(value, arrays)
        if not arrays or any(array.ndim == 0 for array in arrays):
            raise self.error(
                f"expected arrays with at least one axis, "
                f"received shapes {[array.shape for array in arrays]}"
            )
        lengths = [len(array) for array in arrays]
        if len(set(lengths)) > 1:
            raise self.error(f"expected arrays of one length, received lengths {lengths}")
        return structure, lengths[0]

    def _tensors(self, value: Any, arrays: list[np.ndarray]) -> Any:
        """`value` with arrays in it, which are also appended to `arrays`."""
        if isinstance(value, tuple):
            return tuple(self._tensors(member, arrays) for member in value)
        expected = f"{self.who}: expected arrays"
        array = self.any_array(value, expected)
        if array.dtype.hasobject:
            raise TypeError(
                f"{expected} of numbers or texts, received dtype {array.dtype} "
                f"({type(value).__name__})"
            )
        arrays.append(array)
        return array

    def same_structure(self, elements: list[Any]) -> None:
        """Refuse elements unless all are tuples of one length, or none is a tuple."""
        sizes = {len(element) if isinstance(element, tuple) else None for element in elements}
        if len(sizes) > 1:
            found = sorted("no tuple" if n is None else f"a tuple of {n}" for n in sizes)
            raise self.error(
                "elements of one batch need one structure, received " + " and ".join(found)
            )

    def stacked(self, arrays: list[Any]) -> np.ndarray:
        """The arrays along a new first axis; they need one shape."""
        try:
            return np.stack(arrays)
        except ValueError:
            shapes = sorted({np.shape(array) for array in arrays})
            raise self.error(f"elements of one batch need one shape, received {shapes}") from None

    def dataset_alone(self, y: Any, batch_size: Any) -> None:
        """Refuse labels or a batch size that are passed beside a Dataset."""
        if y is not None:
            raise self.error("a Dataset brings its own labels, but y was passed too")
        if batch_size is not None:
            raise self.error(
                f"a Dataset brings its own batches, but batch_size={batch_size!r} was "
                "passed; use dataset.batch(batch_size)"
            )

    def dataset_batch(self, element: Any) -> tuple[Any, Any]:
        """x and y of an element of a Dataset of (x, y); y is None if the element is x alone."""
        x, y = element if isinstance(element, tuple) and len(element) == 2 else (element, None)
        if isinstance(x, tuple):
            raise self.error(
                f"expected a Dataset of (x, y) batches, received a tuple of {len(element)}"
            )
        return x, y

    def x_y_weight(self, data: Any) -> tuple[Any, Any, Any]:
        """The members of `data`, a tuple or list of two or three; the last is None if it lacks."""
        if not isinstance(data, tuple | list) or len(data) not in (2, 3):
            raise self.error(f"expected (x, y) or a Dataset, received {type(data).__name__}")
        return data[0], data[1], data[2] if len(data) == 3 else None

    def split(self, x: Any, y: Any, weight: Any, share: Any, validation_data: Any) -> Any:
        """(x, y, weight) of the first samples, and of the last ones, which are `share` of all.

        As in Keras, the first floor(n * (1 - share)) are for training; with `validation_data` there
        is nothing to split off.
        """
        share = self.number(share, "validation_split", 0, 1)
        if validation_data is not None:
            return (x, y, weight), validation_data
        arrays = [x, y, weight]
        if hasattr(x, "cardinality") or hasattr(x, "__next__"):
            raise ValueError(
                f"{self.who}: validation_split needs arrays, but received {type(x).__name__}; use "
                "Dataset.take and Dataset.skip, and validation_data"
            )
        arrays = [None if each is None else self.real_array(each, "x or y") for each in arrays]
        size = len(arrays[0])
        first = math.floor(size * (1 - share))
        if not 0 < first < size:
            raise ValueError(
                f"{self.who}: validation_split={share} of {size} samples leaves none to train with "
                "or none to validate with; expected some of both"
            )
        parts = (slice(0, first), slice(first, size))
        train, validation = (
            tuple(None if each is None else each[part] for each in arrays) for part in parts
        )
        return train, validation

    def weighing(self, sample_weight: Any, class_weight: Any) -> Callable | None:
        """A function that turns targets into records of targets and weights; None without weights.

        Parameters
        ----------
        sample_weight : (n,) array or None
        class_weight : dict or None
            By label; other labels have the weight 1.
        """
        if sample_weight is None and class_weight is None:
            return None
        if sample_weight is not None and class_weight is not None:
            raise ValueError(
                f"{self.who}: expected class_weight or sample_weight, received both; multiply them"
            )
        if class_weight is not None:
            self.instance(class_weight, dict, "class_weight", "a dict of weights by label")

        def weigh(targets: np.ndarray) -> np.ndarray:
            if class_weight is not None:
                labels = targets.argmax(axis=1) if targets.ndim > 1 else targets
                weights = np.array([class_weight.get(int(label), 1.0) for label in labels])
            else:
                weights = self.real_array(sample_weight, "sample_weight")
                if weights.shape != (len(targets),):
                    raise ValueError(
                        f"{self.who}: sample_weight must have shape ({len(targets)},), one number "
                        f"a sample, received {weights.shape}"
                    )
            fields = [("y", targets.dtype, targets.shape[1:]), ("weight", np.float64)]
            records = np.empty(len(targets), fields)
            records["y"], records["weight"] = targets, weights
            return records

        return weigh

    def validates(self, frequency: Any) -> Callable[[int], bool]:
        """Whether to validate after an epoch, counted from 1, by the argument validation_freq."""
        if isinstance(frequency, list | tuple | set):
            numbers = {self.integer(number, "each of validation_freq") for number in frequency}
            return lambda epoch: epoch in numbers
        every = self.integer(frequency, "validation_freq")
        return lambda epoch: epoch % every == 0

    def ends(self, cardinality: int, name: str | None) -> None:
        """Refuse a Dataset that is endless or empty.

        `name` is the argument that would limit an endless one, if there is one.
        """
        if cardinality == -1:
            advice = f"say how far to go with {name}=" if name else "pass dataset.take(batches)"
            raise self.error(f"this Dataset never ends; {advice}")
        self.not_empty(cardinality != 0)

    def not_empty(self, found: bool) -> None:
        """Refuse a Dataset in which no batch was `found`."""
        if not found:
            raise self.error("expected at least one batch, received an empty Dataset")

    def labelled(self, x: np.ndarray, y: Any) -> None:
        """Refuse samples x (n, ...) without labels, and n = 0."""
        if y is None:
            raise self.error("expected labels y beside x, received None")
        if len(x) == 0:
            raise self.error("expected at least one sample, received none")
