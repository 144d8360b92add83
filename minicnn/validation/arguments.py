"""Checks of single arguments: numbers, sizes, names, choices."""

import importlib
import sys
from collections.abc import Callable, Mapping
from numbers import Real
from operator import index
from types import FunctionType
from typing import Any

import numpy as np

FLOATS = (np.float32, np.float64)
PADDINGS = ("valid", "same")


class ArgumentChecks:
    """The part of `Check` that is about single arguments."""

    def __init__(self, who: str):
        self.who = who

    def error(self, message: str, kind: type[Exception] = ValueError) -> Exception:
        """The error to raise: it begins with who was called."""
        return kind(f"{self.who}: {message}")

    def instance(self, value: Any, kinds: Any, name: str, expected: str) -> Any:
        """`value` if it is an instance of one of these classes."""
        if not isinstance(value, kinds):
            raise self.error(f"{name} must be {expected}, received {value!r}", TypeError)
        return value

    def integer(
        self, value: Any, name: str, minimum: int = 1, maximum: int | None = sys.maxsize
    ) -> int:
        """`value` as a Python int from `minimum` to `maximum`."""
        try:
            if isinstance(value, bool):
                raise TypeError
            number = index(value)  # refuses 2.0 and "2", accepts NumPy integers
        except TypeError:
            raise self.error(
                f"{name} must be an integer of at least {minimum}, received {value!r}", TypeError
            ) from None
        if number < minimum:
            raise self.error(f"{name} must be at least {minimum}, received {value!r}")
        if maximum is not None and number > maximum:  # no array is that large
            received = number if number < 1 << 64 else f"one of {number.bit_length()} bits"
            raise self.error(f"{name} must be at most {maximum}, received {received}")
        return number

    def shape(self, value: Any, name: str) -> tuple[int, ...]:
        """`value` as a tuple of positive integers, the shape of a sample or of a weight."""
        sizes = self.instance(value, tuple | list, name, "a tuple of integers")
        return tuple(self.integer(size, f"each size of {name}") for size in sizes)

    def pair(self, value: Any, name: str) -> tuple[int, int]:
        """One integer for both dimensions, or a tuple or list of two: (height, width)."""
        pair = value if isinstance(value, tuple | list) else (value, value)
        if len(pair) != 2:
            raise self.error(f"{name} must be one or two integers, received {value!r}")
        return self.integer(pair[0], name), self.integer(pair[1], name)

    def padding(self, value: Any) -> str:
        """`value` as "valid" or "same"."""
        if isinstance(value, str) and value.lower() in PADDINGS:
            return value.lower()
        raise self.error(f'padding must be "valid" or "same", received {value!r}')

    def optional_list(self, value: Any, name: str) -> list[Any]:
        """`value` as a list; None is an empty one."""
        return [] if value is None else list(self.instance(value, list | tuple, name, "a list"))

    def flag(self, value: Any, name: str) -> bool:
        """`value` if it is True or False."""
        return bool(self.instance(value, bool | np.bool_, name, "True or False"))

    def number(
        self, value: Any, name: str, low: float, high: float = np.inf, from_low: bool = False
    ) -> float:
        """`value` as a float in [low, high); if high is infinite, low itself is refused, too,
        unless `from_low`."""
        open_below = high == np.inf and not from_low
        try:
            result = float(self.real(value, name))
        except OverflowError:  # of an integer with more than 308 digits
            result = np.inf
        if not (low < result if open_below else low <= result) or not result < high:
            bounds = f"above {low}" if open_below else f"in [{low}, {high})"
            raise self.error(f"{name} must be {bounds}, received {value!r}")
        return result

    def real(self, value: Any, name: str) -> Any:
        """`value` if it is a real number."""
        kinds = () if isinstance(value, bool) else Real  # True is an integer, to Python
        return self.instance(value, kinds, name, "a number")

    def float_dtype(self, value: Any) -> np.dtype:
        """`value` as the dtype of weights and of all arithmetic."""
        if isinstance(value, str | type | np.dtype) and value in ("float32", "float64", *FLOATS):
            return np.dtype(value)
        raise self.error(f'dtype must be "float32" or "float64", received {value!r}')

    def name(self, value: Any) -> str:
        """`value` if it can be the name of a layer, a model, a loss or a metric."""
        if not isinstance(value, str) or not value or "/" in value:
            raise self.error(f"name must be a non-empty string without '/', received {value!r}")
        return value

    def function(self, value: Any, name: str) -> Callable:
        """`value` if it can be called."""
        return self.instance(value, Callable, name, "a function")

    def kernel_shape(self, value: Any) -> tuple[int, ...]:
        """`value` as the shape of a kernel, which has inputs and outputs."""
        shape = self.shape(value, "shape")
        if len(shape) < 2:
            raise self.error(
                f"expected the shape of a kernel, (inputs, units) or (kh, kw, c, f), "
                f"received {shape}"
            )
        return shape

    def image_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """`shape` if it is that of images, (h, w, c)."""
        if len(shape) != 3:
            raise self.error(
                f"expected images of shape (height, width, channels), received {shape}"
            )
        return shape

    def vector_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """`shape` if it has an axis that can be taken for that of a vector."""
        if not shape:
            raise self.error("expected inputs of shape (..., size), received single numbers")
        return shape

    def generator(self, value: Any, name: str) -> np.random.Generator:
        """`value` if it is a generator of random numbers."""
        return self.instance(value, np.random.Generator, name, "a numpy.random.Generator")

    def choice(self, value: Any, name: str, known: Mapping[str, Any], kind: Any) -> Any:
        """What `known` has under the name `value`, made if it is a class; or an instance of `kind`.

        `known` has classes, functions or finished objects by name.
        """
        key = value.lower() if isinstance(value, str) else value
        if isinstance(value, str) and key not in known:
            importlib.import_module("minicnn.keras")  # adds its own names to `known`
        if isinstance(value, str | FunctionType) and key in known:
            found = known[key]
            return found() if isinstance(found, type | FunctionType) else found
        if isinstance(value, kind) and not isinstance(value, str | type):
            return value
        names = ", ".join(f'"{key}"' for key in known if isinstance(key, str))
        hint = "; call the class to get an instance" if isinstance(value, type) else ""
        raise self.error(
            f"{name} must be one of {names} or an instance of {kind.__name__}, "
            f"received {value!r}{hint}"
        )
