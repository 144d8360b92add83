"""Lesson 18: what counts as the same, when two trainings part, and one gradient of several."""

import numpy as np

from .engine import exercise


def pairs_of_lists():
    """Equal ones, and pairs that differ in one thing each."""
    one, two = np.float32([1, 2, 3]), np.float32([0, 0.5])
    nan = np.float32([np.nan, 1])
    return [
        ([one, two], [one.copy(), two.copy()]),
        ([one, two], [one, two + np.float32(1)]),
        ([one], [np.nextafter(one, np.float32(9))]),
        ([two], [np.float32([-0.0, 0.5])]),
        ([nan], [nan.copy()]),
        ([one, two], [one]),
        ([one], [one, two]),
        ([two], [two.astype(np.float64)]),
        ([np.zeros(2)], [np.zeros((1, 2))]),
        ([np.zeros(2, np.float32)], [np.zeros(2, np.int32)]),
        ([one, nan], [one, nan[::-1].copy()]),
        ([], []),
    ]


def same_array(one, other):
    same_kind = one.dtype == other.dtype and one.shape == other.shape
    return same_kind and one.tobytes() == other.tobytes()


def same_number(ours, theirs, same):
    """As many arrays, and `same` for each pair."""
    if len(ours) != len(theirs):
        return False
    return all(bool(same(one, other)) for one, other in zip(ours, theirs, strict=True))


@exercise(pairs_of_lists)
def same_bits(ours, theirs):
    return same_number(ours, theirs, same_array)


@same_bits.mistake("equal values need not have equal bits: 0.0 == -0.0, and NaN != NaN")
def _(ours, theirs):
    return same_number(ours, theirs, lambda a, b: a.dtype == b.dtype and np.array_equal(a, b))


@same_bits.mistake("== compares values, not bits: 0.0 == -0.0, NaN != NaN, and types may differ")
def _(ours, theirs):
    return same_number(ours, theirs, lambda a, b: np.all(a == b))


@same_bits.mistake("array_equal compares values, neither bits (0.0 and -0.0) nor types")
def _(ours, theirs):
    return same_number(ours, theirs, np.array_equal)


@same_bits.mistake("allclose takes neighbouring numbers for the same")
def _(ours, theirs):
    return same_number(ours, theirs, lambda a, b: a.shape == b.shape and np.allclose(a, b))


@same_bits.mistake("zip without strict=True stops at the end of the shorter list")
def _(ours, theirs):
    return all(same_array(*pair) for pair in zip(ours, theirs, strict=False))


@same_bits.mistake("the same bytes can be numbers of another type or shape")
def _(ours, theirs):
    return same_number(ours, theirs, lambda a, b: a.tobytes() == b.tobytes())


@same_bits.mistake("the same bytes can be numbers of another type")
def _(ours, theirs):
    return same_number(ours, theirs, lambda a, b: a.shape == b.shape and a.tobytes() == b.tobytes())


@same_bits.mistake("the same bytes can be an array of another shape")
def _(ours, theirs):
    return same_number(ours, theirs, lambda a, b: a.dtype == b.dtype and a.tobytes() == b.tobytes())


@same_bits.refused
def _(ours, theirs):  # takes the arrays out of the lists
    same = len(ours) == len(theirs)
    while same and ours:
        same = same_array(ours.pop(), theirs.pop())
    return same


@same_bits.refused
def _(ours, theirs):  # the first pair alone
    return len(ours) == len(theirs) and all(map(same_array, ours[:1], theirs[:1]))


def losses():
    """Pairs of curves with a limit; those that part for good, once, at once, and never."""
    rng = np.random.default_rng(13)
    theirs = np.linspace(2.3, 0.3, 40)
    drift = theirs * (1 + 1e-7 * 1.5 ** np.arange(40))
    cases = [
        (drift, theirs, 1e-3),
        (theirs * (1 - 1e-7 * 1.5 ** np.arange(40)), theirs, 1e-3),
        (theirs.copy(), theirs, 1e-3),
        (np.array([2.0, 1.5, 1.0]), np.array([1.0, 1.5, 1.0]), 0.1),
        (np.array([1.0, 1.2, 1.0, 1.3]), np.array([1.0, 1.0, 1.0, 1.0]), 0.1),
        (np.array([50.0, 1.0]), np.array([50.02, 1.0]), 1e-3),
        (np.array([1.0, 0.0104]), np.array([1.0, 0.01]), 1e-3),
        (np.array([1.0, 1.5]), np.array([1.0, 1.0]), 0.5),
        (np.array([1.0, 2.0]), np.array([1.0, 1.0]), 0.6),
    ]
    noise = 1 + 1e-3 * rng.normal(size=(5, 40))
    return cases + [(theirs * shaken, theirs, 1e-3) for shaken in noise]


