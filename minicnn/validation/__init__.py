"""Validation: arguments, arrays and configurations, each accepted or refused with a clear error.

    check = Check("Conv2D 'conv2d'")
    filters = check.integer(filters, "filters")
    x = check.samples(x, "x", (28, 28, 1))

An error says who was called, what was expected and what came.
"""

import sys

from minicnn.validation.arguments import ArgumentChecks
from minicnn.validation.arrays import ArrayChecks, is_plain, plain
from minicnn.validation.data import DataChecks

__all__ = ["Check", "frames_to_user", "is_plain", "plain"]


class Check(ArgumentChecks, ArrayChecks, DataChecks):
    """Checks on behalf of one caller, whose name begins every message.

    Parameters
    ----------
    who : str
        For instance "fit", or "Conv2D 'conv2d'".
    """

    def __init__(self, who: str):
        self.who = who


def frames_to_user() -> int:
    """Stack level of the code outside this package, so that a warning points at the user's line."""
    frame, level = sys._getframe(1), 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith("minicnn."):
        frame, level = frame.f_back, level + 1
    return level
