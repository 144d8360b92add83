"""The Keras twin of a model: from minicnn to Keras, from Keras to minicnn, and the two compared.

    twin = to_keras(model)              same weights, optimizer state and step count
    model = from_keras(twin)
    print(compare(model, x, labels))    every output and every gradient, layer by layer

And code of your own beside Keras', in one call that is a test, too:

    compare_layers(MyConv(4, 3), keras.layers.Conv2D(4, 3), input_shape=(None, None, 2)).assert_ok()
    compare_functions(forward, backward, lambda x, w, b: x @ w + b, x, w, b).assert_ok()

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
from minicnn.keras_reference.function_comparison import compare_functions
from minicnn.keras_reference.keras_side import (
    OPTIMIZER_ARGUMENTS,
    new_keras_optimizer,
    precision,
    require_keras,
)
from minicnn.keras_reference.layer_comparison import compare_layers
from minicnn.keras_reference.side_by_side import SideBySide
from minicnn.keras_reference.to_keras import arguments_of, to_keras

__all__ = [
    "OPTIMIZER_ARGUMENTS",
    "Comparison",
    "Difference",
    "SideBySide",
    "arguments_of",
    "compare",
    "compare_functions",
    "compare_layers",
    "difference",
    "from_keras",
    "layer_pass",
    "new_keras_optimizer",
    "precision",
    "require_keras",
    "to_keras",
]
