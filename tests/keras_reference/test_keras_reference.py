"""Models converted to Keras and back, compared layer by layer; and what cannot be converted."""

import sys

import numpy as np
import pytest

import minicnn
import minicnn.tutorial
from minicnn import layers
from minicnn.keras_reference import compare, difference, from_keras, to_keras
from tests.tolerances import assert_close
from tests.twins import SPARSE

pytestmark = pytest.mark.usefixtures("keras")

OPTIMIZERS = {
    "Adam": lambda: minicnn.optimizers.Adam(0.002, beta_1=0.8, beta_2=0.99, epsilon=1e-6),
    "SGD with momentum": lambda: minicnn.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "SGD": lambda: minicnn.optimizers.SGD(0.01),
}
every_optimizer = pytest.mark.parametrize("new_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)


def small_model(dtype="float64", optimizer="adam"):
    """A compiled model with all layers, and strides and padding of all kinds."""
    model = minicnn.Sequential(
        [
            minicnn.Input((11, 9, 2)),
            layers.Conv2D(4, (3, 2), strides=(2, 1), padding="same", activation="relu"),
            layers.MaxPooling2D((2, 3), strides=(1, 2), padding="same"),
            layers.Conv2D(9, 3, use_bias=False),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(6, activation="relu"),
            layers.Dense(5),
            layers.Softmax(name="chances"),
        ],
        name="small",
        dtype=dtype,
    )
    model.compile(optimizer, SPARSE, metrics=["accuracy"])
    return model


def batch(rng, n=20):
    return rng.normal(size=(n, 11, 9, 2)).astype("float32"), rng.integers(0, 5, n)


def assert_same_bits(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def keras_state(model):
    return [v.numpy() for v in (*model.weights, *model.optimizer.variables)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_optimizer
def test_conversion_to_keras_and_back_keeps_every_bit(rng, dtype, new_optimizer):
    optimizer = new_optimizer()
    model = small_model(dtype, optimizer)
    for _ in range(3):
        model.train_on_batch(*batch(rng))
    twin = to_keras(model)
    assert twin.name == "small"
    assert [layer.name for layer in twin.layers] == [layer.name for layer in model.layers]
    assert twin.count_params() == model.count_params()
    back = from_keras(twin)
    again = to_keras(back)
    assert_same_bits(back.get_weights(), model.get_weights())
    assert_same_bits(keras_state(again), keras_state(twin))
    assert back.optimizer.iterations == 3
    for slot in model.optimizer.state if np.any(getattr(optimizer, "momentum", 1)) else ():
        assert_same_bits(back.optimizer.state[slot], model.optimizer.state[slot])
    for name in ("learning_rate", "beta_1", "beta_2", "epsilon", "momentum", "nesterov"):
        assert getattr(back.optimizer, name, None) == getattr(optimizer, name, None)
    assert back.loss.from_logits == model.loss.from_logits
    assert [metric.name for metric in back.metrics] == ["accuracy"]


@every_optimizer
def test_the_next_step_is_the_same_in_both_libraries(rng, new_optimizer):
    model = small_model("float64", new_optimizer())
    for _ in range(3):
        model.train_on_batch(*batch(rng))
    twin = to_keras(model)
    back = from_keras(twin)
    before, x_and_y = model.get_weights(), batch(rng)
    losses = [np.atleast_1d(m.train_on_batch(*x_and_y))[0] for m in (model, twin, back)]
    assert_close(losses, [losses[0]] * 3, "float64")
    for ours, theirs, ours_again, old in zip(
        model.get_weights(), twin.get_weights(), back.get_weights(), before, strict=True
    ):
        assert (ours != old).any()
        assert_close(theirs, ours, "steps")
        np.testing.assert_array_equal(ours_again, ours)


def test_a_model_that_is_not_compiled(keras):
    model = small_model()
    model.optimizer = None
    twin = to_keras(model)
    assert not twin.compiled
    assert from_keras(twin).optimizer is None


def test_a_model_made_by_keras(keras, rng):
    """With weights and training by Keras, and names that minicnn does not know."""
    theirs = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(3, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    theirs.compile("adam", loss, metrics=[keras.metrics.SparseCategoricalAccuracy(name="hits")])
    x, y = rng.normal(size=(40, 8, 8, 1)).astype("float32"), rng.integers(0, 4, 40)
    theirs.fit(x, y, verbose=0)
    ours = from_keras(theirs)
    assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), "float32")
    assert ours.loss.from_logits
    assert ours.metrics[0].name == "hits"
    assert ours.optimizer.learning_rate == 0.001
    expected = theirs.evaluate(x, y, verbose=0)
    assert_close(ours.evaluate(x, y, verbose=0), expected, "float32 loss")


def test_dropout_and_frozen_layers_are_converted():
    parts = [layers.Dense(4), layers.Dropout(0.25, seed=3), layers.Dense(2, "softmax")]
    model = minicnn.Sequential([minicnn.Input((5,)), *parts])
    parts[0].trainable = False
    twin = to_keras(model)
    assert (twin.layers[1].rate, twin.layers[1].seed) == (0.25, 3)
    back = from_keras(twin)
    for converted in (twin, back):
        assert [layer.trainable for layer in converted.layers] == [False, True, True]
    assert back.layers[1].get_config() == parts[1].get_config()


def refusals(keras):
    """Layers that minicnn does not have, by a word that the error has to contain."""
    k = keras.layers
    dense = k.Dense(2)
    regularized = k.Dense(2, kernel_regularizer=keras.regularizers.OrthogonalRegularizer())
    return {
        "noise_shape": [k.Dropout(0.5, noise_shape=(1, 6, 6, 2))],
        "LayerNormalization": [k.LayerNormalization()],
        "axis must be": [k.BatchNormalization(axis=1)],
        "dilation_rate=(2, 2)": [k.Conv2D(2, 3, dilation_rate=2)],
        "groups=2": [k.Conv2D(2, 3, groups=2)],
        "no regularizer": [k.Flatten(), regularized],
        "negative_slope": [k.ReLU(negative_slope=0.1)],
        "axis=1": [k.Softmax(axis=1)],
        "activation": [k.Flatten(), k.Dense(2, activation="gelu")],
        "float32, float64": [k.Flatten(dtype="float64"), dense],
        "mixed_float16": [k.Flatten(dtype="mixed_float16")],
    }


def test_layers_that_minicnn_does_not_have_are_refused_by_name(keras):
    for word, chosen in refusals(keras).items():
        model = keras.Sequential([keras.Input((6, 6, 2)), *chosen])
        with pytest.raises(ValueError, match=f"(?s){word.replace('(', '.').replace(')', '.')}"):
            from_keras(model)


def test_other_models_are_refused(keras):
    x = keras.Input((3,))
    with pytest.raises(TypeError, match=r"expected a keras.Sequential, received Functional"):
        from_keras(keras.Model(x, keras.layers.Dense(2)(x)))
    with pytest.raises(ValueError, match="has no weights yet"):
        from_keras(keras.Sequential([keras.layers.Dense(2)], name="unbuilt"))


COMPILED = {
    "Adagrad": {"optimizer": "adagrad"},
    "amsgrad=True": {"optimizer": lambda keras: keras.optimizers.Adam(amsgrad=True)},
    "clipnorm=1.0": {"optimizer": lambda keras: keras.optimizers.SGD(clipnorm=1.0)},
    "weight_decay": {"optimizer": lambda keras: keras.optimizers.Adam(weight_decay=0.1)},
    "schedule": {
        "optimizer": lambda keras: keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecayRestarts(0.1, 10)
        )
    },
    "mae": {"loss": "mae"},
    "ignore_class": {
        "loss": lambda keras: keras.losses.SparseCategoricalCrossentropy(ignore_class=1)
    },
    "top_k": {"metrics": ["sparse_top_k_categorical_accuracy"]},
    "weighted_metrics": {"weighted_metrics": ["accuracy"]},
}


@pytest.mark.parametrize("word", COMPILED)
def test_options_of_training_that_minicnn_does_not_have_are_refused(keras, word):
    options = {
        name: value(keras) if callable(value) else value for name, value in COMPILED[word].items()
    }
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="softmax")])
    model.compile(**{"optimizer": "adam", "loss": SPARSE} | options)
    with pytest.raises(ValueError, match=word):
        from_keras(model)


