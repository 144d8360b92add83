"""Every layer against the Keras layer of the same name: output, dx and every weight gradient.

Keras runs on TensorFlow, on the CPU. In double precision the two differ by the order of sums and
nothing else; data of whole numbers must agree to the bit, in single precision too.
"""

import numpy as np
import pytest
from reference import Case, Pass, random_array, random_cases, run, run_both
from tolerances import assert_close

import minicnn
from minicnn.initializers import GlorotUniform, Zeros
from minicnn.layers import CONVOLUTIONS, Conv2D, Dense, MaxPooling2D

FLOATS = ["float64", "float32"]
ACTIVATIONS = [None, "linear", "relu", "softmax"]
CHOICES = ["auto", *CONVOLUTIONS]
QUICK = {"conv": 60, "pool": 40, "dense": 20}
FULL = {"conv": 1000, "pool": 500, "dense": 200}


def counts(kind):
    """The quick count, and the full one behind its marker."""
    return pytest.mark.parametrize(
        "count", [QUICK[kind], pytest.param(FULL[kind], marks=pytest.mark.full)]
    )


floats = pytest.mark.parametrize("dtype", FLOATS)


def assert_same(ours: Pass, theirs: Pass, exact: bool, winograd: bool = False):
    double = ours.y.dtype == np.float64
    rows = ("float64", "float64") if double else ("float32", "float32 gradient")
    if winograd and not double:
        rows = ("float32 winograd",) * 2
    pairs = [(ours.y, theirs.y, rows[0]), (ours.dx, theirs.dx, rows[1])]
    pairs += [(a, b, rows[1]) for a, b in zip(ours.grads, theirs.grads, strict=True)]
    for actual, expected, row in pairs:
        if exact:
            np.testing.assert_array_equal(actual, expected)
        else:
            assert_close(actual, expected, row)


def whole_or_not(rng, dtype, activation):
    """Whether to use whole numbers: half of the time, and never before a softmax.

    In single precision ReLU gets nothing else: a sum that is 1e-7 here and -1e-7 there passes a
    gradient in one of the two, and neither is wrong.
    """
    if activation == "softmax":
        return False
    return bool(rng.integers(2)) or (activation == "relu" and dtype == "float32")


def moderate(x, arguments, fan_in):
    """`x` such that scores come out around 1 before a softmax.

    Where it is as good as certain, its gradient is a difference of nearly equal numbers: all
    digits of single precision cancel, here and there.
    """
    return x / float(np.sqrt(fan_in)) if arguments["activation"] == "softmax" else x


def conv_arguments(case, rng):
    return {
        "filters": case.f,
        "kernel_size": (case.kh, case.kw),
        "strides": (case.sh, case.sw),
        "padding": case.padding,
        "activation": choose_activation(rng, case.f),
        "use_bias": bool(rng.integers(4)),
    }


def choose_activation(rng, units):
    """Any; but the softmax of one unit is 1, and its gradient nothing but TensorFlow's rounding."""
    return ACTIVATIONS[rng.integers(4 if units > 1 else 3)]


def choose_algorithm(rng, case, exact):
    """Any algorithm that can serve the case; one without rounding if the bits will be compared."""
    name = CHOICES[rng.integers(len(CHOICES))]
    if exact and name in ("auto", "winograd"):
        return "im2col"
    return name if name == "auto" or CONVOLUTIONS[name].why_not(case.geometry) is None else "auto"


@counts("conv")
@floats
def test_items_3_to_5_conv2d(keras, dtype, count):
    for case, rng in random_cases(count, seed=1, images=5 if count == QUICK["conv"] else 33):
        arguments = conv_arguments(case, rng)
        exact = whole_or_not(rng, dtype, arguments["activation"])
        algorithm = choose_algorithm(rng, case, exact)
        x = random_array(rng, case.x_shape, dtype, exact)
        x = moderate(x, arguments, case.kh * case.kw * case.c)
        ours, theirs = run_both(keras, "Conv2D", arguments, x, rng, exact, algorithm)
        winograd = algorithm in ("auto", "winograd") and "winograd" in CONVOLUTIONS
        assert_same(ours, theirs, exact, winograd)


@pytest.mark.parametrize("algorithm", CHOICES)
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("padding", ["valid", "same"])
@floats
def test_items_3_and_4_conv2d_with_square_kernels(keras, rng, dtype, padding, kernel, algorithm):
    """The geometries of real networks, for which there are algorithms of their own."""
    for h, w, c, f in [(28, 28, 1, 32), (14, 14, 8, 16), (7, 11, 3, 5), (kernel, kernel, 2, 2)]:
        case = Case(3, h, w, c, f, kernel, kernel, 1, 1, padding)
        if algorithm != "auto" and CONVOLUTIONS[algorithm].why_not(case.geometry) is not None:
            continue
        arguments = {"filters": f, "kernel_size": kernel, "padding": padding}
        x = random_array(rng, case.x_shape, dtype)
        ours, theirs = run_both(keras, "Conv2D", arguments, x, rng, algorithm=algorithm)
        winograd = algorithm in ("auto", "winograd") and "winograd" in CONVOLUTIONS
        assert_same(ours, theirs, False, winograd)


