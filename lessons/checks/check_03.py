"""Lesson 3: how many zeros, on which side, and how many windows there are then."""

import itertools
import math

import numpy as np

from minicnn.shapes import Geometry, same_padding, window_geometry
from minicnn.windows import windows

from .check_02 import whole
from .engine import exercise

TELLING = [(28, 5, 1), (28, 3, 2), (7, 2, 1), (28, 4, 1), (8, 2, 4)]


def all_cases():
    """The 1,120 of the lesson, those of its pictures first."""
    every = itertools.product(range(1, 41), range(1, 8), range(1, 5))
    return TELLING + [case for case in every if case not in TELLING]


def total_zeros(n, k, s):
    return sum(same_padding(n, k, s))


@exercise(all_cases)
def same_pads(n, k, s):
    return same_padding(n, k, s)


@same_pads.mistake("this is PyTorch's symmetric rule")
def _(n, k, s):
    return k // 2, k // 2


@same_pads.mistake("this is a symmetric rule, (k - 1) // 2 on both sides, and knows no strides")
def _(n, k, s):
    return (k - 1) // 2, (k - 1) // 2


@same_pads.mistake("the odd zero goes after, not before")
def _(n, k, s):
    before, after = same_padding(n, k, s)
    return after, before


@same_pads.mistake("this rounds up on both sides, which is one zero too many if they are odd")
def _(n, k, s):
    return (-(-total_zeros(n, k, s) // 2),) * 2


@same_pads.mistake("this rounds down on both sides, which loses the odd zero")
def _(n, k, s):
    return (total_zeros(n, k, s) // 2,) * 2


@same_pads.mistake("the stride is ignored: this is right for s=1 only")
def _(n, k, s):
    return (k - 1) // 2, k - 1 - (k - 1) // 2


@same_pads.mistake("zeros cannot be negative: the max(..., 0) is missing")
def _(n, k, s):
    total = (math.ceil(n / s) - 1) * s + k - n
    return total // 2, total - total // 2


@same_pads.mistake("the number of windows is n / s rounded up, not down")
def _(n, k, s):
    total = max((n // s - 1) * s + k - n, 0)
    return total // 2, total - total // 2


@same_pads.mistake("the last window starts at (out - 1) * s, not at out * s")
def _(n, k, s):
    total = max(math.ceil(n / s) * s + k - n, 0)
    return total // 2, total - total // 2


@same_pads.mistake("the output would be as large as the image; with strides it is ceil(n / s)")
def _(n, k, s):
    total = max((n - 1) * s + k - n, 0)
    return total // 2, total - total // 2


@same_pads.mistake(
    "these are the zeros of both sides together, twice; half of them is for each side"
)
def _(n, k, s):
    return (total_zeros(n, k, s),) * 2


@same_pads.mistake("half of the zeros goes before: here all of them go after")
def _(n, k, s):
    return 0, total_zeros(n, k, s)


@same_pads.mistake("half of the zeros goes after: here all of them go before")
def _(n, k, s):
    return total_zeros(n, k, s), 0


@same_pads.mistake(
    "windows smaller than the stride need no zeros, but others do: this is always (0, 0)"
)
def _(n, k, s):
    return 0, 0


@same_pads.refused
def _(n, k, s):  # numbers with a decimal point
    before, after = same_padding(n, k, s)
    return before / 1, after / 1


@same_pads.refused
def _(n, k, s):  # one number
    return total_zeros(n, k, s)


@same_pads.refused
def _(n, k, s):  # of the square of the number of windows
    total = max((n // s) * s + k - n - 1, 0)
    return total // 2, total - total // 2


@same_pads.refused
def _(n, k, s):  # max around each side
    total = (math.ceil(n / s) - 1) * s + k - n
    return max(total // 2, 0), max(total, 0)


@same_pads.refused
def _(n, k, s):  # the example
    return 0, 1


@same_pads.refused
def _(n, k, s):  # right for strides that divide n: max(k - s, 0)
    total = max(k - s, 0)
    return total // 2, total - total // 2


def sizes():
    telling = [(28, 5, 1), (28, 3, 2), (7, 2, 1), (8, 3, 3)]
    every = itertools.product(range(1, 21), range(1, 8), range(1, 5))
    fitting = telling + [(n, k, s) for n, k, s in every if k <= n]
    return [(*case, padding) for case in fitting for padding in ("same", "valid")]


@exercise(sizes)
def output_size(n, k, s, padding):
    return window_geometry((n, n), (k, k), (s, s), padding).oh


@output_size.mistake('"same" is n / s rounded up, not down')
def _(n, k, s, padding):
    return n // s if padding == "same" else (n - k) // s + 1


@output_size.mistake('"same" is as large as the image for stride 1 only')
def _(n, k, s, padding):
    return n if padding == "same" else (n - k) // s + 1


@output_size.mistake('the first window of "valid" is not counted: + 1')
def _(n, k, s, padding):
    return -(-n // s) if padding == "same" else (n - k) // s


@output_size.mistake('"valid" ignores the stride')
def _(n, k, s, padding):
    return -(-n // s) if padding == "same" else n - k + 1


@output_size.mistake("the stride divides n - k, before the first window is counted by + 1")
def _(n, k, s, padding):
    return -(-n // s) if padding == "same" else (n - k + 1) // s


@output_size.mistake('a last window of "valid" that does not fit is dropped: round down')
def _(n, k, s, padding):
    return -(-n // s) if padding == "same" else -(-(n - k) // s) + 1


@output_size.mistake("the two rules are swapped")
def _(n, k, s, padding):
    return (n - k) // s + 1 if padding == "same" else -(-n // s)


@output_size.mistake('this is right for "same"; "valid" makes the output smaller')
def _(n, k, s, padding):
    return -(-n // s)


@output_size.mistake('this is right for "valid"; with "same" the output is ceil(n / s)')
def _(n, k, s, padding):
    return (n - k) // s + 1


@output_size.mistake(
    '"same" with one window too many: n // s + 1 is right only if s does not divide n'
)
def _(n, k, s, padding):
    return n // s + 1 if padding == "same" else (n - k) // s + 1


@output_size.refused
def _(n, k, s, padding):  # numbers with a decimal point
    return float(math.ceil(n / s)) if padding == "same" else (n - k) // s + 1


@output_size.refused
def _(n, k, s, padding):  # no rounding
    return n / s if padding == "same" else (n - k) / s + 1


@output_size.refused
def _(n, k, s, padding):  # the nearest integer
    return round(n / s) if padding == "same" else (n - k) // s + 1


@output_size.refused
def _(n, k, s, padding):  # windows side by side
    return -(-n // s) if padding == "same" else n // k


@output_size.refused
def _(n, k, s, padding):  # the start of the last window
    return -(-n // s) if padding == "same" else (n - k) // s * s


def on_zeros(n, k, s, before):
    starts = range(-before, -before + math.ceil(n / s) * s, s)
    return sum(not 0 <= start + cell < n for start in starts for cell in range(k))


@exercise(all_cases)
def cells_on_zeros(n, k, s):
    return on_zeros(n, k, s, same_padding(n, k, s)[0])


@cells_on_zeros.mistake("these are the zeros; each can lie in several windows")
def _(n, k, s):
    return total_zeros(n, k, s)


# The odd zero on the wrong side is no mistake here: it is the mirror image, with the same count.


@cells_on_zeros.mistake("the window moves on by s pixels, not by one")
def _(n, k, s):
    out, before = math.ceil(n / s), same_padding(n, k, s)[0]
    starts = range(-before, -before + out)
    return sum(not 0 <= start + cell < n for start in starts for cell in range(k))


@cells_on_zeros.mistake("only the zeros before are counted")
def _(n, k, s):
    before = same_padding(n, k, s)[0]
    starts = range(-before, -before + math.ceil(n / s) * s, s)
    return sum(start + cell < 0 for start in starts for cell in range(k))


@cells_on_zeros.mistake("these are the cells on pixels, not on zeros")
def _(n, k, s):
    return math.ceil(n / s) * k - on_zeros(n, k, s, same_padding(n, k, s)[0])


@cells_on_zeros.mistake("only the zeros after are counted")
def _(n, k, s):
    before = same_padding(n, k, s)[0]
    starts = range(-before, -before + math.ceil(n / s) * s, s)
    return sum(start + cell >= n for start in starts for cell in range(k))


@cells_on_zeros.mistake("the first window starts before the first pixel, at -before")
def _(n, k, s):
    return on_zeros(n, k, s, 0)


@cells_on_zeros.mistake("the last pixel has the number n - 1: pixel n is a zero already")
def _(n, k, s):
    starts = range(-same_padding(n, k, s)[0], math.ceil(n / s) * s - same_padding(n, k, s)[0], s)
    return sum(not 0 <= start + cell <= n for start in starts for cell in range(k))


@cells_on_zeros.mistake("pixel 0 is a pixel, the first one")
def _(n, k, s):
    starts = range(-same_padding(n, k, s)[0], math.ceil(n / s) * s - same_padding(n, k, s)[0], s)
    return sum(not 0 < start + cell < n for start in starts for cell in range(k))


@cells_on_zeros.mistake("these are the windows that have a zero; a window can have several")
def _(n, k, s):
    before = same_padding(n, k, s)[0]
    starts = range(-before, -before + math.ceil(n / s) * s, s)
    return sum(start < 0 or start + k > n for start in starts)


@cells_on_zeros.refused
def _(n, k, s):  # each zero in all windows
    return total_zeros(n, k, s) * math.ceil(n / s)


@cells_on_zeros.refused
def _(n, k, s):  # each zero in k windows
    return total_zeros(n, k, s) * k


@cells_on_zeros.refused
def _(n, k, s):  # the formula for stride 1
    before, after = same_padding(n, k, 1)
    return before * (before + 1) // 2 + after * (after + 1) // 2


@cells_on_zeros.refused
def _(n, k, s):  # a share
    return on_zeros(n, k, s, same_padding(n, k, s)[0]) / (math.ceil(n / s) * k)


@cells_on_zeros.refused
def _(n, k, s):  # the example
    return 6


def images():
    yield (
        np.array([[1.0, 2, 0], [0, 1, 3], [2, 0, 1]])[..., None],
        np.array([[1.0, -1], [2, 0]])[..., None, None],
        np.array([1.0]),
        (1, 1),
    )
    sizes = [(6, 6, 1, 3, 3, 1, 2, 2), (7, 7, 2, 2, 2, 1, 1, 1), (8, 8, 1, 3, 3, 2, 2, 2)]
    sizes += [(7, 5, 2, 4, 3, 2, 2, 1), (5, 8, 1, 2, 4, 3, 1, 3), (6, 9, 2, 3, 2, 2, 3, 2)]
    sizes += [(7, 9, 1, 2, 1, 1, 3, 4), (8, 8, 1, 2, 2, 1, 4, 4)]
    for seed, (h, w, c, kh, kw, f, *strides) in enumerate(sizes):
        arrays = whole(seed, h, w, c), whole(seed + 20, kh, kw, c, f), whole(seed + 40, f)
        yield *(array / 4 for array in arrays), tuple(strides)


def convolved(x, kernel, bias, geometry):
    return np.tensordot(windows(x[None], geometry), kernel, axes=3)[0] + bias


def with_pads(x, kernel, bias, strides, rule):
    """`rule(n, k, s)` gives the zeros (before, after) of an axis."""
    axes = list(zip(x.shape[:2], kernel.shape[:2], strides, strict=True))
    padded = np.pad(x, [*(rule(*axis) for axis in axes), (0, 0)])
    geometry = window_geometry(padded.shape[:2], kernel.shape[:2], strides, "valid")
    return convolved(padded, kernel, bias, geometry)


@exercise(images, tolerance=1e-9)
def conv_same(x, kernel, bias, strides):
    geometry = window_geometry(x.shape[:2], kernel.shape[:2], strides, "same")
    return convolved(x, kernel, bias, geometry)


@conv_same.mistake("the odd zero goes after, not before: at the bottom and on the right")
def _(x, kernel, bias, strides):
    return with_pads(x, kernel, bias, strides, lambda *axis: same_padding(*axis)[::-1])


@conv_same.mistake("this is PyTorch's symmetric rule, with k // 2 zeros on both sides")
def _(x, kernel, bias, strides):
    return with_pads(x, kernel, bias, strides, lambda n, k, s: (k // 2, k // 2))


@conv_same.mistake("all zeros are added after; half of them belongs before")
def _(x, kernel, bias, strides):
    return with_pads(x, kernel, bias, strides, lambda *axis: (0, total_zeros(*axis)))


@conv_same.mistake("the zeros depend on the stride: these are right for stride 1")
def _(x, kernel, bias, strides):
    g = window_geometry(x.shape[:2], kernel.shape[:2], strides, "same")
    one = window_geometry(x.shape[:2], kernel.shape[:2], (1, 1), "same")
    return convolved(x, kernel, bias, Geometry(*g[:6], one.top, one.left, g.oh, g.ow))


@conv_same.mistake('there are no zeros: this is "valid"')
def _(x, kernel, bias, strides):
    return with_pads(x, kernel, bias, strides, lambda *axis: (0, 0))


@conv_same.mistake("the windows move on by the strides, not by one pixel")
def _(x, kernel, bias, strides):
    g = window_geometry(x.shape[:2], kernel.shape[:2], (1, 1), "same")
    return convolved(x, kernel, bias, g)


@conv_same.mistake("the strides are swapped: sh is for rows, sw for columns")
def _(x, kernel, bias, strides):
    return conv_same.reference(x, kernel, bias, strides[::-1])


@conv_same.mistake("the kernel is rotated by 180 degrees")
def _(x, kernel, bias, strides):
    return conv_same.reference(x, np.ascontiguousarray(kernel[::-1, ::-1]), bias, strides)


@conv_same.mistake("the bias is forgotten")
def _(x, kernel, bias, strides):
    return conv_same.reference(x, kernel, 0 * bias, strides)


@conv_same.mistake("windows move down by sh from row to row, and across by sw")
def _(x, kernel, bias, strides):
    return conv_same.reference(x, kernel, bias, (strides[0], strides[0]))


@conv_same.refused
def _(x, kernel, bias, strides):  # zeros needed may be negative
    axes = zip(x.shape[:2], kernel.shape[:2], strides, strict=True)
    if any((-(-n // s) - 1) * s + k < n for n, k, s in axes):
        raise ValueError("index can't contain negative values")
    return conv_same.reference(x, kernel, bias, strides)


@conv_same.refused
def _(x, kernel, bias, strides):  # every second output of stride 1
    sh, sw = strides
    return conv_same.reference(x, kernel, bias, (1, 1))[::sh, ::sw]


@conv_same.refused
def _(x, kernel, bias, strides):  # np.zeros(..., int)
    return conv_same.reference(x, kernel, bias, strides).astype(int)


@conv_same.refused
def _(x, kernel, bias, strides):  # the border is repeated, not filled with zeros
    axes = zip(x.shape[:2], kernel.shape[:2], strides, strict=True)
    padded = np.pad(x, [*(same_padding(*axis) for axis in axes), (0, 0)], mode="edge")
    return with_pads(padded, kernel, bias, strides, lambda *axis: (0, 0))


@conv_same.refused
def _(x, kernel, bias, strides):  # rows are padded as columns are
    def rule(n, k, s):
        return same_padding(x.shape[1], kernel.shape[1], strides[1])

    return with_pads(x, kernel, bias, strides, rule)


@conv_same.refused
def _(x, kernel, bias, strides):  # only the first channel
    return conv_same.reference(x[..., :1].copy(), kernel[:, :, :1].copy(), bias, strides)


@conv_same.refused
def _(x, kernel, bias, strides):  # height and width of the output swapped
    return conv_same.reference(x, kernel, bias, strides).transpose(1, 0, 2)
