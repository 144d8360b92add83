"""Lesson 17: what a cell sees, what a score depends on, what a filter is worth; a 3 everywhere."""

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
    size, jump = 1, 1
    for k, s in layers:
        size += (k - 1) * jump
        jump *= s
    return size, jump


@receptive_field.mistake("the jump grows too early: a window counts cells of the layer below it")
def _(layers):
    size, jump = 1, 1
    for k, s in layers:
        jump *= s
        size += (k - 1) * jump
    return size, jump


@receptive_field.mistake("after a stride, neighbouring cells are further apart than one pixel")
def _(layers):
    return 1 + sum(k - 1 for k, _ in layers), receptive_field.reference(layers)[1]


@receptive_field.mistake("the strides are ignored")
def _(layers):
    return 1 + sum(k - 1 for k, _ in layers), 1


@receptive_field.mistake("k cells lie k - 1 jumps apart, not k")
def _(layers):
    size, jump = 1, 1
    for k, s in layers:
        size += k * jump
        jump *= s
    return size, jump


@receptive_field.mistake("windows overlap, so their sizes do not multiply")
def _(layers):
    return int(np.prod([k for k, _ in layers])), receptive_field.reference(layers)[1]


@receptive_field.mistake("one less than it is: a cell before all layers sees 1 pixel, itself")
def _(layers):
    size, jump = receptive_field.reference(layers)
    return size - 1, jump


@receptive_field.mistake("strides multiply; they do not add")
def _(layers):
    size, jump = 1, 0
    for k, s in layers:
        size += (k - 1) * max(jump, 1)
        jump += s
    return size, jump


@receptive_field.mistake("the jump is that of the last layer alone, not the product of all")
def _(layers):
    return receptive_field.reference(layers)[0], layers[-1][1]


@receptive_field.mistake("the layers are taken from the last to the first")
def _(layers):
    return receptive_field.reference(layers[::-1])


@receptive_field.mistake("the order is size, jump")
def _(layers):
    return receptive_field.reference(layers)[::-1]


@receptive_field.mistake("each pair is (k, s): the window first, then the stride")
def _(layers):
    return receptive_field.reference([(s, k) for k, s in layers])


@receptive_field.mistake("this is the last layer alone: the loop has to go on from layer to layer")
def _(layers):
    return layers[-1]


@receptive_field.mistake("this is after the first layer: return only when the loop has ended")
def _(layers):
    return layers[0]


@receptive_field.mistake("size is right; return jump, too: size, jump")
def _(layers):
    return receptive_field.reference(layers)[0]


@receptive_field.mistake("jump is multiplied by s only; k is not in its formula")
def _(layers):
    size, jump = 1, 1
    for k, s in layers:
        size += (k - 1) * jump
        jump *= s * k
    return size, jump


@receptive_field.mistake("the field grows by (k - 1) * jump; the old size is not multiplied")
def _(layers):
    size, jump = 1, 1
    for k, s in layers:
        size = size * s + (k - 1) * jump
        jump *= s
    return size, jump


def tiny_score(image):
    """The lesson's: the convolution of lesson 2, ReLU, and the largest of all."""
    kernel = np.array([[1, -1], [2, 0]])
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(image, float), (2, 2))
    return max(float(((windows * kernel).sum((2, 3)) + 1).max()), 0.0)


def weighted_score(image):
    """A score with a weight of its own for every pixel, none of them whole."""
    h, w = np.shape(image)
    weights = (7 * np.arange(h * w) % 11 - 3.7).reshape(h, w)
    return float((weights * image).sum()) + 3.0


def occluded():
    x = np.array([[1.0, 2, 0], [0, 1, 3], [2, 0, 1]])
    yield tiny_score, x, 1
    yield tiny_score, x, 2
    rng = np.random.default_rng(0)
    for h, w, k in [(5, 5, 2), (4, 6, 2), (6, 4, 3), (3, 3, 3), (5, 7, 1)]:
        yield weighted_score, rng.integers(1, 6, (h, w)).astype(float), k
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


@occlusion_map.mistake("an array of integers cuts the fractions off: np.zeros without int")
def _(score, image, k):
    return occlusion_map.reference(score, image, k).astype(int)


