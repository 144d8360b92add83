"""`compare_layers` and `compare_functions`: a user's code beside Keras, and what is wrong."""

import sys

import numpy as np
import pytest

from minicnn import Input, Sequential, layers
from minicnn.activations import Activation
from minicnn.keras_reference import compare, compare_functions, compare_layers, to_keras
from minicnn.losses import Loss
from minicnn.metrics import Metric
from minicnn.optimizers import Optimizer
from tests.gradcheck import zoo
from tests.keras_reference import own_parts as own

pytestmark = pytest.mark.usefixtures("keras")
FEW = {"count": 6, "dtypes": ("float64",)}


def test_a_layer_is_compared_on_drawn_geometries(keras):
    options = {"strides": (2, 1), "padding": "same", "activation": "relu"}
    report = compare_layers(
        layers.Conv2D(3, (3, 2), **options),
        keras.layers.Conv2D(3, (3, 2), **options),
        input_shape=(None, None, 2),
        count=8,
    )
    report.assert_ok()
    names = ["output", "dx", "dkernel", "dbias"]
    assert [q.name for q in report.quantities] == names * 2
    assert {q.cases for q in report.quantities} == {8}
    assert str(report).splitlines()[-1].startswith("Equal: ")
    with pytest.raises(TypeError, match=r"ask \.ok"):
        bool(report)


def test_state_and_training_are_compared(keras):
    layer, twin = own.MyBatchNormalization(), own.MyBatchNormalization().keras_twin()
    shape = (None, 3)
    report = compare_layers(layer, twin, input_shape=shape, **FEW)
    report.assert_ok()
    found = {(q.name, q.mode) for q in report.quantities}
    assert {("moving_mean", "training"), ("output", "inference"), ("dgamma", "training")} <= found

    class Biased(own.MyBatchNormalization):
        def next_state(self, cache):
            new = super().next_state(cache)
            return new | {"moving_variance": new["moving_variance"] * 1.01}

    class NeverTrains(own.MyBatchNormalization):
        def forward(self, x):
            return super().forward(x)

    assert wrong(compare_layers(Biased(), twin, input_shape=shape, **FEW)) == ["moving_variance"]
    assert "output" in wrong(compare_layers(NeverTrains(), twin, input_shape=shape, **FEW))


def wrong(report):
    assert not report.ok
    return sorted({q.name for q in report.quantities if q.wrong})


class Convolution(zoo.Conv):
    """A loop over "same" windows of an odd kernel, flipped as a mathematician would."""

    flip = True

    def __init__(self):
        super().__init__()
        self.params = {"kernel": zoo.real((3, 2, 2, 4)), "bias": zoo.real((4,), 1)}

    def forward(self, x):
        x = np.pad(x, ((0, 0), (1, 1), self.columns(), (0, 0)))
        kernel = self.params["kernel"][::-1, ::-1] if self.flip else self.params["kernel"]
        h, w = x.shape[1] - 2, x.shape[2] - 1
        y = sum(x[:, i : i + h, j : j + w] @ kernel[i, j] for i in range(3) for j in range(2))
        return y + self.params["bias"], None

    def columns(self):
        return (0, 1)

    def backward(self, dy, cache):
        return dy, {"kernel": dy, "bias": dy.sum(axis=(0, 1, 2))}


class PaddedLeft(Convolution):
    flip = False

    def columns(self):
        return (1, 0)


@pytest.mark.parametrize(
    ("mine", "words"),
    [(Convolution(), "flipped in height and width"), (PaddedLeft(), "padding on the other side")],
)
def test_what_is_wrong_with_an_output(keras, mine, words):
    twin = keras.layers.Conv2D(4, (3, 2), padding="same")
    report = compare_layers(mine, twin, input_shape=(5, 4, 2), **FEW)
    assert "output" in wrong(report)
    assert words in str(report)


