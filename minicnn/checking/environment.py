"""What a result was computed with: processor, cores and versions."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from minicnn.engine import available_cores

PACKAGES = ("minicnn", "numpy", "numba", "scipy", "tensorflow", "tensorflow_cpu", "keras")


def machine() -> str:
    """The processor, and how many of its cores this process may use."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        processor = models[0].split(":")[1].strip() if models else processor
    return f"{processor}, {available_cores()} cores"


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """The versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def in_words(found: dict[str, str]) -> str:
    """Versions in one line: `python 3.12.1, numpy 2.4.0, ...`."""
    return ", ".join(f"{name} {number}" for name, number in found.items())
