"""A plan runs a network with its loss: made once from both, it trains, evaluates and predicts.

It computes what `minicnn.eager.EagerPlan` computes, by fast operations, and over shards of a batch
on several threads wherever the samples are independent of each other.
"""

import contextlib
import functools
import operator
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.eager import without_softmax
from minicnn.engine import interrupts, threads, updates
from minicnn.engine.blas import one_thread
from minicnn.engine.fusion import Segment, segments
from minicnn.engine.kernels import finite, softmax
from minicnn.engine.operations import Operation, Run, activate
from minicnn.layer import Layer
from minicnn.losses import Loss, SparseCategoricalCrossentropy
from minicnn.optimizers import Optimizer
from minicnn.validation import (
    Check,
    not_finite,
    refuse_gradients,
    require_finite,
    usual_float_errors,
)

Seed = tuple[int, ...]
KNOWN_LOSSES = (SparseCategoricalCrossentropy,)


class Gradients(NamedTuple):
    """What one forward and backward pass over a batch gives."""

    losses: np.ndarray  # (n,)
    predictions: np.ndarray  # (n, ...)
    by_weight: list[Any]  # of the mean loss: for each weight one array per shard, as a list or,
    # in training, as a `WeightGradient`
    states: list[tuple[Layer, Any]]  # layers with `state`, and the caches of their passes


class WeightGradient(NamedTuple):
    """The gradient of one weight, as training uses it."""

    parts: list[updates.Gradient]  # their sum is the gradient
    not_finite: list[np.floating]  # numbers in the parts


