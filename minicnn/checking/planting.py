"""Planting a bug: import the whole package afresh, with one module made from altered source.

The source text is altered, so a bug is what a programmer's mistake would be, in compiled kernels
too. No file changes, and afterwards `import minicnn` gives the earlier package again.
"""

import contextlib
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from numba.core import caching

from minicnn.engine import kernel_imports

PACKAGE = "minicnn"
ROOT = Path(__file__).parents[1]
KERNELS = "engine/kernels/"


def source_of(module: str) -> str:
    """The source of a module, named by its file: "engine/kernels/pooling.py"."""
    # Read by the loader, since the package may be in a zip.
    return importlib.util.decode_source(__loader__.get_data(str(ROOT / module)))


def altered(module: str, old: str, new: str) -> str:
    """The source of `module` with `new` in the place of `old`.

    It is an error if `old` does not occur, or more than once: it would not say what is meant.
    """
    source = source_of(module)
    if source.count(old) != 1:
        raise ValueError(f"{module}: expected once, found {source.count(old)} times: {old!r}")
    return source.replace(old, new)


@contextlib.contextmanager
def planted(module: str, source: str) -> Iterator[ModuleType]:
    """Inside the context, `import minicnn` gives a fresh package with `module` made from `source`.

    Objects of the two packages must not be mixed: whatever uses the planted package has to be
    imported, or imported anew, inside. Imports belong to the whole process, so only one thread may
    plant a bug.

    Numba caches machine code on disk by file, line and bytecode, and an altered kernel may have
    the same: neither its constants nor the functions it calls are part of the bytecode. So altered
    source is compiled under a name that is no file's, for which Numba caches nothing; kernels that
    call an altered one are compiled anew; and nothing is written to the cache.
    """
    finder = _Finder(module, source)
    load = _loading_unaffected(module, source)
    cache = {"save_overload": lambda *_: None, "load_overload": load}
    with _fresh_modules(), mock.patch.multiple(caching.FunctionCache, **cache):
        sys.meta_path.insert(0, finder)
        try:
            package = importlib.import_module(PACKAGE)
            # Other processes would compile the kernels as they are on disk.
            importlib.import_module(f"{PACKAGE}.engine.parallel_compilation").enabled = False
            yield package
        finally:
            sys.meta_path.remove(finder)


@contextlib.contextmanager
def _fresh_modules() -> Iterator[None]:
    """Make the package as if never imported; afterwards, put everything back."""
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


def _loading_unaffected(module: str, source: str) -> Callable:
    """Numba's `load_overload`, for kernels whose machine code does not depend on the alteration."""
    load = caching.FunctionCache.load_overload
    if _seen_by_every_kernel(module, source) != _seen_by_every_kernel(module):
        return lambda cache, signature, target: None
    if not module.startswith(KERNELS):
        return load

    def load_unaffected(cache: Any, signature: Any, target: Any) -> Any:
        kernel = Path(cache._py_func.__code__.co_filename).name
        return None if module in _with_imports(KERNELS + kernel) else load(cache, signature, target)

    return load_unaffected


def _seen_by_every_kernel(module: str, source: str | None = None) -> str:
    """What all machine code depends on: the compiler's options, and the fields of Geometry."""
    source = source_of(module) if source is None else source
    if module == "engine/compiling.py":
        return source
    if module == "shapes.py":
        return source.partition("class Geometry")[2].partition("\n\n\n")[0]
    return ""


def _with_imports(kernels: str) -> set[str]:
    """A module of kernels, and all those that it imports, directly or not."""
    names = kernel_imports(source_of(kernels))
    return {kernels}.union(*(_with_imports(f"{KERNELS}{name}.py") for name in names))


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module, and creates it from the given source."""

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
