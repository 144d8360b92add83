"""The only tolerances in the tests, each with its reason."""

import numpy as np

# name: (relative, absolute in units of the largest expected magnitude)
TOLERANCES = {
    # The same formula in double precision; only the order of sums differs.
    "float64": (1e-10, 1e-10),
    # Sums of up to some thousand products in single precision, in another order.
    "float32": (1e-5, 1e-5),
    # Gradients are sums over the whole batch and image: longer, so one more digit is lost.
    "float32 gradient": (1e-4, 1e-5),
    # Winograd's transforms multiply and divide by up to some dozen, which costs another digit.
    "float32 winograd": (1e-4, 5e-5),
    # Central differences with h = 1e-6 in double precision: h**2 and 1e-16 / h.
    "numerical": (1e-6, 1e-7),
    # Five steps in double precision, from the rounding errors of one to those of the next.
    "steps": (1e-8, 1e-8),
    # Five steps in single precision. Adam divides a gradient by its own size, so rounding errors
    # of small gradients come out as large as the steps of large ones.
    "float32 steps": (1e-3, 1e-4),
    # log and exp of single precision are right to some units in the last place; near 1 the
    # logarithm of a probability in single precision has an absolute error of 1e-7 and no more.
    "float32 loss": (1e-5, 1e-6),
    # A thousand steps, each rounded; and the betas, rounded by Keras to single precision.
    "float32 trajectory": (1e-4, 1e-4),
    # Keras rounds the betas to float32, which shifts Adam's steps by about 1e-5.
    "optimizer": (1e-4, 1e-6),
}


def assert_close(actual, expected, tolerance):
    """Element by element, same shape; `tolerance` names a row of the table."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    relative, absolute = TOLERANCES[tolerance]
    scale = np.abs(expected).max(initial=0) or 1
    np.testing.assert_allclose(actual, expected, rtol=relative, atol=absolute * scale)
