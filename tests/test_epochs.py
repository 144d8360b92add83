"""Item 14: how `fit` divides a stream of batches into epochs, compared with Keras."""

import itertools
import threading
import warnings

import numpy as np
import pytest

from minicnn import Sequential, layers
from minicnn.data import Dataset
from tests.twins import SPARSE, classifier, recording_model

RAN_OUT = "Your input ran out of data; interrupting training"
EPOCH = "epoch"


def numbered_batches(count):
    """`count` batches of two samples; each sample is the number of its batch."""
    return np.repeat(np.arange(count)[:, None], 2, axis=0).astype("float32"), np.zeros(2 * count)


def some_batches(count=3):
    return Dataset.from_tensor_slices(numbered_batches(count)).batch(2)


def fit(model, kind, count, steps, epochs, dataset, **more):
    """History, the files of the warnings, and how many of these say that the input ran out."""
    x, y = numbered_batches(count)
    arrays = {"x": x, "y": y, "batch_size": 2, "shuffle": False}
    data = arrays if kind == "arrays" else {"x": dataset}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(**data, epochs=epochs, steps_per_epoch=steps, verbose=0, **more)
    ran_out = sum(str(warning.message).startswith(RAN_OUT) for warning in caught)
    return history, {warning.filename for warning in caught}, ran_out


def ours(kind, count, steps, epochs, monkeypatch):
    """The samples consumed, with EPOCH where an epoch begins; the number of warnings; history."""
    model, seen = recording_model()
    reset = model.reset_metrics
    monkeypatch.setattr(model, "reset_metrics", lambda: (seen.append(EPOCH), reset()))
    dataset = some_batches(count)
    if kind == "generator":
        batches = list(dataset)
        dataset = Dataset.from_generator(lambda: iter(batches))
    history, files, ran_out = fit(model, kind, count, steps, epochs, dataset)
    assert files <= {__file__}
    # Every sample was recorded, so every batch twice.
    groups = [list(group) for _, group in itertools.groupby(seen)]
    assert all(len(group) == 2 for group in groups if group[0] != EPOCH)
    return seen, ran_out, history


def theirs(tf, keras, kind, count, steps, epochs):
    """The same from Keras."""
    seen = []

    class Spy(keras.layers.Layer):
        def call(self, inputs):
            tf.py_function(lambda t: seen.extend(t[:, 0].numpy().tolist()), [inputs], [])
            return inputs

    class Epochs(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(EPOCH)

    model = keras.Sequential([keras.Input((1,)), Spy(), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", SPARSE, run_eagerly=True)
    dataset = tf.data.Dataset.from_tensor_slices(numbered_batches(count)).batch(2)
    if kind == "generator":
        # Any of unknown length: from_generator leaves threads running, which slow the tests down.
        dataset = dataset.filter(lambda x, y: True)
    seen.clear()  # building a model may have called it
    history, _, ran_out = fit(model, kind, count, steps, epochs, dataset, callbacks=[Epochs()])
    return seen, ran_out, history


# batches, steps_per_epoch, epochs
CASES = [(5, 2, 3), (5, 5, 3), (5, 7, 2), (3, 2, 3), (4, 2, 4), (1, 3, 2)]


@pytest.mark.filterwarnings("ignore")  # Keras' own
@pytest.mark.parametrize("kind", ["arrays", "dataset", "generator"])
@pytest.mark.parametrize(("count", "steps", "epochs"), CASES)
def test_item_14_epochs_are_cut_as_in_keras(tf, keras, monkeypatch, kind, count, steps, epochs):
    seen, warned, history = ours(kind, count, steps, epochs, monkeypatch)
    expected, keras_warned, keras_history = theirs(tf, keras, kind, count, steps, epochs)
    assert seen == expected
    assert warned == keras_warned
    assert history.params == keras_history.params
    assert history.epoch == keras_history.epoch


@pytest.mark.parametrize("kind", ["arrays", "dataset", "generator"])
def test_item_14_without_steps_an_epoch_is_one_pass_without_warnings(kind, monkeypatch):
    seen, warned, history = ours(kind, 3, None, 2, monkeypatch)
    assert seen == 2 * [EPOCH, 0, 0, 1, 1, 2, 2]
    assert warned == 0
    # Neither library knows how many steps a generator has; Keras warns.
    assert history.params["steps"] == (None if kind == "generator" else 3)


def test_item_14_one_iterator_serves_all_epochs_of_a_fit():
    passes = []

    def numbers():
        passes.append(0)
        for i in range(100):
            passes[-1] += 1
            yield np.full((1, 1), i), np.zeros(1)

    model, seen = recording_model()
    for _ in range(2):
        model.fit(Dataset.from_generator(numbers), epochs=5, steps_per_epoch=3, verbose=0)
    assert seen == 2 * list(range(15))
    assert passes == [15, 15]  # and nothing is read ahead


def test_item_14_each_fit_shuffles_again():
    model, seen = recording_model()
    numbers = Dataset.from_tensor_slices((np.arange(100)[:, None], np.zeros(100, int)))
    dataset = numbers.shuffle(100).repeat().batch(4)
    for _ in range(2):
        model.fit(dataset, epochs=5, steps_per_epoch=4, verbose=0)
    first, second = seen[:80], seen[80:]
    assert len(set(first)) == len(set(second)) == 80  # epochs of a fit continue one permutation
    assert first != second
    assert set(first) != set(second)  # the 20 samples left over are not used first


@pytest.mark.parametrize(
    ("call", "argument"),
    [("fit", "steps_per_epoch="), ("evaluate", "steps="), ("predict", "steps=")],
)
def test_item_14_an_infinite_dataset_is_refused_without_steps(call, argument):
    model, infinite = classifier(inputs=1), some_batches().repeat()
    with pytest.raises(ValueError, match=f"{call}: this Dataset never ends.*{argument}"):
        getattr(model, call)(infinite)
    assert model.optimizer.iterations == 0


def test_item_14_an_infinite_dataset_can_be_used_with_steps():
    model, infinite = classifier(inputs=1), some_batches().repeat()
    assert model.fit(infinite, steps_per_epoch=4, verbose=0).params["steps"] == 4
    assert isinstance(model.evaluate(infinite, steps=4, verbose=0), float)
    assert model.predict(infinite, steps=4, verbose=0).shape == (8, 3)


@pytest.mark.parametrize("build", [True, False])
@pytest.mark.parametrize("empty", [some_batches(0), Dataset.from_generator(lambda: iter(()))])
def test_an_empty_dataset_is_refused(empty, build):
    model = Sequential([layers.Dense(2, "softmax")])
    model.compile("sgd", SPARSE)
    if build:
        model.build((None, 1))
    for call in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match=r"expected at least one batch.*empty Dataset"):
            call(empty, verbose=0)


def test_prefetching_threads_end_with_the_fit():
    threads = threading.active_count()
    model, dataset = classifier(inputs=1), some_batches(50).prefetch(2)
    bad = some_batches(50).map(lambda x, y: (x, y + 7)).prefetch(2)
    model.fit(dataset.repeat(), steps_per_epoch=3, verbose=0, validation_data=dataset)
    assert threading.active_count() == threads
    with pytest.raises(ValueError, match="whole numbers"):
        model.fit(dataset, verbose=0, validation_data=bad)
    assert threading.active_count() == threads


def test_the_error_of_a_source_reaches_the_caller():
    def breaks():
        yield numbered_batches(1)
        raise RuntimeError("the disk is gone")

    model = classifier(inputs=1)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        model.fit(Dataset.from_generator(breaks).prefetch(1), verbose=0)
    assert model.optimizer.iterations == 1
