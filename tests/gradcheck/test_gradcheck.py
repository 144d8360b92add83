"""The gradient checker: right layers pass, mistakes are named, and nothing is changed."""

import doctest
import itertools
import threading

import numpy as np
import pytest
from numba.core import event

from minicnn import Input, Sequential, gradcheck
from minicnn.activations import softmax
from minicnn.engine import Plan
from minicnn.gradcheck import check_gradients
from minicnn.layers import Conv2D, Dense, Flatten, Layer, MaxPooling2D, ReLU, Softmax
from minicnn.losses import Loss
from minicnn.optimizers import SGD
from tests.gradcheck import zoo
from tests.promises.contract_layers import LAYERS
from tests.promises.gradients import numerical_gradients, random_network
from tests.tolerances import assert_close

STEP = 1e-6  # of check_gradients, unless it is told another


class MyDense:
    """A dense layer without a base class, in float64; right."""

    def __init__(self, rng, inputs=3, units=4):
        self.params = {"kernel": rng.standard_normal((inputs, units)), "bias": np.zeros(units)}

    def forward(self, x):
        return x @ self.params["kernel"] + self.params["bias"], x

    def backward(self, dy, cache):
        grads = {"kernel": cache.T @ dy, "bias": dy.sum(axis=0)}
        return dy @ self.params["kernel"].T, grads


class MyReLU:
    """Right, but does not report its kink."""

    def forward(self, x):
        return np.maximum(x, 0), x

    def backward(self, dy, cache):
        return dy * (cache > 0), {}


class ReLUAtWrongSign(MyReLU):
    def backward(self, dy, cache):
        return dy * (cache < 0), {}


class OneEntryWrong(MyDense):
    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        grads["kernel"][1, 2] *= 1 + 1e-4
        return dx, grads


class BiasOverWrongAxis(MyDense):
    """With as many units as samples even the shape is right."""

    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        return dx, {**grads, "bias": dy.sum(axis=1)}


class FactorMissing(MyDense):
    def forward(self, x):
        y, cache = super().forward(x)
        return 3 * y, cache

    def backward(self, dy, cache):
        dx, _ = super().backward(dy, cache)  # here
        return dx, super().backward(3 * dy, cache)[1]


class ZerosUnderSoftmax:
    def forward(self, x):
        return softmax(x), None

    def backward(self, dy, cache):
        return np.zeros_like(dy), {}


class SaysAnything(MyDense):
    """Its backward returns the given arrays."""

    def __init__(self, rng, **answers):
        super().__init__(rng)
        self.answers = answers

    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        answers = {"dx": dx, **grads, **self.answers}
        return answers.pop("dx"), {key: value for key, value in answers.items() if key != "drop"}


def failed(report):
    """The names of the gradients that are wrong."""
    assert report.ok == all(row.ok for row in report.rows)
    return [row.name for row in report.rows if not row.ok]


def all_checked(report):
    return all(row.ok and row.checked == row.entries and row.skipped == 0 for row in report.rows)


@pytest.mark.parametrize("row", LAYERS.values(), ids=LAYERS)
def test_right_layers_pass(row, rng):
    layer = row.new()
    report = check_gradients(layer, rng.standard_normal((2, *row.shape)), rng=rng)
    assert all_checked(report), str(report)
    assert layer.params == {}
    assert layer.input_shape is None, "not a copy but the layer itself was built"
    built, *_ = row.built()
    assert [found.name for found in report.rows] == ["dx", *built.params]


@pytest.mark.parametrize("share", [1 / 7, pytest.param(1, marks=pytest.mark.full)])
def test_promise_3_every_parameter_of_small_networks(share):
    outcome = numerical_gradients(share)
    assert outcome.kept, outcome.figure


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (lambda rng: ReLUAtWrongSign(), ["dx"]),
        (lambda rng: ZerosUnderSoftmax(), ["dx"]),
        (OneEntryWrong, ["kernel"]),
        (BiasOverWrongAxis, ["bias"]),
        (FactorMissing, ["dx"]),
    ],
)
def test_mistakes_are_found(wrong, names, rng):
    report = check_gradients(wrong(rng), rng.standard_normal((4, 3)), rng=rng)
    assert failed(report) == names
    assert f"\nFailed: d{names[0].removeprefix('d')}. Worst:" in str(report)


