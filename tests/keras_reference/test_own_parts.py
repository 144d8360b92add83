"""Twelve parts of a user's own: checked, compared with Keras, trained, saved and loaded."""

import numpy as np
import pytest

import minicnn
from minicnn import Input, Sequential, layers, load_model
from minicnn.gradcheck import check_gradients
from minicnn.keras_reference import compare, compare_layers, difference
from tests.keras_reference import own_parts as own
from tests.tolerances import assert_close

pytestmark = pytest.mark.usefixtures("keras")
IMAGE, CLASSES = (6, 5, 2), 3
SPARSE = "sparse_categorical_crossentropy"

# Layers in the middle of a network, and what stands before them.
LAYERS = {
    "average pooling": own.MyAveragePooling,
    "global pooling": own.MyGlobalPooling,
    "tanh": own.MyTanh,
    "LeakyReLU": own.MyLeakyReLU,
    "depthwise convolution": own.MyDepthwise,
    "residual": own.MyResidual,
    "batch normalisation": own.MyBatchNormalization,
    "Dropout": own.MyDropout,
}
OTHERS = ("RMSprop", "metric", "mean squared error", "initializer")
PARTS = (*LAYERS, *OTHERS)
CUSTOM = {
    each.__name__: each
    for each in vars(own).values()
    if isinstance(each, type) and each.__module__ == own.__name__
}


def network(part, dtype="float64", run_eagerly=False):
    """A compiled network with that part."""
    minicnn.clear_session()
    minicnn.set_random_seed(1)
    kernel = {"kernel_initializer": own.MyHeNormal()} if part == "initializer" else {}
    middle = [LAYERS[part]()] if part in LAYERS else []
    ending = layers.Dense(CLASSES, activation=None if part == "mean squared error" else "softmax")
    model = Sequential(
        [
            Input(IMAGE),
            layers.Conv2D(4, 3, padding="same", activation="relu", **kernel),
            *middle,
            layers.Flatten(),
            ending,
        ],
        dtype=dtype,
    )
    optimizer = own.MyRMSprop(2**-7) if part == "RMSprop" else minicnn.optimizers.SGD(2**-4)
    loss = own.MyMeanSquaredError() if part == "mean squared error" else SPARSE
    metrics = [own.MySurprise()] if part == "metric" else []
    model.compile(optimizer, loss, metrics=metrics, run_eagerly=run_eagerly)
    return model


def data(part, n):
    rng = np.random.default_rng(n)
    x = rng.standard_normal((n, *IMAGE))
    return x, rng.random((n, CLASSES)) if part == "mean squared error" else rng.integers(0, 3, n)


def trained(part, batch, threads=2, **options):
    """Weights and state after an epoch of two batches and a half."""
    minicnn.set_num_threads(threads)
    model = network(part, **options)
    x, y = data(part, batch * 5 // 2)
    model.fit(x, y, batch, verbose=0)
    return model


def worst_gradient_error(part):
    """1: gradients by differences, of the layer itself, or of a network with the part."""
    rng = np.random.default_rng(2)
    if part in LAYERS:
        shape = (6,) if part == "residual" else IMAGE
        report = check_gradients(LAYERS[part](), rng.standard_normal((4, *shape)), rng=rng)
    else:
        report = check_gradients(network(part), *data(part, 5), rng=rng)
    report.assert_ok()
    return max(row.error for row in report.rows)


def difference_from_keras(part, count=6, steps=0, batch=17):
    """2: the layer by itself on drawn inputs; and the network, also after some steps."""
    worst = 0.0
    if part in LAYERS:
        shape = (None,) if part == "residual" else (None, None, None)
        layer = LAYERS[part]()
        twin = layer.keras_twin()
        twin, layout = twin if isinstance(twin, tuple) else (twin, None)
        report = compare_layers(layer, twin, input_shape=shape, weights=layout, count=count)
        report.assert_ok()
        worst = max(q.relative for q in report.quantities if q.dtype == "float64")
    found = compare(network(part), *data(part, batch), steps=0 if part == "Dropout" else steps)
    return max(worst, found.worst.relative)


def same_on_all_threads(part, batch):
    """3: one and two threads give the same bits, and the core the same numbers."""
    one, two, core = (
        trained(part, batch, **options)
        for options in ({"threads": 1}, {"threads": 2}, {"run_eagerly": True})
    )
    for a, b, c in zip(*(m.get_weights() for m in (one, two, core)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert_close(a, c, "float64")
    return max(difference(a, c)[1] for a, c in zip(one.get_weights(), core.get_weights()))  # noqa: B905


def saved_and_loaded(part, folder):
    """4: the loaded model predicts the same, and its next step is the same."""
    model = trained(part, 17)
    model.save(folder / "model.npz")
    loaded = load_model(folder / "model.npz", custom_objects=CUSTOM)
    x, y = data(part, 17)
    np.testing.assert_array_equal(model.predict(x, verbose=0), loaded.predict(x, verbose=0))
    if part != "Dropout":
        assert model.train_on_batch(x, y) == loaded.train_on_batch(x, y)
        for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("part", PARTS)
def test_own_parts(part, tmp_path):
    assert worst_gradient_error(part) < 1e-6
    assert difference_from_keras(part, count=4) < 2e-7
    same_on_all_threads(part, 17)
    saved_and_loaded(part, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("batch", [17, 32, 64])
def test_own_parts_trained_beside_keras(part, batch):
    same_on_all_threads(part, batch)
    assert difference_from_keras(part, count=40, steps=3, batch=batch) < 2e-7


def table(folder):
    """All figures of all parts, printed."""
    print(
        f"{'part':22} {'gradients':>10} {'Keras':>9}", *(f"{b:>9}" for b in (17, 32, 64)), " saved"
    )
    for part in PARTS:
        gradient, keras = worst_gradient_error(part), difference_from_keras(part, 40)
        steps = [difference_from_keras(part, 1, 3, batch) for batch in (17, 32, 64)]
        for batch in (17, 32, 64):
            same_on_all_threads(part, batch)
        saved_and_loaded(part, folder)
        print(f"{part:22} {gradient:>10.1e} {keras:>9.1e}", *(f"{s:>9.1e}" for s in steps), "  yes")


def test_missing_custom_objects_are_named_all_at_once(tmp_path):
    model = network("tanh")
    model.compile(own.MyRMSprop(), own.MyMeanSquaredError(), metrics=[own.MySurprise()])
    model.save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"MyTanh.*MyRMSprop.*MyMeanSquaredError.*MySurprise"):
        load_model(tmp_path / "model.npz")
