"""Compilation with Numba: its options, the cache of machine code on disk, and who is told of it."""

import contextlib
import functools
import gc
import hashlib
import pickle
import re
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba.core import caching, event, serialize

from minicnn.engine.parallel_compilation import compiled_by_helper
from minicnn.shapes import Geometry

PATIENCE = 1.0  # seconds of compiling after which the user is told
OPTIONS = {
    # Threads run Python code and kernels at the same time, so a kernel must release the GIL.
    "nogil": True,
    # 1/0 is inf, as in NumPy. Python's rule adds a branch that keeps loops from being vectorised.
    "error_model": "numpy",
    # A second entry point, for callers written in C, would take 3 % of the time to compile.
    "no_cfunc_wrapper": True,
    # Sums may be reordered to fill vector registers. "nnan" and "ninf" are left out: they delete
    # every test for NaN, and a network whose loss is NaN would report finite numbers.
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}


# What machine code depends on, apart from the text of the kernel files.
DEPENDENCIES = (
    numba.__version__,
    OPTIONS | {"fastmath": sorted(OPTIONS["fastmath"])},  # a set has no fixed order
    Geometry._fields,
)


# Settings of Numba, by environment variables, that change the machine code; those about the
# processor are in Numba's own key. And Python's -O and -OO, which change the bytecode.
SETTINGS = """OPT LOOP_VECTORIZE SLP_VECTORIZE BOUNDSCHECK DEBUGINFO_DEFAULT USING_SVML ENABLE_AVX
DISABLE_INTEL_SVML DEBUG_ARRAY_OPT DEBUG_NRT NRT_STATS EXTEND_VARIABLE_LIFETIMES
LLVM_REFPRUNE_PASS LLVM_REFPRUNE_FLAGS PARFOR_MAX_TUPLE_SIZE USE_LLVMLITE_MEMORY_MANAGER"""


def _settings() -> str:
    found = {name: str(getattr(numba.config, name, None)) for name in SETTINGS.split()}
    return repr((found, sys.flags.optimize))


def jit(function: Callable) -> Callable:
    """Compile a function at its first call, and cache the machine code on disk if possible.

    Parameters
    ----------
    function : callable
        A function that Numba can compile in nopython mode.

    Returns
    -------
    callable
        A Numba dispatcher, which compiles one version for each combination of argument types.

    Warns
    -----
    RuntimeWarning
        Once, if no cache folder is writable. Every process then compiles all kernels again.

    Notes
    -----
    The environment variable NUMBA_CACHE_DIR selects another cache folder. Nobody else should have
    write access to that folder, because the code in it is executed.
    """
    return _compiled(function, OPTIONS)


def exact(function: Callable) -> Callable:
    """Like `jit`, but without fastmath: every operation is rounded as written."""
    return _compiled(function, OPTIONS | {"fastmath": False})


def brief(function: Callable) -> Callable:
    """Like `exact`, for kernels of a few microseconds, which hold the GIL.

    Releasing the GIL and getting it back from another thread takes about fifty microseconds if
    that thread has to be woken.
    """
    return _compiled(function, OPTIONS | {"nogil": False, "fastmath": False})


def called_by_kernels(function: Callable) -> Callable:
    """Like `jit`, for functions that only kernels call: no code to unpack arguments is made."""
    return _compiled(function, OPTIONS | {"no_cpython_wrapper": True})


def inlined(function: Callable) -> Callable:
    """A part of a kernel, which Numba copies into its callers.

    It is not compiled by itself. Functions that `jit` compiles cost 0.3 to 0.5 s each, and are
    optimised again in each of their callers.
    """
    return numba.njit(inline="always", **OPTIONS)(function)


def _compiled(function: Callable, options: dict[str, Any]) -> Callable:
    kernel = numba.njit(**options)(function)
    kernel._cache = _Cache(function)
    return kernel


