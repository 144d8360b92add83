"""fit and evaluate: which samples they take in which order, and the numbers they report.

Items 10 to 13 of the list of what must equal Keras. Epochs cut out of a stream: test_epochs.py;
what is printed: test_progress.py; what is kept and what is left alone: test_training_state.py.
"""

import numpy as np
import pytest
from tolerances import assert_close
from twins import SPARSE, Recorder, assert_same_weights, double_precision, samples, twins

import minicnn
from minicnn import Input, Sequential, layers, metrics, step
from minicnn.data import Dataset
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.objective import merge_softmax, objective


@pytest.fixture
def double(keras):
    with double_precision(keras):
        yield keras


@pytest.fixture
def recording():
    """A model that writes down which samples it meets, in which order."""
    minicnn.set_num_threads(1)
    recorder = Recorder()
    model = Sequential([Input((1,)), recorder, layers.Dense(2, "softmax")])
    model.compile("sgd", SPARSE)
    return model, recorder.seen


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
    [
        ("fit", 60_000, None, 1875, 32),
        ("fit", 60_000, 64, 938, 32),
        ("evaluate", 10_000, None, 313, 16),
    ],
)
def test_item_10_the_last_partial_batch_is_kept(monkeypatch, kind, n, batch_size, steps, last):
    sizes = []

    def counted_step(*arguments):
        labels = arguments[-1]
        sizes.append(len(labels))
        return np.zeros(len(labels)), np.zeros((len(labels), 3))

    monkeypatch.setattr(step, "train_step", counted_step)
    monkeypatch.setattr(step, "evaluate_step", counted_step)
    model = Sequential([Input((1,)), layers.Dense(3)])
    model.compile("sgd", SPARSE)
    getattr(model, kind)(np.zeros((n, 1)), np.zeros(n, int), batch_size=batch_size, verbose=0)
    assert sizes == [batch_size or 32] * (steps - 1) + [last]
    if kind == "fit":
        assert model.history.params["steps"] == steps


def test_item_10_every_epoch_has_a_fresh_order_of_all_samples(recording):
    model, seen = recording
    n, epochs = 100, 4
    x = np.arange(n)[:, None]
    for _ in range(2):  # a second fit goes on drawing
        model.fit(x, np.zeros(n, int), epochs=epochs, verbose=0)
    orders = np.reshape(seen, (2 * epochs, n))
    assert all(sorted(order) == list(range(n)) for order in orders)
    assert len({tuple(order) for order in orders}) == 2 * epochs
    # A permutation of everything: samples of one batch come from anywhere in the data.
    assert all(np.ptp(order[:32]) > n / 2 for order in orders)


def test_item_10_labels_stay_with_their_samples(monkeypatch):
    pairs = []

    def recorded_step(_goal, _optimizer, x, labels):
        pairs.extend(zip(x[:, 0], labels, strict=True))
        return np.zeros(len(x)), np.zeros((len(x), 9))

    monkeypatch.setattr(step, "train_step", recorded_step)
    model = Sequential([Input((1,)), layers.Dense(9)])
    model.compile("sgd", SPARSE)
    y = np.arange(100) % 9
    model.fit(y[:, None], y, epochs=2, verbose=0)
    assert len(pairs) == 200
    assert all(x == label for x, label in pairs)


def test_item_10_evaluate_predict_and_unshuffled_fits_keep_the_order(recording):
    model, seen = recording
    n = 70
    x, y = np.arange(n)[:, None], np.zeros(n, int)
    model.fit(x, y, shuffle=False, epochs=2, verbose=0)
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    model.fit(x, y, verbose=0, epochs=1, shuffle=False, validation_data=(x, y))
    assert seen == 6 * list(range(n))


def test_item_10_shuffle_is_ignored_for_datasets(recording):
    model, seen = recording
    dataset = Dataset.from_tensor_slices((np.arange(40)[:, None], np.zeros(40, int))).batch(7)
    model.fit(dataset, shuffle=True, epochs=2, verbose=0)
    assert seen == 2 * list(range(40))


@pytest.mark.parametrize("kind", ["arrays", "Dataset"])
@pytest.mark.parametrize("batch_size", [1, 7, 64, 80, 100])
def test_item_11_evaluate_counts_every_sample_once(rng, kind, batch_size):
    model = Sequential([Input((5,)), layers.Dense(3, "softmax")], dtype="float64")
    model.compile("adam", SPARSE, metrics=["accuracy"])
    x, y = samples(rng, 100)
    predictions = model.predict(x, verbose=0)
    expected = [-np.log(predictions[np.arange(100), y]).mean(), (predictions.argmax(1) == y).mean()]
    if kind == "Dataset":
        dataset = Dataset.from_tensor_slices((x, y)).batch(batch_size)
        assert_close(model.evaluate(dataset, verbose=0), expected, "float64")
    else:
        assert_close(model.evaluate(x, y, batch_size, verbose=0), expected, "float64")


