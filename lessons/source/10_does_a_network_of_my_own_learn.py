# %% [markdown]
# # 10 · Does a network of my own learn?
#
# *15 minutes · needs lessons 2 to 8*
#
# **You will build** a convolutional network from the functions that you wrote in earlier lessons, and some forty lines that join
# them: `forward`, `backward` and `fit`. It learns to read digits, and takes the same steps as minicnn and as Keras.

# %%
import numpy as np

from checks import check_10 as check
from checks import own_functions
from minicnn import plots
from minicnn.datasets import mnist

# %% [markdown]
# ## Your functions
#
# The next cell opens your notebooks of lessons 2 to 8 (save them first), and takes each function that its check accepts. For what
# you have not solved yet, it takes minicnn's, so that nothing here has to wait. To use a function that you have just finished,
# save its notebook and run this cell again.

# %%
own = own_functions.load()

# %% [markdown]
# From now on they are called `own.conv_valid`, `own.max_pool` and so on. Those of lessons 2, 5 and 8 are for one image, without a batch:
#
# | lesson | functions |
# |---|---|
# | 2, 3 | `conv_valid(x, kernel, bias)`, `same_pads(n, k, s)` |
# | 5 | `max_pool(x, pool_size, strides)`, `max_pool_backward(dy, winner, x_shape, pool_size, strides)`, with pairs for sizes and strides |
# | 6 | `loss_and_gradient(z, labels)` |
# | 7 | `dense_backward(x, kernel, dy)`, `relu_backward(dy, y)` |
# | 8 | `conv_backward(x, kernel, dy, s)` |
#
# ## The data and the network
#
# Loops in Python are slow, so the network is small, and the digits are shrunk to 14 x 14 pixels: each pixel the mean of four.

# %%
(x_train, y_train), (x_test, y_test) = mnist.load_data()


def shrunk(images):
    """Images (n, 28, 28) as (n, 14, 14, 1), from 0 to 1."""
    return images.reshape(-1, 14, 2, 14, 2, 1).mean(axis=(2, 4)) / 255


train, test = shrunk(x_train[:500]), shrunk(x_test[:200])
train_labels, test_labels = y_train[:500], y_test[:200]

rng = np.random.default_rng(0)
first_weights = [
    rng.uniform(-0.27, 0.27, (3, 3, 1, 8)),  # the limits are Glorot's: lesson 11
    np.zeros(8),
    rng.uniform(-0.12, 0.12, (7 * 7 * 8, 10)),
    np.zeros(10),
]
print(sum(weight.size for weight in first_weights), "weights")

# %% tags=["fold"]
figure = plots.new_figure(2.2)
for axes, image, label in zip(figure.subplots(1, 8), train, train_labels, strict=False):
    axes.imshow(image[..., 0], cmap="gray_r")
    axes.set_title(str(label))
    axes.set_axis_off()
figure

# %% [markdown]
# The network, for one image:
#
# | step | function | shape of the result |
# |---|---|---|
# | zeros around the image | `own.same_pads(14, 3, 1)` on both axes, `np.pad` | (16, 16, 1) |
# | convolution, 8 filters of 3 x 3 | `own.conv_valid` | (14, 14, 8) |
# | ReLU | `np.maximum(..., 0)` | (14, 14, 8) |
# | max pooling, 2 x 2, stride 2 | `own.max_pool` | (7, 7, 8), maxima and winners |
# | flatten | `.reshape(-1)` | (392,) |
# | dense layer | `@`, and the bias | (10,) |
#
# ## Exercise 1: forward
#
# Return the scores and a *cache*: what the backward pass will need. Which arrays these are is written in lessons 5, 7 and 8; here
# the check asks for four of them, by name.


# %% tags=["exercise"]
def forward(weights, x):
    """Scores z (10,) of one image x (14, 14, 1), and the cache: a dict of
    "padded" (the image with zeros), "a" (the output of ReLU),
    "winner" (of the pooling) and "pooled" (its output).

    weights: kernel (3, 3, 1, 8), bias (8,), dense kernel (392, 10), bias (10,).
    """
    # solution
    kernel, bias, dense_kernel, dense_bias = weights
    pads = own.same_pads(14, 3, 1)
    padded = np.pad(x, [pads, pads, (0, 0)])
    a = np.maximum(own.conv_valid(padded, kernel, bias), 0)
    pooled, winner = own.max_pool(a, (2, 2), (2, 2))
    z = pooled.reshape(-1) @ dense_kernel + dense_bias
    return z, {"padded": padded, "a": a, "winner": winner, "pooled": pooled}


# %%
check.forward(forward)

