"""Lesson 18: the same bits, when two trainings part, one gradient of several, and ULPs."""

import copy

import numpy as np

from .engine import NotYet, exercise


def with_lists(function, *case):
    """The result, unless the function changed a list or an array in one."""
    before = copy.deepcopy(case)
    result = function(*case)
    for old, new in zip(before, case, strict=True):
        if len(old) != len(new) or not all(map(same_array, map(np.array, old), map(np.array, new))):
            raise NotYet(
                "a list that the function was given has changed, or an array in it; work on copies"
            )
    return result


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
        ([one[:1], one[1:]], [one[:2], one[2:]]),
        ([nan], [(nan.view(np.int32) + np.int32([1, 0])).view(np.float32)]),
        ([two, one], [one, two]),
        ([one, two], [one + np.float32(1), two]),
        ([np.array(3)], [np.array(3)]),
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


@exercise(pairs_of_lists, run=with_lists)
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


@same_bits.mistake("zip stops at the end of the shorter list: compare the lengths first")
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


@same_bits.mistake(
    "equal_nan=True takes all NaNs for the same; and 0.0 and -0.0 have different bits"
)
def _(ours, theirs):
    def same(a, b):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")

    return same_number(ours, theirs, same)


@same_bits.mistake("the bytes of all arrays in a row may be the same for other arrays")
def _(ours, theirs):
    return len(ours) == len(theirs) and b"".join(a.tobytes() for a in ours) == b"".join(
        a.tobytes() for a in theirs
    )


@same_bits.mistake("this looks at the first pair only: return True when the loop has ended")
def _(ours, theirs):
    return len(ours) == len(theirs) and all(map(same_array, ours[:1], theirs[:1]))


@same_bits.mistake("this looks at the last pair only: return False as soon as a pair differs")
def _(ours, theirs):
    return len(ours) == len(theirs) and all(map(same_array, ours[-1:], theirs[-1:]))


@same_bits.mistake("this is the other way round: True means that they are the same")
def _(ours, theirs):
    return not same_bits.reference(ours, theirs)


@same_bits.mistake("`is` asks whether they are one and the same object; a copy has the same bits")
def _(ours, theirs):
    return same_number(ours, theirs, lambda a, b: a is b)


@same_bits.mistake("printed numbers are rounded: two different arrays can look the same")
def _(ours, theirs):
    return str(ours) == str(theirs)


@same_bits.mistake("one equal pair is not enough: all, not any")
def _(ours, theirs):
    return len(ours) == len(theirs) and any(map(same_array, ours, theirs))


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
        (np.array([1.0, 1.21]), np.array([1.0, 1.0]), 0.2),
        (np.array([-1.0, -1.5]), np.array([-1.0, -1.0]), 0.2),
        (np.array([1e-9, 3e-9]), np.array([1e-9, 1e-9]), 0.2),
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


@first_apart.mistake("the share is of the size of theirs: losses below 0 need np.abs there, too")
def _(ours, theirs, limit):
    return first_true(np.abs(ours - theirs) / theirs > limit)


@first_apart.refused
def _(ours, theirs, limit):  # np.isclose with its absolute tolerance
    return first_true(~np.isclose(ours, theirs, rtol=limit))


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


@first_apart.mistake("where they never part, None is asked for, not a number")
def _(ours, theirs, limit):
    return first_apart.reference(ours, theirs, limit) or -1


@first_apart.mistake("where they never part, None is asked for, not 0")
def _(ours, theirs, limit):
    return first_apart.reference(ours, theirs, limit) or 0


@first_apart.mistake("where they never part, None is asked for, not the number of steps")
def _(ours, theirs, limit):
    return first_apart.reference(ours, theirs, limit) or len(ours)


@first_apart.mistake("these are all such steps; only the first one is asked for")
def _(ours, theirs, limit):
    return (np.flatnonzero(share(ours, theirs) > limit) + 1).tolist()


@first_apart.mistake("this is the first step at which they are close, not apart")
def _(ours, theirs, limit):
    return first_true(share(ours, theirs) <= limit)


@first_apart.mistake("each difference is relative to theirs in the same step, not in the first")
def _(ours, theirs, limit):
    return first_true(np.abs(ours - theirs) / np.abs(theirs[0]) > limit)


@first_apart.mistake("the number of such steps is not asked for, but the first of them")
def _(ours, theirs, limit):
    return int((share(ours, theirs) > limit).sum()) or None


@first_apart.mistake("a difference is relative to theirs; this divides by the mean of both")
def _(ours, theirs, limit):
    return first_true(2 * np.abs(ours - theirs) / np.abs(ours + theirs) > limit)


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


@exercise(parts, tolerance=1e-9, run=with_lists)
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


@combined.mistake("np.sum without an axis adds all numbers of an array up: an array is asked for")
def _(gradients, sizes):
    return float(np.sum(weighted_sum(gradients, sizes))) / sum(sizes)


