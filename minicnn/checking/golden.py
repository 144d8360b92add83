"""Keras' answers to the ledger's cases, stored in a file for where there is no TensorFlow.

    python -m minicnn.checking.golden        computes them anew, with TensorFlow

Whole numbers are stored as bytes or short integers, which loses nothing.
"""

import io
import json
from importlib import resources
from typing import Any

import numpy as np

from minicnn.checking import cases
from minicnn.checking.case_types import Answer
from minicnn.checking.environment import versions

FILE = resources.files(__package__).joinpath("golden.npz")  # perhaps in a zip


class Golden:
    """The answers in the file, and the `versions` that made them."""

    def __init__(self):
        with np.load(io.BytesIO(FILE.read_bytes()), allow_pickle=False) as file:
            self._arrays = dict(file)
        self.versions: dict[str, str] = json.loads(str(self._arrays.pop("versions")))

    def answer(self, case: Any) -> Answer:
        """Keras' answer to a case; if it is not in the file, that has to be computed anew."""
        prefix = f"{case.key}/"
        found = {
            name.removeprefix(prefix): array.astype(case.dtype)
            for name, array in self._arrays.items()
            if name.startswith(prefix)
        }
        if not found:
            raise KeyError(
                f"no golden answer for {case.key}; make them with: "
                "python -m minicnn.checking.golden"
            )
        return found


def write() -> None:
    """Ask Keras for all answers, and write them."""
    arrays = {"versions": np.array(json.dumps(versions()))}
    for case in {case.key: case for case in cases.quick_cases()}.values():
        for name, array in case.theirs().items():
            arrays[f"{case.key}/{name}"] = _compact(array)
    np.savez_compressed(FILE, **arrays)


def _compact(array: np.ndarray) -> np.ndarray:
    for small in (np.int8, np.int16):
        if (np.abs(array) <= np.iinfo(small).max).all() and (array == np.floor(array)).all():
            return array.astype(small)
    return array


if __name__ == "__main__":
    write()
    print(f"{FILE.name}: {FILE.stat().st_size / 1e6:.2f} MB")
