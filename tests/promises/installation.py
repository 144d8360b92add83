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
from collections.abc import Callable
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


class Start(NamedTuple):
    """Output of a process."""

    status: int
    file: str
    compiled: int
    checksum: str
    warnings: list[str]


class Place(NamedTuple):
    """Where minicnn is started: an interpreter, changes to the environment, a command in front."""

    python: Path
    environment: dict[str, str | None]
    before: tuple[str, ...] = ()

    def begin(self, size: str = "few", dtype: str = "float32") -> subprocess.Popen:
        """Start a process there."""
        environment = {
            key: value
            for key, value in (os.environ | self.environment).items()
            if value is not None and (key == "PYTHONPATH" or not key.startswith("PYTHON"))
        }
        return subprocess.Popen(
            [*self.before, self.python, "-B", "-c", STEP, dtype, size],
            cwd="/",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, size: str = "few", dtype: str = "float32") -> Start:
        """Start a process there and wait for its end."""
        return result(self.begin(size, dtype))


def result(process: subprocess.Popen) -> Start:
    """Wait for the end of a process that was started."""
    out, err = process.communicate(timeout=300)
    file, compiled, checksum = out.rsplit(maxsplit=2) if process.returncode == 0 else ("", -1, "")
    return Start(process.returncode, file, int(compiled), checksum, err.splitlines())


def places(share: float = 1) -> Outcome:
    """26: wheel, source distribution, zip; no home, no write access, broken caches."""
    size = "more" if share == 1 else "few"
    with tempfile.TemporaryDirectory() as folder:
        return _Places(Path(folder), size).outcome(share)


class _Places:
    """Starts minicnn in one place after the other, and counts the results."""

    def __init__(self, folder: Path, size: str):
        self.folder, self.size = folder, size
        self.notes: list[str] = []
        self.good = self.total = self.silent = self.warned = 0
        self.checksum: str | None = None

    def outcome(self, share: float) -> Outcome:
        wheel, sdist = _built(self.folder)
        self.python = _installed(wheel, self.folder / "from wheel")
        if share == 1:
            unpacked = _wheel_of(sdist, self.folder)
            other = _installed(unpacked, self.folder / "from sdist")
            self.note("sdist", Place(other, self.cache("sdist")))
        self.in_usual_places(share)
        self.in_zips(wheel, share)
        self.at_once(2 if share < 1 else 4)
        figure = (
            f"{self.good} of {self.total} starts imported and took a training step, with equal "
            f"bits: {self.silent} without output, {self.warned} with one line of warning"
        )
        if self.notes:
            figure += f"; not so: {'; '.join(self.notes)}"
        return Outcome(self.good == self.total, figure)

    def cache(self, name: str) -> dict[str, str | None]:
        """An environment in which compiled code goes to a folder of that name."""
        return {"NUMBA_CACHE_DIR": str(self.folder / "caches" / name)}

    def in_usual_places(self, share: float) -> None:
        python, folder = self.python, self.folder
        warm = self.cache("warm")
        self.note("wheel, first start", Place(python, warm))
        self.note("second start", Place(python, warm), compiles=False)
        file = folder / "a file"
        file.touch()
        nothing = {"HOME": None, "NUMBA_CACHE_DIR": None, "XDG_CACHE_HOME": None}
        locked = _read_only(folder)
        if locked is None:
            self.notes.append("read-only places not counted: nothing can be mounted here")
        else:
            self.note("no home, nothing can be written", Place(python, nothing, locked), warns=True)
        if share < 1:
            return
        self.note("no home", Place(python, nothing))
        self.note("no home, beside the package", Place(python, nothing), compiles=False)
        unusable = Place(python, {"NUMBA_CACHE_DIR": str(file)})  # the next choice serves: as above
        self.note("the cache's folder is a file", unusable, compiles=False)
        home = {"HOME": str(folder / "home"), "NUMBA_CACHE_DIR": None, "XDG_CACHE_HOME": None}
        if locked is not None:
            writable = _read_only(folder, folder / "home")
            self.note("a read-only package", Place(python, home, writable))
            self.note("a read-only package, again", Place(python, home, writable), compiles=False)
            full = _read_only(folder, folder / "home", size="4k")
            self.note("a full disk", Place(python, home, full), warns=True)
        limit = ("sh", "-c", 'ulimit -f 0 && exec "$@"', "sh")
        self.note("nothing fits", Place(python, self.cache("limit"), limit), warns=True)
        self.after_damage("cut", lambda content: content[: len(content) // 2])
        self.after_damage("emptied", lambda content: b"")
        self.after_damage("garbage", lambda content: random.Random(26).randbytes(len(content)))

    def after_damage(self, name: str, damage: Callable[[bytes], bytes]) -> None:
        """All files of a cache are damaged: the kernels are compiled again."""
        cache = self.cache(name)
        shutil.copytree(self.cache("warm")["NUMBA_CACHE_DIR"], cache["NUMBA_CACHE_DIR"])
        for path in Path(cache["NUMBA_CACHE_DIR"]).rglob("*.nb?"):
            path.write_bytes(damage(path.read_bytes()))
        self.note(f"{name} cache", Place(self.python, cache))
        self.note(f"{name} cache, again", Place(self.python, cache), compiles=False)

    def in_zips(self, wheel: Path, share: float) -> None:
        """minicnn in a zip on the path, and in a wheel, which is a zip; with the data."""
        archive = self.folder / "minicnn.zip"
        shutil.copy(wheel, archive)
        bare = _environment(self.folder / "bare")
        for path in (archive, wheel)[: 2 if share == 1 else 1]:
            place = Place(bare, {"PYTHONPATH": str(path), "HOME": str(self.folder / "zip home")})
            self.note(path.suffix, place, warns=None, size="data")

    def at_once(self, processes: int) -> None:
        """First starts at the same time, in both precisions, then one more of each."""
        place = Place(self.python, self.cache("race"))
        kinds = ["float32", "float64"] * (processes // 2)
        found = [result(p) for p in [place.begin(self.size, dtype) for dtype in kinds]]
        found += [place.start(self.size, dtype) for dtype in ("float32", "float64")]
        for number, start in enumerate(found):
            later = number >= processes
            single = number % 2 == 0
            self.judge(f"start {number} at once", start, single, False if later else None, False)

    def note(self, name, place, compiles=True, warns=False, size=None) -> None:
        start = place.start(size or self.size)
        self.judge(name, start, size is None, compiles, warns)

    def judge(self, name, start, comparable, compiles, warns) -> None:
        """Count a start: good if it gave the same bits, and compiled and warned as expected."""
        good = start.status == 0 and str(self.folder) in start.file
        if comparable and start.status == 0:
            self.checksum = self.checksum or start.checksum
            good &= start.checksum == self.checksum
        if compiles is not None:
            good &= (start.compiled > 0) == compiles
        good &= len(start.warnings) <= 1 if warns is None else len(start.warnings) == int(warns)
        self.total += 1
        self.good += good
        self.silent += good and not start.warnings
        self.warned += good and bool(start.warnings)
        if not good:
            self.notes.append(f"{name}: {start}")


def _built(folder: Path) -> tuple[Path, Path]:
    """A wheel and a source distribution of the package."""
    source = folder / "source"
    source.mkdir()
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=NOT_SHIPPED)
        else:
            shutil.copy(ROOT / name, source)
    builder, paths = _builder(folder), []
    for kind in ("wheel", "sdist"):
        command = [builder, "-c", BUILD.format(kind, str(folder))]
        done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
        paths.append(folder / done.stdout.split()[-1])
    return paths[0], paths[1]


def _wheel_of(sdist: Path, folder: Path) -> Path:
    """What pip does with a source distribution: unpack it, and build a wheel of what was in it."""
    shutil.unpack_archive(sdist, folder / "unpacked", filter="data")
    (source,) = (folder / "unpacked").iterdir()
    command = [_builder(folder), "-c", BUILD.format("wheel", str(folder / "unpacked"))]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    return folder / "unpacked" / done.stdout.split()[-1]


def _builder(folder: Path) -> Path:
    """An interpreter with setuptools of at least the version that pyproject.toml asks for."""
    if int(importlib.metadata.version("setuptools").partition(".")[0]) >= OLDEST_SETUPTOOLS:
        return Path(sys.executable)
    python = _environment(folder / "builder", dependencies=False)
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*pip, f"setuptools>={OLDEST_SETUPTOOLS}"], check=True)
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
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, *offline, package], check=True)
    return python


