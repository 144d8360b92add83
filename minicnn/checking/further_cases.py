"""Cases of the ledger for the parts that `minicnn.keras` adds to the core."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minicnn import keras as namespace
from minicnn import keras_reference, losses
from minicnn.checking.case_types import (
    Answer,
    LayerCase,
    LossCase,
    Numbers,
    OptimizerCase,
    TrainingCase,
)
from minicnn.engine import Plan
from minicnn.layer import Layer, forward_options
from minicnn.model import Sequential

further = namespace.layers
IMAGES = (3, 7, 6, 2)
WINDOW = {"pool_size": (3, 2), "strides": (2, 2), "padding": "same"}


@dataclass(frozen=True)
class FurtherLayerCase(LayerCase):
    """A forward and a backward pass through a layer of `minicnn.keras`, perhaps in training."""

    training: bool = False

    @property
    def configuration(self) -> str:
        return super().configuration + ", in training" * self.training

    @property
    def key(self) -> str:
        return f"{super().key} {self.training}"

    @property
    def tolerance(self) -> str:
        exact = ("GlobalMaxPooling2D", "Reshape")
        return "exact" if self.kind in exact and self.whole else self.dtype

    def new_layer(self) -> Layer:
        return getattr(further, self.kind)(**self.arguments, name=self.layer)

    def inputs(self) -> tuple[Layer, np.ndarray, np.ndarray]:
        layer, x, dy = super().inputs()
        for name, weight in layer.state.items():
            weight += (np.arange(weight.size) + 1.0) / 4 * (1 if "variance" in name else -1)
        return layer, x, dy

    def ours(self) -> Answer:
        layer, x, dy = self.inputs()
        y, dx, grads = Plan([layer]).passes(x, dy, training=self.training)
        return self._answer(layer, y, dx, dict(zip(layer.params, grads, strict=True)), x)

    def core(self) -> Answer:
        layer, x, dy = self.inputs()
        y, cache = layer.forward(x, **forward_options(layer, self.training, (0, 0), 0))
        dx, grads = layer.backward(dy, cache)
        return self._answer(layer, y, dx, grads, x)

    def _answer(self, layer: Layer, y: Any, dx: Any, grads: Any, x: Any) -> Answer:
        answer = {"output": y, "dx": dx} | {f"d{name}": grads[name] for name in layer.params}
        if layer.state and self.training:
            _, cache = layer.forward(x, training=True)
            layer.update_state(cache)
            answer |= {f"output: {name}": weight for name, weight in layer.state.items()}
        return answer

    def theirs(self) -> Answer:
        if not self.training:
            return keras_reference.layer_pass(*self.inputs())
        import tensorflow as tf

        layer, x, dy = self.inputs()
        with keras_reference.precision(self.dtype) as keras:
            twin = getattr(keras.layers, self.kind)(**keras_reference.arguments_of(layer))
            twin.build(x.shape)
            twin.set_weights(layer.get_weights())
            tensor = tf.constant(x)
            with tf.GradientTape() as tape:
                tape.watch(tensor)
                y = twin(tensor, training=True)
            sources = [tensor, *(variable.value for variable in twin.trainable_variables)]
            dx, *grads = tape.gradient(y, sources, output_gradients=tf.constant(dy))
            state = [variable.numpy() for variable in twin.non_trainable_variables]
        answer = {"output": y.numpy(), "dx": dx.numpy()}
        answer |= {f"d{k}": g.numpy() for k, g in zip(layer.params, grads, strict=True)}
        return answer | {f"output: {k}": s for k, s in zip(layer.state, state, strict=True)}


@dataclass(frozen=True)
class FurtherLossCase(LossCase):
    """A loss of one-hot rows, or of numbers."""

    kind: str = "CategoricalCrossentropy"

    @property
    def key(self) -> str:
        return f"{self.kind} {super().key}"

    def _loss(self) -> losses.Loss:
        found = getattr(namespace.losses, self.kind)
        crossentropy = self.kind == "CategoricalCrossentropy"
        return found(from_logits=self.from_logits) if crossentropy else found()

    def _targets(self) -> np.ndarray:
        classes = self.predictions().shape[1]
        rows = np.eye(classes, dtype=self.dtype)[list(self.labels)]
        return rows * 0.75 + 0.25 / classes  # not only 0 and 1

    def _answer(self, loss: Any) -> Answer:
        predictions, targets = self.predictions().astype(self.dtype), self._targets()
        each, gradient = loss.losses_and_gradient(targets, predictions)
        return {"output": np.array(each.mean()), "dx": gradient / len(targets)}

    def theirs(self) -> Answer:
        import tensorflow as tf

        tensor = tf.constant(self.predictions().astype(self.dtype))
        with keras_reference.precision(self.dtype) as keras:
            crossentropy = self.kind == "CategoricalCrossentropy"
            options = {"from_logits": self.from_logits} if crossentropy else {}
            loss = getattr(keras.losses, self.kind)(**options)
            with tf.GradientTape() as tape:
                tape.watch(tensor)
                value = loss(tf.constant(self._targets()), tensor)
        return {"output": value.numpy(), "dx": tape.gradient(value, tensor).numpy()}


class RoundedOptimizerCase(OptimizerCase):
    """An optimizer whose arguments Keras rounds to single precision, even in double precision."""

    @property
    def tolerance(self) -> str:
        return "optimizer"


@dataclass(frozen=True)
class NetworkCase(TrainingCase):
    """Twenty steps of a small network of such parts, beside Keras."""

    layers: Callable[[], list[Layer]] = list
    optimizer: Callable[[], Any] = namespace.optimizers.RMSprop
    loss: str = "categorical_crossentropy"

    steps = 20

    def model(self, run_eagerly: bool = False) -> Sequential:
        parts = self.layers()
        for number, layer in enumerate(parts):
            layer.name = f"layer_{number}"  # no automatic name is used up
        model = Sequential(
            [namespace.Input((12, 8, 2)), *parts], name="sequential", dtype=self.dtype
        )
        numbers = Numbers(13)
        weights = model.get_weights()
        for weight in weights:
            if weight.ndim > 1:
                weight[:] = numbers.real(weight.shape) * np.sqrt(0.75 / weight[..., 0].size)
        model.set_weights(weights)
        model.compile(self.optimizer(), self.loss, metrics=["accuracy"], run_eagerly=run_eagerly)
        return model

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        x, labels = super().data()
        return x, np.eye(self.classes)[labels]


def _networks() -> Iterator[NetworkCase]:
    conv, dense = further.Conv2D, further.Dense
    optimizers = namespace.optimizers
    yield NetworkCase(
        "lockstep",
        "20 steps of RMSprop, batch normalization",
        layers=lambda: [
            conv(4, 3, use_bias=False),
            further.BatchNormalization(),
            further.LeakyReLU(0.25),
            further.AveragePooling2D(),
            further.Flatten(),
            dense(5),
            further.Activation("softmax"),
        ],
    )
    yield NetworkCase(
        "lockstep",
        "20 steps of Nadam, tanh, global maxima",
        layers=lambda: [
            conv(6, 3, activation="tanh"),
            further.GlobalMaxPooling2D(),
            dense(8, activation="sigmoid"),
            dense(5, activation="softmax"),
        ],
        optimizer=optimizers.Nadam,
        tolerance="optimizer",
    )
    yield NetworkCase(
        "lockstep",
        "20 steps of Adadelta, squared error, l1 and l2",
        layers=lambda: [
            further.Rescaling(0.5, offset=0.25),
            further.Flatten(),
            dense(8, activation="sigmoid", kernel_regularizer=namespace.regularizers.L1(2**-7)),
            dense(5, activation="sigmoid", kernel_regularizer=namespace.regularizers.L2(2**-7)),
        ],
        optimizer=lambda: optimizers.Adadelta(1.0, rho=0.9375, epsilon=2**-20),
        loss="mean_squared_error",
    )
    yield NetworkCase(
        "lockstep",
        "20 steps of SGD, decaying rate, global means",
        layers=lambda: [
            further.Reshape((8, 12, 2)),
            conv(6, 3, activation="relu"),
            further.GlobalAveragePooling2D(),
            dense(5, activation="softmax"),
        ],
        optimizer=lambda: optimizers.SGD(optimizers.schedules.ExponentialDecay(0.25, 4, 0.5, True)),
    )


def further_cases(dtype: str, bare_probabilities: Callable[[], np.ndarray]) -> Iterator[Any]:
    """The cases in one precision; networks in double precision alone."""

    def layer(kind: str, arguments: Any, shape: Any, whole: bool = False, **more: Any) -> Any:
        return FurtherLayerCase(kind, arguments, shape, dtype, whole, **more)

    yield layer("Activation", {"activation": "tanh"}, (4, 6))
    yield layer("Activation", {"activation": "sigmoid"}, (4, 6), scale=20)
    yield layer("AveragePooling2D", {"pool_size": (2, 2)}, IMAGES)
    yield layer("AveragePooling2D", WINDOW, IMAGES)
    yield layer("GlobalAveragePooling2D", {}, IMAGES)
    yield layer("GlobalMaxPooling2D", {}, IMAGES)
    yield layer("LeakyReLU", {"negative_slope": 0.25}, IMAGES, whole=True)
    yield layer("Rescaling", {"scale": 0.5, "offset": -1.0}, IMAGES)
    yield layer("Reshape", {"target_shape": (6, -1)}, IMAGES, whole=True)
    for arguments in ({}, {"center": False, "scale": False}):
        case = layer("BatchNormalization", arguments, IMAGES)
        yield case
        yield replace(case, training=True)
    yield layer("BatchNormalization", {}, (9, 5), training=True)

    def real() -> np.ndarray:
        return Numbers(19).real((6, 10)) * 4

    labels = (3, 1, 4, 1, 5, 9)
    yield FurtherLossCase("soft labels, logits", real, labels, dtype)
    yield FurtherLossCase(
        "soft labels, bare probabilities", bare_probabilities, labels, dtype, from_logits=False
    )
    yield FurtherLossCase("squared error", real, labels, dtype, kind="MeanSquaredError")
    yield OptimizerCase("RMSprop", {}, dtype, 200)
    yield OptimizerCase("RMSprop", {"momentum": 0.9}, dtype, 200)
    yield RoundedOptimizerCase("Nadam", {}, dtype, 200)
    yield RoundedOptimizerCase("Adadelta", {}, dtype, 200)
    if dtype == "float64":
        yield from _networks()
