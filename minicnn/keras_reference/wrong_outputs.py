"""What a wrong output of a layer would need to be Keras', in words."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.gradcheck.mistakes import alike
from minicnn.layer import forward_options

# What a layer might do with its weights, if its output is Keras' with another one of these.
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "its kernel is flipped in height and width (convolution, where Keras correlates)": (
        lambda kernel: kernel[::-1, ::-1]
    ),
    "height and width of its kernel are exchanged": lambda kernel: kernel.swapaxes(0, 1),
    "inputs and outputs of its kernel are exchanged": lambda kernel: kernel.swapaxes(-1, -2),
}


def explain_output(found: Any, layer: Any, x: np.ndarray, right: np.ndarray) -> None:
    """What a wrong output would need, in words: another layout, or padding on the other side."""
    if not found.wrong or found.mistake:
        return
    kernels = {n: w for n, w in getattr(layer, "params", {}).items() if w.ndim > 1}
    for words, change in LAYOUTS.items():
        for name, kernel in kernels.items():
            changed = change(kernel)
            if changed.shape == kernel.shape and alike(_output(layer, x, name, changed), right):
                found.mistake = words
                return
    if x.ndim == 4:
        for name, kernel in [*kernels.items(), ("", x)]:
            flipped = kernel[::-1, ::-1] if name else None
            y = _output(layer, x[:, ::-1, ::-1], name, flipped)
            if y.ndim == 4 and alike(y[:, ::-1, ::-1], right):
                found.mistake = 'padding on the other side: with "same", the odd cell comes last'
                return


def _output(layer: Any, x: np.ndarray, name: str, weight: np.ndarray | None) -> np.ndarray:
    """The output in inference with one weight replaced."""
    own = layer.params[name].copy() if name else None
    try:
        if name:
            layer.params[name][...] = weight
        return np.array(layer.forward(x.copy(), **forward_options(layer, False, (0,), 0))[0])
    except Exception:  # another layout does not even run
        return np.empty(0)
    finally:
        if name:
            layer.params[name][...] = own
