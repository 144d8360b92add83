"""`Sequential` without training: adding, building, counting, weights, and what is refused."""

import numpy as np
import pytest

from minicnn import Input, Sequential
from minicnn.activations import ACTIVATIONS
from minicnn.data import Dataset
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU
from tests.reference import built
from tests.tolerances import assert_close
from tests.twins import SPARSE, bits


def small_model(dtype="float32"):
    return Sequential(
        [
            Input((6, 5, 2)),
            Conv2D(3, [3, 2], padding="same", activation="relu", name="first"),
            MaxPooling2D([2, 2]),
            Flatten(),
            Dense(4, activation="softmax"),
        ],
        dtype=dtype,
    )


def state_of(model):
    """All that a refused call must not change."""
    return list(model.layers), model.input_shape, bits(model)


@pytest.mark.parametrize("make", [Conv2D, MaxPooling2D, Flatten, Dense])
def test_item_2_input_shape_works_and_warns_at_the_line_of_the_user(make):
    arguments = {Conv2D: (2, 3), Dense: (7,)}.get(make, ())
    with pytest.warns(UserWarning, match="Do not pass an `input_shape`") as caught:
        layer = make(*arguments, input_shape=[6, 5, 2])
    assert [warning.filename for warning in caught] == [__file__]
    model = Sequential([layer])
    assert model.input_shape == layer.input_shape == (6, 5, 2)


def test_layers_are_in_the_order_in_which_they_were_added():
    model = Sequential()
    layers = [Flatten(), Dense(3), ReLU(), Dense(2)]
    for layer in layers:
        model.add(layer)
    assert model.layers == layers
    model.build((None, 2, 2))
    kernels = [weight.shape for weight in model.get_weights() if weight.ndim == 2]
    assert kernels == [(4, 3), (3, 2)]


def test_without_a_shape_weights_are_made_by_build():
    model = Sequential([Flatten(), Dense(2)])
    for use in (model.count_params, model.get_weights, model.summary):
        with pytest.raises(ValueError, match=r"does not know the shape of its inputs.*build"):
            use()
    model.build((None, 3, 2))
    assert model.count_params() == 3 * 2 * 2 + 2
    model.build([64, 3, 2])  # again for the same samples: no effect
    with pytest.raises(ValueError, match=r"expected samples of shape \(3, 2\).*received \(3, 3\)"):
        model.build((None, 3, 3))


@pytest.mark.parametrize(
    "use",
    [
        lambda model, x, y: model.predict(x, verbose=0),
        lambda model, x, y: model.predict_on_batch(x),
        lambda model, x, y: model.fit(x, y, verbose=0),
        lambda model, x, y: model.fit(Dataset.from_tensor_slices((x, y)).batch(2), verbose=0),
        lambda model, x, y: model.evaluate(x, y, verbose=0),
        lambda model, x, y: model.train_on_batch(x, y),
    ],
)
def test_the_first_data_build_a_model_without_a_shape(use):
    model = Sequential([Flatten(), Dense(2, activation="softmax")])
    model.compile("sgd", SPARSE)
    use(model, np.ones((4, 3, 2)), np.zeros(4, int))
    assert model.input_shape == (3, 2)
    assert model.count_params() == 14


@pytest.mark.parametrize("samples", [0, 1, 40])
def test_predict_on_batch_gives_the_bits_of_predict(rng, samples):
    model = Sequential([Input((9, 8, 8)), Conv2D(8, 3, activation="relu"), MaxPooling2D()])
    model.add(Flatten())
    model.add(Dense(3, activation="softmax"))
    assert model.layers[0].algorithm_ == "winograd"  # its transformed kernel is reused
    x = rng.standard_normal((samples, 9, 8, 8))
    expected = model.predict(x, batch_size=40, verbose=0)
    found = model.predict_on_batch(x)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    for entry in ((0, 0, 0, 0), (2, 2, 7, 7)):
        model.layers[0].params["kernel"][entry] += 1  # a kernel prepared before is out of date
        before, found = found, model.predict_on_batch(x)
        assert samples == 0 or (found != before).any()


@pytest.mark.parametrize(
    "change",
    [
        lambda layers: setattr(layers[0], "activation", ACTIVATIONS["linear"]),
        lambda layers: setattr(layers[3], "activation", ACTIVATIONS["relu"]),
        lambda layers: setattr(layers[3], "params", {k: -w for k, w in layers[3].params.items()}),
        lambda layers: layers.insert(3, built(ReLU(), layers[3].input_shape, None, "float32")),
        lambda layers: layers.pop(),
    ],
)
def test_predict_on_batch_notices_what_has_changed(change, rng):
    """A plan is kept from call to call."""
    model, x = small_model(), rng.standard_normal((2, 6, 5, 2))
    before = model.predict_on_batch(x)
    np.testing.assert_array_equal(model.predict_on_batch(x), before)
    change(model.layers)
    np.testing.assert_array_equal(model.predict_on_batch(x), model.predict(x, verbose=0))