def test_the_wrong_entry_is_named(rng):
    layer, x = OneEntryWrong(rng), rng.standard_normal((4, 3))
    _, row, _ = check_gradients(layer, x, rng=rng).rows
    assert row.index == (1, 2)
    assert_close(row.analytic, row.numeric * (1 + 1e-4), "numerical")
    assert not check_gradients(layer, x, rng=rng, tolerance=1e-5).ok
    assert check_gradients(layer, x, rng=rng, tolerance=1e-3).ok


def test_a_mistake_in_the_step_of_training_is_found(rng, monkeypatch):
    """With labels, the gradients of the training step are checked."""
    model, x, labels = random_network(np.random.default_rng(1))

    def forgets_the_mean(plan, x, *arguments):
        found = original(plan, x, *arguments)
        by_weight = [[len(x) * part for part in parts] for parts in found.by_weight]
        return found._replace(by_weight=by_weight)

    original = Plan.gradients
    monkeypatch.setattr(Plan, "gradients", forgets_the_mean)
    x, labels = np.concatenate([x, x + 1]), np.concatenate([labels, labels])
    assert len(failed(check_gradients(model, x, labels, rng=rng))) == len(model.get_weights())


@pytest.mark.parametrize("number", range(4))
def test_the_checked_gradients_are_those_of_training(number, rng):
    model, x, labels = random_network(np.random.default_rng(number))
    model.compile(SGD(learning_rate=1.0), model.loss)
    before = model.get_weights()
    report = check_gradients(model, x, labels, rng=rng)
    model.train_on_batch(x, labels)
    for row, old, new in zip(report.rows, before, model.get_weights(), strict=True):
        assert_close(row.analytic, (old - new)[row.index], "float64")


def test_a_gradient_that_is_zero_is_right(rng):
    """Differences are not exactly zero there; an inactive ReLU has no gradient."""

    class Centred:
        def __init__(self):
            self.params = {"shift": np.array(0.3)}  # which subtracting the mean cancels

        def forward(self, x):
            y = x + self.params["shift"]
            return y - y.mean(), None

        def backward(self, dy, cache):
            return dy - dy.mean(), {"shift": np.array(0.0)}

    dx, shift = check_gradients(Centred(), rng.standard_normal((3, 5)), rng=rng).rows
    assert dx.ok
    assert shift.ok
    assert shift.index == ()
    report = check_gradients(ReLU(), -1 - rng.random((2, 3)), rng=rng)
    assert all_checked(report)
    assert report.rows[0].error == 0


def test_entries_whose_step_crosses_a_kink_are_skipped(rng):
    x = rng.standard_normal((4, 5))
    x[0, 1], x[2, 3], x[3, 3] = STEP / 2, -STEP / 2, 0
    report = check_gradients(ReLU(), x, rng=rng)
    (row,) = report.rows
    assert (row.ok, row.entries, row.checked, row.skipped) == (True, 20, 17, 3)
    assert "3 entries skipped (15%): a kink was crossed.\nRight: 17 entries checked." in str(report)
    # The same layer without `branches`: each has one of its two slopes.
    assert all_checked(check_gradients(MyReLU(), x, rng=rng))
    assert failed(check_gradients(ReLUAtWrongSign(), x, rng=rng)) == ["dx"]


@pytest.mark.parametrize("gap", [STEP / 2, 0])
def test_near_ties_of_pooling_are_skipped(gap, rng):
    x = rng.permutation(np.arange(16.0)).reshape(1, 4, 4, 1)
    x[0, 0, 0, 0], x[0, 1, 1, 0] = 20, 20 + gap
    (row,) = check_gradients(MaxPooling2D(2), x, rng=rng).rows
    assert (row.ok, row.checked, row.skipped) == (True, 14, 2)


