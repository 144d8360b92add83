"""Lesson 13: averages over samples, the record of a fit, confused classes, and confidence."""

import numpy as np

from .engine import exercise


def batches():
    """Means and sizes as `fit` meets them; the lesson's own five samples first."""
    yield np.array([0.6931, 0.3133, 1.7325]), np.array([2, 2, 1])
    yield np.array([1.0, 1.0, 0.0]), np.array([2, 2, 1])
    yield np.array([1, 1, 0]), np.array([2, 2, 1])  # accuracies that are all integers
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


@running_means.mistake("this treats all batches as if they were as large as the first one")
def _(means, sizes):
    return np.cumsum(means * sizes) / (sizes[0] * np.arange(1, len(means) + 1))


@running_means.mistake(
    "divide the sums by the number of samples so far, not by the number of batches"
)
def _(means, sizes):
    return np.cumsum(means * sizes) / np.arange(1, len(means) + 1)


@running_means.mistake("multiply the means by their sizes before you add them")
def _(means, sizes):
    return np.cumsum(means) / np.cumsum(sizes)


@running_means.refused
def _(means, sizes):  # np.zeros_like(means), of integers
    return running_means.reference(means, sizes).astype(means.dtype)


@running_means.mistake("these are sums; divide them by the number of samples so far")
def _(means, sizes):
    return np.cumsum(means * sizes)


@running_means.mistake("divide by the samples so far, not by those of the whole epoch")
def _(means, sizes):
    return np.cumsum(means * sizes) / sizes.sum()


@running_means.mistake(
    "these are the batches' own means; the bar shows the mean of all samples so far"
)
def _(means, sizes):
    return means


@running_means.mistake("this is what the bar shows at the end; it is asked for after each batch")
def _(means, sizes):
    return np.full(len(means), (means * sizes).sum() / sizes.sum())


@running_means.mistake("this takes half of the old mean and half of the new: early batches fade")
def _(means, sizes):
    shown = [means[0]]
    for mean in means[1:]:
        shown.append((shown[-1] + mean) / 2)
    return np.array(shown)


@running_means.mistake("this is one batch late: each number is what the bar shows before the batch")
def _(means, sizes):
    return np.concatenate([[0], running_means.reference(means, sizes)[:-1]])


@running_means.mistake("the losses are to be summed as well: np.cumsum(means * sizes)")
def _(means, sizes):
    return means * sizes / np.cumsum(sizes)


@exercise(lambda: [()], hidden=True)
def predicted():
    return [2, 3, [0, 1, 2], 16, 40, 80]


@predicted.mistake(
    "a History belongs to one call: the second starts to count its epochs from 0 again"
)
def _():
    return [2, 3, [2, 3, 4], 16, 40, 80]


@predicted.mistake("the second fit does not continue the first History; each fit makes a new one")
def _():
    return [5, 3, [0, 1, 2], 16, 40, 80]


@predicted.mistake("the second History starts empty; it does not contain the first one's epochs")
def _():
    return [2, 5, [0, 1, 2, 3, 4], 16, 40, 80]


@predicted.mistake("epochs are numbered from 0")
def _():
    return [2, 3, [1, 2, 3], 16, 40, 80]


@predicted.mistake("the last batch is not dropped: 1000 / 64 is rounded up")
def _():
    return [2, 3, [0, 1, 2], 15, 64, 75]


@predicted.mistake("the last batch holds what is left over, fewer than 64")
def _():
    return [2, 3, [0, 1, 2], 16, 64, 80]


@predicted.mistake("the incomplete batch is a step too: 1000 / 64 is rounded up")
def _():
    return [2, 3, [0, 1, 2], 15, 40, 80]


@predicted.mistake("Adam makes a step for the incomplete batch too: 16 in each epoch")
def _():
    return [2, 3, [0, 1, 2], 16, 40, 75]


