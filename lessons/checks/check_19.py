"""Lesson 19: batch normalization in training and inference, and backward; layer normalization."""

import numpy as np

from .engine import exercise

CHANNEL = (0, 1, 2)  # the axes that a channel's mean goes over: samples, height, width


def images():
    """x (n, h, w, c): first the lesson's two images; a channel of tiny variance needs epsilon."""
    yield np.array([2.0, 4, 4, 4, 5, 5, 7, 9]).reshape(2, 2, 2, 1), 0.0
    rng = np.random.default_rng(0)
    for shape, epsilon in [((3, 2, 4, 5), 0.001), ((1, 5, 3, 2), 0.1), ((4, 1, 1, 3), 0.5)]:
        size, shift = rng.uniform(0.5, 3, shape[-1]), rng.uniform(-2, 2, shape[-1])
        yield rng.normal(shift, size, shape), epsilon
    x = rng.normal(1, [1, 1e-3], (2, 3, 4, 2))
    yield x, 0.001


def statistics(x, axes=CHANNEL, keepdims=False, ddof=0):
    return x.mean(axes, keepdims=keepdims), x.var(axes, keepdims=keepdims, ddof=ddof)


def scaled(x, mean, variance, epsilon):
    with np.errstate(all="ignore"):  # a wrong variance may be 0, and epsilon is, once
        return (x - mean) / np.sqrt(variance + epsilon)


def normalized(x, epsilon, **options):
    mean, variance = statistics(x, **options)
    return scaled(x, mean, variance, epsilon), mean, variance


@exercise(images, tolerance=1e-9)
def normalize(x, epsilon):
    return normalized(x, epsilon)


@normalize.mistake("a channel's mean is one over all samples and positions, not over samples alone")
def _(x, epsilon):
    return normalized(x, epsilon, axes=0)


@normalize.mistake("these are statistics of each image; batch normalization takes the whole batch")
def _(x, epsilon):
    return normalized(x, epsilon, axes=(1, 2), keepdims=True)


@normalize.mistake("the mean over the channels is layer normalization; keep the channels apart")
def _(x, epsilon):
    return normalized(x, epsilon, axes=-1, keepdims=True)


@normalize.mistake("each channel has a mean of its own; x.mean() is one for all of them")
def _(x, epsilon):
    return normalized(x, epsilon, axes=None)


@normalize.mistake("divided by the wrong count: a channel has n * h * w values, not n")
def _(x, epsilon):
    mean = x.sum(CHANNEL) / len(x)
    variance = ((x - mean) ** 2).sum(CHANNEL) / len(x)
    return scaled(x, mean, variance, epsilon), mean, variance


@normalize.mistake("this is the unbiased variance; divide by m, not by m - 1")
def _(x, epsilon):
    return normalized(x, epsilon, ddof=1)


@normalize.mistake("epsilon belongs under the root, sqrt(variance + epsilon)")
def _(x, epsilon):
    mean, variance = statistics(x)
    return (x - mean) / (np.sqrt(variance) + epsilon), mean, variance


@normalize.mistake("epsilon is missing under the root")
def _(x, epsilon):
    mean, variance = statistics(x)
    return scaled(x, mean, variance, 0), mean, variance


@normalize.mistake("divide by the root of variance + epsilon; this is divided by the sum itself")
def _(x, epsilon):
    mean, variance = statistics(x)
    return (x - mean) / (variance + epsilon), mean, variance


@normalize.mistake("the mean has to be taken off before dividing")
def _(x, epsilon):
    mean, variance = statistics(x)
    return x / np.sqrt(variance + epsilon), mean, variance


@normalize.mistake("the variance is the mean of (x - mean) ** 2, not of x ** 2")
def _(x, epsilon):
    mean, variance = x.mean(CHANNEL), (x**2).mean(CHANNEL)
    return scaled(x, mean, variance, epsilon), mean, variance


