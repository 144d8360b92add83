"""One step of training: forward pass, loss, backward pass, update.

`fit` runs this code as it stands with `compile(..., run_eagerly=True)`; by default `minicnn.engine`
computes the same numbers faster.
"""

from typing import Any

import numpy as np

from minicnn.layer import Layer, forward_options
from minicnn.losses import Loss
from minicnn.optimizers import Optimizer
from minicnn.validation import require_finite, require_finite_gradients


def train_step(
    layers: list[Layer], loss: Loss, optimizer: Optimizer, x: np.ndarray, y_true: Any, seed: Any
) -> tuple[np.ndarray, np.ndarray]:
    """One step on a mini-batch; returns losses (n,) and outputs (n, ...). See `step_generator`
    for `seed`, `eager.without_softmax` for why `layers` often lack the model's softmax."""
    activations, caches = forward(layers, x, training=True, seed=seed)
    losses, dy = loss.losses_and_gradient(y_true, activations[-1])
    require_finite(losses)
    gradients = backward(layers, caches, dy / len(x))  # of the mean loss
    trained = [
        (sum(layer.penalty_gradients(key), grads[key]), layer.params[key])
        for layer, (_, grads) in zip(layers, gradients, strict=True)
        if layer.trainable
        for key in layer.params
    ]
    require_finite_gradients(gradient for gradient, _ in trained)
    optimizer.apply([gradient for gradient, _ in trained], [weight for _, weight in trained])
    for layer, cache in zip(layers, caches, strict=True):
        layer.update_state(cache)
    return losses, activations[-1]


def forward(layers: list[Any], x: np.ndarray, training: bool = False, seed: Any = (0,)):
    """The activations (x, then the output of each layer), and the cache of each layer."""
    activations, caches = [x], []
    for index, layer in enumerate(layers):
        options = forward_options(layer, training, seed, index)
        y, cache = layer.forward(activations[-1], **options)
        activations.append(y)
        caches.append(cache)
    return activations, caches


def backward(layers: list[Any], caches: list[Any], dy: np.ndarray):
    """(dx, grads) of each layer, by the chain rule, from the gradient dy of the last output."""
    gradients = []
    for layer, cache in zip(reversed(layers), reversed(caches), strict=True):
        dy, grads = layer.backward(dy, cache)
        gradients.insert(0, (dy, grads))
    return gradients
