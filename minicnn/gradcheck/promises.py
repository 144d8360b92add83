"""What training needs of a layer besides right gradients: passes that change nothing.

Each layer is tried on its own, with the inputs that it gets in the network.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.gradcheck.claims import SEED, Checked
from minicnn.layer import asks_for, forward_options

NOT_EQUAL = "two equal forward passes have different outputs"
RELATIVE = 1e-9  # two passes that should be equal may differ by rounding: blocks of BLAS, say


def broken_promises(layers: list[Any], x: np.ndarray, rng: np.random.Generator) -> list[str]:
    """What is wrong with the passes of each layer, in words. Layers may end up changed."""
    found = []
    for index, layer in enumerate(layers):
        trial = _Trial(layer, index, x, rng)
        found += [f"{trial.who}: {words}" for words in trial.complaints()]
        x = trial.y
    return found


def samples_depend_on_each_other(layers: list[Any], x: np.ndarray) -> bool:
    """Whether a batch gives other outputs than its samples one by one; False if unknown."""
    for index, layer in enumerate(layers):
        trial = _Trial(layer, index, x, np.random.default_rng(0))
        if not asks_for(layer, "rng") and not trial.in_parts():
            return True
        x = trial.y
    return False


class _Trial:
    """Passes through one layer; `y`, `dx` and `grads` are those of the first."""

    def __init__(self, layer: Any, index: int, x: np.ndarray, rng: np.random.Generator):
        self.layer, self.index, self.x = layer, index, x
        self.checked = Checked(layer)
        self.who, self.params = self.checked.who, self.checked.params
        self.weights = [weight.copy() for weight in self.params.values()]
        self.given = x.copy()
        self.raw_y, self.cache = self.forward(self.given)
        self.y = self.raw_y.copy()
        self.changed_by_forward = self.weights_changed()
        self.dy = rng.standard_normal(self.y.shape)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        options = forward_options(self.layer, True, SEED, self.index)
        return self.layer.forward(x, **options)

    def backward(self, dy: np.ndarray, cache: Any) -> list[np.ndarray]:
        """Copies of dx and of the gradients of all weights."""
        dx, grads = self.layer.backward(dy, cache)
        return [np.array(each) for each in (dx, *(grads[key] for key in self.params))]

    def weights_changed(self) -> list[str]:
        """The names of weights that are not as they were, which are put back."""
        names = []
        for (name, weight), before in zip(self.params.items(), self.weights, strict=True):
            if not np.array_equal(weight, before):
                names.append(name)
                weight[...] = before
        return names

    def complaints(self) -> Iterator[str]:
        """What is wrong, in words."""
        if self.changed_by_forward:
            names = ", ".join(self.changed_by_forward)
            yield (
                f"forward changes the weights {names}; only the optimizer does: what is not "
                "trained, such as moving averages, belongs in `state`"
            )
        if not np.array_equal(self.given, self.x):
            yield "forward writes into x, which others still need; work on a copy"
        given = self.dy.copy()
        first = self.backward(given, self.cache)
        if not np.array_equal(given, self.dy):
            yield "backward writes into dy, which others still need; work on a copy"
        if names := self.weights_changed():
            yield f"backward changes the weights {', '.join(names)}; only the optimizer does"
        second = self.backward(self.dy.copy(), self.cache)
        self.weights_changed()
        if not same(first, second):
            reason = "backward changes the cache, or keeps something on the layer"
            if any(same([2 * a], [b]) for a, b in zip(first, second, strict=True) if a.any()):
                reason = "gradients are accumulated and never cleared"
            yield f"a second backward pass with the same cache has other gradients: {reason}"
        again, _ = self.forward(self.x.copy())
        if not same([self.y], [again]):
            yield (
                f"{NOT_EQUAL}: it draws random numbers of its own (take a parameter `rng`), or "
                "keeps state from pass to pass"
            )
        self.weights_changed()
        if not self._with_another_pass_between(first):
            yield (
                "after a forward pass of another x, backward has other gradients for the same "
                "cache: what it needs is stored on the layer (self.x, say), it belongs in the "
                "cache; threads run passes at the same time"
            )
        if not np.array_equal(self.y, self.raw_y):
            yield "a later forward pass overwrites the output of an earlier one: an array is reused"
        independent = getattr(self.layer, "samples_are_independent", False)
        if independent and not asks_for(self.layer, "rng") and not self.in_parts():
            yield (
                "samples_are_independent is True, but a batch has other outputs than its parts: "
                "set it to False, so that it gets whole batches"
            )

    def _with_another_pass_between(self, expected: list[np.ndarray]) -> bool:
        """Whether a pass has the same gradients if others run before its backward pass."""
        _, cache = self.forward(self.x.copy())
        reversed_x = self.x.reshape(len(self.x), -1)[::-1, ::-1].reshape(self.x.shape)
        for other in (reversed_x, self.x[:1]):  # of another number of samples, too
            with contextlib.suppress(Exception):  # it may take no such x
                self.forward(other.copy())
        try:
            return same(expected, self.backward(self.dy.copy(), cache))
        except Exception:  # an array on the layer has another shape now, for instance
            return False
        finally:
            self.weights_changed()

    def in_parts(self) -> bool:
        """Whether a batch has the outputs that its samples have one by one, as far as is known."""
        try:
            parts = [self.forward(self.x[i : i + 1].copy())[0].copy() for i in range(len(self.x))]
            return same([self.y], [np.concatenate(parts)])
        except Exception:  # it may take no single samples
            return True
        finally:
            self.weights_changed()


def same(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    """Whether all arrays are equal up to rounding; NaN equals NaN."""
    for a, b in zip(some, others, strict=True):
        if a.shape != b.shape:
            return False
        if a.dtype.kind not in "buif":  # not numbers: the check of gradients says so
            continue
        size = np.abs(a[np.isfinite(a)]).max(initial=0)
        if not np.allclose(a, b, 0, RELATIVE * size, equal_nan=True):
            return False
    return True