def test_own_layers_cannot_be_converted(keras):
    class Twice(layers.Flatten):
        pass

    with pytest.raises(ValueError, match="'twice' is your own layer"):
        to_keras(minicnn.Sequential([minicnn.Input((2, 2)), Twice()]))
    with pytest.raises(ValueError, match="does not know the shape"):
        to_keras(minicnn.Sequential([layers.Flatten()]))


def test_compare_finds_every_array_of_every_layer(rng):
    model = small_model()
    model.train_on_batch(*batch(rng))
    weights = model.get_weights()
    report = compare(model, *batch(rng))
    found = {(d.layer, d.quantity) for d in report.differences}
    expected = {(layer.name, f"d{key}") for layer in model.layers for key in layer.params}
    expected |= {(layer.name, f"d{key} (fit)") for layer in model.layers for key in layer.params}
    expected |= {(layer.name, q) for layer in model.layers for q in ("output", "dX")}
    assert found == expected
    assert report.worst.relative < 1e-12
    assert report.parameters == [
        (layer.name, layer.count_params(), layer.count_params()) for layer in model.layers
    ]
    assert_close(report.loss[0], report.loss[1], "float64")
    assert_same_bits(model.get_weights(), weights)
    text = str(report)
    assert all(layer.name in text for layer in model.layers)
    assert "largest relative difference" in text


