"""The door: whatever a user hands in becomes one plain array here, or a clear error.

Behind the door every array is C-contiguous, aligned, native and of the model's dtype, because a
kernel is compiled once for each kind of array it meets and reads out of bounds in silence.
"""

import sys
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

FLOATS = (np.float32, np.float64)


def real_array(value: Any, name: str) -> np.ndarray:
    """`value` as an array of booleans, integers or floating-point numbers, uncopied if it is one.

    Raises
    ------
    TypeError
        For text, objects, complex numbers, dates, ragged lists, and for arrays that hide some of
        their numbers behind a mask.
    """
    if np.ma.is_masked(value):
        raise TypeError(
            f"{name} must be an array of real numbers, received a masked array with "
            f"{np.ma.count_masked(value)} of {value.size} numbers masked; fill them in first"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:  # lists of unequal lengths
        raise TypeError(
            f"{name} must be an array of real numbers, received {type(value).__name__}: {error}"
        ) from None
    if array.dtype.kind not in "buif":
        raise TypeError(
            f"{name} must be an array of real numbers, received dtype {array.dtype} "
            f"({type(value).__name__})"
        )
    return array


def flag(value: Any, name: str, who: str) -> bool:
    """`value` if it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{who}: {name} must be True or False, received {value!r}")
    return bool(value)


def number(value: Any, name: str, who: str, low: float, high: float = np.inf) -> float:
    """`value` as a float in [low, high); low itself is refused where it is 0 and high is inf."""
    open_below = high == np.inf
    if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
        raise TypeError(f"{who}: {name} must be a number, received {value!r}")
    try:
        result = float(value)
    except OverflowError:  # of an integer with more than 308 digits
        result = np.inf
    if not (low < result if open_below else low <= result) or not result < high:
        bounds = f"above {low}" if open_below else f"in [{low}, {high})"
        raise ValueError(f"{who}: {name} must be {bounds}, received {value!r}")
    return result


def float_dtype(value: Any, who: str) -> np.dtype:
    """`value` as the dtype of weights and of all arithmetic."""
    if isinstance(value, str | type | np.dtype) and value in ("float32", "float64", *FLOATS):
        return np.dtype(value)
    raise ValueError(f'{who}: dtype must be "float32" or "float64", received {value!r}')


def name(value: Any, who: str) -> str:
    """`value` if it can be the name of a layer, a model, a loss or a metric."""
    if not isinstance(value, str) or not value or "/" in value:
        raise ValueError(f"{who}: name must be a non-empty string without '/', received {value!r}")
    return value


def function(value: Any, name: str, who: str) -> Callable:
    """`value` if it can be called."""
    if not callable(value):
        raise TypeError(f"{who}: {name} must be a function, received {value!r}")
    return value


def is_plain(array: Any, dtype: Any) -> bool:
    """Whether it is an array of that dtype, contiguous, aligned and writable."""
    return type(array) is np.ndarray and array.dtype == dtype and array.flags.carray


def plain(array: np.ndarray, dtype: Any) -> np.ndarray:
    """The same numbers in an array that `is_plain`; a copy only where it is needed."""
    if is_plain(array, dtype):  # the rule, and np.require takes its time
        return array
    return np.require(array, np.dtype(dtype), ["C", "A", "W"])


def samples(value: Any, name: str, input_shape: tuple[int, ...], who: str) -> np.ndarray:
    """`value` as an array of samples, each of `input_shape`; its dtype is left as it is."""
    array = real_array(value, f"{who}: {name}")
    if array.shape[1:] != input_shape or array.ndim == 0:
        expected = "(samples, " + ", ".join(map(str, input_shape)) + ")"
        hint = ""
        if array.shape == input_shape:
            hint = f"; for a single sample pass {name}[None]"
        elif (*array.shape[1:], 1) == input_shape:
            hint = f"; for images without a channel axis pass {name}[..., None]"
        raise ValueError(
            f"{who}: expected {name} of shape {expected}, received {array.shape}{hint}"
        )
    return array


def weights(values: Any, expected: list[np.ndarray], who: str) -> list[np.ndarray]:
    """`values` as real arrays of the shapes of `expected`, one for one."""
    if not isinstance(values, list | tuple):
        raise TypeError(f"{who}: expected a list of arrays, received {type(values).__name__}")
    arrays = [real_array(value, f"{who}: weight {i}") for i, value in enumerate(values)]
    shapes = [array.shape for array in arrays]
    if shapes != [array.shape for array in expected]:
        raise ValueError(
            f"{who}: expected weights of shapes {[array.shape for array in expected]}, "
            f"received {shapes}"
        )
    return arrays


def class_labels(value: Any, name: str, samples: int, classes: int) -> np.ndarray:
    """`value` as (samples,) integers in [0, classes).

    Accepted are (samples,) and (samples, 1) of any real dtype that holds whole numbers.

    Raises
    ------
    TypeError, ValueError
        For other shapes and lengths (one-hot rows, say), fractions, NaN, labels out of range.
    """
    array = real_array(value, name)
    own_name = name.rpartition(" ")[2]  # without who
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        hint = ""
        if array.ndim == 2 and array.shape[1] == classes:
            hint = f"; if these are one-hot rows, pass {own_name}.argmax(axis=1)"
        raise ValueError(
            f"{name} must be integer labels of shape (samples,), received shape {array.shape}{hint}"
        )
    if len(array) != samples:
        raise ValueError(f"{name} must hold {samples} labels, one a sample, received {len(array)}")
    wrong = ~((array >= 0) & (array < classes))  # written so that NaN is wrong, too
    if array.dtype.kind == "f":
        wrong |= array != np.floor(array)
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(
            f"{name} must be whole numbers from 0 to {classes - 1}, "
            f"received {array[first]} at position {first}"
        )
    return array.astype(np.intp)


def scores(value: Any, name: str) -> np.ndarray:
    """`value` as floating-point predictions (samples, classes) with at least one sample."""
    array = real_array(value, name)
    if array.ndim != 2 or array.shape[0] == 0 or array.shape[1] == 0:
        raise ValueError(
            f"{name} must have shape (samples, classes) with at least one of each, "
            f"received {array.shape}"
        )
    return array if array.dtype in FLOATS else array.astype(np.float32)


def frames_to_user() -> int:
    """Stack level of the code outside this package, so that a warning points at the user's line."""
    frame, level = sys._getframe(1), 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith("minicnn."):
        frame, level = frame.f_back, level + 1
    return level
