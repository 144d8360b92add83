"""Lesson 13: averages over samples, the record of a fit, and who is taken for whom."""

import numpy as np

from .engine import exercise


def batches():
    """Means and sizes as `fit` meets them; the lesson's own five samples first."""
    yield np.array([0.6931, 0.3133, 1.7325]), np.array([2, 2, 1])
    yield np.array([1.0, 1.0, 0.0]), np.array([2, 2, 1])
    rng = np.random.default_rng(0)
    for count, last in [(313, 16), (188, 16), (938, 32), (2, 1), (1, 7), (4, 32)]:
        yield rng.random(count), np.array([32] * (count - 1) + [last])
    yield rng.random(6), rng.permutation(np.arange(1, 7))  # a Dataset may give any sizes


@exercise(batches, tolerance=1e-9)
def running_means(means, sizes):
    return np.cumsum(means * sizes) / np.cumsum(sizes)


@running_means.mistake("this is a mean of means: a sample of a small batch counts for more")
def _(means, sizes):
    return np.cumsum(means) / np.arange(1, len(means) + 1)


@running_means.mistake("all batches are taken to be as large as the first one")
def _(means, sizes):
    return np.cumsum(means * sizes) / (sizes[0] * np.arange(1, len(means) + 1))


@running_means.mistake("the sums are divided by the number of batches, not by that of samples")
def _(means, sizes):
    return np.cumsum(means * sizes) / np.arange(1, len(means) + 1)


@running_means.mistake("the means have to be multiplied by their sizes before they are added")
def _(means, sizes):
    return np.cumsum(means) / np.cumsum(sizes)


@running_means.mistake("these are sums, to be divided by the samples so far")
def _(means, sizes):
    return np.cumsum(means * sizes)


@running_means.mistake("divide by the samples so far, not by those of the whole epoch")
def _(means, sizes):
    return np.cumsum(means * sizes) / sizes.sum()


@running_means.mistake("these are the batches' own means: nothing is carried over")
def _(means, sizes):
    return means


@running_means.mistake("this is what the bar shows at the end, and not after each batch")
def _(means, sizes):
    return np.full(len(means), (means * sizes).sum() / sizes.sum())


@running_means.mistake("this takes half of the old mean and half of the new: early batches fade")
def _(means, sizes):
    shown = [means[0]]
    for mean in means[1:]:
        shown.append((shown[-1] + mean) / 2)
    return np.array(shown)


@running_means.mistake("one batch late: each number is what the bar shows before the batch")
def _(means, sizes):
    return np.concatenate([[0], running_means.reference(means, sizes)[:-1]])


@exercise(lambda: [()], hidden=True)
def predicted():
    return [2, 3, [0, 1, 2], 16, 40, 80]


@predicted.mistake("a History is of one call: the second does not count on from the first")
def _():
    return [2, 3, [2, 3, 4], 16, 40, 80]


@predicted.mistake("the first History is not continued: each fit makes a new one")
def _():
    return [5, 3, [0, 1, 2], 16, 40, 80]


@predicted.mistake("the second History starts empty; it does not hold the first one's epochs")
def _():
    return [2, 5, [0, 1, 2, 3, 4], 16, 40, 80]


@predicted.mistake("epochs are numbered from 0")
def _():
    return [2, 3, [1, 2, 3], 16, 40, 80]


@predicted.mistake("the last batch is not left out: 1000 / 64 is rounded up")
def _():
    return [2, 3, [0, 1, 2], 15, 64, 75]


@predicted.mistake("the last batch holds what is left over, fewer than 64")
def _():
    return [2, 3, [0, 1, 2], 16, 64, 80]


@predicted.mistake("Adam goes on from fit to fit; only compile starts it anew")
def _():
    return [2, 3, [0, 1, 2], 16, 40, 48]


@predicted.mistake("history['loss'] has a number for each epoch, not for each batch")
def _():
    return [32, 48, [0, 1, 2], 16, 40, 80]


def answers():
    yield np.array([0, 0, 1, 2, 2, 2]), np.array([0, 0, 0, 2, 1, 1]), 3
    yield np.array([0, 1]), np.array([1, 1]), 4  # two classes do not occur
    rng = np.random.default_rng(1)
    for count, classes in [(1, 2), (60, 4), (2000, 10)]:
        labels = rng.integers(0, classes, count)
        slips = rng.integers(0, classes, count)
        yield labels, np.where(rng.random(count) < 0.7, labels, slips), classes


@exercise(answers)
def confusion(labels, predictions, classes):
    return np.bincount(labels * classes + predictions, minlength=classes**2).reshape(
        classes, classes
    )


@confusion.mistake("rows and columns are swapped: a row is a true class")
def _(labels, predictions, classes):
    return confusion.reference(labels, predictions, classes).T


@confusion.mistake("counts[labels, predictions] += 1 adds 1 once a pair, however often it comes")
def _(labels, predictions, classes):
    return np.minimum(confusion.reference(labels, predictions, classes), 1)


@confusion.mistake("the right answers count too, on the diagonal")
def _(labels, predictions, classes):
    counts = confusion.reference(labels, predictions, classes)
    return counts * (1 - np.eye(classes, dtype=int))


@confusion.mistake("these are shares of all images; counts are asked for")
def _(labels, predictions, classes):
    return confusion.reference(labels, predictions, classes) / len(labels)


@confusion.mistake("these are shares of a row; counts are asked for")
def _(labels, predictions, classes):
    counts = confusion.reference(labels, predictions, classes)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


@confusion.mistake("a class that does not occur has a row and a column too")
def _(labels, predictions, classes):
    seen = max(labels.max(), predictions.max()) + 1
    return confusion.reference(labels, predictions, classes)[:seen, :seen]


@confusion.mistake("the counts are right, but as floats: make the array of integers, of dtype int")
def _(labels, predictions, classes):
    return confusion.reference(labels, predictions, classes).astype(float)