def test_compare_finds_the_layer_that_is_wrong(rng, monkeypatch):
    """A pooling layer whose dX is doubled: it is wrong, and all gradients before it."""
    right = layers.MaxPooling2D.backward
    monkeypatch.setattr(
        layers.MaxPooling2D, "backward", lambda *args: (2 * right(*args)[0], right(*args)[1])
    )
    report = compare(small_model(), *batch(rng))
    wrong = {(d.layer, d.quantity) for d in report.differences if d.relative > 1e-9}
    assert wrong == {
        ("max_pooling2d", "dX"),
        ("conv2d", "dX"),
        ("conv2d", "dkernel"),
        ("conv2d", "dbias"),
    }
    worst = [d.relative for d in report.differences if (d.layer, d.quantity) in wrong]
    assert_close(worst, [1.0] * 4, "float64")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_compare_the_tutorials_network(rng, dtype):
    """In single precision some of 100,000 pooling windows have ties up to rounding."""
    model = minicnn.tutorial.tutorial_network(dtype=dtype)
    report = compare(model, rng.random((32, 28, 28, 1)), rng.integers(0, 10, 32))
    assert sum(ours for _, ours, _ in report.parameters) == 253_514
    if dtype == "float64":
        assert report.worst.relative < 1e-12
        assert sum(d.apart for d in report.differences) == 0
        return
    assert max(d.relative for d in report.differences if d.quantity == "output") < 1e-5
    after_pooling = [d for d in report.differences if d.layer in ("flatten", "dense", "dense_1")]
    assert max(d.relative for d in after_pooling) < 1e-5
    (ties,) = (d for d in report.differences if d[:2] == ("max_pooling2d_1", "dX"))
    assert ties.apart / ties.entries < 1e-4


def test_compare_refuses_what_the_model_cannot_take(rng):
    model = small_model()
    x, y = batch(rng)
    with pytest.raises(ValueError, match="expected x of shape"):
        compare(model, x[..., :1], y)
    with pytest.raises(ValueError, match="whole numbers from 0 to 4"):
        compare(model, x, y + 1)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([1.0, 2.5], [1.0, 2.0], (0.5, 0.25)),
        ([0.5], [0.0], (0.5, 0.5)),
        ([np.inf, 1.0], [np.inf, 1.0], (0.0, 0.0)),
        ([np.nan], [1.0], (np.inf, np.inf)),
        ([np.nan], [np.nan], (np.inf, np.inf)),
        ([1.0, 2.0], [[1.0, 2.0]], (np.inf, np.inf)),
        ([], [], (0.0, 0.0)),
    ],
)
def test_difference(ours, theirs, expected):
    assert difference(np.array(ours), np.array(theirs)) == expected


@pytest.mark.parametrize("call", [to_keras, from_keras, lambda m: compare(m, None, None)])
def test_without_tensorflow_the_error_says_what_to_install(monkeypatch, call):
    model = small_model()
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match=r"pip install"):
        call(model)
