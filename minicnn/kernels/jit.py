"""The one place for Numba's options, the cache of compiled code, and who is told of compiling."""

import contextlib
import functools
import hashlib
import pickle
import re
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba.core import caching, event, serialize

from minicnn.shapes import Geometry

OPTIONS = {
    # Threads run Python code and kernels side by side, so a kernel must let go of the GIL.
    "nogil": True,
    # 1/0 is inf, as in NumPy; Python's rule adds a branch that keeps loops from vectorising.
    "error_model": "numpy",
    # Sums may be reordered to fill vector registers. "nnan" and "ninf" stay out: they delete
    # every test for NaN, and a network whose loss is NaN would report finite numbers.
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}


# What machine code depends on besides the text of kernels' files.
DEPENDENCIES = (
    numba.__version__,
    OPTIONS | {"fastmath": sorted(OPTIONS["fastmath"])},  # in an order
    Geometry._fields,
)


def jit(function: Callable) -> Callable:
    """Compile `function` when first called, and keep the machine code on disk where that works.

    If no folder can be written, kernels are compiled anew in every process, and a
    RuntimeWarning says so once; the environment variable NUMBA_CACHE_DIR names a folder of your
    choice. Nobody else should be able to write to it, since what it holds is run.
    """
    return _compiled(function, OPTIONS)


def brief(function: Callable) -> Callable:
    """`jit` for kernels of a few microseconds: they keep the GIL, and compute as is written.

    To let go of the GIL and get it back from another thread, found asleep, would take fifty.
    """
    return _compiled(function, OPTIONS | {"nogil": False, "fastmath": False})


def _compiled(function: Callable, options: dict[str, Any]) -> Callable:
    kernel = numba.njit(**options)(function)
    kernel._cache = _Cache(function)
    return kernel


def named(name: str, variant: Any) -> Callable[[Callable], Callable]:
    """Give a function a name of its own, in place of that of the function it is defined in.

    Numba names machine code by function, types, and a number that starts over in every process. Two
    variants compiled and kept on disk by two processes would have one name, and a third process
    that loads both would run the first for the second. Within one process code exists twice, too,
    by itself and as part of its caller, and chance says which one is run: so nothing in here may be
    rounded in another way if it is compiled in another place, as "contract" and "reassoc" allow.

    What a kernel has from the function around it must not call another kernel: Numba finds kept
    code by the pickled closure, and a kernel is pickled with an identity new in each process.
    """

    def rename(function: Callable) -> Callable:
        function.__name__ = function.__qualname__ = f"{name}_{variant}"
        return function

    return rename


class _Cache:
    """Numba's cache of one kernel, which may fail in any way: the kernel is compiled then.

    It is opened when it is first asked for something. With `cache=True` it would be opened on
    import, which tries and makes folders, and fails where none can be written.
    """

    def __init__(self, function: Callable):
        self._function = function
        self._opened: Any = None

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled version for a signature, or None: whatever is wrong with it, it is made."""
        try:
            return self._open().load_overload(signature, target)
        except Exception:  # a damaged pickle can raise anything
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep the compiled version, if that is possible."""
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


@functools.cache
def _sources(path: Path) -> list[tuple[str, int, int]]:
    """Name, time and size of a kernel's file, and of those it imports other kernels from.

    Numba looks at the first alone, and would go on with the old code of the others.
    """
    found, waiting = {path}, [path]
    while waiting:
        text = waiting.pop().read_text(encoding="utf-8")
        names = re.findall(r"^from minicnn\.kernels\.(\w+) import", text, re.MULTILINE)
        new = {Path(__file__).with_name(f"{name}.py") for name in names} - found
        found |= new
        waiting += new
    stats = [(file.name, file.stat()) for file in sorted(found)]
    return [(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats]


class _Files:
    """One file for each compiled version, with a checksum, in place of Numba's index and files.

    Numba unpickles and runs what it finds, be it damaged. And two processes that compile different
    versions at the same time may both call theirs number 1: the index of one then leads to the
    code of the other.
    """

    def __init__(self, numbas: Any, function: Callable):
        self._folder = Path(numbas._cache_path)
        self._base = Path(numbas._index_name).stem
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
        """Write the file, all or nothing."""
        data = serialize.dumps((key, compiled))
        path = self._path(key)
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:16]}")
        try:
            temporary.write_bytes(self._checksum(data) + data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def flush(self) -> None:
        """Forget all versions."""
        for path in self._folder.glob(f"{self._base}.*.nbc"):
            path.unlink(missing_ok=True)

    def _path(self, key: Any) -> Path:
        # By signature and processor. The function's bytecode, last in the key, stays out, so that
        # a new version takes the place of the old one.
        name = hashlib.sha256(repr(key[:-1]).encode()).hexdigest()[:16]
        return self._folder / f"{self._base}.{name}.nbc"

    def _checksum(self, data: bytes) -> bytes:
        return hashlib.sha256(self._dependencies + data).digest()


_warned = False


def _warn(error: Exception) -> None:
    """Say once, in one line, that compiled code is not kept."""
    global _warned
    if not _warned:
        _warned = True
        # A module's name for a file's: Python would print the line of the file below the warning.
        warnings.warn_explicit(
            "compiled kernels cannot be kept on disk, so every process compiles them anew; "
            f"set NUMBA_CACHE_DIR to a folder that can be written to ({_in_one_line(error)})",
            RuntimeWarning,
            __name__,
            1,
        )


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class _OnFirstCompilation(event.Listener):
    def __init__(self, tell: Callable[[], None]):
        self.tell = tell
        self.told = False

    def on_start(self, _event: event.Event) -> None:
        if not self.told:
            self.told = True
            self.tell()

    def on_end(self, _event: event.Event) -> None:
        pass


@contextlib.contextmanager
def announce_compilation(tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell()` once if a kernel has to be compiled meanwhile (code found on disk is not)."""
    with event.install_listener("numba:compile", _OnFirstCompilation(tell)):
        yield
