"""The kernels: `direct` against loops, every other convolution against `direct`, pooling, Adam."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import (
    Case,
    cases,
    conv_gradient_loops,
    conv_loops,
    pool_gradient_loops,
    pool_loops,
    quick,
    random_array,
)
from tolerances import assert_close

from minicnn.kernels import direct, pooling, tiles, updates
from minicnn.layers import CONVOLUTIONS

FLOATS = [np.float32, np.float64]
floats = pytest.mark.parametrize("dtype", FLOATS, ids=["float32", "float64"])
algorithms = pytest.mark.parametrize("name", CONVOLUTIONS)

# Winograd's transforms divide by small numbers, so that whole numbers come out rounded.
EXACT = [name for name in CONVOLUTIONS if name != "winograd"]

# One geometry in a few is drawn for windows that an algorithm with few geometries can serve.
geometries = st.one_of(cases(), cases().map(lambda case: _unit_stride(case)))


def _unit_stride(case):
    side = 3 if case.kh % 2 else 5
    h, w = max(case.h, side), max(case.w, side)
    return case._replace(h=h, w=w, kh=side, kw=side, sh=1, sw=1)


def operands(case, dtype, whole=False):
    """x, kernel, bias, dy of a convolution."""
    rng = np.random.default_rng(list(case[:-1]))
    shapes = case.x_shape, case.kernel_shape, (case.f,), (case.n, *case.output_size, case.f)
    return [random_array(rng, shape, dtype, whole) for shape in shapes]


def convolve(module, case, arrays):
    """All three functions of a convolution: y, dx, dkernel."""
    x, kernel, bias, dy = arrays
    g, prepared = case.geometry, module.prepare(kernel)
    return (
        module.forward(x, prepared, bias, g),
        module.grad_input(dy, prepared, g),
        module.grad_kernel(x, dy, g),
    )


def accuracy(name, dtype):
    """Rows of the table for outputs and for gradients."""
    if dtype == np.float64:
        return "float64", "float64"
    return ("float32 winograd",) * 2 if name == "winograd" else ("float32", "float32 gradient")


@floats
@quick
@given(case=cases())
def test_direct_equals_loops(dtype, case):
    x, kernel, bias, dy = arrays = operands(case, dtype)
    y, dx, dkernel = convolve(direct, case, arrays)
    # The loops run in double precision: they are what is right, not merely another rounding.
    x, kernel, bias, dy = (array.astype(np.float64) for array in arrays)
    output, gradient = accuracy("direct", dtype)
    assert_close(y, conv_loops(x, kernel, bias, case), output)
    expected_dx, expected_dkernel = conv_gradient_loops(x, kernel, dy, case)
    assert_close(dx, expected_dx, gradient)
    assert_close(dkernel, expected_dkernel, gradient)
    assert {a.dtype for a in (y, dx, dkernel)} == {np.dtype(dtype)}


@algorithms
@floats
@quick
@given(case=geometries)
def test_every_convolution_equals_direct(name, dtype, case):
    if CONVOLUTIONS[name].why_not(case.geometry) is not None:
        return
    arrays = operands(case, dtype)
    # In double precision, or errors of `direct` would count as errors of its rival.
    expected = convolve(direct, case, [a.astype(np.float64) for a in arrays])
    output, gradient = accuracy(name, dtype)
    actual = convolve(CONVOLUTIONS[name], case, arrays)
    for array, right, row in zip(actual, expected, (output, gradient, gradient), strict=True):
        assert_close(array, right, row)
        assert array.dtype == dtype
        assert array.flags.c_contiguous


@pytest.mark.parametrize("name", EXACT)
@floats
@quick
@given(case=geometries)
def test_whole_numbers_are_convolved_exactly(name, dtype, case):
    if CONVOLUTIONS[name].why_not(case.geometry) is not None:
        return
    x, kernel, bias, dy = arrays = operands(case, dtype, whole=True)
    y, dx, dkernel = convolve(CONVOLUTIONS[name], case, arrays)
    np.testing.assert_array_equal(y, conv_loops(x, kernel, bias, case))
    expected_dx, expected_dkernel = conv_gradient_loops(x, kernel, dy, case)
    np.testing.assert_array_equal(dx, expected_dx)
    np.testing.assert_array_equal(dkernel, expected_dkernel)


def products(x, y, out, total, zero_and_one):
    tiles.matmul(x[:, 2:5], y[1:4, 3:9], out[:, 1:7], zero_and_one)
    tiles.add_matmul_of_transposed(x[:, 2:5], out[:, 1:7], total[1:, :6], zero_and_one)


@floats
def test_products_of_parts_of_matrices_are_those_of_plain_python(rng, dtype):
    shapes = (5, 7), (4, 9), (5, 8), (4, 7)
    x, y, *expected = (rng.integers(-9, 9, shape).astype(dtype) for shape in shapes)
    ours = [array.copy() for array in expected]
    numbers = np.array([0, 1], dtype)
    products(x, y, *expected, numbers)
    numba.njit(products)(x, y, *ours, numbers)
    for array, by_python in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(array, by_python)


@algorithms
@quick
@given(case=geometries)
def test_forward_and_both_gradients_are_one_bilinear_form(name, case):
    """<forward(x), dy> = <x, grad_input(dy)> = <kernel, grad_kernel(x, dy)>, without a bias."""
    if CONVOLUTIONS[name].why_not(case.geometry) is not None:
        return
    x, kernel, bias, dy = operands(case, np.float64)
    y, dx, dkernel = convolve(CONVOLUTIONS[name], case, (x, kernel, bias * 0, dy))
    # Sums that cancel have no digits of their own: what counts is the size of the terms.
    scale = np.linalg.norm(y) * np.linalg.norm(dy) + 1
    products = np.array([(y * dy).sum(), (x * dx).sum(), (kernel * dkernel).sum()]) / scale
    assert_close(1 + products, np.full(3, 1 + products[0]), "float64")


@algorithms
@quick
@given(case=geometries)
def test_convolution_is_linear_in_each_factor(name, case):
    module = CONVOLUTIONS[name]
    if module.why_not(case.geometry) is not None:
        return
    x, kernel, bias, _ = operands(case, np.float64)
    other_x, other_kernel = 1 + x[:, ::-1].copy(), 1 + kernel[..., ::-1].copy()

    def forward(x, kernel):
        return module.forward(x, module.prepare(kernel), bias, case.geometry)

    at_zero = np.broadcast_to(bias, forward(x, kernel).shape)
    np.testing.assert_array_equal(forward(x * 0, kernel), at_zero)
    assert_close(
        forward(2 * x - other_x, kernel),
        2 * forward(x, kernel) - forward(other_x, kernel),
        "float64",
    )
    assert_close(
        forward(x, 2 * kernel - other_kernel),
        2 * forward(x, kernel) - forward(x, other_kernel),
        "float64",
    )


@algorithms
@floats
def test_convolutions_leave_their_inputs_alone(name, dtype):
    for case in (Case(3, 9, 7, 2, 4, 5, 5, 1, 1, "same"), Case(2, 9, 7, 2, 3, 3, 2, 2, 1, "valid")):
        if CONVOLUTIONS[name].why_not(case.geometry) is not None:
            continue
        arrays = operands(case, dtype)
        before = [array.copy() for array in arrays]
        results = convolve(CONVOLUTIONS[name], case, arrays)
        assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))
        assert not any(np.shares_memory(a, r) for a in arrays for r in results)


@algorithms
def test_images_do_not_mix(name):
    """Each image of a batch gives what it gives alone, even if the one beside it is all NaN."""
    case = Case(3, 9, 8, 2, 4, 3, 3, 1, 1, "same")
    if CONVOLUTIONS[name].why_not(case.geometry) is not None:
        pytest.skip(f"{name} does not serve this geometry")
    x, kernel, bias, dy = operands(case, np.float32)
    x[1], dy[1] = np.nan, np.nan
    y, dx, _ = convolve(CONVOLUTIONS[name], case, (x, kernel, bias, dy))
    assert np.isnan(y[1]).all()
    assert np.isnan(dx[1]).all()
    for i in (0, 2):
        alone = (x[i : i + 1].copy(), kernel, bias, dy[i : i + 1].copy())
        y_alone, dx_alone, _ = convolve(CONVOLUTIONS[name], case._replace(n=1), alone)
        assert_close(y[i : i + 1], y_alone, "float32")
        assert_close(dx[i : i + 1], dx_alone, "float32")


def pool(x, case, winner_type=np.uint8):
    winner = np.full((case.n, *case.output_size, case.c), 77, winner_type)
    return pooling.forward(x, case.geometry, winner, -np.inf), winner


# What the values of images are drawn from: ordinary numbers; few, so that ties are the rule;
# the numbers around which comparisons go wrong.
VALUES = {
    "normal": None,
    "ties": [0.0, 0.0, 1.0],
    "special": [-np.inf, -np.inf, 0.0, np.nan, np.inf],
    "minus infinity": [-np.inf],
    "nan": [np.nan],
}


@pytest.mark.parametrize("values", VALUES)
@floats
@quick
@given(case=cases(images=2, longest=8))
def test_items_3_and_5_pooling_equals_loops(values, dtype, case):
    """Also item 5: of equals the first wins; overlapping windows, padding, NaN and infinity."""
    rng = np.random.default_rng(list(case[:-1]))
    x = random_array(rng, case.x_shape, dtype)
    if VALUES[values] is not None:
        x = rng.choice(np.array(VALUES[values], dtype), case.x_shape)
    before = x.copy()
    y, winner = pool(x, case)
    expected_y, expected_winner = pool_loops(x, case)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(winner, expected_winner)
    np.testing.assert_array_equal(x, before)

    dy = random_array(rng, y.shape, dtype, whole=True)  # overlapping windows add up, exactly
    before = dy.copy(), winner.copy()
    dx = pooling.grad_input(dy, winner, case.geometry)
    np.testing.assert_array_equal(dx, pool_gradient_loops(dy, expected_winner, case))
    np.testing.assert_array_equal(dy, before[0])
    np.testing.assert_array_equal(winner, before[1])
    assert y.dtype == dx.dtype == dtype


@floats
def test_windows_of_over_256_cells_know_their_winner(dtype):
    case = Case(2, 20, 21, 2, 1, 17, 18, 2, 3, "valid")
    x = np.random.default_rng(3).permutation(2 * 20 * 21 * 2).reshape(case.x_shape).astype(dtype)
    y, winner = pool(x, case, np.uint16)
    expected_y, expected_winner = pool_loops(x, case)
    assert expected_winner.max() > 255
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(winner, expected_winner)
    dy = np.ones_like(y)
    dx = pooling.grad_input(dy, winner, case.geometry)
    np.testing.assert_array_equal(dx, pool_gradient_loops(dy, expected_winner, case))


@floats
def test_item_8_adam_kernel_equals_its_formula(dtype):
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
    updates.adam(weight, gradient, m, v, *(dtype(a) for a in (0.003, 0.9, 0.999, 1e-7, 1e-38)))
    np.testing.assert_array_equal(gradient, before)
    for actual, right in zip((weight, m, v), (w64, m64, v64), strict=True):
        assert_close(actual, right, "float64" if dtype == np.float64 else "optimizer")
        assert actual.dtype == dtype
