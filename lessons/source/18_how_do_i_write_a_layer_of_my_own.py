# %% [markdown]
# # 18 · How do I write a layer of my own, and is it the one that Keras has?
#
# *25 minutes · needs lessons 9, 11 and 17; comparisons need TensorFlow*
#
# **You will build** batch normalization, from the formula to a trained network: `normalize`, `in_inference`
# and `backward`. Then we put them into a layer, check its gradients, compare it with Keras' layer number by
# number, train a network with it, and save it.

# %%
import inspect
import json
import linecache
import subprocess
import sys
import tempfile
import textwrap
import timeit
from pathlib import Path

import numpy as np

import minicnn
from checks import check_18 as check
from minicnn import keras_reference, plots
from minicnn.datasets import mnist
from minicnn.gradcheck import check_gradients
from minicnn.keras_reference import compare_layers, to_keras
from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D, ReLU
from minicnn.optimizers import SGD
from minicnn.tutorial import scaled

try:
    keras = keras_reference.require_keras()
except ImportError as error:
    keras = None
    print(f"{error}\nUntil then, read the outputs that came with this notebook.")


def have_keras():
    """Whether a cell that needs TensorFlow can run; it says so, if not."""
    if keras is None:
        print("left out: this cell needs TensorFlow")
    return keras is not None


# %% [markdown]
# Cells that compare with Keras need TensorFlow: `pip install tensorflow-cpu` (macOS: `tensorflow`). Without it they
# say that they are left out, and everything else runs: the exercises, the gradient check, the training.
#
# ## A tiny example, by hand
#
# Lesson 11 chose the first weights so that signals neither grow nor fade from layer to layer. After some steps of training the
# weights are different ones, and nothing keeps the signals at that size any more. **Batch normalization** (Ioffe and Szegedy,
# [2015](https://arxiv.org/abs/1502.03167)) does: it gives each channel the mean 0 and the variance 1, over all
# values that this channel has in the mini-batch.
#
# Take a batch of two images of 2 x 2 pixels and one channel. The channel has $m = 8$ values,
#
# - with the mean $(2 + 4 + 4 + 4 + 5 + 5 + 7 + 9) / 8 = 5$,
# - and the variance, the mean of $(x - 5)^2$, of $(9 + 1 + 1 + 1 + 0 + 0 + 4 + 16) / 8 = 4$.
#
# So we subtract 5, and divide by $\sqrt 4 = 2$:

# %% tags=["fold"]
x = np.array([[[2.0, 4], [4, 4]], [[5, 5], [7, 9]]])[..., None]  # (n, h, w, c)
mean, variance = x.mean(), x.var()
z = (x - mean) / np.sqrt(variance)
assert x.shape == (2, 2, 2, 1)
assert (mean, variance) == (5, 4)
assert (z.mean(), z.var()) == (0, 1)

figure = plots.new_figure(2.7)
all_axes = figure.subplots(1, 4)
for n in (0, 1):
    plots.number_grid(all_axes[n], x[n, :, :, 0], f"x, image {n}")
    plots.number_grid(all_axes[n + 2], z[n, :, :, 0], f"z, image {n}", plots.SKY)
figure

# %% [markdown]
# ## The formula
#
# With $\mu$ and $v$ for the mean and the variance of a channel over the $m = n \cdot h \cdot w$ values that it has in the batch,
#
# $$z = \frac{x - \mu}{\sqrt{v + \epsilon}}, \qquad y = \gamma z + \beta.$$
#
# - $x$, $z$ and $y$ have the shape `(n, h, w, c)`; all others but $\epsilon$ have one number for each channel, `(c,)`.
# - $\epsilon$ is a small constant, 0.001 in Keras, so that a channel with the variance 0 gives no division by 0.
# - $\gamma$ and $\beta$ are *learned*. They let the network choose another deviation and another mean than 1 and 0. At the start
#   they are 1 and 0.
# - The variance is the *biased* one, divided by $m$ and not by $m - 1$: `x.var()` in NumPy.
#
# ## Exercise 1: the forward pass in training


