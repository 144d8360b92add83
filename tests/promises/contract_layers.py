"""The checks of the common battery that are about layers: see `contract.py`."""

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn import Input, Sequential, keras, keras_reference, layers
from minicnn.checking import ledger
from minicnn.gradcheck import check_gradients
from minicnn.layer import forward_options
from minicnn.layers import (
    Activation,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPooling2D,
    ReLU,
    Softmax,
)
from minicnn.losses import SparseCategoricalCrossentropy
from tests.promises.array_forms import FORMS

SAMPLES = 5
further = keras.layers


class LayerRow(NamedTuple):
    """A layer, which `new()` creates, and the shape of one sample."""

    new: Callable[[], layers.Layer]
    shape: tuple[int, ...]

    def built(self, dtype: str = "float64") -> tuple[layers.Layer, np.ndarray, np.ndarray]:
        """The layer with random weights; x without ties; dy."""
        rng, layer = np.random.default_rng(3), self.new()
        layer.build(self.shape, rng, dtype)
        drawn = [rng.standard_normal(w.shape) / 2 for w in layer.params.values()]
        layer.set_weights([*drawn, *layer.state.values()])
        size = SAMPLES * int(np.prod(self.shape))
        x = (rng.permutation(size).reshape(SAMPLES, *self.shape) + 0.5) / size * 4 - 2
        dy = rng.standard_normal((SAMPLES, *layer.output_shape(self.shape)))
        return layer, x.astype(dtype), dy.astype(dtype)


LAYERS = {
    "Conv2D": LayerRow(lambda: Conv2D(2, 3, activation="relu"), (6, 5, 2)),
    "Conv2D strides": LayerRow(lambda: Conv2D(3, (2, 3), (2, 1), "same"), (5, 6, 1)),
    "MaxPooling2D": LayerRow(lambda: MaxPooling2D((2, 3), 2, "same"), (5, 6, 2)),
    "Flatten": LayerRow(Flatten, (2, 3, 2)),
    "Dense": LayerRow(lambda: Dense(3, "softmax"), (5,)),
    "Dense without bias": LayerRow(lambda: Dense(3, "relu", use_bias=False), (2, 5)),
    "Dropout": LayerRow(lambda: Dropout(0.5), (2, 4)),
    "ReLU": LayerRow(ReLU, (2, 4)),
    "Softmax": LayerRow(Softmax, (4,)),
    "Activation": LayerRow(lambda: Activation("tanh"), (2, 4)),
    "AveragePooling2D": LayerRow(lambda: further.AveragePooling2D((2, 3), 2, "same"), (5, 6, 2)),
    "BatchNormalization": LayerRow(further.BatchNormalization, (3, 2, 2)),
    "GlobalAveragePooling2D": LayerRow(further.GlobalAveragePooling2D, (3, 2, 2)),
    "GlobalMaxPooling2D": LayerRow(lambda: further.GlobalMaxPooling2D(keepdims=True), (3, 2, 2)),
    "LeakyReLU": LayerRow(lambda: further.LeakyReLU(0.25), (2, 4)),
    "Rescaling": LayerRow(lambda: further.Rescaling(0.5, -1), (2, 4)),
    "Reshape": LayerRow(lambda: further.Reshape((2, -1)), (4, 3)),
}
NEEDS_WHOLE_BATCHES = (further.BatchNormalization,)


def shapes_and_dtypes(row: LayerRow) -> None:
    """As announced by `output_shape` and `params`, in the precision of the layer."""
    for dtype in ("float32", "float64"):
        layer, x, dy = row.built(dtype)
        y, cache = forward(layer, x)
        dx, grads = layer.backward(dy, cache)
        assert list(grads) == list(layer.params), f"gradients of {list(grads)}"
        found, wanted = [y, dx, *grads.values()], [dy, x, *layer.params.values()]
        shapes = [array.shape for array in found]
        assert shapes == [array.shape for array in wanted], f"shapes {shapes}"
        assert {array.dtype for array in found} == {np.dtype(dtype)}, f"not all in {dtype}"


