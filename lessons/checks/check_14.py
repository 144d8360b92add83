"""Lesson 14: when to stop, dropout, shifted copies, and a penalty on large weights."""

import numpy as np

from .check_02 import whole
from .engine import exercise, returning


def curves():
    yield [3.0, 2, 1, 2, 3, 0], 2
    yield [3.0, 2, 1, 1, 1, 0.5], 2
    yield [3.0, 2, 1], 2
    yield [1.0, 2, 0.5, 1, 0.75, 0.4, 1, 1, 1], 3
    yield [1.0, 2], 1
    yield [3.0, 2, 1], 5
    yield [2000.0, 1500, 1200, 1100], 2
    yield [1.0, 0.999, 0.998], 1
    yield [1.0], 1
    rng = np.random.default_rng(0)
    for patience in (1, 2, 3, 5):
        yield np.round(1 + rng.random(12), 2).tolist(), patience


def stop(losses, patience, below=np.less, since_last=False, begin=1, lowest=np.inf, reset=True):
    """Right unless told otherwise."""
    since = 0
    for epoch, loss in enumerate(losses, start=begin):
        if below(loss, lowest):
            lowest, since = loss, 0 if reset else since
        else:
            since += 1
        if since_last:
            lowest = loss
        if since >= patience:
            return epoch
    return len(losses) - 1 + begin


@exercise(curves)
def stopping_epoch(losses, patience):
    return stop(losses, patience)


@stopping_epoch.mistake("an equal loss is no lower one: compare with <")
def _(losses, patience):
    return stop(losses, patience, below=np.less_equal)


@stopping_epoch.mistake("compare with the lowest loss so far, not with that of the epoch before")
def _(losses, patience):
    return stop(losses, patience, since_last=True)


@stopping_epoch.mistake("epochs are counted from 1")
def _(losses, patience):
    return stop(losses, patience, begin=0)


@stopping_epoch.mistake("epochs are counted from 1: enumerate(losses, start=1)")
def _(losses, patience):
    found = stop(losses, patience)
    return found - (found < len(losses) or stop([*losses, 0.0], patience) == len(losses))


@stopping_epoch.mistake("the count begins again at 0 with each new lowest loss: epochs *in a row*")
def _(losses, patience):
    return stop(losses, patience, reset=False)


@stopping_epoch.mistake("this is the best epoch until then; training stops `patience` epochs later")
def _(losses, patience):
    return int(np.argmin(losses[: stop(losses, patience)])) + 1


@stopping_epoch.mistake("this is the best epoch; training goes on for `patience` more")
def _(losses, patience):
    return int(np.argmin(losses)) + 1


@stopping_epoch.mistake("one epoch too late: it stops after `patience` epochs without a lower loss")
def _(losses, patience):
    return stop(losses, patience + 1)


@stopping_epoch.mistake("this never stops before the last epoch")
def _(losses, patience):
    return len(losses)


@stopping_epoch.refused
def _(losses, patience):  # changes the list
    found = stop(losses, patience)
    losses.sort()
    return found


@stopping_epoch.refused
def _(losses, patience):  # a lowest loss to begin with that losses can be above
    return stop(losses, patience, lowest=1000.0)


@stopping_epoch.refused
def _(losses, patience):  # a loss that is a little lower does not count
    return stop(losses, patience, below=lambda loss, lowest: loss < lowest - 0.01)


@stopping_epoch.refused
def _(losses, patience):  # more epochs than there are
    return patience if patience >= len(losses) else stop(losses, patience)


@stopping_epoch.refused
def _(losses, patience):  # stops at the first rise
    return stop(losses, 1)


class Draws:
    """A generator whose draws are known."""

    def __init__(self, *draws):
        self.draws = draws

    def random(self, size=None):
        return np.resize(self.draws, size) if size is not None else self.draws[0]

    def __repr__(self):
        return f"a generator that draws {', '.join(map(str, self.draws))}"


def dropout_cases():
    yield np.array([1.0, 2, 3, 4]), 0.5, Draws(0.7, 0.2, 0.1, 0.9)
    yield np.array([1.0, 2, 3, 4]), 0.25, Draws(0.25, 0.5, 0.1, 0.25)
    yield np.array([0, 2, 0, 4]), 0.25, Draws(0.9, 0.5, 0.1, 0.1)  # integers, and zeros
    yield np.array([1.0, 2, 3, 4]), 0.5, np.random.default_rng(0)
    yield whole(1, 5, 4), 0.25, np.random.default_rng(1)
    yield whole(2, 2, 3, 3, 2), 0.8, np.random.default_rng(2)
    yield whole(3, 6), 0.0, np.random.default_rng(3)