@normalize.mistake("z is right; return mean and variance, too: z, mean, variance")
def _(x, epsilon):
    return normalized(x, epsilon)[0]


@normalize.mistake("z is right; the third result is the variance, not its root")
def _(x, epsilon):
    z, mean, variance = normalized(x, epsilon)
    return z, mean, np.sqrt(variance)


@normalize.mistake("z is right; the third result is the variance without epsilon")
def _(x, epsilon):
    z, mean, variance = normalized(x, epsilon)
    return z, mean, variance + epsilon


@normalize.mistake("z is right; mean and variance have the shape (c,), so no keepdims=True")
def _(x, epsilon):
    return normalized(x, epsilon, keepdims=True)


@normalize.mistake("z is right; the order is z, mean, variance")
def _(x, epsilon):
    z, mean, variance = normalized(x, epsilon)
    return z, variance, mean


@normalize.mistake("an array of integers cuts the fractions off")
def _(x, epsilon):
    z, mean, variance = normalized(x, epsilon)
    return z.astype(int), mean, variance


@normalize.mistake("the mean is subtracted, not added")
def _(x, epsilon):
    mean, variance = statistics(x)
    return scaled(x, -mean, variance, epsilon), mean, variance


@normalize.mistake("the variance is the mean of squared distances, not of their sizes")
def _(x, epsilon):
    mean = x.mean(CHANNEL)
    variance = np.abs(x - mean).mean(CHANNEL)
    return scaled(x, mean, variance, epsilon), mean, variance


@normalize.mistake("z is to be returned first: z, mean, variance")
def _(x, epsilon):
    z, mean, variance = normalized(x, epsilon)
    return mean, variance, z


def trained():
    """Statistics of some steps, and images to look at afterwards; a single step comes first."""
    one = np.array([2.0, 4, 4, 4, 5, 5, 7, 9]).reshape(2, 2, 2, 1)
    yield one, np.array([[5.0]]), np.array([[4.0]]), 0.9, 0.001
    rng = np.random.default_rng(1)
    for shape, steps, momentum in [((3, 2, 4, 5), 4, 0.9), ((1, 2, 2, 3), 7, 0.75)]:
        means = rng.normal(size=(steps, shape[-1]))
        variances = rng.uniform(0.2, 4, (steps, shape[-1]))
        yield rng.normal(size=shape), means, variances, momentum, 0.01


def averages(means, variances, momentum, new_share=None, start=(0.0, 1.0)):
    """The moving averages after all steps."""
    share = 1 - momentum if new_share is None else new_share
    mean, variance = (np.full(means.shape[1], value) for value in start)
    for new_mean, new_variance in zip(means, variances, strict=True):
        mean = momentum * mean + share * new_mean
        variance = momentum * variance + share * new_variance
    return mean, variance


@exercise(trained, tolerance=1e-9)
def in_inference(x, means, variances, momentum, epsilon):
    return scaled(x, *averages(means, variances, momentum), epsilon)


@in_inference.mistake("the wrong way round: the *old* average is multiplied by the momentum")
def _(x, means, variances, momentum, epsilon):
    return scaled(x, *averages(means, variances, 1 - momentum), epsilon)


@in_inference.mistake("the new statistics count with 1 - momentum, not in full")
def _(x, means, variances, momentum, epsilon):
    return scaled(x, *averages(means, variances, momentum, new_share=1), epsilon)


@in_inference.mistake("the moving variance starts at 1, not at 0")
def _(x, means, variances, momentum, epsilon):
    return scaled(x, *averages(means, variances, momentum, start=(0, 0)), epsilon)


@in_inference.mistake("the moving mean starts at 0, not at 1")
def _(x, means, variances, momentum, epsilon):
    return scaled(x, *averages(means, variances, momentum, start=(1, 1)), epsilon)


@in_inference.mistake("they start at 0 and 1, not at the statistics of the first batch")
def _(x, means, variances, momentum, epsilon):
    start = (means[0], variances[0])
    return scaled(x, *averages(means[1:], variances[1:], momentum, start=start), epsilon)


