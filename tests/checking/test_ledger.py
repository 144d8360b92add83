"""The ledger: layers agree with Keras, live and stored; mismatches are noticed."""

import dataclasses

import numpy as np
import pytest

from minicnn import optimizers
from minicnn.checking import cases, environment, golden, ledger
from minicnn.checking.case_types import LayerCase, Numbers, TrainingCase
from minicnn.checking.lockstep import lockstep
from minicnn.cli.verify import tutorial_lockstep
from minicnn.session import snake_case

QUICK_COUNTS = {"Conv2D": 40, "MaxPooling2D": 30, "Dense": 15}


@pytest.fixture(scope="module")
def stored():
    return golden.Golden()


def test_every_quick_case_agrees_with_golden_answers(stored):
    rows = list(ledger.quick(stored.answer))
    assert len(rows) == len(cases.quick_cases()) > 80
    assert [row.line() for row in rows if not row.ok] == []


def test_every_quick_case_agrees_with_live_keras_and_golden_answers_are_up_to_date(keras, stored):
    for case in {case.key: case for case in cases.quick_cases()}.values():
        live, golden_answer = case.theirs(), stored.answer(case)
        assert ledger.compare(case, live).ok, case
        assert ledger.compare(case, live, golden_answer).ok, case
        assert list(live) == list(golden_answer)


def test_golden_answers_are_small_and_name_the_versions_that_made_them(stored):
    assert golden.FILE.stat().st_size <= 1_000_000
    assert {"keras", "numpy", "numba", "python", "minicnn"} <= set(stored.versions)
    keys = {case.key for case in cases.quick_cases()}
    assert {name.rsplit("/", 1)[0] for name in stored._arrays} == keys


def test_the_error_for_a_missing_case_says_how_to_add_it(stored):
    with pytest.raises(KeyError, match=r"python -m minicnn\.checking\.golden"):
        stored.answer(LayerCase("Dense", {"units": 3}, (1, 2), "float32"))


@pytest.mark.parametrize(
    "counts", [QUICK_COUNTS, pytest.param(ledger.FULL, marks=pytest.mark.full)], ids=["few", "full"]
)
def test_random_geometries_agree_with_keras(keras, counts):
    rows = list(ledger.full(counts=counts))
    assert [row.line() for row in rows if not row.ok] == []
    for kind, count in counts.items():
        double = [r for r in rows if (r.layer, r.dtype) == (snake_case(kind), "float64")]
        # Direct convolution serves every geometry.
        served = [r for r in double if kind != "Conv2D" or r.configuration.endswith("direct")]
        assert sum(row.cases for row in served) == count
    assert {name for row in rows for name in row.differences} == set(ledger.COLUMNS)


@pytest.mark.parametrize("quantity", ["output", "dx", "dkernel", "dbias"])
def test_the_ledger_notices_one_wrong_element(stored, quantity):
    for dtype in cases.FLOATS:
        case = LayerCase("Dense", {"units": 10}, (20, 64), dtype)
        answer = {name: array.copy() for name, array in stored.answer(case).items()}
        answer[quantity].flat[3] += np.abs(answer[quantity]).max() * 2e-4
        row = ledger.compare(case, answer)
        assert not row.ok
        assert "MISMATCH" in row.line()
        assert row.differences[quantity] == pytest.approx(2e-4, rel=0.05)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: answer | {"dx": answer["dx"][:1]},
        lambda answer: {name: array for name, array in answer.items() if name != "dbias"},
        lambda answer: answer | {"dx": answer["dx"] * np.nan},
    ],
    ids=["shape", "missing", "nan"],
)
def test_the_ledger_notices_shapes_nan_and_missing_arrays(stored, spoil):
    case = LayerCase("Dense", {"units": 10}, (20, 64), "float64")
    assert not ledger.compare(case, stored.answer(case), spoil(case.ours())).ok