def right_gradients(row: LayerRow) -> None:
    """Against central differences."""
    layer, x, _ = row.built()
    report = check_gradients(layer, x, rng=np.random.default_rng(1))
    complete = all(found.checked == found.entries for found in report.rows)
    assert report.ok and complete, str(report)  # noqa: PT018


def passes_change_nothing(row: LayerRow) -> None:
    """A pass leaves arguments, weights, outputs and caches as they are: a second has equal bits."""
    for dtype in ("float32", "float64"):
        layer, x, dy = row.built(dtype)
        before = [a.copy() for a in (x, dy, *layer.params.values())]
        y, cache = forward(layer, x)
        output = y.copy()
        first, second = (_gradients(layer, dy, cache) for _ in range(2))
        after = [x, dy, *layer.params.values(), y]
        assert equal(after, [*before, output]), "x, dy, y or weights have changed"
        assert equal(first, second), "a second backward pass with this cache has other bits"
        again = forward_and_backward(layer, x, dy)
        assert equal(again, [output, *first]), "a second pass has other bits"


def no_samples(row: LayerRow) -> None:
    """A batch of no samples has empty outputs, and gradients of zero."""
    for dtype in ("float32", "float64"):
        layer, x, dy = row.built(dtype)
        found = forward_and_backward(layer, x[:0], dy[:0])
        wanted = [dy[:0], x[:0], *(np.zeros_like(w) for w in layer.params.values())]
        assert equal(found, wanted), f"{found} of no samples"


def threads_may_share_it(row: LayerRow) -> None:
    """Four threads use one layer at the same time."""
    layer, x, dy = row.built()
    alone = forward_and_backward(layer, x, dy)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: forward_and_backward(layer, x, dy), range(12)):
            assert equal(found, alone), "other bits while other threads use it"


def samples_do_not_affect_each_other(row: LayerRow) -> None:
    """Outputs of a sample are the same in every batch; gradients of weights are sums."""
    layer, x, dy = row.built()
    if isinstance(layer, NEEDS_WHOLE_BATCHES):
        assert not layer.samples_are_independent, "a batch would be cut"
        return
    y, dx, *grads = forward_and_backward(layer, x, dy)
    alone = {
        i: forward_and_backward(layer, x[i : i + 1], dy[i : i + 1], first=i)
        for i in reversed(range(SAMPLES))
    }
    ys, dxs, *parts = zip(*(alone[i] for i in range(SAMPLES)), strict=True)
    expected = [np.concatenate(ys), np.concatenate(dxs), *(sum(part) for part in parts)]
    for found, wanted in zip([y, dx, *grads], expected, strict=True):
        assert np.allclose(found, wanted, 1e-12, 1e-12), "other numbers than sample by sample"


def any_form_of_input(row: LayerRow) -> None:
    """The same numbers in any form give the same bits, and are left as they are."""
    layer, x, dy = row.built("float32")
    x, dy = np.abs(np.round(x * 4)), np.round(dy * 4)  # integers hold them exactly
    # Without weights, a layer by itself has the precision of x.
    plain = {dtype: forward_and_backward(layer, x.astype(dtype), dy) for dtype in ("f4", "f8")}
    with tempfile.TemporaryDirectory() as folder:
        for form, make in FORMS.items():
            given = make(x, Path(folder))
            for other in (np.asfortranarray(dy), dy.astype(">f8"), dy.astype("i2")):
                found = forward_and_backward(layer, given, other)
                same = equal(found, plain[found[0].dtype.str[1:]])
                assert same, f"other bits for x of the form {form}, dy of {other.dtype}"
            assert np.array_equal(np.array(given), x), f"x of the form {form} has changed"
            del given  # Windows removes no file that is mapped


