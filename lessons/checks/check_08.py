"""Lesson 8: the backward pass of a convolution, by sliding too, and what a lazy check misses."""

import itertools
import math

import numpy as np

from minicnn.shapes import same_padding, window_geometry
from minicnn.windows import sum_windows
from minicnn.windows import windows as all_windows

from .check_02 import whole
from .engine import exercise, returning


def conv_cases():
    yield (
        np.array([[1.0, 2, 0], [0, 1, 3], [2, 0, 1]])[..., None],
        np.array([[1.0, -1], [2, 0]])[..., None, None],
        np.array([[1.0, 2], [-1, 3]])[..., None],
        1,
    )
    # Strides that leave a rest: 6 - 3 is no multiple of 2, the last column is under no window.
    sizes = [(3, 3, 1, 2, 2, 2, 1), (4, 4, 2, 2, 2, 1, 1), (4, 6, 2, 2, 3, 3, 1)]
    sizes += [(5, 5, 1, 3, 3, 1, 2), (5, 6, 2, 3, 2, 2, 2), (7, 6, 1, 2, 3, 2, 2)]
    sizes += [(8, 5, 2, 2, 2, 2, 3)]
    for seed, (h, w, c, kh, kw, f, s) in enumerate(sizes):
        oh, ow = (h - kh) // s + 1, (w - kw) // s + 1
        arrays = (h, w, c), (kh, kw, c, f), (oh, ow, f)
        # In halves: an array of integers would cut them off.
        yield *(whole(20 * i + seed, *shape) / 2 for i, shape in enumerate(arrays)), s
    # np.zeros_like(x) can hold integers only if x does.
    image, kernel = np.array([[1, 2], [3, 4]])[..., None], np.full((1, 1, 1, 1), 0.5)
    yield image, kernel, np.ones((2, 2, 1)), 1
    yield image / 2, np.full((1, 1, 1, 1), 3), np.ones((2, 2, 1)), 1


@exercise(conv_cases, tolerance=1e-9, run=returning("dx", "dkernel", "dbias"))
def conv_backward(x, kernel, dy, s):
    geometry = window_geometry(x.shape[:2], kernel.shape[:2], (s, s), "valid")
    dx = sum_windows(np.tensordot(dy[None], kernel, axes=(3, 3)), geometry)[0]
    dkernel = np.tensordot(all_windows(x[None], geometry)[0], dy, axes=((0, 1), (0, 1)))
    return dx, dkernel, dy.sum((0, 1))


right = conv_backward.reference


def windows(x, kernel, dy, s):
    """For each output: which cells its window covers, as slices."""
    (oh, ow, _), (kh, kw, _, _) = dy.shape, kernel.shape
    for i, j in np.ndindex(oh, ow):
        yield (i, j), np.s_[i * s : i * s + kh, j * s : j * s + kw]


@conv_backward.mistake("in dx the kernel is rotated by 180 degrees; stamp it as it is")
def _(x, kernel, dy, s):
    _, *others = right(x, kernel, dy, s)
    return right(x, np.ascontiguousarray(kernel[::-1, ::-1]), dy, s)[0], *others


@conv_backward.mistake("in dx the rows of the kernel are in the opposite order; stamp it as it is")
def _(x, kernel, dy, s):
    _, *others = right(x, kernel, dy, s)
    return right(x, np.ascontiguousarray(kernel[::-1]), dy, s)[0], *others


@conv_backward.mistake("in dx the kernel's columns are in the opposite order; stamp it as it is")
def _(x, kernel, dy, s):
    _, *others = right(x, kernel, dy, s)
    return right(x, np.ascontiguousarray(kernel[:, ::-1]), dy, s)[0], *others


@conv_backward.mistake("these gradients point downhill; the minus belongs to the step")
def _(x, kernel, dy, s):
    return tuple(-gradient for gradient in right(x, kernel, dy, s))


@conv_backward.mistake("dkernel is rotated by 180 degrees")
def _(x, kernel, dy, s):
    dx, dkernel, dbias = right(x, kernel, dy, s)
    return dx, dkernel[::-1, ::-1], dbias


def last_window_wins(x, kernel, dy, s):
    dx = np.zeros(x.shape)
    for place, window in windows(x, kernel, dy, s):
        dx[window] = kernel @ dy[place]
    return dx


def last_message_wins(x, kernel, dy, s):
    dx = np.zeros(x.shape)
    for place, window in windows(x, kernel, dy, s):
        dx[window] = kernel[..., -1] * dy[place][-1]
    return dx


def last_position_wins(x, kernel, dy, s):
    for place, window in windows(x, kernel, dy, s):
        dkernel = x[window][..., None] * dy[place]
    return dkernel