# Layers of the zoo: the Keras layer that they should be, what is wrong, and its name.
MISTAKES = {
    "all ties paid": (zoo.MaxPoolPaysAll, "MaxPooling2D((3, 2), 2)", ["dx"], "every tie paid"),
    "overwritten": (zoo.MaxPoolOverwrites, "MaxPooling2D((3, 2), 2)", ["dx"], ""),
    "divided": (zoo.DenseMean, "Dense(4)", ["dbias", "dkernel"], "divided by the batch"),
    "transposed": (zoo.DenseTransposed, "Dense(4)", ["dkernel"], "transposed"),
    "flipped": (zoo.ConvKernelFlipped, "Conv2D(4, (3, 2))", ["dkernel"], "flipped"),
    "reshaped": (
        zoo.ConvColumnsInAnotherOrder,
        "Conv2D(4, (3, 2))",
        ["dkernel"],
        "reshaped where a transpose",
    ),
    "not summed": (zoo.ConvBiasNotSummed, None, ["dbias"], "not summed over the samples"),
    "derivative missing": (
        zoo.SigmoidForgotten,
        'Activation("sigmoid")',
        ["dx"],
        "derivative of the layer is missing",
    ),
    "statistics": (zoo.SoftmaxDiagonal, "Softmax()", ["dx"], ""),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_found_and_named(keras, name):
    kind, twin, names, words = MISTAKES[name]
    twin = "Conv2D(4, (3, 2))" if twin is None else twin
    mine = kind()
    if kind is zoo.ConvBiasNotSummed:
        mine.strides, mine.pad = (1, 1), 0
    shape = kind.x_shape[1:]
    report = compare_layers(mine, eval(f"keras.layers.{twin}"), input_shape=shape, **FEW)
    assert wrong(report) == names
    assert words in str(report)
    with pytest.raises(AssertionError, match=r"is not keras\.layers"):
        report.assert_ok()


@pytest.mark.parametrize(
    ("kind", "twin"),
    [
        (zoo.MaxPool, "MaxPooling2D((3, 2), 2)"),
        (zoo.AveragePool, "AveragePooling2D((3, 2), 2)"),
        (zoo.ConvStride1, "Conv2D(4, (3, 2))"),
        (zoo.Relu, "ReLU()"),
        (zoo.Softmax, "Softmax()"),
        (zoo.Dense, "Dense(4)"),
    ],
)
def test_right_layers_are_equal(keras, kind, twin):
    twin = eval(f"keras.layers.{twin}")
    compare_layers(kind(), twin, input_shape=kind.x_shape[1:], count=6).assert_ok()
    x = zoo.ties(kind.x_shape)
    compare_layers(kind(), twin, x, dtypes=("float64",)).assert_ok()


def test_refusals(keras):
    depthwise, twin = own.MyDepthwise(), keras.layers.DepthwiseConv2D(3)
    shape = {"input_shape": (5, 4, 2), **FEW}
    with pytest.raises(ValueError, match=r"kernel has shape \(3, 3, 2\), Keras' kernel"):
        compare_layers(depthwise, twin, **shape)
    with pytest.raises(ValueError, match=r"weights has \['kernal'\]"):
        compare_layers(depthwise, twin, weights={"kernal": np.copy}, **shape)
    with pytest.raises(ValueError, match="Keras has no weight 'depth'"):
        compare_layers(depthwise, twin, weights={"kernel": "depth"}, **shape)
    with pytest.raises(ValueError, match=r"has the weights \['kernel', 'bias'\], but Keras'"):
        compare_layers(depthwise, keras.layers.ReLU(), **shape)
    with pytest.raises(ValueError, match="either x or input_shape"):
        compare_layers(depthwise, twin)
    with pytest.raises(TypeError, match="expected a Keras layer"):
        compare_layers(depthwise, depthwise, **shape)
    with pytest.raises(TypeError, match="plain functions are for compare_functions"):
        compare_layers(np.tanh, twin, **shape)
    too_large = compare_layers(own.MyAveragePooling(4), keras.layers.AveragePooling2D(2), **shape)
    assert not compare_layers(
        own.MyAveragePooling(5), keras.layers.AveragePooling2D(4), **shape
    ).ok  # one of them refuses images of 5 x 4
    assert wrong(too_large) == ["output"]


def test_random_layers_are_compared_in_inference(keras):
    report = compare_layers(own.MyDropout(), keras.layers.Dropout(0.25), input_shape=(4,), **FEW)
    report.assert_ok()
    assert "Note: MyDropout is random in training" in str(report)
    assert {q.mode for q in report.quantities} == {"inference"}


# Plain functions, in the style of a course: channels first, a dict of options, a cache of inputs.


def conv_forward(x, w, b, options):
    pad, stride = options["pad"], options["stride"]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    f, _, kh, kw = w.shape
    oh, ow = ((s - k) // stride + 1 for s, k in zip(padded.shape[2:], (kh, kw), strict=True))
    out = np.empty((len(x), f, oh, ow))
    for i, j in np.ndindex(oh, ow):
        window = padded[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
        out[:, :, i, j] = np.tensordot(window, w, ((1, 2, 3), (1, 2, 3))) + b
    return out, (padded, w, options)


def conv_backward(dout, cache):
    padded, w, options = cache
    pad, stride = options["pad"], options["stride"]
    dx, dw = np.zeros_like(padded), np.zeros_like(w)
    kh, kw = w.shape[2:]
    for i, j in np.ndindex(dout.shape[2:]):
        part = (..., slice(i * stride, i * stride + kh), slice(j * stride, j * stride + kw))
        dx[part] += np.tensordot(dout[:, :, i, j], w, 1)
        dw += np.tensordot(dout[:, :, i, j], padded[part], ((0,), (0,)))
    return dx[:, :, pad:-pad, pad:-pad], dw, dout.sum(axis=(0, 2, 3))


def tf_conv(tf, stride):
    def function(x, w, b):
        x, w = tf.transpose(tf.pad(x, [[0, 0], [0, 0], [1, 1], [1, 1]]), (0, 2, 3, 1)), w
        y = tf.nn.conv2d(x, tf.transpose(w, (2, 3, 1, 0)), stride, "VALID") + b
        return tf.transpose(y, (0, 3, 1, 2))

    return function


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda dx, dw, db: (dx, dw, db), ""),
        (lambda dx, dw, db: (dx, dw / 3, db), "1/3 times the right value everywhere: divided by"),
        (lambda dx, dw, db: (dx, dw[..., ::-1, ::-1], db), "flipped along the axes (2, 3)"),
        (lambda dx, dw, db: (dx, dw.transpose(1, 0, 2, 3), db), "transposed"),
        (lambda dx, dw, db: (dx, dw, db * 0), "all zeros"),
        (lambda dx, dw, db: (-dx, None, db), "the sign is wrong"),
    ],
)
def test_functions_of_a_course(tf, change, words):
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((3, 2, 5, 6)), rng.standard_normal((4, 2, 3, 3)), np.arange(4.0)
    report = compare_functions(
        lambda x, w, b: conv_forward(x, w, b, {"stride": 2, "pad": 1}),
        lambda dout, cache: change(*conv_backward(dout, cache)),
        tf_conv(tf, 2),
        *(x, w, b),
    )
    assert report.ok == (not words), str(report)
    assert words in str(report)
    assert [q.name for q in report.quantities][:2] == ["output", "dx"]


