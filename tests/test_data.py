"""`Dataset` follows the rules of tf.data: items 16 to 18."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

import minicnn
from minicnn.data import INFINITE_CARDINALITY, UNKNOWN_CARDINALITY, Dataset

# The right distribution fails a chi-square test this rarely; seeds are fixed, so it never flakes.
SIGNIFICANCE = 1e-4


def numbers(n):
    return Dataset.from_tensor_slices(np.arange(n))


def pairs(n):
    return Dataset.from_tensor_slices((np.arange(n), np.arange(n) + 10))


def values(dataset):
    return [element.tolist() for element in dataset]


class Counted:
    """A source of 0, 1, ..., n-1 that counts how far it was read."""

    def __init__(self, n):
        self.n = n
        self.read = 0

    def __call__(self):
        for i in range(self.n):
            self.read += 1
            yield np.int64(i)


def order_probabilities(n, buffer_size):
    """Every order that the rule of the shuffle buffer allows, with its probability."""

    def outputs(buffer, unread):
        if not buffer:
            yield (), 1.0
        for drawn in buffer:
            rest = tuple(i for i in buffer if i != drawn) + unread[:1]
            for tail, probability in outputs(rest, unread[1:]):
                yield (drawn, *tail), probability / len(buffer)

    items = tuple(range(n))
    return dict(outputs(items[:buffer_size], items[buffer_size:]))


# Item 16: the shuffle buffer


@pytest.mark.parametrize("buffer_size", [1, 2, 7, 19, 20, 21, 1000])
def test_item_16_fills_the_buffer_then_reads_one_element_for_each_output(buffer_size):
    source = Counted(20)
    shuffled = iter(Dataset.from_generator(source).shuffle(buffer_size))
    assert source.read == 0
    for outputs, _ in enumerate(shuffled, start=1):
        assert source.read == min(buffer_size + outputs - 1, 20)
    assert outputs == 20


@pytest.mark.parametrize("buffer_size", [1, 2, 3, 5, 12, 29, 30, 40])
def test_item_16_an_item_cannot_come_before_its_window(buffer_size):
    earliest = [math.inf] * 30
    for seed in range(100):
        for position, item in enumerate(values(numbers(30).shuffle(buffer_size, seed=seed))):
            assert position >= item - buffer_size + 1
            earliest[item] = min(earliest[item], position)
    # The window is not narrower either: its first position occurs.
    assert min(np.subtract(earliest, range(30))) == max(1 - buffer_size, -29)


@pytest.mark.parametrize("buffer_size", [2, 3, 4, 5, 100])
def test_item_16_each_output_is_drawn_uniformly_from_the_buffer(buffer_size):
    # For 5 items and a buffer of 5 or 100: all 120 permutations, equally often.
    expected = order_probabilities(5, buffer_size)
    passes = numbers(5).shuffle(buffer_size, seed=16)
    draws = 30 * len(expected)
    seen = Counter(tuple(values(passes)) for _ in range(draws))
    assert set(seen) <= set(expected)
    assert buffer_size < 5 or len(expected) == 120
    observed = [seen[order] for order in expected]
    frequencies = [draws * probability for probability in expected.values()]
    assert stats.chisquare(observed, frequencies).pvalue > SIGNIFICANCE


def test_item_16_every_element_comes_out_once():
    for n, buffer_size in itertools.product((0, 1, 2, 9), (1, 2, 5, 9, 10)):
        assert sorted(values(numbers(n).shuffle(buffer_size))) == list(range(n))


# Item 17: a new order for each pass


def orders(dataset, passes=3):
    return [values(dataset) for _ in range(passes)]


def test_item_17_each_pass_gets_a_new_order():
    first, second, third = orders(numbers(20).shuffle(20))
    assert first != second != third != first


def test_item_17_a_seed_repeats_the_sequence_of_orders():
    first = orders(numbers(20).shuffle(20, seed=5))
    assert orders(numbers(20).shuffle(20, seed=5)) == first
    assert orders(numbers(20).shuffle(20, seed=6)) != first
    assert first[0] != first[1]


def test_item_17_without_reshuffling_all_passes_share_one_order():
    for seed in (None, 0, 7):
        mixed = numbers(20).shuffle(20, seed=seed, reshuffle_each_iteration=False)
        first, second, third = orders(mixed)
        assert first == second == third != list(range(20))
        assert values(mixed.repeat(2)) == first + first


def test_item_17_set_random_seed_governs_unseeded_shuffles():
    def two_pipelines():
        return orders(numbers(20).shuffle(20)) + orders(numbers(20).shuffle(20))

    minicnn.set_random_seed(1)
    first = two_pipelines()
    minicnn.set_random_seed(1)
    assert two_pipelines() == first
    assert two_pipelines() != first
    assert first[:3] != first[3:]  # two pipelines have different orders


def test_item_17_a_seeded_shuffle_does_not_use_the_session_seed():
    minicnn.set_random_seed(1)
    seeded = orders(numbers(20).shuffle(20, seed=3))
    unseeded = orders(numbers(20).shuffle(20))
    minicnn.set_random_seed(1)
    assert orders(numbers(20).shuffle(20)) == unseeded
    assert orders(numbers(20).shuffle(20, seed=3)) == seeded


# Item 18: repeat, batch, take, map, cardinality


NESTED = Dataset.from_tensor_slices(((np.arange(3), np.arange(3)), np.arange(3)))
PIPELINES = [
    # The order of `repeat` and `batch` says whether a batch may hold samples of two epochs.
    (numbers(3).repeat().batch(2).take(4), [[0, 1], [2, 0], [1, 2], [0, 1]]),
    (numbers(3).repeat(3).batch(2), [[0, 1], [2, 0], [1, 2], [0, 1], [2]]),
    (numbers(3).batch(2).repeat(2), [[0, 1], [2], [0, 1], [2]]),
    (numbers(5).batch(2), [[0, 1], [2, 3], [4]]),
    (numbers(5).batch(2, drop_remainder=True), [[0, 1], [2, 3]]),
    (numbers(4).batch(2, drop_remainder=True), [[0, 1], [2, 3]]),
    (numbers(1).batch(2, drop_remainder=True), []),
    (numbers(5).batch(2, drop_remainder=True).repeat(2), [[0, 1], [2, 3], [0, 1], [2, 3]]),
    (numbers(5).take(2), [0, 1]),
    (numbers(5).take(-1), [0, 1, 2, 3, 4]),
    (numbers(5).take(99), [0, 1, 2, 3, 4]),
    (numbers(5).take(0), []),
    # `map` passes the members of a tuple one by one.
    (numbers(3).map(lambda x: 2 * x), [0, 2, 4]),
    (pairs(3).map(lambda x, y: x + y), [10, 12, 14]),
    (pairs(3).map(lambda x, y: (y, x)).map(lambda y, x: y - x), [10, 10, 10]),
    (NESTED.map(lambda x, y: x[0] + x[1] + y), [0, 3, 6]),
]


@pytest.mark.parametrize(("pipeline", "expected"), PIPELINES)
def test_item_18_what_a_pipeline_yields(pipeline, expected):
    assert values(pipeline) == expected


def test_item_18_take_reads_no_further():
    source = Counted(10)
    assert values(Dataset.from_generator(source).take(3)) == [0, 1, 2]
    assert source.read == 3  # the next element may never come


@pytest.mark.parametrize("buffer_size", [2, 10, 100])
def test_items_17_and_18_shuffle_then_repeat_gives_each_epoch_an_order_of_its_own(buffer_size):
    epochs = np.reshape(values(numbers(20).shuffle(buffer_size).repeat(3)), (3, 20))
    assert (np.sort(epochs) == np.arange(20)).all()
    assert len(np.unique(epochs, axis=0)) == 3


def test_item_18_repeat_then_shuffle_mixes_epochs():
    epochs = np.reshape(values(numbers(10).repeat(4).shuffle(10, seed=0)), (4, 10))
    assert (np.sort(epochs) != np.arange(10)).any()
    assert Counter(epochs.ravel().tolist()) == Counter(list(range(10)) * 4)


def test_item_18_batch_stacks_the_members_of_a_tuple():
    x, y = np.arange(12.0, dtype=np.float32).reshape(3, 2, 2), np.array([7, 8, 9], np.uint8)
    ((bx, by), _) = Dataset.from_tensor_slices((x, y)).batch(2)
    np.testing.assert_array_equal(bx, x[:2], strict=True)
    np.testing.assert_array_equal(by, y[:2], strict=True)


def test_item_18_repeating_no_times_is_empty():
    assert values(numbers(3).repeat(0)) == []
    assert values(numbers(3).repeat().repeat(0)) == []


@pytest.mark.parametrize("count", [None, -1, 3])
def test_item_18_a_repetition_of_nothing_ends(count):
    nothing = Dataset.from_generator(lambda: iter(()))
    for empty in (numbers(0), nothing, numbers(3).take(0), numbers(3).batch(5, True)):
        assert values(empty.repeat(count)) == []
        assert values(empty.repeat(count).shuffle(4).batch(2)) == []


def test_item_18_cardinality():
    unknown = Dataset.from_generator(Counted(5))
    infinite = numbers(5).repeat()
    for dataset, expected in [
        (numbers(5), 5),
        (numbers(5).shuffle(3).map(abs).prefetch(2), 5),
        (numbers(5).repeat(3), 15),
        (numbers(5).repeat(0), 0),
        (numbers(0).repeat(), 0),
        (numbers(5).batch(2), 3),
        (numbers(5).batch(2, drop_remainder=True), 2),
        (numbers(5).batch(2).repeat(2), 6),
        (numbers(5).repeat(2).batch(2), 5),
        (numbers(5).take(3), 3),
        (numbers(5).take(8), 5),
        (numbers(5).take(-1), 5),
        (infinite, INFINITE_CARDINALITY),
        (numbers(5).repeat(-1), INFINITE_CARDINALITY),
        (infinite.shuffle(2).map(abs).batch(2).prefetch(1).repeat(2), INFINITE_CARDINALITY),
        (infinite.take(-1), INFINITE_CARDINALITY),
        (infinite.take(7), 7),
        (infinite.repeat(0), 0),
        (unknown, UNKNOWN_CARDINALITY),
        (unknown.shuffle(2).map(abs).batch(2).prefetch(1).repeat(2), UNKNOWN_CARDINALITY),
        (unknown.take(0), UNKNOWN_CARDINALITY),  # as in tf.data
        (unknown.repeat(0), 0),
        (unknown.repeat(), INFINITE_CARDINALITY),
    ]:
        assert dataset.cardinality() == expected
        if expected >= 0:
            assert len(dataset) == expected == len(list(dataset))
        else:
            with pytest.raises(TypeError, match="no length"):
                len(dataset)
        assert dataset  # `if dataset:` is about None, not about length
    assert (INFINITE_CARDINALITY, UNKNOWN_CARDINALITY) == (-1, -2)


def test_item_18_datasets_can_be_iterated_again_and_side_by_side():
    pipeline = numbers(6).map(lambda x: x + 1).batch(4).repeat(2).take(3).prefetch(2)
    expected = [[1, 2, 3, 4], [5, 6], [1, 2, 3, 4]]
    assert values(pipeline) == values(pipeline) == expected
    assert [(a.tolist(), b.tolist()) for a, b in zip(pipeline, pipeline, strict=True)] == [
        (batch, batch) for batch in expected
    ]


def test_item_18_building_a_pipeline_reads_nothing():
    source = Counted(5)
    pipeline = Dataset.from_generator(source)
    iter(pipeline.shuffle(2).repeat().map(abs).batch(2).take(1).prefetch(2))
    assert source.read == 0


# Invalid arguments: see also promises/refusals.py


@pytest.mark.parametrize("tensors", [(), ((),), np.float32(1), (np.arange(3), 3)])
def test_slices_need_an_axis(tensors):
    with pytest.raises(ValueError, match="from_tensor_slices: expected arrays with at least one"):
        Dataset.from_tensor_slices(tensors)
