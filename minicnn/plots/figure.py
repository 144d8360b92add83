"""What all figures share: size, colours, and how they are made, shown and saved."""

import io
from typing import Any

WIDTH = 9  # inches: with the fonts below, text is readable when a figure is 900 pixels wide
DPI = 150
SMALL, TITLE = 10, 14  # font sizes in points

# The palette of Okabe and Ito, whose colours remain distinguishable with colour blindness.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"
SKY, YELLOW, GREEN, PINK = "#56B4E9", "#F0E442", "#009E73", "#CC79A7"


def new_figure(height: float, title: str = "", layout: str | None = "constrained") -> Any:
    """An empty figure, `WIDTH` wide and `height` inches high.

    `layout` is one of Matplotlib's: "constrained", "compressed" or None.
    """
    # Figures made without pyplot need no display, and are freed like any other object.
    from matplotlib.figure import Figure

    class Picture(Figure):
        def _repr_png_(self):
            """What a notebook shows: always the same pixels, and 900 of them for WIDTH inches."""
            png = io.BytesIO()
            self.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
            return png.getvalue(), {"width": 900}

    figure = Picture((WIDTH, height), dpi=DPI, layout=layout)
    if title:
        figure.suptitle(title, fontsize=TITLE)
    return figure


def save(figure: Any, path: Any) -> None:
    """Write a figure to `path`, in the format of its suffix: .png, for instance."""
    figure.savefig(path, dpi=DPI)