def masked(x, mask):
    return x * mask, mask


def with_next_draw(function, x, rate, rng):
    """The result and, because the numbers are to be drawn once, what the generator draws next."""
    result = returning("y", "mask")(function, x, rate, rng)
    if result is None or rate == 0:  # nothing has to be drawn
        return result
    return result | {"the next draw of rng": rng.random()}


@exercise(dropout_cases, tolerance=1e-9, run=with_next_draw)
def dropout_forward(x, rate, rng):
    return masked(x, (rng.random(x.shape) >= rate) / (1 - rate))


@dropout_forward.mistake("numbers that stay are divided by 1 - rate: their scale has to be kept")
def _(x, rate, rng):
    return masked(x, (rng.random(x.shape) >= rate) / 1.0)


@dropout_forward.mistake("rate is the share that is dropped; this keeps that share")
def _(x, rate, rng):
    keep = rng.random(x.shape) < rate
    return masked(x, keep / (rate or 1.0))


@dropout_forward.mistake("divide by 1 - rate, the share that stays, not by rate")
def _(x, rate, rng):
    return masked(x, (rng.random(x.shape) >= rate) / (rate or 1.0))


@dropout_forward.mistake("those that stay become larger, not smaller: divide by 1 - rate")
def _(x, rate, rng):
    return masked(x, (rng.random(x.shape) >= rate) * (1 - rate))


@dropout_forward.mistake("every number has a draw of its own; here all samples share one")
def _(x, rate, rng):
    mask = (rng.random(x.shape[1:]) >= rate) / (1 - rate)
    return masked(x, np.broadcast_to(mask, x.shape).copy())


@dropout_forward.mistake("the mask has the 1 / (1 - rate) in it, too: the backward pass needs it")
def _(x, rate, rng):
    keep = rng.random(x.shape) >= rate
    return x * keep / (1 - rate), keep / 1.0


@dropout_forward.mistake("draw once, by rng.random(x.shape): here the generator is used again")
def _(x, rate, rng):
    mask = (rng.random(x.shape) >= rate) / (1 - rate)
    rng.random(x.shape)
    return masked(x, mask)


@dropout_forward.mistake("a draw that is equal to the rate keeps its number: compare with >=")
def _(x, rate, rng):
    return masked(x, (rng.random(x.shape) > rate) / (1 - rate))


@dropout_forward.mistake(
    "numbers whose draw is below the rate are dropped, not kept: compare with >="
)
def _(x, rate, rng):
    return masked(x, (rng.random(x.shape) < rate) / (1 - rate))


@dropout_forward.mistake("y comes first: return y, mask")
def _(x, rate, rng):
    mask = (rng.random(x.shape) >= rate) / (1 - rate)
    return mask, x * mask


@dropout_forward.refused
def _(x, rate, rng):  # the mask of a 0 that stays is 0
    y = x * (rng.random(x.shape) >= rate)
    return masked(x, (y != 0) / (1 - rate))


@dropout_forward.refused
def _(x, rate, rng):  # np.zeros_like of an array of integers
    mask = ((rng.random(x.shape) >= rate) / (1 - rate)).astype(x.dtype)
    return masked(x, mask)


@dropout_forward.refused
def _(x, rate, rng):  # nothing is dropped
    return masked(x, np.ones(x.shape))


@dropout_forward.refused
def _(x, rate, rng):  # random numbers of its own
    return masked(x, (np.random.default_rng().random(x.shape) >= rate) / (1 - rate))


def shift_cases():
    x = np.array([[1.0, 2, 0], [0, 1, 3], [2, 0, 1]])[None, ..., None]
    for down, across in [(1, 0), (0, 1), (-1, 0), (1, -1), (0, 0), (2, 1)]:
        yield x, down, across
    for seed, (shape, down, across) in enumerate(
        [((2, 5, 4, 2), 2, -1), ((3, 4, 6, 1), -3, 2), ((1, 4, 4, 3), -1, -2)]
    ):
        yield whole(seed, *shape) / 4, down, across


def shift_images(images, down, across):
    """Exercise 3's, for the cells after it."""
    _, h, w, _ = images.shape
    padded = np.pad(images, [(0, 0), (h, h), (w, w), (0, 0)])
    return padded[:, h - down : 2 * h - down, w - across : 2 * w - across].copy()


@exercise(shift_cases)
def shifted(images, down, across):
    return shift_images(images, down, across)


@shifted.mistake("what leaves on one side must not come back on the other, as np.roll has it")
def _(images, down, across):
    return np.roll(images, (down, across), (1, 2))


