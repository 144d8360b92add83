"""Pictures of data, training and results. Matplotlib is imported when the first one is drawn.

Every function returns a `matplotlib.figure.Figure` of its own and touches no global state; `save`
writes it to a file, and in a notebook `IPython.display.display` shows it.
"""

from typing import Any

import numpy as np

from minicnn.history import History
from minicnn.layer import Layer

WIDTH = 9  # inches: with the fonts below, text is readable when a picture is 900 pixels wide
DPI = 150
SMALL, TITLE = 10, 14  # points

# Okabe and Ito's palette, which the colour-blind can tell apart.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"


def save(figure: Any, path: Any) -> None:
    """Write a figure to `path`; the suffix, .png for instance, says in which format."""
    figure.savefig(path, dpi=DPI)


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
        What to write instead of the label.
    """
    shown = min(rows * columns, len(images))
    titles = [class_names[label] if class_names else str(label) for label in labels[:shown]]
    title = f"The first {shown} images and their labels"
    return _image_grid(images[:shown], titles, (rows, columns), title, title_size=11)


def learning_curve(history: History) -> Any:
    """Loss and metrics of every batch, with their running mean; from what `fit` returns."""
    names = sorted(history.batches, reverse=True)  # the loss first
    figure = _figure(2 + 2.2 * len(names), "Learning curve")
    batches = len(history.batches[names[0]])
    window = max(5, batches // 40)
    all_axes = figure.subplots(len(names), sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(all_axes, names, strict=True):
        _curve(axes, name, np.array(history.batches[name], float), window)
        epochs = len(history.epoch)
        if epochs > 1 and batches % epochs == 0:
            for end in range(batches // epochs, batches, batches // epochs):
                axes.axvline(end + 0.5, color=GREY, linewidth=0.8, linestyle=":")
    all_axes[0].legend(loc="upper right", fontsize=SMALL, framealpha=1, edgecolor="none")
    all_axes[-1].set_xlabel("batch")
    all_axes[-1].xaxis.get_major_locator().set_params(integer=True)
    return figure


def filters(layer: Layer) -> Any:
    """The kernel of a convolution, (kh, kw, c, f): nothing left out, nothing averaged.

    One input channel: the filters one after the other. Several: a table with a column for each
    filter and a row for each input channel. Zero is white, and one scale serves them all; the
    largest 0.5 % of weights share its end colours.

    Raises
    ------
    ValueError
        If the layer is no convolution, or not built yet.
    """
    kernel = layer.params.get("kernel", np.empty(0))
    if kernel.ndim != 4:
        raise ValueError(f"{layer.who}: expected a convolution that is built, to draw its filters")
    kh, kw, channels, count = kernel.shape
    title = f"{layer.name}: {count} filters of {kh} x {kw}"
    if channels == 1:
        columns = min(count, 8)
        tiles = np.full((-(-count // columns) * columns, kh, kw), np.nan)
        tiles[:count] = kernel[:, :, 0].transpose(2, 0, 1)
        tiles = tiles.reshape(-1, columns, kh, kw)
    else:
        title += f" for each of {channels} input channels"
        tiles = kernel.transpose(2, 3, 0, 1)
    mosaic = _mosaic(tiles)
    height = (WIDTH - 1.4) * mosaic.shape[0] / mosaic.shape[1] + 0.9
    figure = _figure(np.clip(height, 2.5, 2 * WIDTH), title, layout="compressed")
    axes = figure.subplots()
    # A few outliers would leave all the others pale. The points of the colour bar tell of them.
    limit = np.quantile(np.abs(kernel), 0.995)
    limit = limit if limit > 0 else 1.0  # all zero, or NaN
    picture = axes.imshow(mosaic, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    axes.spines[:].set_visible(False)
    if channels == 1:
        axes.set_axis_off()
    else:
        _number_tiles(axes.xaxis, count, kw + 1)
        _number_tiles(axes.yaxis, channels, kh + 1)
        axes.set(xlabel="filter", ylabel="input channel")
    figure.colorbar(picture, label="weight", fraction=0.03, pad=0.02, extend="both")
    return figure


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray) -> Any:
    """How often which class was taken for which; mistakes are coloured by their share of a row.

    The diagonal stays grey: next to its shares of nearly 1 all mistakes would look alike.

    Parameters
    ----------
    labels, predictions : (n,) integers
        The true class and the predicted one; from probabilities, `probabilities.argmax(axis=1)`.
    """
    labels, predictions = np.asarray(labels, np.intp), np.asarray(predictions, np.intp)
    classes = max(labels.max(), predictions.max()) + 1
    counts = np.bincount(labels * classes + predictions, minlength=classes**2)
    counts = counts.reshape(classes, classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # no such label: all zero
    np.fill_diagonal(shares, np.nan)
    highest = np.nanmax(shares, initial=0) or 1.0

    mistakes = len(labels) - np.trace(counts)
    figure = _figure(8, f"{mistakes:,} mistakes among {len(labels):,} images", layout="compressed")
    axes = figure.subplots()
    cmap = _colormap("Blues", missing="#e4e4e4")
    picture = axes.imshow(shares, cmap=cmap, vmin=0, vmax=highest)
    size = np.clip(110 / classes, 4, 11)
    for (true, said), count in np.ndenumerate(counts):
        dark = true != said and shares[true, said] > 0.55 * highest
        colour = "white" if dark else "black" if count else "#aaaaaa"
        axes.text(said, true, f"{count}", ha="center", va="center", color=colour, fontsize=size)
    every_class = range(classes)
    axes.set(xlabel="predicted class", ylabel="true class", xticks=every_class, yticks=every_class)
    axes.tick_params(length=0, labelsize=max(size, 6))
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(picture, label="mistakes: share of the true class", shrink=0.8)
    bar.ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")
    bar.outline.set_visible(False)
    return figure


def worst_mistakes(
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, count: int = 25
) -> Any:
    """The wrongly classified images with the highest loss: true class, predicted class, how sure.

    Parameters
    ----------
    images : (n, h, w)
    labels : (n,) integers
    probabilities : (n, classes)
    count : int
        How many to show at most.
    """
    labels, probabilities = np.asarray(labels, np.intp), np.asarray(probabilities)
    said = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(said != labels)
    if len(wrong) == 0:
        return _figure(2, f"No mistakes among {len(labels):,} images")
    # The loss is -log of the true class' probability: the lower that is, the worse the mistake.
    of_true_class = probabilities[wrong, labels[wrong]]
    worst = wrong[np.argsort(of_true_class, kind="stable")[:count]]
    titles = [
        f"true {labels[i]}, said {said[i]} ({100 * probabilities[i, said[i]]:.0f} %)" for i in worst
    ]
    columns = min(5, len(worst))
    title = f"The worst {len(worst)} of {len(wrong):,} mistakes among {len(labels):,} images"
    return _image_grid(images[worst], titles, (-(-len(worst) // columns), columns), title)


def _figure(height: float, title: str, layout: str | None = "constrained") -> Any:
    # Figures made without pyplot need no display, and are freed like any other object.
    from matplotlib.figure import Figure

    figure = Figure((WIDTH, height), dpi=DPI, layout=layout)
    figure.suptitle(title, fontsize=TITLE)
    return figure


def _colormap(name: str, missing: str) -> Any:
    from matplotlib import colormaps

    return colormaps[name].with_extremes(bad=missing)


def _image_grid(images, titles, grid, title, title_size=SMALL) -> Any:
    rows, columns = grid
    cell = WIDTH / max(columns, 4)  # inches, text included
    height = rows * cell + 0.5
    # Matplotlib's own layouts take seconds for 81 axes; here all cells are alike anyway.
    figure = _figure(height, title, layout=None)
    top = 1 - (0.5 + 0.03 * title_size) / height
    room = {"left": 0.01, "right": 0.99, "bottom": 0.05 / height, "top": top}
    all_axes = figure.subplots(
        rows, columns, squeeze=False, gridspec_kw=room | {"wspace": 0.1, "hspace": 0.3}
    )
    for axes in all_axes.flat:
        axes.set_axis_off()
    for axes, image, text in zip(all_axes.flat, images, titles, strict=False):
        axes.imshow(image, cmap="gray_r", vmin=0, vmax=images.max())
        axes.set_title(text, fontsize=title_size, pad=2)
    return figure


def _curve(axes: Any, name: str, values: np.ndarray, window: int) -> None:
    values[~np.isfinite(values)] = np.nan  # a loss that overflowed leaves a gap
    batch = np.arange(1, len(values) + 1)
    size = 30 if len(values) < 100 else 6
    axes.scatter(batch, values, s=size, color=BLUE, alpha=0.3, linewidths=0, label="one batch")
    mean, label = _running_mean(values, window), f"mean of the last {window} batches"
    axes.plot(batch, mean, color=ORANGE, linewidth=2, label=label)
    axes.set_ylabel(name)
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    positive = values[values > 0]
    if name == "loss" and len(positive) and positive.max() > 10 * positive.min():
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    elif name != "loss":
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of each value and up to window - 1 before it."""
    return np.array([values[max(0, i + 1 - window) : i + 1].mean() for i in range(len(values))])


def _mosaic(tiles: np.ndarray) -> np.ndarray:
    """Tiles (rows, columns, kh, kw) side by side as one picture, with a gap of a cell between."""
    spaced = np.pad(tiles, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    rows, columns, kh, kw = spaced.shape
    return spaced.transpose(0, 2, 1, 3).reshape(rows * kh, columns * kw)[:-1, :-1]


def _number_tiles(axis: Any, count: int, size: int) -> None:
    """Write every eighth tile's number at its middle."""
    numbers = range(0, count, 8)
    axis.set_ticks([size * number + size / 2 - 1 for number in numbers], numbers)
    axis.set_tick_params(length=0)
