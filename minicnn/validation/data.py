"""Checks of data sets: what a `Dataset` is made of, and what `fit`, `evaluate`, `predict` read."""

from typing import Any

import numpy as np


class DataChecks:
    """The part of `Check` that is about data sets."""

    who: str

    def tensors(self, value: Any) -> tuple[Any, int]:
        """`value` as an array or as a tuple of tuples and arrays, and the length of all of them.

        Raises
        ------
        TypeError
            For objects, ragged lists, and for arrays with masked values.
        ValueError
            If the arrays have different lengths, or no axis.
        """
        arrays: list[np.ndarray] = []
        structure = self._tensors(value, arrays)
        if not arrays or any(array.ndim == 0 for array in arrays):
            raise ValueError(
                f"{self.who}: expected arrays with at least one axis, "
                f"received shapes {[array.shape for array in arrays]}"
            )
        lengths = [len(array) for array in arrays]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"{self.who}: expected arrays of one length, received lengths {lengths}"
            )
        return structure, lengths[0]

    def _tensors(self, value: Any, arrays: list[np.ndarray]) -> Any:
        """`value` with arrays in it, which are also appended to `arrays`."""
        if isinstance(value, tuple):
            return tuple(self._tensors(member, arrays) for member in value)
        expected = f"{self.who}: expected arrays"
        if np.ma.is_masked(value):
            raise TypeError(f"{expected}, received one with masked values; fill them first")
        try:
            array = np.asarray(value)
        except ValueError as error:  # lists of unequal lengths
            raise TypeError(f"{expected}, received {type(value).__name__}: {error}") from None
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
            raise ValueError(
                f"{self.who}: elements of one batch need one structure, received "
                + " and ".join(
                    sorted("no tuple" if n is None else f"a tuple of {n}" for n in sizes)
                )
            )

    def stacked(self, arrays: list[Any]) -> np.ndarray:
        """The arrays along a new first axis; they need one shape."""
        try:
            return np.stack(arrays)
        except ValueError:
            shapes = sorted({np.shape(array) for array in arrays})
            raise ValueError(
                f"{self.who}: elements of one batch need one shape, received {shapes}"
            ) from None

    def dataset_alone(self, y: Any, batch_size: Any) -> None:
        """Refuse labels or a batch size that are passed beside a Dataset."""
        if y is not None:
            raise ValueError(f"{self.who}: a Dataset brings its own labels, but y was passed too")
        if batch_size is not None:
            raise ValueError(
                f"{self.who}: a Dataset brings its own batches, but batch_size={batch_size!r} was "
                "passed; use dataset.batch(batch_size)"
            )

    def dataset_batch(self, element: Any) -> tuple[Any, Any]:
        """x and y of an element of a Dataset of (x, y); y is None if the element is x alone."""
        x, y = element if isinstance(element, tuple) and len(element) == 2 else (element, None)
        if isinstance(x, tuple):
            raise ValueError(
                f"{self.who}: expected a Dataset of (x, y) batches, "
                f"received a tuple of {len(element)}"
            )
        return x, y

    def x_and_y(self, data: Any) -> tuple[Any, Any]:
        """The two members of `data`, which must be a tuple or list of two."""
        if not isinstance(data, tuple | list) or len(data) != 2:
            raise ValueError(
                f"{self.who}: expected (x, y) or a Dataset, received {type(data).__name__}"
            )
        return data[0], data[1]

    def ends(self, cardinality: int, name: str | None) -> None:
        """Refuse a Dataset that is endless or empty.

        Parameters
        ----------
        cardinality : int
            As `Dataset.cardinality`.
        name : str or None
            The argument that would limit an endless one, if there is one.
        """
        if cardinality == -1:
            advice = f"say how far to go with {name}=" if name else "pass dataset.take(batches)"
            raise ValueError(f"{self.who}: this Dataset never ends; {advice}")
        self.not_empty(cardinality != 0)

    def not_empty(self, found: bool) -> None:
        """Refuse a Dataset in which no batch was `found`."""
        if not found:
            raise ValueError(f"{self.who}: expected at least one batch, received an empty Dataset")

    def labelled(self, x: np.ndarray, y: Any) -> None:
        """Refuse samples x (n, ...) without labels, and n = 0."""
        if y is None:
            raise ValueError(f"{self.who}: expected labels y beside x, received None")
        if len(x) == 0:
            raise ValueError(f"{self.who}: expected at least one sample, received none")
