"""The Keras twin of a model: there, back, and the two side by side.

    twin = to_keras(model)              same weights, optimizer state and step count
    model = from_keras(twin)
    print(compare(model, x, labels))    every output and every gradient, layer by layer

TensorFlow is imported when one of these is called, and never by `import minicnn`.
"""

import contextlib
import os
import sys
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from minicnn import checks, layers, losses, metrics, objective, optimizers
from minicnn.layer import Layer
from minicnn.layers import Input
from minicnn.model import Sequential
from minicnn.optimizers import Optimizer

# What layers and optimizers of either library are made of, in the words of both.
ARGUMENTS = {
    "Conv2D": ("filters", "kernel_size", "strides", "padding", "activation", "use_bias"),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
    "Flatten": (),
    "Dense": ("units", "activation", "use_bias"),
    "ReLU": (),
    "Softmax": (),
}
OPTIMIZER_ARGUMENTS = {
    "Adam": ("learning_rate", "beta_1", "beta_2", "epsilon"),
    "SGD": ("learning_rate", "momentum", "nesterov"),
}
# Of a Keras configuration: what changes no output. All else has to stand at its default.
HARMLESS = {
    "name",
    "dtype",
    "learning_rate",
    "kernel_initializer",
    "bias_initializer",
    "ema_momentum",  # of an average that `use_ema` switches on
    "ema_overwrite_frequency",
}


def require_keras() -> types.ModuleType:
    """Keras on TensorFlow, imported.

    Raises
    ------
    ImportError
        With what to install, if it is not there or runs on something else.
    """
    if "tensorflow" not in sys.modules:
        # TensorFlow 2.21 convolves with oneDNN, which in single precision is wrong for some odd
        # geometries (one channel, strides 1 and 2, a single column of outputs) and now and then
        # corrupts the heap. A reference has to be right. No use once TensorFlow is imported.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import keras
        import tensorflow  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'the Keras reference needs TensorFlow: pip install "minicnn[test]", or tensorflow-cpu'
        ) from error
    if keras.backend.backend() != "tensorflow":
        raise ImportError(
            f"the Keras reference runs on TensorFlow, but Keras is set to "
            f'"{keras.backend.backend()}"; set the environment variable KERAS_BACKEND=tensorflow'
        )
    return keras


@contextlib.contextmanager
def precision(dtype: Any) -> Iterator[types.ModuleType]:
    """Keras with `dtype` as its default for everything: rates, labels, metrics, too."""
    keras = require_keras()
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(np.dtype(dtype).name)
    keras.config.set_dtype_policy(np.dtype(dtype).name)
    try:
        yield keras
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def to_keras(model: Sequential) -> Any:
    """The Keras model of the same layers, names, dtype and weights.

    If `model` is compiled, so is its twin: with the same loss and metrics, and an optimizer of the
    same state and step count, so that training goes on in either with the same next step.

    Raises
    ------
    ImportError
        Without TensorFlow.
    ValueError
        If the model is not built, or has a layer that is not minicnn's own.
    """
    require_keras()
    weights = model.get_weights()  # raises if the model is not built
    for layer in model.layers:
        if type(layer) is not getattr(layers, type(layer).__name__, None):
            raise ValueError(f"to_keras: {layer.who} is your own layer, Keras has none like it")
    with precision(model.dtype) as keras:
        twin = keras.Sequential([keras.Input(model.input_shape)], name=model.name)
        for layer in model.layers:
            kind = getattr(keras.layers, type(layer).__name__)
            twin.add(kind(**_arguments(layer), name=layer.name))
        twin.set_weights(weights)
        if model.optimizer is not None:
            twin.compile(
                _keras_optimizer(model.optimizer, twin),
                keras.losses.SparseCategoricalCrossentropy(
                    from_logits=model.loss.from_logits, name=model.loss.name
                ),
                metrics=[
                    keras.metrics.SparseCategoricalAccuracy(name=metric.name)
                    for metric in model.metrics
                ],
            )
    return twin


def _arguments(layer: Any) -> dict[str, Any]:
    arguments = {name: getattr(layer, name) for name in ARGUMENTS[type(layer).__name__]}
    if "activation" in arguments:
        arguments["activation"] = layer.activation.name
    return arguments


def new_keras_optimizer(kind: str, **arguments: Any) -> Any:
    """`keras.optimizers.<kind>` that keeps its arguments in full precision.

    TensorFlow casts a float of Python by way of float32, whatever it casts it to: a beta_2 of 0.999
    becomes 0.9990000129, and in double precision Adam's steps are off by 1e-5. NumPy's it leaves.
    """
    exact = {name: np.float64(v) if isinstance(v, float) else v for name, v in arguments.items()}
    return getattr(require_keras().optimizers, kind)(**exact)


