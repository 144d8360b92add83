"""Optimizers: 1,000 steps by Keras and in double precision, defaults, and the state."""

import numpy as np
import pytest

from minicnn import optimizers
from minicnn.checking import ledger
from minicnn.checking.case_types import OptimizerCase
from minicnn.optimizers import SGD, Adam
from tests.promises.optimizers import CONFIGURATIONS, STEPS, formula, gradients, trajectory
from tests.tolerances import assert_close
from tests.twins import classifier

every_optimizer = pytest.mark.parametrize(
    ("optimizer", "arguments"), CONFIGURATIONS.values(), ids=CONFIGURATIONS
)


def assert_every_weight_close(actual, expected, row):
    """Each weight relative to its own largest value: their sizes differ by eleven digits."""
    for ours, right in zip(actual.T, expected.T, strict=True):
        assert_close(ours, right, row)


@every_optimizer
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_item_8_a_thousand_steps_follow_the_formula(optimizer, arguments, dtype):
    row = "float64" if dtype == "float64" else "float32 trajectory"
    ours = trajectory(optimizer, arguments, dtype=np.dtype(dtype))
    assert ours.dtype == dtype
    assert_every_weight_close(ours, formula(optimizer, STEPS, **arguments), row)


@every_optimizer
def test_item_8_a_thousand_steps_follow_keras(keras, optimizer, arguments):
    case = OptimizerCase(optimizer.__name__, arguments, "float32")
    row = ledger.compare(case, case.theirs())
    assert row.ok, row.line()


MISTAKES = [
    *("epsilon inside the root", "epsilon corrected for bias", "PyTorch's epsilon"),
    *("no bias correction", "t counts from 0", "t is one ahead"),
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_show_in_these_trajectories(mistake):
    """The comparison above fails for an Adam with one mistake."""
    right, wrong = formula(Adam, 100), formula(Adam, 100, mistake=mistake)
    with pytest.raises(AssertionError):
        assert_every_weight_close(wrong, right, "float32 trajectory")


def test_item_8_defaults():
    adam = Adam()
    assert (adam.learning_rate, adam.beta_1, adam.beta_2, adam.epsilon) == (0.001, 0.9, 0.999, 1e-7)
    assert (adam.iterations, adam.state) == (0, {})
    assert (SGD().learning_rate, SGD().momentum, SGD().nesterov) == (0.01, 0.0, False)


@every_optimizer
def test_item_8_t_counts_steps_and_not_weights(optimizer, arguments):
    """Each of several arrays has its own moments, and all share one count."""
    one, many = optimizer(**arguments), optimizer(**arguments)
    whole = np.zeros(48, np.float32)
    parts = [np.zeros(5, np.float32), np.zeros((4, 10), np.float32), np.zeros((1, 3), np.float32)]
    for number, gradient in enumerate(gradients(20), start=1):
        one.apply([gradient], [whole])
        pieces = np.split(gradient, [5, 45])
        many.apply([g.reshape(w.shape) for g, w in zip(pieces, parts, strict=True)], parts)
        assert one.iterations == many.iterations == number
    np.testing.assert_array_equal(whole, np.concatenate([part.ravel() for part in parts]))
    for slot in many.slots:
        assert [a.shape for a in many.state[slot]] == [(5,), (4, 10), (1, 3)]


@every_optimizer
def test_gradients_of_any_layout_and_dtype(optimizer, arguments, rng):
    gradient = rng.standard_normal((6, 5)).astype(np.float32)
    results = []
    for given in (gradient, np.asfortranarray(gradient), gradient.astype(np.float64)):
        weight = np.zeros((6, 5), np.float32)
        optimizer(**arguments).apply([given], [weight])
        results.append(weight)
    np.testing.assert_array_equal(results[0], results[1])
    assert_close(results[2], results[0], "float32")


@every_optimizer
def test_nan_stays_where_it_is(optimizer, arguments):
    ours, weight = optimizer(**arguments), np.zeros(3, np.float32)
    ours.apply([np.array([1, np.nan, 1], np.float32)], [weight])
    ours.apply([np.ones(3, np.float32)], [weight])
    np.testing.assert_array_equal(np.isnan(weight), [False, True, False])


def test_optimizers_by_name_are_new_each_time():
    names = ("adam", "Adam", "sgd", "adam")
    first, second, third, last = (classifier(optimizer=name).optimizer for name in names)
    assert [type(first), type(second), type(third)] == [Adam, Adam, SGD]
    assert last is not first
    assert classifier(optimizer=third).optimizer is third


def test_weights_that_cannot_be_changed_in_place_are_described():
    strided = np.zeros((4, 4), np.float32)[:, ::2]
    with pytest.raises(TypeError, match=r"float32 of shape \(4, 2\) and strides \(16, 8\)"):
        optimizers.SGD().apply([np.zeros((4, 2))], [strided])
    with pytest.raises(TypeError, match="received list"):
        optimizers.SGD().apply([np.zeros(2)], [[0.0, 0.0]])


def test_the_base_class_has_no_update_of_its_own():
    weights = [np.ones(3)]
    with pytest.raises(NotImplementedError):
        optimizers.Optimizer(0.1).apply([np.ones(3)], weights)
    np.testing.assert_array_equal(weights[0], 1)
