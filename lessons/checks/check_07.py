"""Lesson 7: the backward passes of a dense layer and of ReLU, and of networks made of them."""

import itertools

import numpy as np

from minicnn.losses import cross_entropy_of_logits

from .check_02 import whole
from .engine import exercise, returning


def dense_cases():
    yield np.array([[1.0, 0, 0]]), np.array([[1.0, 2], [0, 1], [3, 0]]), np.array([[-0.5, 0.5]])
    # Squares first: on them a forgotten transpose gives numbers, not yet an error.
    sizes = [(3, 3, 3), (1, 2, 2), (4, 2, 3), (5, 3, 2), (2, 1, 4)]
    for seed, (n, inputs, units) in enumerate(sizes):
        shapes = (n, inputs), (inputs, units), (n, units)
        yield tuple(whole(20 * i + seed, *shape) / 2 for i, shape in enumerate(shapes))
    rng = np.random.default_rng(7)
    yield tuple(rng.normal(size=shape) for shape in [(3, 4), (4, 2), (3, 2)])


@exercise(dense_cases, tolerance=1e-9, run=returning("dx", "dkernel", "dbias"))
def dense_backward(x, kernel, dy):
    return dy @ kernel.T, x.T @ dy, dy.sum(axis=0)


right = dense_backward.reference


@dense_backward.mistake("the kernel has to be transposed in dx: dy @ kernel.T")
def _(x, kernel, dy):
    return dy @ kernel, *right(x, kernel, dy)[1:]


@dense_backward.mistake("kernel.reshape is not the transpose: it keeps the numbers in their order")
def _(x, kernel, dy):
    return dy @ kernel.reshape(kernel.shape[::-1]), *right(x, kernel, dy)[1:]


@dense_backward.mistake("this dkernel is the transpose of the right one: x.T @ dy, not dy.T @ x")
def _(x, kernel, dy):
    dx, dkernel, dbias = right(x, kernel, dy)
    return dx, dkernel.T, dbias


@dense_backward.mistake("dkernel is the sum over the samples, not their mean; dy has the 1/n")
def _(x, kernel, dy):
    dx, dkernel, dbias = right(x, kernel, dy)
    return dx, dkernel / len(x), dbias


@dense_backward.mistake("dkernel and dbias are sums over the samples, not means; dy has the 1/n")
def _(x, kernel, dy):
    dx, dkernel, dbias = right(x, kernel, dy)
    return dx, dkernel / len(x), dbias / len(x)


@dense_backward.mistake("dbias is the sum over the samples, not their mean; dy has the 1/n")
def _(x, kernel, dy):
    dx, dkernel, dbias = right(x, kernel, dy)
    return dx, dkernel, dbias / len(x)


@dense_backward.mistake("the bias belongs to all samples: dbias is dy summed over axis 0")
def _(x, kernel, dy):
    return *right(x, kernel, dy)[:2], dy


@dense_backward.mistake("dbias has an entry for each unit: the sum over axis 0, not over axis 1")
def _(x, kernel, dy):
    return *right(x, kernel, dy)[:2], dy.sum(axis=1)


@dense_backward.mistake("dbias has an entry for each unit, not one sum for all")
def _(x, kernel, dy):
    return *right(x, kernel, dy)[:2], dy.sum()


@dense_backward.mistake("dbias is of shape (units,), not (1, units)")
def _(x, kernel, dy):
    return *right(x, kernel, dy)[:2], dy.sum(axis=0, keepdims=True)


@dense_backward.mistake("dbias is that of one sample alone")
def _(x, kernel, dy):
    return *right(x, kernel, dy)[:2], dy[-1]


@dense_backward.mistake("the three are expected in the order dx, dkernel, dbias")
def _(x, kernel, dy):
    dx, dkernel, dbias = right(x, kernel, dy)
    return dkernel, dbias, dx


@dense_backward.mistake("these gradients point downhill; the minus belongs to the step")
def _(x, kernel, dy):
    return tuple(-gradient for gradient in right(x, kernel, dy))