class _Cache:
    """Numba's cache of one kernel; if it fails in any way, the kernel is compiled instead.

    The cache is opened at its first use. Numba's `cache=True` would open it on import, which
    creates folders, and raises an error where none can be created.
    """

    def __init__(self, function: Callable):
        self._function = function
        self._opened: Any = None

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The cached version for a signature; None if there is none or it cannot be loaded."""
        global _kernels
        compiled = self._load(signature, target)
        if compiled is None and self._by_helper(signature):
            compiled = self._load(signature, target)
        if compiled is None:
            _kernels += 1
        return compiled

    def _load(self, signature: Any, target: Any) -> Any:
        with contextlib.suppress(Exception):  # a damaged pickle can raise anything
            return self._open().load_overload(signature, target)
        return None

    def _by_helper(self, signature: Any) -> bool:
        """Whether another process has compiled the kernel meanwhile."""
        global _kernels
        if isinstance(self._open(), caching.NullCache):
            return False
        module = self._function.__module__.rpartition(".")[2]
        _kernels += 1
        _usual.on_start()
        try:
            return compiled_by_helper(f"{module}.{self._function.__name__}", signature)
        finally:
            _usual.on_end()
            _kernels -= 1

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Write a compiled version to disk, or warn once if that fails."""
        global _kernels
        _kernels -= 1
        try:
            self._open().save_overload(signature, compiled)
        except Exception as error:
            _warn(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._open(), name)

    def _open(self) -> Any:
        if self._opened is None:
            try:
                cache = caching.FunctionCache(self._function)
                cache._cache_file = _Files(cache._cache_file, self._function)
                self._opened = cache
            except Exception as error:  # "cannot cache function ...: no locator available"
                self._opened = caching.NullCache()
                _warn(error)
        return self._opened


_PACKAGE_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+\.|(?:from|import)\b[^#\n]*\bminicnn\b).*", re.MULTILINE
)
_KERNEL_IMPORT = re.compile(r"from minicnn\.engine\.(?:compiling|kernels\.(\w+)) import .*")


def kernel_imports(source: str) -> set[str]:
    """Names of the kernel modules that a kernel file imports.

    A kernel file may import from this package in these two forms only, at the start of a line:

        from minicnn.engine.compiling import ...
        from minicnn.engine.kernels.MODULE import ...

    Parameters
    ----------
    source : str
        The text of the file.

    Returns
    -------
    set of str
        The names that stand for MODULE.

    Raises
    ------
    ImportError
        For an import from this package in any other form. Machine code of the file would depend
        on a file that is not watched, and cached code would be out of date after a change of it.
    """
    modules = set()
    for statement in _PACKAGE_IMPORT.findall(source):
        match = _KERNEL_IMPORT.fullmatch(statement)
        if match is None:
            raise ImportError(
                'a kernel file must use "from minicnn.engine.kernels.MODULE import ..." to import '
                f"from this package, received {statement.strip()!r}"
            )
        if match[1]:
            modules.add(match[1])
    return modules


