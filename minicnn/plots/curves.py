"""Curves over batches and steps: `learning_curve` and `lockstep`."""

from typing import Any

import numpy as np

from minicnn.callbacks import History
from minicnn.plots.figure import BLUE, GREY, ORANGE, SMALL, new_figure


def learning_curve(history: History) -> Any:
    """Loss and metrics of every batch, and their running means, from what `fit` returned."""
    if not isinstance(history, History) or not history.batches:
        raise ValueError(f"learning_curve: expected what fit returned, received {history!r}")
    names = sorted(history.batches, reverse=True)  # the loss first
    figure = new_figure(2 + 2.2 * len(names), "Learning curve")
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


def lockstep(runs: dict[str, Any]) -> Any:
    """minicnn and Keras trained on the same batches: losses, and differences of the weights.

    `runs` holds a `minicnn.checking.lockstep.Lockstep` for each precision: "float32", "float64".
    """
    figure = new_figure(7, "The same network in minicnn and in Keras, step by step")
    above, below = figure.subplots(2, 1, sharex=True)
    single = runs["float32"]
    steps = np.arange(1, len(single.ours) + 1)
    above.plot(steps, single.theirs, color=GREY, linewidth=3, alpha=0.5, label="Keras, float32")
    above.plot(steps, single.ours, color=ORANGE, linewidth=1, label="minicnn, float32")
    above.set_ylabel("loss of the batch")
    colours = {"float32": ORANGE, "float64": BLUE}
    for dtype, run in runs.items():
        difference = np.where(run.weights > 0, run.weights, np.nan)  # zero has no logarithm
        below.semilogy(steps, difference, color=colours[dtype], label=dtype)
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
