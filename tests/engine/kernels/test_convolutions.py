"""Convolutions: `direct` against plain loops, and every other algorithm against `direct`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.engine.algorithms import ALGORITHMS, gradients, prepare, why_not
from tests.reference import Case, cases, conv_gradient_loops, conv_loops, quick, random_array
from tests.tolerances import assert_close

FLOATS = [np.float32, np.float64]
floats = pytest.mark.parametrize("dtype", FLOATS, ids=["float32", "float64"])
algorithms = pytest.mark.parametrize("name", ALGORITHMS)

# Winograd's transforms round, even if all operands are integers.
EXACT = [name for name in ALGORITHMS if name != "winograd"]

# Some geometries are drawn so that Winograd can serve them.
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


def convolve(name, case, arrays):
    """All three functions of a convolution: y, dx, dkernel."""
    x, kernel, bias, dy = arrays
    module, g, prepared = ALGORITHMS[name], case.geometry, prepare(name, kernel)
    return (
        module.forward(x, prepared, bias, g),
        module.grad_input(dy, prepared, g),
        module.grad_kernel(x, dy, g),
    )


def accuracy(name, dtype):
    """The tolerances for outputs and for gradients."""
    if dtype == np.float64:
        return "float64", "float64"
    return ("float32 winograd",) * 2 if name == "winograd" else ("float32", "float32 gradient")


@floats
@quick
@given(case=cases())
def test_direct_equals_loops(dtype, case):
    x, kernel, bias, dy = arrays = operands(case, dtype)
    y, dx, dkernel = convolve("direct", case, arrays)
    # The loops run in double precision, so that their rounding errors do not matter.
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
    if why_not(name, case.geometry):
        return
    arrays = operands(case, dtype)
    # In double precision: errors of `direct` must not count as errors of the other algorithm.
    expected = convolve("direct", case, [a.astype(np.float64) for a in arrays])
    output, gradient = accuracy(name, dtype)
    actual = convolve(name, case, arrays)
    for array, right, row in zip(actual, expected, (output, gradient, gradient), strict=True):
        assert_close(array, right, row)
        assert array.dtype == dtype
        assert array.flags.c_contiguous
    x, kernel, _, dy = arrays
    both = gradients(name, x, dy, prepare(name, kernel), case.geometry)
    for array, right in zip(both, expected[1:], strict=True):
        assert_close(array, right, gradient)


@pytest.mark.parametrize("name", EXACT)
@floats
@quick
@given(case=geometries)
def test_convolutions_of_integers_are_exact(name, dtype, case):
    if why_not(name, case.geometry):
        return
    x, kernel, bias, dy = arrays = operands(case, dtype, whole=True)
    y, dx, dkernel = convolve(name, case, arrays)
    np.testing.assert_array_equal(y, conv_loops(x, kernel, bias, case))
    expected_dx, expected_dkernel = conv_gradient_loops(x, kernel, dy, case)
    np.testing.assert_array_equal(dx, expected_dx)
    np.testing.assert_array_equal(dkernel, expected_dkernel)


@algorithms
@quick
@given(case=geometries)
def test_forward_and_both_gradients_are_one_bilinear_form(name, case):
    """<forward(x), dy> = <x, grad_input(dy)> = <kernel, grad_kernel(x, dy)>, without a bias."""
    if why_not(name, case.geometry):
        return
    x, kernel, bias, dy = operands(case, np.float64)
    y, dx, dkernel = convolve(name, case, (x, kernel, bias * 0, dy))
    # Sums of terms that cancel: their errors are relative to the size of the terms.
    scale = np.linalg.norm(y) * np.linalg.norm(dy) + 1
    products = np.array([(y * dy).sum(), (x * dx).sum(), (kernel * dkernel).sum()]) / scale
    assert_close(1 + products, np.full(3, 1 + products[0]), "float64")


@algorithms
@quick
@given(case=geometries)
def test_convolution_is_linear_in_each_factor(name, case):
    if why_not(name, case.geometry):
        return
    x, kernel, bias, _ = operands(case, np.float64)
    other_x, other_kernel = 1 + x[:, ::-1].copy(), 1 + kernel[..., ::-1].copy()

    def forward(x, kernel):
        return ALGORITHMS[name].forward(x, prepare(name, kernel), bias, case.geometry)

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
def test_convolutions_do_not_change_their_inputs(name, dtype):
    for case in (Case(3, 9, 7, 2, 4, 5, 5, 1, 1, "same"), Case(2, 9, 7, 2, 3, 3, 2, 2, 1, "valid")):
        if why_not(name, case.geometry):
            continue
        arrays = operands(case, dtype)
        before = [array.copy() for array in arrays]
        results = convolve(name, case, arrays)
        assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))
        assert not any(np.shares_memory(a, r) for a in arrays for r in results)


@algorithms
def test_images_do_not_affect_each_other(name):
    """Each image of a batch gives what it gives alone, even if another one is NaN."""
    case = Case(3, 9, 8, 2, 4, 3, 3, 1, 1, "same")
    if why_not(name, case.geometry):
        pytest.skip(f"{name} does not serve this geometry")
    x, kernel, bias, dy = operands(case, np.float32)
    x[1], dy[1] = np.nan, np.nan
    y, dx, _ = convolve(name, case, (x, kernel, bias, dy))
    assert np.isnan(y[1]).all()
    assert np.isnan(dx[1]).all()
    for i in (0, 2):
        alone = (x[i : i + 1].copy(), kernel, bias, dy[i : i + 1].copy())
        y_alone, dx_alone, _ = convolve(name, case._replace(n=1), alone)
        assert_close(y[i : i + 1], y_alone, "float32")
        assert_close(dx[i : i + 1], dx_alone, "float32")


@floats
@pytest.mark.parametrize("side", [3, 5])
def test_winograd_gives_exactly_the_bias_where_a_window_is_blank(rng, dtype, side):
    """Windows of zeros in tiles with other pixels: `put_bias_on_blanks`."""
    case = Case(2, 14, 14, 8, 8, side, side, 1, 1, "same")
    x, kernel, _, _ = operands(case, dtype)
    x[:, :6], bias = 0, np.zeros(8, dtype)
    y = ALGORITHMS["winograd"].forward(x, prepare("winograd", kernel), bias, case.geometry)
    blank = 6 - side // 2
    assert (y[:, :blank] == 0).all()
    assert (y[:, blank:] != 0).all()