def _keras_optimizer(optimizer: Optimizer, twin: Any) -> Any:
    kind = type(optimizer).__name__
    theirs = new_keras_optimizer(
        kind, **{name: getattr(optimizer, name) for name in OPTIMIZER_ARGUMENTS[kind]}
    )
    theirs.build(twin.trainable_variables)
    theirs.iterations.assign(optimizer.iterations)
    for variables, arrays in zip(_slots(theirs), optimizer.state.values(), strict=False):
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
    return theirs


def _slots(keras_optimizer: Any) -> list[list[Any]]:
    """What the optimizer keeps for each weight, in the order of our `slots`."""
    if type(keras_optimizer).__name__ == "Adam":
        return [keras_optimizer._momentums, keras_optimizer._velocities]
    return [keras_optimizer.momentums] if keras_optimizer.momentum else []


def from_keras(keras_model: Any) -> Sequential:
    """The minicnn model of the same layers, names, dtype and weights; compiled if the other is.

    Raises
    ------
    ImportError
        Without TensorFlow.
    TypeError, ValueError
        For anything minicnn has nothing like: other models than a built `keras.Sequential`, other
        layers, losses, metrics and optimizers, and options that it does not know.
    """
    keras = require_keras()
    if not isinstance(keras_model, keras.Sequential):
        raise TypeError(
            f"from_keras: expected a keras.Sequential, received {type(keras_model).__name__}"
        )
    if not keras_model.built:
        raise ValueError(
            f"from_keras: '{keras_model.name}' has no weights yet; start it with keras.Input(shape)"
        )
    dtypes = {layer.dtype_policy.name for layer in keras_model.layers}
    if len(dtypes) != 1 or not dtypes <= {"float32", "float64"}:
        raise ValueError(
            "from_keras: expected all layers in float32 or all in float64, "
            f"received {', '.join(sorted(dtypes))}"
        )
    model = Sequential(
        [Input(keras_model.input_shape[1:]), *map(_layer_from_keras, keras_model.layers)],
        name=keras_model.name,
        dtype=dtypes.pop(),
    )
    model.set_weights(keras_model.get_weights())
    if keras_model.compiled:
        _compile_like(model, keras_model)
    return model


def _layer_from_keras(layer: Any) -> Layer:
    keras = require_keras()
    kind = type(layer).__name__
    who = f"keras.layers.{kind} '{layer.name}'"
    if kind not in ARGUMENTS or type(layer) is not getattr(keras.layers, kind, None):
        known = ", ".join(ARGUMENTS)
        raise ValueError(f"from_keras: minicnn has no layer for {who}; it has {known}")
    if not layer.trainable:
        raise ValueError(f"from_keras: {who} is frozen (trainable=False), minicnn trains all")
    arguments = _known_options(layer, ARGUMENTS[kind], who)
    return getattr(layers, kind)(**arguments, name=layer.name)


def _known_options(theirs: Any, names: tuple[str, ...], who: str) -> dict[str, Any]:
    """The options called `names`, if all others stand at their defaults."""
    config = theirs.get_config()
    known = {name: config[name] for name in names}
    # What has no default (filters, units) is needed to ask for the others.
    required = {name: value for name, value in known.items() if name not in ("activation",)}
    defaults = type(theirs)(**required).get_config()
    for name, value in config.items():
        if name not in known and name not in HARMLESS and value != defaults.get(name):
            raise ValueError(
                f"from_keras: minicnn has nothing like {name}={value!r} of {who}; "
                f"it knows {name}={defaults.get(name)!r} only"
            )
    return known


def _compile_like(model: Sequential, keras_model: Any) -> None:
    config = keras_model.get_compile_config()
    for name in ("loss_weights", "weighted_metrics"):
        if config.get(name):
            raise ValueError(f"from_keras: minicnn has nothing like {name}={config[name]!r}")
    loss = _loss_from_keras(config["loss"])
    chosen = [_metric_from_keras(metric) for metric in config["metrics"] or []]
    model.compile(_optimizer_from_keras(keras_model.optimizer), loss, metrics=chosen)


def _loss_from_keras(config: Any) -> Any:
    kind, options = _class_and_options(config)
    known = {"from_logits": False, "name": losses.SparseCategoricalCrossentropy().name}
    defaults = {"reduction": "sum_over_batch_size", "ignore_class": None}
    if kind.lower().replace("_", "") != "sparsecategoricalcrossentropy" or (
        {name: options.get(name, value) for name, value in defaults.items()} != defaults
    ):
        raise ValueError(
            "from_keras: minicnn's loss is the plain sparse_categorical_crossentropy, "
            f"received {config!r}"
        )
    return losses.SparseCategoricalCrossentropy(
        **{name: options.get(name, value) for name, value in known.items()}
    )


