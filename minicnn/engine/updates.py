"""The optimizer's step: gradients of the shards are summed, then the weights updated.

Sums and updates of number-by-number optimizers run in parts on all threads. An optimizer of the
user's own receives whole weights, and runs as its author wrote it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minicnn.engine import threads
from minicnn.engine.kernels import adam, dense
from minicnn.optimizers import SGD, Adam, Optimizer

# Numbers in a part. Another thread needs some 40 us to wake up, and then waits for the GIL before
# each call, so parts are large, and of few weights. The tutorial's network has two: the 200,704
# numbers of its large dense kernel, and all others. In four parts it took longer than in one.
MOST_NUMBERS = 220_000
# A moment below this is taken for 0: see `kernels.adam`.
SMALLEST = {np.dtype(kind): np.finfo(kind).tiny for kind in (np.float32, np.float64)}

Slices = list[tuple[int, slice]]


class Product(NamedTuple):
    """The gradient x' @ dz of a dense kernel, which is computed where it is needed.

    It has many more numbers than x (n, inputs) and dz (n, units). So it is made once for a whole
    batch instead of for each shard, part by part where weights are updated in parts.
    """

    x: np.ndarray
    dz: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.x.shape[1], self.dz.shape[1]

    def array(self) -> np.ndarray:
        """The whole gradient."""
        return dense.grad_kernel(self.x, self.dz, 0, self.x.shape[1])

    def numbers(self, part: slice) -> np.ndarray:
        """Some numbers of the flat gradient."""
        units = self.dz.shape[1]
        first, last = part.start // units, -(-part.stop // units)
        rows = dense.grad_kernel(self.x, self.dz, first, last).reshape(-1)
        return rows[part.start - first * units : part.stop - first * units]


Gradient = np.ndarray | Product


def joined(parts: list[Gradient]) -> list[Gradient]:
    """The gradients of one weight by the shards of a batch; products become one for the batch."""
    if len(parts) == 1 or not isinstance(parts[0], Product):
        return parts
    return [Product(*map(np.concatenate, zip(*parts, strict=True)))]


def update_weights(
    optimizer: Optimizer, gradients: list[list[Gradient]], weights: list[np.ndarray]
) -> None:
    """One step with the sums of several gradients for each weight.

    Parameters
    ----------
    gradients : for each weight, a list of gradients of its shape
        Those of the shards, in order; the sums are made in this order, whatever the threads.
    """
    if type(optimizer).apply is not Optimizer.apply:
        optimizer.apply([_sum(arrays(parts)) for parts in gradients], weights)
        return
    own_arrays = optimizer.start_step([parts[0].shape for parts in gradients], weights)
    if not (type(optimizer) in (SGD, Adam) or optimizer.elementwise):
        for parts, own in zip(gradients, own_arrays, strict=True):
            optimizer.update(_sum(arrays(parts)), *own)
        return
    update = _adam(optimizer) if type(optimizer) is Adam else optimizer.update
    flat = [[array.reshape(-1) for array in arrays] for arrays in own_arrays]

    def update_part(part: Slices) -> None:
        for index, numbers in part:
            total = _sum([_numbers(gradient, numbers) for gradient in gradients[index]])
            update(total, *[array[numbers] for array in flat[index]])

    threads.run(update_part, cut([weight.size for weight in weights]))


def cut(sizes: list[int]) -> list[Slices]:
    """Arrays of those sizes in parts: (which array, slice) for each piece.

    The largest come first, and a part has at most `MOST_NUMBERS`. An array that does not fit into
    the rest of a part begins another one.
    """
    found: list[Slices] = [[]]
    room = MOST_NUMBERS
    for index in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
        start, size = 0, sizes[index]
        while start < size:
            if room < min(size - start, MOST_NUMBERS):
                found.append([])
                room = MOST_NUMBERS
            stop = min(start + room, size)
            found[-1].append((index, slice(start, stop)))
            room -= stop - start
            start = stop
    return found


def arrays(parts: list[Gradient]) -> list[np.ndarray]:
    """The same gradients, with the products computed."""
    return [part.array() if isinstance(part, Product) else part for part in parts]


def factors(gradient: Gradient) -> Sequence[np.ndarray]:
    """The arrays that a gradient consists of: itself, or the two factors of a product."""
    return gradient if isinstance(gradient, Product) else [gradient]


def _numbers(gradient: Gradient, part: slice) -> np.ndarray:
    if isinstance(gradient, Product):
        return gradient.numbers(part)
    return gradient.reshape(-1)[part]


def _sum(parts: list[np.ndarray]) -> np.ndarray:
    """The sum in order, in the place of the first where it is an array of our own to write to."""
    total, *others = parts
    if others and not total.flags.writeable:  # a broadcast view, for instance
        total = total.copy()
    for part in others:
        total += part
    return total


def _adam(optimizer: Adam) -> Callable[..., None]:
    """`optimizer.update` by the kernel; what does not depend on the weight is computed once."""

    @functools.cache
    def settings(dtype: np.dtype) -> list[np.floating]:
        # As in Keras, 1 - beta is computed in double precision and rounded once.
        rates = optimizer.alpha(dtype), 1 - optimizer.beta_1, 1 - optimizer.beta_2
        return [dtype.type(number) for number in (*rates, optimizer.epsilon, SMALLEST[dtype])]

    def update(gradient: np.ndarray, weight: np.ndarray, m: np.ndarray, v: np.ndarray) -> None:
        gradient = np.ascontiguousarray(gradient, weight.dtype)
        adam.adam(weight, gradient, m, v, *settings(weight.dtype))

    return update
