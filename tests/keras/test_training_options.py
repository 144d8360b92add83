"""Options of `fit` that every training may need: shares for validation, weights, generators."""

import numpy as np
import pytest

import minicnn
from minicnn import Input, Sequential
from minicnn.layers import Dense, Softmax
from minicnn.losses import CategoricalCrossentropy, SparseCategoricalCrossentropy, WeightedLoss
from tests.tolerances import assert_close

SPARSE = "sparse_categorical_crossentropy"


def network(loss=SPARSE, **options):
    minicnn.set_random_seed(3)
    model = Sequential([Input((5,)), Dense(6, "relu"), Dense(3, "softmax")], dtype="float64")
    model.compile(minicnn.optimizers.SGD(0.5), loss, metrics=["accuracy"], **options)
    return model


@pytest.fixture
def data(rng):
    return rng.normal(size=(40, 5)), rng.integers(0, 3, 40)


def test_the_last_samples_validate(data):
    x, y = data
    model, other = network(), network()
    history = model.fit(x, y, validation_split=0.3, shuffle=False, verbose=0)
    expected = other.fit(x[:28], y[:28], validation_data=(x[28:], y[28:]), shuffle=False, verbose=0)
    assert history.history == expected.history
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("loss", [SPARSE, "categorical_crossentropy"])
@pytest.mark.parametrize("run_eagerly", [True, False])
def test_weights_multiply_losses_and_gradients(data, loss, run_eagerly):
    """A weight of 2 is as good as the sample twice, in a step of plain SGD."""
    x, y = data
    targets = y if loss == SPARSE else np.eye(3)[y]
    model, other, third = (network(loss, run_eagerly=run_eagerly) for _ in range(3))
    weights = np.where(y == 1, 2.0, 0.5)
    options = {"batch_size": 40, "shuffle": False, "verbose": 0}
    losses = [model.fit(x, targets, sample_weight=weights, **options).history["loss"]]
    losses += [
        other.fit(x, targets, class_weight={0: 0.5, 1: 2, 2: 0.5}, **options).history["loss"]
    ]
    assert losses[0] == losses[1]
    order = np.repeat(np.arange(40), (weights * 2).astype(int))
    third.optimizer.learning_rate = 0.5 * len(order) / 2 / 40
    third.fit(x[order], targets[order], batch_size=len(order), shuffle=False, verbose=0)
    for a, b, c in zip(*(m.get_weights() for m in (model, other, third)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert_close(a, c, "float64")
    weighted = model.evaluate(x, targets, sample_weight=weights, verbose=0)
    assert weighted[1] == model.evaluate(x, targets, verbose=0)[1]  # metrics are not weighted


def test_a_weighted_loss_is_computed_from_logits_too():
    model = network()
    loss = WeightedLoss(SparseCategoricalCrossentropy(), lambda targets: targets)
    plan = minicnn.engine.Plan(model.layers, loss)
    assert plan.loss.loss.from_logits
    assert plan.layers[-1].activation.name == "linear"


def test_validation_at_some_epochs(data):
    x, y = data
    options = {"epochs": 4, "validation_data": (x, y), "verbose": 0}
    assert len(network().fit(x, y, validation_freq=2, **options).history["val_loss"]) == 2
    assert len(network().fit(x, y, validation_freq=[1, 3, 4], **options).history["val_loss"]) == 3


def test_generators_are_read_step_by_step(data):
    x, y = data
    drawn = []

    def batches():
        for start in range(0, 400, 10):
            drawn.append(start)
            rows = np.arange(start, start + 10) % 40
            yield x[rows], y[rows]

    model, other = network(), network()
    model.fit(batches(), steps_per_epoch=4, epochs=2, verbose=0)
    other.fit(x, y, batch_size=10, epochs=2, shuffle=False, verbose=0)
    assert len(drawn) == 8
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("last", [[Dense(3, "softmax")], [Dense(3), Softmax()]])
@pytest.mark.parametrize("kind", [SparseCategoricalCrossentropy, CategoricalCrossentropy])
def test_a_softmax_before_a_loss_of_logits_is_left_out_with_a_warning(data, kind, last):
    x, y = data
    targets = y if kind is SparseCategoricalCrossentropy else np.eye(3)[y]
    model = Sequential([Input((5,)), *last], dtype="float64")
    values = []
    for from_logits in (False, True):
        model.compile("sgd", kind(from_logits=from_logits))
        if from_logits:
            with pytest.warns(UserWarning, match="produced by a Softmax activation"):
                values.append(model.evaluate(x, targets, verbose=0))
        else:
            values.append(model.evaluate(x, targets, verbose=0))
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"validation_split": 1.0}, r"in \[0, 1\)"),
        ({"validation_split": 0.99}, "none to train with"),
        ({"sample_weight": np.ones(39)}, r"shape \(40,\)"),
        ({"class_weight": [1, 2, 3]}, "a dict of weights by label"),
        ({"class_weight": {0: 2}, "sample_weight": np.ones(40)}, "received both"),
        ({"validation_freq": 0}, "at least 1"),
    ],
)
def test_options_that_cannot_be_used_are_refused(data, options, words):
    model = network()
    before = model.get_weights()
    with pytest.raises((TypeError, ValueError), match=words):
        model.fit(*data, verbose=0, **options)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_share_of_a_dataset_is_refused(data):
    dataset = minicnn.data.Dataset.from_tensor_slices(data).batch(10)
    with pytest.raises(ValueError, match=r"validation_split needs arrays.*Dataset\.take"):
        network().fit(dataset, validation_split=0.5, verbose=0)


def test_one_hot_rows_and_labels_are_told_apart(data):
    x, y = data
    with pytest.raises(ValueError, match="sparse_categorical_crossentropy"):
        network("categorical_crossentropy").fit(x, y, verbose=0)
    with pytest.raises(ValueError, match='use "categorical_crossentropy"'):
        network().fit(x, np.eye(3)[y], verbose=0)
