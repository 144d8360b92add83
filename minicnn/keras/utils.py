"""Keras' utilities: one-hot rows, pictures of models, the random seed."""

from typing import Any

import numpy as np

from minicnn.keras.left_out import module_getattr
from minicnn.session import clear_session, set_random_seed
from minicnn.validation import Check, answers_unknown_keywords

__all__ = ["clear_session", "plot_model", "set_random_seed", "to_categorical"]
__getattr__ = module_getattr("utils")


@answers_unknown_keywords
def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """One-hot rows: 1 at each label, 0 elsewhere.

    Parameters
    ----------
    x : (n,) or (n, 1) integers from 0
    num_classes : int, optional
        The largest label plus 1 by default.

    Returns
    -------
    (n, num_classes) float64
    """
    check = Check("to_categorical")
    labels = check.real_array(x, "x")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        num_classes = int(labels.max(initial=0)) + 1
    num_classes = check.integer(num_classes, "num_classes")
    flat = check.class_labels(labels.reshape(-1), "x", labels.size, num_classes)
    return np.eye(num_classes)[flat].reshape(*labels.shape, num_classes)


@answers_unknown_keywords
def plot_model(
    model: Any,
    to_file: Any = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    dpi: int = 200,
) -> Any:
    """Draw the layers of a model from top to bottom, and write the picture to `to_file`.

    Returns the figure, which a notebook shows.
    """
    from matplotlib.figure import Figure

    model.count_params()  # raises an error if the model is not built
    boxes = []
    for layer in model.layers:
        kind = type(layer).__name__
        text = [f"{layer.name} ({kind})" if show_layer_names else kind]
        if show_shapes:
            before, after = layer.input_shape, layer.output_shape(layer.input_shape)
            text.append(f"{(None, *before)} -> {(None, *after)}")
        if show_dtype:
            text.append(model.dtype.name)
        boxes.append("\n".join(text))
    figure = Figure((5, 0.3 + 0.8 * len(boxes)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-1, 1), ylim=(-len(boxes) + 0.4, 0.6))
    axes.axis("off")
    box = {"boxstyle": "round", "facecolor": "white"}
    for place, text in enumerate(boxes):
        axes.text(0, -place, text, ha="center", va="center", bbox=box)
        if place:
            arrow = {"arrowstyle": "->"}
            axes.annotate("", (0, -place + 0.3), (0, -place + 0.7), arrowprops=arrow)
    if to_file is not None:
        figure.savefig(to_file, dpi=dpi)
    return figure
