"""Lesson 2: the formula of a convolution, the way round of its kernel, two of them in a row."""

from typing import NamedTuple

import numpy as np

from minicnn.shapes import window_geometry
from minicnn.windows import windows

from .engine import NotYet, exercise


def whole(seed, *shape):
    """Whole numbers, whose sums of products no rounding touches; never 0, that none is idle."""
    numbers = np.random.default_rng(seed).integers(1, 5, shape)
    signs = np.random.default_rng(seed + 1).choice([-1.0, 1.0], shape)
    return numbers * signs


def conv_cases():
    yield (
        np.array([[1.0, 2, 0], [0, 1, 3], [2, 0, 1]])[..., None],
        np.array([[1.0, -1], [2, 0]])[..., None, None],
        np.array([1.0]),
    )
    # Squares first: on them, swapping height and width gives numbers, not yet an error.
    sizes = [(5, 5, 1, 3, 3, 1), (5, 5, 2, 2, 2, 1), (4, 4, 1, 2, 2, 3), (5, 5, 3, 2, 2, 2)]
    sizes += [(4, 6, 2, 2, 2, 3), (6, 4, 2, 2, 3, 2), (5, 7, 3, 3, 2, 2), (3, 4, 2, 3, 4, 2)]
    for seed, (h, w, c, kh, kw, f) in enumerate(sizes):
        yield whole(seed, h, w, c), whole(seed + 20, kh, kw, c, f), whole(seed + 40, f)
    # Fractions, which an array of integers would cut off; of eighths, which nothing rounds.
    yield whole(60, 4, 5, 2) / 8, whole(61, 2, 3, 2, 2) / 8, whole(62, 2) / 8


@exercise(conv_cases, tolerance=1e-9)
def conv_valid(x, kernel, bias):
    geometry = window_geometry(x.shape[:2], kernel.shape[:2], (1, 1), "valid")
    return np.tensordot(windows(x[None], geometry), kernel, axes=3)[0] + bias


right = conv_valid.reference


@conv_valid.mistake("the kernel is rotated by 180 degrees; x[i + ki, j + kj] meets kernel[ki, kj]")
def _(x, kernel, bias):
    return right(x, np.ascontiguousarray(kernel[::-1, ::-1]), bias)


@conv_valid.mistake("height and width of the output are swapped")
def _(x, kernel, bias):
    return right(x, kernel, bias).transpose(1, 0, 2)


@conv_valid.mistake("height and width of the kernel are swapped")
def _(x, kernel, bias):
    kh, kw, _, _ = kernel.shape
    if kh != kw:
        raise IndexError
    return right(x, np.ascontiguousarray(kernel.transpose(1, 0, 2, 3)), bias)


@conv_valid.mistake("the loop over rows has the bounds of the columns, and the other way round")
def _(x, kernel, bias):
    (h, w, _), (kh, kw, _, _) = x.shape, kernel.shape
    if h - kh != w - kw:
        raise IndexError
    return right(x, kernel, bias)


@conv_valid.mistake("channels are not summed: only the first one counts")
def _(x, kernel, bias):
    return right(np.ascontiguousarray(x[..., :1]), np.ascontiguousarray(kernel[:, :, :1]), bias)


@conv_valid.mistake("channels are not summed: only the last one counts")
def _(x, kernel, bias):
    return right(np.ascontiguousarray(x[..., -1:]), np.ascontiguousarray(kernel[:, :, -1:]), bias)


@conv_valid.mistake("channels are to be summed, not averaged")
def _(x, kernel, bias):
    return right(x, kernel / x.shape[2], bias)


@conv_valid.mistake("the bias is forgotten")
def _(x, kernel, bias):
    return right(x, kernel, 0 * bias)


@conv_valid.mistake("the bias is added once an output, not once a product")
def _(x, kernel, bias):
    return right(x, kernel, bias * kernel[..., 0].size)


def last_product_only(x, kernel, bias):
    last = np.zeros_like(kernel)
    last[-1, -1, -1] = kernel[-1, -1, -1]
    return right(x, last, bias)


