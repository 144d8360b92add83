"""Random arrays, from the session's stream or with a seed."""

from typing import Any

import numpy as np

from minicnn.keras.left_out import module_getattr
from minicnn.session import random_stream

__getattr__ = module_getattr("random")


def normal(
    shape: tuple[int, ...],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = "float32",
    seed: int | None = None,
) -> np.ndarray:
    """Normal numbers."""
    return _rng(seed).normal(mean, stddev, shape).astype(dtype or "float32")


def uniform(
    shape: tuple[int, ...],
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: Any = "float32",
    seed: int | None = None,
) -> np.ndarray:
    """Uniform numbers in [minval, maxval)."""
    return _rng(seed).uniform(minval, maxval, shape).astype(dtype or "float32")


def _rng(seed: int | None) -> np.random.Generator:
    return random_stream() if seed is None else np.random.default_rng(seed)
