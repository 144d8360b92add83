"""Keras' functional style, for chains: `x = Conv2D(8, 3)(inputs)`, then `Model(inputs, x)`.

A `KerasTensor` stands for what a layer will compute. It remembers the layers that lead to it, which
is all that a chain needs.
"""

import copy
from typing import Any

from minicnn import layers
from minicnn.layer import Layer
from minicnn.validation import Check


class KerasTensor(layers.Input):
    """A symbolic array: its shape, and the layers between the model's input and it.

    Attributes
    ----------
    shape : tuple
        With None for the number of samples, as in Keras.
    layers : tuple of Layer
    """

    def __init__(self, shape: tuple[int, ...], name: str | None = None):
        self.sample_shape = self.start_shape = Check("Input").shape(shape, "shape")
        self.name = name
        self.layers: tuple[Layer, ...] = ()

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (None, *self.sample_shape)

    def followed_by(self, layer: Layer) -> "KerasTensor":
        """What calling `layer` on it returns."""
        output = copy.copy(self)
        output.sample_shape = layer.output_shape(self.sample_shape)
        output.layers = (*self.layers, layer)
        return output

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}>"


def Input(  # noqa: N802
    shape: Any = None, batch_size: int | None = None, dtype: Any = None, name: str | None = None
) -> KerasTensor:
    """The input of a model: the shape of one sample, without the axis of the samples.

    `batch_size` and `dtype` are accepted as in Keras; batches may have any size all the same, and
    the arithmetic is that of the model's `dtype`.
    """
    return KerasTensor(shape, name)


def chain_between(start: Any, end: Any, who: str) -> tuple[Layer, ...]:
    """The layers that lead from one KerasTensor to the other."""
    for each in (start, end):
        if not isinstance(each, KerasTensor):
            raise TypeError(
                f"{who}: inputs and outputs must be what Input and calls of layers return, "
                f"received {each!r}; {LIMIT}"
            )
    done = len(start.layers)
    if end.layers[:done] != start.layers or start.start_shape != end.start_shape:
        raise ValueError(f"{who}: expected outputs that were computed from the inputs; {LIMIT}")
    return end.layers[done:]


LIMIT = "models of minicnn are chains of layers: one input, no branches"
