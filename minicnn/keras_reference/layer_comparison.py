"""`compare_layers`: a layer of your own beside a Keras layer, number by number."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minicnn.keras_reference.keras_side import precision, require_keras
from minicnn.keras_reference.own_parts import fresh, paired_weights
from minicnn.keras_reference.side_by_side import Answers, SideBySide, name_of
from minicnn.keras_reference.wrong_outputs import explain_output
from minicnn.layer import Layer, asks_for, forward_options
from minicnn.validation import Check

LARGEST_SIDE, MOST_SAMPLES = 9, 4  # of inputs that are drawn
TRIES = 20  # for each case, until a geometry is found that both layers take
EQUAL = "many equal numbers"
TIES = (
    "wrong for equal numbers alone: of equal maxima Keras pays the first, and ReLU nothing at 0; "
    "is every tie paid, or the last one?"
)
RANDOM = "random in training, where no two layers draw the same numbers: not compared there"


class Inputs(NamedTuple):
    """One case: what goes in, and what it is called."""

    words: str
    x: np.ndarray
    seed: int


def compare_layers(
    mine: Any,
    theirs: Any,
    x: Any = None,
    *,
    input_shape: tuple[int | None, ...] | None = None,
    weights: dict[str, Any] | None = None,
    count: int = 20,
    dtypes: tuple[str, ...] = ("float64", "float32"),
    tolerance: float | None = None,
    rng: np.random.Generator | None = None,
) -> SideBySide:
    """Output, dx, weight gradients and state of a layer and of a Keras layer, on the same numbers.

    Parameters
    ----------
    mine : layer
        Of your own: a `Layer`, or any object with forward(x) -> (y, cache) and backward(dy, cache)
        -> (dx, grads), and `params` if it learns. It is copied; a `Layer` that is not built is
        built for each input, with random weights. It runs as it is written, in the core.
    theirs : keras.layers.Layer
        New ones of the same arguments receive the weights of `mine`.
    x : (n, ...) array, optional
        The inputs.
    input_shape : tuple, optional
        Without `x`: the shape of one sample, of which inputs are drawn. None stands for a size that
        is drawn, too: (None, None, 3) for images of any height and width. In half of the cases many
        numbers are equal, as after ReLU: ties and zeros show who wins them.
    weights : dict, optional
        For weights whose names or layouts differ, from our name to Keras' name, to a function that
        brings an array into Keras' layout, or to both: {"kernel": lambda k: k[..., None]}.
    count : int
        How many cases to draw.
    dtypes : tuple
        Precisions to compare in.
    tolerance : float, optional
        The largest relative difference; by default 2e-7 in double precision (TensorFlow rounds an
        epsilon or a slope to single precision), 1e-5 for outputs and 1e-4 for gradients in single.
    rng : numpy.random.Generator, optional
        Draws inputs and weights; always the same by default.

    Returns
    -------
    SideBySide
        Print it, ask `.ok`, or call `.assert_ok()` in a test. Layers with a parameter `training`
        are compared in training and inference.

    Raises
    ------
    ImportError
        Without TensorFlow.
    TypeError, ValueError
        If weights do not fit, or arguments are wrong.

    Examples
    --------
    >>> compare_layers(  # doctest: +SKIP
    ...     MyConv(4, 3), keras.layers.Conv2D(4, 3), input_shape=(None, None, 2)
    ... ).assert_ok()
    """
    keras, check = require_keras(), Check("compare_layers")
    if not isinstance(theirs, keras.layers.Layer):
        raise TypeError(f"compare_layers: expected a Keras layer, received {theirs!r}")
    missing = [name for name in ("forward", "backward") if not hasattr(mine, name)]
    if isinstance(mine, type) or missing:
        raise TypeError(
            "compare_layers: expected a layer with forward(x) -> (y, cache) and backward(dy, cache)"
            f" -> (dx, grads), received {mine!r}; plain functions are for compare_functions"
        )
    if (x is None) == (input_shape is None):
        raise ValueError("compare_layers: pass either x or input_shape")
    rng = np.random.default_rng(0) if rng is None else check.generator(rng, "rng")
    report = SideBySide(name_of(mine), name_of(theirs))
    if x is not None:
        given = check.real_array(x, "x")
        cases: Iterator[Inputs] = iter([Inputs(f"x of shape {given.shape}", given, 0)])
    else:
        cases = _drawn(mine, theirs, tuple(input_shape), check.integer(count, "count"), rng, report)
    for case in cases:
        _compare_case(report, mine, theirs, case, weights, dtypes, tolerance)
    for found in report.quantities:
        if found.wrong and len(found.wrong) < found.cases and all(EQUAL in w for w in found.wrong):
            found.mistake = TIES
    return report


def _drawn(mine, theirs, shape, count, rng, report) -> Iterator[Inputs]:
    """Random inputs that both layers take; a problem if only one of them does."""
    for number in range(count):
        for _ in range(TRIES):
            sizes = [int(rng.integers(1, LARGEST_SIDE + 1)) if s is None else s for s in shape]
            n = int(rng.integers(1, MOST_SAMPLES + 1))
            refusals = [_refusal(build, sizes, n) for build in (_ours(mine), _theirs(theirs))]
            if not any(refusals):
                break
            if not all(refusals):
                who, words = (("Keras", refusals[1]), (report.ours, refusals[0]))[not refusals[1]]
                report.problems.append(
                    f"{tuple(sizes)}: {who} refuses it, the other does not: {words}"
                )
                return
            if None not in shape:
                break
        if any(refusals):
            report.problems.append(f"no input of shape {shape} that the layers take: {refusals[0]}")
            return
        whole = number % 2 == 1
        x = rng.integers(-3, 4, (n, *sizes)) if whole else rng.standard_normal((n, *sizes))
        words = f"x of shape {(n, *sizes)}" + f", with {EQUAL}" * whole
        yield Inputs(words, x.astype(np.float32).astype(np.float64), int(rng.integers(2**31)))


def _ours(mine: Any) -> Callable[[list[int], int], Any]:
    def build(sizes, n):
        if isinstance(mine, Layer) and mine.input_shape is None:
            copy.deepcopy(mine).build(tuple(sizes), np.random.default_rng(0))

    return build


def _theirs(theirs: Any) -> Callable[[list[int], int], Any]:
    def build(sizes, n):
        y = fresh(theirs, "float32")(np.zeros((n, *sizes), np.float32))
        if 0 in y.shape:  # a window larger than the image: no output, and no error
            raise ValueError(f"it has an output of shape {tuple(y.shape)}")

    return build


def _refusal(build: Callable[[list[int], int], Any], sizes: list[int], n: int) -> str:
    try:
        build(sizes, n)
    except Exception as error:  # Keras has many kinds for this
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return ""


def _compare_case(report, mine, theirs, case, weights, dtypes, tolerance) -> None:
    """One case in all precisions, in training and inference."""
    exact: dict[bool, Answers] = {}
    for dtype in sorted(dtypes, reverse=True):  # double precision first: it judges single
        layer = _prepared(mine, case, dtype)
        x = case.x.astype(dtype)
        modes = [False, True] if _knows_training(layer, theirs) else [False]
        for training in modes:
            answers = _answers(report, layer, theirs, x, case.seed, training, weights)
            if answers is None:
                continue
            ours, right, dy = answers
            sizes = (float(np.abs(x).max(initial=0)), float(np.abs(dy).max(initial=0)))
            mode = ("inference", "training")[training] if len(modes) > 1 else ""
            report.add(
                case.words,
                dtype,
                mode,
                ours,
                right,
                sizes,
                exact.get(training),
                tolerance,
                len(x),
                dy,
            )
            explain_output(report.quantity("output", dtype, mode), layer, x, right["output"])
            if dtype == "float64":
                exact[training] = right


def _knows_training(layer: Any, theirs: Any) -> bool:
    """Whether one of the two does something else in training."""
    asks = any(asks_for(layer, option) for option in ("training", "rng"))
    return asks or bool(getattr(layer, "state", {})) or _is_random(theirs) or _has_state(theirs)


def _has_state(theirs: Any) -> bool:
    """Whether the Keras layer has weights that are not trained: it then does, once it is built."""
    return hasattr(theirs, "moving_mean_initializer") or bool(theirs.non_trainable_weights)


def _prepared(mine: Any, case: Inputs, dtype: str) -> Any:
    """A copy of the layer with weights in that precision: its own, or random ones."""
    layer, rng = copy.deepcopy(mine), np.random.default_rng(case.seed)
    if isinstance(layer, Layer):
        own = None if layer.input_shape is None else layer.get_weights()
        layer.build(case.x.shape[1:], rng, dtype)  # layers within it, too
        if own is None:
            own = [rng.standard_normal(weight.shape) for weight in layer.params.values()]
            own += [rng.uniform(0.5, 1.5, weight.shape) for weight in layer.state.values()]
        layer.set_weights([weight.astype(np.float32) for weight in own])
        return layer
    params = getattr(layer, "params", {})
    for name, weight in params.items():
        params[name] = weight.astype(np.float32).astype(dtype)
    return layer


def _answers(report, layer, theirs, x, seed, training, weights):
    """(ours, Keras', dy) by quantity, or None if the layers are random."""
    options = forward_options(layer, training, (seed,), 0)
    for random, who in (
        (options.get("rng") is not None, report.ours),
        (training and _is_random(theirs), report.theirs),
    ):
        if random:
            report.note(f"{who} is {RANDOM}")
            return None
    own = getattr(layer, "params", {})
    everything = own | getattr(layer, "state", {})
    right, dy, pairs = _keras_answers(theirs, x, seed, training, own, everything, weights)
    y, cache = layer.forward(x.copy(), **options)
    ours = {"output": np.array(y)}
    if ours["output"].shape != right["output"].shape:
        return ours, {"output": right["output"]}, dy
    dx, grads = layer.backward(dy.copy(), cache)
    ours["dx"] = np.array(dx)
    for name, function, _ in pairs:
        if name in own:
            ours[f"d{name}"] = np.array(grads[name])
            if ours[f"d{name}"].shape == own[name].shape:
                ours[f"d{name}"] = np.array(function(ours[f"d{name}"]))
        elif training:
            new = layer.next_state(cache)
            ours[name] = np.array(function(np.asarray(new.get(name, everything[name]))))
    return ours, right, dy


def _keras_answers(theirs, x, seed, training, own, everything, weights):
    """Keras' answers by quantity, the dy of its gradients, and the pairs of weights."""
    import tensorflow as tf

    with precision(x.dtype):
        twin, tensor = fresh(theirs, x.dtype.name), tf.convert_to_tensor(x)
        twin(tensor)  # builds it
        pairs = paired_weights("compare_layers", everything, twin, weights)
        for name, function, variable in pairs:
            variable.assign(function(everything[name]))
        trained = [(name, variable) for name, _, variable in pairs if name in own]
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            y = twin(tensor, training=training)
        dy = np.random.default_rng(seed).standard_normal(y.shape).astype(x.dtype)
        sources = [tensor, *(variable.value for _, variable in trained)]
        dx, *gradients = tape.gradient(y, sources, output_gradients=tf.constant(dy))
    right = {"output": y.numpy(), "dx": _array(dx, x)}
    for (name, variable), gradient in zip(trained, gradients, strict=True):
        right[f"d{name}"] = _array(gradient, variable.numpy())
    if training:
        right |= {name: variable.numpy() for name, _, variable in pairs if name not in own}
    return right, dy, pairs


def _is_random(theirs: Any) -> bool:
    """Whether the Keras layer draws random numbers in training."""
    generator = require_keras().random.SeedGenerator
    return any(isinstance(each, generator) for each in vars(theirs).values())


def _array(gradient: Any, like: np.ndarray) -> np.ndarray:
    """TensorFlow's gradient as an array; it has None for what does not matter."""
    return np.zeros_like(like) if gradient is None else np.asarray(gradient)