@pytest.mark.parametrize("batch_size", [1, 7, 64, 80, 100])
def test_item_11_the_loss_of_fit_counts_every_sample_once(rng, batch_size):
    model = Sequential([Input((5,)), layers.Dense(3, "softmax")])
    model.compile(minicnn.optimizers.SGD(0.5), SPARSE, metrics=["accuracy"])
    x, y = samples(rng, 100)
    history = model.fit(x, y, batch_size, epochs=2, verbose=0)
    sizes = [batch_size] * (100 // batch_size) + [100 % batch_size] * (100 % batch_size > 0)
    for name, values in history.history.items():
        by_epoch = np.reshape(history.batches[name], (2, len(sizes)))
        assert_close(values, by_epoch @ sizes / 100, "float64")
    if batch_size in (7, 64, 80):  # the wrong mean would be another number
        with pytest.raises(AssertionError):
            assert_close(history.history["loss"], np.mean(by_epoch, axis=1), "float32 gradient")


def test_item_12_every_fit_returns_a_history_of_its_own(double, rng):
    ours, theirs = twins(double)
    x, y = samples(rng, 40)
    arguments = {"shuffle": False, "verbose": 0, "batch_size": 16}
    records = []
    for model in (ours, theirs):
        first = model.fit(x, y, epochs=2, **arguments)
        kept = {name: list(values) for name, values in first.history.items()}
        second = model.fit(x, y, epochs=1, **arguments)
        assert second is not first
        assert model.history is second
        assert first.history == kept
        records.append((first, second))
    for pair in zip(*records, strict=True):
        assert_same_history(*pair, "float64")


def test_item_12_logs_are_sorted_by_name(keras, rng):
    ours, theirs = twins(keras)
    x, y = samples(rng, 10)
    ours.compile("sgd", SPARSE, metrics=[metrics.SparseCategoricalAccuracy("zebra"), "accuracy"])
    theirs.compile(
        "sgd", SPARSE, metrics=[keras.metrics.SparseCategoricalAccuracy("zebra"), "accuracy"]
    )
    names = list(ours.fit(x, y, verbose=0).history)
    assert names == list(theirs.fit(x, y, verbose=0).history) == ["accuracy", "loss", "zebra"]
    assert list(ours.evaluate(x, y, verbose=0, return_dict=True)) == names
    ours.fit(x, y, batch_size=10, verbose=0)
    assert ours.history.history["loss"] != ours.history.history["zebra"]


def test_item_13_evaluate_returns_what_keras_returns(double, rng):
    for names in (("accuracy",), ()):
        ours, theirs = twins(double, metrics=names)
        x, y = samples(rng, 45)
        received = ours.evaluate(x, y, verbose=0)
        expected = theirs.evaluate(x, y, verbose=0)
        assert_close(received, expected, "float64")
        assert isinstance(received, list if names else float)
        as_dict = ours.evaluate(x, y, verbose=0, return_dict=True)
        expected = theirs.evaluate(x, y, verbose=0, return_dict=True)
        assert list(as_dict) == list(expected)
        assert_close(list(as_dict.values()), list(expected.values()), "float64")


def test_item_13_the_loss_comes_first_though_accuracy_sorts_before_it(rng):
    model = Sequential([Input((5,)), layers.Dense(3, "softmax")])
    model.compile("sgd", SPARSE, metrics=["accuracy"])
    x, y = samples(rng, 45)
    by_name = model.evaluate(x, y, verbose=0, return_dict=True)
    assert model.evaluate(x, y, verbose=0) == [by_name["loss"], by_name["accuracy"]]
    assert by_name["loss"] > 1 >= by_name["accuracy"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_merged_poolings_change_nothing_but_the_order_of_sums(rng, dtype):
    """Whole numbers: ties and zeros everywhere; overlapping windows; a NaN."""
    model = minicnn.Sequential(
        [
            minicnn.Input((9, 8, 2)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(3, strides=2, padding="same"),
            layers.Conv2D(4, (2, 3), activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ],
        dtype=dtype,
    )
    model.set_weights([rng.integers(-2, 3, w.shape) / 2 for w in model.get_weights()])
    x, labels = rng.integers(-2, 3, (20, 9, 8, 2)).astype(dtype), rng.integers(0, 3, 20)
    x[7, 3, 3, 0] = np.nan
    loss = SparseCategoricalCrossentropy()
    as_listed, as_run = merge_softmax(model.layers, loss), objective(model.layers, loss)
    assert len(as_run.layers) == len(as_listed.layers) - 2
    with np.errstate(invalid="ignore"):
        for samples in (slice(0, 7), slice(0, 20)):
            outcomes = [
                step.loss_and_gradients(goal, x[samples], labels[samples], 20)
                for goal in (as_listed, as_run)
            ]
            for listed, run in zip(*outcomes, strict=True):
                for b, a in zip(listed, run, strict=True):
                    assert_close(a, b, dtype)
    assert np.abs(outcomes[0][2][0]).max() != 0
