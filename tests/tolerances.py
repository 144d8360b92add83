"""The only tolerances in the tests: those of the ledger, and some more, each with its reason."""

import numpy as np

from minicnn.checking.ledger import TOLERANCES as LEDGER


def _outputs(row):
    """The ledger's tolerance for outputs."""
    output, _, _ = LEDGER[row]
    return output, output


def _gradients(row):
    """The ledger's tolerance for gradients, and that for outputs as a share of the largest one."""
    output, gradient, _ = LEDGER[row]
    return gradient, output


# name: (relative, absolute in units of the largest expected magnitude)
TOLERANCES = {
    "float64": _outputs("float64"),
    "float32": _outputs("float32"),
    # Gradients are sums over the whole batch and image: longer, so one more digit is lost.
    "float32 gradient": _gradients("float32"),
    "float32 winograd": _gradients("float32 winograd"),
    # Adam's steps differ by about 1e-5, as Keras rounds the betas.
    "optimizer": (LEDGER["optimizer"][0], 1e-6),
    # Five steps in double precision: the rounding errors of one step are carried to the next.
    "steps": (1e-8, 1e-8),
    # Five steps in single precision. Adam divides a gradient by its own size, so rounding errors
    # of small gradients become as large as the steps of large ones.
    "float32 steps": (1e-3, 1e-4),
    # A thousand steps, each rounded; and the betas, rounded by Keras to single precision.
    "float32 trajectory": (1e-4, 1e-4),
    # log and exp of single precision are accurate to some units in the last place; near 1 the
    # logarithm of a probability in single precision has an absolute error of about 1e-7.
    "float32 loss": (1e-5, 1e-6),
    # Central differences with h = 1e-6 in double precision: h**2 and 1e-16 / h.
    "numerical": (1e-6, 1e-7),
    # The page of the explorer adds up in double precision and rounds once; the core, to which it is
    # compared, rounds at every addition of a sum in single precision.
    "explorer": (1e-5, 1e-5),
}


def assert_close(actual, expected, tolerance):
    """Compare element by element, shapes included; `tolerance` names a row of the table."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    relative, absolute = TOLERANCES[tolerance]
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=0) or 1
    np.testing.assert_allclose(actual, expected, rtol=relative, atol=absolute * scale)