@conv_backward.mistake("in dx each window overwrites what others have added: write += for =")
def _(x, kernel, dy, s):
    _, *others = right(x, kernel, dy, s)
    return last_window_wins(x, kernel, dy, s), *others


@conv_backward.mistake("in dx each contribution overwrites the one before: write += for =")
def _(x, kernel, dy, s):
    _, *others = right(x, kernel, dy, s)
    return last_message_wins(x, kernel, dy, s), *others


@conv_backward.mistake("in dkernel each contribution overwrites the one before: write += for =")
def _(x, kernel, dy, s):
    dx, _, dbias = right(x, kernel, dy, s)
    return dx, last_position_wins(x, kernel, dy, s), dbias


@conv_backward.mistake("in dx and dkernel each contribution replaces the one before: write +=")
def _(x, kernel, dy, s):
    dbias = dy.sum((0, 1))
    return last_message_wins(x, kernel, dy, s), last_position_wins(x, kernel, dy, s), dbias


def without_stride(x, kernel, dy, sh=1, sw=1):
    """With these strides for rows and columns, whatever the right one is."""
    (kh, kw, _, _), (oh, ow, _) = kernel.shape, dy.shape
    dx, dkernel = np.zeros(x.shape), np.zeros(kernel.shape)
    for i, j in np.ndindex(oh, ow):
        window = np.s_[i * sh : i * sh + kh, j * sw : j * sw + kw]
        dx[window] += kernel @ dy[i, j]
        dkernel += x[window][..., None] * dy[i, j]
    return dx, dkernel, dy.sum((0, 1))


@conv_backward.mistake("the stride is ignored; window i starts at i * s")
def _(x, kernel, dy, s):
    return without_stride(x, kernel, dy)


@conv_backward.mistake("the stride is ignored in the columns; window j starts at j * s")
def _(x, kernel, dy, s):
    return without_stride(x, kernel, dy, sh=s)


@conv_backward.mistake("the stride is ignored in the rows; window i starts at i * s")
def _(x, kernel, dy, s):
    return without_stride(x, kernel, dy, sw=s)


@conv_backward.mistake("in dx the stride is ignored; window i starts at i * s")
def _(x, kernel, dy, s):
    _, *others = right(x, kernel, dy, s)
    return without_stride(x, kernel, dy)[0], *others


@conv_backward.mistake("in dkernel the stride is ignored; window i starts at i * s")
def _(x, kernel, dy, s):
    dx, _, dbias = right(x, kernel, dy, s)
    return dx, without_stride(x, kernel, dy)[1], dbias


@conv_backward.mistake("dx is as large as x, also where no window came")
def _(x, kernel, dy, s):
    (kh, kw, _, _), (oh, ow, _) = kernel.shape, dy.shape
    dx, *others = right(x, kernel, dy, s)
    return dx[: (oh - 1) * s + kh, : (ow - 1) * s + kw], *others


@conv_backward.mistake("a pixel gets dy times the weight, not dy times itself")
def _(x, kernel, dy, s):
    dx = np.zeros(x.shape)
    for place, window in windows(x, kernel, dy, s):
        dx[window] += x[window] * dy[place].sum()
    return dx, *right(x, kernel, dy, s)[1:]


@conv_backward.mistake("a pixel of one channel is in products with all f filters: add up over o")
def _(x, kernel, dy, s):
    _, *others = right(x, kernel, dy, s)
    last = np.ascontiguousarray(kernel[..., -1:]), np.ascontiguousarray(dy[..., -1:])
    return right(x, *last, s)[0], *others


@conv_backward.mistake("dbias is a sum over all positions, not a mean")
def _(x, kernel, dy, s):
    return *right(x, kernel, dy, s)[:2], dy.mean((0, 1))


@conv_backward.mistake("dbias has an entry for each filter, the sum of its own dy")
def _(x, kernel, dy, s):
    return *right(x, kernel, dy, s)[:2], dy.sum()


@conv_backward.mistake("the bias is added once an output, not once a product")
def _(x, kernel, dy, s):
    return *right(x, kernel, dy, s)[:2], dy.sum((0, 1)) * kernel[..., 0].size


@conv_backward.mistake("dbias is that of the last position: write += for =")
def _(x, kernel, dy, s):
    return *right(x, kernel, dy, s)[:2], dy[-1, -1]


@conv_backward.mistake("the three are expected in the order dx, dkernel, dbias")
def _(x, kernel, dy, s):
    dx, dkernel, dbias = right(x, kernel, dy, s)
    return dkernel, dx, dbias


@conv_backward.refused
def _(x, kernel, dy, s):  # np.zeros(..., int)
    return tuple(array.astype(int) for array in right(x, kernel, dy, s))


@conv_backward.refused
def _(x, kernel, dy, s):  # dx alone is of integers
    dx, *others = right(x, kernel, dy, s)
    return dx.astype(int), *others


