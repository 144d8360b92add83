# %% [markdown]
# # 19 · How do I write a layer of my own, and is it the one that Keras has?
#
# *25 minutes · needs lessons 9, 11 and 18; comparisons need TensorFlow*
#
# **You will build** batch normalization, from the formula to a trained network: `normalize`, `in_inference` and
# `backward`. Then we put them into a layer, check its gradients, compare it with Keras' layer number by number, train a
# network with it, and save it. In the challenge you write layer normalization, forward and backward.

# %%
import tempfile
import textwrap
import timeit
from pathlib import Path

import numpy as np

import minicnn
from checks import check_19 as check
from minicnn import keras_reference, plots
from minicnn.datasets import mnist
from minicnn.gradcheck import check_gradients
from minicnn.keras_reference import compare_functions, compare_layers
from minicnn.layer import Layer
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
# say that they are left out, and everything else runs.
#
# ## A tiny example, by hand
#
# Lesson 11 chose the first weights so that signals neither grow nor fade from layer to layer. Training changes the
# weights, and then nothing keeps the signals at that size. **Batch normalization** (Ioffe and Szegedy,
# [2015](https://arxiv.org/abs/1502.03167)) does: it gives each channel the mean 0 and the variance 1, over all values
# that the channel has in the mini-batch.
#
# Take a batch of two images of 2 x 2 pixels with one channel. The channel has $m = 8$ values,
#
# - with the mean $(2 + 4 + 4 + 4 + 5 + 5 + 7 + 9) / 8 = 5$,
# - and the variance, the mean of $(x - 5)^2$, which is $(9 + 1 + 1 + 1 + 0 + 0 + 4 + 16) / 8 = 4$.
#
# So we subtract 5, and divide by $\sqrt 4 = 2$:

# %%
x = np.array([[[2.0, 4], [4, 4]], [[5, 5], [7, 9]]])[..., None]  # (n, h, w, c)
mean, variance = x.mean(), x.var()
z = (x - mean) / np.sqrt(variance)
assert x.shape == (2, 2, 2, 1)
assert (mean, variance) == (5, 4)
assert (z.mean(), z.var()) == (0, 1)

# %% tags=["fold"]
figure = plots.new_figure(2.7)
all_axes = figure.subplots(1, 4)
for n in (0, 1):
    plots.number_grid(all_axes[n], x[n, :, :, 0], f"x, image {n}")
    plots.number_grid(all_axes[n + 2], z[n, :, :, 0], f"z, image {n}", plots.SKY)
figure

# %% [markdown]
# ## The formula
#
# Let $\mu$ and $v$ be the mean and the variance of a channel over its $m = n \cdot h \cdot w$ values in the batch:
#
# $$z = \frac{x - \mu}{\sqrt{v + \epsilon}}, \qquad y = \gamma z + \beta.$$
#
# - $x$, $z$ and $y$ have the shape `(n, h, w, c)`; $\mu$, $v$, $\gamma$ and $\beta$ have one number for each channel, `(c,)`.
# - $\epsilon$ is a small constant, 0.001 in Keras, so that a channel of variance 0 causes no division by 0.
# - $\gamma$ and $\beta$ are *learned*: another deviation and another mean, if the network wants them. They start at 1
#   and 0.
# - The variance is the *biased* one, divided by $m$ and not by $m - 1$: `x.var()` in NumPy.
#
# ## Exercise 1: the forward pass in training


# %% tags=["exercise"]
def normalize(x, epsilon):
    """Batch normalization without gamma and beta: z, mean, variance.

    x: (n, h, w, c). Returns z, of the shape of x; mean (c,);
    variance (c,). For the two images above and epsilon = 0, mean is
    [5.0] and variance [4.0].
    """
    # solution
    mean = x.mean(axis=(0, 1, 2))
    variance = x.var(axis=(0, 1, 2))
    return (x - mean) / np.sqrt(variance + epsilon), mean, variance


# %%
check.normalize(normalize)

# %% [markdown]
# <details><summary>Hint</summary>
#
# `x.mean(axis=(0, 1, 2))` goes over samples, rows and columns, and has the shape `(c,)`. `x - mean` then subtracts from
# each channel its own mean.
#
# </details>
#
# ## Samples depend on each other
#
# In all layers so far, the output for an image had nothing to do with the other images of its batch.
#
# **Guess before you run:** raise one pixel of image 1 from 9 to 25. Which $z$ of image *0* change?

