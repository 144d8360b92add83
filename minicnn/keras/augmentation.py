"""Layers that change images at random in training, and do nothing otherwise.

Each image is sampled at moved positions by bilinear interpolation: a number of the output is the
weighted mean of four pixels. The backward pass gives each of them its weight's share of the
gradient.
"""

from typing import Any, NamedTuple

import numpy as np

from minicnn.layer import Layer

FLIPS = ("horizontal", "vertical", "horizontal_and_vertical")


class RandomFlip(Layer):
    """Flips each image with probability 1/2, left to right, upside down, or each by itself.

    Parameters
    ----------
    mode : "horizontal", "vertical" or "horizontal_and_vertical"
    seed : int, optional
        As for `Dropout`.
    """

    def __init__(self, mode: str = "horizontal_and_vertical", seed: Any = None, **options: Any):
        super().__init__(**options)
        if mode not in FLIPS:
            raise ValueError(f"{self.who}: mode must be one of {FLIPS}, received {mode!r}")
        self.mode, self.seed = mode, seed

    def output_shape(self, input_shape):
        return self.check.image_shape(input_shape)

    def forward(self, x, training=False, rng=None):
        x = self.checked_input(x)
        if not training:
            return x, None
        flips = rng.random((2, len(x))) < 0.5  # upside down; left to right
        flips[0] &= "vertical" in self.mode
        flips[1] &= "horizontal" in self.mode
        return _flipped(x, flips), flips

    def backward(self, dy, cache):
        return (dy if cache is None else _flipped(dy, cache)), {}


def _flipped(x: np.ndarray, flips: np.ndarray) -> np.ndarray:
    y = x.copy()
    y[flips[0]] = y[flips[0], ::-1]
    y[flips[1]] = y[flips[1], :, ::-1]
    return y


class _Samples(NamedTuple):
    """Where each pixel of the output comes from: four pixels (n, h, w) and their weights."""

    rows: list[np.ndarray]
    columns: list[np.ndarray]
    weights: list[np.ndarray]


class _RandomAffine(Layer):
    """Samples images at positions that are a linear map of their own, around the centre."""

    def __init__(
        self,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: Any = None,
        **options: Any,
    ):
        super().__init__(**options)
        if fill_mode not in ("reflect", "nearest") or interpolation != "bilinear":
            raise ValueError(
                f'{self.who}: fill_mode must be "reflect" or "nearest", and interpolation '
                f'"bilinear", received {fill_mode!r} and {interpolation!r}'
            )
        self.fill_mode, self.interpolation, self.seed = fill_mode, interpolation, seed

    def output_shape(self, input_shape):
        return self.check.image_shape(input_shape)

    def matrices(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """For each image the map (n, 2, 2) from positions in the output to those in the input."""
        raise NotImplementedError

    def forward(self, x, training=False, rng=None):
        x = self.checked_input(x)
        if not training:
            return x, None
        samples = self._samples(self.matrices(len(x), rng), x.dtype)
        each = np.arange(len(x))[:, None, None]
        y = np.zeros_like(x)
        for rows, columns, weights in zip(*samples, strict=True):
            y += weights[..., None] * x[each, rows, columns]
        return y, samples

    def backward(self, dy, cache):
        if cache is None:
            return dy, {}
        dx, each = np.zeros_like(dy), np.arange(len(dy))[:, None, None]
        for rows, columns, weights in zip(*cache, strict=True):
            np.add.at(dx, (each, rows, columns), weights[..., None] * dy)
        return dx, {}

    def _samples(self, matrices: np.ndarray, dtype: np.dtype) -> _Samples:
        h, w, _ = self.input_shape
        centre = np.array([(h - 1) / 2, (w - 1) / 2]).reshape(2, 1, 1)
        grid = np.mgrid[:h, :w] - centre  # (2, h, w)
        moved = np.einsum("nij,jhw->nihw", matrices, grid) + centre
        low = np.floor(moved)
        share = moved - low  # of the pixel below or to the right
        found = _Samples([], [], [])
        for below in (0, 1):
            for right in (0, 1):
                weight_rows = share[:, 0] if below else 1 - share[:, 0]
                weight_columns = share[:, 1] if right else 1 - share[:, 1]
                found.rows.append(self._inside(low[:, 0].astype(int) + below, h))
                found.columns.append(self._inside(low[:, 1].astype(int) + right, w))
                found.weights.append((weight_rows * weight_columns).astype(dtype))
        return found

    def _inside(self, places: np.ndarray, size: int) -> np.ndarray:
        """Places outside of the image by those inside: the nearest, or mirrored at the border."""
        if self.fill_mode == "nearest":
            return np.clip(places, 0, size - 1)
        places = places % (2 * size)
        return np.minimum(places, 2 * size - 1 - places)


def _range(value: Any, who: str, name: str) -> tuple[float, float]:
    low, high = value if isinstance(value, tuple | list) else (-value, value)
    if low > high:
        raise ValueError(f"{who}: {name} must be a number or (low, high), received {value!r}")
    return float(low), float(high)


class RandomRotation(_RandomAffine):
    """Turns each image by a random angle: a share of a full turn, from -factor to factor."""

    def __init__(self, factor: Any, **options: Any):
        super().__init__(**options)
        self.factor = factor
        self._range = _range(factor, self.who, "factor")

    def matrices(self, n, rng):
        angles = 2 * np.pi * rng.uniform(*self._range, n)
        cos, sin = np.cos(angles), np.sin(angles)
        return np.stack([cos, sin, -sin, cos], axis=1).reshape(n, 2, 2)


class RandomZoom(_RandomAffine):
    """Makes each image smaller by a random share from -factor to factor; below 0 it grows.

    With a `width_factor` height and width are drawn independently.
    """

    def __init__(self, height_factor: Any, width_factor: Any = None, **options: Any):
        super().__init__(**options)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._height = _range(height_factor, self.who, "height_factor")
        self._width = None if width_factor is None else _range(width_factor, self.who, "width")

    def matrices(self, n, rng):
        height = 1 + rng.uniform(*self._height, n)
        width = height if self._width is None else 1 + rng.uniform(*self._width, n)
        zero = np.zeros(n)
        return np.stack([height, zero, zero, width], axis=1).reshape(n, 2, 2)
