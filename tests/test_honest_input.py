"""Whatever holds the same numbers gives the same results, to the bit, and is left as it was."""

import numpy as np
import pytest
from test_bad_input import X, Y, new_model
from tolerances import assert_close

from minicnn import Input, Sequential
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU, Softmax

# Whole numbers, so that integers and float16 hold them exactly.
WHOLE = np.round(X * 5).astype("float32")


def misaligned(x):
    """At an odd address, as in a packed file."""
    memory = np.zeros(x.nbytes + 1, np.uint8)
    result = memory[1:].view(x.dtype).reshape(x.shape)
    result[:] = x
    assert not result.flags.aligned
    return result


def read_only(x):
    result = x.copy()
    result.flags.writeable = False
    return result


def strided(x):
    """Every second image, row, column and channel of something larger."""
    larger = np.full([2 * size for size in x.shape], -1e9, x.dtype)
    result = larger[::2, ::2, ::2, ::2]
    result[:] = x
    return result


def memory_map(x, folder, mode):
    path = folder / "x.bin"
    x.tofile(path)
    return np.memmap(path, x.dtype, mode, shape=x.shape)


KINDS = {
    "float32": lambda x, folder: x.copy(),
    "float64": lambda x, folder: x.astype("float64"),
    "float16": lambda x, folder: x.astype("float16"),
    "long double": lambda x, folder: x.astype(np.longdouble),
    "uint8": lambda x, folder: x.astype("uint8"),
    "int8": lambda x, folder: x.astype("int8"),
    "int64": lambda x, folder: x.astype("int64"),
    "uint64": lambda x, folder: x.astype("uint64"),
    "Fortran order": lambda x, folder: np.asfortranarray(x),
    "channels first, seen as last": lambda x, folder: np.moveaxis(
        np.moveaxis(x, 3, 1).copy(), 1, 3
    ),
    "strided": lambda x, folder: strided(x),
    "reversed": lambda x, folder: x[::-1, ::-1].copy()[::-1, ::-1],
    "big-endian": lambda x, folder: x.astype(">f4"),
    "big-endian integers": lambda x, folder: x.astype(">i2"),
    "misaligned": lambda x, folder: misaligned(x),
    "read-only": lambda x, folder: read_only(x),
    "memory map": lambda x, folder: memory_map(x, folder, "r"),
    "writable memory map": lambda x, folder: memory_map(x, folder, "r+"),
    "copy-on-write memory map": lambda x, folder: memory_map(x, folder, "c"),
    "lists": lambda x, folder: x.tolist(),
    "tuple of arrays": lambda x, folder: tuple(x),
    "broadcast": lambda x, folder: np.broadcast_to(x, x.shape),
}
LABELS = {
    "uint8": lambda y: y.astype("uint8"),
    "column": lambda y: y[:, None],
    "floats": lambda y: y.astype("float32"),
    "big-endian": lambda y: y.astype(">i8"),
    "list": lambda y: y.tolist(),
    "reversed": lambda y: y[::-1].copy()[::-1],
    "read-only": lambda y: read_only(y),
    "strided": lambda y: np.repeat(y, 2)[::2],
}


def results(x, y):
    """All that a model says of `x`, and the weights that it learns from it."""
    model = new_model()
    predicted = model.predict(x, verbose=0)
    evaluated = model.evaluate(x, y, verbose=0)
    history = model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    on_batch = model.train_on_batch(x, y)
    return [predicted, evaluated, history.history["loss"], on_batch, *model.get_weights()]


def assert_same_bits(actual, expected):
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_any_honest_kind(kind, tmp_path):
    x = KINDS[kind](WHOLE, tmp_path)
    before = np.array(x)
    assert_same_bits(results(x, Y), results(WHOLE, Y))
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_honest_kind(kind):
    y = LABELS[kind](Y)
    before = np.array(y)
    assert_same_bits(results(WHOLE, y), results(WHOLE, Y))
    np.testing.assert_array_equal(y, before)


def test_booleans_are_zeros_and_ones():
    assert_same_bits(results(WHOLE > 2, Y % 2 > 0), results((WHOLE > 2).astype("float32"), Y % 2))


def test_doubles_become_single_at_the_door():
    x = np.random.default_rng(2).random(X.shape)
    assert_same_bits(results(x, Y), results(x.astype("float32"), Y))


@pytest.mark.parametrize("kind", KINDS)
def test_layers_take_any_honest_kind(kind, tmp_path):
    """By themselves, without the model's door; the gradient that comes in, too."""
    for layer in (Conv2D(8, 3, activation="relu"), MaxPooling2D(2), Flatten(), Dense(3), ReLU()):
        layer.build(X.shape[1:], np.random.default_rng(1))
        given = KINDS[kind](WHOLE, tmp_path)
        expected_y, expected_cache = layer.forward(WHOLE)
        y, cache = layer.forward(given)
        assert np.asarray(y).tolist() == expected_y.tolist()
        dy = np.round(expected_y)
        dx, grads = layer.backward(np.asfortranarray(dy.astype(">f8")), cache)
        expected_dx, expected_grads = layer.backward(dy.astype(y.dtype), expected_cache)
        np.testing.assert_array_equal(dx, expected_dx)
        for key, gradient in grads.items():
            np.testing.assert_array_equal(gradient, expected_grads[key])
        np.testing.assert_array_equal(given, WHOLE)