@occlusion_map.mistake("the patch has k rows and k columns; this one is a row or a pixel short")
def _(score, image, k):
    h, w = image.shape
    return padded(score, image, k - 1, h - k + 1, w - k + 1)


@occlusion_map.mistake("the patch has k rows and k columns; this one has k + 1")
def _(score, image, k):
    h, w = image.shape
    return padded(score, image, k + 1, h - k + 1, w - k + 1)


def padded(score, image, k, rows, columns):
    """The drops at so many places for a patch of another size, which ends with the image."""
    drops = np.zeros((rows, columns))
    for i, j in np.ndindex(rows, columns):
        covered = image.copy()
        covered[i : i + k, j : j + k] = 0
        drops[i, j] = score(image) - score(covered)
    return drops


@occlusion_map.mistake("patches do not lie side by side: i and j go on by 1, not by k")
def _(score, image, k):
    return occlusion_map.reference(score, image, k)[::k, ::k]


@occlusion_map.mistake("there are h - k + 1 places for the rows, not h: the patch has to fit")
def _(score, image, k):
    return padded(score, image, k, *image.shape)


@occlusion_map.mistake("a drop is a difference, score(image) minus the covered one's, not a share")
def _(score, image, k):
    with np.errstate(all="ignore"):
        return occlusion_map.reference(score, image, k) / score(image)


@occlusion_map.mistake("everything else is covered: set the patch to 0, and leave the rest")
def _(score, image, k):
    h, w = image.shape
    drops = np.zeros((h - k + 1, w - k + 1))
    for i, j in np.ndindex(drops.shape):
        kept = np.zeros_like(image)
        kept[i : i + k, j : j + k] = image[i : i + k, j : j + k]
        drops[i, j] = score(image) - score(kept)
    return drops


@occlusion_map.mistake("an array is asked for, [i, j], not one long list of drops")
def _(score, image, k):
    return occlusion_map.reference(score, image, k).ravel()


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


@accuracy_without.mistake(
    "an array of integers: shares below 1 become 0 in it; np.zeros without int"
)
def _(maps, labels, kernel, bias):
    return accuracy_without.reference(maps, labels, kernel, bias).astype(int)


@accuracy_without.mistake("percent are not asked for: a share is between 0 and 1")
def _(maps, labels, kernel, bias):
    return 100 * accuracy_without.reference(maps, labels, kernel, bias)


@accuracy_without.mistake("the share of all images is asked for, not the change of the answers")
def _(maps, labels, kernel, bias):
    n, _, _, f = maps.shape
    whole = (maps.reshape(n, -1) @ kernel + bias).argmax(axis=1)
    shown = []
    for o in range(f):
        left = maps.copy()
        erase(left, o)
        shown.append(((left.reshape(n, -1) @ kernel + bias).argmax(axis=1) == whole).mean())
    return np.array(shown)


@accuracy_without.mistake(
    "nothing is removed here: set [..., o] of the copy to 0 before the product"
)
def _(maps, labels, kernel, bias):
    return each_accuracy(maps, labels, kernel, bias, lambda changed, o: None)


@accuracy_without.mistake("the answer is the class of the largest score: argmax, not argmin")
def _(maps, labels, kernel, bias):
    return each_accuracy(maps, labels, -kernel, -bias, erase)


@accuracy_without.mistake("one entry for each map: f of them, not one for each cell or image")
def _(maps, labels, kernel, bias):
    return np.full(len(maps), accuracy_without.reference(maps, labels, kernel, bias)[0])


@accuracy_without.mistake("a filter is a channel, the last axis; this removes a row of cells")
def _(maps, labels, kernel, bias):
    def erase_row(changed, o):
        changed[:, o % changed.shape[1]] = 0

    return each_accuracy(maps, labels, kernel, bias, erase_row)


