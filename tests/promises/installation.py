"""Promise 26: minicnn starts anywhere, at worst without a cache and with one warning.

Wheel and source distribution are built from a copy of the repository and installed into fresh
environments, which use the NumPy etc. of the environment this runs in. A start is a new process
that imports minicnn, takes one training step, and prints a checksum of the weights, the same in all
places. For places without write access the whole file system is mounted read-only, since root may
write where modes forbid it.
"""

import importlib.metadata
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import tempfile
import venv
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.promises import Outcome

ROOT = Path(__file__).parents[2]
SHIPPED = ("minicnn", "pyproject.toml", "README.md", "LICENSE")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__")
OLDEST_SETUPTOOLS = 77  # as in pyproject.toml
BUILD = "from setuptools import build_meta as b; print(b.build_{}({!r}))"
STEP = """
import hashlib, sys
import numpy as np
from numba.core import event
compiled = event.RecordingListener()
event.register("numba:compile", compiled)
import minicnn
from minicnn import Input, Sequential, layers
minicnn.set_random_seed(26)
few = [layers.Flatten(), layers.Dense(3, activation="relu"), layers.Dense(2, activation="softmax")]
more = [layers.Conv2D(2, 3, algorithm="im2col"), layers.MaxPooling2D()]
dtype, size = sys.argv[1:]
model = Sequential([Input((6, 6, 1)), *(more if size == "more" else []), *few], dtype=dtype)
model.compile("adam", "sparse_categorical_crossentropy")
x = np.random.default_rng(0).normal(size=(8, 6, 6, 1))
model.train_on_batch(x, np.arange(8) % 2)
if size == "data":
    assert minicnn.datasets.mnist.load_data()[0][0].shape == (60000, 28, 28)
weights = b"".join(weight.tobytes() for weight in model.get_weights())
print(minicnn.__file__, len(compiled.buffer), hashlib.sha256(weights).hexdigest())
"""
KERNEL = """
from minicnn.engine.compiling import jit

@jit
def twice(x):
    return x + x
"""
# Remount every file system but those of the kernel.
READ_ONLY = """
while read -r _ _ _ _ target _; do
    case $target in /proc*|/sys*|/dev/pts*) ;; *) mount -o remount,bind,ro "$target" || : ;; esac
done < /proc/self/mountinfo
if touch "$0" 2> /dev/null; then exit 77; fi
exec "$@"
"""
NO_FILE_FITS = ("sh", "-c", 'ulimit -f 0 && exec "$@"', "sh")
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "garbage": lambda content: random.Random(26).randbytes(len(content)),
}


class Start(NamedTuple):
    """A start of minicnn in some place, and what it should do there."""

    name: str
    python: Path
    environment: dict[str, str | None]
    compiles: bool | None = True  # None: either is right
    warnings: tuple[int, ...] = (0,)  # lines, any of these numbers
    before: tuple[str, ...] = ()  # a command in front
    size: str = ""  # "data" to load a data set, too
    dtype: str = "float32"

    def run(self, size: str) -> subprocess.CompletedProcess:
        """A process with "few" or "more" layers, unless the start has a size of its own."""
        environment = {
            key: value
            for key, value in (os.environ | self.environment).items()
            if value is not None and (key == "PYTHONPATH" or not key.startswith("PYTHON"))
        }
        command = [*self.before, self.python, "-B", "-c", STEP, self.dtype, self.size or size]
        return subprocess.run(
            command, cwd="/", env=environment, capture_output=True, text=True, timeout=300
        )

    def fault(self, done: subprocess.CompletedProcess, folder: str, checksums: dict) -> str:
        """What is wrong with how it went, or ""."""
        if done.returncode:
            return f"{self.name}: status {done.returncode}, {done.stderr}"
        file, compiled, checksum = done.stdout.rsplit(maxsplit=2)
        expected = checksums.setdefault((self.size, self.dtype), checksum)
        wrong = {
            f"imported from {file}": folder not in file,
            f"{compiled} kernels compiled": self.compiles not in (int(compiled) > 0, None),
            f"warnings: {done.stderr}": len(done.stderr.splitlines()) not in self.warnings,
            "other bits": checksum != expected,
        }
        return "; ".join(f"{self.name}: {what}" for what, is_so in wrong.items() if is_so)


