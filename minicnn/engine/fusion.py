"""Which layers are fused, and why; what runs as it is written.

A convolution and the max pooling after it are computed together, if the activation between them
only raises values to a floor: the larger of two numbers is the same one before and after ReLU, so
the activation is applied to a quarter of the numbers, with the same result to the bit. Where ReLU
has made all values of a window zero, no gradient passes in either order.

A layer is only replaced by a fast operation if the engine knows its exact type and its activation.
A layer or an activation of the user's own, or a subclass, runs as its author wrote it.
"""

import itertools
from typing import NamedTuple

from minicnn import layers as built_in
from minicnn.engine import operations as fast
from minicnn.layer import Layer

OPERATIONS = {
    built_in.Conv2D: fast.Convolution,
    built_in.MaxPooling2D: fast.MaxPooling,
    built_in.Dense: fast.Dense,
    built_in.Flatten: fast.Flatten,
    built_in.Dropout: fast.Dropout,
    built_in.Activation: fast.ElementwiseActivation,
    built_in.ReLU: fast.ElementwiseActivation,
    built_in.Softmax: fast.ElementwiseActivation,
}


class Segment(NamedTuple):
    """Consecutive operations that all take shards of a batch, or that all take whole batches."""

    operations: list[fast.Operation]
    in_shards: bool


def segments(layers: list[Layer]) -> list[Segment]:
    """The operations that compute `layers`, fused where possible, in segments."""
    operations = fused([operation(layer, index) for index, layer in enumerate(layers)])
    groups = itertools.groupby(operations, key=lambda operation: operation.in_shards)
    return [Segment(list(members), in_shards) for in_shards, members in groups]


def operation(layer: Layer, index: int) -> fast.Operation:
    """The fast counterpart of a layer, or the layer as it is written."""
    known = type(layer) in OPERATIONS and fast.knows_activation(layer)
    return OPERATIONS[type(layer)](layer, index) if known else fast.AsWritten(layer, index)


def fused(operations: list[fast.Operation]) -> list[fast.Operation]:
    """The same operations, with each convolution and the max pooling after it in one."""
    found: list[fast.Operation] = []
    for operation in operations:
        before = found[-1] if found else None
        if (
            type(operation) is fast.MaxPooling
            and type(before) is fast.Convolution
            and before.floor is not None
        ):
            found[-1] = fast.PooledConvolution(before, operation)
        else:
            found.append(operation)
    return found