@pytest.mark.parametrize("layer", [Conv2D(1, 1, activation="relu"), Dense(1, "relu")])
def test_kinks_inside_other_layers_are_seen(layer, rng):
    """For the sample of zeros the bias is exactly at the kink, as at the start of training."""
    x = rng.random((2, 1, 1, 3)) + 1
    x[1] = 0
    layer.build(x.shape[1:], rng, "float64")
    layer.params["kernel"][...] = 1
    rows = {row.name: row for row in check_gradients(layer, x, rng=rng).rows}
    assert (rows["dx"].ok, rows["dx"].checked, rows["dx"].skipped) == (True, 3, 3)
    assert rows["kernel"].ok
    # No entry could be compared, so the gradient is not right.
    assert (rows["bias"].ok, rows["bias"].checked, rows["bias"].skipped) == (False, 0, 1)
    assert "all of its entries cross kinks" in str(rows["bias"])


def test_a_kink_excuses_no_other_entry(rng):
    class Wrong(ReLU):
        def backward(self, dy, cache):
            dx, grads = super().backward(dy, cache)
            dx[1, 1] += 1e-3
            dx[0, 0] = 1e9  # at the kink, where it is not compared and sets no scale
            return dx, grads

    x = 1 + rng.random((2, 2))
    x[0, 0] = 0
    (row,) = check_gradients(Wrong(), x, rng=rng).rows
    assert (row.ok, row.index, row.skipped) == (False, (1, 1), 1)


def test_a_kink_does_not_excuse_nan(rng):
    class Divides(ReLU):
        def backward(self, dy, cache):
            dx, grads = super().backward(dy, cache)
            dx[cache == 0] = np.nan
            return dx, grads

    x = 1 + rng.random((2, 2))
    x[0, 1] = 0
    (row,) = check_gradients(Divides(), x, rng=rng).rows
    assert (row.ok, row.index, row.skipped) == (False, (0, 1), 0)


def test_a_sample_of_the_entries(rng):
    report = check_gradients(MyDense(rng), rng.standard_normal((4, 3)), rng=rng, sample=5)
    assert [(row.checked, row.entries) for row in report.rows] == [(5, 12), (5, 12), (4, 4)]
    assert "at most 5 entries" in str(report)
    found = [
        failed(
            check_gradients(
                OneEntryWrong(np.random.default_rng(1)),
                np.random.default_rng(2).standard_normal((4, 3)),
                rng=np.random.default_rng(seed),
                sample=6,
            )
        )
        for seed in range(20)
    ]
    assert {len(names) for names in found} == {0, 1}, "the sample depends on rng alone"


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        (
            {"bias": np.zeros(3)},
            "dbias has shape (3,) and dtype float64, expected numbers of shape (4,)",
        ),
        (
            {"dx": np.zeros((3, 4))},
            "dx has shape (3, 4) and dtype float64, expected numbers of shape (4, 3)",
        ),
        ({"dx": None}, "dx has shape () and dtype object, expected numbers of shape (4, 3)"),
        (
            {"kernel": np.full((3, 4), "0")},
            "dkernel has shape (3, 4) and dtype <U1, expected numbers of shape (3, 4)",
        ),
        ({"kernel": np.full((3, 4), np.nan)}, "dkernel[0, 0]: nan expected "),
        ({"kernel": np.diag([0, 0, np.inf, 0])[:3]}, "dkernel[2, 2]: inf expected "),
    ],
)
@pytest.mark.parametrize("sample", [None, 1])
def test_broken_gradients_are_reported(answers, text, sample, rng):
    layer, x = SaysAnything(rng, **answers), rng.standard_normal((4, 3))
    report = check_gradients(layer, x, rng=rng, sample=sample)
    assert failed(report) == list(answers)
    assert max(row.error for row in report.rows) == np.inf
    assert text in str(report)