def test_functions_beside_a_keras_layer(keras):
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(shape).astype("float32") for shape in ((3, 5), (5, 4), (4,)))

    def affine(x, w, b):
        return x @ w + b, (x, w)

    def back(dout, cache):
        x, w = cache
        return {"x": dout @ w.T, "w": x.T @ dout, "b": dout.sum(axis=0)}

    def into_dout(dout, cache):
        gradients = back(dout, cache)
        dout[:] = 0
        return gradients

    compare_functions(affine, back, keras.layers.Dense(4), x, w, b).assert_ok()
    report = compare_functions(affine, into_dout, keras.layers.Dense(4), x, w, b)
    assert "Problem: backward writes into dy" in str(report)
    assert not report.ok
    for text, arrays, forward in [
        ("has weights of shapes", (x, w, b[:3]), affine),
        ("expected arrays of float64 or of float32", (x, w.astype(int), b), affine),
        ("forward takes", (x, w), affine),
        ("expected .y, cache.", (x, w, b), lambda x, w, b: x @ w + b),
    ]:
        with pytest.raises((TypeError, ValueError), match=text):
            compare_functions(forward, back, keras.layers.Dense(4), *arrays)


# Models with parts of the user's own.


class Doubled(Loss):
    def losses_and_gradient(self, y_true, y_pred):
        error = y_pred - y_true
        return (error**2).mean(axis=1), 4 * error / error.shape[1]


