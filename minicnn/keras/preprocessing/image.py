"""`ImageDataGenerator`: batches of images that are turned, moved, zoomed and flipped at random."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.data import Dataset
from minicnn.keras.left_out import module_getattr
from minicnn.session import random_stream
from minicnn.validation import Check, answers_unknown_keywords
from minicnn.validation.configuration import Configurable

__getattr__ = module_getattr("preprocessing.image")

# Names of Keras: those of SciPy for what is outside of an image.
FILLS = {"nearest": "nearest", "constant": "constant", "reflect": "reflect", "wrap": "grid-wrap"}


class ImageDataGenerator(Configurable):
    """Makes each image a little different every time, so that a network sees more of them.

    Parameters
    ----------
    rotation_range : float
        Degrees: the angle is drawn from -rotation_range to rotation_range.
    width_shift_range, height_shift_range : float
        Shares of the size (below 1) or pixels.
    shear_range : float
        Degrees.
    zoom_range : float or (low, high)
        A number z stands for (1 - z, 1 + z). Height and width are drawn independently.
    fill_mode : "nearest", "constant", "reflect" or "wrap"
        What is seen outside of the image; with "constant", `cval`.
    horizontal_flip, vertical_flip : bool
        Whether to flip half of the images.
    rescale : float, optional
        What every number is multiplied by, after all the rest.
    preprocessing_function : function, optional
        Of one image (h, w, c), before `rescale`.
    validation_split : float
        The share of the samples, the first ones, that `flow(subset="validation")` has, and
        `flow(subset="training")` has not.
    """

    def __init__(
        self,
        rotation_range: float = 0,
        width_shift_range: float = 0.0,
        height_shift_range: float = 0.0,
        shear_range: float = 0.0,
        zoom_range: Any = 0.0,
        fill_mode: str = "nearest",
        cval: float = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rescale: float | None = None,
        preprocessing_function: Any = None,
        validation_split: float = 0.0,
    ):
        check = Check("ImageDataGenerator")
        self.rotation_range = check.real(rotation_range, "rotation_range")
        self.width_shift_range = check.real(width_shift_range, "width_shift_range")
        self.height_shift_range = check.real(height_shift_range, "height_shift_range")
        self.shear_range = check.real(shear_range, "shear_range")
        pair = isinstance(zoom_range, tuple | list)
        self.zoom_range = tuple(zoom_range) if pair else (1 - zoom_range, 1 + zoom_range)
        if fill_mode not in FILLS:
            raise ValueError(
                f"{check.who}: fill_mode must be one of {list(FILLS)}, received {fill_mode!r}"
            )
        self.fill_mode, self.cval = fill_mode, cval
        self.horizontal_flip = check.flag(horizontal_flip, "horizontal_flip")
        self.vertical_flip = check.flag(vertical_flip, "vertical_flip")
        self.rescale, self.preprocessing_function = rescale, preprocessing_function
        self.validation_split = check.number(validation_split, "validation_split", 0, 1)

    def fit(self, x: Any, augment: bool = False, rounds: int = 1, seed: Any = None) -> None:
        """Nothing: it is for Keras' featurewise statistics, which are not part of minicnn."""
        Check("ImageDataGenerator.fit").real_array(x, "x")

    @answers_unknown_keywords
    def flow(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        subset: str | None = None,
    ) -> "Flow":
        """Batches of changed images, with their labels; an epoch has every sample once.

        Parameters
        ----------
        x : (n, h, w, c) array
        y : (n, ...) array, optional
        subset : "training" or "validation", optional
            See `validation_split`.
        """
        check = Check("ImageDataGenerator.flow")
        x = check.real_array(x, "x")
        if x.ndim != 4:
            raise ValueError(
                f"{check.who}: expected images of shape (n, height, width, channels), received "
                f"{x.shape}; images without channels become such by x[..., None]"
            )
        if y is not None:
            y = check.real_array(y, "y")
            check.same_length(y, "y", len(x))
        if subset is not None:
            first = int(len(x) * self.validation_split)
            part = {"validation": slice(0, first), "training": slice(first, None)}.get(subset)
            if part is None:
                raise ValueError(
                    f'{check.who}: subset must be "training" or "validation", received {subset!r}'
                )
            x, y = x[part], None if y is None else y[part]
        size = check.integer(batch_size, "batch_size")
        return Flow(self, x, y, size, check.flag(shuffle, "shuffle"), seed)

    def random_transform(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One image (h, w, c), changed at random."""
        h, w, _ = x.shape
        angle, shear = (
            np.deg2rad(rng.uniform(-each, each)) for each in (self.rotation_range, self.shear_range)
        )
        shifts = [
            rng.uniform(-each, each) * (size if each < 1 else 1)
            for each, size in ((self.height_shift_range, h), (self.width_shift_range, w))
        ]
        zooms = rng.uniform(*self.zoom_range, 2) if self.zoom_range != (1, 1) else (1.0, 1.0)
        x = affine(x, angle, shear, shifts, zooms, FILLS[self.fill_mode], self.cval)
        if self.horizontal_flip and rng.random() < 0.5:
            x = x[:, ::-1]
        if self.vertical_flip and rng.random() < 0.5:
            x = x[::-1]
        return x

    def standardize(self, x: np.ndarray) -> np.ndarray:
        """One image after `preprocessing_function` and `rescale`."""
        if self.preprocessing_function is not None:
            x = self.preprocessing_function(x)
        return x if self.rescale is None else x * self.rescale


class Flow(Dataset):
    """The batches of one `ImageDataGenerator.flow`: a Dataset, on which `next` works, too."""

    def __init__(self, generator: Any, x: Any, y: Any, batch_size: int, shuffle: bool, seed: Any):
        super().__init__(self._batches, -(-len(x) // batch_size))
        self.n, self.batch_size = len(x), batch_size
        self._generator, self._x, self._y, self._shuffle = generator, x, y, shuffle
        self._rng = random_stream() if seed is None else np.random.default_rng(seed)
        self._pass: Iterator | None = None

    def __next__(self) -> Any:
        if self._pass is None:
            self._pass = iter(self)
        batch = next(self._pass, None)
        if batch is None:  # the end of a pass: the next one begins
            self._pass = iter(self)
            batch = next(self._pass)
        return batch

    def _batches(self) -> Iterator:
        order = self._rng.permutation(self.n) if self._shuffle else np.arange(self.n)
        for start in range(0, self.n, self.batch_size):
            places = order[start : start + self.batch_size]
            made = [
                self._generator.standardize(
                    self._generator.random_transform(self._x[i].astype(np.float32), self._rng)
                )
                for i in places
            ]
            images = np.stack(made).astype(np.float32)
            yield images if self._y is None else (images, self._y[places])


def affine(
    x: np.ndarray, angle: float, shear: float, shifts: Any, zooms: Any, mode: str, cval: float
) -> np.ndarray:
    """One image (h, w, c), turned, moved, sheared and zoomed around its centre, bilinearly.

    A position (row, column) of the result shows what was at turn(move(shear(zoom(position)))),
    counted from the centre, as in Keras; angles are in radians.
    """
    from scipy import ndimage  # takes a while

    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    shearing = np.array([[np.cos(shear), 0], [-np.sin(shear), 1]])
    matrix = turn @ shearing @ np.diag(zooms)
    moved = turn @ np.asarray(shifts, float)
    if np.array_equal(matrix, np.eye(2)) and not moved.any():
        return x
    centre = (np.array(x.shape[:2]) - 1) / 2
    offset = centre - matrix @ centre + moved
    channels = [
        ndimage.affine_transform(x[..., c], matrix, offset, order=1, mode=mode, cval=cval)
        for c in range(x.shape[-1])
    ]
    return np.stack(channels, axis=-1)