def test_a_batch_of_one():
    one, all_of_them = new_model().predict(X[2:3], verbose=0), new_model().predict(X, verbose=0)
    assert one.shape == (1, 3)
    assert_close(one, all_of_them[2:3], "float32")
    model = new_model()
    before = model.get_weights()
    model.fit(X[:1], Y[:1], verbose=0)
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predict_of_no_samples_has_no_rows(dtype):
    """Where Keras fails."""
    model = new_model(dtype)
    for nothing in (X[:0], np.empty((0, 8, 7, 1), np.uint8)):
        y = model.predict(nothing, verbose=0)
        assert y.shape == (0, 3)
        assert y.dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_take_no_samples(dtype):
    layers = (Conv2D(8, 3, padding="same"), Conv2D(4, (2, 3), 2), MaxPooling2D(2), Flatten())
    for layer in (*layers, Dense(3, "softmax"), ReLU(), Softmax()):
        layer.build((8, 7, 8), np.random.default_rng(1), dtype)
        y, cache = layer.forward(np.empty((0, 8, 7, 8), dtype))
        assert y.shape == (0, *layer.output_shape((8, 7, 8)))
        dx, grads = layer.backward(y, cache)
        assert dx.shape == (0, 8, 7, 8)
        for key, gradient in grads.items():
            np.testing.assert_array_equal(gradient, np.zeros_like(layer.params[key]))


@pytest.mark.parametrize("spoiled", [0, 3, 5])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_in_one_sample_is_nan_in_its_prediction_alone(spoiled, value):
    """Infinity turns to NaN in a convolution (inf - inf), and must not come out as a number."""
    model = new_model()
    clean = model.predict(X, verbose=0)
    x = X.copy()
    x[spoiled, 4, 3] = value
    with np.errstate(invalid="ignore"):
        y = model.predict(x, verbose=0)
    assert np.isnan(y[spoiled]).all()
    others = np.arange(len(x)) != spoiled
    np.testing.assert_array_equal(y[others], clean[others])


def test_nan_in_one_weight_is_nan_in_what_depends_on_it():
    model = new_model()
    weights = model.get_weights()
    weights[-1][1] = np.nan
    model.set_weights(weights)
    assert np.isnan(model.predict(X, verbose=0)).all()  # a softmax depends on all scores
    assert np.isnan(model.evaluate(X, Y, verbose=0)[0])


@pytest.mark.parametrize("index", range(6))
def test_nan_is_never_lost_in_a_layer(index):
    """Forward: NaN somewhere in, NaN somewhere out, for each layer of the model."""
    model = new_model()
    layer = model.layers[index]
    x = np.ones((2, *layer.input_shape), "float32")
    x[(1, *(0 for _ in layer.input_shape))] = np.nan
    y, _ = layer.forward(x)
    assert np.isnan(y[1]).any()
    assert np.isfinite(y[0]).all()


def test_outputs_and_weights_are_copies():
    model = new_model()
    clean, weights = model.predict(X, verbose=0), model.get_weights()
    clean_copy = clean.copy()
    for array in (*model.get_weights(), *model.layers[0].get_weights()):
        array[:] = 7
    model.predict(X, verbose=0)[:] = 7
    np.testing.assert_array_equal(model.predict(X, verbose=0), clean)
    np.testing.assert_array_equal(clean, clean_copy)  # nor did the later calls write into it
    given = [weight.copy() for weight in weights]
    model.set_weights(given)
    for weight in given:
        weight[:] = 7
    np.testing.assert_array_equal(model.predict(X, verbose=0), clean)
    inside = [weight for layer in model.layers for weight in layer.params.values()]
    for weight in (*model.get_weights(), *given):
        assert not any(np.shares_memory(weight, own) for own in inside)


def test_predictions_never_alias_the_images():
    """A model that does nothing but reshape still returns memory of its own."""
    model = Sequential([Input((8, 7, 1)), Flatten()])
    x = X.copy()
    y = model.predict(x, verbose=0)
    assert not np.shares_memory(x, y)
    y[:] = 7
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize(
    "layer_type",
    [
        lambda: Conv2D(8, 3, activation="relu"),
        MaxPooling2D,
        Flatten,
        lambda: Dense(3, "softmax"),
        ReLU,
        Softmax,
    ],
)
def test_passes_leave_inputs_weights_and_caches_alone(layer_type, rng):
    layer = layer_type()
    layer.build((8, 7, 1), rng)
    x = X - 0.5
    y, cache = layer.forward(x)
    dy = rng.standard_normal(y.shape).astype("float32")
    kept = [a.copy() for a in (x, y, dy, *layer.params.values())]
    first = layer.backward(dy, cache)
    again = layer.backward(dy, cache)
    np.testing.assert_array_equal(first[0], again[0])
    for key in layer.params:
        np.testing.assert_array_equal(first[1][key], again[1][key])
    for array, before in zip((x, y, dy, *layer.params.values()), kept, strict=True):
        np.testing.assert_array_equal(array, before)