@dense_backward.refused
def _(x, kernel, dy):  # arrays of integers
    return tuple(gradient.astype(int) for gradient in right(x, kernel, dy))


@dense_backward.refused
def _(x, kernel, dy):  # the forward pass once more
    return x @ kernel, x.T @ dy, dy.sum(axis=0)


@dense_backward.refused
def _(x, kernel, dy):  # the outer product of the first sample alone
    dx, _, dbias = right(x, kernel, dy)
    return dx, np.outer(x[0], dy[0]), dbias


def relu_cases():
    yield np.array([[0.5, 0.5, -1.5]]), np.array([[1.0, 0, 0]])
    yield np.array([0.25, -2, 3, -0.5]), np.array([2.0, 0, 1e-6, 0.5])
    rng = np.random.default_rng(7)
    for shape in [(4, 3), (2, 3, 3, 2)]:
        yield whole(3, *shape) / 4, np.maximum(rng.integers(-3, 4, shape) / 2, 0)


@exercise(relu_cases, tolerance=1e-9)
def relu_backward(dy, y):
    return np.where(y > 0, dy, 0)


@relu_backward.mistake(
    "everything passes; where the output is 0, nothing may: compare with > 0, not with >= 0"
)
def _(dy, y):
    return np.where(y >= 0, dy, 0)


@relu_backward.mistake("this is ReLU of dy; where the *output* was positive dy passes, of any sign")
def _(dy, y):
    return np.maximum(dy, 0)


@relu_backward.mistake("where ReLU is open dy passes as it is; it is not multiplied by the output")
def _(dy, y):
    return dy * y


@relu_backward.mistake("this is the slope alone, 0 or 1; multiply it by dy")
def _(dy, y):
    return (y > 0).astype(float)


@relu_backward.mistake("this lets through what ReLU has stopped, and stops the rest")
def _(dy, y):
    return np.where(y > 0, 0, dy)


@relu_backward.mistake("closed is not -dy: where the output is 0 nothing passes")
def _(dy, y):
    return np.where(y > 0, dy, -dy)


@relu_backward.mistake("dy[y > 0] is a shorter list of numbers; keep the shape, with zeros")
def _(dy, y):
    return dy[y > 0]


@relu_backward.refused
def _(dy, y):  # an array of integers
    return np.where(y > 0, dy, 0).astype(int)


@relu_backward.refused
def _(dy, y):  # dy is changed in place
    dy[y <= 0] = 0
    return dy


def networks():
    """Weights of two layers, a batch, labels; half of the hidden units are off."""
    for seed, (n, sizes) in enumerate([(1, (2, 3, 2)), (3, (3, 3, 3)), (5, (4, 6, 3))]):
        yield network(seed, n, sizes)
    yield from extremes()


def extremes():
    """A hidden unit at exactly 0 and one next to it; scores whose exp overflows."""
    kernels = np.array([[1.0, 0, 0], [0, 1, 0]]), np.array([[1.0, 2], [0, 1], [3, 0]])
    weights = [kernels[0], np.array([-1, 0, 1e-6]), kernels[1], np.zeros(2)]
    yield weights, np.array([[1.0, 2]]), np.array([0])
    weights, x, labels = network(3, 4, (3, 4, 3))
    yield [*weights[:2], 1000 * weights[2], weights[3]], x, labels


def network(seed, n, sizes):
    rng = np.random.default_rng(seed)
    weights = []
    for inputs, units in itertools.pairwise(sizes):
        weights += [rng.normal(size=(inputs, units)), rng.normal(size=units)]
    return weights, rng.normal(size=(n, sizes[0])), rng.integers(0, sizes[-1], n)


def naive_cross_entropy(labels, z):
    with np.errstate(all="ignore"):
        probabilities = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        losses = -np.log(probabilities[np.arange(len(z)), labels])
    return losses, probabilities - np.eye(z.shape[1])[labels]


