"""What a result was computed with: processor, cores and versions."""

import contextlib
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from minicnn.engine import available_cores

PACKAGES = ("minicnn", "numpy", "numba", "scipy", "tensorflow", "tensorflow_cpu", "keras")


def machine() -> str:
    """The processor, and how many of its cores this process may use."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search("model name.*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    processor = found[1].strip() if found else platform.processor() or platform.machine()
    return f"{processor}, {available_cores()} cores"


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """The versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def in_words(found: dict[str, str]) -> str:
    """Versions in one line: `python 3.12.1, numpy 2.4.0, ...`."""
    return ", ".join(f"{name} {number}" for name, number in found.items())
