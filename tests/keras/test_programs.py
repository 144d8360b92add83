"""Programs written for Keras run with their imports changed, and give the same numbers."""

import numpy as np
import pytest

from tests.keras_programs import running
from tests.tolerances import assert_close

# Under Keras in the quick tests: one of each kind of loss and of the commonest layers.
QUICK = ("activation_layers", "regularized", "sample_weights", "softmax_and_logits")
NOT_ALIKE = running.RANDOM | running.NEEDS_MORE
DETERMINISTIC = [name for name in running.PROGRAMS if name not in NOT_ALIKE]
# Normalization over few samples magnifies rounding errors from step to step.
TOLERANCES = {"batch_normalization": "float32 steps"}


def test_there_are_enough_programs():
    assert len(running.PROGRAMS) >= 32
    assert len(DETERMINISTIC) >= len(running.PROGRAMS) / 2


@pytest.mark.parametrize("name", running.PROGRAMS)
def test_a_program_runs_with_its_imports_changed(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    results, _ = running.run(name, "minicnn", monkeypatch)
    assert results
    for result in results:
        assert all(np.isfinite(values).all() for values in result.values())


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.full)
        for name in DETERMINISTIC
    ],
)
def test_a_program_without_chance_has_the_numbers_of_keras(keras, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    ours, _ = running.run(name, "minicnn", monkeypatch)
    theirs, _ = running.run(name, "keras", monkeypatch)
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        assert list(our) == list(their)
        for key in our:
            assert_close(our[key], their[key], TOLERANCES.get(name, "float32 loss"))