# %% [markdown]
# <details><summary>Hint 1</summary>Go through the table row by row; each row is one line of code.</details>
# <details><summary>Hint 2</summary><code>np.pad(x, [(before, after), (before, after), (0, 0)])</code> pads height and width.</details>
# <details><summary>Hint 3</summary><code>own.max_pool</code> returns two arrays. Only the first one goes on to the dense layer.</details>
#
# ## Exercise 2: backward
#
# The same steps in the opposite order. `dz` is the gradient of the loss with respect to the scores of this image.


# %% tags=["exercise"]
def backward(weights, cache, dz):
    """The list of the four gradients, in the order of weights; dz is (10,)."""
    # solution
    kernel, _, dense_kernel, _ = weights
    a, pooled = cache["a"], cache["pooled"]
    flat = pooled.reshape(1, -1)
    dflat, ddense_kernel, ddense_bias = own.dense_backward(flat, dense_kernel, dz[None])
    dpooled = dflat.reshape(pooled.shape)
    da = own.max_pool_backward(dpooled, cache["winner"], a.shape, (2, 2), (2, 2))
    dh = own.relu_backward(da, a)
    _, dkernel, dbias = own.conv_backward(cache["padded"], kernel, dh, 1)
    return [dkernel, dbias, ddense_kernel, ddense_bias]


# %%
check.backward(backward)

# %% [markdown]
# <details><summary>Hint 1</summary>Five steps: dense layer, reshape, pooling, ReLU, convolution.</details>
# <details><summary>Hint 2</summary>A dense layer of a batch of one image: <code>dz[None]</code> has the shape (1, 10).</details>
# <details><summary>Hint 3</summary>The convolution was computed on the <em>padded</em> image, with stride 1.</details>
#
# ## Exercise 3: fit
#
# One epoch of gradient descent, as in lesson 4: for each batch the forward pass of its images, the loss of their scores, the backward
# pass of each image, the *sum* of the gradients (`dz` of `own.loss_and_gradient` is of the mean loss already), one step for every weight.


# %% tags=["exercise"]
def fit(weights, images, labels, lr, batch_size):
    """Change the weights in place; return the list of the losses, one a batch.

    Batches are taken in order, images[0:batch_size] first.
    """
    # solution
    losses = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        passes = [forward(weights, image) for image in batch]
        z = np.array([scores for scores, _ in passes])
        loss, dz = own.loss_and_gradient(z, labels[start : start + batch_size])
        sums = [np.zeros(weight.shape) for weight in weights]
        for (_, cache), each in zip(passes, dz, strict=True):
            for total, gradient in zip(
                sums, backward(weights, cache, each), strict=True
            ):
                total += gradient
        for weight, gradient in zip(weights, sums, strict=True):
            weight -= lr * gradient
        losses.append(loss)
    return losses


# %%
check.fit(fit)

# %% [markdown]
# <details><summary>Hint 1</summary>All images of the batch go forward before the first goes backward: the loss needs all scores.</details>
# <details><summary>Hint 2</summary>Keep the cache of each image in a list; <code>dz[i]</code> belongs to the cache of image <code>i</code>.</details>
# <details><summary>Hint 3</summary><code>weight -= lr * gradient</code> changes the array in place; <code>weight = weight - ...</code> does not.</details>
#
# ## It learns
#
# **Guess before you run:** an untrained network guesses. Which share of ten kinds of digits will it get right? And after it has seen
# 500 digits once? Your loops take half a minute for it; minicnn's functions, some seconds.

# %%
if check.fit.verdict(fit).passed:
    my_forward, my_fit, whose = forward, fit, "your network"
else:  # exercises 1 to 3 are not solved yet: the lesson goes on with minicnn's
    my_forward, my_fit, whose = check.right_forward, check.right_fit, "the solution"


def share_right(weights):
    """The share of the 200 test digits whose largest score is the right one."""
    found = [my_forward(weights, image)[0].argmax() for image in test]
    return float(np.mean(found == test_labels))


weights = [weight.copy() for weight in first_weights]
before = share_right(weights)
losses = my_fit(weights, train, train_labels, lr=0.2, batch_size=10)
after = share_right(weights)
print(f"{before:.1%} of new digits before, {after:.1%} after one epoch of 500 digits")
assert before < 0.3
assert after > 0.6

# %% [markdown]
# ## The same network in minicnn
#
# The same first weights, the same batches, the same learning rate; `run_eagerly=True` runs minicnn's readable core.

# %%
import minicnn
from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D


def in_minicnn(*more, convolution=Conv2D):
    """The network above, built of minicnn's layers, with the first weights."""
    model = minicnn.Sequential(
        [
            Input((14, 14, 1)),
            convolution(8, 3, padding="same", activation="relu"),
            MaxPooling2D(2),
            Flatten(),
            Dense(10, activation="softmax"),
        ],
        dtype="float64",
    )
    model.compile(
        minicnn.optimizers.SGD(0.2), "sparse_categorical_crossentropy", run_eagerly=True
    )
    model.set_weights(first_weights)
    return model