@in_inference.mistake("these are the statistics of x itself; inference takes the moving averages")
def _(x, means, variances, momentum, epsilon):
    return normalized(x, epsilon)[0]


@in_inference.mistake("these are the statistics of the last batch alone")
def _(x, means, variances, momentum, epsilon):
    return scaled(x, means[-1], variances[-1], epsilon)


@in_inference.mistake("all steps count the same here; a moving average forgets old ones")
def _(x, means, variances, momentum, epsilon):
    return scaled(x, means.mean(0), variances.mean(0), epsilon)


@in_inference.mistake("the steps are taken from the last to the first")
def _(x, means, variances, momentum, epsilon):
    return scaled(x, *averages(means[::-1], variances[::-1], momentum), epsilon)


@in_inference.mistake("Adam corrects the start of its averages; batch normalization does not")
def _(x, means, variances, momentum, epsilon):
    sums = averages(means, variances, momentum, start=(0, 0))
    mean, variance = (each / (1 - momentum ** len(means)) for each in sums)
    return scaled(x, mean, variance, epsilon)


@in_inference.mistake("epsilon belongs under the root, sqrt(variance + epsilon)")
def _(x, means, variances, momentum, epsilon):
    mean, variance = averages(means, variances, momentum)
    return (x - mean) / (np.sqrt(variance) + epsilon)


@in_inference.mistake("epsilon is missing under the root")
def _(x, means, variances, momentum, epsilon):
    return scaled(x, *averages(means, variances, momentum), 0)


@in_inference.mistake("divide by the root of variance + epsilon; this is divided by the sum itself")
def _(x, means, variances, momentum, epsilon):
    mean, variance = averages(means, variances, momentum)
    return (x - mean) / (variance + epsilon)


@in_inference.mistake("x is no step of training: its own statistics are not averaged in")
def _(x, means, variances, momentum, epsilon):
    mean, variance = statistics(x)
    seen = np.vstack([means, mean]), np.vstack([variances, variance])
    return scaled(x, *averages(*seen, momentum), epsilon)


@in_inference.mistake("the last step is left out: take all rows of means and variances")
def _(x, means, variances, momentum, epsilon):
    return scaled(x, *averages(means[:-1], variances[:-1], momentum), epsilon)


@in_inference.mistake("all steps count: start the loop with the first row")
def _(x, means, variances, momentum, epsilon):
    return scaled(x, *averages(means[1:], variances[1:], momentum), epsilon)


@in_inference.mistake("this is one step of averaging; the averages go on from step to step")
def _(x, means, variances, momentum, epsilon):
    return scaled(x, *averages(means[-1:], variances[-1:], momentum), epsilon)


@in_inference.mistake(
    "the variance gets the mean's place: z = (x - moving mean) / root of the variance"
)
def _(x, means, variances, momentum, epsilon):
    mean, variance = averages(means, variances, momentum)
    return scaled(x, variance, mean, epsilon)


@in_inference.mistake("the moving variance is averaged itself, not its root")
def _(x, means, variances, momentum, epsilon):
    mean, deviation = averages(means, np.sqrt(variances), momentum)
    return scaled(x, mean, deviation**2, epsilon)


def passes():
    """dy, and what the forward pass knows; first the lesson's images with dy = 1 at one pixel."""
    x, epsilon = next(images())
    dy = np.zeros(x.shape)
    dy[0, 0, 0] = 1
    z, _, variance = normalized(x, epsilon)
    yield dy, z, np.ones(1), variance, epsilon
    rng = np.random.default_rng(2)
    for shape, epsilon in [((3, 2, 4, 5), 0.001), ((1, 5, 3, 2), 0.1), ((4, 1, 1, 3), 0.5)]:
        x = rng.normal(1, rng.uniform(0.5, 3, shape[-1]), shape)
        z, _, variance = normalized(x, epsilon)
        yield rng.normal(1, 1, shape), z, rng.uniform(0.5, 2, shape[-1]), variance, epsilon


