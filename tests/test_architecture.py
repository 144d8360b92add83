"""The core is every file directly in the package: small, plain NumPy, and it imports nothing else.

The README and the design promise that the core can be read in an afternoon; these tests count.
"""

import ast
import sys
from pathlib import Path

import pytest

import minicnn

PACKAGE = Path(minicnn.__file__).parent
CORE = sorted(PACKAGE.glob("*.py"))
MOST_LINES = 2500
MOST_LINES_OF_A_STEP = 60

# What core files may import from the package besides each other: whole wings, by their own names.
WINGS = {
    "minicnn.engine",
    "minicnn.validation",
    "minicnn.validation.configuration",
    "minicnn.saving",
    "minicnn.callbacks",
    "minicnn.callbacks.output",
    "minicnn.callbacks.progress",
}
# The package and its command line are entrances: they import what they offer.
ENTRANCES = {"__init__.py", "__main__.py"}
LIBRARIES = {"numpy"}


def imports(path):
    """The modules that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            if node.module == "minicnn":
                yield from (f"minicnn.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_the_core_is_short():
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in CORE}
    assert sum(lengths.values()) <= MOST_LINES, lengths
    assert lengths["step.py"] <= MOST_LINES_OF_A_STEP


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_the_core_imports_the_core_its_doors_and_numpy(path):
    core = {f"minicnn.{other.stem}" for other in CORE}
    for module in imports(path):
        top = module.partition(".")[0]
        if top != "minicnn":
            assert top in sys.stdlib_module_names | LIBRARIES, f"{path.name} imports {module}"
            assert top not in {"ctypes", "multiprocessing", "signal", "threading", "queue"}
        elif path.name not in ENTRANCES:
            assert module in core | WINGS, f"{path.name} imports {module}"


@pytest.mark.parametrize("folder", ["engine", "validation"])
def test_what_is_below_does_not_import_what_is_above(folder):
    """The engine knows the core and validation; validation knows hardly anything."""
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        for module in imports(path):
            if module.startswith("minicnn."):
                wing = module.split(".")[1]
                assert not {wing} & {"callbacks", "checking", "cli", "gradcheck", "saving", "plots"}
                assert folder == "engine" or wing in {"validation", "activations", "session"}


@pytest.mark.parametrize("wing", sorted(path.name for path in PACKAGE.iterdir() if path.is_dir()))
def test_wings_use_the_engine_by_its_door(wing):
    """Everything outside of the engine imports from `minicnn.engine`, never from its modules."""
    if wing == "engine":
        return
    for path in sorted((PACKAGE / wing).rglob("*.py")):
        for module in imports(path):
            assert not module.startswith("minicnn.engine."), f"{path} imports {module}"


def test_training_eagerly_loads_no_compiled_kernel(python):
    """The core trains by itself: what is compiled is never asked for."""
    program = """
import numpy as np, minicnn
from minicnn import layers
model = minicnn.Sequential([minicnn.Input((6, 6, 1)), layers.Conv2D(2, 3, activation="relu"),
    layers.MaxPooling2D(), layers.Flatten(), layers.Dropout(0.5), layers.Dense(3, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
x, y = np.random.default_rng(0).random((20, 6, 6, 1)), np.arange(20) % 3
model.fit(x, y, verbose=0)
model.evaluate(x, y, verbose=0)
model.predict(x, verbose=0)
from numba.core.dispatcher import Dispatcher
import gc
compiled = [d for d in gc.get_objects() if isinstance(d, Dispatcher) and d.overloads]
print([str(d) for d in compiled])
"""
    done = python("-c", program)
    assert (done.stdout, done.stderr) == ("[]\n", "")
