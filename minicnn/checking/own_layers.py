"""Layers of a user's file: gradients by differences, and beside the Keras layers that they name.

A class with `forward` and `backward` that is defined in the file is a layer. It may say

    example_arguments = ({"size": 2}, {"size": 3})  # of __init__, each to be tried; none by default
    example_shape = (7, 6, 2)                       # of one sample; otherwise some are tried
    def keras_twin(self): ...                       # returns the Keras layer that does the same

where `keras_twin` may return (keras layer, weights), as `compare_layers` takes them.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn.checking.ledger import Row
from minicnn.gradcheck import check_gradients
from minicnn.keras_reference import compare_layers, require_keras
from minicnn.layer import Layer
from minicnn.validation.configuration import Configurable

SHAPES = ((6, 5, 2), (6,), (4, 3))  # of samples to try
SAMPLES, INPUTS = 4, 20
COLUMNS = {"output": "output", "dx": "dx", "dbias": "dbias", "dbeta": "dbias"}  # others: dkernel


class Found(NamedTuple):
    """What was found about a layer: a line of the ledger, and an explanation if it is wrong."""

    row: Row
    words: str
    notes: tuple[str, ...] = ()  # what was not compared


def classes(path: Path) -> list[type]:
    """The layers that the file defines, in its order.

    Raises
    ------
    ValueError
        If it cannot be imported, or defines none.
    """
    if not path.is_file():
        raise ValueError(f"expected a Python file, but there is no {path}")
    name = f"_mine_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))  # as if it was run
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise ValueError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    found = [
        value
        for key, value in vars(module).items()
        if isinstance(value, type)
        and value.__module__ == name
        and not key.startswith("_")
        and all(hasattr(value, method) for method in ("forward", "backward"))
    ]
    if not found:
        raise ValueError(f"{path} defines no class with forward and backward")
    return found


def check(kinds: list[type]) -> Iterator[Found]:
    """Every layer with each of its example arguments: gradients, then beside its twin."""
    if any(hasattr(kind, "keras_twin") for kind in kinds):
        require_keras()
    for kind in kinds:
        examples = getattr(kind, "example_arguments", ({},))
        for arguments in [examples] if isinstance(examples, dict) else examples:
            yield from _check_example(kind, arguments)


def _check_example(kind: type, arguments: dict[str, Any]) -> Iterator[Found]:
    words = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    try:
        layer = kind(**arguments)
        shape = _shape(layer)
    except Exception as error:
        hint = "set example_arguments and example_shape"
        yield _failed(kind, words or "no arguments", f"{type(error).__name__}: {error}; {hint}")
        return
    words = ", ".join(filter(None, ["x".join(map(str, shape)), words]))
    try:
        yield _gradients(layer, shape, words)
        if hasattr(layer, "keras_twin"):
            yield from _beside_keras(layer, shape, words)
    except Exception as error:
        yield _failed(kind, words, f"{type(error).__name__}: {error}")


def _shape(layer: Any) -> tuple[int, ...]:
    """The shape of samples that the class names, or one that it takes."""
    if hasattr(layer, "example_shape"):
        return tuple(layer.example_shape)
    errors = []
    for shape in SHAPES:
        try:
            x = np.random.default_rng(0).standard_normal((SAMPLES, *shape))
            check_gradients(layer, x, rng=np.random.default_rng(0), directions=1)
        except Exception as error:
            errors.append(f"{shape}: {type(error).__name__}: {error}")
        else:
            return shape
    raise ValueError(f"it takes no samples of the shapes that were tried: {'; '.join(errors)}")


def _gradients(layer: Any, shape: tuple[int, ...], words: str) -> Found:
    x = np.random.default_rng(0).standard_normal((SAMPLES, *shape))
    report = check_gradients(layer, x, rng=np.random.default_rng(1))
    errors: dict[str, float] = {}
    for row in report.rows:
        _raise(errors, row.gradient, row.error)
    row = _row(
        layer, f"{words}: gradients", "float64", errors, "differences", 1, int(not report.ok)
    )
    return Found(row, "" if report.ok else str(report))


def _beside_keras(layer: Any, shape: tuple[int, ...], words: str) -> Iterator[Found]:
    twin = layer.keras_twin()
    twin, weights = twin if isinstance(twin, tuple) else (twin, None)
    report = compare_layers(layer, twin, input_shape=shape, weights=weights, count=INPUTS)
    explained = "" if report.ok else str(report)
    for dtype in ("float64", "float32"):
        found = [quantity for quantity in report.quantities if quantity.dtype == dtype]
        differences: dict[str, float] = {}
        for quantity in found:
            _raise(differences, quantity.name, quantity.relative)
        cases = max((quantity.cases for quantity in found), default=0)
        wrong = max((len(quantity.wrong) for quantity in found), default=0)
        mismatches = wrong or int(bool(report.problems) or not found)
        text = f"{words}: {report.theirs.removeprefix('keras.layers.')}"
        tolerance = "own layer" if dtype == "float64" else dtype
        row = _row(layer, text, dtype, differences, tolerance, cases, mismatches)
        yield Found(row, explained, tuple(report.notes))
        explained = ""


def _raise(differences: dict[str, float], name: str, value: float) -> None:
    """Keep the larger one in the column of that quantity."""
    column = COLUMNS.get(name, "dkernel" if name.startswith("d") else "output")
    differences[column] = max(value, differences.get(column, 0.0))


def _row(layer: Any, words: str, dtype: str, differences, tolerance, cases, mismatches) -> Row:
    kind = layer if isinstance(layer, type) else type(layer)
    return Row(kind.__name__, words, dtype, differences, tolerance, cases, mismatches)


def _failed(kind: type, words: str, reason: str) -> Found:
    row = _row(kind, f"{words}: NOT CHECKED", "float64", {}, "differences", 1, 1)
    return Found(row, " ".join(reason.split()))


def others(path: Path, kinds: list[type]) -> list[str]:
    """Classes of the file that are parts of a network, but no layers: they are not checked."""
    module = sys.modules[f"_mine_{path.stem}"]
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and issubclass(value, Configurable)
        and not issubclass(value, Layer)
        and value not in kinds
    ]
