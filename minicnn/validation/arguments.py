"""Checks of single arguments: numbers, sizes, names, choices."""

import sys
from collections.abc import Callable, Mapping
from numbers import Real
from operator import index
from typing import Any

import numpy as np

FLOATS = (np.float32, np.float64)
PADDINGS = ("valid", "same")


class ArgumentChecks:
    """The part of `Check` that is about single arguments."""

    who: str

    def integer(
        self, value: Any, name: str, minimum: int = 1, maximum: int | None = sys.maxsize
    ) -> int:
        """`value` as a Python int from `minimum` to `maximum`."""
        try:
            if isinstance(value, bool):
                raise TypeError
            number = index(value)  # refuses 2.0 and "2", accepts NumPy integers
        except TypeError:
            raise TypeError(
                f"{self.who}: {name} must be an integer of at least {minimum}, received {value!r}"
            ) from None
        if number < minimum:
            raise ValueError(f"{self.who}: {name} must be at least {minimum}, received {value!r}")
        if maximum is not None and number > maximum:  # no array is that large
            received = number if number < 1 << 64 else f"one of {number.bit_length()} bits"
            raise ValueError(f"{self.who}: {name} must be at most {maximum}, received {received}")
        return number

    def shape(self, value: Any, name: str) -> tuple[int, ...]:
        """`value` as a tuple of positive integers, the shape of a sample or of a weight."""
        if not isinstance(value, tuple | list):
            raise TypeError(f"{self.who}: {name} must be a tuple of integers, received {value!r}")
        return tuple(self.integer(size, f"each size of {name}") for size in value)

    def pair(self, value: Any, name: str) -> tuple[int, int]:
        """One integer for both dimensions, or a tuple or list of two: (height, width)."""
        if isinstance(value, tuple | list):
            if len(value) != 2:
                raise ValueError(
                    f"{self.who}: {name} must be one or two integers, received {value!r}"
                )
            return self.integer(value[0], name), self.integer(value[1], name)
        both = self.integer(value, name)
        return both, both

    def padding(self, value: Any) -> str:
        """`value` as "valid" or "same"."""
        if isinstance(value, str) and value.lower() in PADDINGS:
            return value.lower()
        raise ValueError(f'{self.who}: padding must be "valid" or "same", received {value!r}')

    def optional_list(self, value: Any, name: str) -> list[Any]:
        """`value` as a list; None is an empty one."""
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise TypeError(f"{self.who}: {name} must be a list, received {value!r}")
        return list(value)

    def flag(self, value: Any, name: str) -> bool:
        """`value` if it is True or False."""
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"{self.who}: {name} must be True or False, received {value!r}")
        return bool(value)

    def number(self, value: Any, name: str, low: float, high: float = np.inf) -> float:
        """`value` as a float in [low, high); if high is infinite, low itself is refused too."""
        open_below = high == np.inf
        if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
            raise TypeError(f"{self.who}: {name} must be a number, received {value!r}")
        try:
            result = float(value)
        except OverflowError:  # of an integer with more than 308 digits
            result = np.inf
        if not (low < result if open_below else low <= result) or not result < high:
            bounds = f"above {low}" if open_below else f"in [{low}, {high})"
            raise ValueError(f"{self.who}: {name} must be {bounds}, received {value!r}")
        return result

    def float_dtype(self, value: Any) -> np.dtype:
        """`value` as the dtype of weights and of all arithmetic."""
        if isinstance(value, str | type | np.dtype) and value in ("float32", "float64", *FLOATS):
            return np.dtype(value)
        raise ValueError(f'{self.who}: dtype must be "float32" or "float64", received {value!r}')

    def name(self, value: Any) -> str:
        """`value` if it can be the name of a layer, a model, a loss or a metric."""
        if not isinstance(value, str) or not value or "/" in value:
            raise ValueError(
                f"{self.who}: name must be a non-empty string without '/', received {value!r}"
            )
        return value

    def function(self, value: Any, name: str) -> Callable:
        """`value` if it can be called."""
        if not callable(value):
            raise TypeError(f"{self.who}: {name} must be a function, received {value!r}")
        return value

    def kernel_shape(self, value: Any) -> tuple[int, ...]:
        """`value` as the shape of a kernel, which has inputs and outputs."""
        shape = self.shape(value, "shape")
        if len(shape) < 2:
            raise ValueError(
                f"{self.who}: expected the shape of a kernel, (inputs, units) or (kh, kw, c, f), "
                f"received {shape}"
            )
        return shape

    def image_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """`shape` if it is that of images, (h, w, c)."""
        if len(shape) != 3:
            raise ValueError(
                f"{self.who}: expected images of shape (height, width, channels), received {shape}"
            )
        return shape

    def vector_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """`shape` if it has an axis that can be taken for that of a vector."""
        if not shape:
            raise ValueError(
                f"{self.who}: expected inputs of shape (..., size), received single numbers"
            )
        return shape

    def generator(self, value: Any, name: str) -> np.random.Generator:
        """`value` if it is a generator of random numbers."""
        if not isinstance(value, np.random.Generator):
            raise TypeError(
                f"{self.who}: {name} must be a numpy.random.Generator, received {value!r}"
            )
        return value

    def choice(self, value: Any, name: str, known: Mapping[str, Any], kind: Any) -> Any:
        """What `known` has under the name `value`, made if it is a class; or an instance of `kind`.

        Parameters
        ----------
        known : dict
            Classes, functions or finished objects by name.
        kind : type
            What else is accepted.
        """
        if isinstance(value, str) and value.lower() in known:
            found = known[value.lower()]
            return found() if callable(found) else found
        if isinstance(value, kind) and not isinstance(value, str | type):
            return value
        names = ", ".join(f'"{key}"' for key in known)
        hint = "; call the class to get an instance" if isinstance(value, type) else ""
        raise ValueError(
            f"{self.who}: {name} must be one of {names} or an instance of {kind.__name__}, "
            f"received {value!r}{hint}"
        )
