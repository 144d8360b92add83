"""Whatever holds the same numbers gives the same results, to the bit, and is left as it was."""

import numpy as np
import pytest
from tolerances import assert_close

from benchmarks.promises import inputs, nans
from benchmarks.promises.honest import FORMS, WHOLE
from benchmarks.promises.small import X, Y, new_model
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU, Softmax


@pytest.mark.parametrize(
    "check",
    [
        inputs.ties_of_pooling,
        inputs.stable_cross_entropy,
        inputs.loss_per_sample,
        inputs.batch_independence,
        inputs.nothing_is_touched,
        inputs.honest_input,
        inputs.dishonest_input,
        inputs.no_samples,
        nans.nothing_is_hidden,
    ],
    ids=lambda check: check.__name__,
)
def test_promises_about_input_are_kept(check):
    outcome = check(0.01)
    assert outcome.kept, outcome.figure


@pytest.mark.parametrize("kind", FORMS)
def test_layers_take_any_honest_kind(kind, tmp_path):
    """By themselves, without the model's door; the gradient that comes in, too."""
    for layer in (Conv2D(8, 3, activation="relu"), MaxPooling2D(2), Flatten(), Dense(3), ReLU()):
        layer.build(X.shape[1:], np.random.default_rng(1))
        given = FORMS[kind](WHOLE, tmp_path)
        expected_y, expected_cache = layer.forward(WHOLE)
        y, cache = layer.forward(given)
        assert np.asarray(y).tolist() == expected_y.tolist()
        dy = np.round(expected_y)
        dx, grads = layer.backward(np.asfortranarray(dy.astype(">f8")), cache)
        expected_dx, expected_grads = layer.backward(dy.astype(y.dtype), expected_cache)
        np.testing.assert_array_equal(dx, expected_dx)
        for key, gradient in grads.items():
            np.testing.assert_array_equal(gradient, expected_grads[key])
        np.testing.assert_array_equal(np.array(given), WHOLE)


def test_a_batch_of_one():
    one, all_of_them = new_model().predict(X[2:3], verbose=0), new_model().predict(X, verbose=0)
    assert one.shape == (1, 3)
    assert_close(one, all_of_them[2:3], "float32")
    model = new_model()
    before = model.get_weights()
    model.fit(X[:1], Y[:1], verbose=0)
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


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
