"""Photos and drawings of digits, prepared as MNIST's makers prepared theirs.

The digit is cropped, scaled so that its longer side has 20 of 28 pixels, and moved so that its
centre of mass is in the middle. `page/numbers/digits.js` takes the same steps from `prepared` on.
LeCun et al., "Gradient-based learning applied to document recognition" (1998), section III.A.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

BOX = 20 / 28  # share of the image that the digit may fill
MOST_PIXELS = 400  # in height and width; larger pictures are reduced first
EDGE = 0.08  # share of height and width that counts as the edge of a picture, mostly paper
SPECK = 0.05  # ink connected to less than this share of the largest stroke is dirt
FAINTEST = 0.1  # contrast between ink and paper, of 1


def read_digit(path: Any, shape: tuple[int, int] = (28, 28)) -> np.ndarray:
    """A picture of one digit, dark on light or light on dark, as an image (h, w) of that shape.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a picture, or if there is no ink on it.
    """
    return prepared(ink_of(grey(path), path), shape)


def grey(path: Any) -> np.ndarray:
    """The grey values (height, width) of a picture: 0 for black, 1 for white."""
    from PIL import Image, ImageOps  # comes with Matplotlib; not earlier: importing takes time

    Path(path).open("rb").close()  # raises an OSError that names what is wrong with the file
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # 90 million pixels
            with Image.open(path) as picture:
                picture.draft("L", (MOST_PIXELS, MOST_PIXELS))  # large photos are decoded faster
                picture = ImageOps.exif_transpose(picture).convert("RGBA")
    except Exception as error:  # for damaged files Pillow raises a dozen kinds
        raise ValueError(
            f"{path} is not a picture that can be read, such as PNG or JPEG"
        ) from error
    picture.thumbnail((MOST_PIXELS, MOST_PIXELS))
    paper = Image.new("RGBA", picture.size, "white")  # what is transparent shows white
    return np.asarray(Image.alpha_composite(paper, picture).convert("L"), np.float64) / 255


def ink_of(picture: np.ndarray, name: Any = "the picture") -> np.ndarray:
    """How much ink there is at each pixel, from 0 for paper to 1.

    Paper is what the edge of the picture shows, as a plane, since a photo is often darker on one
    side; ink is what differs from it most. Isolated specks are removed.

    Raises
    ------
    ValueError
        If everything has one colour.
    """
    from scipy import ndimage

    difference = picture - _paper(picture)
    dark_on_light = (difference**3).sum() < 0
    contrast = np.maximum(-difference if dark_on_light else difference, 0)
    if contrast.max() < FAINTEST:
        raise ValueError(f"{name} shows no digit: everything has about the same colour")
    contrast /= contrast.max()
    threshold = _otsu(contrast)
    strokes, count = ndimage.label(contrast > threshold, structure=np.ones((3, 3)))
    sizes = np.bincount(strokes.ravel(), minlength=count + 1)[1:]
    kept = np.flatnonzero(sizes >= SPECK * sizes.max()) + 1
    near = ndimage.binary_dilation(np.isin(strokes, kept), structure=np.ones((3, 3)))
    low, high = threshold / 2, np.quantile(contrast[contrast > threshold], 0.75)
    return np.clip((contrast - low) / (high - low), 0, 1) * near


def prepared(ink: np.ndarray, shape: tuple[int, int] = (28, 28)) -> np.ndarray:
    """Ink (height, width), 0 for paper, as a centred image (h, w) whose brightest pixel is 1."""
    rows, columns = (np.flatnonzero((ink > 0).any(axis=axis)) for axis in (1, 0))
    crop = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(1, int(BOX * min(shape) + 0.5))
    scale = side / max(crop.shape)
    height, width = (max(1, int(length * scale + 0.5)) for length in crop.shape)
    small = _averages(crop.shape[0], height) @ crop @ _averages(crop.shape[1], width).T
    image = np.zeros(shape, np.float32)
    top, left = (
        _placed(size, length, (small * places).sum() / small.sum())
        for size, length, places in zip(shape, small.shape, np.indices(small.shape), strict=True)
    )
    image[top : top + height, left : left + width] = small / small.max()
    return image


def _averages(size: int, cells: int) -> np.ndarray:
    """A matrix (cells, size): row n averages the part of `size` that cell n of `cells` covers."""
    length = size / cells
    start = np.arange(cells)[:, None] * length
    pixel = np.arange(size)
    return np.clip(np.minimum(start + length, pixel + 1) - np.maximum(start, pixel), 0, 1) / length


def _placed(size: int, length: int, centre: float) -> int:
    """Where to begin so that `centre` is in the middle of `size`, and all `length` cells inside."""
    return min(max(0, int(np.floor(size / 2 - centre + 0.5))), size - length)


def _paper(picture: np.ndarray) -> np.ndarray:
    """The plane through the grey values at the edge, without those that are far from the rest."""
    places = np.indices(picture.shape) / np.array(picture.shape).reshape(2, 1, 1)
    edge = ((places < EDGE) | (places > 1 - EDGE)).any(axis=0)
    axes = np.stack([np.ones(picture.shape), *places], axis=-1)  # (height, width, 3)
    points, values = axes[edge], picture[edge]
    near = np.abs(values - np.median(values)) < 0.25  # a stroke may reach the edge
    plane, *_ = np.linalg.lstsq(points[near], values[near], rcond=None)
    return axes @ plane


def _otsu(values: np.ndarray) -> float:
    """The threshold that splits values between 0 and 1 into the two most different classes.

    Otsu, "A threshold selection method from gray-level histograms" (1979): the largest variance
    between the classes.
    """
    counts, edges = np.histogram(values, bins=128, range=(0, 1))
    middles = (edges[:-1] + edges[1:]) / 2
    below, weighted = np.cumsum(counts)[:-1], np.cumsum(counts * middles)[:-1]
    above = counts.sum() - below
    total = (counts * middles).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = below * above * (weighted / below - (total - weighted) / above) ** 2
    return float(edges[1:-1][np.nan_to_num(variance).argmax()])
