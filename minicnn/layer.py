"""What a layer is: the contract that every layer keeps, and what all of them share.

Between passes a layer remembers nothing but its weights, and a pass changes nothing:

    y, cache = layer.forward(x)            # cache: what the backward pass needs, nothing more
    dx, grads = layer.backward(dy, cache)  # grads: same keys and shapes as layer.params

dy is the gradient of the loss with respect to y, and so on. Only the optimizer trains `params`.
"""

import inspect
from typing import Any

import numpy as np

from minicnn.session import automatic_name, random_stream
from minicnn.shapes import Shape
from minicnn.validation import Check, Tensor, plain, usual_float_errors
from minicnn.validation.configuration import Configurable

Weights = dict[str, np.ndarray]


class WithWeights(Configurable):
    """What layers and models share: a name, checks that mention it, and lists of weights."""

    name: str

    @property
    def who(self) -> str:
        """Class and name, as they appear in errors."""
        return f"{type(self).__name__} '{self.name}'"

    @property
    def check(self) -> Check:
        """Checks whose errors say `who`."""
        return Check(self.who)

    def all_weights(self) -> list[np.ndarray]:
        """The weights themselves, in Keras' order."""
        raise NotImplementedError

    def count_params(self) -> int:
        """How many numbers the weights have, those that are not trained included."""
        return sum(weight.size for weight in self.all_weights())

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights: layer by layer, kernel first."""
        return [weight.copy() for weight in self.all_weights()]

    def set_weights(self, weights: list[Any]) -> None:
        """Overwrite all weights, in the order of `get_weights`.

        If number, shapes or kinds differ, raises ValueError or TypeError and changes nothing.
        """
        own = self.all_weights()
        for weight, new in zip(own, self.check.weights(weights, own), strict=True):
            weight[...] = new


class Layer(WithWeights):
    """Base class. A layer of your own defines `forward` and `backward`, perhaps `output_shape`;
    `new_params` if it has weights; `new_state` and `next_state` if it has state.

    Shapes passed to and returned by methods are those of one sample; arrays have the axis of the
    samples in front.

    >>> class Scale(Layer):
    ...     def new_params(self, input_shape, rng, dtype):
    ...         return {"scale": np.ones(input_shape, dtype)}
    ...     def forward(self, x):
    ...         return x * self.params["scale"], x
    ...     def backward(self, dy, x):
    ...         return dy * self.params["scale"], {"scale": (dy * x).sum(axis=0)}

    Parameters
    ----------
    name : str, optional
        Unique within a model; by default the class in snake case with a counter.
    input_shape : tuple, optional
        Deprecated, as in Keras: start the model with `Input` instead.

    Attributes
    ----------
    params : dict
        The trained weights by name, in Keras' order; empty before `build`.
    state : dict
        Weights that are not trained, such as moving averages: see `next_state`.
    trainable : bool
        Also a parameter. False freezes the layer: the optimizer leaves its `params` alone.
    regularizers : dict
        Penalties on weights, by their names: `regularizer(weight)` is added to the loss, and
        `regularizer.gradient(weight)` to the gradient.
    input_shape : tuple or None
        What the layer was built for.
    samples_are_independent : bool
        False: the layer receives whole batches. Set it to True if each sample's output and dx
        depend on that sample alone, and passes change nothing: then parts of a batch may be
        computed on several threads, unless the layer has `state` or its `forward` takes `rng`.
        A subclass has to set it again.
    """

    samples_are_independent = False

    def __init__(self, name: str | None = None, input_shape: Any = None, trainable: bool = True):
        check = Check(type(self).__name__)
        self.name = automatic_name(type(self)) if name is None else check.name(name)
        self.trainable = check.flag(trainable, "trainable")
        self.params: Weights = {}
        self.state: Weights = {}
        self.regularizers: dict[str, Any] = {}
        self.input_shape: Shape | None = None
        self.requested_input_shape: Shape | None = None
        if input_shape is not None:
            self.requested_input_shape = self.check.deprecated_input_shape(input_shape)

    def __repr__(self) -> str:
        return f"<{self.who}>"

    @usual_float_errors
    def __call__(self, x: Any, training: bool = False) -> Any:
        """The output for samples x (n, ...); of a symbolic `keras.Input`, another one."""
        if hasattr(x, "followed_by"):
            return x.followed_by(self)
        if self.input_shape is None:
            self.build(np.shape(x)[1:], random_stream())
        seed = random_stream().integers(2**63, size=2) if training else (0, 0)
        y, _ = self.forward(self.checked_input(x), **forward_options(self, training, seed, 0))
        return y.view(Tensor)

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any = "float32") -> None:
        """Make the weights for inputs of that shape, drawing from `rng`.

        Raises TypeError or ValueError if the layer cannot take such inputs.
        """
        input_shape = self.check.shape(input_shape, "input_shape")
        dtype = self.check.float_dtype(dtype)
        self.output_shape(input_shape)  # raises if the layer cannot take such inputs
        self.params = self.new_params(input_shape, rng, dtype)
        self.state = self.new_state(input_shape, dtype)
        self.input_shape = input_shape

    def new_params(self, input_shape: Shape, rng: np.random.Generator, dtype: Any) -> Weights:
        """Fresh trained weights; none by default."""
        return {}

    def new_state(self, input_shape: Shape, dtype: Any) -> Weights:
        """Fresh weights that are not trained; none by default."""
        return {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of one output; by default that of the input. Pure geometry: needs no weights."""
        return input_shape

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        """Output y, and what `backward` needs to know about this pass.

        A forward with a parameter `training` is told whether this is a step of training. One with
        a parameter `rng` receives a `numpy.random.Generator` in training, and otherwise None.
        """
        raise NotImplementedError

    def backward(self, dy: np.ndarray, cache: Any) -> tuple[np.ndarray, Weights]:
        """Gradients of the input and of each weight in `params`, the latter summed over samples."""
        raise NotImplementedError

    def next_state(self, cache: Any) -> Weights:
        """New values of `state` after a training step, from the cache of its forward pass."""
        return {}

    def update_state(self, cache: Any) -> None:
        """Write `next_state` into `state`: once a step, after the optimizer."""
        for key, value in self.next_state(cache).items():
            self.state[key][...] = value

    def penalty(self) -> float:
        """What the regularizers add to the loss."""
        return sum(each(self.params[key]) for key, each in self.regularizers.items())

    def penalty_gradients(self, key: str) -> list[np.ndarray]:
        """The gradient of the penalty by the weight `key`: a list of one, or of none."""
        return [r.gradient(self.params[key]) for k, r in self.regularizers.items() if k == key]

    def branches(self, cache: Any) -> list[np.ndarray]:
        """Which branch each operation with a kink took: signs of ReLU, winners of pooling.

        Between inputs that took different ones, differences are no estimate of the derivative.
        """
        return []

    @property
    def weights(self) -> Weights:
        """All weights by name, trained ones first."""
        return self.params | self.state

    def all_weights(self):
        return list(self.weights.values())

    def count_params(self):
        if self.input_shape is None:
            raise ValueError(f"{self.who} has no weights before it is built for an input shape")
        return super().count_params()

    def checked_input(self, x: Any) -> np.ndarray:
        """`x` in the dtype of the weights (its own if there are none) and of the right shape."""
        if self.input_shape is None:
            raise ValueError(f"{self.who} has to be built before it can compute")
        return plain(self.check.samples(x, "x", self.input_shape), self._dtype(x))

    def checked_gradient(self, dy: Any, y_shape: Shape) -> np.ndarray:
        """`dy` as an array of the layer's dtype and of the output's shape."""
        dy = self.check.real_array(dy, "dy")
        if dy.shape != y_shape:
            raise ValueError(
                f"{self.who}: expected dy of the output's shape {y_shape}, received {dy.shape}"
            )
        return plain(dy, self._dtype(dy))

    def _dtype(self, array: Any) -> np.dtype:
        for weight in self.params.values():
            return weight.dtype
        own = getattr(array, "dtype", None)
        return own if own in (np.float32, np.float64) else np.dtype("float32")


def forward_options(layer: Any, training: bool, seed: Any, index: int) -> dict[str, Any]:
    """The optional arguments that `layer.forward` asks for; see `step_generator`."""
    options: dict[str, Any] = {"training": training} if asks_for(layer, "training") else {}
    if asks_for(layer, "rng"):
        options["rng"] = step_generator(layer, seed, index) if training else None
    return options


def asks_for(layer: Any, option: str) -> bool:
    """Whether `layer.forward` has a parameter of that name."""
    return option in inspect.signature(layer.forward).parameters


def step_generator(layer: Any, seed: Any, index: int) -> np.random.Generator:
    """The generator of one layer in one step, for the layer at place `index` of its model.

    `seed` is a pair: a number drawn once per epoch, and the number of the step; a layer's own
    `seed` replaces the first.
    """
    own = getattr(layer, "seed", None)
    return np.random.default_rng([*(seed if own is None else (own, *seed[1:])), index])
