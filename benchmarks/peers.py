"""How each library builds the network, trains it and infers: the same network, its best way.

Every library begins with minicnn's weights. All train with Adam as Keras has it, in float32.

minicnn and Keras are measured through their `fit` and `evaluate`, metrics included. For the others
there is a plain loop over arrays in memory in an order drawn anew, and no metrics: less work.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from networks import Network, channels_first, features, onnx_model

# Libraries are imported by those who use them: each one's memory should be its own.

ADAM = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}


class Library:
    """What is asked of a peer. `weights` are minicnn's: kernel and bias, layer by layer."""

    def __init__(self, network: Network, weights: list[np.ndarray], threads: int):
        raise NotImplementedError

    def place(self, x: np.ndarray) -> Any:
        """The images as this library likes them best; no clock runs."""
        return x

    def train(self, x: Any, y: np.ndarray, batch_size: int) -> None:
        """One epoch, the images in an order drawn anew."""
        raise NotImplementedError

    def probabilities(self, x: Any) -> np.ndarray:
        """(n, classes) of one batch."""
        raise NotImplementedError

    def accuracy(self, x: Any, y: np.ndarray, batch_size: int) -> float:
        """The share of images that it classifies rightly."""
        right = 0
        for start in range(0, len(y), batch_size):
            batch = slice(start, start + batch_size)
            right += np.count_nonzero(self.probabilities(x[batch]).argmax(axis=1) == y[batch])
        return right / len(y)


def sequential(library: Any, network: Network) -> Any:
    """The network in minicnn or in Keras: the same lines make it."""
    layers = library.layers
    stack = [library.Input(network.input_shape)]
    for filters in network.filters:
        stack.append(layers.Conv2D(filters, network.kernel_size, padding="same", activation="relu"))
        stack.append(layers.MaxPooling2D(2))
    *hidden, last = network.units
    stack.append(layers.Flatten())
    stack += [layers.Dense(units, activation="relu") for units in hidden]
    return library.Sequential([*stack, layers.Dense(last, activation="softmax")])


class Minicnn(Library):
    """`fit`, `evaluate` and, for one image, `predict_on_batch`."""

    def __init__(self, network, weights, threads):
        import minicnn

        minicnn.set_num_threads(threads)
        self.model = self.model_of(network)
        self.model.set_weights(weights)
        self.model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    @staticmethod
    def model_of(network: Network) -> Any:
        """With weights drawn anew."""
        import minicnn

        return sequential(minicnn, network)

    def train(self, x, y, batch_size):
        self.model.fit(x, y, batch_size=batch_size, verbose=0)

    def probabilities(self, x):
        return self.model.predict_on_batch(x)

    def accuracy(self, x, y, batch_size):
        return self.model.evaluate(x, y, batch_size=batch_size, verbose=0)[1]


class Keras(Library):
    """`fit` and `evaluate`; one image through a graph of its own, much faster than `predict`."""

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

    def train(self, x, y, batch_size):
        self.model.fit(x, y, batch_size=batch_size, verbose=0)

    def probabilities(self, x):
        return self.graph(x).numpy()

    def accuracy(self, x, y, batch_size):
        return self.model.evaluate(x, y, batch_size=batch_size, verbose=0)[1]


class Torch(Library):
    """A loop with the fused Adam; compiled, inference has the weights as constants."""

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
        # A compilation for each size of batch: code for all sizes would be slower.
        self.loss = torch.compile(self._loss, dynamic=False) if compiled else self._loss
        self.scores: Any = None  # made for the weights as they are when it is first needed

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
                self.scores = self._for_inference()
            return self.scores(x).softmax(1).numpy()

    def _for_inference(self):
        if not self.compiled:
            return self.network
        return self.torch.compile(self.network, dynamic=False, options={"freezing": True})


def torch_network(network: Network, weights: list[np.ndarray]) -> Any:
    """The network in PyTorch, up to the scores; "same" is (kernel_size - 1) / 2 on each side."""
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
    for parameter, weight in zip(
        module.parameters(), channels_first(network, weights), strict=True
    ):
        parameter.data = from_numpy(weight)
    return module


class Jax(Library):
    """One compiled step, from picking the batch to Adam; weights are overwritten in place."""

    def __init__(self, network, weights, _threads):
        import jax  # takes the number of threads from the cores it may run on

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
            dimensions = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=dimensions
            )
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


