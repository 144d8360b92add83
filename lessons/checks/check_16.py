"""Lesson 16: places in memory, cache lines and misses, gradients without zeros, the roofline."""

import numpy as np

from .check_02 import whole
from .engine import exercise

LINE = 16  # numbers of 4 bytes in a line of 64


def indices():
    for shape in [(2, 3, 2), (4, 5), (7,), (2, 3, 4, 5), (14, 14, 32), (1, 3, 1)]:
        first = tuple(size // 2 for size in shape)
        last = tuple(size - 1 for size in shape)
        for index in (first, last, tuple(0 for _ in shape), *np.ndindex(*shape[:2])):
            yield (*index, *first[len(index) :]), shape


@exercise(indices)
def place_of(index, shape):
    return int(np.ravel_multi_index(index, shape))


@place_of.mistake("the last axis is the fastest, not the first")
def _(index, shape):
    return int(np.ravel_multi_index(index, shape, order="F"))


@place_of.mistake("each index is multiplied with the sizes of the axes after it, not with its own")
def _(index, shape):
    return int(sum(i * size for i, size in zip(index, shape, strict=True)))


@place_of.mistake("these are bytes; places are counted in numbers")
def _(index, shape):
    return 4 * place_of.reference(index, shape)


@place_of.mistake("places are counted from 0, not from 1")
def _(index, shape):
    return 1 + place_of.reference(index, shape)


@place_of.mistake("channels first: here the channels of a pixel are neighbours")
def _(index, shape):
    channels_first = (index[-1], *index[:-1]), (shape[-1], *shape[:-1])
    return place_of.reference(*channels_first)


@place_of.refused
def _(index, shape):  # for three axes only
    i, j, k = index
    return (i * shape[1] + j) * shape[2] + k


def loops():
    yield from [
        (0, 1, 32),
        (0, 196, 32),
        (5, 1, 16),
        (0, 0, 9),
        (15, 1, 2),
        (3, 4, 1),
        (3, 4, 0),
        (4, 4, 0),
    ]
    for start in (0, 1, 7, 15, 16, 40):
        for step in (1, 2, 3, 5, 8, 15, 16, 17, 32):
            yield start, step, 23


@exercise(loops)
def lines_touched(start, step, count):
    return len({(start + i * step) // LINE for i in range(count)})


@lines_touched.mistake("a line is fetched once, however many of its numbers are read")
def _(start, step, count):
    return count


@lines_touched.mistake("from a step of 16 places on, lines in between are not read")
def _(start, step, count):
    return (start + (count - 1) * step) // LINE - start // LINE + 1 if count else 0


@lines_touched.mistake("the first number need not be the first of its line: count from its place")
def _(start, step, count):
    return lines_touched.reference(0, step, count)


@lines_touched.mistake("a line has 16 numbers; 64 is the number of its bytes")
def _(start, step, count):
    return len({(start + i * step) // 64 for i in range(count)})


@lines_touched.mistake("this is the number of the last line, not how many are read")
def _(start, step, count):
    return (start + (count - 1) * step) // LINE if count else 0


@lines_touched.refused
def _(start, step, count):  # a line for each number from a step of 16 on, even of none
    if step > 16:
        return count
    return (start + step * (count - 1)) // LINE - start // LINE + 1


@lines_touched.refused
def _(start, step, count):  # all the bytes between, in lines
    return -(-(count * step) // LINE)


def poolings():
    """Outputs of 0 under gradients that are not, and images that are not square."""
    winner = np.array([[1, 2], [0, 3]])
    pooled, dpooled = np.array([[3.0, 1], [0, 2]]), np.array([[1.0, -2], [5, 4]])
    yield whole(0, 5, 5) / 2, 2, pooled, winner, dpooled
    for seed, (h, w, k) in enumerate([(10, 8, 3), (9, 14, 4), (6, 6, 1), (12, 13, 5)]):
        ph, pw = (h - k + 1) // 2, (w - k + 1) // 2
        pooled = np.maximum(whole(seed + 10, ph, pw), 0) / 4
        winner = np.random.default_rng(seed).integers(0, 4, (ph, pw))
        yield whole(seed, h, w) / 2, k, pooled, winner, whole(seed + 20, ph, pw) / 4
    rng = np.random.default_rng(16)  # numbers that half precision cannot hold
    yield rng.normal(size=(6, 7)), 3, np.ones((2, 2)), winner[:2, :2], rng.normal(size=(2, 2))


@exercise(poolings, tolerance=1e-9)
def kernel_gradient(x, k, pooled, winner, dpooled):
    return summed(x, k, pooled, winner, dpooled)


def summed(x, k, pooled, winner, dpooled, masked=True, place=divmod, distance=2, sign=1):
    dkernel = np.zeros((k, k))
    for i, j in np.ndindex(pooled.shape):
        if pooled[i, j] > 0 or not masked:
            ki, kj = place(winner[i, j], 2)
            row, column = distance * i + ki, distance * j + kj
            dkernel += dpooled[i, j] * x[row : row + k, column : column + k][::sign, ::sign]
    return dkernel


@kernel_gradient.mistake("where the pooled output is 0, ReLU lets no gradient through")
def _(x, k, pooled, winner, dpooled):
    return summed(x, k, pooled, winner, dpooled, masked=False)


@kernel_gradient.mistake("the cell 2 * ki + kj is in row ki = winner // 2, column kj = winner % 2")
def _(x, k, pooled, winner, dpooled):
    return summed(x, k, pooled, winner, dpooled, place=lambda cell, _: divmod(cell, 2)[::-1])


@kernel_gradient.mistake("windows are 2 apart: the one of (i, j) begins at (2 * i, 2 * j)")
def _(x, k, pooled, winner, dpooled):
    return summed(x, k, pooled, winner, dpooled, distance=1)


@kernel_gradient.mistake("the gradient goes to the winner, not to the first cell of each window")
def _(x, k, pooled, winner, dpooled):
    return summed(x, k, pooled, 0 * winner, dpooled)


@kernel_gradient.mistake("this adds up the outputs times the windows; the gradients are due")
def _(x, k, pooled, winner, dpooled):
    return summed(x, k, pooled, winner, pooled)


@kernel_gradient.mistake("the windows of x are turned by half a turn; take them as they are")
def _(x, k, pooled, winner, dpooled):
    return summed(x, k, pooled, winner, dpooled, sign=-1)


@kernel_gradient.mistake("ReLU passes a gradient where its *output* is positive, of either sign")
def _(x, k, pooled, winner, dpooled):
    return summed(x, k, dpooled, winner, dpooled)


@kernel_gradient.mistake("gradients of a sum add up; this is their mean over the windows")
def _(x, k, pooled, winner, dpooled):
    return summed(x, k, pooled, winner, dpooled) / pooled.size


@kernel_gradient.mistake("only the last window counts: += where = is")
def _(x, k, pooled, winner, dpooled):
    last = np.argwhere(pooled > 0)[-1]
    only = np.zeros_like(pooled)
    only[tuple(last)] = 1
    return summed(x, k, only, winner, dpooled)


@kernel_gradient.refused
def _(x, k, pooled, winner, dpooled):  # half precision
    return summed(x, k, pooled, winner, dpooled).astype(np.float16).astype(float)


@kernel_gradient.refused
def _(x, k, pooled, winner, dpooled):  # np.zeros(..., int)
    return summed(x, k, pooled, winner, dpooled).astype(int)


def machines():
    for peak, bandwidth in [(1e11, 1e10), (64.0, 16.0), (3e9, 2e10)]:
        for operations, moved in [(1e9, 1e9), (1e10, 1e8), (12, 28), (64, 16), (4, 1), (0, 8)]:
            yield operations, moved, peak, bandwidth


@exercise(machines, tolerance=1e-12)
def limit(operations, moved, peak, bandwidth):
    return limited(operations / peak, moved / bandwidth)


def limited(computing, moving):
    name = "arithmetic" if computing >= moving else "memory"
    return max(computing, moving), name


@limit.mistake("computing and moving overlap: the longer one counts, not the sum")
def _(operations, moved, peak, bandwidth):
    computing, moving = operations / peak, moved / bandwidth
    return computing + moving, limited(computing, moving)[1]


@limit.mistake("the slower of the two decides, not the faster")
def _(operations, moved, peak, bandwidth):
    computing, moving = operations / peak, moved / bandwidth
    return min(computing, moving), limited(moving, computing)[1]


@limit.mistake("first the seconds, then the name of what limits")
def _(operations, moved, peak, bandwidth):
    return limit.reference(operations, moved, peak, bandwidth)[::-1]


@limit.mistake("the names are exchanged")
def _(operations, moved, peak, bandwidth):
    seconds, name = limit.reference(operations, moved, peak, bandwidth)
    return seconds, {"memory": "arithmetic", "arithmetic": "memory"}[name]


@limit.mistake("if both take equally long, arithmetic is the answer")
def _(operations, moved, peak, bandwidth):
    seconds, name = limit.reference(operations, moved, peak, bandwidth)
    return seconds, "memory" if seconds == moved / bandwidth else name


@limit.mistake("peak and bandwidth are amounts per second: divide by them")
def _(operations, moved, peak, bandwidth):
    return limited(operations * peak, moved * bandwidth)


@limit.refused
def _(operations, moved, peak, bandwidth):  # operations compared with bytes
    return max(operations / peak, moved / bandwidth), limited(operations, moved)[1]


def readings():
    yield [0, 16, 0, 32, 16, 0], 2
    yield [0, 1, 15, 16, 0], 1
    yield [], 3
    yield [32 * place for place in (0, 1, 2, 3, 0, 1, 2, 3)], 3
    for seed, capacity in enumerate([1, 2, 4, 7, 20]):
        yield np.random.default_rng(seed).integers(0, 200, 300).tolist(), capacity


@exercise(readings)
def cache_misses(places, capacity):
    return misses(places, capacity)


def misses(places, capacity, line=LINE, renew=True, drop=0):
    cache, count = [], 0
    for wanted in (place // line for place in places):
        if wanted in cache:
            if renew:
                cache.remove(wanted)
                cache.append(wanted)
            continue
        count += 1
        if len(cache) >= capacity:
            del cache[drop]
        cache.append(wanted)
    return count


@cache_misses.mistake("a hit makes its line the one used last, too: move it to the end")
def _(places, capacity):
    return misses(places, capacity, renew=False)


@cache_misses.mistake("the line that was used last is dropped, instead of the one unused longest")
def _(places, capacity):
    return misses(places, capacity, drop=-1)


@cache_misses.mistake("nothing is ever dropped: the cache holds only `capacity` lines")
def _(places, capacity):
    return len({place // LINE for place in places})


@cache_misses.mistake("a miss fetches a whole line of 16 numbers, not one number")
def _(places, capacity):
    return misses(places, capacity, line=1)


@cache_misses.mistake("these are the hits")
def _(places, capacity):
    return len(places) - misses(places, capacity)


@cache_misses.mistake("`capacity` is the number of lines: this cache holds one line too few")
def _(places, capacity):
    return misses(places, capacity - 1) if capacity > 1 else len(places)


@cache_misses.mistake("`capacity` is the number of lines: this cache holds one line too many")
def _(places, capacity):
    return misses(places, capacity + 1)


@cache_misses.mistake("the first time that a line is needed, it is not in the cache: a miss, too")
def _(places, capacity):
    return misses(places, capacity) - len({place // LINE for place in places})


@cache_misses.refused
def _(places, capacity):  # emptied when full
    cache, count = set(), 0
    for line in (place // LINE for place in places):
        if line not in cache:
            count += 1
            if len(cache) == capacity:
                cache.clear()
            cache.add(line)
    return count
