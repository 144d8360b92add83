"""Lesson 1: parameters and multiply-adds, counted from shapes."""

import minicnn
from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D

from .engine import exercise


def conv_cases():
    return [(3, 3, 1, 2, 2, 1), (28, 28, 1, 5, 5, 32), (14, 14, 32, 5, 5, 64), (9, 5, 3, 1, 4, 2)]


@exercise(conv_cases)
def conv_costs(h, w, c, kh, kw, f):
    return kh * kw * c * f + f, h * w * kh * kw * c * f


@conv_costs.mistake("the biases are missing, one for each of the f kernels")
def _(h, w, c, kh, kw, f):
    return kh * kw * c * f, h * w * kh * kw * c * f


@conv_costs.mistake("a kernel has one bias, not one for each position")
def _(h, w, c, kh, kw, f):
    return kh * kw * c * f + h * w * f, h * w * kh * kw * c * f


@conv_costs.mistake("there is one bias for each of the f kernels, not one in all")
def _(h, w, c, kh, kw, f):
    return kh * kw * c * f + 1, h * w * kh * kw * c * f


@conv_costs.mistake("a kernel reaches through all c channels")
def _(h, w, c, kh, kw, f):
    return kh * kw * f + f, h * w * kh * kw * f


@conv_costs.mistake("the parameters are right; the same ones are used again at every position")
def _(h, w, c, kh, kw, f):
    return kh * kw * c * f + f, kh * kw * c * f


@conv_costs.mistake("adding the bias is not counted as a multiply-add here")
def _(h, w, c, kh, kw, f):
    return kh * kw * c * f + f, h * w * f * (kh * kw * c + 1)


@conv_costs.mistake('with "same" padding the output is as large as the image, h x w')
def _(h, w, c, kh, kw, f):
    return kh * kw * c * f + f, (h - kh + 1) * (w - kw + 1) * kh * kw * c * f


@exercise(lambda: [(3, 2), (3136, 64), (64, 10), (1, 1)])
def dense_costs(inputs, units):
    return inputs * units + units, inputs * units


@dense_costs.mistake("the biases are missing, one for each unit")
def _(inputs, units):
    return inputs * units, inputs * units


@dense_costs.mistake("biases belong to units, not to inputs")
def _(inputs, units):
    return inputs * units + inputs, inputs * units


@dense_costs.mistake("adding the bias is not counted as a multiply-add here")
def _(inputs, units):
    return inputs * units + units, inputs * units + units


@exercise(lambda: [()], hidden=True)
def predicted():
    # Named by hand: automatic names would count on from those of the student's notebook.
    model = minicnn.Sequential(
        [
            Input((11, 9, 3)),
            Conv2D(4, 3, padding="same", name="a"),
            MaxPooling2D(2, name="b"),
            Conv2D(6, (3, 2), padding="same", name="c"),
            MaxPooling2D(2, name="d"),
            Flatten(name="e"),
            Dense(5, name="f"),
        ],
        name="predicted",
    )
    return [(layer.output_shape(layer.input_shape), layer.count_params()) for layer in model.layers]


@predicted.mistake("pooling drops an odd last row or column, it does not round up")
def _():
    images = [((11, 9, 4), 112), ((6, 5, 4), 0), ((6, 5, 6), 150), ((3, 3, 6), 0)]
    return [*images, ((54,), 0), ((5,), 275)]


@predicted.mistake("the output of a convolution has f channels, however many came in")
def _():
    images = [((11, 9, 12), 112), ((5, 4, 12), 0), ((5, 4, 72), 438), ((2, 2, 72), 0)]
    return [*images, ((288,), 0), ((5,), 1445)]


@predicted.mistake("the biases are missing")
def _():
    images = [((11, 9, 4), 108), ((5, 4, 4), 0), ((5, 4, 6), 144), ((2, 2, 6), 0)]
    return [*images, ((24,), 0), ((5,), 120)]


@predicted.mistake("the second convolution sees the 4 channels of the first one, not 3")
def _():
    images = [((11, 9, 4), 112), ((5, 4, 4), 0), ((5, 4, 6), 114), ((2, 2, 6), 0)]
    return [*images, ((24,), 0), ((5,), 125)]
