"""Items 10 to 13: which samples `fit` and `evaluate` take in which order, and what they report.

Epochs of a stream: test_epochs.py; what is printed: callbacks/test_progress.py; what training keeps
from call to call: test_training_state.py.
"""

import numpy as np
import pytest

import minicnn
from minicnn import Input, Sequential, layers, metrics
from minicnn.data import Dataset
from minicnn.losses import SparseCategoricalCrossentropy
from tests.tolerances import assert_close
from tests.twins import (
    SPARSE,
    Recorder,
    assert_same_weights,
    classifier,
    recording_model,
    samples,
    twins,
)


def assert_same_history(ours, theirs, tolerance):
    assert list(ours.history) == list(theirs.history)
    for name, values in theirs.history.items():
        assert_close(ours.history[name], values, tolerance)
    assert ours.epoch == theirs.epoch
    assert ours.params == theirs.params


@pytest.mark.parametrize("batch_size", [None, 7, 64])
@pytest.mark.parametrize("n", [1, 32, 100])
def test_items_10_to_12_fit_equals_keras(double, rng, n, batch_size):
    ours, theirs = twins(double)
    x, y = samples(rng, n)
    arguments = {"batch_size": batch_size, "epochs": 3, "shuffle": False, "verbose": 0}
    history = ours.fit(x, y, **arguments)
    assert_same_history(history, theirs.fit(x, y, **arguments), "float64")
    assert_same_weights(ours, theirs, "float64")
    assert len(history.batches["loss"]) == 3 * -(-n // (batch_size or 32))


def test_items_10_to_12_fit_with_adam_and_validation_equals_keras(double, rng):
    ours, theirs = twins(double, "adam")
    (x, y), validation = samples(rng, 70), samples(rng, 45)
    arguments = {"epochs": 4, "shuffle": False, "verbose": 0, "validation_data": validation}
    ours_history, theirs_history = ours.fit(x, y, **arguments), theirs.fit(x, y, **arguments)
    assert list(ours_history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert_same_history(ours_history, theirs_history, "optimizer")
    assert_same_weights(ours, theirs, "optimizer")


@pytest.mark.parametrize(
    ("kind", "n", "batch_size", "steps", "last"),
    [("fit", 600, None, 19, 24), ("fit", 600, 64, 10, 24), ("evaluate", 1000, None, 32, 8)],
)
def test_item_10_the_last_partial_batch_is_used(kind, n, batch_size, steps, last):
    sizes = []

    class Counting(layers.ReLU):
        def forward(self, x):
            sizes.append(len(x))
            return super().forward(x)

    model = classifier(Counting(), inputs=1)
    getattr(model, kind)(np.zeros((n, 1)), np.zeros(n, int), batch_size=batch_size, verbose=0)
    assert sizes == [batch_size or 32] * (steps - 1) + [last]
    if kind == "fit":
        assert model.history.params["steps"] == steps


def test_item_10_every_epoch_has_a_fresh_order_of_all_samples():
    model, seen = recording_model()
    n, epochs = 100, 4
    x = np.arange(n)[:, None]
    for _ in range(2):  # a second fit draws new orders
        model.fit(x, np.zeros(n, int), epochs=epochs, verbose=0)
    orders = np.reshape(seen, (2 * epochs, n))
    assert all(sorted(order) == list(range(n)) for order in orders)
    assert len({tuple(order) for order in orders}) == 2 * epochs
    # A permutation of all samples: those of one batch come from anywhere in the data.
    assert all(np.ptp(order[:32]) > n / 2 for order in orders)


def test_item_10_labels_stay_with_their_samples():
    recorder, seen = Recorder(), []

    class Recording(SparseCategoricalCrossentropy):
        def losses_and_gradient(self, labels, predictions):
            seen.extend(labels)
            return super().losses_and_gradient(labels, predictions)

    model = Sequential([Input((1,)), recorder, layers.Dense(9)])
    model.compile("sgd", Recording(from_logits=True))
    y = np.arange(100) % 9
    model.fit(y[:, None], y, epochs=2, verbose=0)
    assert len(seen) == 200
    assert recorder.seen == seen


def test_item_10_evaluate_predict_and_unshuffled_fits_use_the_given_order():
    model, seen = recording_model()
    n = 70
    x, y = np.arange(n)[:, None], np.zeros(n, int)
    model.fit(x, y, shuffle=False, epochs=2, verbose=0)
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    model.fit(x, y, verbose=0, epochs=1, shuffle=False, validation_data=(x, y))
    assert seen == 6 * list(range(n))


def test_item_10_shuffle_is_ignored_for_datasets():
    model, seen = recording_model()
    dataset = Dataset.from_tensor_slices((np.arange(40)[:, None], np.zeros(40, int))).batch(7)
    model.fit(dataset, shuffle=True, epochs=2, verbose=0)
    assert seen == 2 * list(range(40))


@pytest.mark.parametrize("batch_size", [1, 7, 64, 80, 100])
def test_item_11_the_loss_of_fit_counts_every_sample_once(rng, batch_size):
    model = classifier(optimizer=minicnn.optimizers.SGD(0.5), metrics=["accuracy"])
    x, y = samples(rng, 100)
    history = model.fit(x, y, batch_size, epochs=2, verbose=0)
    sizes = [batch_size] * (100 // batch_size) + [100 % batch_size] * (100 % batch_size > 0)
    for name, values in history.history.items():
        by_epoch = np.reshape(history.batches[name], (2, len(sizes)))
        assert_close(values, by_epoch @ sizes / 100, "float64")
    if batch_size in (7, 64, 80):  # a mean over batches would be another number
        with pytest.raises(AssertionError):
            assert_close(history.history["loss"], np.mean(by_epoch, axis=1), "float32 gradient")


def test_item_12_every_fit_returns_a_history_of_its_own(double, rng):
    ours, theirs = twins(double)
    x, y = samples(rng, 40)
    arguments = {"shuffle": False, "verbose": 0, "batch_size": 16}
    first = ours.fit(x, y, epochs=2, **arguments)
    assert_same_history(first, theirs.fit(x, y, epochs=2, **arguments), "float64")
    kept = {name: list(values) for name, values in first.history.items()}
    second = ours.fit(x, y, epochs=1, **arguments)
    assert_same_history(second, theirs.fit(x, y, epochs=1, **arguments), "float64")
    assert second is ours.history is not first
    assert first.history == kept


def test_item_12_logs_are_sorted_by_name(keras, rng):
    ours, theirs = twins(keras)
    x, y = samples(rng, 10)
    for model, library in ((ours, metrics), (theirs, keras.metrics)):
        zebra = library.SparseCategoricalAccuracy("zebra")
        model.compile("sgd", SPARSE, metrics=[zebra, "accuracy"])
    names = list(ours.fit(x, y, verbose=0).history)
    assert names == list(theirs.fit(x, y, verbose=0).history) == ["accuracy", "loss", "zebra"]
    assert list(ours.evaluate(x, y, verbose=0, return_dict=True)) == names
    ours.fit(x, y, batch_size=10, verbose=0)
    assert ours.history.history["loss"] != ours.history.history["zebra"]


def test_item_13_evaluate_returns_what_keras_returns(double, rng):
    for names in (("accuracy",), ()):
        ours, theirs = twins(double, metrics=names)
        data = samples(rng, 45)
        received = ours.evaluate(*data, verbose=0)
        assert_close(received, theirs.evaluate(*data, verbose=0), "float64")
        assert isinstance(received, list if names else float)
        as_dict = ours.evaluate(*data, verbose=0, return_dict=True)
        expected = theirs.evaluate(*data, verbose=0, return_dict=True)
        assert list(as_dict) == list(expected)
        assert_close(list(as_dict.values()), list(expected.values()), "float64")
