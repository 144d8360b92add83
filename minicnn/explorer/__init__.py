"""The explorer: one HTML file in which every number of a network can be looked at.

    from minicnn import explorer
    explorer.write(model, "explorer.html", x_test, y_test)

The file needs no server, no network and no installation. It computes the forward pass, the
backward pass and steps of training by itself, in JavaScript.

- `writer`: `write`, which puts the file together
- `description`: the model and the images as plain data
- `selection`: which images the page offers
- `pictures`: photos and drawings as the network takes them, for `python -m minicnn predict`
- `page/numbers/`: the numeric part of the page, without any drawing
- `page/drawing/`: what is drawn, and what can be clicked
"""

from minicnn.explorer.writer import write

__all__ = ["write"]
