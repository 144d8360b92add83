"""Optimizers: in training, the only code that changes a trained weight."""

from typing import Any

import numpy as np

from minicnn.shapes import Shape
from minicnn.validation import Check, Number
from minicnn.validation.configuration import Configurable, plain_data

Arrays = tuple[np.ndarray, ...]


class Optimizer(Configurable):
    """Base class. An optimizer of your own defines `slots` and `update`.

    >>> class NormalizedSGD(Optimizer):
    ...     def update(self, gradient, weight):  # whole weights: it is not `elementwise`
    ...         weight -= self.learning_rate * gradient / (np.linalg.norm(gradient) + 1e-7)

    Attributes
    ----------
    learning_rate : float
        It may be set to a schedule, a function of the number of steps taken before.
    iterations : int
        Steps taken so far.
    state : dict of lists of arrays
        For each name in `slots`, one array per weight; empty before the first step.
    elementwise : bool
        False: `update` receives whole weights. Set it to True if every number is updated by its
        own gradient alone; `update` may then receive flat parts of weights, on several threads.
    """

    slots: tuple[str, ...] = ()
    elementwise = False

    def __init__(self, learning_rate: Any):
        self.iterations = 0
        self.learning_rate = learning_rate
        self.state: dict[str, list[np.ndarray]] = {}
        self._weights: list[np.ndarray] | None = None  # those that the state belongs to

    @property
    def learning_rate(self) -> float:
        steps = max(self.iterations - 1, 0)
        return Number(self._rate if self.schedule is None else self.schedule(steps))

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.schedule = value if callable(value) else None
        if self.schedule is None:
            check = Check(type(self).__name__)
            self._rate = check.number(value, "learning_rate", 0, from_low=True)

    def get_config(self) -> dict[str, Any]:
        """As for every `Configurable`; a schedule is described, not its present value."""
        rate = self.learning_rate if self.schedule is None else self.schedule
        return super().get_config() | {"learning_rate": plain_data(rate)}

    def apply(self, gradients: list[np.ndarray], weights: list[np.ndarray]) -> None:
        """One step: change `weights` in place, each by its gradient of the same shape.

        Other shapes, read-only weights, and others than those of the first step are errors.
        """
        check = Check(type(self).__name__)
        if not isinstance(gradients, list | tuple):
            raise TypeError(f"{check.who}: expected a list of gradients, received {gradients!r}")
        gradients = [check.real_array(g, f"gradient {i}") for i, g in enumerate(gradients)]
        arrays = self.start_step([gradient.shape for gradient in gradients], weights)
        for gradient, own in zip(gradients, arrays, strict=True):
            self.update(gradient, *own)

    def start_step(self, gradient_shapes: list[Shape], weights: list[np.ndarray]) -> list[Arrays]:
        """Check the arguments of `apply`, count the step, and pair each weight with its slots."""
        weights = Check(type(self).__name__).updatable(weights)
        shapes = [weight.shape for weight in weights]
        if gradient_shapes != shapes:
            raise ValueError(
                f"{type(self).__name__}: expected gradients of the weights' shapes {shapes}, "
                f"received {gradient_shapes}"
            )
        places = self.places(weights)
        self.iterations += 1
        return [
            (weight, *(self.state[slot][place] for slot in self.slots))
            for weight, place in zip(weights, places, strict=True)
        ]

    def places(self, weights: list[np.ndarray]) -> list[int]:
        """Where in the lists of `state` each weight has its slots; frozen ones may be left out."""
        shapes = [weight.shape for weight in weights]
        state = self.state or {slot: [np.zeros_like(w) for w in weights] for slot in self.slots}
        # What it was made for: the shapes in a slot or, if there is none, of the weights.
        made_for = [array.shape for array in next(iter(state.values()), self._weights or weights)]
        known = weights if self._weights is None and made_for == shapes else self._weights or []
        places = {id(weight): place for place, weight in enumerate(known)}
        found = {places.get(id(weight)) for weight in weights}
        if None in found or len(found) < len(weights):  # unknown ones, or one of them twice
            raise ValueError(
                f"{type(self).__name__}: its state was made for other weights, of shapes "
                f"{made_for}, received {shapes}; give each model an optimizer of its own, and "
                "call compile again after adding or unfreezing layers"
            )
        self.state, self._weights = state, list(known)
        return [places[id(weight)] for weight in weights]

    def update(self, gradient: np.ndarray, weight: np.ndarray, *slots: np.ndarray) -> None:
        """Change `weight` and its slots in place; all arrays have the same shape."""
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if it is above 0.

        velocity <- momentum * velocity - learning_rate * gradient
        weight   <- weight + velocity                                      (plain)
        weight   <- weight + momentum * velocity - learning_rate * gradient  (nesterov)

    Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013).
    """

    slots = ("velocity",)
    elementwise = True

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False):
        super().__init__(learning_rate)
        check = Check("SGD")
        self.momentum = check.number(momentum, "momentum", 0, 1)
        self.nesterov = check.flag(nesterov, "nesterov")

    def update(self, gradient, weight, velocity):
        step = -self.learning_rate * gradient
        velocity *= self.momentum
        velocity += step
        weight += self.momentum * velocity + step if self.nesterov else velocity


class Adam(Optimizer):
    """Adam in the form of Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2014),
    end of section 2, with "epsilon hat":

        m <- m + (g - m) (1 - beta_1)
        v <- v + (g^2 - v) (1 - beta_2)
        weight <- weight - m alpha / (sqrt(v) + epsilon)
        alpha = learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t)      t = 1, 2, ...

    Epsilon stands outside the root and is not corrected for bias, so in the first step its effect
    is 1/sqrt(1 - beta_2) = 31.6 times larger than in the paper's algorithm 1, as in Keras.
    """

    slots = ("m", "v")
    elementwise = True

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
    ):
        super().__init__(learning_rate)
        check = Check(type(self).__name__)
        self.beta_1 = check.number(beta_1, "beta_1", 0, 1)
        self.beta_2 = check.number(beta_2, "beta_2", 0, 1)
        self.epsilon = check.number(epsilon, "epsilon", 0)

    def alpha(self, dtype: np.dtype) -> np.floating:
        """The current step's learning rate with both bias corrections, rounded as in Keras."""
        one, t = dtype.type(1), dtype.type(self.iterations)
        beta_1, beta_2 = dtype.type(self.beta_1), dtype.type(self.beta_2)
        return dtype.type(self.learning_rate) * np.sqrt(one - beta_2**t) / (one - beta_1**t)

    def update(self, gradient, weight, m, v):
        m += (gradient - m) * (1 - self.beta_1)
        v += (gradient * gradient - v) * (1 - self.beta_2)
        weight -= m * self.alpha(weight.dtype) / (np.sqrt(v) + self.epsilon)


OPTIMIZERS = {"adam": Adam, "sgd": SGD}