class OnnxRuntime(Library):
    """Inference only, all graph optimisations on."""

    def __init__(self, network, weights, threads):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(
            onnx_model(network, weights), options, providers=["CPUExecutionProvider"]
        )

    def place(self, x):
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))

    def probabilities(self, x):
        return self.session.run(None, {"x": x})[0]


class OpenVino(Library):
    """Inference only. In float32, which has to be said: on some processors it would take bfloat16.

    With `streams`, it works at several batches at once, each on one core.
    """

    def __init__(self, network, weights, threads, streams=False):
        import openvino

        self.openvino, self.streams = openvino, streams
        self.core = openvino.Core()
        self.model = onnx_model(network, weights)
        self.options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "THROUGHPUT" if streams else "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }
        self.compiled: dict[tuple[int, ...], Any] = {}
        self.requests: dict[tuple[int, ...], Any] = {}

    place = OnnxRuntime.place

    def _compiled(self, shape):
        """For a fixed size of batch, which is faster than for any size."""
        if shape not in self.compiled:
            model = self.core.read_model(self.model)
            model.reshape(list(shape))
            self.compiled[shape] = self.core.compile_model(model, "CPU", self.options)
        return self.compiled[shape]

    def probabilities(self, x):
        if x.shape not in self.requests:
            self.requests[x.shape] = self._compiled(x.shape).create_infer_request()
        request = self.requests[x.shape]
        return request.infer([x], share_inputs=True, share_outputs=True)[0]

    def accuracy(self, x, y, batch_size):
        whole = len(y) // batch_size * batch_size
        if not self.streams or not whole:
            return super().accuracy(x, y, batch_size)
        classes = np.empty(whole, int)

        def note(request, start):
            probabilities = request.get_output_tensor(0).data
            classes[start : start + batch_size] = probabilities.argmax(axis=1)

        compiled = self._compiled((batch_size, *x.shape[1:]))
        queue = self.openvino.AsyncInferQueue(compiled)
        queue.set_callback(note)
        for start in range(0, whole, batch_size):
            queue.start_async([x[start : start + batch_size]], userdata=start, share_inputs=True)
        queue.wait_all()
        right = np.count_nonzero(classes == y[:whole])
        if whole < len(y):
            right += np.count_nonzero(self.probabilities(x[whole:]).argmax(axis=1) == y[whole:])
        return right / len(y)


class Peer(NamedTuple):
    """A library in one of its settings."""

    library: str  # whose best setting is to be found
    setting: str
    build: Callable[..., Library]
    options: dict[str, Any]
    needs: tuple[str, ...]  # modules
    trains: bool = True

    @property
    def title(self) -> str:
        """`Keras, jit_compile`"""
        return f"{self.library}, {self.setting}" if self.setting else self.library


LAST, COMPILED = {"channels_last": True}, {"compiled": True}
TENSORFLOW = ("tensorflow", "keras")
PEERS = {
    "minicnn": Peer("minicnn", "", Minicnn, {}, ("minicnn",)),
    "keras": Peer("Keras", "", Keras, {}, TENSORFLOW),
    "keras-steps": Peer("Keras", "16 steps a call", Keras, {"steps_per_execution": 16}, TENSORFLOW),
    "keras-jit": Peer("Keras", "jit_compile", Keras, {"jit_compile": True}, TENSORFLOW),
    "torch": Peer("PyTorch", "eager", Torch, {}, ("torch",)),
    "torch-last": Peer("PyTorch", "eager, channels last", Torch, LAST, ("torch",)),
    "torch-compile": Peer("PyTorch", "compile", Torch, COMPILED, ("torch",)),
    "torch-compile-last": Peer(
        "PyTorch", "compile, channels last", Torch, LAST | COMPILED, ("torch",)
    ),
    "jax": Peer("JAX", "jit", Jax, {}, ("jax",)),
    "onnxruntime": Peer("ONNX Runtime", "", OnnxRuntime, {}, ("onnxruntime", "onnx"), False),
    "openvino": Peer("OpenVINO", "float32", OpenVino, {}, ("openvino", "onnx"), False),
    "openvino-streams": Peer(
        "OpenVINO", "float32, streams", OpenVino, {"streams": True}, ("openvino", "onnx"), False
    ),
}
