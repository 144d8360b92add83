"""Types of cases, and their answers: by minicnn's engine, by its core, and by Keras.

A case has `ours()`, `core()` and `theirs()`, which return the same quantities by name: "output",
"dx", "dkernel", "dbias"; "output: ..." where there are several outputs. Its inputs are made from
raw random bits, which NumPy guarantees never to change, so that answers can be stored.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn import keras_reference, layers, losses, optimizers
from minicnn.engine import Plan, update_weights
from minicnn.layer import Layer
from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from minicnn.model import Sequential
from minicnn.session import snake_case

Answer = dict[str, np.ndarray]


class Numbers:
    """A stream of random numbers that float32 represents exactly.

    So a case in single precision has the same inputs as in double precision.
    """

    def __init__(self, *seed: int):
        self._bits = np.random.PCG64(np.random.SeedSequence(seed))

    def whole(self, shape: tuple[int, ...], largest: int = 3) -> np.ndarray:
        """Integers from -largest to largest: many ties, and sums of products are exact."""
        raw = self._bits.random_raw(int(np.prod(shape)))
        return (raw % (2 * largest + 1)).astype(np.float64).reshape(shape) - largest

    def real(self, shape: tuple[int, ...]) -> np.ndarray:
        """Uniform between -2 and 2."""
        raw = self._bits.random_raw(int(np.prod(shape))) >> np.uint64(40)  # 24 bits: a mantissa
        return raw.astype(np.float64).reshape(shape) / 2**22 - 2

    def labels(self, n: int, classes: int) -> np.ndarray:
        """n integers from 0 to classes - 1."""
        return (self._bits.random_raw(n) % np.uint64(classes)).astype(np.intp)


@dataclass(frozen=True)
class LayerCase:
    """A forward and a backward pass through one layer."""

    kind: str  # class
    arguments: dict[str, Any]
    x_shape: tuple[int, ...]
    dtype: str
    whole: bool = False
    algorithm: str | None = None
    seed: int = 0
    scale: float = 1.0  # of x

    @property
    def layer(self) -> str:
        return snake_case(self.kind)

    @property
    def configuration(self) -> str:
        words = ["x".join(map(str, self.x_shape)), *map(_in_words, self.arguments.items())]
        words += [f"times {self.scale:g}"] * (self.scale != 1)
        words += ["integers"] * self.whole + [self.algorithm] * bool(self.algorithm)
        return ", ".join(words)

    @property
    def key(self) -> str:
        """Identifies Keras' answer, which does not depend on the algorithm."""
        options = sorted(self.arguments.items())
        numbers = f"{self.whole} {self.scale:g} {self.dtype} {self.seed}"
        return f"{self.kind} {options} {self.x_shape} {numbers}"

    @property
    def tolerance(self) -> str:
        if self.whole and self.algorithm != "winograd" and not self._has_softmax:
            return "exact"
        if self.algorithm == "winograd" and self.dtype == "float32":
            return "float32 winograd"
        return self.dtype

    @property
    def _has_softmax(self) -> bool:
        return "softmax" in (self.layer, self.arguments.get("activation"))

    def new_layer(self) -> Layer:
        """The layer, not built; its name is fixed, so that no automatic name is used up."""
        extra = {"algorithm": self.algorithm} if self.algorithm else {}
        return getattr(layers, self.kind)(**self.arguments, **extra, name=self.layer)

    def inputs(self) -> tuple[Layer, np.ndarray, np.ndarray]:
        """The layer, built; x; and dy."""
        numbers, layer = Numbers(7, self.seed), self.new_layer()
        draw = numbers.whole if self.whole else numbers.real
        x = draw(self.x_shape) * self.scale
        layer.build(self.x_shape[1:], np.random.default_rng(0), self.dtype)
        drawn = [draw(weight.shape) for weight in layer.params.values()]
        layer.set_weights([*drawn, *layer.state.values()])
        if self._has_softmax and "kernel" in layer.params:
            # If one probability is close to 1, the gradient is a difference of nearly equal
            # numbers, in which all digits of single precision cancel.
            x /= float(2 ** np.ceil(np.log2(layer.params["kernel"][..., 0].size)))
        dy = draw((len(x), *layer.output_shape(self.x_shape[1:])))
        return layer, x.astype(self.dtype), dy.astype(self.dtype)

    def ours(self) -> Answer:
        layer, x, dy = self.inputs()
        y, dx, grads = Plan([layer]).passes(x, dy)
        names = (f"d{name}" for name in layer.params)
        return {"output": y, "dx": dx} | dict(zip(names, grads, strict=True))

    def core(self) -> Answer:
        layer, x, dy = self.inputs()
        y, cache = layer.forward(x)
        dx, grads = layer.backward(dy, cache)
        return {"output": y, "dx": dx} | {f"d{name}": grad for name, grad in grads.items()}

    def theirs(self) -> Answer:
        return keras_reference.layer_pass(*self.inputs())


