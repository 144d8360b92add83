"""A plan runs a network with its loss. This one runs the code of the layers as it is written.

`minicnn.engine.Plan` has the same methods and is what `fit`, `evaluate` and `predict` use unless
the model was compiled with `run_eagerly=True`.
"""

import copy
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from minicnn.activations import ACTIVATIONS
from minicnn.layer import Layer
from minicnn.layers import Activation, Dense, Softmax
from minicnn.losses import CROSS_ENTROPIES, Loss, WeightedLoss
from minicnn.optimizers import Optimizer
from minicnn.step import forward, train_step
from minicnn.validation import Check, usual_float_errors

Results = tuple[np.ndarray, np.ndarray]


def without_softmax(layers: list[Layer], loss: Loss | None) -> tuple[list[Layer], Loss | None]:
    """`layers` and `loss`, with a softmax between the two moved into the loss.

    The cross-entropy is then computed from logits, where it cannot overflow and nothing is clipped,
    as Keras does under TensorFlow. Layers and losses of the user's own stay as they are.
    """
    last = layers[-1]
    if type(loss) is WeightedLoss:
        layers, own = without_softmax(layers, loss.loss)
        return layers, WeightedLoss(own, loss.weigh)
    if (
        type(loss) not in CROSS_ENTROPIES
        or type(last) not in (Activation, Dense, Softmax)
        or last.activation != ACTIVATIONS["softmax"]
    ):
        return layers, loss
    if loss.from_logits:
        Check("fit").warn_of_softmax(loss.name)
    logits = []
    if type(last) is Dense:
        logits = [copy.copy(last)]  # shares the weights
        logits[0].activation = ACTIVATIONS["linear"]
    return [*layers[:-1], *logits], type(loss)(True, loss.name)


class EagerPlan(AbstractContextManager):
    """Runs layers and a loss (None for predicting only) as they are written, in one thread.

    Ctrl-C acts at once, as in any Python program, even in the middle of an update.
    """

    def __init__(self, layers: list[Layer], loss: Loss | None = None):
        self.layers, self.loss = without_softmax(layers, loss)
        self._last_activation = ACTIVATIONS["linear" if self.layers is layers else "softmax"]

    def __exit__(self, *_error: Any) -> None:
        pass

    @usual_float_errors
    def train(self, optimizer: Optimizer, x: np.ndarray, y_true: np.ndarray, seed: Any) -> Results:
        """One step of `optimizer`; returns losses (n,) and predictions (n, ...) from before it."""
        losses, outputs = train_step(self.layers, self.loss, optimizer, x, y_true, seed)
        return losses, self._last_activation.forward(outputs)

    @usual_float_errors
    def evaluate(self, x: np.ndarray, y_true: np.ndarray) -> Results:
        """Losses (n,) and predictions (n, ...) of one batch; nothing is learned."""
        outputs = forward(self.layers, x)[0][-1]
        losses, _ = self.loss.losses_and_gradient(y_true, outputs)
        return losses, self._last_activation.forward(outputs)

    @usual_float_errors
    def predict(self, x: np.ndarray) -> np.ndarray:
        """The output of the last layer for a batch of at least one sample."""
        return self._last_activation.forward(forward(self.layers, x)[0][-1])

    predict_on_batch = predict