@conv_backward.refused
def _(x, kernel, dy, s):  # all zeros, of the right shapes
    return tuple(0 * array for array in right(x, kernel, dy, s))


@conv_backward.refused
def _(x, kernel, dy, s):  # dkernel a mean over positions
    dx, dkernel, dbias = right(x, kernel, dy, s)
    return dx, dkernel / dy[..., 0].size, dbias


def rows():
    telling = [(4, 2, 1), (28, 5, 1), (28, 3, 2), (7, 2, 1), (8, 2, 3)]
    every = itertools.product(range(1, 21), range(1, 8), range(1, 5))
    return telling + [case for case in every if case not in telling]


def stamped(n, k, s, before, out=None):
    count = np.zeros(n, int)
    for i in range(math.ceil(n / s) if out is None else out):
        count[max(i * s - before, 0) : max(i * s - before + k, 0)] += 1
    return count


@exercise(rows)
def coverage_of(n, k, s):
    return stamped(n, k, s, same_padding(n, k, s)[0])


@coverage_of.mistake("the first window starts on the zeros before the row, at -before")
def _(n, k, s):
    return stamped(n, k, s, 0)


@coverage_of.mistake("the odd zero is after the row, not before it")
def _(n, k, s):
    return stamped(n, k, s, same_padding(n, k, s)[1])


@coverage_of.mistake("the windows start s cells apart, not one")
def _(n, k, s):
    return stamped(n, k, 1, same_padding(n, k, s)[0], math.ceil(n / s))