def _in_words(option: tuple[str, Any]) -> str:
    name, value = option
    if isinstance(value, tuple):
        value = "x".join(map(str, value))
    short = {"filters": "{} filters", "kernel_size": "{}", "padding": "{}", "activation": "{}"}
    return short.get(name, name.replace("_", " ") + " {}").format(value)


@dataclass(frozen=True)
class LossCase:
    """Cross-entropy of a batch: its mean, and its gradient with respect to the predictions."""

    configuration: str
    predictions: Callable[[], np.ndarray] = field(repr=False)  # (n, classes)
    labels: tuple[int, ...]
    dtype: str
    from_logits: bool = True
    layer: str = "loss"

    @property
    def key(self) -> str:
        return f"{self.layer} {self.configuration} {self.dtype}"

    @property
    def tolerance(self) -> str:
        return self.dtype

    def ours(self) -> Answer:
        layer = Flatten(name="flatten")  # the only layer of the network
        layer.build((10,), np.random.default_rng(0), self.dtype)
        return self._answer(Plan([layer], self._loss()))

    def core(self) -> Answer:
        return self._answer(self._loss())

    def _loss(self) -> losses.Loss:
        return losses.SparseCategoricalCrossentropy(from_logits=self.from_logits)

    def _answer(self, loss: Any) -> Answer:
        predictions, labels = self.predictions().astype(self.dtype), np.array(self.labels)
        each, gradient = loss.losses_and_gradient(labels, predictions)
        return {"output": np.array(each.mean()), "dx": gradient / len(labels)}

    def theirs(self) -> Answer:
        import tensorflow as tf

        tensor = tf.constant(self.predictions().astype(self.dtype))
        with keras_reference.precision(self.dtype) as keras:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=self.from_logits)
            with tf.GradientTape() as tape:
                tape.watch(tensor)
                value = loss(np.array(self.labels), tensor)
        return {"output": value.numpy(), "dx": tape.gradient(value, tensor).numpy()}


@dataclass(frozen=True)
class OptimizerCase:
    """Steps of an optimizer with random gradients of very different magnitudes, 1e-8 to 1e3."""

    kind: str
    arguments: dict[str, Any]
    dtype: str
    steps: int = 1000

    sizes = tuple(10.0**exponent for exponent in range(-8, 4))

    @property
    def layer(self) -> str:
        return self.kind.lower()

    @property
    def configuration(self) -> str:
        words = f"{self.steps} steps of 1e-8 to 1e3", *map(_in_words, self.arguments.items())
        return ", ".join(words)

    @property
    def key(self) -> str:
        return f"{self.kind} {self.configuration} {self.dtype}"

    @property
    def tolerance(self) -> str:
        return "optimizer" if self.dtype == "float32" else self.dtype

    def gradients(self) -> Iterator[np.ndarray]:
        """One array (sizes, 3) per step."""
        numbers, sizes = Numbers(11), np.array(self.sizes)[:, None]
        for _ in range(self.steps):
            yield (numbers.real((len(sizes), 3)) * sizes).astype(self.dtype)

    def ours(self) -> Answer:
        return self._path(lambda optimizer, g, w: update_weights(optimizer, [[g]], [w]))

    def core(self) -> Answer:
        return self._path(lambda optimizer, g, w: optimizer.apply([g], [w]))

    def _path(self, step: Callable[..., None]) -> Answer:
        optimizer = optimizers.OPTIMIZERS[self.kind.lower()](**self.arguments)
        weights = np.zeros((len(self.sizes), 3), self.dtype)
        path = []
        for gradient in self.gradients():
            step(optimizer, gradient, weights)
            path.append(weights.copy())
        return self._by_size(path)

    def theirs(self) -> Answer:
        import tensorflow as tf

        own = optimizers.OPTIMIZERS[self.kind.lower()](**self.arguments)
        names = keras_reference.OPTIMIZER_ARGUMENTS[self.kind]
        arguments = {name: getattr(own, name) for name in names}
        with keras_reference.precision(self.dtype) as keras:
            optimizer = keras_reference.new_keras_optimizer(self.kind, **arguments)
            weights = keras.Variable(np.zeros((len(self.sizes), 3)), dtype=self.dtype)
            optimizer.build([weights])
            apply = tf.function(lambda gradient: optimizer.apply([gradient]))  # as `fit` does
            path = []
            for gradient in self.gradients():
                apply(tf.constant(gradient))
                path.append(weights.numpy().copy())
        return self._by_size(path)

    def _by_size(self, path: list[np.ndarray]) -> Answer:
        """One answer for each magnitude, since differences are relative to the largest value."""
        chosen = np.array(path[:10] + path[10::30])  # the first ten steps, then one in thirty
        return {f"output: {size:g}": chosen[:, index] for index, size in enumerate(self.sizes)}


