"""What training keeps from call to call, and what it does not change."""

import numpy as np
import pytest

import minicnn
from minicnn.data import Dataset
from tests.tolerances import assert_close
from tests.twins import SPARSE, assert_same_weights, bits, classifier, samples, twins


def test_train_on_batch_reports_its_batch_alone_as_keras_does(double, rng):
    ours, theirs = twins(double)
    for n in (40, 7, 1):
        x, y = samples(rng, n)
        before = ours.evaluate(x, y, verbose=0)
        ours.evaluate(*samples(rng, 30), verbose=0)  # must not be included
        theirs.reset_metrics()  # older versions of Keras add up
        received = ours.train_on_batch(x, y)
        assert_close(received, theirs.train_on_batch(x, y), "float64")
        assert_close(received, before, "float64")  # from before the step
        assert ours.evaluate(x, y, verbose=0) != before
    assert_same_weights(ours, theirs, "float64")


def test_train_on_batch_is_one_step_whatever_the_size(rng):
    model, twin = (classifier(optimizer="adam") for _ in range(2))
    twin.set_weights(model.get_weights())
    x, y = samples(rng, 100)
    model.train_on_batch(x, y)
    twin.fit(x, y, batch_size=100, shuffle=False, verbose=0)
    assert model.optimizer.iterations == 1
    assert_close(model.get_weights()[0], twin.get_weights()[0], "float64")
    with pytest.raises(TypeError, match="train_on_batch: x must be an array"):
        model.train_on_batch(Dataset.from_tensor_slices((x, y)).batch(5), None)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_state_of_the_optimizer_survives_repeated_fits(rng, optimizer):
    x, y = samples(rng, 50)
    results = []
    for cut in ([4], [1, 3], [2, 2]):
        minicnn.set_random_seed(1)
        chosen = minicnn.optimizers.SGD(0.1, momentum=0.9) if optimizer == "sgd" else "adam"
        model = classifier(optimizer=chosen)
        for epochs in cut:
            model.fit(x, y, epochs=epochs, shuffle=False, verbose=0)
        results.append(bits(model))
    assert results[0] == results[1] == results[2]


def test_compile_starts_with_a_new_optimizer_and_keeps_the_weights(double, rng):
    ours, theirs = twins(double, "adam")
    x, y = samples(rng, 50)
    for _ in range(2):
        for model in (ours, theirs):
            model.fit(x, y, shuffle=False, verbose=0)
            model.compile("adam", SPARSE, metrics=["accuracy"])
            assert model.optimizer.iterations == 0
    assert_same_weights(ours, theirs, "optimizer")


def test_validation_comes_after_the_epoch_and_changes_no_weight(rng):
    x, y = samples(rng, 50)
    validation = samples(rng, 23)
    dataset = Dataset.from_tensor_slices(validation).batch(5)
    records, weights = [], []
    for chosen in (None, validation, list(validation), dataset, dataset.prefetch(1)):
        minicnn.set_random_seed(1)
        model = classifier(optimizer="adam", metrics=["accuracy"], dtype="float64")
        history = model.fit(x, y, epochs=3, verbose=0, validation_data=chosen)
        records.append(history.history)
        weights.append(bits(model))
    assert all(each == weights[0] for each in weights)
    assert list(records[0]) == ["accuracy", "loss"]
    for record in records[1:]:
        assert {name: record[name] for name in records[0]} == records[0]
        assert_close(record["val_loss"], records[1]["val_loss"], "float64")
    evaluated = model.evaluate(*validation, verbose=0, return_dict=True)
    assert_close(records[1]["val_loss"][-1], evaluated["loss"], "float64")
    assert_close(records[1]["val_accuracy"][-1], evaluated["accuracy"], "float64")


def batches(x, y):
    return Dataset.from_tensor_slices((x, y)).batch(2)


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (lambda x, y: batches(x, y).repeat(), "validation_data: .*never ends"),
        (lambda x, y: batches(x[:0], y[:0]), "at least one batch"),
        (lambda x, y: x, r"expected \(x, y\) or a Dataset, received ndarray"),
        (lambda x, y: (x, y, y, y), r"expected \(x, y\) or a Dataset, received tuple"),
        (lambda x, y: (x[:, :3], y), r"expected x of shape \(samples, 5\)"),
        (lambda x, y: (x, y + 1), "whole numbers from 0 to 2"),
        (lambda x, y: (x, y[:-1]), "fit, validation_data: y must hold 9 labels"),
    ],
)
def test_unusable_validation_data_are_refused_before_the_first_step(rng, validation, message):
    model = classifier(optimizer="adam")
    x, y = rng.normal(size=(9, 5)), np.arange(9) % 3
    before = bits(model)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(x, y, verbose=0, validation_data=validation(x, y))
    assert bits(model) == before
    assert model.history is None


def test_a_batch_of_a_dataset_is_checked_before_its_step(rng):
    model, (x, y) = classifier(), samples(rng, 10)
    one_good_one_bad = Dataset.from_generator(lambda: iter([(x, y), (x, y + 3)]))
    with pytest.raises(ValueError, match="whole numbers from 0 to 2"):
        model.fit(one_good_one_bad, verbose=0)
    assert model.optimizer.iterations == 1