@combined.mistake("size // sum(sizes) is 0: shares are not whole, divide with /")
def _(gradients, sizes):
    total = sum(sizes)
    return sum(size // total * each for size, each in zip(sizes, gradients, strict=True))


@combined.mistake("this is the gradient of the first worker alone")
def _(gradients, sizes):
    return gradients[0]


@combined.mistake("sizes and gradients are paired in opposite orders")
def _(gradients, sizes):
    return weighted_sum(gradients[::-1], sizes) / sum(sizes)


@combined.mistake("divide by the number of all images, not by that of the largest part")
def _(gradients, sizes):
    return weighted_sum(gradients, sizes) / max(sizes)


@combined.mistake("this goes against the gradient: the optimizer does that, later")
def _(gradients, sizes):
    return -combined.reference(gradients, sizes)


@combined.mistake("each gradient is to be multiplied by its size, not divided by it")
def _(gradients, sizes):
    return sum(g / max(size, 1) for size, g in zip(sizes, gradients, strict=True)) / sum(sizes)


def floats():
    """Pairs of float32 arrays: neighbours, both signs, zeros, the smallest and the largest."""
    tiny, huge = np.float32(1e-45), np.float32(3e38)
    one = np.float32([1, 2, 1000])
    yield one, np.nextafter(one, np.float32(np.inf))
    yield one, one.copy()
    yield -one, np.nextafter(-one, np.float32(0))
    yield np.float32([0, -0.0, 0]), np.float32([-0.0, 0, 0])
    yield np.float32([[tiny, -tiny], [0, -0.0]]), np.float32([[-tiny, tiny], [tiny, tiny]])
    yield np.float32([huge, -huge, 1.5]), np.float32([-huge, huge, -1.5])
    yield np.float32([0.99999994, 2, 4]), np.float32([1.0000001, 1.9999999, 5])
    rng = np.random.default_rng(18)
    for shape in ((5,), (3, 4)):
        values = (rng.normal(size=shape) * 10.0 ** rng.integers(-8, 8, shape)).astype(np.float32)
        yield values, (values * (1 + 1e-5 * rng.normal(size=shape))).astype(np.float32)
        yield values, rng.normal(size=shape).astype(np.float32)


def in_order(array, zero=-(2**31), integer=np.int64):
    """Each float32's place among all of them, from that of 0."""
    bits = array.view(np.int32).astype(integer)
    with np.errstate(over="ignore"):
        return np.where(bits < 0, integer(zero) - bits, bits)


@exercise(floats)
def ulps_apart(ours, theirs):
    return abs(in_order(ours) - in_order(theirs))


def raw(array, kind=np.int32):
    return array.view(kind).astype(np.int64)


@ulps_apart.mistake("the integers of negative floats run in the opposite order: turn them around")
def _(ours, theirs):
    return abs(raw(ours) - raw(theirs))


@ulps_apart.mistake("as unsigned integers negative floats come after all positive ones: turn them")
def _(ours, theirs):
    return abs(raw(ours, np.uint32) - raw(theirs, np.uint32))


@ulps_apart.mistake("32 bits are too few for the distance of large numbers: take np.int64")
def _(ours, theirs):
    return np.abs(in_order(ours, integer=np.int32) - in_order(theirs, integer=np.int32))


@ulps_apart.mistake("0.0 and -0.0 are the same number; here they are one step apart")
def _(ours, theirs):
    return abs(in_order(ours, zero=-(2**31) - 1) - in_order(theirs, zero=-(2**31) - 1))


@ulps_apart.mistake("a distance has no sign: abs is missing")
def _(ours, theirs):
    return in_order(ours) - in_order(theirs)


@ulps_apart.mistake("astype converts the numbers; view reads their bits")
def _(ours, theirs):
    with np.errstate(invalid="ignore"):
        return abs(ours.astype(np.int64) - theirs.astype(np.int64))


@ulps_apart.mistake("the spacing of floats changes at powers of two, so a quotient is not enough")
def _(ours, theirs):
    wide = np.abs(ours.astype(float) - theirs)
    return np.round(wide / np.abs(np.spacing(theirs))).astype(np.int64)


@ulps_apart.mistake("floats are closer together near 0: eps is their distance from 1 to 2 only")
def _(ours, theirs):
    wide = np.abs(ours.astype(float) - theirs)
    with np.errstate(invalid="ignore"):
        return np.round(wide / np.finfo(np.float32).eps).astype(np.int64)


@ulps_apart.mistake("this only says whether they differ; count the steps between them")
def _(ours, theirs):
    return (ours != theirs).astype(np.int64)


@ulps_apart.mistake("one number for each pair of entries, not the largest of all")
def _(ours, theirs):
    return ulps_apart.reference(ours, theirs).max()


@ulps_apart.mistake("this counts different bits; neighbours such as 1 and 2 - 1 ULP differ in many")
def _(ours, theirs):
    different = np.bitwise_xor(ours.view(np.uint32), theirs.view(np.uint32))
    ones = [f"{bits:b}".count("1") for bits in different.ravel().tolist()]
    return np.array(ones).reshape(ours.shape)


@ulps_apart.mistake("the sign is lost: from -1.5 to 1.5 one passes 0")
def _(ours, theirs):
    return abs(raw(np.abs(ours)) - raw(np.abs(theirs)))