# %%
other = x.copy()
other[1, 1, 1] = 25
with_other = (other - other.mean()) / other.std()
alone = (x[0] - x[0].mean()) / x[0].std()
print("z of image 0, with image 1:           ", z[0].ravel())
print("z of image 0, with image 1 and its 25:", with_other[0].ravel().round(2))
print("z of image 0, alone:                  ", alone.ravel().round(2))

# %% [markdown]
# All of them. This has three consequences:
#
# 1. **No shards.** minicnn cuts a batch into parts for several threads (lesson 16). Normalized in parts, an image would
#    get other statistics, as in the last line of the output above. This layer needs the whole batch.
# 2. **Inference needs other statistics.** What the network says about an image must not depend on which other images
#    are asked about at the same time.
# 3. **The backward pass is longer**, since each $x$ acts on all $y$ of its channel.
#
# ## Inference: moving averages
#
# During training the layer keeps two **moving averages** for each channel, as Adam does (lesson 11). After each step,
#
# $$\text{moving} \leftarrow \text{momentum} \cdot \text{moving} + (1 - \text{momentum}) \cdot \text{new}.$$
#
# The moving mean starts at 0 and the moving variance at 1, without Adam's correction of the start. In inference they
# take the places of $\mu$ and $v$, and nothing is updated. By hand, with a momentum of 0.9, after one step with our batch:
# the moving mean is $0.9 \cdot 0 + 0.1 \cdot 5 = 0.5$, and the moving variance $0.9 \cdot 1 + 0.1 \cdot 4 = 1.3$.
#
# After $t$ steps, such an average has gone a share of $1 - \text{momentum}^t$ of its way: with 0.9 about two thirds after 10
# steps, with 0.99, Keras' default, only after about 100.
#
# Libraries differ here. What Keras calls a momentum of 0.9 is 0.1 in
# [PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html), which multiplies the *new* statistics
# by it; its $\epsilon$ is 0.00001, and it averages the variance divided by $m - 1$.
#
# ## Exercise 2: the forward pass in inference
#
# A layer has been trained for some steps. What is $z$ for the images `x` in inference? Use Keras' rule.