def model_with(*middle, optimizer="sgd", loss=None, metrics=None):
    parts = [layers.Dense(4, "relu"), *middle, layers.Dense(3, "softmax")]
    model = Sequential([Input((5,)), *parts], dtype="float64")
    loss = loss or "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=metrics)
    return model


def test_compare_takes_twins(keras):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((17, 5)), rng.random((17, 3))
    twins = {Doubled: keras.losses.MeanSquaredError(), "wave": lambda layer: keras.ops.tanh}
    sine = Activation("wave", np.tanh, lambda dy, y: dy * (1 - y**2))
    model = model_with(own.MyResidual(), layers.Dense(4, sine), loss=Doubled())
    report = compare(model, x, y, twins=twins)
    wrong = {d.layer for d in report.differences if d.relative > 1e-9}
    assert wrong == {layer.name for layer in model.layers}, "its gradient is doubled"
    assert all(d.relative < 1e-12 for d in report.differences if d.quantity == "output")
    right = model_with(own.MyResidual(), optimizer=own.MyRMSprop(), loss=own.MyMeanSquaredError())
    report = compare(right, x, y, steps=2)
    assert report.worst.relative < 1e-9
    assert "kernel after 2 steps" in str(report)


class Nothing(Metric):
    def __init__(self, name="nothing"):
        super().__init__(name)


class Still(Optimizer):
    def __init__(self):
        super().__init__(0.1)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"loss": Doubled()}, "Doubled is your own, Keras has none like it; give Doubled a method"),
        ({"optimizer": Still()}, "Still is your own"),
        ({"metrics": [Nothing()]}, "Nothing is your own"),
    ],
)
def test_own_parts_without_a_twin_are_refused(parts, words):
    model = model_with(**parts)
    with pytest.raises(ValueError, match=words):
        to_keras(model)
    with pytest.raises(ValueError, match=words):
        compare(model, np.zeros((2, 5)), np.zeros((2, 3)) if "loss" in parts else [0, 1])


def test_an_optimizer_of_your_own_has_a_twin_before_the_first_step_only():
    model = model_with(optimizer=own.MyRMSprop())
    assert type(to_keras(model).optimizer).__name__ == "RMSprop"
    model.train_on_batch(np.ones((4, 5)), [0, 1, 2, 0])
    with pytest.raises(ValueError, match="convert before the first step"):
        to_keras(model)


def test_compare_steps_refuses_random_layers():
    with pytest.raises(ValueError, match="not comparable with random layers"):
        compare(model_with(layers.Dropout(0.5)), np.ones((2, 5)), [0, 1], steps=1)


@pytest.mark.parametrize("call", [compare_layers, compare_functions])
def test_without_tensorflow_the_error_says_what_to_install(monkeypatch, call):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match=r"pip install"):
        call(None, None, None)
