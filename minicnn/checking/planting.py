"""Plant a defect: the whole package imported afresh, with one module made from altered source.

What is altered is the source text, so a defect is what a slip of the pen would be, in compiled
kernels too. Files stay as they are, and the package that was imported before is put back.
"""

import contextlib
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest import mock

from numba.core import caching

PACKAGE = "minicnn"
ROOT = Path(__file__).parents[1]


def source_of(module: str) -> str:
    """The source of a module, named by its file: "kernels/pooling.py"."""
    # Asked of the loader, since the package may be in a zip.
    return importlib.util.decode_source(__loader__.get_data(str(ROOT / module)))


def altered(module: str, old: str, new: str) -> str:
    """The source of `module` with `new` in the place of `old`.

    Raises
    ------
    ValueError
        If `old` does not occur, or more than once: then it would not say what is meant.
    """
    source = source_of(module)
    if source.count(old) != 1:
        raise ValueError(f"{module}: expected once, found {source.count(old)} times: {old!r}")
    return source.replace(old, new)


@contextlib.contextmanager
def planted(module: str, source: str) -> Iterator[ModuleType]:
    """Meanwhile, `import minicnn` gives a fresh package in which `module` is made from `source`.

    Objects of the two packages must not meet: whatever uses the planted one has to be imported, or
    imported anew, inside. Imports are those of the whole process, so only one thread may plant.

    Parameters
    ----------
    module : str
        By its file: "kernels/pooling.py".
    source : str
        See `altered`.

    Yields
    ------
    ModuleType
        The fresh package.

    Notes
    -----
    Numba keeps compiled code on disk by file, line and bytecode, from which an altered kernel
    cannot always be told: neither its constants nor what it calls are part of the bytecode. So
    altered code is compiled under a name that is no file's, for which Numba keeps nothing, and no
    other kernel's code is written either, as it may have been compiled with an altered option.
    """
    finder = _Finder(module, source)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_fresh_modules())
        sys.meta_path.insert(0, finder)
        stack.callback(sys.meta_path.remove, finder)
        _forbid(stack, "save_overload")
        if _seen_by_every_kernel(module, source) != _seen_by_every_kernel(module):
            _forbid(stack, "load_overload")
        yield importlib.import_module(PACKAGE)


@contextlib.contextmanager
def _fresh_modules() -> Iterator[None]:
    """The package is as if never imported; afterwards all is as it was."""
    before = _package_modules()
    for name in before:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in _package_modules():
            del sys.modules[name]
        sys.modules.update(before)


def _package_modules() -> dict[str, ModuleType]:
    return {
        name: module for name, module in sys.modules.items() if name.partition(".")[0] == PACKAGE
    }


def _forbid(stack: contextlib.ExitStack, method: str) -> None:
    """Let Numba's cache on disk do nothing when it is asked to load, or to save."""
    stack.enter_context(mock.patch.object(caching.FunctionCache, method, return_value=None))


def _seen_by_every_kernel(module: str, source: str | None = None) -> str:
    """What compiled code depends on besides its own file: the options, and Geometry's fields."""
    source = source_of(module) if source is None else source
    if module == "kernels/jit.py":
        return source
    if module == "shapes.py":
        return source.partition("class Geometry")[2].partition("\n\n\n")[0]
    return ""


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module, and makes it from the given source."""

    def __init__(self, module: str, source: str):
        self.module = module
        self.source = source
        *folders, file = module.removesuffix(".py").split("/")
        self.is_package = file == "__init__"
        self.name = ".".join([PACKAGE, *folders] + ([] if self.is_package else [file]))

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        file = ROOT / self.module
        folder = [str(file.parent)] if self.is_package else None
        return importlib.util.spec_from_file_location(
            name, file, loader=self, submodule_search_locations=folder
        )

    def exec_module(self, module):
        exec(compile(self.source, f"<planted {self.module}>", "exec"), module.__dict__)