@shifted.mistake("down and across are exchanged")
def _(images, down, across):
    return shift_images(images, across, down)


@shifted.mistake("positive numbers move down and to the right; this moves up and to the left")
def _(images, down, across):
    return shift_images(images, -down, -across)


@shifted.mistake("positive numbers of `down` move down; here they move up")
def _(images, down, across):
    return shift_images(images, -down, across)


@shifted.mistake("positive numbers of `across` move to the right; here they move to the left")
def _(images, down, across):
    return shift_images(images, down, -across)


@shifted.mistake("negative numbers move up and to the left; here they do nothing")
def _(images, down, across):
    return shift_images(images, max(down, 0), max(across, 0))


@shifted.mistake("what becomes free is paper, 0, not the edge repeated")
def _(images, down, across):
    _, h, w, _ = images.shape
    padded = np.pad(images, [(0, 0), (h, h), (w, w), (0, 0)], mode="edge")
    return padded[:, h - down : 2 * h - down, w - across : 2 * w - across]


@shifted.mistake("only the first image has moved")
def _(images, down, across):
    return np.concatenate([shift_images(images[:1], down, across), images[1:]])


@shifted.refused
def _(images, down, across):  # an array of integers
    return shift_images(images, down, across).astype(int)


def penalised():
    for seed, strength in enumerate([0.5, 0.25, 1e-2]):
        shapes = [(2, 2), (3, 2), (2,)][: seed + 1]
        weights = [whole(seed + 10 * i, *shape) / 2 for i, shape in enumerate(shapes)]
        gradients = [whole(seed + 10 * i + 5, *shape) / 4 for i, shape in enumerate(shapes)]
        yield 1.5 + seed, gradients, weights, strength


def penalty(loss, gradients, weights, strength, factor=2.0, power=2):
    added = strength * sum((np.abs(weight) ** power).sum() for weight in weights)
    pairs = zip(gradients, weights, strict=True)
    return float(loss + added), [g + factor * strength * weight for g, weight in pairs]


@exercise(penalised, tolerance=1e-9, run=returning("loss", "gradients"))
def with_penalty(loss, gradients, weights, strength):
    return penalty(loss, gradients, weights, strength)


@with_penalty.mistake("the derivative of w ** 2 is 2 * w: the factor 2 is missing in the gradient")
def _(loss, gradients, weights, strength):
    return penalty(loss, gradients, weights, strength, factor=1.0)


@with_penalty.mistake("the gradients are right; the loss has a penalty as well")
def _(loss, gradients, weights, strength):
    return loss, penalty(loss, gradients, weights, strength)[1]


@with_penalty.mistake("the loss is right; its penalty adds to the gradients, too")
def _(loss, gradients, weights, strength):
    return penalty(loss, gradients, weights, strength)[0], gradients


@with_penalty.mistake("the penalty's gradient is added; the minus belongs to the step")
def _(loss, gradients, weights, strength):
    return penalty(loss, gradients, weights, strength, factor=-2.0)


@with_penalty.mistake("the strength belongs to the gradient of the penalty too")
def _(loss, gradients, weights, strength):
    pairs = zip(gradients, weights, strict=True)
    new = [g + 2 * weight for g, weight in pairs]
    return penalty(loss, gradients, weights, strength)[0], new


@with_penalty.mistake(
    "the gradient of the penalty is added to that of the loss, and does not replace it"
)
def _(loss, gradients, weights, strength):
    new = [2 * strength * weight for weight in weights]
    return penalty(loss, gradients, weights, strength)[0], new


@with_penalty.mistake("the penalty is strength times the sum; here it is half of that")
def _(loss, gradients, weights, strength):
    return penalty(loss, gradients, weights, strength / 2)


@with_penalty.mistake("the sum is one of squares, not of absolute values")
def _(loss, gradients, weights, strength):
    pairs = zip(gradients, weights, strict=True)
    new = [g + strength * np.sign(weight) for g, weight in pairs]
    return penalty(loss, gradients, weights, strength, power=1)[0], new


@with_penalty.mistake("the penalty is a sum over the weights, not their mean")
def _(loss, gradients, weights, strength):
    added = strength * sum((weight**2).mean() for weight in weights)
    pairs = zip(gradients, weights, strict=True)
    return loss + added, [g + 2 * strength * weight / weight.size for g, weight in pairs]


@with_penalty.refused
def _(loss, gradients, weights, strength):  # the gradients are changed in place
    for gradient, weight in zip(gradients, weights, strict=True):
        gradient += 2 * strength * weight
    return penalty(loss, gradients, weights, strength)[0], gradients
