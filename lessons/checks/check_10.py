"""Lesson 10: the forward and backward pass of a whole network, and its training."""

import numpy as np

from minicnn.losses import cross_entropy_of_logits
from minicnn.shapes import window_geometry
from minicnn.windows import windows

from .engine import NotYet, exercise, returning

SAME = window_geometry((14, 14), (3, 3), (1, 1), "same")
WEIGHTS = ("kernel", "bias", "dense kernel", "dense bias")
CACHE = ("padded", "a", "winner", "pooled")


def new_weights(seed):
    rng = np.random.default_rng(seed)
    shapes = (3, 3, 1, 8), (8,), (392, 10), (10,)
    return [rng.normal(0, 0.3, shape) for shape in shapes]


def images(seed, n):
    return np.random.default_rng(100 + seed).random((n, 14, 14, 1))


def right_forward(weights, x):
    """Without loops, for one image."""
    kernel, bias, dense_kernel, dense_bias = weights
    a = np.maximum(np.tensordot(windows(x[None], SAME)[0], kernel, 3) + bias, 0)
    cells = a.reshape(7, 2, 7, 2, 8).transpose(0, 2, 4, 1, 3).reshape(7, 7, 8, 4)
    pooled = cells.max(-1)
    cache = {
        "padded": np.pad(x, [(1, 1), (1, 1), (0, 0)]),
        "a": a,
        "winner": cells.argmax(-1),
        "pooled": pooled,
    }
    return pooled.reshape(-1) @ dense_kernel + dense_bias, cache


def right_backward(weights, cache, dz, masked=True, everywhere=False):
    """Right unless told otherwise: ReLU left out, or gradients to all cells of a window."""
    pooled, winner, padded = cache["pooled"], cache["winner"], cache["padded"]
    dpooled = (weights[2] @ dz).reshape(7, 7, 8)
    chosen = winner[..., None] == np.arange(4)
    cells = dpooled[..., None] * (np.ones_like(chosen) if everywhere else chosen)
    da = cells.reshape(7, 7, 8, 2, 2).transpose(0, 3, 1, 4, 2).reshape(14, 14, 8)
    dh = np.where(cache["a"] > 0, da, 0) if masked else da
    valid = SAME._replace(top=0, left=0, h=16, w=16)
    dkernel = np.tensordot(windows(padded[None], valid)[0], dh, axes=((0, 1), (0, 1)))
    return [dkernel, dh.sum((0, 1)), np.outer(pooled, dz), dz.copy()]


def right_fit(
    weights,
    images,
    labels,
    lr,
    batch_size,
    momentum=0.0,
    mean=True,
    steps=True,
    sign=1,
    total=sum,
    loss=np.mean,
    lead=0,
):
    """Right unless told otherwise."""
    velocities, losses = [np.zeros(weight.shape) for weight in weights], []
    for start in range(0, len(images), batch_size):
        batch, own = images[start : start + batch_size], labels[start : start + batch_size]
        passes = [right_forward(weights, image) for image in batch]
        each, dz = cross_entropy_of_logits(own, np.array([z for z, _ in passes]))
        dz = dz / len(batch) if mean else dz
        of_images = [
            right_backward(weights, cache, d) for (_, cache), d in zip(passes, dz, strict=True)
        ]
        for weight, v, *gradients in zip(weights, velocities, *of_images, strict=True):
            v *= momentum
            v -= lr * total(gradients)
            if steps:
                weight += sign * v + lead * (momentum * v - lr * total(gradients) - v)
        losses.append(float(loss(each)))
    return losses


def forward_cases():
    for seed in range(3):
        yield new_weights(seed), images(seed, 1)[0]


def scores_and_cache(function, weights, x):
    result = function(weights, x)
    if result is None:
        return None
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise NotYet("two things are expected: return z, cache")
    z, cache = result
    missing = [name for name in CACHE if not isinstance(cache, dict) or name not in cache]
    if missing:
        raise NotYet(f"the cache is a dict with the keys {', '.join(CACHE)}; missing: {missing}")
    return {"z": z} | {name: cache[name] for name in CACHE}


@exercise(forward_cases, tolerance=1e-9, run=scores_and_cache)
def forward(weights, x):
    return right_forward(weights, x)


@forward.mistake("ReLU is forgotten after the convolution")
def _(weights, x):
    kernel, bias, dense_kernel, dense_bias = weights
    a = np.tensordot(windows(x[None], SAME)[0], kernel, 3) + bias
    cells = a.reshape(7, 2, 7, 2, 8).transpose(0, 2, 4, 1, 3).reshape(7, 7, 8, 4)
    _, cache = right_forward(weights, x)
    cache |= {"a": a, "winner": cells.argmax(-1), "pooled": cells.max(-1)}
    return cache["pooled"].reshape(-1) @ dense_kernel + dense_bias, cache


@forward.mistake("the bias of the dense layer is forgotten")
def _(weights, x):
    return right_forward([*weights[:3], 0 * weights[3]], x)


