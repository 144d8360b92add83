"""The checks of the folder above, for the notebooks of this one: they look beside themselves."""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parents[1] / "checks")]