def mean_of(values):
    return values.mean(CHANNEL)


def sum_of(values):
    return values.sum(CHANNEL)


def dx_of(dz, z, root, through_mean=1, through_variance=1, mean=mean_of):
    return (dz - through_mean * mean(dz) - through_variance * z * mean(dz * z)) / root


def gradients(
    dy, z, gamma, variance, epsilon, dx=None, dz=None, root=None, weights=sum_of, **options
):
    """dx, dgamma and dbeta, each in the right way unless told otherwise."""
    dz = dy * gamma if dz is None else dz
    root = np.sqrt(variance + epsilon) if root is None else root
    dx = dx_of(dz, z, root, **options) if dx is None else dx
    return dx, weights(dy * z), weights(dy)


@exercise(passes, tolerance=1e-9)
def backward(dy, z, gamma, variance, epsilon):
    return gradients(dy, z, gamma, variance, epsilon)


@backward.mistake(
    "the statistics are no constants: the paths through mean and variance are missing"
)
def _(dy, z, gamma, variance, epsilon):
    options = {"through_mean": 0, "through_variance": 0}
    return gradients(dy, z, gamma, variance, epsilon, **options)


@backward.mistake("the mean's gradient is forgotten: - mean(dz) is missing")
def _(dy, z, gamma, variance, epsilon):
    return gradients(dy, z, gamma, variance, epsilon, through_mean=0)


@backward.mistake("the variance's gradient is forgotten: - z * mean(dz * z) is missing")
def _(dy, z, gamma, variance, epsilon):
    return gradients(dy, z, gamma, variance, epsilon, through_variance=0)


@backward.mistake("the signs are wrong: both terms are subtracted")
def _(dy, z, gamma, variance, epsilon):
    options = {"through_mean": -1, "through_variance": -1}
    return gradients(dy, z, gamma, variance, epsilon, **options)


@backward.mistake("the sign of the last term is wrong: z * mean(dz * z) is subtracted")
def _(dy, z, gamma, variance, epsilon):
    return gradients(dy, z, gamma, variance, epsilon, through_variance=-1)


@backward.mistake("mean(dz * z) is to be multiplied by z, of which each value has its own")
def _(dy, z, gamma, variance, epsilon):
    dz, root = dy * gamma, np.sqrt(variance + epsilon)
    dx = (dz - mean_of(dz) - mean_of(dz * z)) / root
    return gradients(dy, z, gamma, variance, epsilon, dx=dx)


@backward.mistake("in dx these are sums; they have to be means, divided by m = n * h * w")
def _(dy, z, gamma, variance, epsilon):
    return gradients(dy, z, gamma, variance, epsilon, mean=sum_of)


@backward.mistake("divided by the wrong count: a channel has n * h * w values, not n")
def _(dy, z, gamma, variance, epsilon):
    def by_samples(values):
        return sum_of(values) / len(values)

    return gradients(dy, z, gamma, variance, epsilon, mean=by_samples)


@backward.mistake("these are means of each image; the statistics are those of the whole batch")
def _(dy, z, gamma, variance, epsilon):
    def by_image(values):
        return values.mean((1, 2), keepdims=True)

    return gradients(dy, z, gamma, variance, epsilon, mean=by_image)


@backward.mistake("the means go over axes 0, 1 and 2, not over the samples alone")
def _(dy, z, gamma, variance, epsilon):
    return gradients(dy, z, gamma, variance, epsilon, mean=lambda values: values.mean(0))


@backward.mistake("gamma is missing in dx: dz = gamma * dy")
def _(dy, z, gamma, variance, epsilon):
    return gradients(dy, z, gamma, variance, epsilon, dz=dy)


@backward.mistake("epsilon is missing under the root")
def _(dy, z, gamma, variance, epsilon):
    return gradients(dy, z, gamma, variance, epsilon, root=np.sqrt(variance))