def refusals(row: LayerRow) -> None:
    """Invalid arguments raise an error that names the layer, and change nothing."""
    layer, x, dy = row.built()
    before = layer.get_weights()
    _, cache = forward(layer, x)
    new, rng, empty = row.new(), np.random.default_rng(0), (0, *row.shape[1:])
    wrong: dict[str, tuple[Callable[..., Any], Any]] = {
        "not built": (new.forward, x),
        "shape of x": (layer.forward, x[..., None]),
        "text": (layer.forward, x.astype(str)),
        "complex": (layer.forward, x + 1j),
        "shape of dy": (layer.backward, dy[1:], cache),
        "size 0": (new.build, empty, rng),
        "dtype": (new.build, row.shape, rng, "float16"),
        "too many weights": (layer.set_weights, [*before, before]),
    }
    for what, call in wrong.items():
        refuses(what, type(layer).__name__, *call)
    assert equal(layer.get_weights(), before), "weights have changed"


def weights_are_copied(row: LayerRow) -> None:
    """`get_weights` returns copies, and `set_weights` makes some."""
    layer, *_ = row.built()
    before = layer.get_weights()
    for weight in layer.get_weights():
        weight += 1
    given = [weight + 1 for weight in before]
    layer.set_weights(given)
    assert equal(layer.get_weights(), given), "set_weights sets something else"
    for weight in given:
        weight += 1
    assert equal(layer.get_weights(), [w + 1 for w in before]), "weights are shared"


def trained_saved_loaded(row: LayerRow) -> None:
    """In a model it learns, and predicts the same after saving and loading."""
    first, second = (Sequential([Input(row.shape), row.new(), Flatten(), Dense(3)]) for _ in "12")
    _, x, _ = row.built("float32")
    first.compile("sgd", SparseCategoricalCrossentropy(from_logits=True))
    before = first.get_weights()
    first.fit(x, np.arange(SAMPLES) % 3, verbose=0)
    for old, new in zip(before, first.get_weights(), strict=True):
        assert not np.array_equal(old, new), "some weights do not change in training"
    with tempfile.TemporaryDirectory() as folder:
        first.save_weights(Path(folder) / "weights.npz")
        second.load_weights(Path(folder) / "weights.npz")
    predictions = [model.predict(x, verbose=0) for model in (first, second)]
    assert equal(*predictions), "other predictions after loading"


def as_keras(row: LayerRow) -> None:
    """Outputs and gradients, in double precision."""
    layer, x, dy = row.built()
    theirs = keras_reference.layer_pass(layer, x, dy).values()
    ours = forward_and_backward(layer, x, dy, training=False)
    for name, a, b in zip(("y", "dx", *layer.params), ours, theirs, strict=True):
        _, relative = keras_reference.difference(a, b)
        assert relative <= ledger.TOLERANCES["float64"][0], f"{name} differs by {relative:.1e}"


CHECKS: list[Callable[[LayerRow], None]] = [
    shapes_and_dtypes,
    right_gradients,
    passes_change_nothing,
    no_samples,
    threads_may_share_it,
    samples_do_not_affect_each_other,
    any_form_of_input,
    refusals,
    weights_are_copied,
    trained_saved_loaded,
    as_keras,
]


def forward(layer: layers.Layer, x: Any, first: int = 0, training: bool = True) -> Any:
    """Output and cache; the first sample of x is number `first` of its batch."""
    options = forward_options(layer, training, (27,), 0)
    if options.get("rng"):
        options["rng"].bit_generator.advance(first * int(np.prod(layer.input_shape)))
    return layer.forward(x, **options)


def forward_and_backward(
    layer: layers.Layer, x: Any, dy: Any, first: int = 0, training: bool = True
) -> list[np.ndarray]:
    """Output, gradient of the input, and gradients of the weights."""
    y, cache = forward(layer, x, first, training)
    return [y, *_gradients(layer, dy, cache)]


def _gradients(layer: layers.Layer, dy: Any, cache: Any) -> list[np.ndarray]:
    dx, grads = layer.backward(dy, cache)
    return [dx, *grads.values()]


def equal(some: Any, others: Any) -> bool:
    """Whether two sequences of arrays are equal."""
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def refuses(what: str, name: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    """Raise unless the call raises a TypeError or ValueError with `name` in its message."""
    message = None
    try:
        call(*arguments, **named)
    except (TypeError, ValueError) as error:
        message = str(error)
    assert message is not None, f"{what}: is not refused"
    assert name in message, f"{what}: the error does not say {name!r}: {message}"
