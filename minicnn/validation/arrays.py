"""Checks of arrays: converts what a user passes to an array of real numbers, or raises an error.

After `plain` every array is C-contiguous, aligned, in native byte order and of the model's dtype:
a compiled kernel is specialised for that kind of array, and reads out of bounds in silence.
"""

from typing import Any

import numpy as np

from minicnn.validation.arguments import FLOATS


class ArrayChecks:
    """The part of `Check` that is about arrays."""

    who: str

    def real_array(self, value: Any, name: str) -> np.ndarray:
        """`value` as an array of booleans, integers or floating-point numbers; not copied if it
        already is one.

        Raises
        ------
        TypeError
            For text, objects, complex numbers, dates, ragged lists, and for masked arrays in which
            some numbers are masked.
        """
        expected = f"{self.who}: {name} must be an array of real numbers"
        if np.ma.is_masked(value):
            raise TypeError(
                f"{expected}, received a masked array with {np.ma.count_masked(value)} of "
                f"{value.size} numbers masked; fill them in first"
            )
        try:
            array = np.asarray(value)
        except ValueError as error:  # lists of unequal lengths
            raise TypeError(f"{expected}, received {type(value).__name__}: {error}") from None
        if array.dtype.kind not in "buif":
            raise TypeError(f"{expected}, received dtype {array.dtype} ({type(value).__name__})")
        return array

    def samples(self, value: Any, name: str, input_shape: tuple[int, ...]) -> np.ndarray:
        """`value` as an array of samples, each of `input_shape`; its dtype is left as it is."""
        array = self.real_array(value, name)
        if array.shape[1:] != input_shape or array.ndim == 0:
            expected = "(samples, " + ", ".join(map(str, input_shape)) + ")"
            hint = ""
            if array.shape == input_shape:
                hint = f"; for a single sample pass {name}[None]"
            elif (*array.shape[1:], 1) == input_shape:
                hint = f"; for images without a channel axis pass {name}[..., None]"
            raise ValueError(
                f"{self.who}: expected {name} of shape {expected}, received {array.shape}{hint}"
            )
        return array

    def updatable(self, weights: Any) -> list[np.ndarray]:
        """`weights` if they are a list of arrays that an optimizer can change in place."""
        if not isinstance(weights, list | tuple):
            raise TypeError(f"{self.who}: expected a list of weights, received {weights!r}")
        for weight in weights:
            is_array = isinstance(weight, np.ndarray)
            if not is_array or not weight.flags.carray or weight.dtype not in FLOATS:
                received = type(weight).__name__
                if is_array:
                    received = (
                        f"{weight.dtype} of shape {weight.shape} and strides {weight.strides}"
                    )
                raise TypeError(
                    f"{self.who}: expected weights in contiguous, writable arrays of float32 or "
                    f"float64, received {received}"
                )
        return list(weights)

    def weights(self, values: Any, expected: list[np.ndarray]) -> list[np.ndarray]:
        """`values` as real arrays of the shapes of `expected`, one for one."""
        if not isinstance(values, list | tuple):
            raise TypeError(
                f"{self.who}: expected a list of arrays, received {type(values).__name__}"
            )
        arrays = [self.real_array(value, f"weight {i}") for i, value in enumerate(values)]
        shapes = [array.shape for array in arrays]
        if shapes != [array.shape for array in expected]:
            raise ValueError(
                f"{self.who}: expected weights of shapes {[array.shape for array in expected]}, "
                f"received {shapes}"
            )
        return arrays

    def class_labels(self, value: Any, name: str, samples: int, classes: int) -> np.ndarray:
        """`value` as (samples,) integers in [0, classes).

        Accepted are (samples,) and (samples, 1) of any real dtype that holds whole numbers.

        Raises
        ------
        TypeError, ValueError
            For other shapes and lengths (one-hot rows, say), fractions, NaN, labels out of range.
        """
        array = self.real_array(value, name)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            hint = ""
            if array.ndim == 2 and array.shape[1] == classes:
                hint = f"; if these are one-hot rows, pass {name}.argmax(axis=1)"
            raise ValueError(
                f"{self.who}: {name} must be integer labels of shape (samples,), received shape "
                f"{array.shape}{hint}"
            )
        self.same_length(array, name, samples)
        wrong = ~((array >= 0) & (array < classes))  # written so that NaN is wrong, too
        if array.dtype.kind == "f":
            wrong |= array != np.floor(array)
        if wrong.any():
            first = int(wrong.argmax())
            raise ValueError(
                f"{self.who}: {name} must be whole numbers from 0 to {classes - 1}, "
                f"received {array[first]} at position {first}"
            )
        return array.astype(np.intp)

    def sample_values(self, value: Any) -> np.ndarray:
        """`value` as an array (samples,) of at least one number."""
        values = self.real_array(value, "values")
        if values.ndim != 1 or len(values) == 0:
            raise ValueError(
                f"{self.who}: expected values of shape (samples,) with at least one sample, "
                f"received {values.shape}"
            )
        return values

    def same_length(self, array: np.ndarray, name: str, samples: int) -> None:
        """Refuse an array of labels or targets that does not hold one for each sample."""
        if array.ndim == 0 or len(array) != samples:
            received = len(array) if array.ndim else "a single number"
            raise ValueError(
                f"{self.who}: {name} must hold {samples} labels, one a sample, received {received}"
            )

    def scores(self, value: Any, name: str) -> np.ndarray:
        """`value` as floating-point predictions (samples, classes) with at least one sample."""
        array = self.real_array(value, name)
        if array.ndim != 2 or array.shape[0] == 0 or array.shape[1] == 0:
            raise ValueError(
                f"{self.who}: {name} must have shape (samples, classes) with at least one of "
                f"each, received {array.shape}"
            )
        return array if array.dtype in FLOATS else array.astype(np.float32)


def is_plain(array: Any, dtype: Any) -> bool:
    """Whether it is an array of that dtype, contiguous, aligned and writable."""
    return type(array) is np.ndarray and array.dtype == dtype and array.flags.carray


def plain(array: np.ndarray, dtype: Any) -> np.ndarray:
    """The same numbers in an array that `is_plain`; a copy only where it is needed."""
    if is_plain(array, dtype):  # the usual case, and np.require takes longer
        return array
    return np.require(array, np.dtype(dtype), ["C", "A", "W"])
