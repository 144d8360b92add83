"""The kernel of Adam against its formula in double precision."""

import numpy as np
import pytest

from minicnn.engine.kernels import adam
from tests.reference import random_array
from tests.tolerances import assert_close


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_item_8_one_step_equals_the_formula(dtype):
    rng = np.random.default_rng(8)
    weight, gradient, m = (random_array(rng, 1000, dtype) for _ in range(3))
    gradient *= 10.0 ** rng.integers(-8, 4, 1000)
    v = random_array(rng, 1000, dtype) ** 2
    expected = [a.astype(np.float64) for a in (weight, gradient, m, v)]
    w64, g64, m64, v64 = expected
    m64 += (g64 - m64) * (1 - 0.9)
    v64 += (g64 * g64 - v64) * (1 - 0.999)
    w64 -= m64 * 0.003 / (np.sqrt(v64) + 1e-7)
    before = gradient.copy()
    adam.adam(weight, gradient, m, v, *(dtype(a) for a in (0.003, 1 - 0.9, 1 - 0.999, 1e-7, 1e-38)))
    np.testing.assert_array_equal(gradient, before)
    for actual, right in zip((weight, m, v), (w64, m64, v64), strict=True):
        assert_close(actual, right, "float64" if dtype == np.float64 else "optimizer")
        assert actual.dtype == dtype