# %% tags=["exercise"]
def normalize(x, epsilon):
    """Batch normalization without gamma and beta: z, and the statistics used.

    x: (n, h, w, c). Returns z, of the shape of x; mean (c,); variance (c,).
    """
    # solution
    mean = x.mean(axis=(0, 1, 2))
    variance = x.var(axis=(0, 1, 2))
    return (x - mean) / np.sqrt(variance + epsilon), mean, variance


# %%
check.normalize(normalize)

# %% [markdown]
# ## Samples depend on each other
#
# In all layers so far, what became of an image had nothing to do with the other images of its batch. Here it has. Raise one
# pixel of image 1 from 9 to 25, and look at image 0:

# %%
other = x.copy()
other[1, 1, 1] = 25
with_other = (other - other.mean()) / other.std()
alone = (x[0] - x[0].mean()) / x[0].std()
print("z of image 0, with image 1:          ", z[0].ravel())
print("z of image 0, with image 1 and its 25:", with_other[0].ravel().round(2))
print("z of image 0, alone:                 ", alone.ravel().round(2))
assert with_other[0].ravel().round(2).tolist() == [-0.72, -0.43, -0.43, -0.43]
assert alone.ravel().round(2).tolist() == [-1.73, 0.58, 0.58, 0.58]

# %% [markdown]
# This has three consequences:
#
# 1. **No shards.** Lesson 17 cut a batch into parts for several threads, because the gradient of a sum is the sum of the
#    gradients. Normalized in parts, an image would get other statistics and so another $z$, as in the last line above. This layer needs the whole batch.
# 2. **Inference needs other statistics.** What the network says about an image must not depend on which other images are asked
#    about at the same time.
# 3. **The backward pass is longer**, since each $x$ acts on all $y$ of its channel.
#
# ## Inference: moving averages
#
# During training the layer keeps two *moving averages* for each channel, as Adam does (lesson 11). After each step, with the
# statistics of its batch,
#
# $$\text{moving} \leftarrow \text{momentum} \cdot \text{moving} + (1 - \text{momentum}) \cdot \text{new}.$$
#
# The moving mean starts at 0 and the moving variance at 1, and there is no correction of the start as in Adam. In inference the two take
# the places of $\mu$ and $v$, and nothing is updated. By hand, with a momentum of 0.9, after one step with our batch:
#
# - the moving mean is $0.9 \cdot 0 + 0.1 \cdot 5 = 0.5$,
# - the moving variance is $0.9 \cdot 1 + 0.1 \cdot 4 = 1.3$.
#
# Both are still far from 5 and 4. After $t$ steps such an average has gone a share of $1 - \text{momentum}^t$ of its way: with 0.9 two thirds
# after 10 steps, with 0.99, Keras' default, not before 100.
#
# Libraries differ here ([PyTorch's documentation](https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html)), so numbers cannot simply be
# copied from one to another:
#
# | | weight of the old average | weight of the new statistics | default | $\epsilon$ | variance that is averaged |
# |---|---|---|---|---|---|
# | Keras, minicnn | `momentum` | `1 - momentum` | 0.99 | 0.001 | divided by $m$ |
# | PyTorch | `1 - momentum` | `momentum` | 0.1 | 0.00001 | divided by $m - 1$ |
#
# ## Exercise 2: the forward pass in inference
#
# A layer has been trained for some steps. `means` and `variances` have the shape `(steps, c)`: the statistics of each step's batch,
# the first step first. What is $z$ for the images `x` in inference? Use Keras' rule.


# %% tags=["exercise"]
def in_inference(x, means, variances, momentum, epsilon):
    """z (n, h, w, c) of images x (n, h, w, c), by the moving averages.

    means, variances: (steps, c), the statistics of the batch of each step.
    """
    # solution
    moving_mean = np.zeros(x.shape[-1])
    moving_variance = np.ones(x.shape[-1])
    for mean, variance in zip(means, variances, strict=True):
        moving_mean = momentum * moving_mean + (1 - momentum) * mean
        moving_variance = momentum * moving_variance + (1 - momentum) * variance
    return (x - moving_mean) / np.sqrt(moving_variance + epsilon)