@counts("pool")
@floats
def test_items_3_to_5_max_pooling2d(keras, dtype, count):
    """Half of the images are whole numbers full of ties: the first winner takes the gradient."""
    for case, rng in random_cases(count, seed=2):
        arguments = {"pool_size": (case.kh, case.kw), "padding": case.padding}
        if rng.integers(4) or (case.kh != case.kw and case.padding == "valid"):
            arguments["strides"] = (case.sh, case.sw)
        x = random_array(rng, case.x_shape, dtype, whole=bool(rng.integers(2)))
        # Whole dy in both: where windows overlap, sums must not depend on their order.
        ours, theirs = run_both(keras, "MaxPooling2D", arguments, x, rng, whole=True)
        assert_same(ours, theirs, exact=True)


@counts("dense")
@floats
def test_dense(keras, dtype, count):
    for number in range(count):
        rng = np.random.default_rng([3, number])
        units = int(rng.integers(1, 20))
        arguments = {
            "units": units,
            "activation": choose_activation(rng, units),
            "use_bias": bool(rng.integers(4)),
        }
        exact = whole_or_not(rng, dtype, arguments["activation"])
        # One axis in most cases; more are allowed, and treated like samples.
        axes = rng.choice([1, 1, 1, 2, 3])
        shape = (*rng.integers(1, 6, axes), rng.integers(1, 50))
        x = random_array(rng, shape, dtype, exact)
        x = moderate(x, arguments, shape[-1])
        assert_same(*run_both(keras, "Dense", arguments, x, rng, exact), exact)


@pytest.mark.parametrize("name", ["Flatten", "ReLU", "Softmax"])
@pytest.mark.parametrize("shape", [(1, 7), (5, 7), (3, 4, 5), (2, 5, 3, 4)])
@floats
def test_item_5_layers_without_weights(keras, rng, name, shape, dtype):
    """Whole numbers put every seventh input of ReLU on its kink, where the gradient is 0."""
    x = random_array(rng, shape, dtype, whole=True)
    exact = name != "Softmax"
    assert_same(*run_both(keras, name, {}, x, rng, whole=exact), exact)


@floats
def test_item_3_flatten_goes_row_by_row(rng, dtype):
    x = random_array(rng, (2, 3, 4, 5), dtype)
    layer = minicnn.layers.Flatten()
    layer.build((3, 4, 5), rng)
    y, _ = layer.forward(x)
    assert [x[1, i, j, k] for i in range(3) for j in range(4) for k in range(5)] == y[1].tolist()


@pytest.mark.parametrize(("padding", "height"), [("valid", 3), ("same", 4)])
def test_item_3_pooling_strides_are_the_pool_size(padding, height, rng):
    layer = MaxPooling2D((2, 3), padding=padding)
    assert layer.strides == (2, 3)
    assert layer.output_shape((7, 9, 1)) == (height, 3, 1)  # the odd row: dropped, or padded
    assert MaxPooling2D().pool_size == (2, 2)


def test_item_3_padding_of_pooling_is_below_every_number(rng):
    layer = MaxPooling2D(3, strides=1, padding="same")
    layer.build((2, 2, 1), rng)
    y, _ = layer.forward(np.full((1, 2, 2, 1), -7.0))
    np.testing.assert_array_equal(y, np.full((1, 2, 2, 1), -7.0))


@floats
def test_item_5_ties_and_kinks_in_a_row(keras, rng, dtype):
    """Convolution, ReLU and overlapping pooling over whole numbers: zeros and ties everywhere."""
    x = random_array(rng, (4, 9, 8, 2), dtype, whole=True)
    convolution = {"filters": 3, "kernel_size": 3, "activation": "relu"}
    ours, theirs = run_both(keras, "Conv2D", convolution, x, rng, True, "im2col")
    assert_same(ours, theirs, exact=True)
    assert (ours.y == 0).mean() > 0.3
    pooling = {"pool_size": 3, "strides": 2, "padding": "same"}
    assert_same(*run_both(keras, "MaxPooling2D", pooling, ours.y, rng, True), exact=True)


def test_errors_of_conv2d_are_no_larger_than_tensorflows(keras):
    """Single precision against double, as a share of the largest value, over many cases."""
    ours, theirs = [], []
    for case, rng in random_cases(QUICK["conv"], seed=4):
        arguments = conv_arguments(case, rng) | {"activation": None}
        x, state = random_array(rng, case.x_shape, "float32"), rng.bit_generator.state
        single = run_both(keras, "Conv2D", arguments, x, rng, algorithm="im2col")
        rng.bit_generator.state = state
        # Weights and dy are the same numbers, but not yet rounded: round them before comparing.
        exact = in_double_precision(arguments, x, rng)
        for passes, errors in zip(single, (ours, theirs), strict=True):
            for actual, right in [(passes.y, exact.y), (passes.dx, exact.dx)]:
                errors.append(np.abs(actual - right).max() / (np.abs(right).max() + 1e-30))
    assert np.mean(ours) <= 2 * np.mean(theirs)


