"""One picture, what the network saw of it, and what it said: `prediction`."""

from typing import Any

import numpy as np

from minicnn.plots.figure import BLUE, new_figure


def prediction(picture: np.ndarray, seen: np.ndarray, probabilities: np.ndarray) -> Any:
    """A picture, the image that was made of it for the network, and the probabilities.

    Parameters
    ----------
    picture : (height, width)
        Grey values from 0 for black to 1 for white.
    seen : (h, w)
        0 for paper, 1 for ink.
    probabilities : (classes,)
    """
    figure = new_figure(3.4)
    left, middle, right = figure.subplots(1, 3)
    left.imshow(picture, cmap="gray", vmin=0, vmax=1)
    left.set_title("the picture")
    middle.imshow(seen, cmap="gray_r", vmin=0, vmax=1)
    middle.set_title("what the network saw")
    for axes in (left, middle):
        axes.set_axis_off()
    classes = np.arange(len(probabilities))
    right.barh(classes, probabilities, color=BLUE)
    right.set(xlim=(0, 1), xlabel="probability", title=f"it says {probabilities.argmax()}")
    right.set_yticks(classes)
    right.invert_yaxis()
    right.spines[["top", "right"]].set_visible(False)
    return figure
