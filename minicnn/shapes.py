"""Geometry of windows that slide over an image: padding, strides, output sizes.

Pure integer arithmetic, no arrays. The letters used here are used in the whole package:

    n          images in a batch
    h  w  c    height, width and channels of an input
    kh kw      height and width of the window (a convolution's kernel, a pooling window)
    sh sw      strides, down and across
    oh ow f    height, width and channels ("filters") of an output

Arrays are laid out n, h, w, c; convolution kernels kh, kw, c, f; dense kernels inputs, units.
"""

import sys
from functools import lru_cache
from operator import index
from typing import Any, NamedTuple

Shape = tuple[int, ...]
PADDINGS = ("valid", "same")


class Geometry(NamedTuple):
    """Where a kh x kw window stands on an h x w image; all that a kernel needs to know of it.

    `top` and `left` count the cells of padding above and to the left of the image. Window (i, j)
    covers image rows i*sh - top ... i*sh - top + kh - 1, and columns likewise.
    """

    h: int
    w: int
    kh: int
    kw: int
    sh: int
    sw: int
    top: int
    left: int
    oh: int
    ow: int


def same_padding(size: int, window: int, stride: int) -> tuple[int, int]:
    """Cells to add before and after one dimension so that ceil(size / stride) windows fit.

    Parameters
    ----------
    size, window, stride : int
        Cells of the image, of the window, and between windows, in one dimension.

    Returns
    -------
    (before, after) : tuple of int
        An odd cell goes after (bottom, right), as in TensorFlow; PyTorch pads both sides alike.

    Examples
    --------
    >>> same_padding(28, 5, 1), same_padding(28, 4, 1), same_padding(28, 3, 2)
    ((2, 2), (1, 2), (0, 1))
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


@lru_cache(maxsize=1024)  # asked by every layer for every shard
def window_geometry(
    image: tuple[int, int],
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: str,
    name: str = "window",
) -> Geometry:
    """The geometry of `window` sliding over `image` (both height, width).

    With `padding="valid"` windows lie inside the image and what is left over at the bottom and
    right is dropped: (size - window) // stride + 1 of them. With `"same"` there are
    ceil(size / stride) windows (see `same_padding`).

    Raises
    ------
    ValueError
        If not even one window fits, which only `"valid"` can cause; `name` is what it calls it.
    """
    before, outputs = [], []
    for size, extent, stride in zip(image, window, strides, strict=True):
        if padding == "same":
            before.append(same_padding(size, extent, stride)[0])
            outputs.append(-(-size // stride))
        else:
            before.append(0)
            outputs.append((size - extent) // stride + 1)
    if min(outputs) < 1:
        raise ValueError(
            f"{name} {window} does not fit an input of height {image[0]} and width {image[1]}; "
            f'use padding="same" or a smaller {name}'
        )
    return Geometry(*image, *window, *strides, *before, *outputs)


def positive_int(
    value: Any, name: str, who: str, minimum: int = 1, maximum: int | None = sys.maxsize
) -> int:
    """`value` as a Python int of at least `minimum`; who and name are for the error message."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = index(value)  # refuses 2.0 and "2", accepts NumPy integers
    except TypeError:
        raise TypeError(
            f"{who}: {name} must be an integer of at least {minimum}, received {value!r}"
        ) from None
    if number < minimum:
        raise ValueError(f"{who}: {name} must be at least {minimum}, received {value!r}")
    if maximum is not None and number > maximum:  # no array has so many cells, nor any loop turns
        bits = number.bit_length()
        raise ValueError(f"{who}: {name} must be at most {maximum}, received one of {bits} bits")
    return number


def positive_ints(shape: Any, name: str, who: str) -> Shape:
    """`shape` as a tuple of positive integers, that of a sample or of a weight."""
    if not isinstance(shape, tuple | list):
        raise TypeError(f"{who}: {name} must be a tuple of integers, received {shape!r}")
    return tuple(positive_int(size, f"each size of {name}", who) for size in shape)


def positive_pair(value: Any, name: str, who: str) -> tuple[int, int]:
    """One integer for both dimensions, or a tuple or list of two: (height, width)."""
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ValueError(f"{who}: {name} must be one or two integers, received {value!r}")
        return positive_int(value[0], name, who), positive_int(value[1], name, who)
    both = positive_int(value, name, who)
    return both, both


def padding_name(value: Any, who: str) -> str:
    """`value` as "valid" or "same"."""
    if isinstance(value, str) and value.lower() in PADDINGS:
        return value.lower()
    raise ValueError(f'{who}: padding must be "valid" or "same", received {value!r}')