@predicted.mistake("the incomplete batch counts as a batch and as a step: 1000 / 64 is rounded up")
def _():
    return [2, 3, [0, 1, 2], 15, 40, 75]


@predicted.mistake(
    "the last batch is not empty: 15 batches of 64 leave some of the 1,000 images over"
)
def _():
    return [2, 3, [0, 1, 2], 16, 0, 80]


@predicted.mistake("Adam continues from fit to fit; only compile starts it anew")
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
    yield np.full(300, 1), np.full(300, 1), 2  # more than one byte holds
    yield np.array([10, 11, 0]), np.array([11, 10, 10]), 12  # more than ten classes


@exercise(answers)
def confusion(labels, predictions, classes):
    return np.bincount(labels * classes + predictions, minlength=classes**2).reshape(
        classes, classes
    )


@confusion.mistake("rows and columns are swapped: a row is a true class")
def _(labels, predictions, classes):
    return confusion.reference(labels, predictions, classes).T


@confusion.mistake("counts[labels, predictions] += 1 adds 1 only once for each pair of classes")
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


@confusion.refused
def _(labels, predictions, classes):  # a byte overflows
    return confusion.reference(labels, predictions, classes).astype(np.uint8)


@confusion.refused
def _(labels, predictions, classes):  # two digits in base ten
    pairs = np.bincount(10 * labels + predictions, minlength=100).reshape(-1, 10)
    return pairs[:classes, :classes]


@confusion.mistake("the counts are right, but as floats: make the array of integers, of dtype int")
def _(labels, predictions, classes):
    return confusion.reference(labels, predictions, classes).astype(float)


def with_confidences(confidences, answers, classes=3):
    """Probabilities whose largest ones are these, at these classes; the others share the rest."""
    confidences = np.asarray(confidences)[:, None]
    rest = (1 - confidences) / (classes - 1)
    return np.where(np.arange(classes) == np.asarray(answers)[:, None], confidences, rest)


def forecasts():
    """Probabilities, labels and numbers of bins; the lesson's own four answers first."""
    yield with_confidences([0.6, 0.8, 0.8, 1], [0, 1, 2, 0]), np.array([1, 1, 2, 0]), 4
    # On borders, of numbers that are exact in binary; in two classes, with a tie.
    halves = np.array([[0.5, 0.5], [0.25, 0.75], [0.375, 0.625], [0, 1], [0.875, 0.125]])
    yield halves, np.array([0, 0, 1, 1, 1]), 4
    yield with_confidences([0.5, 0.75, 0.875, 1], [2, 1, 0, 1]), np.array([2, 0, 0, 2]), 8
    yield with_confidences([0.7, 0.9], [1, 1]), np.array([1, 0]), 1
    yield np.array([[0.4, 0.4, 0.2], [0.2, 0.4, 0.4]]), np.array([1, 1]), 4  # ties
    # On a border, though 0.6 // 0.2 is 2 in floating point.
    yield np.array([[0.6, 0.4], [0.7, 0.3]]), np.array([0, 1]), 5
    rng = np.random.default_rng(2)
    for n, classes, bins in [(7, 3, 5), (60, 4, 10), (500, 10, 15)]:
        scores = np.exp(rng.normal(0, 2, (n, classes)))
        labels = np.where(rng.random(n) < 0.7, scores.argmax(axis=1), rng.integers(0, classes, n))
        yield scores / scores.sum(axis=1, keepdims=True), labels, bins


