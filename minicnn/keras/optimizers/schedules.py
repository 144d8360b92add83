"""Learning rates that change: `SGD(ExponentialDecay(0.1, 1000, 0.9))`.

A schedule is a function of the number of steps taken so far. A file can hold it if it is
`Configurable`, as these are.
"""

import math

from minicnn.keras.left_out import module_getattr
from minicnn.validation.configuration import Configurable

__getattr__ = module_getattr("optimizers.schedules")


class LearningRateSchedule(Configurable):
    """Base class. One of your own defines `__call__`."""

    def __call__(self, step: int) -> float:
        """The rate after `step` steps."""
        raise NotImplementedError


class ExponentialDecay(LearningRateSchedule):
    """rate decay_rate^(step / decay_steps); with `staircase` the exponent is rounded down."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ):
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.decay_rate, self.staircase, self.name = decay_rate, staircase, name

    def __call__(self, step):
        exponent = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate**exponent


class InverseTimeDecay(ExponentialDecay):
    """rate / (1 + decay_rate step / decay_steps), with the quotient rounded down if `staircase`."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ):
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step):
        quotient = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * quotient)


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[i] up to and including step boundaries[i], the last value after all of them."""

    def __init__(self, boundaries: list, values: list, name: str = "PiecewiseConstant"):
        if len(boundaries) + 1 != len(values):
            raise ValueError(
                "PiecewiseConstantDecay: expected one value more than boundaries, received "
                f"{len(values)} values and {len(boundaries)} boundaries"
            )
        self.boundaries, self.values, self.name = list(boundaries), list(values), name

    def __call__(self, step):
        return self.values[sum(step > boundary for boundary in self.boundaries)]


class PolynomialDecay(LearningRateSchedule):
    """(rate - end) (1 - step / decay_steps)^power + end, and `end` after `decay_steps`."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        name: str = "PolynomialDecay",
    ):
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.end_learning_rate, self.power, self.name = end_learning_rate, power, name

    def __call__(self, step):
        left = 1 - min(step, self.decay_steps) / self.decay_steps
        span = self.initial_learning_rate - self.end_learning_rate
        return span * left**self.power + self.end_learning_rate


class CosineDecay(LearningRateSchedule):
    """rate ((1 - alpha) (1 + cos(pi step / decay_steps)) / 2 + alpha), alpha rate afterwards.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2016).
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
    ):
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.alpha, self.name = alpha, name

    def __call__(self, step):
        done = min(step, self.decay_steps) / self.decay_steps
        wave = (1 + math.cos(math.pi * done)) / 2
        return self.initial_learning_rate * ((1 - self.alpha) * wave + self.alpha)