conv_valid.mistake("each product replaces the one before: write += for =")(last_product_only)


@conv_valid.mistake("each product replaces the bias and the product before: write += for =")
def _(x, kernel, bias):
    return last_product_only(x, kernel, 0 * bias)


@conv_valid.mistake("the window stops one step too early: there are h - kh + 1 places")
def _(x, kernel, bias):
    return right(x, kernel, bias)[:-1, :-1]


@conv_valid.mistake("this is the output for many images; here x is a single one")
def _(x, kernel, bias):
    return right(x, kernel, bias)[None]


@conv_valid.mistake("the bias is to be added, not subtracted")
def _(x, kernel, bias):
    return right(x, kernel, -bias)


@conv_valid.mistake(
    "channels are not summed: each output has a channel of its own for each of them"
)
def _(x, kernel, bias):
    each = [right(x[..., [ch]], kernel[:, :, [ch]], bias) for ch in range(x.shape[2])]
    return np.stack(each, axis=2)


@conv_valid.mistake(
    "all feature maps are those of the first kernel: kernel[..., o] is the one of map o"
)
def _(x, kernel, bias):
    return right(x, np.repeat(kernel[..., :1], len(bias), axis=3), bias)


@conv_valid.mistake("the largest product is not the sum of products: this is max pooling of them")
def _(x, kernel, bias):
    geometry = window_geometry(x.shape[:2], kernel.shape[:2], (1, 1), "valid")
    products = windows(x[None], geometry)[0][..., None] * kernel
    return products.max(axis=(2, 3, 4)) + bias


