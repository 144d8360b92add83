"""Lesson 3: how many zeros, on which side, and how many windows there are then."""

import itertools
import math

from minicnn.shapes import same_padding, window_geometry

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