def sorted_in(probabilities, labels, bins):
    """The confidences, which answers are right, and the interval of each."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    return confidence, right, np.minimum((confidence * bins).astype(int), bins - 1)


def counted(confidence, right, interval, number):
    """For each interval: how many answers, how many right ones, and the sum of the confidences."""
    return [np.bincount(interval, each, minlength=number) for each in (None, right, confidence)]


def total_gap(confidence, right, interval):
    """The gaps of the intervals, each as often as it has answers."""
    return abs(np.bincount(interval, confidence - right)).sum()


def gaps(probabilities, labels, bins):
    """The number of answers and the gap, with its sign, of each interval that is not empty."""
    sizes, hits, sums = counted(*sorted_in(probabilities, labels, bins), bins)
    full = sizes > 0
    return sizes[full], (sums[full] - hits[full]) / sizes[full]


@exercise(forecasts, tolerance=1e-9)
def calibration_error(probabilities, labels, bins):
    sizes, gap = gaps(probabilities, labels, bins)
    return float((sizes * abs(gap)).sum() / len(labels))


@calibration_error.mistake("this is a mean over intervals; each answer has to count once")
def _(probabilities, labels, bins):
    _, gap = gaps(probabilities, labels, bins)
    return abs(gap).mean()


@calibration_error.mistake("this is a mean over all intervals, empty ones included")
def _(probabilities, labels, bins):
    _, gap = gaps(probabilities, labels, bins)
    return abs(gap).sum() / bins


@calibration_error.mistake("an empty interval has no mean: 0 / 0 is nan; skip it")
def _(probabilities, labels, bins):
    sizes, hits, sums = counted(*sorted_in(probabilities, labels, bins), bins)
    with np.errstate(invalid="ignore"):
        return (sizes * abs(sums / sizes - hits / sizes)).sum() / len(labels)


@calibration_error.mistake("a gap is a distance: take np.abs of each, or they cancel each other")
def _(probabilities, labels, bins):
    sizes, gap = gaps(probabilities, labels, bins)
    return (sizes * gap).sum() / len(labels)


@calibration_error.mistake(
    "gaps are distances, without a sign: share right minus mean can be negative"
)
def _(probabilities, labels, bins):
    sizes, gap = gaps(probabilities, labels, bins)
    return -(sizes * gap).sum() / len(labels)


@calibration_error.mistake("take np.abs of the gap of each interval, not of their sum")
def _(probabilities, labels, bins):
    sizes, gap = gaps(probabilities, labels, bins)
    return abs((sizes * gap).sum()) / len(labels)


@calibration_error.mistake(
    "a gap is a difference of two means of an interval, not one for each answer"
)
def _(probabilities, labels, bins):
    confidence, right, _ = sorted_in(probabilities, labels, bins)
    return abs(confidence - right).mean()


@calibration_error.mistake("these are sums over the answers; divide by their number at the end")
def _(probabilities, labels, bins):
    return calibration_error.reference(probabilities, labels, bins) * len(labels)


@calibration_error.mistake("this is the largest gap; the mean over all answers is asked for")
def _(probabilities, labels, bins):
    _, gap = gaps(probabilities, labels, bins)
    return abs(gap).max()


@calibration_error.mistake("a confidence of 1 is left out; it belongs to the last interval")
def _(probabilities, labels, bins):
    confidence, right, interval = sorted_in(probabilities, labels, bins)
    kept = confidence < 1
    return total_gap(confidence[kept], right[kept], interval[kept]) / len(labels)


@calibration_error.mistake(
    "a confidence of 1 has its own interval here; it belongs to the last one"
)
def _(probabilities, labels, bins):
    confidence, right, _ = sorted_in(probabilities, labels, bins)
    return total_gap(confidence, right, (confidence * bins).astype(int)) / len(labels)


@calibration_error.mistake(
    "a confidence on a border belongs to the upper interval, not to the lower"
)
def _(probabilities, labels, bins):
    confidence, right, _ = sorted_in(probabilities, labels, bins)
    interval = np.ceil(confidence * bins).astype(int) - 1
    return total_gap(confidence, right, interval) / len(labels)


@calibration_error.mistake("the confidence is the largest probability, not that of the true class")
def _(probabilities, labels, bins):
    _, right, _ = sorted_in(probabilities, labels, bins)
    confidence = probabilities[np.arange(len(labels)), labels]
    interval = np.minimum((confidence * bins).astype(int), bins - 1)
    return total_gap(confidence, right, interval) / len(labels)


@calibration_error.mistake(
    "of equal probabilities the first is the answer; another one is not right"
)
def _(probabilities, labels, bins):
    confidence, _, interval = sorted_in(probabilities, labels, bins)
    right = probabilities[np.arange(len(labels)), labels] == confidence
    return total_gap(confidence, right, interval) / len(labels)


@calibration_error.mistake("of equal probabilities the first is the answer, not the last")
def _(probabilities, labels, bins):
    confidence, _, interval = sorted_in(probabilities, labels, bins)
    answer = probabilities.shape[1] - 1 - probabilities[:, ::-1].argmax(axis=1)
    return total_gap(confidence, answer == labels, interval) / len(labels)


@calibration_error.mistake(
    "0.6 // 0.2 is 2, due to rounding: multiply the confidence by bins instead"
)
def _(probabilities, labels, bins):
    confidence, right, _ = sorted_in(probabilities, labels, bins)
    interval = np.minimum(confidence // (1 / bins), bins - 1).astype(int)
    return total_gap(confidence, right, interval) / len(labels)


@calibration_error.mistake("an interval is found by rounding down, not to the nearest number")
def _(probabilities, labels, bins):
    confidence, right, _ = sorted_in(probabilities, labels, bins)
    interval = np.minimum(np.round(confidence * bins).astype(int), bins - 1)
    return total_gap(confidence, right, interval) / len(labels)


@calibration_error.mistake("a gap is a distance, not its square")
def _(probabilities, labels, bins):
    sizes, gap = gaps(probabilities, labels, bins)
    return (sizes * gap**2).sum() / len(labels)


@calibration_error.mistake(
    "take the mean confidence of an interval, not the middle of the interval"
)
def _(probabilities, labels, bins):
    sizes, hits, _ = counted(*sorted_in(probabilities, labels, bins), bins)
    middles = (np.arange(bins) + 0.5) / bins
    return abs(sizes * middles - hits).sum() / len(labels)


@calibration_error.mistake("the error is a share from 0 to 1, not a percentage")
def _(probabilities, labels, bins):
    return 100 * calibration_error.reference(probabilities, labels, bins)


@calibration_error.refused
def _(probabilities, labels, bins):  # the intervals go from 1 / classes to 1
    confidence, right, _ = sorted_in(probabilities, labels, bins)
    low = 1 / probabilities.shape[1]
    interval = np.minimum(((confidence - low) / (1 - low) * bins).astype(int), bins - 1)
    return total_gap(confidence, right, interval) / len(labels)


@calibration_error.refused
def _(probabilities, labels, bins):  # every probability is taken for a confidence
    classes = probabilities.shape[1]
    right = (np.arange(classes) == labels[:, None]).ravel()
    interval = np.minimum((probabilities.ravel() * bins).astype(int), bins - 1)
    return total_gap(probabilities.ravel(), right, interval) / probabilities.size


@calibration_error.refused
def _(probabilities, labels, bins):  # the intervals hold equally many answers
    confidence, right, _ = sorted_in(probabilities, labels, bins)
    parts = np.array_split(np.argsort(confidence), bins)
    return sum(abs((confidence[part] - right[part]).sum()) for part in parts) / len(labels)


@calibration_error.refused
def _(probabilities, labels, bins):  # squares instead of distances
    sizes, gap = gaps(probabilities, labels, bins)
    return np.sqrt((sizes * gap**2).sum() / len(labels))


@calibration_error.refused
def _(probabilities, labels, bins):  # one gap for each interval
    _, hits, sums = counted(*sorted_in(probabilities, labels, bins), bins)
    return abs(sums - hits) / len(labels)


# The lesson asserts what it says of its own network.
error_for_the_text = calibration_error.reference
