"""Random pipelines, each built twice: as a `Dataset` and with tf.data."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicnn.data import INFINITE_CARDINALITY, Dataset

ENOUGH = 40  # elements to look at of a pipeline without end

sizes = st.integers(1, 7)
OPERATIONS = {
    "shuffle": st.tuples(st.integers(1, 20), st.none() | sizes, st.booleans()),
    "repeat": st.tuples(st.none() | st.integers(-1, 3)),
    "batch": st.tuples(sizes, st.booleans()),
    "take": st.tuples(st.integers(-1, 15)),
    "map": st.just((lambda *members: tuple(2 * member + 1 for member in members[::-1]),)),
    "prefetch": st.tuples(st.integers(-1, 3)),
}
operations = st.sampled_from(sorted(OPERATIONS)).flatmap(
    lambda name: st.tuples(st.just(name), OPERATIONS[name])
)


@st.composite
def pipelines(draw):
    """A list of (method, arguments); only what random orders leave comparable."""
    steps, ragged = [], False
    for name, arguments in draw(st.lists(operations, max_size=6)):
        # The last batch may be short, and cannot be stacked with the others.
        if name == "batch":
            if ragged:
                continue
            ragged = not arguments[1]
        steps.append((name, arguments))
    return steps


def apply(dataset, steps):
    for name, arguments in steps:
        dataset = getattr(dataset, name)(*arguments)
    return dataset


def shapes(elements):
    return Counter(tuple(member.shape for member in element) for element in elements)


def members(elements):
    """How often each value occurs, whatever batch it is in."""
    return Counter(
        (i, value) for element in elements for i, m in enumerate(element) for value in m.ravel()
    )


def as_written(tf, dataset):
    """Without tf.data's rewriting: it reads ahead, and fails at shuffle(...).repeat(0)."""
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_optimization.inject_prefetch = False
    options.autotune.enabled = False
    return dataset.with_options(options)


def compare_with_tf_data(tf, n, generated, steps):
    x, y = np.arange(3.0 * n).reshape(n, 3), np.arange(n) + 1000
    ours, theirs = Dataset.from_tensor_slices((x, y)), tf.data.Dataset.from_tensor_slices((x, y))
    if generated:  # through a generator nobody can know the size
        spec = theirs.element_spec
        pairs = list(zip(x, y, strict=True))
        theirs = tf.data.Dataset.from_generator(lambda: iter(pairs), output_signature=spec)
        ours = Dataset.from_generator(lambda: iter(pairs))
    ours, theirs = apply(ours, steps), as_written(tf, apply(theirs, steps))
    assert ours.cardinality() == int(theirs.cardinality())
    endless = ours.cardinality() == INFINITE_CARDINALITY
    if endless:
        ours, theirs = ours.take(ENOUGH), as_written(tf, theirs.take(ENOUGH))
    ours, theirs = list(ours), list(theirs.as_numpy_iterator())

    assert len(ours) == len(theirs)
    assert all(type(element) is tuple for element in ours)
    names = [name for name, _ in steps] + ["take"] * endless
    if "shuffle" not in names:
        for mine, reference in zip(ours, theirs, strict=True):
            for a, b in zip(mine, reference, strict=True):
                np.testing.assert_array_equal(a, b, strict=True)
        return
    # Orders differ, so what is cut off after a shuffle differs, too.
    first = names.index("shuffle")
    cut = "take" in names[first:] or ("batch", True) in [
        (name, arguments[1]) for name, arguments in steps[first:] if name == "batch"
    ]
    short_batches_mixed = "batch" in names[:first]
    if not (cut and short_batches_mixed):
        assert shapes(ours) == shapes(theirs)
    if not cut:
        assert members(ours) == members(theirs)


def check(tf, examples):
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(n=st.integers(0, 13), generated=st.booleans(), steps=pipelines())
    def pipelines_equal_tf_data(n, generated, steps):
        compare_with_tf_data(tf, n, generated, steps)

    pipelines_equal_tf_data()


def test_item_18_random_pipelines_equal_tf_data(tf):
    check(tf, 60)


@pytest.mark.full
def test_item_18_two_thousand_random_pipelines_equal_tf_data(tf):
    check(tf, 2000)


@pytest.mark.parametrize("buffer_size", [1, 4, 9, 30])
def test_item_16_shuffle_reads_exactly_as_far_as_tf_data(tf, buffer_size):
    reads = []

    def source():
        for i in range(20):
            reads.append(i)
            yield np.int64(i)

    spec = tf.TensorSpec((), tf.int64)
    theirs = tf.data.Dataset.from_generator(source, output_signature=spec).shuffle(buffer_size)
    read_by_output = []
    for dataset in (Dataset.from_generator(source).shuffle(buffer_size), as_written(tf, theirs)):
        reads.clear()
        read_by_output.append([len(reads) for _ in dataset])
    assert read_by_output[0] == read_by_output[1]
