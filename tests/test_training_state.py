"""What training keeps from call to call, and what it leaves alone: promises 10 and 11, too."""

import numpy as np
import pytest
from tolerances import assert_close
from twins import SPARSE, assert_same_weights, double_precision, samples, twins

import minicnn
from minicnn import Input, Sequential, layers
from minicnn.data import Dataset


@pytest.fixture
def double(keras):
    with double_precision(keras):
        yield keras


@pytest.fixture
def images_model():
    model = Sequential(
        [
            Input((8, 7, 2)),
            layers.Conv2D(4, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3, "softmax"),
        ]
    )
    model.compile("adam", SPARSE, metrics=["accuracy"])
    return model


def test_train_on_batch_reports_its_batch_alone_as_keras_does(double, rng):
    ours, theirs = twins(double)
    for n in (40, 7, 1):
        x, y = samples(rng, n)
        before = ours.evaluate(x, y, verbose=0)
        ours.evaluate(*samples(rng, 30), verbose=0)  # must not be mixed in
        theirs.reset_metrics()  # older versions of Keras add up
        received = ours.train_on_batch(x, y)
        assert_close(received, theirs.train_on_batch(x, y), "float64")
        assert_close(received, before, "float64")  # from before the step
        assert ours.evaluate(x, y, verbose=0) != before
    assert_same_weights(ours, theirs, "float64")


def test_train_on_batch_is_one_step_whatever_the_size(rng):
    model, twin = (Sequential([Input((5,)), layers.Dense(3, "softmax")]) for _ in range(2))
    twin.set_weights(model.get_weights())
    x, y = samples(rng, 100)
    for each in (model, twin):
        each.compile("adam", SPARSE)
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
        model = Sequential([Input((5,)), layers.Dense(3, "softmax")])
        chosen = minicnn.optimizers.SGD(0.1, momentum=0.9) if optimizer == "sgd" else "adam"
        model.compile(chosen, SPARSE)
        for epochs in cut:
            model.fit(x, y, epochs=epochs, shuffle=False, verbose=0)
        results.append(model.get_weights()[0].tobytes())
    assert len(set(results)) == 1


def test_compile_starts_with_a_new_optimizer_and_keeps_the_weights(double, rng):
    ours, theirs = twins(double, "adam")
    x, y = samples(rng, 50)
    for _ in range(2):
        for model in (ours, theirs):
            model.fit(x, y, shuffle=False, verbose=0)
            model.compile("adam", SPARSE, metrics=["accuracy"])
            assert model.optimizer.iterations == 0
    assert_same_weights(ours, theirs, "optimizer")


def test_validation_comes_after_the_epoch_and_teaches_nothing(rng):
    x, y = samples(rng, 50)
    validation = samples(rng, 23)
    dataset = Dataset.from_tensor_slices(validation).batch(5)
    records, weights = [], []
    for chosen in (None, validation, list(validation), dataset, dataset.prefetch(1)):
        minicnn.set_random_seed(1)
        model = Sequential([Input((5,)), layers.Dense(3, "softmax")], dtype="float64")
        model.compile("adam", SPARSE, metrics=["accuracy"])
        history = model.fit(x, y, epochs=3, verbose=0, validation_data=chosen)
        records.append(history.history)
        weights.append(model.get_weights()[0].tobytes())
    assert len(set(weights)) == 1
    assert list(records[0]) == ["accuracy", "loss"]
    for record in records[1:]:
        assert {name: record[name] for name in records[0]} == records[0]
        assert_close(record["val_loss"], records[1]["val_loss"], "float64")
    evaluated = model.evaluate(*validation, verbose=0, return_dict=True)
    assert_close(records[1]["val_loss"][-1], evaluated["loss"], "float64")
    assert_close(records[1]["val_accuracy"][-1], evaluated["accuracy"], "float64")


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (
            lambda x, y: Dataset.from_tensor_slices((x, y)).repeat().batch(2),
            r"validation_data: .*never ends.*take",
        ),
        (lambda x, y: Dataset.from_tensor_slices((x[:0], y[:0])).batch(2), "at least one batch"),
        (lambda x, y: x, r"expected \(x, y\) or a Dataset, received ndarray"),
        (lambda x, y: (x, y, y), r"expected \(x, y\) or a Dataset, received tuple"),
        (lambda x, y: (x[:, :3], y), r"expected x of shape \(samples, 5\)"),
        (lambda x, y: (x, y + 1), "whole numbers from 0 to 2"),
        (lambda x, y: (x, y[:-1]), "fit, validation_data: y must hold 9 labels"),
    ],
)
def test_unusable_validation_data_are_refused_before_the_first_step(rng, validation, message):
    model = Sequential([Input((5,)), layers.Dense(3, "softmax")])
    model.compile("adam", SPARSE)
    x, y = rng.normal(size=(9, 5)), np.arange(9) % 3
    before = model.get_weights()[0].tobytes()
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(x, y, verbose=0, validation_data=validation(x, y))
    assert model.get_weights()[0].tobytes() == before
    assert model.history is None