def places(share: float = 1) -> Outcome:
    """26: wheel, source distribution, zip; no home, no write access, broken caches."""
    good, warned, faults, checksums = 0, 0, [], {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        locked = _read_only(Path(folder))
        for starts in _starts(Path(folder), share == 1, locked):
            sizes = ["more" if share == 1 else "few"] * len(starts)
            for start, done in zip(starts, pool.map(Start.run, starts, sizes), strict=True):
                fault = start.fault(done, folder, checksums)
                faults += [fault] if fault else []
                good += not fault
                warned += not fault and done.stderr != ""
    figure = (
        f"{good} of {good + len(faults)} starts imported and took a training step, with equal "
        f"bits: {good - warned} without output, {warned} with one line of warning"
    )
    if locked is None:
        figure += "; read-only places not counted: nothing can be mounted here"
    if faults:
        figure += f"; not so: {'; '.join(faults)}"
    return Outcome(not faults, figure)


def _starts(folder: Path, full: bool, locked: tuple[str, ...] | None) -> Iterator[list[Start]]:
    """Lists of starts at the same time; each has ended before the next is asked for."""

    def cache(name: str) -> dict[str, str | None]:
        return {"NUMBA_CACHE_DIR": str(folder / "caches" / name)}

    wheel, sdist = _built(folder)
    python = _installed(wheel, folder / "from wheel")
    if full:
        other = _installed(_wheel_of(sdist, folder), folder / "from sdist")
        yield [Start("sdist", other, cache("sdist"))]
    yield [Start("wheel, first start", python, cache("warm"))]
    yield [Start("second start", python, cache("warm"), compiles=False)]
    homeless = {"HOME": None, "NUMBA_CACHE_DIR": None, "XDG_CACHE_HOME": None}
    if locked:
        name = "no home, nothing can be written"
        yield [Start(name, python, homeless, warnings=(1,), before=locked)]
    if full:
        yield [Start("no home", python, homeless)]
        yield [Start("no home, beside the package", python, homeless, compiles=False)]
        file = folder / "a file"
        file.touch()  # the next choice serves: as above
        unusable = {"NUMBA_CACHE_DIR": str(file)}
        yield [Start("the cache's folder is a file", python, unusable, compiles=False)]
    if full and locked:
        home = folder / "home"
        home.mkdir()
        at_home = homeless | {"HOME": str(home)}
        writable = f"mount --bind '{home}' '{home}' && mount -o remount,bind,rw '{home}'"
        for name, compiles in (("a read-only package", True), ("the same again", False)):
            yield [Start(name, python, at_home, compiles, before=_read_only(folder, writable))]
        full_disk = _read_only(folder, f"mount -t tmpfs -o size=4k none '{home}'")
        yield [Start("a full disk", python, at_home, warnings=(1,), before=full_disk)]
    if full:
        yield [Start("nothing fits", python, cache("limit"), warnings=(1,), before=NO_FILE_FITS)]
        for name, damage in DAMAGE.items():
            damaged = folder / "caches" / name
            shutil.copytree(folder / "caches" / "warm", damaged)
            for path in damaged.rglob("*.nb?"):
                path.write_bytes(damage(path.read_bytes()))
            yield [Start(f"{name} cache", python, cache(name))]
            yield [Start(f"{name} cache, again", python, cache(name), compiles=False)]
    bare, archive = _environment(folder / "bare"), folder / "minicnn.zip"
    shutil.copy(wheel, archive)
    for path in (archive, wheel)[: 2 if full else 1]:
        place = {"PYTHONPATH": str(path), "HOME": str(folder / "zip home")}
        yield [Start(path.suffix, bare, place, warnings=(0, 1), size="data")]
    race = [
        Start(f"{dtype} at once", python, cache("race"), None, dtype=dtype)
        for dtype in ("float32", "float64")
    ]
    yield race * (2 if full else 1)
    for start in race:
        yield [start._replace(name=f"{start.name}, later", compiles=False)]


def _built(folder: Path) -> tuple[Path, Path]:
    """A wheel and a source distribution of the package."""
    source = folder / "source"
    source.mkdir()
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=NOT_SHIPPED)
        else:
            shutil.copy(ROOT / name, source)
    builder = _builder(folder)
    return _build("wheel", builder, source, folder), _build("sdist", builder, source, folder)


