"""Side by side: one layer, or every output and every gradient of a model and its Keras twin."""

import copy
from typing import Any, NamedTuple

import numpy as np

from minicnn import losses
from minicnn.activations import ACTIVATIONS
from minicnn.eager import without_softmax
from minicnn.engine import Plan
from minicnn.keras_reference.keras_side import precision, require_keras
from minicnn.keras_reference.own_parts import Twins
from minicnn.keras_reference.to_keras import arguments_of, keras_loss, with_weights
from minicnn.layer import Layer, asks_for
from minicnn.model import Sequential
from minicnn.step import backward, forward
from minicnn.validation import Check, plain


def layer_pass(layer: Layer, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
    """Output and gradients of the Keras layer of the same arguments and weights.

    Parameters
    ----------
    layer : Layer
        Built; one of minicnn's own.
    x, dy : (n, ...) arrays of the layer's dtype
        Input, and gradient of a loss by the output.

    Returns
    -------
    dict
        "output", "dx" and, for each weight, "d" with its name.
    """
    keras = require_keras()
    import tensorflow as tf

    kind = getattr(keras.layers, type(layer).__name__)
    twin = kind(**arguments_of(layer), dtype=x.dtype.name)
    twin.build(x.shape)
    twin.set_weights(layer.get_weights())
    variables = [variable.value for variable in twin.trainable_variables]
    tensor = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        y = twin(tensor)
    gradients = tape.gradient(y, [tensor, *variables], output_gradients=tf.constant(dy))
    names = ["dx", *(f"d{name}" for name in layer.params)]
    return {"output": y.numpy()} | dict(
        zip(names, (gradient.numpy() for gradient in gradients), strict=True)
    )


class Difference(NamedTuple):
    """How far minicnn is from Keras in one array.

    `absolute` is the largest difference of two entries; `relative` is that divided by the largest
    magnitude in Keras' array, since entries near zero differ by rounding of the large ones. `apart`
    counts the entries that differ by more than a thousandth of that magnitude.
    """

    layer: str
    quantity: str
    absolute: float
    relative: float
    apart: int
    entries: int


class Comparison(NamedTuple):
    """What `compare` found; prints as a table."""

    differences: list[Difference]
    parameters: list[tuple[str, int, int]]  # layer, ours, theirs
    loss: tuple[float, float]  # ours, theirs

    @property
    def worst(self) -> Difference:
        """The largest relative difference."""
        return max(self.differences, key=lambda difference: difference.relative)

    def __str__(self) -> str:
        lines = [f"{'layer':24}{'minicnn':>12}{'Keras':>12}  parameters"]
        lines += [f"{name:24}{ours:>12,}{theirs:>12,}" for name, ours, theirs in self.parameters]
        head = f"{'layer':24}{'quantity':12}{'absolute':>12}{'relative':>12}"
        lines += ["", f"{head}  entries apart by over 1/1000"]
        lines += [
            f"{d.layer:24}{d.quantity:12}{d.absolute:>12.1e}{d.relative:>12.1e}"
            f"{d.apart:>9,} of {d.entries:,}"
            for d in self.differences
        ]
        ours, theirs = self.loss
        lines += ["", f"loss: minicnn {ours:.9g}, Keras {theirs:.9g}"]
        lines += [f"largest relative difference: {self.worst.relative:.1e}, "]
        lines[-1] += f"{self.worst.quantity} of {self.worst.layer}"
        return "\n".join(lines)


def difference(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """(absolute, relative) as in `Difference`; infinite where one is NaN or shapes differ."""
    absolute, relative, _ = _differences(ours, theirs)
    return absolute, relative


def _differences(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, int]:
    """The same, and how many entries are apart."""
    if ours.shape != theirs.shape:
        return np.inf, np.inf, theirs.size
    if not ours.size:
        return 0.0, 0.0, 0
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.where(ours == theirs, 0, np.abs(ours - theirs))  # infinity equals infinity
    apart[np.isnan(apart)] = np.inf
    absolute, scale = float(apart.max()), float(np.nanmax(np.abs(theirs), initial=0)) or 1.0
    return absolute, absolute / scale, int((apart > scale / 1000).sum())


def compare(
    model: Sequential, x: Any, y: Any, *, twins: Twins | None = None, steps: int = 0
) -> Comparison:
    """One forward and backward pass through `model` and its Keras twin; nothing is learned.

    Parameters
    ----------
    model : Sequential
        Built; if it is not compiled, the loss is sparse_categorical_crossentropy.
    x : (n, ...) array
    y : (n, ...) targets
        Integers (n,) for the built-in loss.
    twins : dict, optional
        Keras' counterparts of layers, losses, metrics and optimizers of your own: see `to_keras`.
    steps : int
        Also train copies of both for so many steps on this batch, and compare losses, metrics and
        weights after them.

    Returns
    -------
    Comparison
        For each layer the differences of its output, of the gradient of the loss with respect to
        its input (dX) and to each of its weights, as the layers' own code computes them; and of the
        gradients by which `fit` trains, which the engine computes. In single precision expect a few
        gradients far apart: where two cells of a pooling window are equal up to rounding, either
        may win. In double precision there are none.

    Raises
    ------
    ImportError
        Without TensorFlow.
    TypeError, ValueError
        For samples and targets that the model cannot take, and for parts of your own without twin.
    """
    require_keras()
    check = Check("compare")
    model.count_params()  # raises if the model is not built
    x = plain(check.samples(x, "x", model.input_shape), model.dtype)
    loss = model.loss or losses.SparseCategoricalCrossentropy()
    targets = loss.targets(check, y, "y", len(x), model.output_shape)
    steps = check.integer(steps, "steps", 0)
    if steps and model.optimizer is None:
        raise ValueError("compare: steps need a compiled model")
    if steps and any(asks_for(layer, "rng") for layer in model.layers):
        raise ValueError("compare: steps are not comparable with random layers, such as Dropout")
    twin, pairs = with_weights(model, twins)
    our_loss, ours = _our_answers(model, loss, x, targets, pairs)
    their_loss, theirs = _their_answers(twin, model, loss, x, targets, pairs)
    parameters = [
        (layer.name, layer.count_params(), other.count_params())
        for layer, other in zip(model.layers, twin.layers, strict=True)
    ]
    if steps:
        our_steps, their_steps = _trained(model, twin, x, targets, pairs, steps)
        ours, theirs = ours | our_steps, theirs | their_steps
    differences = [
        Difference(*key, *_differences(ours[key], theirs[key]), theirs[key].size) for key in ours
    ]
    return Comparison(differences, parameters, (our_loss, their_loss))


def _our_answers(model, loss, x, targets, pairs):
    """The loss; and the outputs and gradients of the core, then of `fit`, by layer and quantity.

    Gradients are in Keras' layout.
    """
    layers, own_loss = without_softmax(model.layers, loss)
    activations, caches = forward(layers, x)
    sample_losses, dy = own_loss.losses_and_gradient(targets, activations[-1])
    dy = dy / len(x)
    answers = {}
    layouts = [{name: function for name, function, _ in own} for own in pairs]
    for layer, layout, y, (dx, grads) in zip(
        layers, layouts, activations[1:], backward(layers, caches, dy), strict=False
    ):
        answers |= {(layer.name, "output"): y, (layer.name, "dX"): dx}
        answers |= {(layer.name, f"d{name}"): layout[name](grads[name]) for name in layer.params}
    if layers is not model.layers:  # what the softmax at the end would give
        last = model.layers[-1].name
        answers[last, "output"] = ACTIVATIONS["softmax"].forward(activations[-1])
        answers.setdefault((last, "dX"), dy)
    if not model.run_eagerly:
        found = Plan(model.layers, loss).gradients(x, targets, training=False)
        weights = (
            (layer.name, name, layout[name])
            for layer, layout in zip(layers, layouts, strict=False)
            for name in layer.params
        )
        for (layer, name, function), parts in zip(weights, found.by_weight, strict=True):
            answers[layer, f"d{name} (fit)"] = function(sum(parts[1:], parts[0]))
    return float(sample_losses.mean()), answers


def _their_answers(twin, model, loss, x, targets, pairs):
    import tensorflow as tf

    with precision(model.dtype) as keras:
        their_loss = keras.losses.get(twin.loss if twin.compiled else keras_loss(loss))
        tensors = [tf.convert_to_tensor(x)]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(tensors[0])
            for layer in twin.layers:
                tensors.append(layer(tensors[-1]))
            value = tf.reduce_mean(their_loss(targets, tensors[-1]))
    answers = {}
    for own, layer_pairs, before, after in zip(
        model.layers, pairs, tensors, tensors[1:], strict=False
    ):
        answers[own.name, "output"] = after.numpy()
        answers[own.name, "dX"] = tape.gradient(value, before).numpy()
        for name, _, variable in layer_pairs:
            if name in own.params:
                gradient = tape.gradient(value, variable.value).numpy()
                answers[own.name, f"d{name}"] = answers[own.name, f"d{name} (fit)"] = gradient
    return float(value), answers


def _trained(model, twin, x, targets, pairs, steps):
    """Losses, metrics and weights of copies of both after some steps: (ours, Keras')."""
    after = f"after {steps} steps"
    copied = copy.deepcopy(model)
    reports = [
        [np.atleast_1d(each.train_on_batch(x, targets)) for _ in range(steps)]
        for each in (copied, twin)
    ]
    ours, theirs = ({("training", "losses, metrics"): np.array(report)} for report in reports)
    for layer, layer_pairs in zip(copied.layers, pairs, strict=True):
        for name, function, variable in layer_pairs:
            ours[layer.name, f"{name} {after}"] = function(layer.weights[name])
            theirs[layer.name, f"{name} {after}"] = variable.numpy()
    return ours, theirs