def test_the_printed_report(rng):
    lines = str(check_gradients(MyDense(rng), rng.standard_normal((4, 3)), rng=rng)).splitlines()
    assert lines[0] == "gradient   checked  skipped  worst error"
    assert [line.split()[0] for line in lines[1:4]] == ["dx", "dkernel", "dbias"]
    assert {len(line) for line in lines[1:4]} == {len(lines[0]) + len("  ok")}
    assert lines[4].startswith("Right: 28 entries checked. Worst: d")
    assert len(lines) == 5


def test_the_example_in_the_docstring():
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    names = {"np": np, "check_gradients": check_gradients}
    (example,) = finder.find(check_gradients, "check_gradients", gradcheck, names)
    assert runner.run(example) == doctest.TestResults(failed=0, attempted=2)


def test_a_report_has_no_truth_value():
    report = check_gradients(Flatten(), np.ones((1, 2)), rng=np.random.default_rng(0))
    assert report.ok
    with pytest.raises(TypeError, match=r"ask report\.ok"):
        bool(report)


def test_nothing_is_changed(rng):
    layer, x = MyDense(rng), rng.standard_normal((4, 3))
    x.flags.writeable = False
    layer.params["kernel"][0, 0] = -0.0
    before = [weight.tobytes() for weight in layer.params.values()], x.tobytes()
    check_gradients(layer, x, rng=rng)
    assert ([weight.tobytes() for weight in layer.params.values()], x.tobytes()) == before


@pytest.mark.parametrize("passes", [1, 2, 14, 30])
def test_nothing_is_changed_after_an_error(passes, rng):
    class Interrupted(MyDense):
        left = passes

        def forward(self, x):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            return super().forward(x)

    layer, x = Interrupted(rng), rng.standard_normal((4, 3))
    before = [weight.tobytes() for weight in layer.params.values()], x.tobytes()
    with pytest.raises(KeyboardInterrupt):
        check_gradients(layer, x, rng=rng)
    assert ([weight.tobytes() for weight in layer.params.values()], x.tobytes()) == before


def test_passes_that_change_what_they_are_given(rng):
    class Learns(MyDense):
        def backward(self, dy, cache):
            dx, grads = super().backward(dy, cache)
            self.params["bias"] -= 0.1 * grads["bias"]
            return dx, grads

    class InPlace(MyReLU):
        def forward(self, x):
            x[x < 0] = 0
            return super().forward(x)

    x = rng.standard_normal((4, 3))
    before = x.copy()
    layer = Learns(rng)
    report = check_gradients(layer, x, rng=rng)
    assert all(row.ok for row in report.rows)
    assert not report.ok
    assert "Broken: Learns: backward changes the weights bias" in str(report)
    np.testing.assert_array_equal(layer.params["bias"], 0)
    assert "InPlace: forward writes into x" in str(check_gradients(InPlace(), x, rng=rng))
    np.testing.assert_array_equal(x, before)


def float32_layer():
    layer = Dense(2)
    layer.build((3,), np.random.default_rng(0))
    return layer


def without(name):
    class Incomplete:
        pass

    method = "forward" if name == "backward" else "backward"
    setattr(Incomplete, method, getattr(MyReLU, method))
    return Incomplete()


class Single(MyReLU):
    def forward(self, x):
        return x.astype("float32"), x


class NoPair(MyReLU):
    def forward(self, x):
        return x


class Infinite(MyReLU):
    def forward(self, x):
        return x + np.inf, x


class Branches(MyReLU):
    def __init__(self, found):
        self.found = found

    def branches(self, cache):
        return self.found


class Twice(Layer):
    """Returns a gradient of something that is not a weight."""

    def output_shape(self, input_shape):
        return input_shape

    def forward(self, x):
        return 2 * x, None

    def backward(self, dy, cache):
        return 2 * dy, {"factor": dy.sum()}