def _wheel_of(sdist: Path, folder: Path) -> Path:
    """What pip does with a source distribution: unpack it, and build a wheel of what was in it."""
    unpacked = folder / "unpacked"
    shutil.unpack_archive(sdist, unpacked, filter="data")
    (source,) = unpacked.iterdir()
    return _build("wheel", _builder(folder), source, unpacked)


def _build(kind: str, builder: Path, source: Path, folder: Path) -> Path:
    command = [builder, "-c", BUILD.format(kind, str(folder))]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    return folder / done.stdout.split()[-1]


def _builder(folder: Path) -> Path:
    """An interpreter with setuptools of at least the version that pyproject.toml asks for."""
    if int(importlib.metadata.version("setuptools").partition(".")[0]) >= OLDEST_SETUPTOOLS:
        return Path(sys.executable)
    python = _environment(folder / "builder", dependencies=False)
    _pip_install(python, f"setuptools>={OLDEST_SETUPTOOLS}")
    return python


def _environment(folder: Path, dependencies: bool = True) -> Path:
    """A fresh environment; returns its interpreter. It finds the packages of this process."""
    venv.create(folder, symlinks=os.name == "posix")
    (packages,) = folder.rglob("site-packages")
    ours = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    if dependencies:
        (packages / "dependencies.pth").write_text("\n".join(ours))
    return next(path for path in folder.glob("*/python*") if path.stem == "python")


def _installed(package: Path, folder: Path) -> Path:
    python = _environment(folder)
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    _pip_install(python, *offline, package)
    return python


def _pip_install(python: Path, *arguments: str | Path) -> None:
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*pip, *arguments], check=True)


def _read_only(folder: Path, mount: str = "true") -> tuple[str, ...] | None:
    """A command that runs another where nothing can be written, but to what `mount` mounts."""
    command = mounting(READ_ONLY.replace("exec", f"{mount} && exec"))
    command = command and (*command, str(folder / "probe"))
    works = command and subprocess.run([*command, "true"], capture_output=True).returncode == 0
    return command if works else None


def mounting(script: str) -> tuple[str, ...] | None:
    """A command that runs a shell script which mounts things for itself alone."""
    if shutil.which("unshare") is None:
        return None
    as_root = () if os.geteuid() == 0 else ("--map-root-user",)
    return ("unshare", "--mount", *as_root, "sh", "-c", script)


def _fresh_kernel(path: Path) -> Callable:
    """A small kernel, as in a new process."""
    spec = importlib.util.spec_from_file_location("a_small_kernel", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.twice


def damaged_caches(share: float = 1) -> Outcome:
    """26: a damaged file of compiled code is replaced without a warning."""
    draw, times = random.Random(26), max(5, round(200 * share))
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        file = Path(folder, "a_small_kernel.py")
        file.write_text(KERNEL)
        kernel = _fresh_kernel(file)
        kernel(2.0)
        path = next(Path(kernel.stats.cache_path).glob("a_small_kernel.*.nbc"))
        sound = path.read_bytes()
        right = 0
        for number in range(times):
            damaged = bytearray(sound)
            if number % 2:
                damaged[draw.randrange(len(sound))] ^= draw.randrange(1, 256)
            else:
                del damaged[draw.randrange(len(sound)) :]
            path.write_bytes(damaged)
            first, second = _fresh_kernel(file), _fresh_kernel(file)
            answers = first(2.0), second(2.0)
            missed = sum(first._cache_misses.values()), sum(second._cache_misses.values())
            right += answers == (4.0, 4.0) and missed == (1, 0)
    figure = f"{right} of {times} damaged files of compiled code were replaced"
    return Outcome(right == times and not caught, f"{figure}, {len(caught)} warnings")
