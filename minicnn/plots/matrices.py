"""Arrays drawn as tables of cells: `confusion_matrix` and `number_grid`."""

from typing import Any

import numpy as np

from minicnn.plots.figure import SMALL, new_figure
from minicnn.plots.images import MOST_CLASSES
from minicnn.validation import Check


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray) -> Any:
    """How often each class was predicted for each true class, coloured by the share of its row.

    The diagonal is grey: with its shares close to 1, all mistakes would have the same colour.

    Parameters
    ----------
    labels, predictions : (n,) integers
        The true class and the predicted one: `probabilities.argmax(axis=1)`.
    """
    from matplotlib import colormaps

    check = Check("confusion_matrix")
    samples = check.real_array(labels, "labels").shape[:1]
    labels = check.class_labels(labels, "labels", *samples or (1,), MOST_CLASSES)
    predictions = check.class_labels(predictions, "predictions", len(labels), MOST_CLASSES)
    if len(labels) == 0:
        raise check.error("expected at least one sample, received none")
    classes = max(labels.max(), predictions.max()) + 1
    counts = np.bincount(labels * classes + predictions, minlength=classes**2)
    counts = counts.reshape(classes, classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # no such label: all zero
    np.fill_diagonal(shares, np.nan)
    title = f"{len(labels) - np.trace(counts):,} mistakes among {len(labels):,} images"
    figure = new_figure(8, title, layout="compressed")
    axes = figure.subplots()
    highest = np.nanmax(shares, initial=0) or 1.0
    cmap = colormaps["Blues"].with_extremes(bad="#e4e4e4")
    picture = axes.imshow(shares, cmap=cmap, vmin=0, vmax=highest)
    size = np.clip(110 / classes, 4, 11)
    for (true, predicted), count in np.ndenumerate(counts):
        dark = true != predicted and shares[true, predicted] > 0.55 * highest
        colour = "white" if dark else "black" if count else "#aaaaaa"
        axes.text(
            predicted, true, f"{count}", ha="center", va="center", color=colour, fontsize=size
        )
    every_class = range(classes)
    axes.set(xlabel="predicted class", ylabel="true class", xticks=every_class, yticks=every_class)
    axes.tick_params(length=0, labelsize=max(size, 6))
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(picture, label="mistakes: share of the true class", shrink=0.8)
    bar.ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")
    bar.outline.set_visible(False)
    return figure


def number_grid(
    axes: Any,
    values: np.ndarray,
    title: str = "",
    colours: Any = None,
    texts: np.ndarray | None = None,
) -> None:
    """Draw an array (rows, columns) as a grid of cells with a number in each.

    Parameters
    ----------
    axes : matplotlib Axes
    values : (rows, columns)
        A cell that is masked or NaN remains empty.
    title : str
    colours : dict or str, optional
        Of cells by (row, column), or of all cells; white by default.
    texts : (rows, columns) of str, optional
        What to write instead of the numbers.
    """
    from matplotlib.patches import Rectangle

    values = np.ma.masked_invalid(np.ma.asarray(values, float))
    rows, columns = values.shape
    longest = 1
    for (i, j), value in np.ndenumerate(values):
        hidden = np.ma.getmaskarray(values)[i, j]
        text = "" if hidden else f"{value:g}" if texts is None else texts[i][j]
        colour = colours if isinstance(colours, str) else (colours or {}).get((i, j), "white")
        axes.add_patch(Rectangle((j, i), 1, 1, facecolor=colour, edgecolor="#999999"))
        axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=SMALL)
        longest = max(longest, len(text))
    # The size of the axes in inches is not known here, but cells with long texts need to be wide.
    axes.set(xlim=(-0.05, columns + 0.05), ylim=(rows + 0.05, -0.05))
    axes.set_aspect(1 if longest < 7 else 0.6)
    axes.set_title(title, fontsize=SMALL + 1)
    axes.set_axis_off()