@backward.mistake("epsilon belongs under the root, sqrt(variance + epsilon)")
def _(dy, z, gamma, variance, epsilon):
    return gradients(dy, z, gamma, variance, epsilon, root=np.sqrt(variance) + epsilon)


@backward.mistake("divide by the root of variance + epsilon; this is divided by the sum itself")
def _(dy, z, gamma, variance, epsilon):
    return gradients(dy, z, gamma, variance, epsilon, root=variance + epsilon)


@backward.mistake("dx is to be divided by the root, not multiplied by it")
def _(dy, z, gamma, variance, epsilon):
    return gradients(dy, z, gamma, variance, epsilon, root=1 / np.sqrt(variance + epsilon))


@backward.mistake("dx is not divided by the root yet")
def _(dy, z, gamma, variance, epsilon):
    return gradients(dy, z, gamma, variance, epsilon, root=1)


@backward.mistake("dx is right; dgamma and dbeta are sums over all values, not means")
def _(dy, z, gamma, variance, epsilon):
    return gradients(dy, z, gamma, variance, epsilon, weights=mean_of)


@backward.mistake("dx is right; dgamma and dbeta have the shape (c,): sum over axes 0, 1 and 2")
def _(dy, z, gamma, variance, epsilon):
    return gradients(dy, z, gamma, variance, epsilon, weights=lambda values: values.sum(0))


@backward.mistake("dx is right; return the other gradients, too: dx, dgamma, dbeta")
def _(dy, z, gamma, variance, epsilon):
    return gradients(dy, z, gamma, variance, epsilon)[0]


@backward.mistake("dx is right; the order is dx, dgamma, dbeta")
def _(dy, z, gamma, variance, epsilon):
    dx, dgamma, dbeta = gradients(dy, z, gamma, variance, epsilon)
    return dx, dbeta, dgamma


@backward.mistake("dx is right; dgamma and dbeta are sums of dy, not of dz: gamma is in it already")
def _(dy, z, gamma, variance, epsilon):
    dx, dgamma, dbeta = gradients(dy, z, gamma, variance, epsilon)
    return dx, gamma * dgamma, gamma * dbeta


@backward.mistake("dx is right; dgamma is the sum of dy * z, not of dy")
def _(dy, z, gamma, variance, epsilon):
    dx, _, dbeta = gradients(dy, z, gamma, variance, epsilon)
    return dx, dbeta, dbeta


def positions():
    """x, gamma, beta, epsilon and dy; a position of two channels comes first."""
    one = np.array([1.0, 3.0]).reshape(1, 1, 1, 2)
    yield one, np.ones(2), np.zeros(2), 0.0, np.array([1.0, 0.5]).reshape(one.shape)
    rng = np.random.default_rng(3)
    for shape, epsilon in [((3, 2, 4, 5), 0.001), ((1, 3, 2, 4), 0.1), ((4, 1, 1, 3), 0.5)]:
        x, dy = rng.normal(1, 2, shape), rng.normal(1, 1, shape)
        c = shape[-1]
        yield x, rng.uniform(0.5, 2, c), rng.normal(size=c), epsilon, dy


def layer_passes(
    x, gamma, beta, epsilon, dy, axes=-1, weights=CHANNEL, ddof=0, shares=(1, 1), within=None
):
    """y, dx, dgamma and dbeta, each in the right way unless told otherwise."""
    mean, variance = statistics(x, axes, keepdims=True, ddof=ddof)
    z, root = scaled(x, mean, variance, epsilon), np.sqrt(variance + epsilon)

    def mean_of_path(values):
        return values.mean(axes if within is None else within, keepdims=True)

    with np.errstate(all="ignore"):
        dx = dx_of(gamma * dy, z, root, *shares, mean=mean_of_path)
    return gamma * z + beta, dx, (dy * z).sum(weights), dy.sum(weights)