model = in_minicnn()
theirs = [
    model.train_on_batch(train[start : start + 10], train_labels[start : start + 10])
    for start in range(0, 500, 10)
]
largest = np.abs(np.array(losses) - theirs).max()
print("the losses of 50 steps differ by less than 1e-14:", largest < 1e-14)
assert largest < 1e-9

# %% [markdown]
# And in Keras 3.15.1 (TensorFlow 2.21), in double precision, for its first ten steps. It took these weights and batches, too:

# %%
KERAS = """
2.291919639668645 2.330755538001209 2.276627150116531 2.361158653176298
2.279622787770582 2.252494883774507 2.216334263391476 2.266034936382764
2.179067512856133 2.082417602246101
"""
keras = np.array(KERAS.split(), float)
assert np.allclose(losses[:10], keras, atol=1e-12, rtol=0)

# %% tags=["cover", "fold"]
figure = plots.new_figure(3.8)
left, right = figure.subplots(1, 2, width_ratios=[2, 1])
left.plot(theirs, color=plots.SKY, linewidth=6, label="minicnn")
left.plot(losses, color="black", linewidth=1.5, label=whose)
left.plot(keras, "o", color=plots.ORANGE, label="Keras, ten steps")
left.set(xlabel="step", ylabel="loss of the batch", title="one curve, three programs")
left.legend(frameon=False)
right.bar(["before", "after"], [before, after], color=[plots.GREY, plots.BLUE])
right.set(ylim=(0, 1), ylabel="share right", title="200 new digits")
figure

# %% [markdown]
# ## Look inside while it runs
#
# The functions that minicnn runs with `run_eagerly=True` are those you can read: `Conv2D.forward` and `Conv2D.backward` in
# `minicnn/layers.py`. To stop in one of them, write `breakpoint()` as its first line, restart the kernel, and train: Jupyter opens a
# prompt, in which `x.shape` or `dy.max()` show the arrays of your own step, `n` goes to the next line and `c` lets it run. (In the
# default, compiled engine there is nothing to stop in.) Without a debugger, a subclass can look:


# %%
class Talking(Conv2D):
    """A Conv2D that says what passes through it."""

    def forward(self, x):
        y, cache = super().forward(x)
        print("forward: x", x.shape, "-> y", y.shape, f"largest {y.max():.2f}")
        return y, cache

    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        share = (dy != 0).mean()
        print("backward: dy", dy.shape, f"{share:.0%} not 0 -> dx", dx.shape)
        return dx, grads


talking = in_minicnn(convolution=Talking)
talking.train_on_batch(train[:10], train_labels[:10])

# %% [markdown]
# About a quarter of `dy` is not 0: max pooling has passed each gradient on to one of four cells.
#
# ## Challenge
#
# *Momentum* of lesson 4: each weight keeps a velocity, `v = momentum * v - lr * gradient`, and moves by it. Write `fit` with it. In one
# epoch, does a network from `first_weights` get further with `lr=0.05` and `momentum=0.9` than the one above?


# %% tags=["exercise", "challenge"]
def fit_with_momentum(weights, images, labels, lr, batch_size, momentum):
    """Like fit, with velocities that begin at 0; returns the losses."""
    # solution
    velocities = [np.zeros(weight.shape) for weight in weights]
    losses = []
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        stepped = [weight.copy() for weight in weights]
        # With lr=1, what fit takes off a weight is its gradient.
        losses += fit(stepped, images[part], labels[part], 1, batch_size)
        for weight, v, moved in zip(weights, velocities, stepped, strict=True):
            v *= momentum
            v -= lr * (weight - moved)
            weight += v
    return losses


# %%
check.fit_with_momentum(fit_with_momentum)

# %% [markdown]
# <details><summary>Hint 1</summary>The velocities live as long as the call, and have the shapes of the weights.</details>
# <details><summary>Hint 2</summary>Only the last lines of <code>fit</code>, where the weights change, become others.</details>
# <details><summary>Hint 3</summary>With <code>momentum=0</code> the result has to be that of <code>fit</code>.</details>
#
# ## The fact

# %%
print(f"right: {before:.1%} before, {after:.1%} after 50 steps")
assert after > before + 0.4

# %% [markdown]
# > **A network of functions written one lesson at a time learns to read digits from 500 examples, and each of its 50 losses is that of
# > minicnn to ten digits; the first ten are those of Keras to twelve.** There is nothing else inside.
#
# ## In minicnn
#
# - `train_step` in [minicnn/step.py](../minicnn/step.py): your `fit`, for one batch and any layers.
# - `forward` and `backward` in [minicnn/step.py](../minicnn/step.py): your two functions, for any layers.
