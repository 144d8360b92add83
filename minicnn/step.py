"""One step of training: a batch in shards, every shard there and back on a thread, then the sums.

Several machines would do the same: each takes its shards, and the gradients are added up.
"""

import numpy as np

from minicnn import parallel
from minicnn.layer import Layer
from minicnn.objective import Objective
from minicnn.optimizers import Optimizer


def train_step(
    goal: Objective, optimizer: Optimizer, x: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One step of `optimizer` on one batch; returns losses (n,) and predictions (n, classes).

    Raises
    ------
    FloatingPointError
        If the loss of a sample is NaN or infinite; the step is not taken then.
    """
    with parallel.blas_on_one_thread():  # once, as it takes its time
        ready = goal._replace(layers=prepared(goal.layers))
        results = parallel.run(
            lambda shard: loss_and_gradients(ready, x[shard], labels[shard], len(x)),
            parallel.cut(len(x)),
        )
        losses, predictions, gradients = zip(*results, strict=True)
        losses = require_finite(np.concatenate(losses))
        weights = [weight for layer in goal.layers for weight in layer.params.values()]
        optimizer.apply_sum(list(gradients), weights)
    return losses, np.concatenate(predictions)


def require_finite(losses: np.ndarray) -> np.ndarray:
    """`losses` (n,), unless one is NaN or infinite: its gradients would end up in all weights."""
    wrong = losses[~np.isfinite(losses)]
    if len(wrong):
        raise FloatingPointError(
            f"the loss of {len(wrong)} of {len(losses)} samples is not finite but {wrong[0]}; this "
            "step was not taken, and the weights are those of before. Is there NaN or infinity in "
            "the samples? If not, training has diverged: a lower learning rate may help"
        )
    return losses


def loss_and_gradients(
    goal: Objective, x: np.ndarray, labels: np.ndarray, batch_size: int
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """There and back through the layers with one shard of a batch of `batch_size`.

    Returns
    -------
    losses : (samples,) float64
    predictions : (samples, classes)
    gradients : list
        Of the batch's mean loss, as far as these samples have a part in it; one for each weight.
    """
    caches = []
    for layer in goal.layers:
        x, cache = layer.forward(x)
        caches.append(cache)
    losses, dy = goal.loss.losses_and_gradient(labels, x)
    predictions = goal.predictions(x)

    dy /= batch_size  # the loss of a batch is the mean over all its samples
    first, *others = zip(goal.layers, caches, strict=True)
    gradients: list[np.ndarray] = []
    for layer, cache in reversed(others):
        dy, grads = layer.backward(dy, cache)
        gradients[:0] = (grads[key] for key in layer.params)
    layer, cache = first
    grads = layer.weight_gradients(dy, cache)
    gradients[:0] = (grads[key] for key in layer.params)
    return losses, predictions, gradients


def evaluate_step(
    goal: Objective, x: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Losses (n,) and predictions (n, classes) of one batch; nothing is learned."""
    outputs = forward(goal.layers, x)
    losses, _ = goal.loss.losses_and_gradient(labels, outputs)
    return losses, goal.predictions(outputs)


def forward(layers: list[Layer], x: np.ndarray) -> np.ndarray:
    """Output of the last layer for a batch of at least one sample."""

    def shard_forward(shard: slice) -> np.ndarray:
        y = x[shard]
        for layer in layers:
            y, _ = layer.forward(y)
        return y

    return np.concatenate(parallel.run(shard_forward, parallel.cut(len(x))))


def prepared(layers: list[Layer]) -> list[Layer]:
    """The layers for passes with their present weights: see `Layer.prepared`."""
    return [layer.prepared() for layer in layers]