def _metric_from_keras(config: Any) -> Any:
    kind, options = _class_and_options(config)
    if kind == "accuracy":
        return metrics.get(kind)
    if kind.lower().replace("_", "") != "sparsecategoricalaccuracy":
        raise ValueError(f"from_keras: minicnn's metric is the accuracy, received {config!r}")
    return metrics.SparseCategoricalAccuracy(options.get("name", "sparse_categorical_accuracy"))


def _class_and_options(config: Any) -> tuple[str, dict[str, Any]]:
    """Of a name, or of an object as Keras writes it down."""
    if isinstance(config, dict):
        return config["class_name"], config["config"]
    return str(config), {}


def _optimizer_from_keras(theirs: Any) -> Optimizer:
    kind = type(theirs).__name__
    who = f"keras.optimizers.{kind}"
    if kind not in OPTIMIZER_ARGUMENTS:
        known = ", ".join(OPTIMIZER_ARGUMENTS)
        raise ValueError(f"from_keras: minicnn has no optimizer for {who}; it has {known}")
    arguments = _known_options(theirs, OPTIMIZER_ARGUMENTS[kind], who)
    if not isinstance(arguments["learning_rate"], float):
        raise ValueError(f"from_keras: minicnn's learning rates are fixed, {who} has a schedule")
    # Keras keeps the rate in its own precision: 0.0010000000474974513 was meant to be 0.001.
    rate = theirs.learning_rate.numpy()
    optimizer = getattr(optimizers, kind)(**arguments | {"learning_rate": float(str(rate))})
    if theirs.built:
        optimizer.iterations = int(theirs.iterations.numpy())
        slots = [[variable.numpy() for variable in slot] for slot in _slots(theirs)]
        optimizer.state = dict(zip(optimizer.slots, slots, strict=False))
    return optimizer


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
    twin = kind(**_arguments(layer), dtype=x.dtype.name)
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


def compare(model: Sequential, x: Any, y: Any) -> Comparison:
    """One batch there and back through `model` and its Keras twin, with nothing learned.

    Parameters
    ----------
    model : Sequential
        Built; if it is not compiled, the loss is sparse_categorical_crossentropy.
    x : (n, ...) array
    y : (n,) integers

    Returns
    -------
    Comparison
        For each layer the differences of its output, of the gradient of the loss by its input (dX)
        and by each of its weights. In single precision expect a few gradients far apart: where two
        cells of a pooling window are equal up to rounding, either may win. In double precision
        there are none.

    Raises
    ------
    ImportError
        Without TensorFlow.
    TypeError, ValueError
        For samples and labels that the model cannot take.
    """
    require_keras()
    model._require_built()
    x = checks.plain(checks.samples(x, "x", model.input_shape, "compare"), model.dtype)
    labels = checks.class_labels(y, "compare: y", len(x), model.output_shape[-1])
    loss = model.loss or losses.SparseCategoricalCrossentropy()
    our_loss, ours = _our_answers(model, loss, x, labels)
    twin = to_keras(model)
    their_loss, theirs = _their_answers(twin, model, loss, x, labels)
    differences = [
        Difference(*key, *_differences(ours[key], theirs[key]), theirs[key].size) for key in ours
    ]
    parameters = [
        (layer.name, layer.count_params(), other.count_params())
        for layer, other in zip(model.layers, twin.layers, strict=True)
    ]
    return Comparison(differences, parameters, (our_loss, their_loss))


def _our_answers(model, loss, x, labels):
    goal = objective.merge_softmax(model.layers, loss)
    answers, caches, y = {}, [], x
    for layer in goal.layers:
        y, cache = layer.forward(y)
        caches.append(cache)
        answers[layer.name, "output"] = y
    answers[goal.layers[-1].name, "output"] = goal.predictions(y)
    sample_losses, dy = goal.loss.losses_and_gradient(labels, y)
    dy = dy / len(x)
    for layer, cache in reversed(list(zip(goal.layers, caches, strict=True))):
        dy, grads = layer.backward(dy, cache)
        answers[layer.name, "dX"] = dy
        answers |= {(layer.name, f"d{name}"): gradient for name, gradient in grads.items()}
    return float(sample_losses.mean()), answers


def _their_answers(twin, model, loss, x, labels):
    import tensorflow as tf

    with precision(model.dtype) as keras:
        their_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=loss.from_logits)
        tensors = [tf.convert_to_tensor(x)]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(tensors[0])
            for layer in twin.layers:
                tensors.append(layer(tensors[-1]))
            value = their_loss(labels, tensors[-1])
    answers = {}
    for layer, own, before, after in zip(
        twin.layers, model.layers, tensors, tensors[1:], strict=False
    ):
        answers[layer.name, "output"] = after.numpy()
        answers[layer.name, "dX"] = tape.gradient(value, before).numpy()
        for name, variable in zip(own.params, layer.trainable_variables, strict=True):
            answers[layer.name, f"d{name}"] = tape.gradient(value, variable.value).numpy()
    return float(value), answers