def test_promise_10_a_sample_is_classified_alike_in_any_company(images_model, rng):
    x = rng.normal(size=(67, 8, 7, 2))
    whole = images_model.predict(x, verbose=0)
    order = rng.permutation(67)
    assert_close(images_model.predict(x[order], verbose=0), whole[order], "float32")
    assert_close(images_model.predict(x[20:31], verbose=0), whole[20:31], "float32")
    for size in (1, 7, 64):
        assert_close(images_model.predict(x, size, verbose=0), whole, "float32")
    for i in (0, 33, 66):
        assert_close(images_model.predict(x[i : i + 1], verbose=0), whole[i : i + 1], "float32")


def test_promise_11_arguments_stay_as_they_are(images_model, rng):
    for dtype in (np.float32, np.float64, np.uint8):
        x = (100 * rng.random((20, 8, 7, 2))).astype(dtype)
        y = rng.integers(0, 3, 20).astype(np.uint8)
        before = x.tobytes(), y.tobytes()
        for array in (x, y):
            array.setflags(write=False)
        images_model.fit(x, y, epochs=2, verbose=0, validation_data=(x, y))
        images_model.evaluate(x, y, verbose=0)
        images_model.predict(x, verbose=0)
        images_model.train_on_batch(x, y)
        images_model.fit(Dataset.from_tensor_slices((x, y)).batch(20), verbose=0)
        assert (x.tobytes(), y.tobytes()) == before


def test_promise_11_nobody_shares_memory_with_the_model(images_model, rng):
    x = rng.normal(size=(20, 8, 7, 2)).astype(np.float32)
    predictions = images_model.predict(x, verbose=0)
    weights = [w.tobytes() for w in images_model.get_weights()]
    kept = predictions.copy()
    predictions[...] = 7
    assert np.array_equal(images_model.predict(x, verbose=0), kept)
    images_model.evaluate(x, np.zeros(20, int), verbose=0)
    assert [w.tobytes() for w in images_model.get_weights()] == weights

    identity = Sequential([Input((4,)), layers.ReLU()])
    x = np.ones((3, 4), np.float32)
    assert not np.shares_memory(identity.predict(x, verbose=0), x)


def test_predicting_no_samples_gives_no_rows(images_model):
    predictions = images_model.predict(np.empty((0, 8, 7, 2)), verbose=0)
    assert predictions.shape == (0, 3)
    assert predictions.dtype == np.float32


def test_a_batch_of_a_dataset_is_checked_before_the_step_that_would_use_it(images_model, rng):
    x, y = rng.normal(size=(10, 8, 7, 2)), rng.integers(0, 3, 10)

    def one_good_one_bad():
        yield x, y
        yield x, y + 3

    with pytest.raises(ValueError, match="whole numbers from 0 to 2"):
        images_model.fit(Dataset.from_generator(one_good_one_bad), verbose=0)
    assert images_model.optimizer.iterations == 1