def in_double_precision(arguments, x, rng):
    """What `run_both` draws in single precision, computed in double."""
    layer = Conv2D(**arguments, algorithm="direct")
    layer.build(x.shape[1:], rng, "float32")
    weights = [random_array(rng, w.shape, "float32") for w in layer.params.values()]
    dy = random_array(rng, (len(x), *layer.output_shape(x.shape[1:])), "float32")
    layer.build(x.shape[1:], rng, "float64")
    layer.set_weights(weights)
    return run(layer, x.astype("float64"), dy.astype("float64"))


def test_parameter_counts(keras):
    """And the tutorial's: 832, 51264, 200768, 650; 253,514 in all."""
    arguments = [
        ("Conv2D", {"filters": 32, "kernel_size": [5, 5], "padding": "same"}),
        ("MaxPooling2D", {"pool_size": [2, 2]}),
        ("Conv2D", {"filters": 64, "kernel_size": [5, 5], "padding": "same"}),
        ("MaxPooling2D", {"pool_size": [2, 2]}),
        ("Flatten", {}),
        ("Dense", {"units": 64}),
        ("Dense", {"units": 10}),
        ("Softmax", {}),
    ]
    ours = minicnn.Sequential([minicnn.Input((28, 28, 1))])
    theirs = keras.Sequential([keras.Input((28, 28, 1))])
    for name, values in arguments:
        ours.add(getattr(minicnn.layers, name)(**values))
        theirs.add(getattr(keras.layers, name)(**values))
    counts = [layer.count_params() for layer in ours.layers]
    assert counts == [layer.count_params() for layer in theirs.layers]
    assert counts == [832, 0, 51264, 0, 0, 200768, 650, 0]
    assert ours.count_params() == theirs.count_params() == 253514
    shapes = [layer.output_shape(layer.input_shape) for layer in ours.layers]
    assert shapes == [layer.output.shape[1:] for layer in theirs.layers]


LIMITS = {
    (5, 5, 1, 32): 0.085280,
    (5, 5, 32, 64): 0.050000,
    (3136, 64): 0.043301,
    (64, 10): 0.284747,
}


@pytest.mark.parametrize("shape", LIMITS, ids=str)
@floats
def test_item_6_glorot_uniform(keras, shape, dtype):
    """All of [-limit, limit), none of the rest, evenly; the limits are those of the tutorial."""
    limit = LIMITS[shape]
    draws = [GlorotUniform(seed)(shape, dtype=dtype).ravel() for seed in range(40)]
    draws += [GlorotUniform()(shape, np.random.default_rng(5), dtype).ravel()]
    values = np.concatenate(draws).astype(np.float64)
    assert draws[0].dtype == dtype
    # A sample's extremes come within limit * 20 / size of the ends, but for one sample in e**10.
    assert limit * (1 - 20 / values.size) < np.abs(values).max() < limit + 5e-7
    # Moments within five standard errors: mean 0, variance limit**2 / 3, a quarter in each quarter.
    error = 5 / np.sqrt(values.size)
    assert abs(values.mean()) < error * limit / np.sqrt(3)
    assert abs(values.var() / (limit**2 / 3) - 1) < error
    quarters = np.histogram(values, 4, (-limit - 1e-6, limit + 1e-6))[0] / values.size
    assert np.abs(quarters - 0.25).max() < error
    theirs = keras.initializers.GlorotUniform(seed=1)(shape)
    assert np.abs(theirs).max() < limit + 5e-7
    assert np.abs(theirs).max() > limit * (1 - 20 / np.size(theirs))


def test_item_6_seeds_of_initializers():
    shape = (3, 3, 2, 4)
    draw = GlorotUniform(seed=3)
    np.testing.assert_array_equal(draw(shape), draw(shape))
    assert (GlorotUniform(seed=4)(shape) != draw(shape)).any()
    first, second = (GlorotUniform()(shape) for _ in range(2))
    assert (first != second).any()
    minicnn.set_random_seed(0)
    again = GlorotUniform()(shape)
    minicnn.set_random_seed(0)
    np.testing.assert_array_equal(GlorotUniform()(shape), again)


@floats
def test_item_6_layers_start_with_glorot_kernels_and_zero_biases(rng, dtype):
    for layer in (Conv2D(8, 5), Dense(20)):
        layer.build((9, 9, 4), rng, dtype)
        fans = np.prod(layer.params["kernel"].shape[:-2]) * sum(layer.params["kernel"].shape[-2:])
        assert 0.5 < np.abs(layer.params["kernel"]).max() / np.sqrt(6 / fans) <= 1 + 1e-6
        np.testing.assert_array_equal(layer.params["bias"], Zeros()(layer.params["bias"].shape))
        assert {weight.dtype for weight in layer.params.values()} == {np.dtype(dtype)}
        assert list(layer.params) == ["kernel", "bias"]
