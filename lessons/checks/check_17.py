"""Lesson 17: what a cell sees, what a decision hangs on, and what a filter is worth."""

import itertools

import numpy as np

from .engine import exercise


def stacks():
    """Windows and strides, the tiny and the real network's first."""
    yield ([(2, 1)],)
    yield ([(5, 1), (2, 2)],)
    yield ([(5, 1), (2, 2), (5, 1), (2, 2)],)
    yield ([(1, 1)],)
    yield ([(3, 2), (3, 2), (1, 1)],)
    sizes = [(1, 1), (2, 2), (3, 1), (3, 3), (7, 2)]
    for length in (1, 2, 3):
        for stack in itertools.product(sizes, repeat=length):
            yield (list(stack),)


@exercise(stacks)
def receptive_field(layers):
    size, step = 1, 1
    for k, s in layers:
        size += (k - 1) * step
        step *= s
    return size, step


@receptive_field.mistake("the step grows too early: a window counts cells of the layer below it")
def _(layers):
    size, step = 1, 1
    for k, s in layers:
        step *= s
        size += (k - 1) * step
    return size, step


@receptive_field.mistake("after a stride, neighbouring cells are further apart than one pixel")
def _(layers):
    return 1 + sum(k - 1 for k, _ in layers), receptive_field.reference(layers)[1]


@receptive_field.mistake("the strides are ignored")
def _(layers):
    return 1 + sum(k - 1 for k, _ in layers), 1


@receptive_field.mistake("k cells lie k - 1 steps apart, not k")
def _(layers):
    size, step = 1, 1
    for k, s in layers:
        size += k * step
        step *= s
    return size, step


@receptive_field.mistake("windows overlap, so their sizes do not multiply")
def _(layers):
    return int(np.prod([k for k, _ in layers])), receptive_field.reference(layers)[1]


@receptive_field.mistake("one less than it is: a cell before all layers sees 1 pixel, itself")
def _(layers):
    size, step = receptive_field.reference(layers)
    return size - 1, step


@receptive_field.mistake("strides multiply; they do not add")
def _(layers):
    size, step = 1, 0
    for k, s in layers:
        size += (k - 1) * max(step, 1)
        step += s
    return size, step


@receptive_field.mistake("the step is that of the last layer alone, not the product of all")
def _(layers):
    return receptive_field.reference(layers)[0], layers[-1][1]


@receptive_field.mistake("the layers are taken from the last to the first")
def _(layers):
    return receptive_field.reference(layers[::-1])


def tiny_score(image):
    """The lesson's: the convolution of lesson 2, ReLU, and the largest of all."""
    kernel = np.array([[1, -1], [2, 0]])
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(image, float), (2, 2))
    return max(float(((windows * kernel).sum((2, 3)) + 1).max()), 0.0)


def weighted_score(image):
    """A score with a weight of its own for every pixel."""
    h, w = np.shape(image)
    weights = (7 * np.arange(h * w) % 11 - 4).reshape(h, w)
    return float((weights * image).sum()) + 3.0


def occluded():
    x = np.array([[1.0, 2, 0], [0, 1, 3], [2, 0, 1]])
    yield tiny_score, x, 1
    yield tiny_score, x, 2
    rng = np.random.default_rng(0)
    for h, w, k in [(5, 5, 2), (4, 6, 2), (6, 4, 3), (3, 3, 3), (5, 7, 1)]:
        yield weighted_score, rng.integers(1, 6, (h, w)) / 4, k
        yield tiny_score, rng.integers(0, 6, (h, w)).astype(float), k


def scores_covered(score, image, k, patch=0.0, again=False):
    h, w = image.shape
    scores = np.zeros((h - k + 1, w - k + 1))
    covered = image.copy()
    for i, j in np.ndindex(scores.shape):
        if not again:
            covered = image.copy()
        covered[i : i + k, j : j + k] = patch
        scores[i, j] = score(covered)
    return scores


@exercise(occluded, tolerance=1e-9)
def occlusion_map(score, image, k):
    return score(image) - scores_covered(score, image, k)


@occlusion_map.mistake("the sign: a score that falls is a positive drop")
def _(score, image, k):
    return scores_covered(score, image, k) - score(image)


@occlusion_map.mistake("these are the scores of the covered images, not how far they fell")
def _(score, image, k):
    return scores_covered(score, image, k)


@occlusion_map.mistake("the patch leaves a trail: cover a fresh copy at every place")
def _(score, image, k):
    return score(image) - scores_covered(score, image, k, again=True)


@occlusion_map.mistake("the patch is paper, 0, not ink, 1")
def _(score, image, k):
    return score(image) - scores_covered(score, image, k, patch=1.0)


@occlusion_map.mistake("rows and columns are swapped")
def _(score, image, k):
    return occlusion_map.reference(score, image, k).T


