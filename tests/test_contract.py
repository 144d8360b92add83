"""Promise 27: the common battery; a new layer, optimizer or loss gets a row in its tables."""

import pytest

from benchmarks.promises import contract

CELLS = [pytest.param(check, keras, id=name) for name, check, keras in contract.cells()]


@pytest.mark.parametrize(("check", "needs_keras"), CELLS)
def test_promise_27(check, needs_keras, request):
    if needs_keras:
        request.getfixturevalue("keras")
    assert check() == ""


def test_everything_public_has_a_row(monkeypatch):
    assert contract.without_row() == []
    monkeypatch.delitem(contract.LAYERS, "Softmax")
    assert contract.without_row() == ["Softmax"]
