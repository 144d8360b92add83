"""Promises about input: valid input in any form gives the same results, and is not changed."""

import pytest

from tests.promises import inputs, nans
from tests.promises.small_network import X, Y, new_model
from tests.tolerances import assert_close


@pytest.mark.parametrize(
    "check",
    [
        inputs.ties_of_pooling,
        inputs.stable_cross_entropy,
        inputs.loss_per_sample,
        inputs.batch_independence,
        inputs.nothing_is_touched,
        inputs.valid_input,
        inputs.invalid_input,
        inputs.no_samples,
        nans.nothing_is_hidden,
    ],
    ids=lambda check: check.__name__,
)
def test_promises_about_input_are_kept(check):
    outcome = check(0.01)
    assert outcome.kept, outcome.figure


def test_a_batch_of_one():
    one, all_of_them = new_model().predict(X[2:3], verbose=0), new_model().predict(X, verbose=0)
    assert one.shape == (1, 3)
    assert_close(one, all_of_them[2:3], "float32")
    model = new_model()
    before = model.get_weights()
    model.fit(X[:1], Y[:1], verbose=0)
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