@conv_valid.refused
def _(x, kernel, bias):  # with zeros around the image
    pads = [(k // 2, k - 1 - k // 2) for k in kernel.shape[:2]]
    return right(np.pad(x, [*pads, (0, 0)]), kernel, bias)


@conv_valid.refused
def _(x, kernel, bias):  # windows side by side
    kh, kw = kernel.shape[:2]
    return right(x, kernel, bias)[::kh, ::kw]


@conv_valid.refused
def _(x, kernel, bias):  # channels of the kernel in the opposite order
    return right(x, np.ascontiguousarray(kernel[:, :, ::-1]), bias)


@conv_valid.refused
def _(x, kernel, bias):  # np.zeros(..., int)
    return right(x, kernel, bias).astype(int)


@conv_valid.refused
def _(x, kernel, bias):  # einsum with the kernel's rows and columns exchanged
    return right(x, np.ascontiguousarray(kernel.swapaxes(0, 1)), bias)


@conv_valid.refused
def _(x, kernel, bias):  # the bias of the first filter for all
    return right(x, kernel, np.full_like(bias, bias[0]))


@conv_valid.refused
def _(x, kernel, bias):  # the product with the mean of the kernel
    return right(x, np.full_like(kernel, kernel.mean()), bias)


@conv_valid.refused
def _(x, kernel, bias):  # right, with ReLU
    return np.maximum(right(x, kernel, bias), 0)


def slide(x, kernel, bias=0.0):
    """The lesson's: one channel, one kernel."""
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape)
    return (windows * kernel).sum((2, 3)) + bias


class Box:
    """A convolution that hides its kernel from the student, but not from this module."""

    def __init__(self, kernel, bias):
        self.kernel, self.bias = kernel, bias

    def __call__(self, image):
        return slide(np.asarray(image, float), self.kernel, self.bias)


def boxes():
    sizes = [(2, 2), (3, 3), (2, 3), (4, 1), (1, 1)]
    for seed, (kh, kw) in enumerate(sizes):
        yield Box(whole(seed, kh, kw) / 4, whole(seed + 20).item()), kh, kw


@exercise(boxes, tolerance=1e-9)
def kernel_of(conv, kh, kw):
    return conv.kernel


@kernel_of.mistake("it is rotated by 180 degrees, as a single point shows it")
def _(conv, kh, kw):
    return conv.kernel[::-1, ::-1]


@kernel_of.mistake("the bias is still in it; what does conv give for an empty image?")
def _(conv, kh, kw):
    return conv.kernel + conv.bias


@kernel_of.mistake("it is rotated by 180 degrees, and the bias is still in it")
def _(conv, kh, kw):
    return conv.kernel[::-1, ::-1] + conv.bias


@kernel_of.mistake("rows and columns are swapped")
def _(conv, kh, kw):
    return conv.kernel.T


@kernel_of.mistake("it is flipped upside down only; a rotation by 180 degrees reverses both axes")
def _(conv, kh, kw):
    return conv.kernel[::-1]


@kernel_of.mistake("it is flipped left to right only; a rotation by 180 degrees reverses both axes")
def _(conv, kh, kw):
    return conv.kernel[:, ::-1]


@kernel_of.mistake("the bias is subtracted twice")
def _(conv, kh, kw):
    return conv.kernel - conv.bias


@kernel_of.refused
def _(conv, kh, kw):  # a point in an image of the kernel's size shows one number
    return np.array([[conv(np.ones((kh, kw))).item()]])


@kernel_of.refused
def _(conv, kh, kw):  # the whole output
    point = np.zeros((2 * kh + 1, 2 * kw + 1))
    point[kh, kw] = 1
    return conv(point)


@kernel_of.refused
def _(conv, kh, kw):  # np.zeros(..., int)
    return conv.kernel.astype(int)


@kernel_of.refused
def _(conv, kh, kw):  # the bright point in the corner shows one number of the kernel
    point = np.zeros((kh, kw))
    point[0, 0] = 1
    return np.full((kh, kw), (conv(point) - conv(0 * point)).item())


@kernel_of.refused
def _(conv, kh, kw):  # scaled to a sum of 1
    return conv.kernel / conv.kernel.sum()


def pairs():
    sizes = [(2, 2, 2, 2), (3, 3, 3, 3), (1, 2, 2, 1), (2, 3, 4, 2)]
    for seed, (kh, kw, kh2, kw2) in enumerate(sizes):
        yield whole(seed, kh, kw) / 2, whole(seed + 20, kh2, kw2)


@exercise(pairs, tolerance=1e-9)
def merged(first, second):
    (kh, kw), (kh2, kw2) = first.shape, second.shape
    kernel = np.zeros((kh + kh2 - 1, kw + kw2 - 1))
    for ki, kj in np.ndindex(kh2, kw2):
        kernel[ki : ki + kh, kj : kj + kw] += second[ki, kj] * first
    return kernel


@merged.mistake("it is rotated by 180 degrees")
def _(first, second):
    return merged.reference(first, second)[::-1, ::-1]


@merged.mistake("the first kernel is rotated by 180 degrees")
def _(first, second):
    return merged.reference(first[::-1, ::-1], second)


@merged.mistake("the second kernel is rotated by 180 degrees")
def _(first, second):
    return merged.reference(first, second[::-1, ::-1])


@merged.mistake("kernels do not just add up; two of 2 x 2 see 3 x 3 cells of the image")
def _(first, second):
    return first + second


@merged.mistake("a matrix product of two kernels is no convolution")
def _(first, second):
    return first @ second


@merged.mistake(
    "kernels are not multiplied cell by cell; two of 2 x 2 see 3 x 3 cells of the image"
)
def _(first, second):
    return first * second


@merged.refused
def _(first, second):  # the valid part only
    if first.shape[0] < second.shape[0] or first.shape[1] < second.shape[1]:
        return slide(second, first[::-1, ::-1])
    return slide(first, second[::-1, ::-1])


@merged.refused
def _(first, second):  # one row too many
    return np.pad(merged.reference(first, second), [(0, 1), (0, 0)])


@merged.refused
def _(first, second):  # np.zeros(..., int)
    return merged.reference(first, second).astype(int)


@merged.refused
def _(first, second):  # the kernels' outer product, reshaped
    return np.outer(first, second)


@merged.refused
def _(first, second):  # each product replaces the one before
    kernel = merged.reference(0 * first, second)
    for ki, kj in np.ndindex(second.shape):
        kernel[ki : ki + first.shape[0], kj : kj + first.shape[1]] = second[ki, kj] * first
    return kernel


def one_look(function, conv, kh, kw):
    looks = []

    def counted(image):
        looks.append(image)
        if len(looks) > 1:
            raise NotYet("conv was called a second time; one image has to do")
        return conv(image)

    result = function(counted, kh, kw)
    if result is None:
        return None
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise NotYet("opened_at_once has to return a pair, (kernel, bias)")
    kernel, bias = result
    if np.ndim(bias) != 0:
        raise NotYet(f"the bias is a number, yours is an array of shape {np.shape(bias)}")
    return {"kernel": kernel, "bias": bias}


class Known(NamedTuple):
    """What wrong answers are made of, which see into the box without looking."""

    kernel: np.ndarray
    bias: float

    @classmethod
    def of(cls, conv, kh, kw):
        image = np.zeros((3 * kh, 3 * kw))
        image[kh - 1, kw - 1] = 1
        y = conv(image)
        return cls(y[:kh, :kw][::-1, ::-1] - y[-1, -1], y[-1, -1].item())


@exercise(boxes, tolerance=1e-9, run=one_look)
def opened_at_once(conv, kh, kw):
    return tuple(Known.of(conv, kh, kw))


@opened_at_once.mistake("the kernel is rotated by 180 degrees, as a single point shows it")
def _(conv, kh, kw):
    known = Known.of(conv, kh, kw)
    return known.kernel[::-1, ::-1], known.bias


@opened_at_once.mistake("the bias is still in the kernel; subtract it")
def _(conv, kh, kw):
    known = Known.of(conv, kh, kw)
    return known.kernel + known.bias, known.bias


@opened_at_once.mistake("the kernel is rotated by 180 degrees, and the bias is still in it")
def _(conv, kh, kw):
    known = Known.of(conv, kh, kw)
    return known.kernel[::-1, ::-1] + known.bias, known.bias


@opened_at_once.mistake("the kernel is right; the bias is what conv gives where it sees only zeros")
def _(conv, kh, kw):
    known = Known.of(conv, kh, kw)
    return known.kernel, known.kernel[-1, -1] + known.bias


@opened_at_once.mistake("the kernel is right, but the bias is not always 0")
def _(conv, kh, kw):
    return Known.of(conv, kh, kw).kernel, 0.0


@opened_at_once.mistake("the bias is right, but has the wrong sign")
def _(conv, kh, kw):
    known = Known.of(conv, kh, kw)
    return known.kernel, -known.bias


@opened_at_once.mistake("rows and columns of the kernel are swapped")
def _(conv, kh, kw):
    known = Known.of(conv, kh, kw)
    return known.kernel.T, known.bias


@opened_at_once.refused
def _(conv, kh, kw):  # the answer of exercise 2
    point = np.zeros((2 * kh - 1, 2 * kw - 1))
    bias = conv(point)
    point[kh - 1, kw - 1] = 1
    return (conv(point) - bias)[::-1, ::-1], bias[0, 0]


@opened_at_once.refused
def _(conv, kh, kw):  # in the opposite order
    return tuple(Known.of(conv, kh, kw))[::-1]


@opened_at_once.refused
def _(conv, kh, kw):  # the bias is an array
    known = Known.of(conv, kh, kw)
    return known.kernel, np.full((kh, kw), known.bias)


@opened_at_once.refused
def _(conv, kh, kw):  # the mean of what is seen
    known = Known.of(conv, kh, kw)
    return known.kernel, known.kernel.mean() + known.bias


@opened_at_once.refused
def _(conv, kh, kw):  # an array of integers
    known = Known.of(conv, kh, kw)
    return known.kernel.astype(int), known.bias


@opened_at_once.refused
def _(conv, kh, kw):  # the image is as small as that of exercise 2: each place sees the point
    point = np.zeros((2 * kh - 1, 2 * kw - 1))
    point[kh - 1, kw - 1] = 1
    y = conv(point)
    return y[::-1, ::-1] - y[-1, -1], y[-1, -1]
