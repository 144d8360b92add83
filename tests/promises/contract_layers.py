"""The checks of the common battery that are about layers: see `contract.py`."""

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn import Input, Sequential, keras_reference, layers
from minicnn.checking import ledger
from minicnn.gradcheck import check_gradients
from minicnn.layer import forward_options
from minicnn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D, ReLU, Softmax
from minicnn.losses import SparseCategoricalCrossentropy
from tests.promises.array_forms import FORMS

SAMPLES = 5


class LayerRow(NamedTuple):
    """A layer, which `new()` creates, and the shape of one sample."""

    new: Callable[[], layers.Layer]
    shape: tuple[int, ...]

    def built(self, dtype: str = "float64") -> tuple[layers.Layer, np.ndarray, np.ndarray]:
        """The layer with random weights; x without ties; dy."""
        rng, layer = np.random.default_rng(3), self.new()
        layer.build(self.shape, rng, dtype)
        layer.set_weights([rng.standard_normal(w.shape) / 2 for w in layer.params.values()])
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
}


def shapes_and_dtypes(row: LayerRow) -> str:
    """As announced by `output_shape` and `params`, in the precision of the layer."""
    for dtype in ("float32", "float64"):
        layer, x, dy = row.built(dtype)
        y, cache = forward(layer, x)
        dx, grads = layer.backward(dy, cache)
        wanted = {"y": dy.shape, "dx": x.shape} | {k: v.shape for k, v in layer.params.items()}
        found = {"y": y, "dx": dx, **grads}
        if {key: array.shape for key, array in found.items()} != wanted:
            return f"shapes {found}, expected {wanted}"
        if {array.dtype for array in found.values()} != {np.dtype(dtype)}:
            return f"not all in {dtype}"
        if list(grads) != list(layer.params):
            return f"gradients of {list(grads)}, expected {list(layer.params)}"
    return ""


def right_gradients(row: LayerRow) -> str:
    """Against central differences."""
    layer, x, _ = row.built()
    report = check_gradients(layer, x, rng=np.random.default_rng(1))
    complete = all(found.checked == found.entries for found in report.rows)
    return "" if report.ok and complete else str(report)


def passes_change_nothing(row: LayerRow) -> str:
    """A pass leaves arguments, weights, outputs and caches as they are: a second has equal bits."""
    for dtype in ("float32", "float64"):
        layer, x, dy = row.built(dtype)
        before = [a.copy() for a in (x, dy, *layer.params.values())]
        y, cache = forward(layer, x)
        output = y.copy()
        first, second = (_gradients(layer, dy, cache) for _ in range(2))
        if not equal([x, dy, *layer.params.values(), y], [*before, output]):
            return "x, dy, y or weights have changed"
        if not equal(first, second):
            return "a second backward pass with the same cache has other bits"
        if not equal(forward_and_backward(layer, x, dy), [output, *first]):
            return "a second pass has other bits"
    return ""


def no_samples(row: LayerRow) -> str:
    """A batch of no samples has empty outputs, and gradients of zero."""
    for dtype in ("float32", "float64"):
        layer, x, dy = row.built(dtype)
        y, dx, *grads = forward_and_backward(layer, x[:0], dy[:0])
        if (y.shape, dx.shape) != (dy[:0].shape, x[:0].shape):
            return f"shapes {y.shape} and {dx.shape}"
        if not equal(grads, [np.zeros_like(w) for w in layer.params.values()]):
            return "gradients of weights are not zero"
    return ""


def threads_may_share_it(row: LayerRow) -> str:
    """Four threads use one layer at the same time."""
    layer, x, dy = row.built()
    alone = forward_and_backward(layer, x, dy)
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda _: forward_and_backward(layer, x, dy), range(12))
    return (
        "" if all(equal(one, alone) for one in found) else "other bits while other threads use it"
    )


def samples_do_not_affect_each_other(row: LayerRow) -> str:
    """Outputs of a sample are the same in every batch; gradients of weights are sums."""
    layer, x, dy = row.built()
    y, dx, *grads = forward_and_backward(layer, x, dy)
    parts = [
        forward_and_backward(layer, x[i : i + 1], dy[i : i + 1], first=i)
        for i in reversed(range(SAMPLES))
    ]
    ys, dxs, *sums = ([part[i] for part in parts][::-1] for i in range(len(parts[0])))
    pairs = [(y, np.concatenate(ys)), (dx, np.concatenate(dxs))]
    pairs += [(grad, np.sum(each, axis=0)) for grad, each in zip(grads, sums, strict=True)]
    close = all(np.allclose(a, b, rtol=1e-12, atol=1e-12) for a, b in pairs)
    return "" if close else "a batch gives other numbers than its samples one by one"