# %%
check.in_inference(in_inference)

# %% [markdown]
# ## The backward pass
#
# `dy` is given, the gradient of the loss with respect to $y$. Look at one channel, whose $m$ values are counted by $i$.
#
# **The weights.** $y_i = \gamma z_i + \beta$, so
#
# $$d\gamma = \sum_i dy_i\, z_i, \qquad d\beta = \sum_i dy_i, \qquad dz_i = \gamma\, dy_i.$$
#
# **The input.** Write $r = 1 / \sqrt{v + \epsilon}$, so that $z_i = r\,(x_i - \mu)$. There are three paths from $x_i$ to the
# loss, and by the chain rule their gradients add up:
#
# *Directly*, through the $x_i$ in $z_i$. The derivative is $r$, so this path gives
#
# $$r\, dz_i.$$
#
# *Through the mean.* $\mu$ is in every $z_j$, with the derivative $-r$; and $x_i$ is in $\mu$, with the derivative $\frac1m$:
#
# $$\sum_j dz_j \cdot (-r) \cdot \frac1m = -r\ \text{mean}(dz).$$
#
# *Through the variance*, in three links:
#
# - the loss changes with $r$ by $\sum_j dz_j\,(x_j - \mu) = \frac1r \sum_j dz_j\, z_j$;
# - $r = (v + \epsilon)^{-1/2}$ changes with $v$ by $-\frac12 (v + \epsilon)^{-3/2} = -\frac12 r^3$;
# - $v$ changes with $x_i$ by $\frac2m (x_i - \mu) = \frac{2}{m r}\, z_i$. (That $\mu$ moves, too, changes nothing here, as all
#   deviations from the mean add up to 0.)
#
# Their product is
#
# $$\frac1r \sum_j dz_j\, z_j \cdot \Big(-\frac{r^3}{2}\Big) \cdot \frac{2}{m r}\, z_i = -r\ z_i\ \text{mean}(dz \cdot z).$$
#
# So the whole gradient is
#
# $$dx_i = r\,\big(dz_i - \text{mean}(dz) - z_i\ \text{mean}(dz \cdot z)\big).$$
#
# By hand, for our two images: $\gamma = 1$, $\epsilon = 0$, $r = \frac12$, and `dy` is 1 at the first pixel of image 0, and 0 at all others.
# Then $\text{mean}(dz) = \frac18$, and $\text{mean}(dz \cdot z) = \frac{-1.5}{8}$. The first pixel's gradient is
# $\frac12 \big(1 - \frac18 - (-1.5) \cdot \frac{-1.5}{8}\big) = 0.296875$, and that of the last pixel of the *other* image, where $z = 2$, is
# $\frac12 \big(0 - \frac18 - 2 \cdot \frac{-1.5}{8}\big) = 0.125$.

# %% tags=["fold"]
dz = np.zeros(x.shape)
dz[0, 0, 0] = 1
direct = dz / 2
dx = (dz - dz.mean() - z * (dz * z).mean()) / 2
assert (dx[0, 0, 0, 0], dx[1, 1, 1, 0]) == (0.296875, 0.125)

figure = plots.new_figure(2.7, "The direct path alone, and all three paths")
all_axes = figure.subplots(1, 4)
for n in (0, 1):
    grid = direct[n, :, :, 0]
    plots.number_grid(all_axes[n], grid, f"direct, image {n}", plots.YELLOW)
    grid = dx[n, :, :, 0].round(3)
    plots.number_grid(all_axes[n + 2], grid, f"dx, image {n}", plots.SKY)
figure

# %% [markdown]
# Two sums test such a gradient without any differences. Add 1 to *all* $x$: the mean rises by 1, too, and no $z$ changes. So the
# eight gradients have to add up to 0. Double all distances from the mean: with $\epsilon = 0$ the division undoes it, and no $z$ changes. So the
# sum of $dx \cdot z$ has to be 0, too. The direct path alone fails both tests.

# %%
assert abs(dx.sum()) < 1e-15
assert abs((dx * z).sum()) < 1e-15
assert direct.sum() == 0.5