# %% tags=["exercise"]
def in_inference(x, means, variances, momentum, epsilon):
    """z of images x by the moving averages, both (n, h, w, c).

    means, variances: (steps, c), the statistics of the batch of each
    step, the first step first. For one step with the mean 5 and a
    momentum of 0.9, the moving mean is 0.5.
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
# <details><summary>Hint 1</summary>
#
# Start with arrays of zeros and ones of the shape `(c,)`, and go through the steps with a loop.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Both averages follow the rule above in each step. After the loop, the formula of $z$ with them: nothing of `x` itself
# is averaged.
#
# </details>
#
# ## The backward pass
#
# `dy` is the gradient of the loss with respect to $y$. Look at one channel, whose $m$ values are numbered by $i$.
#
# **The weights.** $y_i = \gamma z_i + \beta$, so
#
# $$d\gamma = \sum_i dy_i\, z_i, \qquad d\beta = \sum_i dy_i, \qquad dz_i = \gamma\, dy_i.$$
#
# **The input.** Write $r = 1 / \sqrt{v + \epsilon}$, so that $z_i = r\,(x_i - \mu)$. There are three paths from $x_i$ to the
# loss, and by the **chain rule** their gradients add up:
#
# *Directly*, through the $x_i$ in $z_i$. The derivative is $r$, so this path gives
#
# $$r\, dz_i.$$
#
# *Through the mean.* Every $z_j$ depends on $\mu$, with the derivative $-r$; and $\mu$ depends on $x_i$, with the derivative $\frac1m$:
#
# $$\sum_j dz_j \cdot (-r) \cdot \frac1m = -r \cdot \text{mean}(dz).$$
#
# *Through the variance*, in three links:
#
# - the loss changes with $r$ by $\sum_j dz_j\,(x_j - \mu) = \frac1r \sum_j dz_j\, z_j$;
# - $r = (v + \epsilon)^{-1/2}$ changes with $v$ by $-\frac12 (v + \epsilon)^{-3/2} = -\frac12 r^3$;
# - $v$ changes with $x_i$ by $\frac2m (x_i - \mu) = \frac{2}{m r}\, z_i$. (That $\mu$ moves as well changes nothing here,
#   since all deviations from the mean add up to 0.)
#
# Their product is
#
# $$\frac1r \sum_j dz_j\, z_j \cdot \Big(-\frac{r^3}{2}\Big) \cdot \frac{2}{m r}\, z_i = -r\, z_i \cdot \text{mean}(dz \cdot z).$$
#
# So the whole gradient is
#
# $$dx_i = r\,\big(dz_i - \text{mean}(dz) - z_i \cdot \text{mean}(dz \cdot z)\big).$$
#
# By hand, for our two images: $\gamma = 1$, $\epsilon = 0$, $r = \frac12$, and `dy` is 1 at the first pixel of image 0 and 0
# elsewhere. Then $\text{mean}(dz) = \frac18$, and $\text{mean}(dz \cdot z) = \frac{-1.5}{8}$. The first pixel's gradient is
# $\frac12 \big(1 - \frac18 - (-1.5) \cdot \frac{-1.5}{8}\big) = 0.296875$, and that of the last pixel of the *other* image, where $z = 2$, is
# $\frac12 \big(0 - \frac18 - 2 \cdot \frac{-1.5}{8}\big) = 0.125$.

# %%
dz = np.zeros(x.shape)
dz[0, 0, 0] = 1
direct = dz / 2
dx = (dz - dz.mean() - z * (dz * z).mean()) / 2
assert (dx[0, 0, 0, 0], dx[1, 1, 1, 0]) == (0.296875, 0.125)

# %% tags=["fold"]
figure = plots.new_figure(2.7, "The direct path alone, and all three paths")
all_axes = figure.subplots(1, 4)
for n in (0, 1):
    grid = direct[n, :, :, 0]
    plots.number_grid(all_axes[n], grid, f"direct, image {n}", plots.YELLOW)
    grid = dx[n, :, :, 0].round(3)
    plots.number_grid(all_axes[n + 2], grid, f"dx, image {n}", plots.SKY)
figure

# %% [markdown]
# Two sums test such a gradient without finite differences. Add 1 to *all* $x$: the mean rises by 1 as well, and no $z$
# changes, so the eight gradients have to add up to 0. Double all distances from the mean: with $\epsilon = 0$ the
# division undoes it, so the sum of $dx \cdot z$ has to be 0, too. The direct path alone fails.

# %%
assert abs(dx.sum()) < 1e-15
assert abs((dx * z).sum()) < 1e-15
assert direct.sum() == 0.5

# %% [markdown]
# ## Exercise 3: the backward pass


# %% tags=["exercise"]
def backward(dy, z, gamma, variance, epsilon):
    """The gradients dx, dgamma, dbeta, in this order, in training.

    dy, z: (n, h, w, c); gamma, variance: (c,).
    Returns dx, of the shape of z; dgamma (c,); dbeta (c,). For the
    example above, dx[0, 0, 0, 0] is 0.296875.
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
# <details><summary>Hint 1</summary>
#
# All sums and means go over the axes `(0, 1, 2)`. `dgamma` and `dbeta` are made of `dy`, `dx` of `gamma * dy`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# With `dz = gamma * dy`, the last formula is a line of NumPy; $r$ is `1 / np.sqrt(variance + epsilon)`.
#
# </details>
#
# ## What a layer is
#
# A layer of minicnn is a class with a few methods, and each has one job:
#
# | method | its job | in batch normalization |
# |---|---|---|
# | `__init__` | keep each argument in an attribute of its name: saving reads it there | `momentum`, `epsilon` |
# | `new_params` | a dict of weights that are *trained*, kept as `params` | `gamma`, `beta` |
# | `new_state` | a dict of weights that are *not* trained, kept as `state` | `moving_mean`, `moving_variance` |
# | `forward` | y, and a cache: what the backward pass needs | batch statistics if `training`, else moving averages |
# | `backward` | dx, and a dict with the gradient of each weight in `params` | the three paths |
# | `next_state` | new values of the state; called once a step, after the optimizer | both moving averages |
#
# `input_shape` is the shape of *one* sample, without `n`. Two rules: **a pass changes nothing**, neither `x` nor `dy` nor
# a weight, which is why new averages are *returned*; and **a layer remembers nothing but its weights** between passes.
# What `backward` needs is in the cache, not in `self`, because other passes may run in between.
#
# The next cell is the whole layer. It contains a solution of each exercise, so solve them first. Its means go over all
# axes but the last, so that it takes images `(n, h, w, c)` as well as the outputs `(n, c)` of a dense layer.


# %%
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


