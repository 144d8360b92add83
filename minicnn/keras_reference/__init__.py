"""The Keras twin of a model: from minicnn to Keras, from Keras to minicnn, and the two compared.

    twin = to_keras(model)              same weights, optimizer state and step count
    model = from_keras(twin)
    print(compare(model, x, labels))    every output and every gradient, layer by layer

TensorFlow is imported when one of these is called, and never by `import minicnn`.
"""

from minicnn.keras_reference.comparison import (
    Comparison,
    Difference,
    compare,
    difference,
    layer_pass,
)
from minicnn.keras_reference.from_keras import from_keras
from minicnn.keras_reference.keras_side import (
    OPTIMIZER_ARGUMENTS,
    new_keras_optimizer,
    precision,
    require_keras,
)
from minicnn.keras_reference.to_keras import to_keras

__all__ = [
    "OPTIMIZER_ARGUMENTS",
    "Comparison",
    "Difference",
    "compare",
    "difference",
    "from_keras",
    "layer_pass",
    "new_keras_optimizer",
    "precision",
    "require_keras",
    "to_keras",
]
