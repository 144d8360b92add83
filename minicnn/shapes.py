"""Geometry of windows that slide over an image: padding, strides, output sizes.

Pure integer arithmetic, no arrays. The letters used here are used in the whole package:

    n          images in a batch
    h  w  c    height, width and channels of an input
    kh kw      height and width of the window (a convolution's kernel, a pooling window)
    sh sw      strides, down and across
    oh ow f    height, width and channels ("filters") of an output

Arrays are laid out n, h, w, c; convolution kernels kh, kw, c, f; dense kernels inputs, units.
"""

from typing import NamedTuple

Shape = tuple[int, ...]


class Geometry(NamedTuple):
    """The positions of a kh x kw window that slides over an h x w image.

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
    """Cells (before, after) to add to one dimension so that ceil(size / stride) windows fit.

    An odd cell goes after (bottom, right), as in TensorFlow; PyTorch pads both sides alike.

    Examples
    --------
    >>> same_padding(28, 5, 1), same_padding(28, 4, 1), same_padding(28, 3, 2)
    ((2, 2), (1, 2), (0, 1))
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def window_geometry(
    image: Shape, window: Shape, strides: Shape, padding: str, name: str = "window"
) -> Geometry:
    """The geometry of `window` sliding over `image`; these and `strides` are (height, width).

    With `padding="valid"` windows lie inside the image and what is left over at the bottom and
    right is dropped: (size - window) // stride + 1 of them. With `"same"` there are
    ceil(size / stride) windows (see `same_padding`).

    If not even one window fits, which only happens with `"valid"`, that is a ValueError, which
    calls the window `name`.
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
