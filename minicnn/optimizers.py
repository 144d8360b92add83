"""Optimizers: the only code that changes a weight during training."""

import math
from typing import Any

import numpy as np

from minicnn import checks, parallel
from minicnn.configuration import Configurable
from minicnn.interrupts import deferred
from minicnn.kernels import updates


def _description(weight: Any) -> str:
    if not isinstance(weight, np.ndarray):
        return type(weight).__name__
    return f"{weight.dtype} of shape {weight.shape} and strides {weight.strides}"


class Optimizer(Configurable):
    """Base class: counts steps and keeps one array per weight for each name in `slots`.

    Attributes
    ----------
    learning_rate : float
    iterations : int
        Steps taken so far.
    state : dict of lists of arrays
        For each slot, one array per weight, in the order of the weights; empty before the first
        step.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, learning_rate: float):
        self.learning_rate = checks.number(learning_rate, "learning_rate", type(self).__name__, 0)
        self.iterations = 0
        self.state: dict[str, list[np.ndarray]] = {}

    def apply(self, gradients: list[np.ndarray], weights: list[np.ndarray]) -> None:
        """One step: change `weights` in place, each by its gradient of the same shape.

        Raises
        ------
        TypeError, ValueError
            If the shapes differ from each other, or from those of the first step; if a weight
            cannot be changed in place.
        """
        who = type(self).__name__
        if not isinstance(gradients, list | tuple):
            raise TypeError(f"{who}: expected a list of gradients, received {gradients!r}")
        gradients = [checks.real_array(g, f"{who}: gradient {i}") for i, g in enumerate(gradients)]
        self.apply_sum([gradients], weights)

    def apply_sum(self, shards: list[list[np.ndarray]], weights: list[np.ndarray]) -> None:
        """`apply` with the sum of several lists of gradients, those of the shards of a batch.

        They are added up in the order of the list, or bits would depend on the threads; in place,
        in the arrays of the first one. An interrupt (Ctrl-C) acts before the step or after it.
        """
        who = type(self).__name__
        if not isinstance(weights, list | tuple):
            raise TypeError(f"{who}: expected a list of weights, received {weights!r}")
        for weight in weights:
            # A kernel walks over reshape(-1), which of other arrays is a copy: a step for nothing.
            if (
                not isinstance(weight, np.ndarray)
                or not weight.flags.carray
                or (weight.dtype not in (np.float32, np.float64))
            ):
                raise TypeError(
                    f"{who}: expected weights in contiguous, writable arrays of float32 or "
                    f"float64, received {_description(weight)}"
                )
        expected = [w.shape for w in weights]
        for gradients in shards:
            received = [g.shape for g in gradients]
            if received != expected:
                raise ValueError(
                    f"{who}: expected gradients of the weights' shapes {expected}, "
                    f"received {received}"
                )
        if not self.state:
            self.state = {slot: [np.zeros_like(w) for w in weights] for slot in self.slots}
        for slot, arrays in self.state.items():
            if [a.shape for a in arrays] != expected:
                raise ValueError(
                    f"{who}: {slot} was made for weights of shapes "
                    f"{[a.shape for a in arrays]}, received {expected}; give each model an "
                    "optimizer of its own"
                )
        own = [weights, *(self.state[slot] for slot in self.slots)]

        def update_part(part: list[tuple[int, slice]]) -> None:
            for index, numbers in part:
                total, *others = (gradients[index].reshape(-1)[numbers] for gradients in shards)
                for gradient in others:
                    total += gradient
                self.update(total, *(arrays[index].reshape(-1)[numbers] for arrays in own))

        with deferred():
            self.iterations += 1
            parallel.run(update_part, parallel.parts([weight.size for weight in weights]))

    def update(self, gradient: np.ndarray, weight: np.ndarray, *slots: np.ndarray) -> None:
        """Change weights (numbers,), and their slots, in place: number by number."""
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if it is above 0.

        velocity <- momentum * velocity - learning_rate * gradient
        weight   <- weight + velocity                                      (plain)
        weight   <- weight + momentum * velocity - learning_rate * gradient  (nesterov)

    Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013).
    """

    slots = ("velocity",)

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False):
        super().__init__(learning_rate)
        self.momentum = checks.number(momentum, "momentum", "SGD", 0, 1)
        self.nesterov = checks.flag(nesterov, "nesterov", "SGD")

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

    Epsilon stands outside the root and is not corrected for bias, so in the first step it acts
    1/sqrt(1 - beta_2) = 31.6 times larger than in the paper's algorithm 1. Keras' choice, too.
    """

    slots = ("m", "v")

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
    ):
        super().__init__(learning_rate)
        self.beta_1 = checks.number(beta_1, "beta_1", "Adam", 0, 1)
        self.beta_2 = checks.number(beta_2, "beta_2", "Adam", 0, 1)
        self.epsilon = checks.number(epsilon, "epsilon", "Adam", 0)

    def update(self, gradient, weight, m, v):
        t = self.iterations
        alpha = self.learning_rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        numbers = (alpha, self.beta_1, self.beta_2, self.epsilon, SMALLEST[weight.dtype])
        gradient = np.ascontiguousarray(gradient, weight.dtype)
        updates.adam(weight, gradient, m, v, *(weight.dtype.type(number) for number in numbers))


# A moment below it is taken for 0: see `kernels.updates`.
SMALLEST = {np.dtype(kind): np.finfo(kind).tiny for kind in (np.float32, np.float64)}
OPTIMIZERS = {"adam": Adam, "sgd": SGD}


def get(optimizer: Any) -> Optimizer:
    """A new optimizer of that name, or the given one."""
    if isinstance(optimizer, str) and optimizer.lower() in OPTIMIZERS:
        return OPTIMIZERS[optimizer.lower()]()
    if isinstance(optimizer, Optimizer):
        return optimizer
    known = ", ".join(f'"{key}"' for key in OPTIMIZERS)
    raise ValueError(
        f"compile: optimizer must be one of {known} or an instance of an optimizer, "
        f"received {optimizer!r}"
    )
