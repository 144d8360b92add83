"""Puts the page together: its own files, the model and the images become one HTML file."""

import html
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

from minicnn.explorer.description import describe, encoded_images
from minicnn.explorer.selection import select
from minicnn.model import Sequential
from minicnn.saving.npz import write_file
from minicnn.validation import Check

# In this order: a file may use what the files before it define while it is loaded.
NUMBERS = ("layers", "network", "arithmetic", "messages", "digits")
DRAWING = ("elements", "colours", "maps", "page", "pad", "overview")
DRAWING += ("forward", "forward_windows", "forward_vectors")
DRAWING += ("backward", "backward_windows", "backward_vectors", "player")
DRAWING += ("training", "training_panel", "links", "main")


def write(model: Sequential, path: Any, images: Any, labels: Any) -> Path:
    """Write the explorer of a model: one HTML file that works without a network or a server.

    Parameters
    ----------
    model : Sequential
        Built, of minicnn's own layers, on images of at most 64 x 64 pixels, with one score a class.
    path : str or path
        An older file is replaced when the new one is complete.
    images : (n, h, w, c)
        As the model takes them, scaled for instance. The page offers some of them: the first ones,
        the worst mistakes, and those with the closest decisions.
    labels : (n,) integers

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    TypeError, ValueError
        If the page cannot show the model, or if images or labels do not fit it.
    OSError
        If the file cannot be written; `path` is then unchanged.
    """
    check = Check("explorer.write")
    description = describe(model, check.who)
    images = check.samples(images, "images", model.input_shape)
    if len(images) == 0:
        raise ValueError(f"{check.who}: expected at least one image")
    labels = check.class_labels(labels, "labels", len(images), model.output_shape[0])
    probabilities = model.predict(images, verbose=0)
    chosen, start, groups = select(probabilities, labels)
    description["images"] = encoded_images(images[chosen])
    description["images"]["labels"] = labels[chosen].tolist()
    description["images"]["predicted"] = probabilities[chosen].argmax(axis=1).tolist()
    description["images"]["numbers"] = chosen.tolist()
    description["images"]["groups"] = groups
    description["images"]["start"] = start
    content = page(description).encode()
    write_file(Path(path), lambda file: file.write(content))
    return Path(path)


def page(description: dict[str, Any]) -> str:
    """The whole HTML file of a described model with images."""
    parts = {
        "title": html.escape(f"{description['name']}: explorer of minicnn"),
        "style": _read("style.css"),
        "script": script(NUMBERS, "numbers") + script(DRAWING, "drawing"),
        "data": embedded(description),
    }
    # In one pass, so that nothing inside of an inserted part is taken for a marker.
    return re.sub(r"\{\{(\w+)\}\}", lambda marker: parts[marker[1]], _read("page.html"))


def script(names: tuple[str, ...], folder: str) -> str:
    """Files of JavaScript, one after the other."""
    return "\n".join(_read(f"{folder}/{name}.js") for name in names)


def embedded(data: Any) -> str:
    """JSON that is safe inside of a script element: it has no `<`, which could end the element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _read(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")
