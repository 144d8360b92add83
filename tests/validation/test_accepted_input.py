"""Promises about input: valid input in any form gives the same results, and is not changed."""

import pytest

from tests.promises import inputs, nans


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