@occlusion_map.mistake("only one pixel is covered, the corner of the patch")
def _(score, image, k):
    h, w = image.shape
    return occlusion_map.reference(score, image, 1)[: h - k + 1, : w - k + 1]


@occlusion_map.mistake("the last row and the last column of places are missing: h - k + 1 of them")
def _(score, image, k):
    return occlusion_map.reference(score, image, k)[:-1, :-1]


@occlusion_map.mistake("the drop itself is asked for, not its size without the sign")
def _(score, image, k):
    return abs(occlusion_map.reference(score, image, k))


@occlusion_map.refused
def _(score, image, k):  # np.zeros(..., int)
    return occlusion_map.reference(score, image, k).astype(int)


@occlusion_map.refused
def _(score, image, k):  # one number for all places
    drop = occlusion_map.reference(score, image, k)
    return np.full(drop.shape, drop.mean())


def last_layers():
    for seed, (n, h, w, f, classes) in enumerate(
        [(40, 2, 2, 3, 3), (60, 3, 3, 5, 4), (80, 2, 3, 4, 3), (50, 1, 1, 6, 5)]
    ):
        rng = np.random.default_rng(seed)
        maps = np.maximum(rng.normal(size=(n, h, w, f)), 0)
        kernel = rng.normal(size=(h * w * f, classes))
        bias = 3 * rng.normal(size=classes)
        labels = (maps.reshape(n, -1) @ kernel + bias).argmax(axis=1)
        labels[:5] = (labels[:5] + 1) % classes  # some are wrong from the start
        yield maps, labels, kernel, bias


def accuracy(flat, labels, kernel, bias):
    return float(((flat @ kernel + bias).argmax(axis=1) == labels).mean())


def each_accuracy(maps, labels, kernel, bias, change):
    n, _, _, f = maps.shape
    shown = []
    for o in range(f):
        changed = maps.copy()
        change(changed, o)
        shown.append(accuracy(changed.reshape(n, -1), labels, kernel, bias))
    return np.array(shown)


def erase(maps, o):
    maps[..., o] = 0


@exercise(last_layers, tolerance=1e-9)
def accuracy_without(maps, labels, kernel, bias):
    return each_accuracy(maps, labels, kernel, bias, erase)


@accuracy_without.mistake("removed filters stay away: start from all maps for each of them")
def _(maps, labels, kernel, bias):
    def erase_all_up_to(changed, o):
        changed[..., : o + 1] = 0

    return each_accuracy(maps, labels, kernel, bias, erase_all_up_to)


@accuracy_without.mistake("this keeps filter o and removes all others")
def _(maps, labels, kernel, bias):
    def keep(changed, o):
        changed[..., :o] = 0
        changed[..., o + 1 :] = 0

    return each_accuracy(maps, labels, kernel, bias, keep)


@accuracy_without.mistake("this removes one number of the flattened maps, not a whole map")
def _(maps, labels, kernel, bias):
    def erase_one(changed, o):
        changed[:, 0, 0, o] = 0

    return each_accuracy(maps, labels, kernel, bias, erase_one)


@accuracy_without.mistake("Flatten writes the channels of a cell side by side, not map after map")
def _(maps, labels, kernel, bias):
    n, _, _, f = maps.shape
    shown = []
    for o in range(f):
        changed = maps.copy()
        erase(changed, o)
        flat = changed.transpose(0, 3, 1, 2).reshape(n, -1)
        shown.append(accuracy(flat, labels, kernel, bias))
    return np.array(shown)


@accuracy_without.mistake("map o is not o * h * w to (o + 1) * h * w of the flattened numbers")
def _(maps, labels, kernel, bias):
    n, h, w, f = maps.shape
    shown = []
    for o in range(f):
        flat = maps.reshape(n, -1).copy()
        flat[:, o * h * w : (o + 1) * h * w] = 0
        shown.append(accuracy(flat, labels, kernel, bias))
    return np.array(shown)


@accuracy_without.mistake("the bias is forgotten")
def _(maps, labels, kernel, bias):
    return each_accuracy(maps, labels, kernel, 0 * bias, erase)


@accuracy_without.mistake("these are counts of right answers; shares are asked for")
def _(maps, labels, kernel, bias):
    return accuracy_without.reference(maps, labels, kernel, bias) * len(labels)


@accuracy_without.mistake("this is how far the accuracy falls; the accuracy itself is asked for")
def _(maps, labels, kernel, bias):
    whole = accuracy(maps.reshape(len(maps), -1), labels, kernel, bias)
    return whole - accuracy_without.reference(maps, labels, kernel, bias)


@accuracy_without.mistake("these are the shares of wrong answers")
def _(maps, labels, kernel, bias):
    return 1 - accuracy_without.reference(maps, labels, kernel, bias)
