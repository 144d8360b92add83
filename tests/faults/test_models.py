"""Copies of models, optimizers of two models, frozen layers, and a learning rate of 0."""

import copy
import pickle

import numpy as np
import pytest

import minicnn
from minicnn import keras, layers
from minicnn.losses import CategoricalCrossentropy, SparseCategoricalCrossentropy
from minicnn.optimizers import SGD, Adam
from tests.twins import SPARSE, bits, classifier

X, Y = np.random.default_rng(4).normal(size=(40, 5)) * 500, np.arange(40) % 3
COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda model: pickle.loads(pickle.dumps(model))}


def network(library=minicnn, ending="dense", run_eagerly=False):
    minicnn.set_random_seed(2)
    end = [layers.Dense(3, "softmax")]
    if ending == "layer":
        end = [layers.Dense(3), layers.Softmax()]
    model = library.Sequential([minicnn.Input((5,)), layers.Dense(6, "relu"), *end])
    model.compile("adam", SPARSE, metrics=["accuracy"], run_eagerly=run_eagerly)
    model.fit(X, Y, verbose=0)
    return model


@pytest.mark.parametrize("made_by", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("ending", ["dense", "layer"])
@pytest.mark.parametrize("library", [minicnn, keras])
@pytest.mark.parametrize("run_eagerly", [False, True])
def test_a_copy_trains_as_the_original_to_the_bit(made_by, ending, library, run_eagerly):
    """With samples that are wrong by more than softmax can tell apart."""
    model = network(library, ending, run_eagerly)
    twin = made_by(model)
    found = []
    for each in (model, twin):
        minicnn.set_random_seed(3)
        history = each.fit(X, Y, epochs=2, verbose=0).history
        found.append((history, bits(each), each.predict(X, verbose=0).tobytes()))
    assert found[0] == found[1]
    assert found[0][0]["loss"][0] > 17  # a clipped loss is 16.1 at most


@pytest.mark.parametrize("optimizer", [Adam, SGD, lambda: SGD(0.1, 0.9)])
def test_an_optimizer_serves_one_model(optimizer):
    shared = optimizer()
    first, second = (classifier(optimizer=shared) for _ in range(2))
    first.fit(X, Y, verbose=0)
    before = bits(second)
    for step in (second.fit, second.train_on_batch):
        with pytest.raises(ValueError, match="give each model an optimizer of its own"):
            step(X, Y)
    assert bits(second) == before
    first.fit(X, Y, verbose=0)  # goes on


def test_a_new_head_after_training_is_told_what_to_call():
    model = classifier(optimizer="adam")
    model.fit(X, Y, verbose=0)
    model.add(layers.Dense(3, "softmax"))
    with pytest.raises(ValueError, match="call compile again after adding or unfreezing layers"):
        model.fit(X, Y, verbose=0)
    model.compile("adam", SPARSE)
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("batch_size", [1, 8, 40])
def test_a_frozen_layer_stays_and_is_counted(run_eagerly, batch_size):
    model = network(run_eagerly=run_eagerly)
    model.layers[0].trainable = False
    model.compile("adam", SPARSE, run_eagerly=run_eagerly)
    before, lines = model.get_weights(), []
    model.fit(X, Y, batch_size, verbose=0)
    moved = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert moved == [False, False, True, True]
    model.summary(lines.append)
    assert lines[-4:-1] == ["Total params: 57", "Trainable params: 21", "Non-trainable params: 36"]


@pytest.mark.parametrize("make", [Adam, SGD, keras.optimizers.RMSprop])
def test_a_learning_rate_of_0_looks_without_moving(make, tmp_path):
    model = classifier(optimizer=make(learning_rate=0.0), metrics=["accuracy"])
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    model.optimizer.learning_rate = 0
    model.save(tmp_path / "m.npz")
    loaded = minicnn.load_model(tmp_path / "m.npz")
    loaded.fit(X, Y, verbose=0)
    assert loaded.optimizer.learning_rate == 0
    for each in (model, loaded):
        for weight, expected in zip(each.get_weights(), before, strict=True):
            np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize("name", ["sparse", "one hot", "weighted"])
@pytest.mark.parametrize("ending", ["dense", "layer", "Activation"])
def test_logits_after_a_softmax_are_trained_on_with_a_warning(name, ending):
    """As Keras does: the loss is that of a network without the softmax."""
    y = np.eye(3)[Y] if name == "one hot" else Y
    loss = CategoricalCrossentropy if name == "one hot" else SparseCategoricalCrossentropy
    weight = np.linspace(0, 2, 40) if name == "weighted" else None
    results = []
    for with_softmax in (True, False):
        minicnn.set_random_seed(2)
        end = {"layer": layers.Softmax(), "Activation": layers.Activation("softmax")}.get(ending)
        activation = "softmax" if with_softmax and end is None else None
        parts = [layers.Dense(3, activation), *([end] if with_softmax and end else [])]
        model = minicnn.Sequential([minicnn.Input((5,)), *parts])
        model.compile("sgd", loss(from_logits=True))
        if with_softmax:
            with pytest.warns(UserWarning, match="received `from_logits=True`, but"):
                history = model.fit(X, y, sample_weight=weight, verbose=0).history
        else:
            history = model.fit(X, y, sample_weight=weight, verbose=0).history
        results.append((history, bits(model)))
    assert results[0] == results[1]