def test_data_that_do_not_fit_do_not_build_a_model():
    model = Sequential([Flatten(), Conv2D(2, 3), Dense(2)])
    with pytest.raises(ValueError, match="expected images"):
        model.predict(np.ones((1, 6, 6, 1)), verbose=0)
    assert model.input_shape is None
    assert [layer.input_shape for layer in model.layers] == [None, None, None]


def test_a_model_that_refused_data_can_be_built_for_other_data():
    model = Sequential([Conv2D(2, 3), MaxPooling2D(2), Flatten(), Dense(2)])
    with pytest.raises(ValueError, match="pool_size"):
        model.build((None, 3, 3, 1))  # the convolution fits, the pooling after it does not
    model.build((None, 6, 6, 1))
    assert model.output_shape == (2,)


@pytest.mark.parametrize(
    "make_layer",
    [
        lambda: Conv2D(2, 3),  # needs images
        lambda: MaxPooling2D(),
        lambda: Dense(2, kernel_initializer=lambda shape, rng, dtype: np.zeros(7, dtype)),
        lambda: built(Dense(2), (5,), np.random.default_rng(0), "float32"),  # for other samples
        lambda: Dense(2, name="taken"),
        lambda: Input((4,)),
        lambda: Dense,
        lambda: None,
    ],
)
def test_item_2_a_refused_layer_does_not_change_the_model(make_layer):
    model = Sequential([Input((4,)), Dense(3, name="taken")])
    before = state_of(model)
    with pytest.raises((ValueError, TypeError)) as caught:
        model.add(make_layer())
    assert state_of(model) == before
    assert len(str(caught.value)) > 30
    model.add(Dense(2))
    assert model.output_shape == (2,)


@pytest.mark.parametrize("layers", [[], [Input((4,))]])
@pytest.mark.parametrize("use", ["fit", "evaluate", "predict", "summary", "build", "get_weights"])
def test_a_model_without_layers_says_so(layers, use):
    model = Sequential(layers)
    model.compile("sgd", SPARSE)
    data = np.ones((2, 4)), [0, 1]
    arguments = {"fit": data, "evaluate": data, "predict": data[:1], "build": ((None, 4),)}
    before = model.input_shape
    with pytest.raises(ValueError, match=r"Sequential '\w+': the model has no layers yet"):
        getattr(model, use)(*arguments.get(use, ()))
    assert model.input_shape == before


@pytest.mark.parametrize("use", ["fit", "evaluate", "train_on_batch"])
def test_an_uncompiled_model_says_so(use):
    with pytest.raises(ValueError, match=rf"{use}: the model has to be compiled first"):
        getattr(small_model(), use)(np.ones((2, 6, 5, 2)), [0, 1])


@pytest.mark.parametrize(
    "wrong",
    [{"optimizer": "adma"}, {"loss": "hinge"}, {"metrics": ["auc"]}, {"metrics": "accuracy"}],
)
def test_a_refused_compile_changes_nothing(wrong):
    model = small_model()
    right = {"optimizer": "sgd", "loss": SPARSE, "metrics": ["accuracy"]}
    model.compile(**right)
    before = model.optimizer, model.loss, model.metrics
    with pytest.raises((ValueError, TypeError), match=r"compile: .*received"):
        model.compile(**right | wrong)
    assert (model.optimizer, model.loss, model.metrics) == before


@pytest.mark.parametrize("shape", [(), (None,), 4, "x", (None, 0), (None, 2.5), (None, None)])
def test_build_refuses_what_is_no_shape_of_a_batch(shape):
    model = Sequential([Dense(2)])
    with pytest.raises((ValueError, TypeError), match="received"):
        model.build(shape)
    assert model.input_shape is None


def test_an_output_with_more_than_one_axis_cannot_be_trained():
    model = Sequential([Input((4, 4, 1)), Conv2D(2, 3)])
    model.compile("sgd", SPARSE)
    with pytest.raises(ValueError, match=r"one score a class.*Flatten\(\) and Dense"):
        model.fit(np.ones((2, 4, 4, 1)), [0, 1])


def test_set_weights_takes_any_real_kind_of_the_right_shape(rng):
    model = small_model()
    weights = [rng.integers(-3, 4, size=w.shape).astype(float) for w in model.get_weights()]
    for kind in (np.float64, np.int8, np.float16, list, np.asfortranarray):
        model.set_weights([kind(weight) for weight in weights])
        received = model.get_weights()
        assert {weight.dtype for weight in received} == {np.dtype("float32")}
        assert all(np.array_equal(*pair) for pair in zip(received, weights, strict=True))


def test_a_model_in_float64_computes_in_float64(rng):
    model = small_model("float64")
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float64")}
    x = rng.normal(size=(4, 6, 5, 2))
    double = model.predict(x, verbose=0)
    assert double.dtype == np.float64

    single = small_model()
    single.set_weights(model.get_weights())
    assert_close(single.predict(x, verbose=0), double, "float32")
    with pytest.raises(AssertionError):  # so it is not computed in float32
        assert_close(single.predict(x, verbose=0), double, "float64")

    model.compile("adam", SPARSE)
    model.fit(x, [0, 1, 2, 3], epochs=2, verbose=0)
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float64")}