# %% [markdown]
# In inference, the layer is a fixed scale and a fixed shift for each channel, so its gradient is the direct path alone.
#
# ## Are the gradients right?
#
# Lesson 9 answers that without knowing what is in the layer. `check_gradients` copies the layer, builds the copy in double
# precision, and compares *every* entry of dx, dgamma and dbeta with central differences, with `training=True`:

# %% tags=["varies"]
images = np.random.default_rng(0).standard_normal((3, 2, 4, 2))  # (n, h, w, c)


def checked(layer):
    return check_gradients(layer, images, rng=np.random.default_rng(1))


def show(report):
    for line in str(report).split("\n"):
        print(textwrap.fill(line, 88))


report = checked(BatchNorm())
show(report)
assert report.ok
assert [row.checked for row in report.rows] == [48, 2, 2]

# %% [markdown]
# The note is consequence 1 from above; the checker found it out by itself. Now the typical mistake: to treat the
# statistics as constants.


# %% tags=["varies"]
class ConstantStatistics(BatchNorm):
    def backward(self, dy, cache):
        _, grads = super().backward(dy, cache)  # those of gamma and beta are right
        return self.params["gamma"] * dy / cache[1], grads


report = checked(ConstantStatistics())
show(report)
dx_row, *others = report.rows
assert dx_row.wrong == 48
assert all(row.ok for row in others)
assert "mean" in dx_row.mistake

# %% [markdown]
# The line before the note says what the wrong numbers look like.
#
# ## Is it Keras' layer?
#
# A right gradient may be the gradient of the wrong function (lesson 9), and `check_gradients` looks neither at inference nor
# at the state. `compare_layers` does. It draws 20 inputs, here images of any height and width with 3 channels; gives both
# layers the same random weights and state; and compares all numbers, in training and inference, in both precisions.

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
# Differences are relative to the largest number in Keras' array; in double precision they are in the 16th digit. Now
# somebody takes the numbers of PyTorch's documentation, momentum 0.1 and epsilon 0.00001, and builds our layer with them.
#
# **Guess before you run:** will `check_gradients` notice? And which rows of the comparison will be wrong?

# %% tags=["varies"]
from_pytorch = BatchNorm(momentum=0.1, epsilon=1e-5)
assert checked(from_pytorch).ok
print("check_gradients: right")

if have_keras():
    other = compare_layers(from_pytorch, theirs, input_shape=(None, None, 3), count=5)
    for each in other.quantities:
        if each.dtype == "float64":
            print(each.line)
    wrong = {(each.name, each.mode) for each in other.quantities if each.wrong}
    assert wrong >= {("output", "training"), ("output", "inference")}
    assert ("moving_mean", "training") in wrong
    assert not any(name == "dbeta" for name, _ in wrong)

# %% [markdown]
# `check_gradients` says "right", and it is right: this is a correct layer, but another one. Only dbeta is the same, since
# it is the sum of dy, whatever the statistics are.
#
# ## A network that learns with it
#
# Two convolutions, each followed by our layer. They have no bias, since subtracting the mean would remove it; $\beta$
# does its work. (The first run compiles the engine for the other layers, and says so in a line.)