# %% [markdown]
# ## Exercise 3: the backward pass


# %% tags=["exercise"]
def backward(dy, z, gamma, variance, epsilon):
    """The gradients dx, dgamma and dbeta, in this order, of a step of training.

    dy, z: (n, h, w, c); gamma, variance: (c,).
    Returns dx, of the shape of z; dgamma (c,); dbeta (c,).
    """
    # solution
    axes = (0, 1, 2)
    dz = gamma * dy
    dx = dz - dz.mean(axis=axes) - z * (dz * z).mean(axis=axes)
    dx = dx / np.sqrt(variance + epsilon)
    return dx, (dy * z).sum(axis=axes), dy.sum(axis=axes)


# %%
check.backward(backward)

# %% [markdown]
# ## What a layer is
#
# A layer of minicnn is a class with a few methods, and each has one job:
#
# | method | its job | in batch normalization |
# |---|---|---|
# | `__init__` | keep each argument in an attribute of its name: saving reads them there | `momentum`, `epsilon` |
# | `new_params` | a dict of weights that are *trained*; minicnn keeps it as `params` | `gamma`, `beta` |
# | `new_state` | a dict of weights that are *not* trained; kept as `state` | `moving_mean`, `moving_variance` |
# | `forward` | y, and a cache: what the backward pass needs | batch statistics if `training`, else moving averages |
# | `backward` | dx, and a dict with the gradient of each weight in `params` | the three paths |
# | `next_state` | new values of the state; called once a step, after the optimizer | both moving averages |
#
# `input_shape` is the shape of *one* sample, without `n`. If the output has another shape, a method `output_shape` says which. Two rules:
# **a pass changes nothing**, neither `x` nor `dy` nor a weight, which is why new averages are *returned*; and **a layer
# remembers nothing but its weights** from pass to pass. What `backward` has to know is in the cache, not in `self`: other passes may run in between.
#
# The next cell is the whole layer, as it would be in a file `batch_norm.py`. It contains a solution of each exercise, so solve them first. It
# takes the means over all axes but the last, so that images `(n, h, w, c)` will do as well as the outputs `(n, c)` of a dense layer.

# %%
import numpy as np

from minicnn import keras_reference
from minicnn.layer import Layer


class BatchNorm(Layer):
    """Batch normalization of the last axis (Ioffe and Szegedy, 2015)."""

    def __init__(self, momentum=0.99, epsilon=1e-3, **options):
        super().__init__(**options)  # the name, for instance
        self.momentum = momentum
        self.epsilon = epsilon

    def new_params(self, input_shape, rng, dtype):
        c = input_shape[-1]
        return {"gamma": np.ones(c, dtype), "beta": np.zeros(c, dtype)}

    def new_state(self, input_shape, dtype):
        c = input_shape[-1]
        return {
            "moving_mean": np.zeros(c, dtype),
            "moving_variance": np.ones(c, dtype),
        }

    def forward(self, x, training=False):
        if training:
            axes = tuple(range(x.ndim - 1))  # all but the channels
            mean, variance = x.mean(axis=axes), x.var(axis=axes)
        else:
            mean = self.state["moving_mean"]
            variance = self.state["moving_variance"]
        root = np.sqrt(variance + self.epsilon)
        z = (x - mean) / root
        y = self.params["gamma"] * z + self.params["beta"]
        return y, (z, root, mean, variance, training)

    def backward(self, dy, cache):
        z, root, _, _, training = cache
        axes = tuple(range(dy.ndim - 1))
        grads = {"gamma": (dy * z).sum(axis=axes), "beta": dy.sum(axis=axes)}
        dz = self.params["gamma"] * dy
        if training:  # in inference, mean and variance are constants
            dz = dz - dz.mean(axis=axes) - z * (dz * z).mean(axis=axes)
        return dz / root, grads

    def next_state(self, cache):
        _, _, mean, variance, _ = cache
        new = {"moving_mean": mean, "moving_variance": variance}
        keep = self.momentum
        return {name: keep * self.state[name] + (1 - keep) * new[name] for name in new}

    def keras_twin(self):
        """The Keras layer that should give the same numbers."""
        layers = keras_reference.require_keras().layers
        return layers.BatchNormalization(momentum=self.momentum, epsilon=self.epsilon)


