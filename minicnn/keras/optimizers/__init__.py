"""Optimizers besides those of the core, each in one formula: `optimizer="rmsprop"`.

- `schedules`: learning rates that change from step to step
"""

import functools

import numpy as np

from minicnn.keras.left_out import module_getattr
from minicnn.keras.optimizers import schedules
from minicnn.optimizers import OPTIMIZERS, SGD, Adam, Optimizer
from minicnn.validation import Check

__all__ = ["SGD", "Adadelta", "Adam", "Nadam", "Optimizer", "RMSprop", "schedules"]
__getattr__ = module_getattr("optimizers")


class RMSprop(Optimizer):
    """Divides each gradient by a running root of its mean square:

        v      <- rho v + (1 - rho) g^2
        m      <- momentum m + learning_rate g / sqrt(v + epsilon)
        weight <- weight - m

    Hinton, "Neural Networks for Machine Learning", lecture 6 (2012); epsilon is inside the root, as
    in Keras.
    """

    slots = ("velocity", "momentum")
    elementwise = True

    def __init__(
        self,
        learning_rate: float = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
    ):
        super().__init__(learning_rate)
        check = Check("RMSprop")
        self.rho = check.number(rho, "rho", 0, 1)
        self.momentum = check.number(momentum, "momentum", 0, 1)
        self.epsilon = check.number(epsilon, "epsilon", 0)

    def update(self, gradient, weight, velocity, momentum):
        velocity *= self.rho
        velocity += (1 - self.rho) * gradient**2
        momentum *= self.momentum
        momentum += self.learning_rate * gradient / np.sqrt(velocity + self.epsilon)
        weight -= momentum


class Nadam(Adam):
    """Adam with Nesterov's momentum:

        u_t = beta_1 (1 - 0.96^t / 2),  U_t = u_1 u_2 ... u_t
        m      <- m + (g - m) (1 - beta_1)
        v      <- v + (g^2 - v) (1 - beta_2)
        m_hat   = u_(t+1) m / (1 - U_(t+1)) + (1 - u_t) g / (1 - U_t)
        weight <- weight - learning_rate m_hat / (sqrt(v / (1 - beta_2^t)) + epsilon)

    Dozat, "Incorporating Nesterov Momentum into Adam" (2015).
    """

    elementwise = True

    @functools.cached_property
    def _products(self) -> list[float]:
        """U_0, U_1, ..., as far as they have been needed."""
        return [1.0]

    def u(self, t: int) -> float:
        """The momentum of step t."""
        return self.beta_1 * (1 - 0.96**t / 2)

    def product(self, t: int) -> float:
        """U_t."""
        while len(self._products) <= t:
            self._products.append(self._products[-1] * self.u(len(self._products)))
        return self._products[t]

    def start_step(self, gradient_shapes, weights):
        arrays = super().start_step(gradient_shapes, weights)
        self.product(self.iterations + 1)  # now, before several threads ask for it
        return arrays

    def update(self, gradient, weight, m, v):
        t = self.iterations
        m += (gradient - m) * (1 - self.beta_1)
        v += (gradient * gradient - v) * (1 - self.beta_2)
        m_hat = self.u(t + 1) / (1 - self.product(t + 1)) * m
        m_hat += (1 - self.u(t)) / (1 - self.product(t)) * gradient
        root = np.sqrt(v / (1 - self.beta_2**t))
        weight -= self.learning_rate * m_hat / (root + self.epsilon)


class Adadelta(Optimizer):
    """Steps as large as the steps before them, relative to gradients as large as those before:

        a      <- rho a + (1 - rho) g^2
        d       = g sqrt(b + epsilon) / sqrt(a + epsilon)
        b      <- rho b + (1 - rho) d^2
        weight <- weight - learning_rate d

    Zeiler, "ADADELTA: An Adaptive Learning Rate Method" (2012), whose rate is 1.
    """

    slots = ("gradients", "steps")
    elementwise = True

    def __init__(self, learning_rate: float = 0.001, rho: float = 0.95, epsilon: float = 1e-7):
        super().__init__(learning_rate)
        check = Check("Adadelta")
        self.rho = check.number(rho, "rho", 0, 1)
        self.epsilon = check.number(epsilon, "epsilon", 0)

    def update(self, gradient, weight, gradients, steps):
        gradients *= self.rho
        gradients += (1 - self.rho) * gradient**2
        step = gradient * np.sqrt(steps + self.epsilon) / np.sqrt(gradients + self.epsilon)
        steps *= self.rho
        steps += (1 - self.rho) * step**2
        weight -= self.learning_rate * step


OPTIMIZERS |= {"rmsprop": RMSprop, "nadam": Nadam, "adadelta": Adadelta}