def any_form_of_input(row: LayerRow) -> str:
    """The same numbers in any form give the same bits, and are left as they are."""
    layer, x, dy = row.built("float32")
    x, dy = np.abs(np.round(x * 4)), np.round(dy * 4)  # integers hold them exactly
    # Without weights, a layer by itself has the precision of x.
    plain = {dtype: forward_and_backward(layer, x.astype(dtype), dy) for dtype in ("f4", "f8")}
    with tempfile.TemporaryDirectory() as folder:
        for form, make in FORMS.items():
            given = make(x, Path(folder))
            for other in (np.asfortranarray, lambda a: a.astype(">f8"), lambda a: a.astype("i2")):
                found = forward_and_backward(layer, given, other(dy))
                if not equal(found, plain[found[0].dtype.str[1:]]):
                    return f"other bits for x of the form {form}, dy of {other(dy).dtype}"
            if not np.array_equal(np.array(given), x):
                return f"x of the form {form} has changed"
            del given  # Windows removes no file that is mapped
    return ""


def refusals(row: LayerRow) -> str:
    """Invalid arguments raise an error that names the layer, and change nothing."""
    layer, x, dy = row.built()
    before = layer.get_weights()
    _, cache = forward(layer, x)
    wrong: dict[str, Callable[[], Any]] = {
        "not built": lambda: row.new().forward(x),
        "shape of x": lambda: layer.forward(x[..., None]),
        "text": lambda: layer.forward(x.astype(str)),
        "complex": lambda: layer.forward(x + 1j),
        "shape of dy": lambda: layer.backward(dy[1:], cache),
        "size 0": lambda: row.new().build((0, *row.shape[1:]), np.random.default_rng(0)),
        "dtype": lambda: row.new().build(row.shape, np.random.default_rng(0), "float16"),
        "too many weights": lambda: layer.set_weights([*before, before]),
    }
    for name, call in wrong.items():
        if complaint := not_refused(call, type(layer).__name__):
            return f"{name}: {complaint}"
    return "" if equal(layer.get_weights(), before) else "weights have changed"


def weights_are_copied(row: LayerRow) -> str:
    """`get_weights` returns copies, and `set_weights` makes some."""
    layer, *_ = row.built()
    before = layer.get_weights()
    for weight in layer.get_weights():
        weight += 1
    given = [weight + 1 for weight in before]
    layer.set_weights(given)
    if not equal(layer.get_weights(), given):
        return "set_weights sets something else"
    for weight in given:
        weight += 1
    return "" if equal(layer.get_weights(), [w + 1 for w in before]) else "weights are shared"


def trained_saved_loaded(row: LayerRow) -> str:
    """In a model it learns, and predicts the same after saving and loading."""

    def model() -> Sequential:
        return Sequential([Input(row.shape), row.new(), Flatten(), Dense(3)])

    first, second = model(), model()
    _, x, _ = row.built("float32")
    loss = SparseCategoricalCrossentropy(from_logits=True)
    first.compile("sgd", loss)
    before = first.get_weights()
    first.fit(x, np.arange(SAMPLES) % 3, verbose=0)
    if any(np.array_equal(a, b) for a, b in zip(before, first.get_weights(), strict=True)):
        return "some weights do not change in training"
    with tempfile.TemporaryDirectory() as folder:
        first.save_weights(Path(folder) / "weights.npz")
        second.load_weights(Path(folder) / "weights.npz")
    predictions = [each.predict(x, verbose=0) for each in (first, second)]
    return "" if np.array_equal(*predictions) else "other predictions after loading"


def as_keras(row: LayerRow) -> str:
    """Outputs and gradients, in double precision."""
    layer, x, dy = row.built()
    theirs = list(keras_reference.layer_pass(layer, x, dy).values())
    ours = forward_and_backward(layer, x, dy, training=False)
    names = ("y", "dx", *layer.params)
    for name, a, b in zip(names, ours, theirs, strict=True):
        _, relative = keras_reference.difference(a, b)
        if relative > ledger.TOLERANCES["float64"][0]:
            return f"{name} differs by {relative:.1e}"
    return ""


CHECKS: list[Callable[[LayerRow], str]] = [
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
    """Whether two lists of arrays are equal."""
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def not_refused(call: Callable[[], Any], name: str) -> str:
    """What is wrong with how `call` is refused, or ""; its error has to contain `name`."""
    try:
        call()
    except (TypeError, ValueError) as error:
        return "" if name in str(error) else f"the error does not say {name!r}: {error}"
    except Exception as error:
        return f"ends with {error!r}"
    return "is not refused"
