"""Figures of data, training and results. Matplotlib is imported when the first one is drawn.

Every function returns a new `matplotlib.figure.Figure` and changes no global state; `save` writes
it to a file, and a notebook shows it if it is the last value of a cell.

- `figure`: size, colours, `new_figure` and `save`
- `images`: `digit_grid` and `worst_mistakes`
- `curves`: `learning_curve` and `lockstep`
- `matrices`: `confusion_matrix` and `number_grid`
- `predictions`: `prediction`
- `architecture`: `shape_ribbon` and `filters`
"""

from minicnn.plots.architecture import filters, shape_ribbon
from minicnn.plots.curves import learning_curve, lockstep
from minicnn.plots.figure import (
    BLUE,
    DPI,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    SKY,
    SMALL,
    TITLE,
    WIDTH,
    YELLOW,
    new_figure,
    save,
)
from minicnn.plots.images import MOST_CLASSES, digit_grid, worst_mistakes
from minicnn.plots.matrices import confusion_matrix, number_grid
from minicnn.plots.predictions import prediction

__all__ = [
    "BLUE",
    "DPI",
    "GREEN",
    "GREY",
    "MOST_CLASSES",
    "ORANGE",
    "PINK",
    "SKY",
    "SMALL",
    "TITLE",
    "WIDTH",
    "YELLOW",
    "confusion_matrix",
    "digit_grid",
    "filters",
    "learning_curve",
    "lockstep",
    "new_figure",
    "number_grid",
    "prediction",
    "save",
    "shape_ribbon",
    "worst_mistakes",
]