@dataclass(frozen=True)
class TrainingCase:
    """A small network: what `evaluate` and `fit` report, and losses of some steps of training.

    44 samples in batches of 20: a batch has several shards, and the last batch is smaller. Images
    are mostly blank and biases 0, as for digits, so that many inputs of ReLU are exactly 0.
    """

    layer: str  # "evaluate", "fit" or "lockstep"
    configuration: str
    dtype: str = "float64"
    tolerance: str = "float64"

    samples, batch_size, classes, steps = 44, 20, 5, 30

    @property
    def key(self) -> str:
        return f"{self.layer} {self.configuration} {self.dtype}"

    def model(self, run_eagerly: bool = False) -> Sequential:
        """The network, compiled, with fixed weights."""
        model = Sequential(
            [
                Input((12, 8, 2)),
                Conv2D(8, (5, 3), padding="same", activation="relu", name="conv2d"),
                MaxPooling2D(2, name="max_pooling2d"),
                Conv2D(9, 3, padding="same", activation="relu", name="conv2d_1"),
                MaxPooling2D(2, padding="same", name="max_pooling2d_1"),
                Flatten(name="flatten"),
                Dense(6, activation="relu", name="dense"),
                Dense(self.classes, activation="softmax", name="dense_1"),
            ],
            name="sequential",
            dtype=self.dtype,
        )
        numbers = Numbers(13)
        weights = model.get_weights()
        for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
            kernel[:] = numbers.real(kernel.shape) * np.sqrt(0.75 / kernel[..., 0].size)
            bias[:] = 0
        model.set_weights(weights)
        loss = "sparse_categorical_crossentropy"
        model.compile("adam", loss, metrics=["accuracy"], run_eagerly=run_eagerly)
        return model

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        numbers = Numbers(17)
        x = numbers.real((self.samples, 12, 8, 2))
        x[:, 4:] = 0
        x[::2, 2:] = 0  # so that windows of the second convolution are blank inside a tile, too
        return x, numbers.labels(self.samples, self.classes)

    def ours(self) -> Answer:
        return getattr(self, f"_{self.layer}")(self.model())

    def core(self) -> Answer:
        return getattr(self, f"_{self.layer}")(self.model(run_eagerly=True))

    def theirs(self) -> Answer:
        twin = keras_reference.to_keras(self.model())
        with keras_reference.precision(self.dtype):
            return getattr(self, f"_{self.layer}")(twin)

    def _evaluate(self, model: Any) -> Answer:
        reported = model.evaluate(*self.data(), batch_size=self.batch_size, verbose=0)
        return {"output": np.array(reported, np.float64)}

    def _fit(self, model: Any) -> Answer:
        options = {"batch_size": self.batch_size, "epochs": 2, "shuffle": False, "verbose": 0}
        history = model.fit(*self.data(), **options).history
        return {"output": np.array([history["loss"], history["accuracy"]], np.float64)}

    def _lockstep(self, model: Any) -> Answer:
        x, labels = self.data()
        reported = []
        for step in range(self.steps):
            start = step * 7 % (self.samples - self.batch_size)
            batch = slice(start, start + self.batch_size)
            reported.append(model.train_on_batch(x[batch], labels[batch]))
        return {"output": np.array(reported, np.float64)[:, 0]}
