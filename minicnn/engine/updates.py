"""The optimizer's step: gradients of the shards are summed, then the weights updated.

Sums and updates of number-by-number optimizers run in parts on all threads. An optimizer of the
user's own receives whole weights, and runs as its author wrote it.
"""

from typing import Any

import numpy as np

from minicnn.engine import threads
from minicnn.engine.kernels import adam
from minicnn.optimizers import SGD, Adam, Optimizer

MOST_NUMBERS = 1 << 18  # per part: Adam takes about 0.3 ms for these, waking a thread 0.1 ms
# A moment below this is taken for 0: see `kernels.adam`.
SMALLEST = {np.dtype(kind): np.finfo(kind).tiny for kind in (np.float32, np.float64)}

Slices = list[tuple[int, slice]]


def update_weights(
    optimizer: Optimizer, gradients: list[list[np.ndarray]], weights: list[np.ndarray]
) -> None:
    """One step with the sums of several gradients for each weight.

    Parameters
    ----------
    gradients : for each weight, a list of arrays of its shape
        Those of the shards, in order; the sums are made in this order, whatever the threads.
    """
    if type(optimizer).apply is not Optimizer.apply:
        optimizer.apply([_sum(parts) for parts in gradients], weights)
        return
    arrays = optimizer.start_step([parts[0].shape for parts in gradients], weights)
    if not (type(optimizer) in (SGD, Adam) or optimizer.elementwise):
        for parts, own in zip(gradients, arrays, strict=True):
            optimizer.update(_sum(parts), *own)
        return
    update = _adam if type(optimizer) is Adam else _as_written

    def update_part(part: Slices) -> None:
        for index, numbers in part:
            total = _sum([gradient.reshape(-1)[numbers] for gradient in gradients[index]])
            update(optimizer, total, *(array.reshape(-1)[numbers] for array in arrays[index]))

    threads.run(update_part, cut([weight.size for weight in weights]))


def cut(sizes: list[int]) -> list[Slices]:
    """Arrays of those sizes in parts of `MOST_NUMBERS`: (which array, slice) for each piece."""
    found: list[Slices] = [[]]
    room = MOST_NUMBERS
    for index, size in enumerate(sizes):
        start = 0
        while start < size:
            if room == 0:
                found.append([])
                room = MOST_NUMBERS
            stop = min(start + room, size)
            found[-1].append((index, slice(start, stop)))
            room -= stop - start
            start = stop
    return found


def _sum(parts: list[np.ndarray]) -> np.ndarray:
    """The sum in order, in the place of the first where it is an array of our own to write to."""
    total, *others = parts
    if others and not total.flags.writeable:  # a broadcast view, for instance
        total = total.copy()
    for part in others:
        total += part
    return total


def _as_written(optimizer: Optimizer, gradient: np.ndarray, *arrays: np.ndarray) -> None:
    optimizer.update(gradient, *arrays)


def _adam(optimizer: Adam, gradient: np.ndarray, weight: Any, m: Any, v: Any) -> None:
    dtype = weight.dtype
    # As in Keras, 1 - beta is computed in double precision and rounded once.
    settings = 1 - optimizer.beta_1, 1 - optimizer.beta_2, optimizer.epsilon, SMALLEST[dtype]
    numbers = (dtype.type(number) for number in (optimizer.alpha(dtype), *settings))
    adam.adam(weight, np.ascontiguousarray(gradient, dtype), m, v, *numbers)