@exercise(positions, tolerance=1e-9)
def layer_norm(x, gamma, beta, epsilon, dy):
    return layer_passes(x, gamma, beta, epsilon, dy)


@layer_norm.mistake("this is batch normalization: here each position has a mean of its own")
def _(*case):
    return layer_passes(*case, axes=CHANNEL)


@layer_norm.mistake("these are statistics of a whole sample; Keras' are those of one position")
def _(*case):
    return layer_passes(*case, axes=(1, 2, 3))


@layer_norm.mistake("y and dx are right; gamma and beta are shared: sum over the axes 0, 1 and 2")
def _(*case):
    return layer_passes(*case, weights=-1)


@layer_norm.mistake("y and dx are right; the sums go over the samples and all positions")
def _(*case):
    return layer_passes(*case, weights=0)


@layer_norm.mistake("this is the unbiased variance; divide by c, not by c - 1")
def _(*case):
    return layer_passes(*case, ddof=1)


@layer_norm.mistake("y is right; in dx the paths through mean and variance are missing")
def _(*case):
    return layer_passes(*case, shares=(0, 0))


@layer_norm.mistake("y is right; in dx the path through the mean is missing")
def _(*case):
    return layer_passes(*case, shares=(0, 1))


@layer_norm.mistake("y is right; in dx the path through the variance is missing")
def _(*case):
    return layer_passes(*case, shares=(1, 0))


@layer_norm.mistake(
    "y is right; the means in dx go over the channels, as those of the forward pass do"
)
def _(*case):
    return layer_passes(*case, within=CHANNEL)


@layer_norm.mistake("epsilon is missing under the root")
def _(x, gamma, beta, epsilon, dy):
    return layer_passes(x, gamma, beta, 0, dy)


@layer_norm.mistake("y is right; gamma is missing in dx: dz = gamma * dy")
def _(x, gamma, beta, epsilon, dy):
    y, _, dgamma, dbeta = layer_passes(x, gamma, beta, epsilon, dy)
    return y, layer_passes(x, np.ones_like(gamma), beta, epsilon, dy)[1], dgamma, dbeta


@layer_norm.mistake("y is gamma * z + beta; this is z")
def _(x, gamma, beta, epsilon, dy):
    z = layer_passes(x, np.ones_like(gamma), 0 * beta, epsilon, dy)[0]
    return z, *layer_passes(x, gamma, beta, epsilon, dy)[1:]


@layer_norm.mistake("beta is to be added to y")
def _(x, gamma, beta, epsilon, dy):
    y, *gradients_of_y = layer_passes(x, gamma, beta, epsilon, dy)
    return y - beta, *gradients_of_y


@layer_norm.mistake("the gradients are right; return y, too, first of all")
def _(*case):
    return layer_passes(*case)[1:]


@layer_norm.mistake("the order is y, dx, dgamma, dbeta")
def _(*case):
    y, dx, dgamma, dbeta = layer_passes(*case)
    return y, dx, dbeta, dgamma


@layer_norm.mistake("y and dx are right; dgamma and dbeta are sums, not means")
def _(x, gamma, beta, epsilon, dy):
    y, dx, dgamma, dbeta = layer_passes(x, gamma, beta, epsilon, dy)
    values = dy.size / len(gamma)
    return y, dx, dgamma / values, dbeta / values


@layer_norm.mistake(
    "y and dx are right; dgamma is the sum of dy * z, where z is y without gamma and beta"
)
def _(x, gamma, beta, epsilon, dy):
    y, dx, _, dbeta = layer_passes(x, gamma, beta, epsilon, dy)
    return y, dx, (dy * y).sum(CHANNEL), dbeta


@layer_norm.mistake("y and dx are right; dgamma and dbeta are sums of dy, not of gamma * dy")
def _(x, gamma, beta, epsilon, dy):
    y, dx, dgamma, dbeta = layer_passes(x, gamma, beta, epsilon, dy)
    return y, dx, gamma * dgamma, gamma * dbeta