@functools.cache
def _sources(path: Path) -> list[tuple[str, int, int]]:
    """Name, modification time and size of a kernel's file and of all kernel files it imports.

    Numba checks only the kernel's own file, and would use old code of the others.
    """
    found, waiting = {path}, [path]
    while waiting:
        names = kernel_imports(waiting.pop().read_text(encoding="utf-8"))
        new = {Path(__file__).parent / "kernels" / f"{name}.py" for name in names} - found
        found |= new
        waiting += new
    stats = [(file.name, file.stat()) for file in sorted(found)]
    return [(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats]


class _Files:
    """One checksummed file for each compiled version, in place of Numba's index and data files.

    Numba unpickles and executes whatever it finds, even a damaged file. And two processes that
    compile different versions at the same time may both number theirs 1: the index of one would
    then refer to the code of the other.
    """

    def __init__(self, numba_files: Any, function: Callable):
        self._folder = Path(numba_files._cache_path)
        self._base = Path(numba_files._index_name).stem
        sources = _sources(Path(function.__code__.co_filename))
        self._dependencies = repr((sources, DEPENDENCIES)).encode()

    def load(self, key: Any) -> Any:
        """What was saved under this key, or None."""
        try:
            content = self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        checksum, data = content[:32], content[32:]
        if checksum != self._checksum(data):  # damaged, or compiled from another source
            return None
        saved_key, compiled = pickle.loads(data)
        return compiled if saved_key == key else None

    def save(self, key: Any, compiled: Any) -> None:
        """Write the file atomically: completely or not at all."""
        data = serialize.dumps((key, compiled))
        path = self._path(key)
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:16]}")
        try:
            temporary.write_bytes(self._checksum(data) + data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def flush(self) -> None:
        """Delete all versions of the kernel."""
        for path in self._folder.glob(f"{self._base}.*.nbc"):
            path.unlink(missing_ok=True)

    def _path(self, key: Any) -> Path:
        # Named after signature, processor and settings. The function's bytecode, which is the last
        # part of the key, is left out, so that a new version replaces the old one.
        name = hashlib.sha256(f"{key[:-1]}{_settings()}".encode()).hexdigest()[:16]
        return self._folder / f"{self._base}.{name}.nbc"

    def _checksum(self, data: bytes) -> bytes:
        return hashlib.sha256(self._dependencies + data).digest()


_warned = False


def _warn(error: Exception) -> None:
    """Warn once, in one line, that compiled code cannot be written to disk."""
    global _warned
    if not _warned:
        _warned = True
        # With a module's name in place of a file name, Python prints no source line below it.
        warnings.warn_explicit(
            "compiled kernels cannot be kept on disk, so every process compiles them anew; "
            f"set NUMBA_CACHE_DIR to a folder that can be written to ({_in_one_line(error)})",
            RuntimeWarning,
            __name__,
            1,
        )


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class _Announcement(event.Listener):
    """Tells users what is going on, once, when compiling kernels has taken `patience` seconds.

    Numba reports the beginning and the end of every compilation: of a kernel, and inside it of the
    functions that it calls.
    """

    def __init__(self, tell: Callable[[], None], patience: float = 0.0):
        self.tell, self.patience, self.told = tell, patience, False
        self.depth = 0
        self.seconds, self.started = 0.0, 0.0

    def on_start(self, _event: event.Event | None = None) -> None:
        if self.depth == 0:
            self.started = time.perf_counter()
        self.depth += 1
        elapsed = self.seconds + time.perf_counter() - self.started
        if not self.told and elapsed >= self.patience and (_kernels or not self.patience):
            self.told = True
            self.tell()

    def on_end(self, _event: event.Event | None = None) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.seconds += time.perf_counter() - self.started


class _CollectorPause(event.Listener):
    """Pauses Python's garbage collector while kernels are compiled.

    The compiler creates millions of objects that refer to each other. Looking for unused ones among
    them takes a tenth of the time, and more if other libraries have created many objects.
    """

    def __init__(self):
        self.depth, self.was_enabled = 0, False

    def on_start(self, _event: event.Event) -> None:
        if self.depth == 0:
            self.was_enabled = gc.isenabled() and _kernels > 0
            if self.was_enabled:
                gc.disable()
        self.depth += 1

    def on_end(self, _event: event.Event) -> None:
        self.depth -= 1
        if self.depth == 0 and self.was_enabled:
            gc.enable()


COMPILING = "Compiling the kernels for this processor, once (10 to 20 seconds) ..."
_kernels = 0  # of ours that are being compiled; the user may compile others
_usual = _Announcement(lambda: print(COMPILING, file=sys.stderr, flush=True), PATIENCE)
event.register("numba:compile", _usual)
event.register("numba:compile", _CollectorPause())


def is_compiling() -> bool:
    """Whether a function is being compiled now, by any thread."""
    return _usual.depth > 0


@contextlib.contextmanager
def announce_compilation(tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell()` before the first compilation inside the block, instead of printing a line.

    It is called at most once, and not at all if all machine code is on disk.
    """
    told, _usual.told = _usual.told, True
    own = _Announcement(tell)
    try:
        with event.install_listener("numba:compile", own):
            yield
    finally:
        _usual.told = told or own.told