def _read_only(folder: Path, but: Path | None = None, size="64m") -> tuple[str, ...] | None:
    """A command that runs another where nothing can be written, or only to an empty folder."""
    if shutil.which("unshare") is None:
        return None
    as_root = () if os.geteuid() == 0 else ("--map-root-user",)
    script = READ_ONLY
    if but is not None:  # the folder stays after the process, unless it is small
        but.mkdir(exist_ok=True)
        small = f"mount -t tmpfs -o size={size} none '{but}'"
        stays = f"mount --bind '{but}' '{but}' && mount -o remount,bind,rw '{but}'"
        script = READ_ONLY.replace("exec", f"{stays if size == '64m' else small} && exec")
    command = ("unshare", "--mount", *as_root, "sh", "-c", script, str(folder / "probe"))
    works = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    return command if works else None


def _fresh_kernel(path: Path) -> Callable:
    """A small kernel, as in a new process."""
    spec = importlib.util.spec_from_file_location("a_small_kernel", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.twice


def damaged_caches(share: float = 1) -> Outcome:
    """26: a damaged file of compiled code is replaced without a warning."""
    draw = random.Random(26)
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        kernel = Path(folder, "a_small_kernel.py")
        kernel.write_text(KERNEL)
        first = _fresh_kernel(kernel)
        first(2.0)
        path = next(Path(first.stats.cache_path).glob("a_small_kernel.*.nbc"))
        sound = path.read_bytes()
        times = max(5, round(200 * share))
        right = 0
        for number in range(times):
            damaged = bytearray(sound)
            if number % 2:
                damaged[draw.randrange(len(sound))] ^= draw.randrange(1, 256)
            else:
                del damaged[draw.randrange(len(sound)) :]
            path.write_bytes(damaged)
            first, second = _fresh_kernel(kernel), _fresh_kernel(kernel)
            answers = first(2.0), second(2.0)
            missed = sum(first._cache_misses.values()), sum(second._cache_misses.values())
            right += answers == (4.0, 4.0) and missed == (1, 0)
    figure = (
        f"{right} of {times} damaged files of compiled code were replaced, {len(caught)} warnings"
    )
    return Outcome(right == times and not caught, figure)