class Plan:
    """Runs a network on the engine. The methods are those of `EagerPlan`.

    While it is used as a context, BLAS is held to one thread, and signals wait for the end of a
    step: `with plan: ...` around the steps of an epoch.

    Parameters
    ----------
    layers : list of Layer
        Built.
    loss : Loss or None
        None if the plan only predicts.

    Attributes
    ----------
    segments : list of Segment
        The operations that compute the layers, in order.
    """

    def __init__(self, layers: list[Layer], loss: Loss | None = None):
        self.layers, self.loss = without_softmax(layers, loss)
        self._last_activation = "linear" if self.layers is layers else "softmax"
        self.segments = segments(self.layers)
        # A known loss is computed in the shards of the last segment; a loss of the user's own gets
        # whole batches, unless it says that its samples are independent.
        self._loss_in_shards = type(loss) in KNOWN_LOSSES or getattr(
            loss, "samples_are_independent", False
        )
        last_in_shards = self.segments[-1].in_shards if self.segments else self._loss_in_shards
        joined = self.segments and last_in_shards == self._loss_in_shards
        self._last = self.segments[-1] if joined else Segment([], self._loss_in_shards)
        self._first = self.segments[:-1] if joined else self.segments
        self._context = contextlib.ExitStack()

    def __enter__(self) -> "Plan":
        self._context.enter_context(interrupts.Deferred())
        self._context.enter_context(one_thread)
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    @usual_float_errors
    def train(
        self, optimizer: Optimizer, x: np.ndarray, y_true: np.ndarray, seed: Seed
    ) -> tuple[np.ndarray, np.ndarray]:
        """One step of `optimizer`; returns losses (n,) and predictions (n, ...) from before it.

        Raises
        ------
        FloatingPointError
            If the loss of a sample, or a gradient, is NaN or infinite; the step is not taken then.
        """
        found = self._gradients(x, y_true, seed, training=True)
        require_finite(found.losses)
        weights = [(layer, key) for layer in self.layers for key in layer.params]
        parts, trained = [], []
        for gradient, (layer, key) in zip(found.by_weight, weights, strict=True):
            if layer.trainable:
                penalties = layer.penalty_gradients(key)
                refuse_gradients(gradient.not_finite + not_finite(penalties))
                parts.append([*gradient.parts, *penalties])
                trained.append(layer.params[key])
        updates.update_weights(optimizer, parts, trained)
        for layer, cache in found.states:
            layer.update_state(cache)
        interrupts.act()
        return found.losses, found.predictions

    @usual_float_errors
    def evaluate(self, x: np.ndarray, y_true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Losses (n,) and predictions (n, ...) of one batch; nothing is learned."""
        outputs = self._outputs(x)
        losses, _ = self.losses_and_gradient(y_true, outputs)
        predictions = activate(self._last_activation, outputs)
        interrupts.act()
        return losses, predictions

    @usual_float_errors
    def predict(self, x: np.ndarray) -> np.ndarray:
        """The output of the last layer for a batch of at least one sample."""
        outputs = activate(self._last_activation, self._outputs(x))
        interrupts.act()
        return outputs

    def predict_on_batch(self, x: np.ndarray) -> np.ndarray:
        """`predict` by itself, not in a context; one shard does not need one, which takes time."""
        if len(x) <= threads.USUAL_SHARD:
            return self.predict(x)
        # Not `with self`: this plan may be kept (`plan_to_predict`) and in use by several threads.
        with interrupts.Deferred(), one_thread:
            return self.predict(x)

    @usual_float_errors
    def gradients(
        self, x: np.ndarray, y_true: np.ndarray, seed: Seed = (0,), training: bool = True
    ) -> Gradients:
        """One forward and backward pass over a batch, without an update."""
        found = self._gradients(x, y_true, seed, training)
        return found._replace(by_weight=_arrays(found.by_weight))

    def _gradients(
        self, x: np.ndarray, y_true: np.ndarray, seed: Seed, training: bool
    ) -> Gradients:
        """`gradients`, with a `WeightGradient` for each weight."""
        self._prepare()
        tapes = []
        for segment in self._first:
            x, tape = self._forward(segment, x, training, seed)
            tapes.append(tape)

        def last_segment(shard: slice) -> Any:
            y, caches = _forward(self._last.operations, x[shard], Run(training, seed, shard.start))
            losses, dy = self.losses_and_gradient(y_true[shard], y)
            # The loss of a batch is the mean over all its samples.
            dx, grads = _backward(self._last.operations, caches, dy / len(x), is_first=not tapes)
            return losses, activate(self._last_activation, y), caches, dx, _checked(grads)

        results = self._run(last_segment, self._last.in_shards, len(x))
        losses, predictions, caches, dxs, grads = zip(*results, strict=True)
        by_weight = _by_weight(grads)
        states = _with_state(self._last.operations, caches)
        if tapes:
            _, earlier = self._backward(tapes, np.concatenate(dxs))
            by_weight = earlier + by_weight
            for segment, tape in zip(self._first, tapes, strict=True):
                states += _with_state(segment.operations, tape)
        return Gradients(np.concatenate(losses), np.concatenate(predictions), by_weight, states)

    @usual_float_errors
    def passes(
        self, x: np.ndarray, dy: np.ndarray, training: bool = False, seed: Seed = (0,)
    ) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """A forward pass, and a backward pass from the gradient dy (n, ...) of its output.

        Returns
        -------
        y, dx, gradients : the output, the gradient of the input, and of each weight
        """
        self._prepare()
        tapes = []
        for segment in self.segments:
            x, tape = self._forward(segment, x, training, seed)
            tapes.append(tape)
        dx, by_weight = self._backward(tapes, dy, with_dx=True)
        return x, dx, [sum(parts) for parts in _arrays(by_weight)]

    def _prepare(self) -> None:
        for segment in self.segments:
            for operation in segment.operations:
                operation.prepare()

    def losses_and_gradient(self, y_true: Any, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The loss of each sample (n,), and its gradient with respect to the last output y."""
        if type(self.loss) in KNOWN_LOSSES and self.loss.from_logits:
            return softmax.cross_entropy(y_true, y)
        losses, dy = self.loss.losses_and_gradient(y_true, y)
        # Of a loss of the user's own it may have any dtype and layout, which kernels do not check.
        return losses, Check(type(self.loss).__name__).gradient(dy, y)

    def _outputs(self, x: np.ndarray) -> np.ndarray:
        """The output of the last layer, outside of training."""
        self._prepare()
        for segment in self.segments:
            outputs = functools.partial(_outputs, segment.operations, x)
            shards = self._shards(segment.in_shards, len(x), threads.USUAL_SHARD)
            parts = threads.run(outputs, shards)
            x = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return x

    def _forward(
        self, segment: Segment, x: np.ndarray, training: bool, seed: Seed
    ) -> tuple[np.ndarray, list[Any]]:
        """The output of a segment, and for each shard the caches of its operations."""

        def forward(shard: slice) -> tuple[np.ndarray, list[Any]]:
            return _forward(segment.operations, x[shard], Run(training, seed, shard.start))

        outputs, tape = zip(*self._run(forward, segment.in_shards, len(x)), strict=True)
        return np.concatenate(outputs), list(tape)

    def _backward(self, tapes: list[Any], dy: np.ndarray, with_dx: bool = False) -> Any:
        """dx, and the gradients by weight, of the first segments: those that there are tapes of."""
        by_weight: list[WeightGradient] = []
        for place in reversed(range(len(tapes))):
            is_first = place == 0 and not with_dx
            dy, own = self._segment_backward(self.segments[place], tapes[place], dy, is_first)
            by_weight = own + by_weight
        return dy, by_weight

    def _segment_backward(
        self, segment: Segment, tape: list[Any], dy: np.ndarray, is_first: bool
    ) -> tuple[Any, list[WeightGradient]]:
        def backward(part: tuple[slice, Any]) -> Any:
            shard, caches = part
            dx, grads = _backward(segment.operations, caches, dy[shard], is_first)
            return dx, _checked(grads)

        shards = self._shards(segment.in_shards, len(dy))
        results = threads.run(backward, list(zip(shards, tape, strict=True)))
        dxs, grads = zip(*results, strict=True)
        return None if is_first else np.concatenate(dxs), _by_weight(grads)

    def _run(self, function: Callable[[slice], Any], in_shards: bool, n: int) -> list[Any]:
        return threads.run(function, self._shards(in_shards, n))

    @staticmethod
    def _shards(in_shards: bool, n: int, smallest: int = threads.SMALLEST_SHARD) -> list[slice]:
        return threads.cut(n, smallest) if in_shards else [slice(0, n)]


# For each model: its layers and all their attributes, and the plan that was made from them.
_plans: "weakref.WeakKeyDictionary[Any, tuple[list[Any], Plan]]" = weakref.WeakKeyDictionary()


def plan_to_predict(model: Any) -> Plan:
    """The plan of before, unless a layer of the model was replaced or one of its attributes set.

    For single images: making a plan takes a sixth of the time of predicting one.
    """
    found = list(model.layers)
    for layer in model.layers:
        found += vars(layer).values()
    made_from, plan = _plans.get(model, ([], None))
    if len(found) != len(made_from) or not all(map(operator.is_, found, made_from)):
        plan = Plan(model.layers)
        _plans[model] = found, plan
    return plan


def _outputs(operations: list[Operation], x: np.ndarray, shard: slice) -> np.ndarray:
    """The output of some operations for a shard, without their caches: memory is freed at once."""
    y, run = x[shard], Run(False, (0,), shard.start)
    for operation in operations:
        y, _ = operation.forward(y, run)
    return y


def _forward(operations: list[Operation], x: np.ndarray, run: Run) -> tuple[np.ndarray, list[Any]]:
    """The output of some operations, and their caches."""
    caches = []
    for operation in operations:
        x, cache = operation.forward(x, run)
        caches.append(cache)
    return x, caches


def _backward(
    operations: list[Operation], caches: list[Any], dy: np.ndarray, is_first: bool
) -> tuple[Any, list[np.ndarray]]:
    """dx, which the first operation of a network need not compute, and the weights' gradients."""
    grads: list[np.ndarray] = []
    for place in reversed(range(len(operations))):
        if place == 0 and is_first:
            return None, operations[0].weight_gradients(dy, caches[0]) + grads
        dy, own = operations[place].backward(dy, caches[place])
        grads[:0] = own
    return dy, grads


def _checked(grads: list[updates.Gradient]) -> list[tuple[updates.Gradient, list[np.floating]]]:
    """The gradients of a shard, each with its numbers that are not finite.

    They are looked for here because all threads are at work, and gradients still in the cache.
    """
    return [(gradient, _not_finite(gradient)) for gradient in grads]


def _not_finite(gradient: updates.Gradient) -> list[np.floating]:
    arrays = updates.factors(gradient)
    if all(finite.all_finite(array.reshape(-1)) for array in arrays):
        return []
    return not_finite(arrays)


def _by_weight(checked_of_shards: Any) -> list[WeightGradient]:
    found = []
    for checked in zip(*checked_of_shards, strict=True):
        parts, numbers = zip(*checked, strict=True)
        all_numbers = [number for of_shard in numbers for number in of_shard]
        found.append(WeightGradient(updates.joined(list(parts)), all_numbers))
    return found


def _arrays(by_weight: list[WeightGradient]) -> list[list[np.ndarray]]:
    return [updates.arrays(gradient.parts) for gradient in by_weight]


def _with_state(operations: list[Operation], caches_of_shards: Any) -> list[tuple[Layer, Any]]:
    """Layers with `state`, which always get whole batches, and the caches of their passes."""
    return [
        (operation.layer, cache)
        for operation, cache in zip(operations, caches_of_shards[0], strict=True)
        if operation.layer.state
    ]
