"""Pictures of data, training and results. Matplotlib is imported when the first one is drawn.

Every function returns a `matplotlib.figure.Figure` of its own and touches no global state; `save`
writes it to a file, and as the last line of a notebook's cell it is shown.

First the pictures that training and its results give, then what the lessons draw with.
"""

import io
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.history import History
from minicnn.layer import Layer
from minicnn.model import Sequential
from minicnn.shapes import positive_int

WIDTH = 9  # inches: with the fonts below, text is readable when a picture is 900 pixels wide
DPI = 150
SMALL, TITLE = 10, 14  # points
MOST_CLASSES = 1000  # of which a picture is drawn

# Okabe and Ito's palette, which the colour-blind can tell apart.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"
SKY, YELLOW, GREEN, PINK = "#56B4E9", "#F0E442", "#009E73", "#CC79A7"


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
    who = "digit_grid"
    rows, columns = positive_int(rows, "rows", who), positive_int(columns, "columns", who)
    if class_names is not None and not isinstance(class_names, list | tuple):
        raise TypeError(f"{who}: class_names must be a list of str, received {class_names!r}")
    classes = len(class_names) if class_names else MOST_CLASSES
    images, labels = _pictures(images, labels, classes, who)
    shown = min(rows * columns, len(images))
    titles = [class_names[label] if class_names else str(label) for label in labels[:shown]]
    title = f"The first {shown} images and their labels"
    return _image_grid(images[:shown], titles, (rows, columns), title, title_size=11)


def learning_curve(history: History) -> Any:
    """Loss and metrics of every batch, with their running mean; from what `fit` returns."""
    if not isinstance(history, History) or not history.batches:
        raise ValueError(f"learning_curve: expected what fit returned, received {history!r}")
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
    if not isinstance(layer, Layer):
        raise TypeError(f"filters: expected a layer, received {layer!r}")
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
    who = "confusion_matrix"
    samples = checks.real_array(labels, f"{who}: labels").shape[:1]
    labels = checks.class_labels(labels, f"{who}: labels", *samples or (1,), MOST_CLASSES)
    name = f"{who}: predictions"
    predictions = checks.class_labels(predictions, name, len(labels), MOST_CLASSES)
    if len(labels) == 0:
        raise ValueError(f"{who}: expected at least one sample, received none")
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
    who = "worst_mistakes"
    count = positive_int(count, "count", who)
    probabilities = checks.scores(probabilities, f"{who}: probabilities")
    images, labels = _pictures(images, labels, probabilities.shape[1], who)
    if len(images) != len(probabilities):
        raise ValueError(
            f"{who}: expected probabilities for {len(images)} images, received {len(probabilities)}"
        )
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


def lockstep(runs: dict[str, Any]) -> Any:
    """Two libraries trained on the same batches: losses, and how far the weights are apart.

    Parameters
    ----------
    runs : dict of minicnn.parity.lockstep.Lockstep
        By precision: "float32", "float64".
    """
    figure = _figure(7, "The same network in minicnn and in Keras, step by step")
    above, below = figure.subplots(2, 1, sharex=True)
    colours = {"float32": ORANGE, "float64": BLUE}
    single = runs["float32"]
    steps = np.arange(1, len(single.ours) + 1)
    above.plot(steps, single.theirs, color=GREY, linewidth=3, alpha=0.5, label="Keras, float32")
    above.plot(steps, single.ours, color=ORANGE, linewidth=1, label="minicnn, float32")
    above.set_ylabel("loss of the batch")
    for dtype, run in runs.items():
        apart = np.where(run.weights > 0, run.weights, np.nan)  # no logarithm of zero
        below.semilogy(steps, apart, color=colours[dtype], label=dtype)
    below.set_ylabel("largest difference of two weights")
    below.set_xlabel("step of Adam")
    first = single.first_apart()
    if first is not None:
        for axes in (above, below):
            axes.axvline(first, color=GREY, linestyle=":")
        above.annotate(
            f"step {first}: losses in float32\nfirst differ by a thousandth",
            (first, above.get_ylim()[1] * 0.6),
            xytext=(8, 0),
            textcoords="offset points",
        )
    for axes in (above, below):
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def new_figure(height: float, title: str = "") -> Any:
    """An empty figure `WIDTH` wide and `height` inches high, for a picture that a lesson draws."""
    return _figure(height, title)


