"""How the other libraries and minicnn build the network, train it and infer with it.

All start from minicnn's weights, compute in float32 and train with Keras' Adam. minicnn and Keras
run through their `fit` and `evaluate`, metrics included. The others run in a plain loop over arrays
in memory, shuffled for each epoch, without metrics, which is less work.
"""

from typing import Any

import numpy as np
from networks import Network, channels_first, features, sequential

# Each class imports its library itself: the memory of a process should be that of one library.

ADAM = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}


class Library:
    """Base class. The others are made of a network, weights, and a number of threads.

    The weights are those of minicnn: kernel and bias of each layer in turn.
    """

    def place(self, x: np.ndarray) -> Any:
        """The images in the layout that suits this library best; not timed."""
        return x

    def train(self, x: Any, y: np.ndarray, batch_size: int) -> None:
        """One epoch, over the images in random order."""
        raise NotImplementedError

    def probabilities(self, x: Any) -> np.ndarray:
        """Probabilities (n, classes) of one batch."""
        raise NotImplementedError

    def accuracy(self, x: Any, y: np.ndarray, batch_size: int) -> float:
        """The share of images that are classified correctly."""
        right = 0
        for start in range(0, len(y), batch_size):
            batch = slice(start, start + batch_size)
            right += np.count_nonzero(self.probabilities(x[batch]).argmax(axis=1) == y[batch])
        return right / len(y)


class KerasInterface(Library):
    """A library whose models have Keras' methods `fit` and `evaluate`."""

    model: Any

    def train(self, x, y, batch_size):
        self.model.fit(x, y, batch_size=batch_size, verbose=0)

    def accuracy(self, x, y, batch_size):
        return self.model.evaluate(x, y, batch_size=batch_size, verbose=0)[1]


class Minicnn(KerasInterface):
    """`fit`, `evaluate` and, for one image, `predict_on_batch`."""

    def __init__(self, network, weights, threads):
        import minicnn

        minicnn.set_num_threads(threads)
        self.model = sequential(minicnn, network)
        self.model.set_weights(weights)
        self.model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    def probabilities(self, x):
        return self.model.predict_on_batch(x)


class Keras(KerasInterface):
    """`fit`, `evaluate` and, for one image, a `tf.function`: much faster than `predict`."""

    def __init__(self, network, weights, threads, **compile_options):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        import keras

        self.model = sequential(keras, network)
        self.model.set_weights(weights)
        self.model.compile(
            keras.optimizers.Adam(**ADAM),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            **compile_options,
        )
        self.graph = tf.function(
            lambda x: self.model(x, training=False),
            jit_compile=compile_options.get("jit_compile", False),
        )

    def probabilities(self, x):
        return self.graph(x).numpy()


class Torch(Library):
    """A training loop with the fused Adam; if compiled, inference treats weights as constants."""

    def __init__(self, network, weights, threads, channels_last=False, compiled=False):
        import torch

        torch.set_num_threads(threads)
        self.torch, self.compiled = torch, compiled
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.network = torch_network(network, weights).to(memory_format=self.format)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(),
            lr=ADAM["learning_rate"],
            betas=(ADAM["beta_1"], ADAM["beta_2"]),
            eps=ADAM["epsilon"],
            fused=True,
        )
        # Compiled for each batch size, since code for any size would be slower.
        self.loss = torch.compile(self._loss, dynamic=False) if compiled else self._loss
        self.scores: Any = None  # made from the present weights when it is first needed

    def _loss(self, x, y):
        return self.torch.nn.functional.cross_entropy(self.network(x), y)

    def place(self, x):
        tensor = self.torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
        return tensor.contiguous(memory_format=self.format)

    def train(self, x, y, batch_size):
        self.scores = None
        y = self.torch.from_numpy(y)
        for chosen in self.torch.randperm(len(x)).split(batch_size):
            self.optimizer.zero_grad(set_to_none=True)
            self.loss(x[chosen].contiguous(memory_format=self.format), y[chosen]).backward()
            self.optimizer.step()

    def probabilities(self, x):
        with self.torch.inference_mode():
            if self.scores is None:
                self.scores = self.network
                if self.compiled:
                    freezing = {"dynamic": False, "options": {"freezing": True}}
                    self.scores = self.torch.compile(self.network, **freezing)
            return self.scores(x).softmax(1).numpy()


