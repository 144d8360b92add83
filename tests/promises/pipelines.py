"""Promise 23: random pipelines, each built twice, as a `Dataset` and with tf.data."""

import importlib.util
import itertools
from collections import Counter

import numpy as np

from minicnn.data import INFINITE_CARDINALITY, Dataset
from tests.promises import Outcome, outcome

ENOUGH = 40  # elements to look at of a pipeline without end
OPERATIONS = ("shuffle", "repeat", "batch", "take", "map", "prefetch")


def datasets(share: float = 1) -> Outcome:
    """23: elements, their order and number as in tf.data; shuffled ones by multiset and window."""
    if importlib.util.find_spec("tensorflow") is None:
        return Outcome(False, "not counted: TensorFlow is not installed")
    import tensorflow as tf

    count, wrong, shuffled = max(20, round(10_000 * share)), [], 0
    for number in range(count):
        rng = np.random.default_rng([23, number])
        n, generated, steps = int(rng.integers(0, 14)), rng.random() < 0.5, random_steps(rng)
        shuffled += any(name == "shuffle" for name, _ in steps)
        fault = difference(tf, n, generated, steps) or window_fault(n, steps)
        if fault:
            wrong.append(f"{n} elements, {steps}: {fault}")
    return outcome(f"{count:,} pipelines, {shuffled:,} of them shuffled", wrong)


def random_steps(rng: np.random.Generator) -> list:
    """A random list of (method, arguments) whose results can be compared."""
    steps, ragged = [], False
    for name in rng.choice(OPERATIONS, rng.integers(0, 7)).tolist():
        if name == "batch":
            # The last batch may be short, and cannot be stacked with others.
            if ragged:
                continue
            arguments = int(rng.integers(1, 8)), bool(rng.integers(2))
            ragged = not arguments[1]
        elif name == "shuffle":
            seed = None if rng.integers(2) else int(rng.integers(1, 8))
            arguments = int(rng.integers(1, 21)), seed, bool(rng.integers(2))
        elif name == "repeat":
            arguments = (None if rng.integers(5) == 0 else int(rng.integers(-1, 4)),)
        elif name == "map":
            arguments = (_double_and_swap,)
        else:
            arguments = (int(rng.integers(-1, 16 if name == "take" else 4)),)
        steps.append((name, arguments))
    return steps


def _double_and_swap(*members):
    return tuple(2 * member + 1 for member in members[::-1])


def as_written(tf, dataset):
    """Without tf.data's optimizations, which read ahead and fail at shuffle(...).repeat(0)."""
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_optimization.inject_prefetch = False
    options.autotune.enabled = False
    return dataset.with_options(options)


def difference(tf, n: int, generated: bool, steps: list) -> str | None:
    """What differs between the two libraries, if anything does."""
    x, y = np.arange(3.0 * n).reshape(n, 3), np.arange(n) + 1000
    ours, theirs = Dataset.from_tensor_slices((x, y)), tf.data.Dataset.from_tensor_slices((x, y))
    if generated:  # the size of a generator is unknown
        pairs, spec = list(zip(x, y, strict=True)), theirs.element_spec
        theirs = tf.data.Dataset.from_generator(lambda: iter(pairs), output_signature=spec)
        ours = Dataset.from_generator(lambda: iter(pairs))
    ours, theirs = _apply(ours, steps), as_written(tf, _apply(theirs, steps))
    sizes = ours.cardinality(), int(theirs.cardinality())
    if sizes[0] != sizes[1]:
        return f"cardinality {sizes[0]}, expected {sizes[1]}"
    if sizes[0] == INFINITE_CARDINALITY:
        steps = [*steps, ("take", (ENOUGH,))]
        ours, theirs = ours.take(ENOUGH), as_written(tf, theirs.take(ENOUGH))
    ours, theirs = list(ours), list(theirs.as_numpy_iterator())
    if len(ours) != len(theirs) or not all(type(element) is tuple for element in ours):
        return f"{len(ours)} elements, expected {len(theirs)} tuples"
    names = [name for name, _ in steps]
    if "shuffle" not in names:
        pairs = zip(itertools.chain(*ours), itertools.chain(*theirs), strict=True)
        same = all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)
        return None if same else "other elements"
    # Orders differ, so what a later operation cuts off differs, too.
    later = steps[names.index("shuffle") :]
    cut = any(name == "take" or (name == "batch" and args[1]) for name, args in later)
    last = len(names) - names[::-1].index("shuffle")
    short_batches_mixed = "batch" in names[:last]
    if not (cut and short_batches_mixed) and _shapes(ours) != _shapes(theirs):
        return "other shapes"
    return "other members" if not cut and _members(ours) != _members(theirs) else None


def window_fault(n: int, steps: list) -> str | None:
    """An element that the first shuffle gives out too early, if any: see `Dataset.shuffle`."""
    names = [name for name, _ in steps]
    if "shuffle" not in names:
        return None
    first = names.index("shuffle")
    size, *_ = arguments = steps[first][1]
    source = _apply(Dataset.from_tensor_slices((np.arange(3.0 * n).reshape(n, 3),)), steps[:first])
    plain = list(map(_key, itertools.islice(source, ENOUGH + size)))
    mixed = list(map(_key, itertools.islice(source.shuffle(*arguments), ENOUGH)))
    if len(plain) < ENOUGH and Counter(plain) != Counter(mixed):
        return "the shuffle loses elements"
    for position in range(len(mixed)):
        if Counter(mixed[: position + 1]) - Counter(plain[: position + size]):
            return f"element {position} of the shuffle comes before its window of {size}"
    return None


def _apply(dataset, steps: list):
    for name, arguments in steps:
        dataset = getattr(dataset, name)(*arguments)
    return dataset


def _key(element) -> bytes:
    return b"".join(np.asarray(member).tobytes() for member in element)


def _shapes(elements: list) -> Counter:
    return Counter(tuple(member.shape for member in element) for element in elements)


def _members(elements: list) -> Counter:
    """How often each value occurs, whatever batch it is in."""
    return Counter(
        (i, value) for element in elements for i, m in enumerate(element) for value in m.ravel()
    )
