"""Lesson 1: parameters and multiply-adds, counted from shapes."""

import minicnn
from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D

from .engine import NotYet, exercise


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


@conv_costs.mistake("the order is (parameters, multiply-adds), not the other way round")
def _(h, w, c, kh, kw, f):
    return h * w * kh * kw * c * f, kh * kw * c * f + f


@conv_costs.mistake(
    "each of the f kernels makes a number at every position: f is missing in the work"
)
def _(h, w, c, kh, kw, f):
    return kh * kw * c * f + f, h * w * kh * kw * c


@conv_costs.mistake(
    "a number of the output takes products with all c channels: c is missing in the work"
)
def _(h, w, c, kh, kw, f):
    return kh * kw * c * f + f, h * w * kh * kw * f


@conv_costs.mistake(
    "there is one bias for each of the f kernels, not one for each of their channels"
)
def _(h, w, c, kh, kw, f):
    return kh * kw * c * f + c * f, h * w * kh * kw * c * f


@conv_costs.refused
def _(h, w, c, kh, kw, f):  # square images and kernels
    return kh**2 * c * f + f, h**2 * kh**2 * c * f


@conv_costs.refused
def _(h, w, c, kh, kw, f):  # multiplications and additions counted apart
    return kh * kw * c * f + f, 2 * h * w * kh * kw * c * f


@conv_costs.refused
def _(h, w, c, kh, kw, f):  # numbers with a decimal point
    return (kh * kw * c * f + f) / 1, (h * w * kh * kw * c * f) / 1


@conv_costs.refused
def _(h, w, c, kh, kw, f):  # the first convolution of the lesson
    return 832, 627200


@conv_costs.refused
def _(h, w, c, kh, kw, f):  # one sum
    return kh * kw * c * f + f + h * w * kh * kw * c * f


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


@dense_costs.mistake("the order is (parameters, multiply-adds), not the other way round")
def _(inputs, units):
    return inputs * units, inputs * units + units


@dense_costs.mistake("there is one bias for each unit, not one in all")
def _(inputs, units):
    return inputs * units + 1, inputs * units


@dense_costs.mistake("each unit has a weight for each input: inputs * units of them")
def _(inputs, units):
    return inputs + units, inputs * units


@dense_costs.refused
def _(inputs, units):
    return inputs * units + units, 2 * inputs * units


@dense_costs.refused
def _(inputs, units):
    return (inputs * units + units) / 1, inputs * units


@dense_costs.refused
def _(inputs, units):
    return inputs**2 + units, inputs * units


@dense_costs.refused
def _(inputs, units):
    return 8, 6


LAYERS = ["Conv2D(4)", "first MaxPooling2D", "Conv2D(6)", "second MaxPooling2D", "Flatten", "Dense"]


def layer_by_layer(function):
    """What is returned, if it is right or a mistake with a name; else which part is not right."""
    result, expected = function(), predicted.reference()
    known = [wrong() for wrong in predicted.mistakes.values()]
    if result is None or _as_lists(result) in map(_as_lists, [expected, *known]):
        return result
    if not isinstance(result, tuple | list) or len(result) != len(LAYERS):
        raise NotYet(f"predicted has to return a list of {len(LAYERS)} pairs, one for each layer")
    for name, pair, (shape, count) in zip(LAYERS, result, expected, strict=True):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise NotYet(f"{name}: a pair is expected, (shape, parameters), got {pair!r:.50}")
        wrong = [
            f"the {part}, {got!r:.50}, {'are' if part == 'parameters' else 'is'} not right"
            for part, got, right in zip(("shape", "parameters"), pair, (shape, count), strict=True)
            if _as_lists(got) != _as_lists(right)
        ]
        if wrong:
            rest = "; the rest of this layer is right" * (len(wrong) == 1)
            raise NotYet(f"{name}: {' and '.join(wrong)}{rest}")
    return result


def _as_lists(value):
    """With lists for tuples, and nothing but integers equal to integers."""
    if isinstance(value, tuple | list):
        return [_as_lists(each) for each in value]
    return value if isinstance(value, int) and not isinstance(value, bool) else repr(value)


@exercise(lambda: [()], hidden=True, run=layer_by_layer)
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


@predicted.mistake("pooling and flattening have nothing to learn: they have 0 parameters")
def _():
    images = [((11, 9, 4), 112), ((5, 4, 4), 4), ((5, 4, 6), 150), ((2, 2, 6), 6)]
    return [*images, ((24,), 24), ((5,), 125)]


@predicted.mistake('height and width stay as they are: the padding is "same"')
def _():
    images = [((9, 7, 4), 112), ((4, 3, 4), 0), ((2, 2, 6), 150), ((1, 1, 6), 0)]
    return [*images, ((6,), 0), ((5,), 35)]