def passes(
    weights, x, labels, mean=True, masked=True, relu_last=False, each=False,
    loss_of=cross_entropy_of_logits,
):  # fmt: skip
    """Loss and gradients of a network of dense layers, right unless told otherwise."""
    inputs, y = [], x
    pairs = list(zip(weights[::2], weights[1::2], strict=True))
    for kernel, bias in pairs:
        inputs.append(y)
        z = y @ kernel + bias
        y = np.maximum(z, 0)
    losses, dz = loss_of(labels, y if relu_last else z)
    dz = dz / len(x) if mean else dz
    gradients = []
    for (kernel, _), a in zip(pairs[::-1], inputs[::-1], strict=True):
        dx, *own = right(a, kernel, dz)
        gradients[:0] = own
        dz = np.where(a > 0, dx, 0) if masked else dx
    return losses if each else float(losses.mean()), gradients


@exercise(networks, tolerance=1e-9, run=returning("loss", "gradients"))
def two_layers(weights, x, labels):
    return passes(weights, x, labels)


def other_options(task):
    """The mistakes that both networks share."""

    @task.mistake("the loss is a mean: its gradient has to be divided by the number of samples")
    def _(weights, x, labels):
        return passes(weights, x, labels, mean=False)

    @task.mistake(
        "ReLU is forgotten in the backward pass, or compared with >= 0: nothing passes at 0"
    )
    def _(weights, x, labels):
        return passes(weights, x, labels, masked=False)

    @task.mistake("the last layer has no ReLU: scores may be negative")
    def _(weights, x, labels):
        return passes(weights, x, labels, relu_last=True)

    @task.mistake("this is the sum of the losses; the mean is expected")
    def _(weights, x, labels):
        loss, gradients = passes(weights, x, labels)
        return loss * len(x), gradients

    @task.mistake("the gradients are in the order of the backward pass; turn the list round")
    def _(weights, x, labels):
        loss, gradients = passes(weights, x, labels)
        return loss, gradients[::-1]

    @task.mistake("the first layer comes first: your list begins with the last layer's kernel")
    def _(weights, x, labels):
        loss, gradients = passes(weights, x, labels)
        pairs = [gradients[i : i + 2] for i in range(0, len(gradients), 2)]
        return loss, [gradient for pair in pairs[::-1] for gradient in pair]

    @task.mistake("loss and gradients are those of the sum of the losses; the mean is expected")
    def _(weights, x, labels):
        loss, gradients = passes(weights, x, labels, mean=False)
        return loss * len(x), gradients

    @task.mistake("this is the loss of each sample; their mean, one number, is expected")
    def _(weights, x, labels):
        return passes(weights, x, labels, each=True)

    @task.mistake("exp overflows for large scores, as in lesson 6: use cross_entropy_of_logits")
    def _(weights, x, labels):
        return passes(weights, x, labels, loss_of=naive_cross_entropy)

    @task.mistake("these gradients point downhill; the minus belongs to the step")
    def _(weights, x, labels):
        loss, gradients = passes(weights, x, labels)
        return loss, [-gradient for gradient in gradients]

    @task.refused
    def _(weights, x, labels):  # of the last layer alone
        loss, gradients = passes(weights, x, labels)
        return loss, [0 * gradient for gradient in gradients[:-2]] + gradients[-2:]

    @task.refused
    def _(weights, x, labels):  # the step is taken as well
        loss, gradients = passes(weights, x, labels)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= 0.1 * gradient
        return loss, gradients


other_options(two_layers)


def deeper_networks():
    for seed, (n, sizes) in enumerate([(3, (3, 4, 2)), (2, (3, 2)), (4, (2, 5, 4, 3, 3))]):
        yield network(10 + seed, n, sizes)
    yield from extremes()


@exercise(deeper_networks, tolerance=1e-9, run=returning("loss", "gradients"))
def many_layers(weights, x, labels):
    return passes(weights, x, labels)


other_options(many_layers)