def torch_network(network: Network, weights: list[np.ndarray]) -> Any:
    """The network in PyTorch without the softmax; "same" is (kernel_size - 1) / 2 on each side."""
    from torch import from_numpy, nn

    stack: list[nn.Module] = []
    channels, dense = network.input_shape[-1], features(network)
    for filters in network.filters:
        padding = network.kernel_size // 2
        stack += [nn.Conv2d(channels, filters, network.kernel_size, padding=padding), nn.ReLU()]
        stack.append(nn.MaxPool2d(2))
        channels = filters
    stack.append(nn.Flatten())
    for units in network.units:
        stack += [nn.Linear(dense, units), nn.ReLU()]
        dense = units
    module = nn.Sequential(*stack[:-1])
    turned = channels_first(network, weights)
    for parameter, weight in zip(module.parameters(), turned, strict=True):
        parameter.data = from_numpy(weight)
    return module


class Jax(Library):
    """One compiled training step, from taking the batch to Adam; weights are updated in place."""

    def __init__(self, network, weights, _threads):
        import jax  # uses as many threads as the process has cores

        self.jax, self.network = jax, network
        self.params = [jax.numpy.asarray(weight) for weight in weights]
        zeros = [jax.numpy.zeros_like(weight) for weight in self.params]
        self.state = (0, zeros, [zero.copy() for zero in zeros])
        self.step = jax.jit(self._step, donate_argnums=(0, 1))
        self.forward = jax.jit(lambda params, x: jax.nn.softmax(self._scores(params, x)))

    def _scores(self, params, x):
        jax = self.jax
        layers = list(zip(params[::2], params[1::2], strict=True))
        for kernel, bias in layers[: len(self.network.filters)]:
            axes = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=axes)
            x = jax.nn.relu(x + bias)
            n, h, w, c = x.shape
            x = x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c)
            # Its gradient is faster than that of `reduce_window`.
            x = x.max(axis=(2, 4))
        x = x.reshape(len(x), -1)
        *hidden, (kernel, bias) = layers[len(self.network.filters) :]
        for inner_kernel, inner_bias in hidden:
            x = jax.nn.relu(x @ inner_kernel + inner_bias)
        return x @ kernel + bias

    def _step(self, params, state, x, y, chosen):
        jnp = self.jax.numpy

        def loss(params):
            log_probabilities = self.jax.nn.log_softmax(self._scores(params, x[chosen]))
            return -jnp.take_along_axis(log_probabilities, y[chosen][:, None], axis=1).mean()

        t, old_m, old_v = state
        t, b1, b2 = t + 1, ADAM["beta_1"], ADAM["beta_2"]
        gradients = self.jax.grad(loss)(params)
        m = [m + (g - m) * (1 - b1) for m, g in zip(old_m, gradients, strict=True)]
        v = [v + (g * g - v) * (1 - b2) for v, g in zip(old_v, gradients, strict=True)]
        alpha = ADAM["learning_rate"] * jnp.sqrt(1 - b2**t) / (1 - b1**t)
        params = [
            p - alpha * m / (jnp.sqrt(v) + ADAM["epsilon"])
            for p, m, v in zip(params, m, v, strict=True)
        ]
        return params, (t, m, v)

    def place(self, x):
        return self.jax.numpy.asarray(x)

    def train(self, x, y, batch_size):
        y = self.jax.numpy.asarray(y)
        order = np.random.default_rng().permutation(len(x))
        for start in range(0, len(x), batch_size):
            chosen = order[start : start + batch_size]
            self.params, self.state = self.step(self.params, self.state, x, y, chosen)
        self.jax.block_until_ready(self.params)

    def probabilities(self, x):
        return np.asarray(self.forward(self.params, x))
