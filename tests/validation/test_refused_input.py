"""Promise 13: invalid input raises a clear error before anything changes."""

import numpy as np
import pytest

from minicnn.layers import Layer
from tests.promises import refusals
from tests.promises.small_network import X, Y, new_model


@pytest.fixture(scope="module")
def model():
    model = new_model()
    model.fit(X, Y, verbose=0)  # so that the optimizer has a state
    return model


def test_promise_13_at_least_three_hundred_cases_are_refused():
    assert len(refusals.rows()) > 300


@pytest.mark.parametrize("who", refusals.REFUSED)
def test_promise_13_invalid_input_is_refused_and_nothing_changes(who, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if who.endswith(".npz"):
        refusals.write_files(tmp_path)
    for what, call in refusals.REFUSED[who].items():
        assert refusals.fault(model, who, call) is None, f"{who}: {what}"


@pytest.mark.parametrize(
    "call",
    [
        lambda m: None,
        lambda m: m.layers[0].params["bias"].fill(1),
        lambda m: [1][2],
        lambda m: np.zeros(3).reshape(2),
        lambda m: int("three"),
    ],
)
def test_promise_13_other_outcomes_than_a_clear_error_are_noticed(call):
    assert refusals.fault(new_model(), "anyone", call) is not None


@pytest.mark.parametrize(
    "call", [lambda layer: layer.forward(X), lambda layer: layer.backward(X, X)]
)
def test_the_base_layer_has_no_passes(call):
    with pytest.raises(NotImplementedError):
        call(Layer())