# %%
(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, y_train = scaled(x_train[:1280]), y_train[:1280]
x_test, y_test = scaled(x_test[:500]), y_test[:500]


def new_network(learning_rate, momentum=None, seed=0):
    """A small network; without batch normalization if there is no momentum."""
    minicnn.clear_session()
    minicnn.set_random_seed(seed)  # for each seed always the same first weights
    parts = [Input((28, 28, 1))]
    for f in (8, 16):
        normalization = [] if momentum is None else [BatchNorm(momentum)]
        parts += [Conv2D(f, 5, use_bias=False), *normalization, ReLU(), MaxPooling2D(2)]
    model = minicnn.Sequential([*parts, Flatten(), Dense(10, activation="softmax")])
    loss = "sparse_categorical_crossentropy"
    model.compile(SGD(learning_rate), loss, metrics=["accuracy"])
    return model


new_network(0.3, momentum=0.99).summary()

# %% [markdown]
# The 48 non-trainable parameters are our moving averages, 2 for each of 8 + 16 channels.
#
# **Guess before you run:**
#
# 1. *Learning rate 0.3, five steps.* With the statistics of the test images' own batch, as in training, about half of 500
#    test images are right. With the same weights in inference, by moving averages of momentum 0.99: how many?
# 2. *Learning rate 0.1.* Without batch normalization about 40 % of the images are right in steps 11 to 20 of training.
#    With it: fewer, about as many, or more?
#
# The next cell trains these networks, and the one after it draws; you need not read their code.

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


own_statistics, averages, last_weights = {}, {0.99: [], 0.9: []}, []
for momentum, found in averages.items():
    model = new_network(0.3, momentum)
    for step, batch in enumerate(batches(40), start=1):
        model.train_on_batch(*batch)
        if step in SHOWN:
            found.append(model.evaluate(x_test, y_test, verbose=0)[1])
            own_statistics[step] = by_own_statistics(model)  # for both the same
    last_weights.append(model.layers[-1].get_weights()[0])

trained, early = {}, {}  # for three seeds the accuracy of each batch; its mean
for name, momentum in [("without", None), ("with", 0.9)]:
    models = [new_network(0.1, momentum, seed) for seed in range(3)]
    runs = [[m.train_on_batch(*batch)[1] for batch in batches(40)] for m in models]
    trained[name] = np.array(runs)
    early[name] = trained[name][:, 10:20].mean(axis=1)
    right = ", ".join(f"{share:.0%}" for share in early[name])
    print(f"steps 11 to 20, {name + ':':8} {right} right, three seeds")
model = models[-1]

late = averages[0.99][SHOWN.index(5)]
print(
    f"five steps: {own_statistics[5]:.0%} by the batch, {late:.0%} by moving averages"
)
assert 0.35 < own_statistics[5] < 0.75
assert late < own_statistics[5] - 0.15
assert (last_weights[0] == last_weights[1]).all()  # momentum changes no other weight
assert early["without"].max() + 0.1 < early["with"].min()
assert [round(1 - 0.99**t, 2) for t in (5, 40, 100)] == [0.05, 0.33, 0.63]
assert round(1 - 0.9**10, 2) == 0.65

# %% tags=["cover", "fold"]
figure = plots.new_figure(4.4)
left, right = figure.subplots(1, 2, sharey=True)
for name, values, colour in [
    ("statistics of the batch", own_statistics.values(), plots.GREY),
    ("averages, momentum 0.9", averages[0.9], plots.BLUE),
    ("averages, momentum 0.99", averages[0.99], plots.ORANGE),
]:
    left.plot(SHOWN, list(values), "o-", color=colour, label=name)
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
# *On the left*, three curves of one network, whose weights are the same to the bit whatever the momentum. After a few steps
# the averages are still near 0 and 1: with 0.99 they have gone 5 % of the way after 5 steps, and a third after 40.
# **If a new network is good in training and bad in `evaluate`, look here first.**
#
# *On the right*, every run with batch normalization learns faster than any without it. Digits are mostly blank, so the
# outputs of a new first convolution are small, and so is all that follows from them, gradients included. With our layer
# every channel has the deviation 1 at the start (a little less, because of $\epsilon$):

# %%
first, *_ = new_network(0.1).layers
outputs = first(x_test)
normalized = BatchNorm()(outputs, training=True)
print(f"deviation: plain {outputs.std():.2f}, normalized {normalized.std():.2f}")
assert outputs.std() < 0.5
assert abs(normalized.std() - 1) < 0.05

# %% [markdown]
# ## Saved and loaded
#
# `save` writes the layers with their arguments, weights and state into one file. It contains no code, so whoever loads
# it says which class a name means.

# %%
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "digits.npz"
    model.save(file)
    loaded = minicnn.load_model(file, custom_objects={"BatchNorm": BatchNorm})

predictions = model.predict(x_test, verbose=0)
assert (loaded.predict(x_test, verbose=0) == predictions).all()
assert loaded.layers[1].momentum == 0.9
assert len(loaded.layers[1].get_weights()) == 4
print("with custom_objects: the same predictions, to the bit")

# %% [markdown]
# ## The fast version, and what it costs
#
# Our layer runs as it is written, in NumPy, between layers that the engine has compiled (lesson 15). minicnn's own has
# the same formulas, but goes through whole arrays less often, and its means are matrix products:

# %%
from minicnn.keras.layers import BatchNormalization

signal = np.random.default_rng(0).standard_normal((32, 24, 24, 8), np.float32)


def seconds(layer):
    layer.build(signal.shape[1:], np.random.default_rng(0))

    def both_passes():
        y, cache = layer.forward(signal, training=True)
        layer.backward(y, cache)

    return min(timeit.repeat(both_passes, number=3, repeat=10))


# Asserted with room to spare: minicnn's is about five times as fast.
assert seconds(BatchNorm()) > 1.7 * seconds(BatchNormalization())

# %% [markdown]
# ## The fact

# %%
if have_keras():
    entries = sum(each.entries for each in same.quantities)
    print(f"{same.ours}: {entries:,} numbers equal to Keras'")
    assert entries == 28_440

# %% [markdown]
# > **A layer of some fifty lines equals Keras' in 28,440 numbers:** outputs, three gradients and two moving averages, in
# > training and inference. It took more than one check, since none sees everything: differences do not see a wrong
# > epsilon or momentum, the comparison with Keras does, and neither tells that a new network is bad in inference for its
# > first steps.
#
# ## Challenge
#
# **Layer normalization** (Ba, Kiros and Hinton, [2016](https://arxiv.org/abs/1607.06450)), the layer of the first transformers,
# does not look at other samples at all. As in Keras, its mean and variance are those of *one position*, over its `c`
# channels: $n \cdot h \cdot w$ means of $c$ values each, instead of $c$ means of $n \cdot h \cdot w$ values. $\gamma$ and
# $\beta$ still have one number for each channel. Training and inference are the same, and it may run in shards. Write
# both passes at once.


# %% tags=["exercise", "challenge"]
def layer_norm(x, gamma, beta, epsilon, dy):
    """Layer normalization over the channels: y, dx, dgamma, dbeta.

    x, dy: (n, h, w, c); gamma, beta: (c,). Returns y and dx, of the
    shape of x; dgamma (c,); dbeta (c,). For x = [[[[1.0, 3.0]]]],
    gamma = [1, 1], beta = [0, 0] and epsilon = 0, y is
    [[[[-1.0, 1.0]]]].
    """
    # solution
    mean = x.mean(axis=-1, keepdims=True)
    root = np.sqrt(x.var(axis=-1, keepdims=True) + epsilon)
    z = (x - mean) / root
    dz = gamma * dy
    dx = dz - dz.mean(axis=-1, keepdims=True)
    dx = (dx - z * (dz * z).mean(axis=-1, keepdims=True)) / root
    axes = (0, 1, 2)
    return gamma * z + beta, dx, (dy * z).sum(axis=axes), dy.sum(axis=axes)


# %%
check.layer_norm(layer_norm)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The derivation above never says which values a mean goes over. So the formula of dx is the same, with other axes.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `x.mean(axis=-1, keepdims=True)` has the shape `(n, h, w, 1)`, which can be subtracted from `x`.
#
# </details>
# <details><summary>Hint 3</summary>
#
# Statistics, and the two means in dx, go over axis -1. But $\gamma$ and $\beta$ are shared by all positions: the sums of
# their gradients go over the axes `(0, 1, 2)`, as before.
#
# </details>
#
# The next cell puts your function next to Keras' layer.

# %% tags=["fold", "varies"]
if have_keras() and check.layer_norm.verdict(layer_norm).passed:

    def passes(x, gamma, beta):
        y, *_ = layer_norm(x, gamma, beta, 0.001, np.zeros_like(x))
        return y, (x, gamma, beta)

    def gradients_of(dy, cache):
        return layer_norm(*cache, 0.001, dy)[1:]

    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in ((3, 4, 5, 6), (6,), (6,))]
    keras_layer = keras.layers.LayerNormalization(epsilon=0.001)
    yours = compare_functions(passes, gradients_of, keras_layer, *arrays)
    print(yours)
    yours.assert_ok()
else:
    print("left out, or the challenge is not solved yet")

# %% [markdown]
# **To go on:** put your own three functions into `BatchNorm` and run the notebook from there again; and make a layer of
# `layer_norm`, with `samples_are_independent = True`.
#
# ## In minicnn
#
# - `Layer` in [minicnn/layer.py](../minicnn/layer.py): the contract, with all its methods.
# - `BatchNormalization` in [minicnn/keras/normalization.py](../minicnn/keras/normalization.py): minicnn's own layer.
# - `check_gradients` in [minicnn/gradcheck/check.py](../minicnn/gradcheck/check.py), and `likely_mistake` in
#   [minicnn/gradcheck/mistakes.py](../minicnn/gradcheck/mistakes.py): what wrong numbers look like.
# - `compare_layers` in [minicnn/keras_reference/layer_comparison.py](../minicnn/keras_reference/layer_comparison.py).
#   `python -m minicnn verify --mine FILE.py` does both checks for every layer in a file; `classes` in
#   [minicnn/checking/own_layers.py](../minicnn/checking/own_layers.py) says what it looks for.