@predicted.mistake("there is one bias for each kernel or unit, not one for a layer")
def _():
    images = [((11, 9, 4), 109), ((5, 4, 4), 0), ((5, 4, 6), 145), ((2, 2, 6), 0)]
    return [*images, ((24,), 0), ((5,), 121)]


@predicted.refused
def _():
    return [(shape, float(count)) for shape, count in predicted.reference()]


@predicted.refused
def _():
    return [shape for shape, _ in predicted.reference()]


@predicted.refused
def _():
    return [(count, shape) for shape, count in predicted.reference()]


@predicted.refused
def _():
    return [((None, *shape), count) for shape, count in predicted.reference()]


@predicted.refused
def _():  # height and width of the second kernel swapped in the shape
    return [
        ((shape[1], shape[0], *shape[2:]) if len(shape) == 3 else shape, count)
        for shape, count in predicted.reference()
    ]


@predicted.refused
def _():
    return predicted.reference()[:-1]


TUTORIAL = [("conv", 32, 5, 5), ("pool", 2), ("conv", 64, 5, 5), ("pool", 2), ("flatten",)]
TUTORIAL += [("dense", 64), ("dense", 10)]


def networks():
    yield (3,), [("dense", 2), ("dense", 1)]
    yield (4, 6, 1), [("conv", 3, 2, 3)]
    yield (11, 9, 3), [("conv", 4, 3, 3), ("pool", 2), ("conv", 6, 3, 2), ("pool", 2)]
    yield (7, 5, 2), [("pool", 3), ("flatten",), ("dense", 5)]
    yield (5, 4, 2), [("conv", 3, 1, 2), ("conv", 2, 3, 1), ("flatten",), ("dense", 4)]
    yield (28, 28, 1), TUTORIAL
    yield (6, 8, 2), [("flatten",), ("dense", 3), ("dense", 7), ("dense", 2)]


def costs(shape, layers, rounding=0, channels=None, bias=1):
    """Of all layers: a list of pairs. `rounding=1` pools with what is left over at the end."""
    shape, every = list(shape), []
    for kind, *numbers in layers:
        if kind == "conv":
            h, w, c = shape
            f, kh, kw = numbers
            every.append((kh * kw * c * f + bias * f, h * w * kh * kw * c * f))
            shape = [h, w, c if channels == "kept" else f]
        elif kind == "pool" and channels != "never pooled":
            (size,) = numbers
            shape = [(n + rounding * (size - 1)) // size for n in shape[:2]] + shape[2:]
        elif kind == "flatten":
            shape = [shape[0] * shape[1] * (1 if channels == "not flattened" else shape[2])]
        elif kind == "dense":
            every.append((shape[0] * numbers[0] + bias * numbers[0], shape[0] * numbers[0]))
            shape = numbers
    return every


def total(every):
    return sum(parameters for parameters, _ in every), sum(work for _, work in every)


@exercise(networks)
def network_costs(shape, layers):
    return total(costs(shape, layers))


@network_costs.mistake("pooling drops what is left over, it does not round up")
def _(shape, layers):
    return total(costs(shape, layers, rounding=1))


@network_costs.mistake("after a convolution there are f channels, not c")
def _(shape, layers):
    return total(costs(shape, layers, channels="kept"))


@network_costs.mistake("pooling makes the image smaller, for all layers that come later")
def _(shape, layers):
    return total(costs(shape, layers, channels="never pooled"))


@network_costs.mistake("flattening keeps the numbers of all channels: h * w * c")
def _(shape, layers):
    return total(costs(shape, layers, channels="not flattened"))


@network_costs.mistake("the biases are missing")
def _(shape, layers):
    return total(costs(shape, layers, bias=0))


@network_costs.mistake("these are the costs of the last layer that has any, not of all together")
def _(shape, layers):
    return costs(shape, layers)[-1]


@network_costs.mistake(
    "these are the costs of the first layer that has any: is `return` in the loop?"
)
def _(shape, layers):
    return costs(shape, layers)[0]


@network_costs.mistake("the order is (parameters, multiply-adds), not the other way round")
def _(shape, layers):
    return total(costs(shape, layers))[::-1]


@network_costs.refused
def _(shape, layers):  # only convolutions
    return total(costs(shape, [layer for layer in layers if layer[0] != "dense"]))


@network_costs.refused
def _(shape, layers):  # only the parameters
    return total(costs(shape, layers))[0]


@network_costs.refused
def _(shape, layers):  # height and width of kernels swapped, of square ones no mistake
    return total(costs((shape[0], shape[0], *shape[2:]) if len(shape) == 3 else shape, layers))


@network_costs.refused
def _(shape, layers):  # pooling halves, whatever its size
    halved = [("pool", 2) if layer[0] == "pool" else layer for layer in layers]
    return total(costs(shape, halved))


@network_costs.refused
def _(shape, layers):  # numbers with a decimal point
    return tuple(each / 1 for each in total(costs(shape, layers)))


@network_costs.refused
def _(shape, layers):
    return 253514, 10863744
