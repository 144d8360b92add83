"""Batch normalization."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.initializers import INITIALIZERS
from minicnn.layer import Layer


class _Pass(NamedTuple):
    """What the backward pass and `next_state` need: of a training pass, its batch's statistics."""

    normalized: np.ndarray  # (m, channels): all positions of all samples, one below the other
    scale: np.ndarray  # gamma / sqrt(variance + epsilon)
    mean: np.ndarray | None
    variance: np.ndarray | None


class BatchNormalization(Layer):
    """Makes each channel have the mean beta and the deviation gamma, over a mini-batch.

        y = gamma (x - mean) / sqrt(variance + epsilon) + beta

    In training, mean and variance are those of the channel over all positions of all samples in the
    batch; both are also mixed into moving averages, moving <- momentum moving + (1 - momentum) new,
    which take their place otherwise, and in a frozen layer. Through the statistics each x acts on
    all y of its channel: with z the normalized x, and means over the batch,

        dx = gamma / sqrt(variance + epsilon) (dy - mean(dy) - z mean(dy z))

    Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
    Covariate Shift" (2015).

    Weights: gamma, beta (channels,); not trained: moving_mean, moving_variance (channels,).

    Parameters
    ----------
    axis : int
        -1: channels are the last axis.
    momentum, epsilon : float
    center, scale : bool
        Whether there is a beta, and a gamma; without, they count as 0 and 1.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        **options: Any,
    ):
        super().__init__(**options)
        self.axis = axis
        self.momentum = self.check.number(momentum, "momentum", 0, 1)
        self.epsilon = self.check.number(epsilon, "epsilon", 0)
        self.center = self.check.flag(center, "center")
        self.scale = self.check.flag(scale, "scale")
        self.gamma_initializer, self.beta_initializer = (
            self.check.choice(value, "initializer", INITIALIZERS, Callable)
            for value in (gamma_initializer, beta_initializer)
        )

    def output_shape(self, input_shape):
        if self.axis not in (-1, len(input_shape)):
            raise ValueError(
                f"{self.who}: axis must be -1 or {len(input_shape)}, the last one, where the "
                f"channels are, received {self.axis!r}"
            )
        return self.check.vector_shape(input_shape)

    def new_params(self, input_shape, rng, dtype):
        shape = input_shape[-1:]
        params = {"gamma": self.gamma_initializer} if self.scale else {}
        params |= {"beta": self.beta_initializer} if self.center else {}
        return {key: np.array(each(shape, rng, dtype), dtype) for key, each in params.items()}

    def new_state(self, input_shape, dtype):
        shape = input_shape[-1:]
        return {"moving_mean": np.zeros(shape, dtype), "moving_variance": np.ones(shape, dtype)}

    def forward(self, x, training=False):
        x = self.checked_input(x)
        rows = x.reshape(-1, x.shape[-1])
        if training and self.trainable:
            mean = _mean(rows)
            centred = rows - mean
            variance = _mean(centred * centred)
        else:
            mean, variance = self.state["moving_mean"], self.state["moving_variance"]
            centred = rows - mean
        inverse = 1 / np.sqrt(variance + self.epsilon)
        centred *= inverse
        gamma = self.params.get("gamma", inverse.dtype.type(1))
        y = centred * gamma
        if self.center:
            y += self.params["beta"]
        statistics = (mean, variance) if training and self.trainable else (None, None)
        return y.reshape(x.shape), _Pass(centred, gamma * inverse, *statistics)

    def backward(self, dy, cache):
        z = cache.normalized
        samples = len(z) // math.prod(self.input_shape[:-1])
        dy = self.checked_gradient(dy, (samples, *self.input_shape))
        rows = dy.reshape(-1, dy.shape[-1])
        mean_dy, mean_dyz = _mean(rows), _mean(rows * z)
        grads = {"gamma": mean_dyz * len(rows)} if self.scale else {}
        grads |= {"beta": mean_dy * len(rows)} if self.center else {}
        if cache.mean is None:
            return dy * cache.scale, grads
        dx = z * -mean_dyz
        dx += rows
        dx -= mean_dy
        dx *= cache.scale
        return dx.reshape(dy.shape), grads

    def next_state(self, cache):
        if cache.mean is None:
            return {}
        new = {"moving_mean": cache.mean, "moving_variance": cache.variance}
        old, keep = self.state, self.momentum
        return {key: old[key] * keep + value * (1 - keep) for key, value in new.items()}


def _mean(rows: np.ndarray) -> np.ndarray:
    """The mean of the rows, as a matrix product: NumPy's own takes several times as long."""
    return np.full(len(rows), 1 / max(len(rows), 1), rows.dtype) @ rows
