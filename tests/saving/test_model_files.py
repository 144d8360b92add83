"""Models on disk, and promise 20: training continues from there bit for bit."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import Input, Sequential, layers, load_model
from minicnn.data import Dataset
from minicnn.initializers import Initializer
from minicnn.optimizers import SGD, Adam
from tests.promises import interruptions
from tests.twins import SPARSE, bits

X = np.random.default_rng(5).normal(size=(50, 6, 5, 2))
Y = np.arange(50) % 3


def new_model(optimizer="adam", dtype="float32"):
    minicnn.set_random_seed(1)
    parts = [
        layers.Conv2D(3, [3, 2], padding="same", activation="relu", strides=(2, 1)),
        layers.MaxPooling2D(2, padding="same"),
        layers.Conv2D(2, 2, use_bias=False, algorithm="im2col"),
        *(layers.ReLU(), layers.Flatten(name="flat"), layers.Dense(3), layers.Softmax()),
    ]
    model = Sequential([Input((6, 5, 2)), *parts], dtype=dtype)
    model.compile(optimizer, SPARSE, metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained model and its file."""
    model, path = new_model(), tmp_path_factory.mktemp("trained") / "model.npz"
    model.fit(X, Y, verbose=0)
    model.save(path)
    return model, path


@pytest.fixture
def path(trained, tmp_path):
    """A copy of that file."""
    return Path(shutil.copy(trained[1], tmp_path))