def attacks():
    """Gradients of losses that turn on the way, and images with pixels at 0 and 1."""
    rng = np.random.default_rng(2)
    for shape, epsilon, size, steps in [
        ((1, 1, 2, 1), 0.25, 0.125, 1),
        ((2, 3, 4, 1), 0.2, 0.07, 5),
        ((3, 2, 2, 1), 0.3, 0.11, 8),
        ((1, 5, 5, 1), 0.05, 0.02, 3),
        ((2, 2, 3, 1), 0.9, 0.25, 6),
    ]:
        images = rng.uniform(0, 1, shape).round(2)
        images.ravel()[::4] = rng.integers(0, 2, images.ravel()[::4].shape)
        goal = images + rng.choice([-0.08, 0.15, 2, -2], shape)
        mixing = rng.normal(size=shape) / 3

        without_effect = np.zeros(shape)
        without_effect.ravel()[1::5] = 1  # pixels whose gradient is 0: they stay as they are

        def gradient(x, goal=goal, mixing=mixing, without_effect=without_effect):
            slope = 2 * (np.asarray(x) - goal) + mixing * np.sin(9 * np.asarray(x).sum())
            return np.where(without_effect, 0, slope)

        yield gradient, images, epsilon, size, steps


def descended(
    gradient, images, epsilon, size, steps, direction=-1, move=np.sign, near=True, within=True
):
    """The right way, unless told otherwise."""
    x = images.copy()
    for _ in range(steps):
        x = x + direction * size * move(gradient(x))
        x = np.clip(x, images - epsilon, images + epsilon) if near else x
        x = np.clip(x, 0, 1) if within else x
    return x


@exercise(attacks, tolerance=1e-9)
def toward(gradient, images, epsilon, size, steps):
    return descended(gradient, images, epsilon, size, steps)


@toward.mistake("a pixel whose gradient is 0 stays as it is: np.sign gives 0 there")
def _(*case):
    return descended(*case, move=lambda g: np.where(g > 0, 1, -1))


@toward.refused
def _(*case):
    return descended(*case, move=lambda g: np.where(g >= 0, 1, -1))


@toward.mistake("this goes up: the loss is to become small, so move against the gradient")
def _(*case):
    return descended(*case, direction=1)


@toward.mistake("ask for the gradient again after each step; this one is that of the first images")
def _(gradient, images, *case):
    first = gradient(images)
    return descended(lambda x: first, images, *case)


@toward.mistake("every pixel moves by size: take the sign of its gradient, not the gradient itself")
def _(*case):
    return descended(*case, move=np.asarray)


@toward.mistake("pixels have to stay within 0 ... 1")
def _(*case):
    return descended(*case, within=False)


@toward.mistake("pixels have to stay within epsilon of where they began, in `images`")
def _(*case):
    return descended(*case, near=False)


@toward.mistake("nothing keeps the pixels within epsilon of where they began, nor within 0 ... 1")
def _(*case):
    return descended(*case, near=False, within=False)


@toward.mistake("bring the pixels back after each step, not only after the last one")
def _(gradient, images, epsilon, size, steps):
    x = descended(gradient, images, epsilon, size, steps, near=False, within=False)
    return np.clip(np.clip(x, images - epsilon, images + epsilon), 0, 1)


@toward.mistake("this is a single step; take `steps` of them")
def _(gradient, images, epsilon, size, steps):
    return descended(gradient, images, epsilon, size, 1)


@toward.mistake("each step has the length size; epsilon is only the limit")
def _(gradient, images, epsilon, size, steps):
    return descended(gradient, images, epsilon, epsilon, steps)


@toward.mistake("each step starts at the images of before, not again at the first ones")
def _(gradient, images, epsilon, size, steps):
    x = images
    for _ in range(steps):
        x = images - size * np.sign(gradient(x))
        x = np.clip(np.clip(x, images - epsilon, images + epsilon), 0, 1)
    return x


@toward.mistake("one step too many")
def _(gradient, images, epsilon, size, steps):
    return descended(gradient, images, epsilon, size, steps + 1)


@toward.mistake("these are the changes; return the images")
def _(gradient, images, *case):
    return descended(gradient, images, *case) - images


@toward.mistake("the limits are images - epsilon and images + epsilon, not -epsilon and epsilon")
def _(gradient, images, epsilon, size, steps):
    x = images
    for _ in range(steps):
        x = np.clip(x - size * np.sign(gradient(x)), -epsilon, epsilon)
        x = np.clip(x, 0, 1)
    return x
