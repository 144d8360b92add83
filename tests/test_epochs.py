"""Item 14: how `fit` divides a stream of batches into epochs, compared with Keras."""

import itertools
import threading
import warnings

import numpy as np
import pytest

from minicnn import Input, Sequential, layers
from minicnn.data import Dataset
from tests.twins import SPARSE, Recorder

RAN_OUT = "Your input ran out of data; interrupting training"
EPOCH = "epoch"


def numbered_batches(count):
    """`count` batches of two samples; each sample is the number of its batch."""
    return np.repeat(np.arange(count)[:, None], 2, axis=0).astype("float32"), np.zeros(2 * count)


def batch_by_batch(x, y):
    return ((x[i : i + 2], y[i : i + 2]) for i in range(0, len(x), 2))


def ours(kind, count, steps, epochs, monkeypatch):
    """The samples consumed, with EPOCH where an epoch begins; the number of warnings; history."""
    x, y = numbered_batches(count)
    recorder = Recorder()
    model = Sequential([Input((1,)), recorder, layers.Dense(2, "softmax")])
    model.compile("sgd", SPARSE)
    reset = model.reset_metrics
    monkeypatch.setattr(model, "reset_metrics", lambda: (recorder.seen.append(EPOCH), reset()))
    dataset = Dataset.from_tensor_slices((x, y)).batch(2)
    if kind == "generator":
        dataset = Dataset.from_generator(lambda: batch_by_batch(x, y))
    data = (
        {"x": x, "y": y, "batch_size": 2, "shuffle": False} if kind == "arrays" else {"x": dataset}
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(**data, epochs=epochs, steps_per_epoch=steps, verbose=0)
    assert {warning.filename for warning in caught} <= {__file__}
    # Every sample was recorded, so every batch twice.
    batches = [list(group) for key, group in itertools.groupby(recorder.seen)]
    assert all(len(group) == 2 for group in batches if group[0] != EPOCH)
    return recorder.seen, ran_out(caught), history


def theirs(tf, keras, kind, count, steps, epochs):
    """The same from Keras."""
    x, y = numbered_batches(count)
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
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(2)
    if kind == "generator":
        # Any of unknown length: from_generator leaves threads running, which slow the tests down.
        dataset = dataset.filter(lambda x, y: True)
    data = (
        {"x": x, "y": y, "batch_size": 2, "shuffle": False} if kind == "arrays" else {"x": dataset}
    )
    seen.clear()  # building a model may have called it
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(
            **data, epochs=epochs, steps_per_epoch=steps, verbose=0, callbacks=[Epochs()]
        )
    return seen, ran_out(caught), history


def ran_out(caught):
    """How many of the warnings say that the input ran out."""
    return sum(str(warning.message).startswith(RAN_OUT) for warning in caught)


CASES = [
    # batches, steps_per_epoch, epochs
    (5, 2, 3),
    (5, 5, 3),
    (5, 7, 2),
    (3, 2, 3),
    (4, 2, 4),
    (1, 3, 2),
]


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

    recorder = Recorder()
    model = Sequential([Input((1,)), recorder, layers.Dense(2, "softmax")])
    model.compile("sgd", SPARSE)
    for _ in range(2):
        model.fit(Dataset.from_generator(numbers), epochs=5, steps_per_epoch=3, verbose=0)
    assert recorder.seen == 2 * list(range(15))
    assert passes == [15, 15]  # and nothing is read ahead


def test_item_14_each_fit_shuffles_again():
    recorder = Recorder()
    model = Sequential([Input((1,)), recorder, layers.Dense(2, "softmax")])
    model.compile("sgd", SPARSE)
    numbers = Dataset.from_tensor_slices((np.arange(100)[:, None], np.zeros(100, int)))
    dataset = numbers.shuffle(100).repeat().batch(4)
    for _ in range(2):
        model.fit(dataset, epochs=5, steps_per_epoch=4, verbose=0)
    first, second = recorder.seen[:80], recorder.seen[80:]
    assert len(set(first)) == len(set(second)) == 80  # epochs of a fit continue one permutation
    assert first != second
    assert set(first) != set(second)  # the 20 samples left over are not used first


@pytest.mark.parametrize(
    ("call", "argument"),
    [("fit", "steps_per_epoch="), ("evaluate", "steps="), ("predict", "steps=")],
)
def test_item_14_an_infinite_dataset_is_refused_without_steps(call, argument):
    model = Sequential([Input((1,)), layers.Dense(2, "softmax")])
    model.compile("sgd", SPARSE)
    infinite = Dataset.from_tensor_slices(numbered_batches(3)).repeat().batch(2)
    with pytest.raises(ValueError, match=f"{call}: this Dataset never ends.*{argument}"):
        getattr(model, call)(infinite)
    assert model.optimizer.iterations == 0


def test_item_14_an_infinite_dataset_can_be_used_with_steps():
    model = Sequential([Input((1,)), layers.Dense(2, "softmax")])
    model.compile("sgd", SPARSE)
    infinite = Dataset.from_tensor_slices(numbered_batches(3)).repeat().batch(2)
    assert model.fit(infinite, steps_per_epoch=4, verbose=0).params["steps"] == 4
    assert isinstance(model.evaluate(infinite, steps=4, verbose=0), float)
    assert model.predict(infinite, steps=4, verbose=0).shape == (8, 2)


def test_an_empty_dataset_is_refused():
    for make in (
        lambda: Dataset.from_tensor_slices((np.empty((0, 1)), np.empty(0))).batch(2),
        lambda: Dataset.from_generator(lambda: iter(())),
    ):
        for build in (True, False):
            model = Sequential([layers.Dense(2, "softmax")])
            model.compile("sgd", SPARSE)
            if build:
                model.build((None, 1))
            for call in (model.fit, model.evaluate, model.predict):
                with pytest.raises(ValueError, match=r"expected at least one batch.*empty Dataset"):
                    call(make(), verbose=0)


def test_prefetching_threads_end_with_the_fit():
    threads = threading.active_count()
    x, y = numbered_batches(50)
    dataset = Dataset.from_tensor_slices((x, y)).batch(2).prefetch(2)
    model = Sequential([Input((1,)), layers.Dense(2, "softmax")])
    model.compile("sgd", SPARSE)
    bad = Dataset.from_tensor_slices((x, y + 7)).batch(2).prefetch(2)
    model.fit(dataset.repeat(), steps_per_epoch=3, verbose=0, validation_data=dataset)
    assert threading.active_count() == threads
    with pytest.raises(ValueError, match="whole numbers"):
        model.fit(dataset, verbose=0, validation_data=bad)
    assert threading.active_count() == threads


def test_the_error_of_a_source_reaches_the_caller():
    def breaks():
        yield numbered_batches(1)
        raise RuntimeError("the disk is gone")

    model = Sequential([Input((1,)), layers.Dense(2, "softmax")])
    model.compile("sgd", SPARSE)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        model.fit(Dataset.from_generator(breaks).prefetch(1), verbose=0)
    assert model.optimizer.iterations == 1
