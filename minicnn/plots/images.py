"""Grids of images with a title each: the data set, and the worst mistakes."""

from typing import Any

import numpy as np

from minicnn.plots.figure import SMALL, WIDTH, new_figure
from minicnn.validation import Check

MOST_CLASSES = 1000  # that labels may name


def digit_grid(
    images: np.ndarray,
    labels: np.ndarray,
    rows: int = 9,
    columns: int = 9,
    class_names: list[str] | None = None,
) -> Any:
    """The first rows * columns images, each with its label above it.

    Parameters
    ----------
    images : (n, h, w)
    labels : (n,) integers
    rows, columns : int
    class_names : list of str, optional
        Names to write instead of the labels.
    """
    check = Check("digit_grid")
    rows, columns = check.integer(rows, "rows"), check.integer(columns, "columns")
    if class_names is not None:
        check.instance(class_names, list | tuple, "class_names", "a list of str")
    classes = len(class_names) if class_names else MOST_CLASSES
    images, labels = _checked(images, labels, classes, check)
    shown = min(rows * columns, len(images))
    titles = [class_names[label] if class_names else str(label) for label in labels[:shown]]
    title = f"The first {shown} images and their labels"
    return _image_grid(images[:shown], titles, (rows, columns), title, title_size=11)


def worst_mistakes(
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, count: int = 25
) -> Any:
    """The misclassified images with the highest loss, with true class, prediction and probability.

    Parameters
    ----------
    images : (n, h, w)
    labels : (n,) integers
    probabilities : (n, classes)
    count : int
        How many to show at most.
    """
    check = Check("worst_mistakes")
    count = check.integer(count, "count")
    probabilities = check.scores(probabilities, "probabilities")
    images, labels = _checked(images, labels, probabilities.shape[1], check)
    if len(images) != len(probabilities):
        raise check.error(
            f"expected probabilities for {len(images)} images, received {len(probabilities)}"
        )
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    if len(wrong) == 0:
        return new_figure(2, f"No mistakes among {len(labels):,} images")
    # The loss is -log of the true class' probability: the lower that is, the worse the mistake.
    of_true_class = probabilities[wrong, labels[wrong]]
    worst = wrong[np.argsort(of_true_class, kind="stable")[:count]]
    titles = [
        f"true {labels[i]}, said {predicted[i]} ({100 * probabilities[i, predicted[i]]:.0f} %)"
        for i in worst
    ]
    columns = min(5, len(worst))
    title = f"The worst {len(worst)} of {len(wrong):,} mistakes among {len(labels):,} images"
    return _image_grid(images[worst], titles, (-(-len(worst) // columns), columns), title)


def _checked(images: Any, labels: Any, classes: int, check: Check) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, h, w) and their labels (n,)."""
    images = check.real_array(images, "images")
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim != 3 or images.size == 0:
        raise check.error(f"expected images of shape (n, h, w), received {images.shape}")
    return images, check.class_labels(labels, "labels", len(images), classes)


def _image_grid(
    images: np.ndarray,
    titles: list[str],
    grid: tuple[int, int],
    title: str,
    title_size: int = SMALL,
) -> Any:
    rows, columns = grid
    cell = WIDTH / max(columns, 4)  # inches, text included
    height = rows * cell + 0.5
    # Matplotlib's own layouts take seconds for 81 axes; here all cells have the same size anyway.
    figure = new_figure(height, title, layout=None)
    top = 1 - (0.5 + 0.03 * title_size) / height
    margins = {"left": 0.01, "right": 0.99, "bottom": 0.05 / height, "top": top}
    all_axes = figure.subplots(
        rows, columns, squeeze=False, gridspec_kw=margins | {"wspace": 0.1, "hspace": 0.3}
    )
    for axes in all_axes.flat:
        axes.set_axis_off()
    low, high = _value_range(images)
    for axes, image, text in zip(all_axes.flat, images, titles, strict=False):
        axes.imshow(image, cmap="gray_r", vmin=low, vmax=high)
        axes.set_title(text, fontsize=title_size, pad=2)
    return figure


def _value_range(images: np.ndarray) -> tuple[float, float]:
    """The values that are drawn white and black: 0, or the lowest if there are negative ones, and
    the highest."""
    finite = images[np.isfinite(images)]
    low = min(float(finite.min(initial=0)), 0.0)
    high = float(finite.max(initial=low))
    return low, high if high > low else low + 1