# %% [markdown]
# In inference it is a fixed scale and a fixed shift for each channel, so there the gradient has the direct path alone.
#
# ## Are the gradients right?
#
# Lesson 9 answers that without knowing what is in the layer. `check_gradients` makes a copy of the layer, builds it in double precision, and
# compares *every* entry of dx, dgamma and dbeta with central differences, with `training=True`:

# %% tags=["varies"]
images = np.random.default_rng(0).standard_normal((3, 2, 4, 2))  # (n, h, w, c)


def checked(layer):
    return check_gradients(layer, images, rng=np.random.default_rng(1))


def show(text):
    """Print it, with lines of at most 88 characters."""
    for line in str(text).split("\n"):
        print(textwrap.fill(line, 88))


report = checked(BatchNorm())
show(report)
assert report.ok
assert [row.checked for row in report.rows] == [48, 2, 2]
assert "samples depend on each other" in str(report)

# %% [markdown]
# The note is consequence 1 from above; the checker found it out by itself. Now two typical mistakes. The first one treats the statistics as
# constants; the second one has the path through the variance, but forgets the mean:


# %% tags=["varies"]
class ConstantStatistics(BatchNorm):
    def backward(self, dy, cache):
        _, root, *_ = cache
        _, grads = super().backward(dy, cache)  # those of gamma and beta are right
        return self.params["gamma"] * dy / root, grads


class MeanForgotten(BatchNorm):
    def backward(self, dy, cache):
        z, root, *_ = cache
        _, grads = super().backward(dy, cache)
        dz = self.params["gamma"] * dy
        return (dz - z * (dz * z).mean(axis=(0, 1, 2))) / root, grads


for wrong in (ConstantStatistics(), MeanForgotten()):
    report = checked(wrong)
    show(f"{type(wrong).__name__}\n{report}\n")
    dx_row, *others = report.rows
    assert dx_row.wrong == 48
    assert all(row.ok for row in others)
    assert "mean" in dx_row.mistake

# %% [markdown]
# The line before the note says what the wrong numbers look like. In the first layer, each output depends on all samples, but its gradient goes to its
# own sample alone. In the second, all samples are off by the same amount, as they are without $-\text{mean}(dz)$.
#
# A third mistake is a promise that does not hold. A layer may say `samples_are_independent = True`; then minicnn cuts batches into shards, and each
# shard would be normalized by statistics of its own. No gradient shows that, but the checker compares a batch with its parts, too:


# %%
class SaysIndependent(BatchNorm):
    samples_are_independent = True


report = checked(SaysIndependent())
assert all(row.ok for row in report.rows)
assert not report.ok
print("right:", [row.gradient for row in report.rows])
show(f"broken: {'; '.join(report.broken)}")

# %% [markdown]
# ## Is it Keras' layer?
#
# A right gradient may be the gradient of the wrong function (lesson 9), and `check_gradients` looks neither at inference nor at the state.
# `compare_layers` does. It draws 20 inputs, here images of any height and width with 3 channels; gives both layers the same random weights and
# state; and compares all numbers, in training and in inference, in both precisions.

# %% tags=["varies"]
if have_keras():
    mine = BatchNorm(momentum=0.9)
    theirs = keras.layers.BatchNormalization(momentum=0.9)
    same = compare_layers(mine, theirs, input_shape=(None, None, 3))
    print(same)
    same.assert_ok()  # in a test of your own, this line is enough
    double = [each for each in same.quantities if each.dtype == "float64"]
    assert max(each.relative for each in double) < 1e-12
    assert "Equal: 28,440 numbers." in str(same)

# %% [markdown]
# Differences are shares of the largest number in Keras' array; in double precision they are in the 16th digit. Now somebody brings the numbers of
# PyTorch's documentation along, momentum 0.1 and epsilon 0.00001, and builds our layer with them. **Before you run the next cell:** PyTorch's 0.1 means
# what Keras calls 0.9. Which rows of the table will be wrong, and will `check_gradients` notice?

