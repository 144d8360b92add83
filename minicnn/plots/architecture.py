"""The network itself: `shape_ribbon` for its shapes and costs, `filters` for its kernels."""

from typing import Any

import numpy as np

from minicnn.layer import Layer
from minicnn.model import Sequential
from minicnn.plots.figure import BLUE, GREY, ORANGE, SKY, SMALL, WIDTH, new_figure


def shape_ribbon(model: Sequential) -> Any:
    """The shapes from layer to layer, and each layer's share of weights and multiply-adds.

    At the top, blocks whose area is proportional to the size of a layer's output; at the bottom, a
    bar for each layer's parameters and one for its multiply-adds, as shares of the model's.
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"shape_ribbon: expected a Sequential, received {model!r}")
    model.count_params()  # raises an error if the model is not built
    names = ["input"] + [layer.name for layer in model.layers]
    shapes = [model.input_shape]
    shapes += [layer.output_shape(layer.input_shape) for layer in model.layers]
    figure = new_figure(5, "What becomes of an image, and what each layer costs")
    ribbon, bars = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.7])
    _draw_blocks(ribbon, shapes)

    position = np.arange(len(names))
    for cost, counts, colour, side in (
        ("parameters", [layer.count_params() for layer in model.layers], BLUE, -1),
        ("multiply-adds", [multiply_adds(layer) for layer in model.layers], ORANGE, 1),
    ):
        shares = 100 * np.array([0, *counts]) / max(sum(counts), 1)
        label = f"{cost}, {sum(counts):,} in all"
        drawn = bars.bar(position + 0.21 * side, shares, 0.4, color=colour, label=label)
        texts = [f"{share:.1f}" if share else "" for share in shares]
        bars.bar_label(drawn, texts, padding=3, fontsize=8.5)
    bars.set(ylabel="share in %", ylim=(0, 112), xlabel="layer")
    bars.set_xticks(position, [name.replace("_pooling2d", "_\npooling2d") for name in names])
    bars.tick_params(axis="x", labelsize=8.5, length=0)
    bars.legend(loc="upper left", fontsize=SMALL, framealpha=1, edgecolor="none")
    bars.spines[["top", "right"]].set_visible(False)
    return figure


def multiply_adds(layer: Layer) -> int:
    """Multiplications and additions of a built layer with a kernel, for one sample.

    Every output is a sum of as many products as the kernel has numbers for one output; those with
    cells of padding are counted like all others.
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
        width = area**0.5 if len(shape) == 3 else min(0.12, area**0.5)  # a vector is thin
        height = area / width
        axes.add_patch(
            Rectangle((x - width / 2, -height / 2), width, height, facecolor=SKY, edgecolor=BLUE)
        )
        text = " x ".join(map(str, shape))
        axes.text(x, -0.52, text, ha="center", va="top", fontsize=SMALL)
        axes.text(x, -0.68, f"{np.prod(shape):,}", ha="center", va="top", fontsize=8.5, color=GREY)
    axes.set(xlim=(-0.6, len(shapes) - 0.4), ylim=(-0.8, 0.5))
    axes.set_axis_off()


def filters(layer: Layer) -> Any:
    """All weights of the kernel of a convolution, (kh, kw, c, f), as small images.

    With one input channel, the filters are drawn one after the other; with several, as a table
    with a column for each filter and a row for each input channel. Zero is white, and all share
    one colour scale, whose end colours also stand for the largest 0.5 % of the weights.

    Raises
    ------
    ValueError
        If the layer is not a convolution, or not built yet.
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"filters: expected a layer, received {layer!r}")
    kernel = layer.params.get("kernel", np.empty(0))
    if kernel.ndim != 4:
        raise ValueError(f"{layer.who}: expected a convolution that is built, to draw its filters")
    kh, kw, channels, count = kernel.shape
    title = f"{layer.name}: {count} filters of {kh} x {kw}"
    if channels > 1:
        title += f" for each of {channels} input channels"
    mosaic = _mosaic(_tiles(kernel))
    height = (WIDTH - 1.4) * mosaic.shape[0] / mosaic.shape[1] + 0.9
    figure = new_figure(np.clip(height, 2.5, 2 * WIDTH), title, layout="compressed")
    axes = figure.subplots()
    # Scaled to a few outliers, all other weights would be pale. The colour bar has pointed ends.
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


def _tiles(kernel: np.ndarray) -> np.ndarray:
    """The kernel (kh, kw, c, f) as tiles (rows, columns, kh, kw); NaN where there is no filter."""
    kh, kw, channels, count = kernel.shape
    if channels > 1:
        return kernel.transpose(2, 3, 0, 1)
    columns = min(count, 8)
    tiles = np.full((-(-count // columns) * columns, kh, kw), np.nan)
    tiles[:count] = kernel[:, :, 0].transpose(2, 0, 1)
    return tiles.reshape(-1, columns, kh, kw)


def _mosaic(tiles: np.ndarray) -> np.ndarray:
    """Tiles (rows, columns, kh, kw) side by side as one image, with gaps one cell wide."""
    spaced = np.pad(tiles, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    rows, columns, kh, kw = spaced.shape
    return spaced.transpose(0, 2, 1, 3).reshape(rows * kh, columns * kw)[:-1, :-1]


def _number_tiles(axis: Any, count: int, size: int) -> None:
    """Write the number of every eighth tile at its centre."""
    numbers = range(0, count, 8)
    axis.set_ticks([size * number + size / 2 - 1 for number in numbers], numbers)
    axis.set_tick_params(length=0)