def test_errors_larger_than_twice_those_of_tensorflow_are_not_ok():
    row = ledger.Row("conv2d", "", "float32", {"output": 1e-6}, "float32", 5, 0, 2.1)
    assert not row.ok
    assert "TOO INEXACT" in row.line()
    assert row._replace(error_ratio=1.9).ok
    assert row._replace(error_ratio=3.9, tolerance="float32 winograd").ok
    assert not row._replace(error_ratio=4.1, tolerance="float32 winograd").ok


def test_numbers_never_change():
    """Golden answers belong to these inputs; NumPy guarantees only its raw bits."""
    numbers = Numbers(1)
    assert numbers.whole((4,)).tolist() == [-1.0, 2.0, 1.0, 2.0]
    assert numbers.real((2,)).tolist() == [-0.7526743412017822, -0.30669426918029785]
    assert numbers.labels(4, 10).tolist() == [8, 0, 4, 4]


def test_numbers_are_exact_in_single_precision():
    values = Numbers(2).real((1000,))
    np.testing.assert_array_equal(values.astype("float32"), values)
    assert values.min() < -1.9
    assert values.max() > 1.9


def test_lockstep_in_double_precision_and_in_single(keras):
    """Losses differ by rounding in single precision only."""
    double, single = tutorial_lockstep("float64", steps=12), tutorial_lockstep("float32", steps=12)
    assert double.first_apart(1e-10) is None
    assert double.weights[0] == 0
    assert double.weights.max() < 1e-12
    assert single.first_apart(1e-4) is None
    assert 1e-7 < single.weights.max() < 1e-2
    assert len(str(double).splitlines()) == 1 + len((1, 2, 5, 10, 12))
    assert double.ours[-1] < double.ours[0]


def test_lockstep_notices_another_epsilon(keras):
    case = TrainingCase("lockstep", "")
    model = case.model()
    model.optimizer = optimizers.Adam()
    x, y = case.data()
    same = dataclasses.replace(case).model()
    assert lockstep(same, x, y, 20).first_apart(1e-10) is None
    model.run_eagerly = True  # the engine does not call `update` of Adam
    model.optimizer.update = _with_epsilon_inside_the_root(model.optimizer)
    assert lockstep(model, x, y, 20).first_apart(1e-10) == 2


def _with_epsilon_inside_the_root(adam):
    def update(gradient, weight, m, v):
        m += (gradient - m) * (1 - adam.beta_1)
        v += (gradient**2 - v) * (1 - adam.beta_2)
        t = adam.iterations
        alpha = adam.learning_rate * np.sqrt(1 - adam.beta_2**t) / (1 - adam.beta_1**t)
        weight -= alpha * m / np.sqrt(v + adam.epsilon)

    return update


def test_random_cases_have_all_sizes_and_activations():
    found = list(cases.random_cases("Conv2D", 500))
    for name, numbers in {"filters": 5, "kernel_size": 5, "strides": 4}.items():
        values = [np.atleast_1d(case.arguments[name]) for case in found]
        for part in zip(*values, strict=True):  # height and width by themselves
            assert {*range(1, numbers + 1)} <= set(map(int, part)), name
    softmax = {c.arguments["filters"] for c in found if c.arguments.get("activation") == "softmax"}
    assert softmax == {3, 4, 5}
    assert {case.x_shape[-1] for case in found} == {1, 2, 3, 4}
    assert max(case.x_shape[0] for case in found) == 33


def test_the_full_ledger_has_1700_random_geometries():
    """Each for some algorithms and in both precisions: the README's 7,698 comparisons."""
    assert ledger.FULL == {"Conv2D": 1000, "MaxPooling2D": 500, "Dense": 200}


def test_versions_are_said_in_words():
    versions = {"python": "3.12.1", "numpy": "2.4.0", "numba": "0.68"}
    assert environment.in_words(versions) == "python 3.12.1, numpy 2.4.0, numba 0.68"
