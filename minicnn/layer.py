"""What a layer is: the contract that every layer keeps, and what all of them share.

A layer keeps its weights and nothing else, so one object can serve several threads at once:

    y, cache = layer.forward(x)            cache: what the way back needs, nothing more
    dx, grads = layer.backward(dy, cache)  grads: same keys and shapes as layer.params

dy is the gradient of a loss by y, and so on. Only the optimizer changes weights.
"""

import math
import warnings
from typing import Any

import numpy as np

from minicnn import activations, checks, initializers
from minicnn.configuration import Configurable
from minicnn.session import automatic_name
from minicnn.shapes import Shape, positive_ints


class Layer(Configurable):
    """Base class. A layer of your own defines `output_shape`, `forward` and `backward`.

    Shapes given to methods and returned by them are those of one sample; in arrays the axis of
    samples comes first.

    Parameters
    ----------
    name : str, optional
        Unique within a model; without one, the class in snake case with a counter.
    input_shape : tuple, optional
        Of a model's first layer. Deprecated, as in Keras: start the model with `Input` instead.

    Attributes
    ----------
    params : dict
        The weights by name, in Keras' order; empty before `build` and where nothing is learned.
    input_shape : tuple or None
        What the layer was built for.
    """

    def __init__(self, name: str | None = None, input_shape: Any = None):
        who = type(self).__name__
        self.name = automatic_name(type(self)) if name is None else checks.name(name, who)
        self.params: dict[str, np.ndarray] = {}
        self.input_shape: Shape | None = None
        self.requested_input_shape: Shape | None = None
        if input_shape is not None:
            self.requested_input_shape = positive_ints(input_shape, "input_shape", self.who)
            warnings.warn(
                "Do not pass an `input_shape` argument to a layer. Start the model with "
                "`Input(shape)` instead.",
                stacklevel=checks.frames_to_user(),
            )

    @property
    def who(self) -> str:
        """Class and name, as errors say them."""
        return f"{type(self).__name__} '{self.name}'"

    def __repr__(self) -> str:
        return f"<{self.who}>"

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any = "float32") -> None:
        """Make the weights for inputs of that shape, drawing from `rng`.

        Raises
        ------
        TypeError, ValueError
            If the layer cannot take such inputs, or for a dtype other than float32 and float64.
        """
        input_shape = positive_ints(input_shape, "input_shape", self.who)
        dtype = checks.float_dtype(dtype, self.who)
        self.output_shape(input_shape)  # raises if the layer cannot take such inputs
        self.params = self.new_params(input_shape, rng, dtype)
        self.input_shape = input_shape

    def new_params(
        self, input_shape: Shape, rng: np.random.Generator, dtype: Any
    ) -> dict[str, np.ndarray]:
        """Fresh weights; none unless a layer says otherwise."""
        return {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of one output. Pure geometry: needs no weights."""
        raise NotImplementedError

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        """Output y, and what `backward` needs to know of this pass."""
        raise NotImplementedError

    def backward(self, dy: np.ndarray, cache: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Gradients of the input and of each weight, the latter summed over the samples."""
        raise NotImplementedError

    def weight_gradients(self, dy: np.ndarray, cache: Any) -> dict[str, np.ndarray]:
        """`backward` without dx, for a first layer: nobody asks how to change the images."""
        return self.backward(dy, cache)[1]

    def branches(self, cache: Any) -> list[np.ndarray]:
        """Which side of each kink a pass was on: signs of ReLU, winners of pooling.

        For `minicnn.gradcheck`: between two passes that differ here there is no derivative.
        """
        return []

    def prepared(self) -> "Layer":
        """The layer for passes with its present weights, with all done that needs no samples.

        It shares the weights, but is out of date as soon as they change.
        """
        return self

    def count_params(self) -> int:
        """How many numbers the layer learns."""
        if self.input_shape is None:
            raise ValueError(f"{self.who} has no weights before it is built for an input shape")
        return sum(weight.size for weight in self.params.values())

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights: kernel, then bias."""
        return [weight.copy() for weight in self.params.values()]

    def set_weights(self, weights: list[Any]) -> None:
        """Overwrite the weights, in the order of `get_weights`.

        Raises
        ------
        ValueError, TypeError
            If number, shapes or kinds differ from the layer's; then nothing is changed.
        """
        own = list(self.params.values())
        for weight, new in zip(own, checks.weights(weights, own, self.who), strict=True):
            weight[...] = new

    def checked_input(self, x: Any) -> np.ndarray:
        """`x` as a kernel needs it: of the shape the layer was built for, in the layer's dtype."""
        if self.input_shape is None:
            raise ValueError(f"{self.who} has to be built before it can compute")
        dtype = self._dtype(x)
        if checks.is_plain(x, dtype) and x.shape[1:] == self.input_shape:
            return x  # from the layer before, as a rule
        return checks.plain(checks.samples(x, "x", self.input_shape, self.who), dtype)

    def checked_gradient(self, dy: Any, y_shape: Shape) -> np.ndarray:
        """`dy` as a kernel needs it: of the output's shape, in the layer's dtype."""
        if checks.is_plain(dy, self._dtype(dy)) and dy.shape == y_shape:
            return dy
        dy = checks.real_array(dy, f"{self.who}: dy")
        if dy.shape != y_shape:
            raise ValueError(
                f"{self.who}: expected dy of the output's shape {y_shape}, received {dy.shape}"
            )
        return checks.plain(dy, self._dtype(dy))

    def twin(self) -> "Layer":
        """Another layer with the same weights and attributes, to be given others."""
        twin = object.__new__(type(self))
        twin.__dict__ |= self.__dict__
        return twin

    def _dtype(self, array: Any) -> np.dtype:
        for weight in self.params.values():
            return weight.dtype
        own = getattr(array, "dtype", None)
        return own if own in (np.float32, np.float64) else np.dtype("float32")


class KernelLayer(Layer):
    """A layer with a kernel, a bias unless it is declined, and an activation at its end.

    Parameters
    ----------
    activation : "relu", "softmax", "linear" or None
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    """

    def __init__(
        self, activation, use_bias, kernel_initializer, bias_initializer, name, input_shape
    ):
        super().__init__(name, input_shape)
        self.use_bias = checks.flag(use_bias, "use_bias", self.who)
        self.activation = activations.get(activation, self.who)
        self.kernel_initializer = initializers.get(kernel_initializer, self.who)
        self.bias_initializer = initializers.get(bias_initializer, self.who)

    def kernel_shape(self, input_shape: Shape) -> Shape:
        """Shape of the kernel for such inputs; its last axis is the bias'."""
        raise NotImplementedError

    def kernel_and_bias(self) -> tuple[Any, np.ndarray]:
        """As `minicnn.kernels` take them: zeros where there is no bias."""
        return self.params["kernel"], self.bias()

    def bias(self) -> np.ndarray:
        """The bias, or zeros if there is none."""
        bias = self.params.get("bias")
        if bias is None:
            kernel = self.params["kernel"]
            bias = np.zeros(kernel.shape[-1], kernel.dtype)
        return bias

    def kernels_floor(self, dtype: np.dtype) -> np.floating:
        """What a kernel raises its outputs to: if it can do all that the activation does."""
        floor = self.activation.floor
        return dtype.type(-math.inf if floor is None else floor)

    def branches(self, cache):
        _, y, *_ = cache
        return self.activation.branches(y)

    def new_params(self, input_shape, rng, dtype):
        kernel_shape = self.kernel_shape(input_shape)
        wanted = {"kernel": (self.kernel_initializer, kernel_shape)}
        if self.use_bias:
            wanted["bias"] = (self.bias_initializer, kernel_shape[-1:])
        params = {}
        for key, (initializer, shape) in wanted.items():
            weight = np.array(initializer(shape, rng, dtype), dtype, order="C")
            if weight.shape != shape:
                raise ValueError(
                    f"{self.who}: {key}_initializer gave an array of shape {weight.shape}, "
                    f"expected {shape}"
                )
            params[key] = weight
        return params


def vector_shape(input_shape: Shape, who: str) -> Shape:
    """`input_shape` if its last axis can be taken for a vector: if there is one."""
    if not input_shape:
        raise ValueError(f"{who}: expected inputs of shape (..., size), received single numbers")
    return input_shape


def image_shape(input_shape: Shape, who: str) -> Shape:
    """`input_shape` if it is that of images, (h, w, c)."""
    if len(input_shape) != 3:
        raise ValueError(
            f"{who}: expected images of shape (height, width, channels), received {input_shape}"
        )
    return input_shape
