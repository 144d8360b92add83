"""Promise 27: the battery of checks that every layer, optimizer and loss has to pass."""

import numpy as np
import pytest

from minicnn.layers import KernelLayer
from tests.promises import contract

CELLS = [pytest.param(check, keras, id=name) for name, check, keras in contract.cells()]


@pytest.mark.parametrize(("check", "needs_keras"), CELLS)
def test_promise_27(check, needs_keras, request):
    if needs_keras:
        request.getfixturevalue("keras")
    check()


def test_everything_public_has_a_row(monkeypatch):
    assert contract.without_row() == []
    monkeypatch.delitem(contract.LAYERS, "Softmax")
    assert contract.without_row() == ["Softmax"]


def test_a_layer_with_a_kernel_has_to_define_its_shape():
    class Forgetful(KernelLayer):
        def output_shape(self, input_shape):
            return input_shape

    layer = Forgetful(None, True, "glorot_uniform", "zeros", None, None)
    with pytest.raises(NotImplementedError):
        layer.build((3,), np.random.default_rng(0))