@pytest.mark.parametrize("optimizer", [Adam, lambda: SGD(0.1, momentum=0.9, nesterov=True)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_promise_20_training_goes_on_bit_for_bit_after_every_epoch(tmp_path, optimizer, dtype):
    path, rest = tmp_path / "model.npz", {"verbose": 0, "validation_data": (X[:7], Y[:7])}
    whole = new_model(optimizer(), dtype)
    record = whole.fit(X, Y, epochs=3, **rest).history
    for k in range(4):
        stopped = new_model(optimizer(), dtype)
        if k:
            stopped.fit(X, Y, epochs=k, verbose=0)
        stopped.save(path)
        minicnn.set_random_seed(99)
        resumed = load_model(path)
        assert bits(resumed) == bits(stopped)
        history = resumed.fit(X, Y, epochs=3, initial_epoch=k, **rest)
        assert bits(resumed) == bits(whole)
        assert resumed.optimizer.iterations == whole.optimizer.iterations
        assert history.history == ({name: v[k:] for name, v in record.items()} if k < 3 else {})


@pytest.mark.parametrize("endless", [False, True])
def test_promise_20_a_dataset_comes_to_where_it_was_by_skipping(tmp_path, endless):
    def dataset():
        found = Dataset.from_tensor_slices((X, Y)).shuffle(20, seed=4)
        return found.repeat().batch(8) if endless else found.batch(8)

    steps = 3 if endless else 7

    def trained(epochs):
        model, steps_per_epoch = new_model(), steps if endless else None
        model.fit(dataset(), epochs=epochs, steps_per_epoch=steps_per_epoch, verbose=0)
        return model

    whole = trained(epochs=3)
    for k in range(1, 3):
        model = trained(epochs=k)
        model.save(tmp_path / "model.npz")
        rest = (dataset() if endless else dataset().repeat()).skip(k * steps)
        model = load_model(tmp_path / "model.npz")
        model.fit(rest, epochs=3, initial_epoch=k, steps_per_epoch=steps, verbose=0)
        assert bits(model) == bits(whole)


@pytest.mark.parametrize("count", [0, 1, 5, 10, 11, -1])
def test_skip_is_that_of_tf_data(tf, count):
    ours, theirs = Dataset.from_tensor_slices(np.arange(10)), tf.data.Dataset.range(10)
    for pair in ((ours, theirs), (ours.repeat(2), theirs.repeat(2))):
        mine, other = (dataset.skip(count) for dataset in pair)
        assert list(mine) == list(other.as_numpy_iterator())
        assert mine.cardinality() == int(other.cardinality())
    assert ours.repeat().skip(5).cardinality() == int(theirs.repeat().skip(5).cardinality())


def test_a_loaded_model_is_the_saved_one(trained, tmp_path):
    model, path = trained
    loaded = load_model(str(path))
    assert loaded.layers[4].name == "flat"
    assert loaded.get_config()["layers"][0]["config"]["kernel_size"] == [3, 2]
    assert np.array_equal(model.predict(X, verbose=0), loaded.predict(X, verbose=0))
    assert model.evaluate(X, Y, verbose=0) == loaded.evaluate(X, Y, verbose=0)
    uncompiled = Sequential([Input((4,)), layers.Dense(2)])
    uncompiled.save(tmp_path / "bare.npz")
    assert load_model(tmp_path / "bare.npz").optimizer is None
    with pytest.raises(ValueError, match="does not know the shape"):
        Sequential([layers.Dense(2)]).save(tmp_path / "unbuilt.npz")


def test_configurations_make_twins():
    model = new_model()
    twin = Sequential.from_config(model.get_config())
    assert twin.get_config() == model.get_config()
    assert bits(twin) != bits(model)
    for layer in model.layers:
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
    assert Adam.from_config(Adam(0.5, beta_1=0.7).get_config()).beta_1 == 0.7


class Scaling(layers.Layer):
    def __init__(self, factor=2.0, name=None):
        super().__init__(name)
        self.factor = factor

    def output_shape(self, input_shape):
        return input_shape

    def forward(self, x):
        return self.factor * self.checked_input(x), None

    def backward(self, dy, cache):
        return self.factor * dy, {}


class Secretive(Scaling):
    def __init__(self, hidden, name=None):
        super().__init__(name=name)


class Own(Initializer):
    def __call__(self, shape, rng=None, dtype="float32"):
        return np.ones(shape, dtype)


def test_layers_of_ones_own_are_named_or_refused(tmp_path):
    path = tmp_path / "own.npz"
    parts = [Input((4,)), Scaling(3.0), layers.Dense(2, kernel_initializer=Own())]
    Sequential(parts).save(path)
    with pytest.raises(ValueError, match=r"own\.npz does not hold a model: it uses 'Scaling'"):
        load_model(path)
    loaded = load_model(path, custom_objects={"Scaling": Scaling, "Own": Own})
    assert loaded.predict(np.ones((1, 4)), verbose=0).tolist() == [[12, 12]]
    nameless = layers.Dense(2, kernel_initializer=lambda shape, rng, dtype: np.ones(shape))
    for bad in (Secretive(3), nameless):
        with pytest.raises(NotImplementedError, match="define get_config"):
            Sequential([Input((4,)), bad]).save(tmp_path / "bad.npz")
    assert list(tmp_path.iterdir()) == [path]


def rewritten(place, **changes):
    """Damage that changes the JSON text, in the part to which the words of `place` lead."""

    def damage(arrays):
        content = part = json.loads(arrays["model.json"].tobytes())
        for key in place.split():
            part = part[int(key) if key.isdigit() else key]
        part.update(changes)
        arrays["model.json"] = np.frombuffer(json.dumps(content).encode(), np.uint8)

    return damage


DAMAGED = {
    "no JSON": lambda a: a.pop("model.json"),
    "no JSON but bytes": lambda a: a.update({"model.json": np.arange(9, dtype=np.uint8)}),
    "JSON as floats": lambda a: a.update({"model.json": a["model.json"].astype("float32")}),
    "a list": lambda a: a.update({"model.json": np.frombuffer(b"[1, 2]", np.uint8)}),
    "deep brackets": lambda a: a.update({"model.json": np.frombuffer(b"[" * 10**5, np.uint8)}),
    "a weight less": lambda a: a.pop("dense/bias"),
    "a moment less": lambda a: a.pop("optimizer/m/dense/bias"),
    "an extra array": lambda a: a.update(extra=np.zeros(1)),
    "another shape": lambda a: a.update({"dense/bias": np.zeros(4, "f4")}),
    "another format": rewritten("", format=2),
    "a huge layer": rewritten("model layers 5 config", units=10**12),
    "a negative layer": rewritten("model layers 5 config", units=-1),
    "an unknown argument": rewritten("model layers 5 config", x=1),
    "a class of Python's": rewritten("model layers 4", class_name="exec"),
    "no layer": rewritten("model layers 4", class_name="Adam", config={}),
    "no layers": rewritten("model", layers=[]),
    "negative steps": rewritten("training", iterations=-1),
    "other slots": rewritten("training", slots=["velocity"]),
    "an unknown optimizer": rewritten("training optimizer", class_name="Lion"),
    "another generator": rewritten("random_stream", bit_generator="MT19937"),
    "a negative state": rewritten("random_stream state", state=-1),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_model_files_are_refused_and_nothing_changes(path, damage):
    with np.load(path) as file:
        arrays = dict(file)
    damage(arrays)
    np.savez(path, **arrays)
    assert_refused(path)


def assert_refused(path):
    stream = minicnn.session.random_stream()
    before = stream.bit_generator.state
    with pytest.raises(ValueError, match="does not hold a model"):
        load_model(path)
    assert minicnn.session.random_stream() is stream
    assert stream.bit_generator.state == before


def test_truncated_and_foreign_model_files_are_refused(path, tmp_path):
    content = path.read_bytes()
    for length in range(0, len(content), 397):
        path.write_bytes(content[:length])
        assert_refused(path)
    model = new_model()
    model.save_weights(path)
    with pytest.raises(ValueError, match=r"weights alone are for model\.load_weights"):
        load_model(path)
    model.save(path)
    before = model.get_weights()
    model.set_weights([weight + 1 for weight in before])
    model.load_weights(path)  # of a whole model
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.full
@pytest.mark.skipif(sys.platform == "win32", reason="signals are different there")
def test_promise_20_in_new_processes():
    outcome = interruptions.resumed_fits(1)
    assert outcome.kept, outcome.figure
