"""Twelve parts as users write them, each with its Keras twin; also a file for `verify --mine`.

python -m minicnn verify --mine tests/keras_reference/own_parts.py
"""

import numpy as np

from minicnn.activations import Activation
from minicnn.initializers import Initializer
from minicnn.layers import Layer
from minicnn.losses import Loss
from minicnn.metrics import Metric
from minicnn.optimizers import Optimizer


def keras():
    """Keras, imported when a twin is asked for."""
    from minicnn.keras_reference import require_keras

    return require_keras()


class MyAveragePooling(Layer):
    """The mean of windows that do not overlap; what is left over is dropped."""

    samples_are_independent = True
    example_arguments = ({"size": 2}, {"size": 3})
    example_shape = (7, 6, 2)

    def __init__(self, size=2, name=None):
        super().__init__(name)
        self.size = size

    def keras_twin(self):
        return keras().layers.AveragePooling2D(self.size)

    def output_shape(self, input_shape):
        h, w, c = input_shape
        if min(h, w) < self.size:
            raise ValueError(f"{self.who}: images of {h} x {w} are too small")
        return h // self.size, w // self.size, c

    def forward(self, x):
        oh, ow, c = self.output_shape(x.shape[1:])
        k = self.size
        windows = x[:, : oh * k, : ow * k].reshape(-1, oh, k, ow, k, c)
        return windows.mean(axis=(2, 4)), x.shape

    def backward(self, dy, cache):
        k, dx = self.size, np.zeros(cache, dy.dtype)
        spread = np.repeat(np.repeat(dy, k, axis=1), k, axis=2) / k**2
        dx[:, : spread.shape[1], : spread.shape[2]] = spread
        return dx, {}


class MyGlobalPooling(Layer):
    samples_are_independent = True
    example_shape = (5, 4, 3)

    def keras_twin(self):
        return keras().layers.GlobalAveragePooling2D()

    def output_shape(self, input_shape):
        return input_shape[-1:]

    def forward(self, x):
        return x.mean(axis=(1, 2)), x.shape

    def backward(self, dy, cache):
        _, h, w, _ = cache
        return np.broadcast_to(dy[:, None, None] / (h * w), cache), {}


class MyTanh(Layer):
    samples_are_independent = True

    def keras_twin(self):
        return keras().layers.Activation("tanh")

    def forward(self, x):
        y = np.tanh(x)
        return y, y

    def backward(self, dy, cache):
        return dy * (1 - cache**2), {}


class MyLeakyReLU(Layer):
    """Without `branches`: the checker finds the kink itself."""

    samples_are_independent = True

    def __init__(self, slope=0.3, name=None):
        super().__init__(name)
        self.slope = slope

    def keras_twin(self):
        return keras().layers.LeakyReLU(negative_slope=self.slope)

    def forward(self, x):
        return np.where(x > 0, x, x.dtype.type(self.slope) * x), x > 0

    def backward(self, dy, cache):
        return np.where(cache, dy, dy.dtype.type(self.slope) * dy), {}


class MyDepthwise(Layer):
    """Each channel with a kernel of its own, (kh, kw, c); Keras' is (kh, kw, c, 1)."""

    example_arguments = ({"size": 3},)
    example_shape = (6, 5, 2)

    def __init__(self, size=3, name=None):
        super().__init__(name)
        self.size = size

    def keras_twin(self):
        return keras().layers.DepthwiseConv2D(self.size), {"kernel": lambda k: k[..., None]}

    def output_shape(self, input_shape):
        h, w, c = input_shape
        if min(h, w) < self.size:
            raise ValueError(f"{self.who}: images of {h} x {w} are too small")
        return h - self.size + 1, w - self.size + 1, c

    def new_params(self, input_shape, rng, dtype):
        kernel = rng.standard_normal((self.size, self.size, input_shape[-1])) / self.size
        return {"kernel": kernel.astype(dtype), "bias": np.zeros(input_shape[-1], dtype)}

    def places(self, x):
        oh, ow, _ = self.output_shape(x.shape[1:])
        for i, j in np.ndindex(self.size, self.size):
            yield i, j, (slice(None), slice(i, i + oh), slice(j, j + ow))

    def forward(self, x):
        kernel = self.params["kernel"]
        return sum(x[part] * kernel[i, j] for i, j, part in self.places(x)) + self.params["bias"], x

    def backward(self, dy, cache):
        x, kernel = cache, self.params["kernel"]
        dx, dkernel = np.zeros_like(x), np.zeros_like(kernel)
        for i, j, part in self.places(x):
            dx[part] += dy * kernel[i, j]
            dkernel[i, j] = (dy * x[part]).sum(axis=(0, 1, 2))
        return dx, {"kernel": dkernel, "bias": dy.sum(axis=(0, 1, 2))}


