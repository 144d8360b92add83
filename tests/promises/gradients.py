"""Promise 3: gradients of small random networks equal central differences."""

from typing import Any

import numpy as np

from minicnn import Input, Sequential
from minicnn.gradcheck import check_gradients
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU
from minicnn.losses import SparseCategoricalCrossentropy
from tests.promises import Outcome

NETWORKS = 70


def numerical_gradients(share: float = 1) -> Outcome:
    """3: every parameter of small random networks, by the loss and by the outputs."""
    numbers = range(max(2, round(share * NETWORKS)))
    rows, missing = [], 0
    for number in numbers:
        rng = np.random.default_rng([5, number])
        model, x, labels = random_network(rng)
        by_loss = check_gradients(model, x, labels, rng=rng).rows
        by_outputs = check_gradients(model, x, rng=rng).rows
        names = [f"{layer.name}.{key}" for layer in model.layers for key in layer.params]
        missing += [row.name for row in by_loss] != names
        missing += [row.name for row in by_outputs] != ["dx", *names]
        rows += [*by_loss, *by_outputs]
    failures = sum(not row.ok for row in rows) + missing
    skipped = sum(row.skipped for row in rows)
    figure = (
        f"{len(numbers)} networks, {sum(row.checked for row in rows):,} derivatives: {failures} of "
        f"{len(rows)} gradients wrong, {skipped} derivatives skipped at kinks, worst relative "
        f"error {max(row.error for row in rows):.1e}"
    )
    return Outcome(failures == 0 and skipped == 0, figure)


def random_network(rng: np.random.Generator) -> tuple[Sequential, np.ndarray, Any]:
    """A small compiled model with random weights, images and labels; scores are around 1."""
    h, w, c, classes = (int(size) for size in rng.integers([5, 5, 1, 2], [8, 8, 3, 5]))
    layers = [
        Conv2D(
            int(rng.integers(1, 4)),
            [int(side) for side in rng.integers(1, 4, 2)],
            strides=[int(stride) for stride in rng.integers(1, 3, 2)],
            padding="same",
            activation=(None, "relu")[rng.integers(2)],
        ),
        MaxPooling2D(2, padding=("valid", "same")[rng.integers(2)]),
    ]
    if rng.integers(2):
        layers += [Conv2D(2, 3, padding="same", use_bias=False), ReLU()]
    layers.append(Flatten())
    if rng.integers(2):
        layers.append(Dense(3, activation="relu"))
    layers.append(Dense(classes, activation=(None, "softmax")[rng.integers(2)]))
    model = Sequential([Input((h, w, c)), *layers], dtype="float64")
    # Kernels as at the start of training, but biases other than 0.
    model.set_weights([rng.standard_normal(v.shape) * 0.3 + v for v in model.get_weights()])
    from_logits = layers[-1].activation.name != "softmax"
    model.compile("sgd", SparseCategoricalCrossentropy(from_logits))
    images = int(rng.integers(1, 4))
    return model, rng.standard_normal((images, h, w, c)), rng.integers(0, classes, images)