# %% tags=["varies", "fold"]
from_pytorch = BatchNorm(momentum=0.1, epsilon=1e-5)
print("gradients right:", checked(from_pytorch).ok)
assert checked(from_pytorch).ok

if have_keras():
    other = compare_layers(from_pytorch, theirs, input_shape=(None, None, 3), count=5)
    for each in other.quantities:
        if each.dtype == "float64":
            print(each.line)
    wrong = {(each.name, each.mode) for each in other.quantities if each.wrong}
    assert ("output", "training") in wrong
    assert ("output", "inference") in wrong
    assert ("moving_mean", "training") in wrong
    assert not any(name == "dbeta" for name, _ in wrong)

# %% [markdown]
# `check_gradients` says "right", and it is: the layer is a right one, but another one. Only dbeta is the same, as it is the sum of dy, whatever the
# statistics are.
#
# ## A network that learns with it
#
# Two convolutions, each followed by our layer. The convolutions have no bias, as the mean would take it off again; $\beta$ does its work.

# %%
(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, y_train = scaled(x_train[:1280]), y_train[:1280]
x_test, y_test = scaled(x_test[:500]), y_test[:500]


def new_network(learning_rate, momentum=None, seed=0):
    """A small network; without batch normalization if there is no momentum."""

    def normalization():
        return [] if momentum is None else [BatchNorm(momentum)]

    minicnn.clear_session()
    minicnn.set_random_seed(seed)  # for each seed always the same first weights
    model = minicnn.Sequential(
        [
            Input((28, 28, 1)),
            Conv2D(8, 5, use_bias=False),
            *normalization(),
            ReLU(),
            MaxPooling2D(2),
            Conv2D(16, 5, use_bias=False),
            *normalization(),
            ReLU(),
            MaxPooling2D(2),
            Flatten(),
            Dense(10, activation="softmax"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    model.compile(SGD(learning_rate), loss, metrics=["accuracy"])
    return model


new_network(0.3, momentum=0.99).summary()

# %% [markdown]
# The 48 parameters that are not trained are our moving averages, 2 for each of 8 + 16 channels.
#
# **Two predictions, before you run the next cell.** Write them down.
#
# 1. *Learning rate 0.3, five steps.* With the statistics of the test images' own batch, as in training, the network has about half of 500 test images right. The
#    same network, the same weights, but in inference, with moving averages of momentum 0.99: how many?
# 2. *Learning rate 0.1.* Without batch normalization the network has about 40 % of the images right in steps 11 to 20 of its training. With it: fewer,
#    about as many, or more?

# %% tags=["varies", "fold"]
SHOWN = [1, 3, 5, 8, 12, 20, 30, 40]  # steps after which we look


def batches(steps):
    for start in range(0, 32 * steps, 32):
        yield x_train[start : start + 32], y_train[start : start + 32]


def by_own_statistics(model):
    """Accuracy on the test images, all of them one batch, as in training."""
    signal = x_test
    for layer in model.layers:
        signal = layer(signal, training=True)
    return (signal.argmax(axis=1) == y_test).mean()


own_statistics, averages, last_weights = [], {0.99: [], 0.9: []}, []
for momentum, found in averages.items():
    model = new_network(0.3, momentum)
    for step, batch in enumerate(batches(40), start=1):
        model.train_on_batch(*batch)
        if step in SHOWN:
            found.append(model.evaluate(x_test, y_test, verbose=0)[1])
            if momentum == 0.99:
                own_statistics.append(by_own_statistics(model))
    last_weights.append(model.layers[-1].get_weights()[0])

trained = {}  # (seeds, steps): the accuracy of each batch
for name, momentum in [("without", None), ("with", 0.9)]:
    runs = []
    for seed in range(3):
        model = new_network(0.1, momentum, seed)
        runs.append([model.train_on_batch(*batch)[1] for batch in batches(40)])
    trained[name] = np.array(runs)
early = {name: runs[:, 10:20].mean(axis=1) for name, runs in trained.items()}

five = SHOWN.index(5)
print(f"1. five steps, statistics of the batch: {own_statistics[five]:.0%} right")
print(f"   five steps, moving averages:         {averages[0.99][five]:.0%} right")
for name, shares in early.items():
    right = ", ".join(f"{share:.0%}" for share in shares)
    print(f"2. steps 11 to 20, {name + ':':8} {right} right, three seeds")

assert 0.35 < own_statistics[five] < 0.75
assert averages[0.99][five] < own_statistics[five] - 0.15
assert (last_weights[0] == last_weights[1]).all()  # momentum changes no other weight
assert early["without"].max() + 0.1 < early["with"].min()
assert [round(1 - 0.99**t, 2) for t in (5, 40, 100)] == [0.05, 0.33, 0.63]
assert round(1 - 0.9**10, 2) == 0.65

# %% tags=["cover", "fold"]
figure = plots.new_figure(4.4)
left, right = figure.subplots(1, 2, sharey=True)
for name, values, colour in [
    ("statistics of the batch", own_statistics, plots.GREY),
    ("averages, momentum 0.9", averages[0.9], plots.BLUE),
    ("averages, momentum 0.99", averages[0.99], plots.ORANGE),
]:
    left.plot(SHOWN, values, "o-", color=colour, label=name)
left.set(title="learning rate 0.3: test images")
left.set(ylabel="share right", ylim=(0, 1))
for name, colour in [("with", plots.BLUE), ("without", plots.ORANGE)]:
    label = f"{name} batch normalization"
    for run in trained[name]:
        means = run.reshape(-1, 5).mean(axis=1)  # batches by fives
        right.plot(np.arange(3, 40, 5), means, "o-", color=colour, label=label)
        label = None
right.set(title="learning rate 0.1: in training, three seeds")
for axes in (left, right):
    axes.set_xlabel("step")
    axes.legend(frameon=False, fontsize=plots.SMALL)
    axes.spines[["top", "right"]].set_visible(False)
figure

# %% [markdown]
# *On the left*, three curves of one network: its weights are the same to the bit, whatever the momentum. After a few steps the averages are still
# near 0 and 1: with 0.99 they have gone 5 % of the way after 5 steps, and a third after 40. **If a new network is good in training
# and bad in `evaluate`, look here first.**
#
# *On the right*, each seed learns faster with batch normalization than any without it. Digits are mostly blank, so in the new plain network the
# outputs of the first convolution are small, and so is what follows from them, gradients included. With our layer every channel has the deviation
# 1 at the start (a little less, because of $\epsilon$), and later the deviation $\gamma$, whatever the kernels become:

# %% tags=["fold"]
first, *_ = new_network(0.1).layers
outputs = first(x_test)
normalized = BatchNorm()(outputs, training=True)
print(f"deviation: plain {outputs.std():.2f}, normalized {normalized.std():.2f}")
assert outputs.std() < 0.5
assert abs(normalized.std() - 1) < 0.05

# %% [markdown]
# ## Saved and loaded
#
# `save` writes layers with their arguments, weights and state into one file. It holds no code: whoever loads it says which class is meant.

# %% tags=["fold"]
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "digits.npz"
    model.save(file)
    try:
        minicnn.load_model(file)
    except ValueError as error:
        show(str(error).replace(str(file), file.name))
    loaded = minicnn.load_model(file, custom_objects={"BatchNorm": BatchNorm})

predictions = model.predict(x_test, verbose=0)
assert (loaded.predict(x_test, verbose=0) == predictions).all()
assert loaded.layers[1].momentum == 0.9
assert len(loaded.layers[1].get_weights()) == 4
print("with custom_objects: the same predictions, to the bit")

# %% [markdown]
# And the trained network goes to Keras, since our layer names its twin:

# %% tags=["varies"]
if have_keras():
    twin = to_keras(model)
    apart = abs(twin.predict(x_test, verbose=0) - predictions).max()
    print(f"{type(twin.layers[1]).__name__}: predictions differ by at most {apart:.0e}")
    assert apart < 1e-4

# %% [markdown]
# ## All in one command
#
# Put the layer into a file, and `verify --mine` does both checks with every layer that it finds there: gradients by differences, and beside
# the twin in both precisions. (A layer that needs arguments names some as `example_arguments`, one that takes images only an
# `example_shape`.) The next cell writes the file, runs the command in a process of its own, and shows what it found:

# %% tags=["fold"]
IMPORTS = """import numpy as np
from minicnn import keras_reference
from minicnn.layer import Layer


"""

if have_keras():
    cell = linecache.getlines(BatchNorm.forward.__code__.co_filename)
    layer_code = inspect.getblock(cell[cell.index("class BatchNorm(Layer):\n") :])
    command = "python -m minicnn verify --mine batch_norm.py --json found.json"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "batch_norm.py"
        file.write_text(IMPORTS + "".join(layer_code))
        done = subprocess.run(
            [sys.executable, *command.split()[1:]],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        rows = json.loads(file.with_name("found.json").read_text())["rows"]
    print(command)
    for row in rows:
        words = f"{row['layer']}, {row['configuration']}, {row['dtype']}"
        print(f"{words:50} {row['cases']:2} cases, {row['mismatches']} mismatches")
    assert [row["mismatches"] for row in rows] == [0, 0, 0]

# %% [markdown]
# ## The fast version, and what it costs
#
# Our layer runs as it is written, in NumPy, on whole batches, between layers that the engine has compiled (lesson 15). minicnn's own
# `BatchNormalization` has the same formulas, but fewer operations that go through a whole array, and its means are matrix products. Side by side:

# %%
from minicnn.keras.layers import BatchNormalization

signal = np.random.default_rng(0).standard_normal((32, 24, 24, 8), np.float32)
seconds = {}
for layer in (BatchNorm(), BatchNormalization()):
    layer.build(signal.shape[1:], np.random.default_rng(0))

    def both_passes(layer=layer):
        y, cache = layer.forward(signal, training=True)
        layer.backward(y, cache)

    seconds[type(layer)] = min(timeit.repeat(both_passes, number=3, repeat=10))
# Asserted with room to spare: minicnn's is about five times as fast.
assert seconds[BatchNorm] > 1.7 * seconds[BatchNormalization]

# %% [markdown]
# ## The fact

# %%
if have_keras():
    ours = BatchNormalization(momentum=0.9)
    of_minicnn = compare_layers(ours, theirs, input_shape=(None, None, 3))
    of_minicnn.assert_ok()
    for found in (same, of_minicnn):
        entries = sum(each.entries for each in found.quantities)
        print(f"{found.ours}: {entries:,} numbers equal to Keras'")
        assert entries == 28_440

# %% [markdown]
# > **A layer of some fifty lines equals Keras' in 28,440 numbers:** outputs, three gradients and two moving averages, in training and inference. It
# > took more than one check, since none sees everything: differences do not see a wrong epsilon or momentum, the comparison with Keras does,
# > and neither tells that a new network is bad in inference for its first steps.
#
# **To go on:** put your own three functions into `BatchNorm`, and run the notebook from there again. Then write layer normalization, whose statistics are those of
# each *sample*, over all of its values. Which axes change, and may it run in shards now? Compare it with `keras.layers.LayerNormalization`.
#
# ## In minicnn
#
# - `Layer` in [minicnn/layer.py](../minicnn/layer.py): the contract, with all its methods.
# - `BatchNormalization` in [minicnn/keras/normalization.py](../minicnn/keras/normalization.py): the layer that comes with minicnn.
# - `check_gradients` in [minicnn/gradcheck/check.py](../minicnn/gradcheck/check.py), and `likely_mistake` in
#   [minicnn/gradcheck/mistakes.py](../minicnn/gradcheck/mistakes.py): what wrong numbers look like.
# - `compare_layers` in [minicnn/keras_reference/layer_comparison.py](../minicnn/keras_reference/layer_comparison.py), and `classes` in
#   [minicnn/checking/own_layers.py](../minicnn/checking/own_layers.py): what `verify --mine` looks for in a file.