class MyResidual(Layer):
    """y = x + (x @ kernel + bias), over the last axis."""

    example_shape = (6,)

    def keras_twin(self):
        k = keras()

        @k.saving.register_keras_serializable("tests")
        class Residual(k.layers.Layer):
            def build(self, shape):
                self.kernel = self.add_weight(shape=(shape[-1], shape[-1]), name="kernel")
                self.bias = self.add_weight(shape=(shape[-1],), name="bias")

            def call(self, x):
                return x + k.ops.matmul(x, self.kernel) + self.bias

        return Residual()

    def new_params(self, input_shape, rng, dtype):
        c = input_shape[-1]
        kernel = (rng.standard_normal((c, c)) / c).astype(dtype)
        return {"kernel": kernel, "bias": np.zeros(c, dtype)}

    def forward(self, x):
        return x + x @ self.params["kernel"] + self.params["bias"], x

    def backward(self, dy, cache):
        rows, dy_rows = (a.reshape(-1, a.shape[-1]) for a in (cache, dy))
        grads = {"kernel": rows.T @ dy_rows, "bias": dy_rows.sum(axis=0)}
        return dy + dy @ self.params["kernel"].T, grads


class MyBatchNormalization(Layer):
    """Statistics of the whole batch in training, moving averages in inference."""

    example_shape = (5, 4, 3)

    def __init__(self, momentum=0.9, epsilon=1e-3, name=None):
        super().__init__(name)
        self.momentum, self.epsilon = momentum, epsilon

    def keras_twin(self):
        return keras().layers.BatchNormalization(momentum=self.momentum, epsilon=self.epsilon)

    def new_params(self, input_shape, rng, dtype):
        c = input_shape[-1]
        return {"gamma": np.ones(c, dtype), "beta": np.zeros(c, dtype)}

    def new_state(self, input_shape, dtype):
        c = input_shape[-1]
        return {"moving_mean": np.zeros(c, dtype), "moving_variance": np.ones(c, dtype)}

    def forward(self, x, training=False):
        axes = tuple(range(x.ndim - 1))
        mean, variance = self.state["moving_mean"], self.state["moving_variance"]
        if training:
            mean, variance = x.mean(axis=axes), x.var(axis=axes)
        scale = 1 / np.sqrt(variance + x.dtype.type(self.epsilon))
        normal = (x - mean) * scale
        y = normal * self.params["gamma"] + self.params["beta"]
        return y, (normal, scale, training, mean, variance)

    def backward(self, dy, cache):
        normal, scale, training, *_ = cache
        axes = tuple(range(dy.ndim - 1))
        d = dy * self.params["gamma"]
        if training:
            d = d - d.mean(axis=axes) - normal * (d * normal).mean(axis=axes)
        return d * scale, {"gamma": (dy * normal).sum(axis=axes), "beta": dy.sum(axis=axes)}

    def next_state(self, cache):
        *_, mean, variance = cache
        keep = mean.dtype.type(self.momentum)
        new = {"moving_mean": mean, "moving_variance": variance}
        return {name: keep * self.state[name] + (1 - keep) * new[name] for name in new}


class MyDropout(Layer):
    def __init__(self, rate=0.25, name=None):
        super().__init__(name)
        self.rate = rate

    def keras_twin(self):
        return keras().layers.Dropout(self.rate)

    def forward(self, x, training=False, rng=None):
        if not training:
            return x, None
        mask = (rng.random(x.shape) >= self.rate) / x.dtype.type(1 - self.rate)
        return x * mask.astype(x.dtype), mask.astype(x.dtype)

    def backward(self, dy, cache):
        return dy if cache is None else dy * cache, {}


class MyRMSprop(Optimizer):
    slots = ("mean_square",)
    elementwise = True

    def __init__(self, learning_rate=0.001, rho=0.9, epsilon=1e-7):
        super().__init__(learning_rate)
        self.rho, self.epsilon = rho, epsilon

    def keras_twin(self):
        from minicnn.keras_reference import new_keras_optimizer

        names = ("learning_rate", "rho", "epsilon")
        return new_keras_optimizer("RMSprop", **{name: getattr(self, name) for name in names})

    def update(self, gradient, weight, mean_square):
        mean_square *= self.rho
        mean_square += (1 - self.rho) * gradient**2
        weight -= self.learning_rate * gradient / np.sqrt(mean_square + self.epsilon)


class MySurprise(Metric):
    """-log of the probability that was given to the label."""

    def __init__(self, name="surprise"):
        super().__init__(name)

    def keras_twin(self):
        return keras().metrics.SparseCategoricalCrossentropy(name=self.name)

    def per_sample(self, y_true, y_pred):
        return -np.log(y_pred[np.arange(len(y_true)), y_true])


class MyMeanSquaredError(Loss):
    """Real-valued targets."""

    samples_are_independent = True
    name = "my_mean_squared_error"

    def keras_twin(self):
        return keras().losses.MeanSquaredError()

    def losses_and_gradient(self, y_true, y_pred):
        error = y_pred - y_true
        return (error**2).mean(axis=1), 2 * error / error.shape[1]


class MyHeNormal(Initializer):
    """Normal, with the variance 2 / fan_in."""

    def __call__(self, shape, rng=None, dtype="float32"):
        return (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))).astype(dtype)


MY_TANH = Activation("my_tanh", np.tanh, lambda dy, y: dy * (1 - y**2))