def first_true(apart):
    found = np.flatnonzero(apart)
    return int(found[0]) + 1 if found.size else None


def share(ours, theirs):
    return np.abs(ours - theirs) / np.abs(theirs)


@exercise(losses)
def first_apart(ours, theirs, limit):
    return first_true(share(ours, theirs) > limit)


@first_apart.mistake("steps are counted from 1")
def _(ours, theirs, limit):
    step = first_true(share(ours, theirs) > limit)
    return step if step is None else step - 1


@first_apart.mistake("argmax gives 0 where nothing is apart, too: that is to be None")
def _(ours, theirs, limit):
    return int(np.argmax(share(ours, theirs) > limit)) + 1


@first_apart.mistake("the difference is to be a share of theirs")
def _(ours, theirs, limit):
    return first_true(np.abs(ours - theirs) > limit)


@first_apart.mistake("it is a share of theirs, not of ours")
def _(ours, theirs, limit):
    return first_true(share(theirs, ours) > limit)


@first_apart.mistake("a difference counts in both directions: abs is missing")
def _(ours, theirs, limit):
    return first_true((ours - theirs) / theirs > limit)


@first_apart.mistake("this is the last such step, not the first")
def _(ours, theirs, limit):
    found = np.flatnonzero(share(ours, theirs) > limit)
    return int(found[-1]) + 1 if found.size else None


@first_apart.mistake("this is the step where they are furthest apart, not the first one")
def _(ours, theirs, limit):
    apart = share(ours, theirs)
    return int(np.argmax(apart)) + 1 if apart.max() > limit else None


@first_apart.mistake('a difference of just the limit is not "further apart"')
def _(ours, theirs, limit):
    return first_true(share(ours, theirs) >= limit)


def parts():
    """Gradients of some workers and how many images each had; equal parts do not tell much."""
    rng = np.random.default_rng(31)
    sizes = [[1, 3], [16, 16], [10, 22], [32], [1, 1, 30], [11, 11, 10], [7, 0, 5]]
    shapes = [(2,), (2, 3), (3, 3, 1, 2)]
    return [
        ([rng.normal(size=shape) * (size > 0) for size in each], each)
        for each in sizes
        for shape in shapes
    ]


def weighted_sum(gradients, sizes):
    return sum(size * gradient for size, gradient in zip(sizes, gradients, strict=True))


@exercise(parts, tolerance=1e-9)
def combined(gradients, sizes):
    return weighted_sum(gradients, sizes) / sum(sizes)


@combined.mistake("a mean of means counts the images of a small part more than others")
def _(gradients, sizes):
    return sum(gradients) / len(sizes)


@combined.mistake("each is a mean already: their sum is too large")
def _(gradients, sizes):
    return sum(gradients)


@combined.mistake("this is the gradient of the summed loss; divide by the number of all images")
def _(gradients, sizes):
    return weighted_sum(gradients, sizes)


@combined.mistake("divide by the number of images, not of workers")
def _(gradients, sizes):
    return weighted_sum(gradients, sizes) / len(sizes)


@combined.mistake("they are means, not sums: multiply each by its size first")
def _(gradients, sizes):
    return sum(gradients) / sum(sizes)


@combined.refused
def _(gradients, sizes):  # adds into the first gradient
    total = gradients[0]
    total *= sizes[0]
    for size, gradient in zip(sizes[1:], gradients[1:], strict=True):
        total += size * gradient
    total /= sum(sizes)
    return total


@combined.refused
def _(gradients, sizes):  # empties the list
    total = sum(sizes)
    return sum(size * gradients.pop(0) for size in sizes) / total