def number_grid(
    axes: Any,
    values: np.ndarray,
    title: str = "",
    colours: Any = None,
    texts: np.ndarray | None = None,
) -> None:
    """Draw an array (rows, columns) as cells with their numbers, as one would on squared paper.

    Parameters
    ----------
    axes : matplotlib Axes
    values : (rows, columns)
        A masked or NaN cell stays empty.
    title : str
    colours : dict or str, optional
        Of cells by (row, column), or of all of them; white, if not given.
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
    # Inches are not known here, but shapes are: cells with long texts are wider than high.
    axes.set(xlim=(-0.05, columns + 0.05), ylim=(rows + 0.05, -0.05))
    axes.set_aspect(1 if longest < 7 else 0.6)
    axes.set_title(title, fontsize=SMALL + 1)
    axes.set_axis_off()


def shape_ribbon(model: Sequential) -> Any:
    """A model from left to right: shapes, and what each layer holds and works for one image.

    Above, blocks whose area stands for the numbers that come out of a layer; below, a bar for its
    parameters and one for its multiply-adds, both as shares of the model's.
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"shape_ribbon: expected a Sequential, received {model!r}")
    model.count_params()  # an error if the model is not built
    names = ["input"] + [layer.name for layer in model.layers]
    shapes = [model.input_shape]
    shapes += [layer.output_shape(layer.input_shape) for layer in model.layers]
    figure = _figure(5, "What becomes of an image, and what each layer costs")
    ribbon, bars = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.7])
    _draw_blocks(ribbon, shapes)

    position = np.arange(len(names))
    costs = {
        "parameters": [0] + [layer.count_params() for layer in model.layers],
        "multiply-adds": [0] + [_multiply_adds(layer) for layer in model.layers],
    }
    for (what, counts), colour, side in zip(costs.items(), (BLUE, ORANGE), (-1, 1), strict=True):
        total = sum(counts)
        shares = 100 * np.array(counts) / max(total, 1)
        label = f"{what}, {total:,} in all"
        bars.bar(position + 0.21 * side, shares, 0.4, color=colour, label=label)
        for x, share, count in zip(position, shares, counts, strict=True):
            if count:
                bars.text(x + 0.21 * side, share + 2, f"{share:.1f}", ha="center", fontsize=8.5)
    bars.set(ylabel="share in %", ylim=(0, 112), xlabel="layer")
    bars.set_xticks(position, [name.replace("_pooling2d", "_\npooling2d") for name in names])
    bars.tick_params(axis="x", labelsize=8.5, length=0)
    bars.legend(loc="upper left", fontsize=SMALL, framealpha=1, edgecolor="none")
    bars.spines[["top", "right"]].set_visible(False)
    return figure


def _multiply_adds(layer: Layer) -> int:
    """Products that a built layer with a kernel computes and sums for one sample.

    Every output is the sum of one product for each of the kernel's numbers but those of the other
    outputs; cells of padding are counted like all others.
    """
    if "kernel" not in layer.params:
        return 0
    *inputs, _ = layer.params["kernel"].shape
    return int(np.prod(layer.output_shape(layer.input_shape)) * np.prod(inputs))


def _draw_blocks(axes: Any, shapes: list[tuple[int, ...]]) -> None:
    from matplotlib.patches import Rectangle

    largest = max(np.prod(shape) for shape in shapes)
    for x, shape in enumerate(shapes):
        area = 0.84**2 * np.prod(shape) / largest
        width = area**0.5 if len(shape) == 3 else 0.12  # a vector is thin
        height = max(area / width, 0.02)
        axes.add_patch(
            Rectangle((x - width / 2, -height / 2), width, height, facecolor=SKY, edgecolor=BLUE)
        )
        text = " x ".join(map(str, shape))
        axes.text(x, -0.52, text, ha="center", va="top", fontsize=SMALL)
        axes.text(x, -0.68, f"{np.prod(shape):,}", ha="center", va="top", fontsize=8.5, color=GREY)
    axes.set(xlim=(-0.6, len(shapes) - 0.4), ylim=(-0.8, 0.5))
    axes.set_axis_off()


def _figure(height: float, title: str, layout: str | None = "constrained") -> Any:
    # Figures made without pyplot need no display, and are freed like any other object.
    from matplotlib.figure import Figure

    class Picture(Figure):
        def _repr_png_(self):
            """What a notebook shows: always the same pixels, WIDTH inches being 900 of them."""
            png = io.BytesIO()
            self.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
            return png.getvalue(), {"width": 900}

    figure = Picture((WIDTH, height), dpi=DPI, layout=layout)
    if title:
        figure.suptitle(title, fontsize=TITLE)
    return figure


def _colormap(name: str, missing: str) -> Any:
    from matplotlib import colormaps

    return colormaps[name].with_extremes(bad=missing)


def _pictures(images: Any, labels: Any, classes: int, who: str) -> tuple[np.ndarray, np.ndarray]:
    """Checked images (n, h, w) and their labels."""
    images = checks.real_array(images, f"{who}: images")
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim != 3 or images.size == 0:
        raise ValueError(f"{who}: expected images of shape (n, h, w), received {images.shape}")
    return images, checks.class_labels(labels, f"{who}: labels", len(images), classes)


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