class Grid(Layer):
    """Scores with two axes, which labels do not fit."""

    def output_shape(self, input_shape):
        return 1, 2

    def forward(self, x):
        return x[:, None], None

    def backward(self, dy, cache):
        return dy[:, 0], {}


def compiled(*layers):
    model = Sequential([Input((3,)), *layers], dtype="float64")
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


X = np.ones((2, 3))
REFUSED = {
    "x in float32": (ReLU(), X.astype("float32"), {}, r"x in float64.*drown in float32's rounding"),
    "weights in float32": (
        float32_layer(),
        X,
        {},
        r'kernel in float64.*drown.*Sequential\(dtype="float64"\) or layer\.build',
    ),
    "a model in float32": (Sequential([Input((3,)), Dense(2)]), X, {}, r"kernel in float64"),
    "a layer's float32 output": (Single(), X, {}, "Single.forward: expected finite float64"),
    "infinite output": (Infinite(), X, {}, "Infinite.forward: expected finite float64"),
    "integers": (ReLU(), X.astype(int), {}, "x as an array of float64, received int64"),
    "NaN": (ReLU(), X * np.nan, {}, "x of finite numbers"),
    "too large": (ReLU(), X * 1e12, {}, "that a step of 1e-06 moves"),
    "no samples": (ReLU(), X[:0], {}, "x of finite numbers"),
    "text": (ReLU(), "x", {}, "x must be an array of real numbers"),
    "no forward": (without("forward"), X, {}, "without forward"),
    "no backward": (without("backward"), X, {}, "without backward"),
    "a class": (MyReLU, X, {}, "a class instead of an object"),
    "not a layer": (7, X, {}, "received 7, without forward and backward"),
    "no pair": (NoPair(), X, {}, r"NoPair.forward: expected \(y, cache\)"),
    "one gradient too many": (
        SaysAnything(np.random.default_rng(0), scale=np.ones(1)),
        X,
        {},
        r"expected gradients of \['kernel', 'bias'\], received \['kernel', 'bias', 'scale'\]",
    ),
    "and within a model": (compiled(Twice(), Dense(2)), X, {"y": [0, 1]}, "Twice 'twice'.backward"),
    "not built": (Sequential([Dense(2)], dtype="float64"), X, {}, "does not know the shape"),
    "y for a layer": (ReLU(), X, {"y": [0, 1]}, "y needs a compiled Sequential"),
    "y without a loss": (
        Sequential([Input((3,)), Dense(2)], dtype="float64"),
        X,
        {"y": [0, 1]},
        "y needs a compiled Sequential",
    ),
    "nothing to learn": (compiled(Softmax()), X, {"y": [0, 1]}, "Sequential with weights"),
    "no scores": (
        compiled(Dense(2), Grid()),
        X,
        {"y": [0, 1]},
        "the loss needs one score a class, but the model's output has shape",
    ),
    "wrong labels": (compiled(Dense(2)), X, {"y": [0, 2]}, "whole numbers from 0 to 1"),
    "no generator": (ReLU(), X, {"rng": 7}, "rng must be a numpy.random.Generator"),
    "step 0": (ReLU(), X, {"step": 0}, "step must be above 0, received 0"),
    "no tolerance": (ReLU(), X, {"tolerance": -1}, "tolerance must be above 0"),
    "NaN tolerance": (ReLU(), X, {"tolerance": np.nan}, "tolerance must be above 0"),
    "sample 0": (ReLU(), X, {"sample": 0}, "sample must be at least 1"),
    "sample 2.5": (ReLU(), X, {"sample": 2.5}, "sample must be an integer"),
    "directions 0": (ReLU(), X, {"directions": 0}, "directions must be at least 1"),
    "both": (ReLU(), X, {"directions": 1, "sample": 1}, "choose sample or directions"),
    "an unknown weight": (Dense(2), X, {"only": "bais"}, r"one of \['dx', 'kernel', 'bias'\]"),
    "branches that are an array": (
        Branches(np.ones(3, bool)),
        X,
        {},
        r"Branches.branches: expected a list of arrays.*received array",
    ),
    "branches that are None": (Branches(None), X, {}, "expected a list of arrays.*received None"),
}


