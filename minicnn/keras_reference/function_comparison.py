"""`compare_functions`: plain NumPy functions beside a Keras layer or a TensorFlow function."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.keras_reference.keras_side import precision, require_keras
from minicnn.keras_reference.own_parts import fresh
from minicnn.keras_reference.side_by_side import SideBySide, name_of
from minicnn.validation import Check


def compare_functions(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    theirs: Any,
    *arrays: Any,
    tolerance: float | None = None,
    rng: np.random.Generator | None = None,
) -> SideBySide:
    """Output and gradients of two NumPy functions, beside TensorFlow's on the same numbers.

    Parameters
    ----------
    forward : callable
        forward(x, w, b, ...) -> (y, cache). Options are bound with `functools.partial`, or a
        lambda: `lambda x, w, b: conv_forward(x, w, b, {"stride": 1, "pad": 1})`.
    backward : callable
        backward(dy, cache) -> gradients, one for each of `arrays` in their order, or a dict of them
        by the names that `forward` has for its arguments. None for one that is not computed.
    theirs : callable or keras.layers.Layer
        A function of as many tensors, whose gradients TensorFlow finds; other axes, channels first
        for instance, are transposed in it. Or a Keras layer: its input is the first array, its
        weights are the others.
    *arrays : arrays
        All of float64, or all of float32.
    tolerance : float, optional
        As in `compare_layers`.
    rng : numpy.random.Generator, optional
        Draws dy; always the same by default.

    Returns
    -------
    SideBySide
        Print it, ask `.ok`, or call `.assert_ok()` in a test.

    Raises
    ------
    ImportError
        Without TensorFlow.
    TypeError, ValueError
        If there are other numbers of arrays, gradients or weights, or other shapes.

    Examples
    --------
    >>> compare_functions(  # doctest: +SKIP
    ...     affine_forward, affine_backward, lambda x, w, b: x @ w + b, x, w, b
    ... ).assert_ok()
    """
    keras, check = require_keras(), Check("compare_functions")
    given = [check.real_array(array, f"array {i}") for i, array in enumerate(arrays)]
    dtypes = sorted({array.dtype.name for array in given})
    if len(dtypes) != 1 or dtypes[0] not in ("float32", "float64"):
        raise TypeError(
            f"compare_functions: expected arrays of float64 or of float32, received {dtypes}"
        )
    rng = np.random.default_rng(0) if rng is None else rng
    names = _names(forward, len(given))
    report = SideBySide(name_of(forward), name_of(theirs))
    before = [array.copy() for array in given]
    with precision(dtypes[0]):
        function = theirs
        if isinstance(theirs, keras.layers.Layer):
            function = _as_function(theirs, dtypes[0], given)
        right, right_gradients, dy = _by_tape(function, given, rng)
    y, cache = _pair(forward(*given))
    theirs_by_name = {"output": right}
    ours = {"output": np.array(y)}
    if ours["output"].shape == right.shape:
        upstream = dy.copy()
        gradients = _by_name(backward(upstream, cache), names)
        if not np.array_equal(upstream, dy):
            report.problems.append("backward writes into dy, which others still need")
        for name, gradient in zip(names, right_gradients, strict=True):
            if gradients[name] is not None:
                ours[f"d{name}"] = np.array(gradients[name])
                theirs_by_name[f"d{name}"] = gradient
    changed = [
        n for n, a, old in zip(names, given, before, strict=True) if not np.array_equal(a, old)
    ]
    if changed:
        report.problems.append(f"forward or backward writes into {', '.join(changed)}")
    sizes = (max(float(np.abs(a).max(initial=0)) for a in before), float(np.abs(dy).max(initial=0)))
    words = ", ".join(f"{n} of shape {a.shape}" for n, a in zip(names, given, strict=True))
    report.add(
        words, dtypes[0], "", ours, theirs_by_name, sizes, None, tolerance, len(given[0]), dy
    )
    return report


def _names(forward: Callable[..., Any], count: int) -> list[str]:
    """What `forward` calls its arguments."""
    found = list(inspect.signature(forward).parameters.values())
    if any(each.kind is each.VAR_POSITIONAL for each in found):
        return ["x", *(f"w{i}" for i in range(1, count))]
    required = [each for each in found if each.default is each.empty]
    if not len(required) <= count <= len(found):
        raise TypeError(
            f"compare_functions: forward takes {[each.name for each in found]}, received {count} "
            "arrays; bind options with a lambda"
        )
    return [each.name for each in found[:count]]


def _pair(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"compare_functions: expected (y, cache) of forward, received {type(result).__name__}"
        )
    return result


def _by_name(gradients: Any, names: list[str]) -> dict[str, Any]:
    """The gradients by the names of the arguments."""
    if isinstance(gradients, dict):
        found = {name.removeprefix("d"): value for name, value in gradients.items()}
        if unknown := set(found) - set(names):
            raise ValueError(
                f"compare_functions: backward has gradients of {sorted(unknown)}, but the arguments"
                f" are {names}"
            )
        return dict.fromkeys(names) | found
    if not isinstance(gradients, tuple | list):
        gradients = (gradients,)
    if len(gradients) != len(names):
        raise ValueError(
            f"compare_functions: expected gradients of {names}, in that order, received "
            f"{len(gradients)} (None stands for one that is not computed)"
        )
    return dict(zip(names, gradients, strict=True))


def _as_function(layer: Any, dtype: str, arrays: list[np.ndarray]) -> Callable[..., Any]:
    """A Keras layer as a function of its input and its weights."""
    twin = fresh(layer, dtype)
    twin.build(arrays[0].shape)
    shapes = [tuple(variable.shape) for variable in twin.weights]
    if shapes != [array.shape for array in arrays[1:]]:
        raise ValueError(
            f"compare_functions: {name_of(layer)} has weights of shapes {shapes}, received "
            f"{[array.shape for array in arrays[1:]]}; pass a TensorFlow function that transposes"
        )
    return lambda x, *weights: twin.stateless_call(
        weights, [v.value for v in twin.non_trainable_variables], x
    )[0]


def _by_tape(function, arrays, rng) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """TensorFlow's output, its gradients, and the dy that they belong to."""
    import tensorflow as tf

    tensors = [tf.convert_to_tensor(array) for array in arrays]
    with tf.GradientTape() as tape:
        for tensor in tensors:
            tape.watch(tensor)
        y = function(*tensors)
    right = np.asarray(y)
    dy = rng.standard_normal(right.shape).astype(right.dtype)
    found = tape.gradient(y, tensors, output_gradients=tf.constant(dy))
    gradients = [
        np.zeros_like(array) if gradient is None else np.asarray(gradient)
        for gradient, array in zip(found, arrays, strict=True)
    ]
    return right, gradients, dy