@coverage_of.mistake("there are n / s windows, rounded up, not down")
def _(n, k, s):
    return stamped(n, k, s, same_padding(n, k, s)[0], n // s)


@coverage_of.mistake("there are ceil(n / s) windows, not one for each cell")
def _(n, k, s):
    return stamped(n, k, s, same_padding(n, k, s)[0], n)


@coverage_of.mistake("only windows without padding are counted")
def _(n, k, s):
    return stamped(n, k, s, 0, max((n - k) // s + 1, 0))


@coverage_of.mistake("a negative start counts from the end of the row; begin at max(start, 0)")
def _(n, k, s):
    count, before = np.zeros(n, int), same_padding(n, k, s)[0]
    for i in range(math.ceil(n / s)):
        count[i * s - before : i * s - before + k] += 1
    return count


@coverage_of.mistake(
    "a window that starts before the row still ends at start + k: raise only its start"
)
def _(n, k, s):
    count, before = np.zeros(n, int), same_padding(n, k, s)[0]
    for i in range(math.ceil(n / s)):
        start = max(i * s - before, 0)
        count[start : start + k] += 1
    return count


@coverage_of.mistake("with no zeros after the row, [before:-after] cuts everything off")
def _(n, k, s):
    before, after = same_padding(n, k, s)
    padded = stamped(n + before + after, k, s, 0, math.ceil(n / s))
    return padded[before:-after]


@coverage_of.mistake("there are ceil(n / s) windows; this is one too many")
def _(n, k, s):
    return stamped(n, k, s, same_padding(n, k, s)[0], math.ceil(n / s) + 1)


@coverage_of.mistake("the zeros before the row depend on the stride: see same_padding")
def _(n, k, s):
    return stamped(n, k, s, k // 2)


@coverage_of.mistake("the zeros before the row depend on the stride; they are not (k - 1) // 2")
def _(n, k, s):
    return stamped(n, k, s, (k - 1) // 2)


@coverage_of.mistake("the windows that cover a cell add up: write += for =")
def _(n, k, s):
    return np.minimum(coverage_of.reference(n, k, s), 1)


def kernels():
    yield (np.array([[1.0, -1], [2, 0]]),)
    for seed, shape in enumerate([(3, 3), (2, 2), (2, 3), (1, 4), (5, 5)]):
        # Numbers in any order, but no two alike: no kernel is its own mirror image.
        order = np.random.default_rng(seed).permutation(np.prod(shape)) / 2 - 1
        yield (order.reshape(shape),)


# The answer is the only one: the kernel's products with its own shifted copies determine it up to
# its sign, which the mean gives away, and half a turn, unless its polynomial has factors.
@exercise(kernels, tolerance=1e-9, hidden=True)
def passes_unnoticed(kernel):
    return kernel[::-1, ::-1]


@passes_unnoticed.mistake("this is the right kernel itself; another one is asked for")
def _(kernel):
    return kernel


@passes_unnoticed.mistake("mirrored left to right, the mean is right, the standard deviation not")
def _(kernel):
    return kernel[:, ::-1]


@passes_unnoticed.mistake("mirrored top to bottom, the mean is right, the standard deviation not")
def _(kernel):
    return kernel[::-1]


@passes_unnoticed.mistake("with rows and columns exchanged, dx would have another shape or spread")
def _(kernel):
    return kernel.T


@passes_unnoticed.mistake("turned by a quarter: the mean is right, the standard deviation is not")
def _(kernel):
    return np.rot90(kernel)


@passes_unnoticed.mistake("turned by a quarter: the mean is right, the standard deviation not yet")
def _(kernel):
    return np.rot90(kernel, -1)


@passes_unnoticed.mistake("with its sign changed, the spread is right, but the mean is negative")
def _(kernel):
    return -kernel


@passes_unnoticed.mistake("turned and with its sign changed: the mean has the wrong sign")
def _(kernel):
    return -kernel[::-1, ::-1]


@passes_unnoticed.mistake("all cells alike: the mean is right, the standard deviation is not")
def _(kernel):
    return np.full(kernel.shape, kernel.mean())


@passes_unnoticed.mistake("sorted: the mean is right, the standard deviation is not")
def _(kernel):
    return np.sort(kernel, None).reshape(kernel.shape)


def strided():
    """Strides that fit and strides that leave rows and columns out."""
    yield np.array([[1.0, 2], [-1, 3]]), np.array([[1.0, -1], [2, 0]]), 1, (3, 3)
    for seed, (h, w, kh, kw, s) in enumerate(
        [(4, 6, 2, 2, 2), (7, 5, 3, 2, 2), (8, 9, 2, 3, 3), (6, 7, 1, 2, 4), (9, 10, 3, 4, 2)]
    ):
        shape = (h - kh) // s + 1, (w - kw) // s + 1
        yield whole(seed, *shape) / 2, whole(seed + 30, kh, kw) / 4, s, (h, w)


@exercise(strided, tolerance=1e-9)
def dx_by_sliding(dy, kernel, s, shape):
    return stamps(dy, kernel, s, shape)


def stamps(dy, kernel, s, shape, at=0):
    (kh, kw), dx = kernel.shape, np.zeros(shape)
    for i, j in np.ndindex(dy.shape):
        place = dx[i * s + at : i * s + at + kh, j * s + at : j * s + at + kw]
        place += dy[i, j] * kernel[: place.shape[0], : place.shape[1]]
    return dx


@dx_by_sliding.mistake("the kernel has to be rotated by 180 degrees before it slides")
def _(dy, kernel, s, shape):
    return stamps(dy, kernel[::-1, ::-1], s, shape)


@dx_by_sliding.mistake("the rows alone are rotated: kernel[::-1, ::-1] is rotated by 180 degrees")
def _(dy, kernel, s, shape):
    return stamps(dy, kernel[:, ::-1], s, shape)


@dx_by_sliding.mistake(
    "the columns alone are rotated: kernel[::-1, ::-1] is rotated by 180 degrees"
)
def _(dy, kernel, s, shape):
    return stamps(dy, kernel[::-1], s, shape)


@dx_by_sliding.mistake("the stride is ignored: the numbers of dy have to be s apart")
def _(dy, kernel, s, shape):
    return stamps(dy, kernel, 1, shape)


@dx_by_sliding.mistake("s zeros between the numbers of dy are one too many: they are s apart")
def _(dy, kernel, s, shape):
    return stamps(dy, kernel, s + 1, shape) if s > 1 else stamps(dy, kernel, s, shape)


@dx_by_sliding.mistake(
    "the numbers of dy have to be s cells apart, with s - 1 zeros between, not s"
)
def _(dy, kernel, s, shape):
    return stamps(dy, kernel, s + 1, shape)


@dx_by_sliding.mistake("dx is one row and column off: dy[0, 0] stands in row kh - 1")
def _(dy, kernel, s, shape):
    return stamps(dy, kernel, s, shape, at=1)


@dx_by_sliding.mistake("dx has the shape of x, also where no window came")
def _(dy, kernel, s, shape):
    (oh, ow), (kh, kw) = dy.shape, kernel.shape
    return stamps(dy, kernel, s, ((oh - 1) * s + kh, (ow - 1) * s + kw))


@dx_by_sliding.mistake("rows and columns of the kernel are exchanged")
def _(dy, kernel, s, shape):
    h, w = shape
    larger = stamps(dy, kernel.T, s, (h + len(kernel.T), w + len(kernel)))
    return larger[:h, :w]


@dx_by_sliding.refused
def _(dy, kernel, s, shape):  # np.zeros(..., int)
    return stamps(dy, kernel, s, shape).astype(int)


@dx_by_sliding.refused
def _(dy, kernel, s, shape):  # of the last stamp alone
    dx = np.zeros(shape)
    for i, j in np.ndindex(dy.shape):
        dx[i * s : i * s + len(kernel), j * s : j * s + len(kernel.T)] = dy[i, j] * kernel
    return dx