@pytest.mark.parametrize(("layer", "x", "arguments", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_checked_is_refused(layer, x, arguments, text, rng):
    with pytest.raises((TypeError, ValueError), match=text):
        check_gradients(layer, x, **{"rng": rng, **arguments})


# What people write: see zoo.py.


@pytest.mark.parametrize("kind", zoo.RIGHT, ids=lambda kind: kind.__name__)
def test_no_false_alarm(kind):
    report = zoo.judged(kind)
    assert report.ok, str(report)
    assert zoo.judged(kind, directions=3).broken == ()


@pytest.mark.parametrize("kind", zoo.WRONG, ids=lambda kind: kind.__name__)
def test_a_wrong_layer_is_called_wrong_and_its_mistake_is_named(kind):
    layer = kind()
    x = layer.x()
    before = [array.copy() for array in (x, *layer.params.values())]
    report = check_gradients(layer, x, rng=np.random.default_rng(7))
    assert not report.ok
    assert kind.names in str(report)
    assert all(map(np.array_equal, before, (x, *layer.params.values())))
    with pytest.raises(AssertionError, match="gradients are not right"):
        report.assert_ok()


def test_the_zoo_is_large_enough():
    assert len(zoo.RIGHT) >= 25
    assert len(zoo.WRONG) >= 25
    assert sum(bool(kind.names) for kind in zoo.WRONG) >= 20


def test_directions_find_one_wrong_entry_of_a_thousand(rng):
    class Large(MyDense):
        wrong = False

        def backward(self, dy, cache):
            dx, grads = super().backward(dy, cache)
            grads["kernel"][3, 7] *= 2 if self.wrong else 1
            return dx, grads

    layer, x = Large(rng, 25, 40), rng.standard_normal((3, 25))
    for seed in range(10):
        layer.wrong = bool(seed % 2)
        report = check_gradients(layer, x, rng=np.random.default_rng(seed), directions=2)
        assert failed(report) == ["kernel"] * layer.wrong
        assert [row.checked for row in report.rows] == [2, 2, 2]
    assert "2 directions" in str(report)
    assert "dkernel in a direction: " in str(report)


def test_a_large_kernel_is_checked_in_few_passes(rng):
    """All filters of a kernel in one pass, and all samples of x."""

    class Counted(Conv2D):
        passes = 0

        def forward(self, x):
            Counted.passes += 1
            return super().forward(x)

    layer = Counted(24, 3, activation="relu")
    layer.build((5, 5, 8), rng, "float64")
    report = check_gradients(layer, rng.standard_normal((6, 5, 5, 8)), rng=rng)
    entries = sum(row.checked for row in report.rows)
    assert all_checked(report)
    assert entries == 6 * 200 + 72 * 24 + 24
    assert Counted.passes < entries / 4
    (row,) = check_gradients(layer, rng.standard_normal((2, 5, 5, 8)), rng=rng, only="bias").rows
    assert row.gradient == "dbias"


def test_a_tiny_channel_beside_a_huge_one(rng):
    class Channels:
        wrong = 1

        def forward(self, x):
            return x * [1e3, 1e-2], None

        def backward(self, dy, cache):
            return dy * [1e3, 1e-2 * self.wrong], {}

    x = rng.standard_normal((3, 2))
    layer = Channels()
    assert check_gradients(layer, x, rng=rng).ok
    layer.wrong = 1.01
    (row,) = check_gradients(layer, x, rng=rng).rows
    assert not row.ok


def test_a_saturated_softmax_is_noted(rng):
    x = rng.standard_normal((4, 5))
    assert not check_gradients(Softmax(), x, rng=rng).notes
    assert "is something saturated?" in str(check_gradients(Softmax(), 100 * x, rng=rng))


def test_mostly_skipped_is_not_right(rng):
    x = np.zeros((4, 5))
    x[0] = rng.standard_normal(5)
    report = check_gradients(ReLU(), x, rng=rng)
    assert failed(report) == ["dx"]
    assert "15 entries skipped (75%)" in str(report)
    assert "dx is not known: 75% of its entries cross kinks" in str(report)


def test_the_inner_layers_of_a_composite_layer_stay_as_they_are(rng):
    class Block(Layer):
        def __init__(self):
            super().__init__()
            self.inner = Dense(3)

        def build(self, input_shape, rng, dtype="float32"):
            self.inner.build(input_shape, rng, dtype)
            super().build(input_shape, rng, dtype)
            self.params = self.inner.params

        def output_shape(self, input_shape):
            return self.inner.output_shape(input_shape)

        def forward(self, x):
            return self.inner.forward(x)

        def backward(self, dy, cache):
            return self.inner.backward(dy, cache)

    block = Block()
    assert check_gradients(block, rng.standard_normal((2, 4)), rng=rng).ok
    assert block.params == block.inner.params == {}
    assert block.inner.input_shape is None


def test_a_layer_that_cannot_be_copied_gets_its_weights_back(rng):
    layer = MyDense(rng)
    layer.lock = threading.Lock()
    before = {name: weight.copy() for name, weight in layer.params.items()}
    assert check_gradients(layer, rng.standard_normal((2, 3)), rng=rng).ok
    for name, weight in layer.params.items():
        np.testing.assert_array_equal(weight, before[name])


def test_a_loss_with_real_targets_is_checked(rng):
    class MeanSquaredError(Loss):
        def losses_and_gradient(self, y_true, y_pred):
            error = y_pred - y_true
            return (error**2).mean(axis=1), 2 * error / error.shape[1]

    class Twofold(MeanSquaredError):  # noqa: N818
        def losses_and_gradient(self, y_true, y_pred):
            losses, gradient = super().losses_and_gradient(y_true, y_pred)
            return losses, 2 * gradient

    x, y = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    for loss, eagerly in itertools.product((MeanSquaredError(), Twofold()), (True, False)):
        model = Sequential([Input((3,)), Dense(2, "softmax")], dtype="float64")
        model.compile("sgd", loss, run_eagerly=eagerly)
        report = check_gradients(model, x, y, rng=rng)
        assert report.ok == (type(loss) is MeanSquaredError)
        assert report.ok or "2 times the right value everywhere" in str(report)


def test_penalties_of_regularizers_are_part_of_the_loss(rng):
    class Squares:
        factor = 2

        def __call__(self, weight):
            return (weight**2).sum()

        def gradient(self, weight):
            return self.factor * weight

    model = Sequential([Input((3,)), Dense(2)], dtype="float64")
    model.layers[0].regularizers = {"kernel": Squares()}
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    x, y = rng.standard_normal((4, 3)), [0, 1, 1, 0]
    check_gradients(model, x, y, rng=rng).assert_ok()
    Squares.factor = 1
    assert failed(check_gradients(model, x, y, rng=rng)) == ["dense.kernel"]


def test_compiling_is_announced(rng, capsys):
    class Compiled:
        def forward(self, x):
            with event.trigger_event("numba:compile"):
                return 2 * x, None

        def backward(self, dy, cache):
            return 2 * dy, {}

    assert check_gradients(Compiled(), rng.standard_normal((1, 2)), rng=rng, directions=1).ok
    assert "Compiling" in capsys.readouterr().err


def test_samples_that_depend_on_each_other_are_noted(rng):
    report = zoo.judged(zoo.BatchNorm, directions=1)
    assert "Note: samples depend on each other: training gives it whole batches." in str(report)
    assert zoo.judged(zoo.Dense, directions=1).notes == ()
