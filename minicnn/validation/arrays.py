"""Checks of arrays: converts what a user passes to an array of real numbers, or raises an error.

After `plain` every array is C-contiguous, aligned, in native byte order and of the model's dtype:
a compiled kernel is specialised for that kind of array, and reads out of bounds in silence.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.validation.arguments import FLOATS, ArgumentChecks


def usual_float_errors(function: Callable) -> Callable:
    """The same function, in which no floating-point error raises, and underflow is ignored.

    Softmax, for instance, relies on tiny numbers becoming zero. What the user has set by
    `np.seterr` would not hold in other threads anyway.
    """

    @functools.wraps(function)
    def usual(*args: Any, **options: Any) -> Any:
        raised = {kind: "warn" for kind, what in np.geterr().items() if what == "raise"}
        with np.errstate(**raised | {"under": "ignore"}):
            return function(*args, **options)

    return usual


class ArrayChecks(ArgumentChecks):
    """The part of `Check` that is about arrays."""

    def real_array(self, value: Any, name: str) -> np.ndarray:
        """`value` as an array of booleans, integers or floating-point numbers; not copied if it
        already is one.

        A TypeError refuses text, objects, complex numbers, dates, ragged lists and masked numbers.
        """
        expected = f"{self.who}: {name} must be an array of real numbers"
        array = self.any_array(value, expected)
        if array.dtype.kind not in "buif":
            raise TypeError(f"{expected}, received dtype {array.dtype} ({type(value).__name__})")
        return array

    def any_array(self, value: Any, expected: str) -> np.ndarray:
        """`value` as an array of any dtype; errors start with what was `expected`."""
        if np.ma.is_masked(value):
            raise TypeError(
                f"{expected}, received a masked array with {np.ma.count_masked(value)} of "
                f"{value.size} numbers masked; fill them in first"
            )
        try:
            return np.asarray(value)
        except ValueError as error:  # lists of unequal lengths
            raise TypeError(f"{expected}, received {type(value).__name__}: {error}") from None

    def samples(self, value: Any, name: str, input_shape: tuple[int, ...]) -> np.ndarray:
        """`value` as an array of samples, each of `input_shape`; its dtype is left as it is."""
        array = self.real_array(value, name)
        if array.shape[1:] != input_shape or array.ndim == 0:
            expected = "(samples, " + ", ".join(map(str, input_shape)) + ")"
            hint = ""
            if array.shape == input_shape and name == "a Dataset's x":
                hint = "; pass dataset.batch(batch_size)"
            elif array.shape == input_shape:
                hint = f"; for a single sample pass {name}[None]"
            elif (*array.shape[1:], 1) == input_shape:
                hint = f"; for images without a channel axis pass {name}[..., None]"
            raise self.error(f"expected {name} of shape {expected}, received {array.shape}{hint}")
        return array

    def updatable(self, weights: Any) -> list[np.ndarray]:
        """`weights` if they are a list of arrays that an optimizer can change in place."""
        if not isinstance(weights, list | tuple):
            raise self.error(f"expected a list of weights, received {weights!r}", TypeError)
        for weight in weights:
            is_array = isinstance(weight, np.ndarray)
            if not is_array or not weight.flags.carray or weight.dtype not in FLOATS:
                received = type(weight).__name__
                if is_array:
                    shape, strides = weight.shape, weight.strides
                    received = f"{weight.dtype} of shape {shape} and strides {strides}"
                raise self.error(
                    f"expected weights in contiguous, writable arrays of float32 or "
                    f"float64, received {received}",
                    TypeError,
                )
        return list(weights)

    def weights(self, values: Any, expected: list[np.ndarray]) -> list[np.ndarray]:
        """`values` as real arrays of the shapes of `expected`, one for one."""
        if not isinstance(values, list | tuple):
            raise self.error(
                f"expected a list of arrays, received {type(values).__name__}", TypeError
            )
        arrays = [self.real_array(value, f"weight {i}") for i, value in enumerate(values)]
        shapes = [array.shape for array in arrays]
        if shapes != [array.shape for array in expected]:
            raise self.error(
                f"expected weights of shapes {[array.shape for array in expected]}, "
                f"received {shapes}"
            )
        return arrays

    def class_labels(self, value: Any, name: str, samples: int, classes: int) -> np.ndarray:
        """`value` as (samples,) integers in [0, classes).

        Accepted are (samples,) and (samples, 1) of any real dtype that holds whole numbers; other
        shapes and lengths (one-hot rows, say), fractions, NaN, labels out of range are errors.
        """
        array = self.real_array(value, name)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            hint = ""
            if array.ndim == 2 and array.shape[1] == classes:
                hint = (
                    f'; for one-hot rows use "categorical_crossentropy", or {name}.argmax(axis=1)'
                )
            raise self.error(
                f"{name} must be integer labels of shape (samples,), received shape "
                f"{array.shape}{hint}"
            )
        self.same_length(array, name, samples)
        wrong = ~((array >= 0) & (array < classes))  # written so that NaN is wrong, too
        if array.dtype.kind == "f":
            wrong |= array != np.floor(array)
        if wrong.any():
            first = int(wrong.argmax())
            from_1 = array.min() == 1 and array.max() == classes
            hint = f"; labels that count from 1 are passed as {name} - 1" if from_1 else ""
            raise self.error(
                f"{name} must be whole numbers from 0 to {classes - 1}, "
                f"received {array[first]} at position {first}{hint}"
            )
        return array.astype(np.intp)

    def one_hot_rows(self, value: Any, name: str, samples: int, classes: int) -> np.ndarray:
        """`value` as (samples, classes) numbers: one-hot rows, or other probabilities."""
        array = self.real_array(value, name)
        if array.ndim == 1 or array.shape[1:] == (1,):
            raise self.error(
                f"{name} must be one-hot rows of shape (samples, {classes}), received "
                f'shape {array.shape}; for integer labels use "sparse_categorical_crossentropy", '
                f"or make rows by keras.utils.to_categorical"
            )
        if array.shape[1:] != (classes,):
            raise self.error(
                f"{name} must be one-hot rows of shape (samples, {classes}), received "
                f"shape {array.shape}"
            )
        self.same_length(array, name, samples)
        return array

    def gradient(self, value: Any, y: np.ndarray) -> np.ndarray:
        """`value` as a gradient with respect to y: of its shape and dtype, as kernels need it."""
        array = self.real_array(value, "the gradient of the loss")
        if array.shape != y.shape:
            raise self.error(
                f"expected a gradient of the shape {y.shape} of the predictions, "
                f"received {array.shape}"
            )
        return plain(array, y.dtype)

    def sample_values(self, value: Any) -> np.ndarray:
        """`value` as an array (samples,) of at least one number."""
        values = self.real_array(value, "values")
        if values.ndim != 1 or len(values) == 0:
            raise self.error(
                f"expected values of shape (samples,) with at least one sample, "
                f"received {values.shape}"
            )
        return values

    def same_length(self, array: np.ndarray, name: str, samples: int) -> None:
        """Refuse an array of labels or targets that does not hold one for each sample."""
        if array.ndim == 0 or len(array) != samples:
            received = len(array) if array.ndim else "a single number"
            raise self.error(
                f"{name} must hold {samples} labels, one a sample, received {received}"
            )

    def scores(self, value: Any, name: str) -> np.ndarray:
        """`value` as floating-point predictions (samples, classes) with at least one sample."""
        array = self.real_array(value, name)
        if array.ndim != 2 or array.shape[0] == 0 or array.shape[1] == 0:
            raise self.error(
                f"{name} must have shape (samples, classes) with at least one of "
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