@forward.mistake("the bias of the convolution is forgotten")
def _(weights, x):
    return right_forward([weights[0], 0 * weights[1], *weights[2:]], x)


@forward.mistake("scores are not probabilities: the softmax belongs to the loss")
def _(weights, x):
    z, cache = right_forward(weights, x)
    e = np.exp(z - z.max())
    return e / e.sum(), cache


@forward.mistake('cache["padded"] is the image with its zeros, (16, 16, 1)')
def _(weights, x):
    z, cache = right_forward(weights, x)
    return z, cache | {"padded": x}


@forward.mistake("one image gives ten scores, of shape (10,), not (1, 10)")
def _(weights, x):
    z, cache = right_forward(weights, x)
    return z[None], cache


@forward.mistake('cache["a"] is the output of ReLU; this is what came before it')
def _(weights, x):
    z, cache = right_forward(weights, x)
    before = np.tensordot(windows(x[None], SAME)[0], weights[0], 3) + weights[1]
    return z, cache | {"a": before}


@forward.mistake("the pooled channels are flattened in another order: reshape(-1) alone does it")
def _(weights, x):
    _, cache = right_forward(weights, x)
    return cache["pooled"].transpose(2, 0, 1).reshape(-1) @ weights[2] + weights[3], cache


@forward.refused
def _(weights, x):  # ReLU on the scores, too
    z, cache = right_forward(weights, x)
    return np.maximum(z, 0), cache


def backward_cases():
    for weights, x in forward_cases():
        _, cache = right_forward(weights, x)
        yield weights, cache, np.random.default_rng(3).normal(size=10)
    # Blank paper under a bias above 0: all cells of a window are equal, and one of them wins.
    kernel, bias, *dense = new_weights(3)
    weights = [kernel, bias + 0.1, *dense]
    _, cache = right_forward(weights, 0 * images(3, 1)[0])
    yield weights, cache, np.random.default_rng(4).normal(size=10)


@exercise(backward_cases, tolerance=1e-9, run=returning(*WEIGHTS))
def backward(weights, cache, dz):
    return right_backward(weights, cache, dz)


@backward.mistake("ReLU is forgotten in the backward pass: own.relu_backward after the pooling")
def _(weights, cache, dz):
    return right_backward(weights, cache, dz, masked=False)


@backward.mistake("the pooling passes its gradient on to the winner alone")
def _(weights, cache, dz):
    return right_backward(weights, cache, dz, everywhere=True)


@backward.mistake("the gradients are in the order of the backward pass; weights begin with kernel")
def _(weights, cache, dz):
    dkernel, dbias, ddense_kernel, ddense_bias = right_backward(weights, cache, dz)
    return [ddense_kernel, ddense_bias, dkernel, dbias]


@backward.mistake("the dense bias has a gradient of shape (10,), the kernel one of (392, 10)")
def _(weights, cache, dz):
    dkernel, dbias, ddense_kernel, ddense_bias = right_backward(weights, cache, dz)
    return [dkernel, dbias, ddense_kernel, ddense_bias[None]]


@backward.mistake("these gradients point downhill; the minus belongs to the step")
def _(weights, cache, dz):
    return right_backward(weights, cache, -dz)


@backward.refused
def _(weights, cache, dz):  # all maxima of a window are paid, not the winner alone
    ties = (cache["a"] == cache["pooled"].repeat(2, 0).repeat(2, 1)) & (cache["a"] > 0)
    dpooled = (weights[2] @ dz).reshape(7, 7, 8).repeat(2, 0).repeat(2, 1)
    dbias = (dpooled * ties).sum((0, 1))
    dkernel, _, *others = right_backward(weights, cache, dz)
    return [dkernel, dbias, *others]


@backward.refused
def _(weights, cache, dz):  # the convolution learns nothing
    dkernel, dbias, *others = right_backward(weights, cache, dz)
    return [0 * dkernel, 0 * dbias, *others]


@backward.refused
def _(weights, cache, dz):  # the kernel's gradient turned by half a turn
    dkernel, *others = right_backward(weights, cache, dz)
    return [dkernel[::-1, ::-1], *others]


def fit_cases():
    # 7 images in batches of 3: the last batch has one image.
    for n, lr, batch_size in [(2, 0.5, 2), (7, 0.25, 3), (6, 0.1, 1)]:
        labels = np.random.default_rng(n).integers(0, 10, n)
        yield new_weights(n), images(n, n), labels, lr, batch_size


def losses_and_weights(function, weights, *case):
    """The losses, and what the weights have become, in place."""
    trained = [weight.copy() for weight in weights]
    arrays = list(trained)
    losses = function(trained, *case)
    if losses is None:
        return None
    if any(now is not before for now, before in zip(trained, arrays, strict=True)):
        raise NotYet("the list holds new arrays; change those that are in it: weight -= ...")
    return {"losses": losses} | dict(zip(WEIGHTS, trained, strict=True))


@exercise(fit_cases, tolerance=1e-9, run=losses_and_weights)
def fit(weights, images, labels, lr, batch_size):
    return right_fit(weights, images, labels, lr, batch_size)


@fit.mistake(
    "the weights are as before: weight -= ... changes them in place, weight = ... does not"
)
def _(weights, images, labels, lr, batch_size):
    return right_fit(weights, images, labels, lr, batch_size, steps=False)


@fit.mistake("this goes uphill: the step is against the gradient, weight -= lr * gradient")
def _(weights, images, labels, lr, batch_size):
    return right_fit(weights, images, labels, lr, batch_size, sign=-1)


@fit.mistake("dz is that of the mean loss: divided by the number of images in the batch, once")
def _(weights, images, labels, lr, batch_size):
    return right_fit(weights, images, labels, lr, batch_size, mean=False)


@fit.mistake("the last batch is left out if it is not full; it counts, with the images it has")
def _(weights, images, labels, lr, batch_size):
    full = len(images) // batch_size * batch_size
    return right_fit(weights, images[:full], labels[:full], lr, batch_size)


@fit.mistake("every image is a batch of its own here; the step comes after batch_size images")
def _(weights, images, labels, lr, batch_size):
    return right_fit(weights, images, labels, lr, 1)


@fit.mistake("the learning rate is missing")
def _(weights, images, labels, lr, batch_size):
    return right_fit(weights, images, labels, 1, batch_size)


@fit.mistake("the gradients are added up; their mean divides by the batch a second time")
def _(weights, images, labels, lr, batch_size):
    return right_fit(weights, images, labels, lr, batch_size, total=lambda g: sum(g) / len(g))


@fit.mistake(
    "the gradients of all images of the batch are added up; this is the last image's alone"
)
def _(weights, images, labels, lr, batch_size):
    return right_fit(weights, images, labels, lr, batch_size, total=lambda g: g[-1])


@fit.mistake("the loss of a batch is the mean over its images, not their sum")
def _(weights, images, labels, lr, batch_size):
    return right_fit(weights, images, labels, lr, batch_size, loss=np.sum)


@fit.mistake("the list is replaced by a new one here, and the arrays outside keep their values")
def _(weights, images, labels, lr, batch_size):
    return right_fit([weight.copy() for weight in weights], images, labels, lr, batch_size)


@fit.mistake("the loss of a batch is the one before its step, not after it")
def _(weights, images, labels, lr, batch_size):
    losses = []
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        right_fit(weights, images[part], labels[part], lr, batch_size)
        z = np.array([right_forward(weights, image)[0] for image in images[part]])
        losses.append(float(cross_entropy_of_logits(labels[part], z)[0].mean()))
    return losses


@fit.refused
def _(weights, images, labels, lr, batch_size):  # the last loss alone
    return right_fit(weights, images, labels, lr, batch_size)[-1:]


@fit.refused
def _(weights, images, labels, lr, batch_size):  # the biases are not trained
    biases = weights[1].copy(), weights[3].copy()
    losses = right_fit(weights, images, labels, lr, batch_size)
    weights[1][:], weights[3][:] = biases
    return losses


def momentum_cases():
    for case, momentum in zip(fit_cases(), [0.4, 0.8, 0.9], strict=True):
        yield *case, momentum


@exercise(momentum_cases, tolerance=1e-9, run=losses_and_weights)
def fit_with_momentum(weights, images, labels, lr, batch_size, momentum):
    return right_fit(weights, images, labels, lr, batch_size, momentum)


@fit_with_momentum.mistake(
    "the velocities begin anew in every batch; they live as long as the call"
)
def _(weights, images, labels, lr, batch_size, momentum):
    return right_fit(weights, images, labels, lr, batch_size)


@fit_with_momentum.mistake("the velocity takes up lr * gradient, not (1 - momentum) of it")
def _(weights, images, labels, lr, batch_size, momentum):
    return right_fit(weights, images, labels, lr * (1 - momentum), batch_size, momentum)


@fit_with_momentum.mistake("this goes uphill: v = momentum * v - lr * gradient")
def _(weights, images, labels, lr, batch_size, momentum):
    return right_fit(weights, images, labels, lr, batch_size, momentum, sign=-1)


@fit_with_momentum.mistake("the gradient is multiplied by lr, not by 1 - momentum")
def _(weights, images, labels, lr, batch_size, momentum):
    return right_fit(weights, images, labels, 1 - momentum, batch_size, momentum)


@fit_with_momentum.mistake("a weight moves by v itself; this is Nesterov's variant")
def _(weights, images, labels, lr, batch_size, momentum):
    return right_fit(weights, images, labels, lr, batch_size, momentum, lead=1)


@fit_with_momentum.mistake("the last batch is left out if it is not full; it counts, too")
def _(weights, images, labels, lr, batch_size, momentum):
    full = len(images) // batch_size * batch_size
    return right_fit(weights, images[:full], labels[:full], lr, batch_size, momentum)


@fit_with_momentum.refused
def _(weights, images, labels, lr, batch_size, momentum):  # momentum in the place of lr
    return right_fit(weights, images, labels, momentum, batch_size, lr)
