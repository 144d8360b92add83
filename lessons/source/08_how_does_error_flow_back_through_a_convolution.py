# %% [markdown]
# # 8 · How does error flow back through a convolution?
#
# *25 minutes · needs lesson 7*
#
# **You will build** `conv_backward(x, kernel, dy, s)`, the backward pass of `Conv2D`; and a wrong
# kernel that a check of shape, mean and standard deviation lets pass, every time.

# %%
import numpy as np

from checks import check_08 as check
from minicnn import plots
from minicnn.layers import Conv2D
from minicnn.shapes import same_padding, window_geometry
from minicnn.windows import sum_windows

# %% [markdown]
# ## A tiny example, by hand
#
# The image, the kernel and the bias of lesson 2, without padding, and what came out:

# %%
x = np.array([[1, 2, 0], [0, 1, 3], [2, 0, 1]])
kernel = np.array([[1, -1], [2, 0]])
bias = 1


def slide(x, kernel, bias=0):
    """Lesson 2's: y[i, j] = bias + sum of x[i + ki, j + kj] * kernel[ki, kj]."""
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape)
    return (windows * kernel).sum((2, 3)) + bias


y = slide(x, kernel, bias)
assert y.tolist() == [[0, 5], [4, -1]]

# %% [markdown]
# After the convolution there are other layers and, in the end, the loss $L$, one number. Their
# backward pass has been made already, as in lessons 5 and 6, and they hand over an array `dy` of the shape of `y`: **`dy[i, j]` says by
# how much $L$ changes if `y[i, j]` changes by one** (for a small change, in proportion). Say it is this:

# %%
dy = np.array([[1, 2], [-1, 3]])

# %% [markdown]
# Three arrays went in, so three questions are to be answered in the same manner: by how much does $L$
# change if a pixel, a weight of the kernel, or the bias changes by one? The answers are called `dx`,
# `dkernel` and `dbias`. The last two say what to learn (lesson 11); `dx` is the `dy` of the layer before
# this one.
#
# ## One product, two messages
#
# $$y[i, j] = bias + \sum_{ki}\ \sum_{kj} x[i + ki,\ j + kj] \cdot kernel[ki, kj]$$
#
# Pick *one* of these products. If its pixel grows by one, then `y[i, j]` grows by its weight, and $L$
# by `dy[i, j]` times that weight. If its weight grows by one, then `y[i, j]` grows by its pixel, and
# $L$ by `dy[i, j]` times that pixel. So every product sends two messages back:
#
# - to its pixel, `dx[i + ki, j + kj]`, it sends `dy[i, j] * kernel[ki, kj]`;
# - to its weight, `dkernel[ki, kj]`, it sends `dy[i, j] * x[i + ki, j + kj]`.
#
# (In calculus this is the *chain rule*.)
#
# A pixel that lies under several windows is in several products, and each changes $L$ on its own: what
# arrives is **added up**. The bias was added to every output, so `dbias` is the sum of `dy`.
#
# Seen from the image, each `dy[i, j]` puts a *stamp* on it, where its window stood: the kernel, times
# `dy[i, j]`. Four stamps, one after the other:

# %% tags=["cover", "fold"]
figure = plots.new_figure(4.6)
all_axes = figure.subplots(2, 5, height_ratios=[2.2, 3])
dx = np.zeros((3, 3), int)
for axes, (i, j) in zip(all_axes.T[1:], np.ndindex(dy.shape), strict=True):
    stamp = dy[i, j] * kernel
    dx[i : i + 2, j : j + 2] += stamp
    where = {(i + ki, j + kj): plots.SKY for ki, kj in np.ndindex(stamp.shape)}
    plots.number_grid(axes[0], stamp, f"dy[{i}, {j}] = {dy[i, j]}, stamp:", plots.SKY)
    plots.number_grid(axes[1], dx, "dx, so far" if (i, j) != (1, 1) else "dx", where)
plots.number_grid(all_axes[0, 0], kernel, "kernel")
plots.number_grid(all_axes[1, 0], np.zeros((3, 3)), "dx, at first")
figure

# %% [markdown]
# The pixel in the middle lies under all four windows, in each under another cell of the kernel. It
# gets $1\cdot0 + 2\cdot2 + (-1)\cdot(-1) + 3\cdot1 = 8$. A corner lies under one window only.
#
# **See it move** in [the explorer](01_what_will_we_rebuild.ipynb): at
# `#layer=conv2d_1&cell=3,4,7&mode=backward&step=12`, 12 of the 25 stamps that cover a cell have been added up; "Play" adds
# them one by one.
#
# For the first weight, `kernel[0, 0]`, go through the windows: its pixels were 1, 2, 0, 1 there, so
# it gets $1\cdot1 + 2\cdot2 + (-1)\cdot0 + 3\cdot1 = 8$, too. And `dbias` is $1 + 2 - 1 + 3 = 5$.
#
# ## The naive code
#
# The loops of the forward pass, and in their middle two messages instead of one product:


# %%
def backward(x, kernel, dy):
    """dx, dkernel and dbias, for an image of one channel and one kernel."""
    (oh, ow), (kh, kw) = dy.shape, kernel.shape
    dx, dkernel = np.zeros(x.shape), np.zeros(kernel.shape)
    for i in range(oh):
        for j in range(ow):
            for ki in range(kh):
                for kj in range(kw):
                    dx[i + ki, j + kj] += dy[i, j] * kernel[ki, kj]
                    dkernel[ki, kj] += dy[i, j] * x[i + ki, j + kj]
    return dx, dkernel, dy.sum()


dx, dkernel, dbias = backward(x, kernel, dy)
print(f"dx\n{dx}\n\ndkernel\n{dkernel}\n\ndbias {dbias}")

# %% [markdown]
# ## The check
#
# "By how much does $L$ change if this number grows by one?" One can just try. For a loss one needs
# layers after this one; the simplest that hands over our `dy` is $L = \sum dy[i, j] \cdot y[i, j]$.


# %%
def loss(x, kernel, bias):
    return (dy * slide(x, kernel, bias)).sum()


def grown_by_one(array, place):
    array = array.copy()
    array[place] += 1
    return array


before = loss(x, kernel, bias)
for place in np.ndindex(x.shape):
    assert loss(grown_by_one(x, place), kernel, bias) - before == dx[place]
for place in np.ndindex(kernel.shape):
    assert loss(x, grown_by_one(kernel, place), bias) - before == dkernel[place]
assert loss(x, kernel, bias + 1) - before == dbias

# %% [markdown]
# Equal, not nearly equal: while one factor stays, a convolution is a weighted sum of the other, and
# changes in proportion however far one goes. With ReLU or a softmax it is not that easy, and
# lesson 9 is about what to do then. Keras 3.15.1 (TensorFlow 2.21) finds these three for the same
# numbers:

# %%
KERAS_DX = [[1, 1, -2], [1, 8, -3], [-2, 6, 0]]
KERAS_DKERNEL = [[8, 10], [0, 10]]
KERAS_DBIAS = 5

assert dx.tolist() == KERAS_DX
assert dkernel.tolist() == KERAS_DKERNEL
assert dbias == KERAS_DBIAS

# %% [markdown]
# ## Exercise 1: the whole backward pass
#
# Now with `c` channels, `f` filters and a stride `s`, still without padding. There,
#
# $$y[i, j, o] = bias[o] + \sum_{ki}\ \sum_{kj}\ \sum_{ch}
# x[i \cdot s + ki,\ j \cdot s + kj,\ ch] \cdot kernel[ki, kj, ch, o].$$
#
# Which two messages does one of *these* products send?


# %% tags=["exercise"]
def conv_backward(x, kernel, dy, s):
    """For x (h, w, c), kernel (kh, kw, c, f) and dy (oh, ow, f), and a stride
    s: the arrays (dx, dkernel, dbias), of the shapes of x, kernel and bias
    (f,)."""
    # solution
    (oh, ow, f), (kh, kw, c, _) = dy.shape, kernel.shape
    dx, dkernel, dbias = np.zeros(x.shape), np.zeros(kernel.shape), np.zeros(f)
    for i in range(oh):
        for j in range(ow):
            for o in range(f):
                dbias[o] += dy[i, j, o]
                for ki in range(kh):
                    for kj in range(kw):
                        for ch in range(c):
                            pixel = i * s + ki, j * s + kj, ch
                            dx[pixel] += dy[i, j, o] * kernel[ki, kj, ch, o]
                            dkernel[ki, kj, ch, o] += dy[i, j, o] * x[pixel]
    return dx, dkernel, dbias


# %%
check.conv_backward(conv_backward)

# %% [markdown]
# ## The turned kernel comes back
#
# So far we asked each output where it sends its error. Ask a pixel instead, `dx[p, q]`: from where
# does it get some? From all $i, j, ki, kj$ with $i + ki = p$ and $j + kj = q$. So $ki = p - i$ and
# $kj = q - j$, and
#
# $$dx[p, q] = \sum_i\ \sum_j dy[i, j] \cdot kernel[p - i,\ q - j],$$
#
# where cells outside the kernel count as zero. While $i$ grows, $p - i$ falls: **the kernel is run
# through backwards**, as in the mathematicians' convolution of lesson 2. In other words, `dx` is
# once more what `slide` does, with the kernel turned by half a turn, on `dy` with $kh - 1$ rows and
# $kw - 1$ columns of zeros on every side, so that corners too are reached.
#
# And `dkernel`? Its formula, $dkernel[ki, kj] = \sum_i \sum_j dy[i, j] \cdot x[i + ki,\ j + kj]$, is
# that of `slide` as it stands, with `dy` as the kernel.

# %% tags=["fold"]
framed = np.pad(dy, (1, 1))  # kh - 1 and kw - 1 are both 1
turned = kernel[::-1, ::-1]
assert (slide(framed, turned) == dx).all()
assert (slide(x, dy) == dkernel).all()

figure = plots.new_figure(2.7)
first, second, third = figure.subplots(1, 3, width_ratios=[4, 2, 3])
colours = dict.fromkeys(np.ndindex(4, 4), plots.YELLOW)
colours |= dict.fromkeys([(1, 1), (1, 2), (2, 1), (2, 2)], plots.SKY)
plots.number_grid(first, framed, "framed: dy among zeros", colours)
plots.number_grid(second, turned, "kernel, turned", plots.SKY)
plots.number_grid(third, dx, "slide(framed, turned) = dx", {(1, 1): plots.SKY})
figure

# %% [markdown]
# The blue window gives $1\cdot0 + 2\cdot2 + (-1)\cdot(-1) + 3\cdot1 = 8$, the very products of above.
#
# So one function does all three: $y$ slides the kernel over $x$, $dkernel$ slides $dy$ over $x$, and
# $dx$ slides the turned kernel over $dy$. Whoever forgets to turn it gets a `dx` of the right shape,
# with plausible numbers. Remember this one.
#
# ## Padding, and who is heard
#
# Padding changes nothing but the place: a window starts at $i \cdot s - top$, with `top` zeros above
# the image (lesson 3). Stamp on the padded image, then cut its frame off. What was sent to zeros is
# lost, as nobody can change them. Keras' `dx` for an image of 5 x 6, a kernel of 3 x 2, stride 2, "same":

# %%
KERAS_DX = """
-11 -20 -17 -8 10 4 6 -13 49 0 -18 -9 4 16 -13
-16 14 -4 -30 -18 2 -16 12 52 8 8 2 20 -15 -12
"""


def numbers(*shape):
    """Some whole numbers from -5 to 5."""
    return ((7 * np.arange(np.prod(shape))) % 11 - 5.0).reshape(shape)


geometry = window_geometry((5, 6), (3, 2), (2, 2), "same")
assert (geometry.top, geometry.left, geometry.oh, geometry.ow) == (1, 0, 3, 3)
big_kernel, big_dy = numbers(3, 2, 1, 2), numbers(3, 3, 2)

padded = np.zeros((7, 6))  # a row of zeros above, one below
for i, j, o in np.ndindex(3, 3, 2):
    stamp = big_dy[i, j, o] * big_kernel[:, :, 0, o]
    padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 2] += stamp
cut = padded[1:-1]


def input_gradient(dy, kernel, geometry):
    """As `Conv2D.backward` in minicnn: all stamps (n, oh, ow, kh, kw, c), then their sum."""
    return sum_windows(np.tensordot(dy, kernel, axes=(3, 3)), geometry)


assert (cut.ravel() == np.array(KERAS_DX.split(), float)).all()
assert (input_gradient(big_dy[None], big_kernel, geometry)[0, :, :, 0] == cut).all()

# %% [markdown]
# How often is a pixel heard? As often as windows cover it. For the convolutions of lesson 1's network, 5 x 5
# with stride 1, and for two others:


# %% tags=["fold"]
def windows_over(n, k, s):
    """For each of n cells in a row, how many windows of k cells cover it; "same" padding."""
    before, _ = same_padding(n, k, s)
    starts = [i * s - before for i in range(-(-n // s))]
    return np.array([sum(a <= cell < a + k for a in starts) for cell in range(n)])


figure = plots.new_figure(3.9)
all_axes = figure.subplots(1, 3)
coverage = {}
for axes, (k, s) in zip(all_axes, [(5, 1), (3, 2), (2, 3)], strict=True):
    row = windows_over(28, k, s)
    coverage[k, s] = counts = np.outer(row, row)  # rows and columns, each for itself
    corner = counts[:9, :9]
    axes.imshow(corner, cmap="Blues", vmin=0, vmax=1.7 * corner.max())
    for (i, j), count in np.ndenumerate(corner):
        axes.text(j, i, count, ha="center", va="center", fontsize=9)
    axes.set(title=f"{k} x {k}, stride {s}", xlabel="column")
all_axes[0].set_ylabel("row")
title = "How many windows cover a pixel: the top left corner of 28 x 28"
figure.suptitle(title, fontsize=plots.TITLE)
figure

# %%
counts = coverage[5, 1]
assert (counts.max(), counts[0, 0], counts[0, 14]) == (25, 9, 15)
assert (counts == 25).sum() == 24 * 24
assert counts.sum() == 134**2  # lesson 3's cells that are not on zeros
assert set(coverage[3, 2][:-1, :-1].ravel()) == {1, 2, 4}
assert (coverage[2, 3] == 0).mean() > 0.5

# Where all weights and all of dy are 1, dx is nothing but these counts.
for (k, s), counts in coverage.items():
    geometry = window_geometry((28, 28), (k, k), (s, s), "same")
    ones = np.ones((1, geometry.oh, geometry.ow, 1)), np.ones((k, k, 1, 1))
    assert (input_gradient(*ones, geometry)[0, :, :, 0] == counts).all()

# %% [markdown]
# - **5 x 5, stride 1**: 25 windows inside, 15 at an edge, 9 in a corner. A pixel in a corner gets
#   little error, and has little to say.
# - **3 x 3, stride 2**: 1, 2 and 4 in turn. Even where all weights and all of `dy` are alike, `dx` has
#   this checkerboard.
# - **2 x 2, stride 3**: more than half of the pixels are under no window. Their `dx` is 0, for ever.
#
# ## Exercise 2: count them
#
# In one dimension, with "same" padding. `same_padding(n, k, s)`, lesson 3's exercise, is imported;
# it gives the zeros (before, after). `windows_over` above asks each cell for its windows. Do it the other
# way round, as error flows: let each window put a stamp of ones on an array of n zeros, without padding it.


# %% tags=["exercise"]
def coverage_of(n, k, s):
    """An array of n integers: for each cell of the row, how many windows cover
    it."""
    # solution
    before, _ = same_padding(n, k, s)
    count = np.zeros(n, int)
    for i in range(-(-n // s)):
        start = i * s - before
        count[max(start, 0) : start + k] += 1
    return count


# %%
check.coverage_of(coverage_of)

# %% [markdown]
# ## The fast version, and what it costs
#
# In lesson 2 a convolution became a matrix product: each window a row of `cols`, $(oh \cdot ow) \times (kh \cdot kw
# \cdot c)$, and `y = cols @ kernel`. The backward pass of a matrix product is two matrix products, since it
# consists of products, too. With $kernel^T$, the kernel with rows and columns exchanged:
#
# $$dcols = dy \cdot kernel^T, \qquad dkernel = cols^T \cdot dy.$$
#
# Then every cell of `dcols` is added to the pixel it was copied from, which are our stamps again.

# %%
import timeit

big_x = numbers(28, 28)
five = numbers(5, 5)
big_dy = numbers(24, 24)

windows = np.lib.stride_tricks.sliding_window_view(big_x, (5, 5))
cols = windows.reshape(24 * 24, 25)
dcols = big_dy.reshape(-1, 1) @ five.reshape(-1, 1).T  # (576, 1) @ (1, 25)
dkernel_fast = (cols.T @ big_dy.reshape(-1, 1)).reshape(5, 5)
dx_fast = np.zeros((28, 28))
for (i, j), stamp in zip(np.ndindex(24, 24), dcols.reshape(-1, 5, 5), strict=True):
    dx_fast[i : i + 5, j : j + 5] += stamp

dx_slow, dkernel_slow, _ = backward(big_x, five, big_dy)
assert (dx_fast == dx_slow).all()
assert (dkernel_fast == dkernel_slow).all()

# minicnn's layer: the same numbers, and at least 20 times as fast as the loops.
layer = Conv2D(1, 5)
layer.build((28, 28, 1), rng=np.random.default_rng(0), dtype="float64")
layer.set_weights([five[:, :, None, None], np.zeros(1)])
_, cache = layer.forward(big_x[None, :, :, None])
dx_of_layer, grads = layer.backward(big_dy[None, :, :, None], cache)
assert (dx_of_layer[0, :, :, 0] == dx_slow).all()
assert (grads["kernel"][:, :, 0, 0] == dkernel_slow).all()
loops = timeit.repeat(lambda: backward(big_x, five, big_dy), number=1, repeat=3)
fast = timeit.repeat(
    lambda: layer.backward(big_dy[None, :, :, None], cache), number=1, repeat=5
)
assert min(loops) > 20 * min(fast)

# %% [markdown]
# The cost: each product of the forward pass sends *two* messages, so **the backward pass takes twice the
# multiply-adds of the forward pass**. With one exception: nobody asks the first layer for its `dx`,
# since nobody wants to change the images. And `x` has to be kept from the forward pass until `dkernel` has
# been computed, in every layer: that is what fills the memory while a network learns.

# %%
work = {"conv2d": 627_200, "conv2d_1": 10_035_200, "dense": 200_704, "dense_1": 640}
forward = sum(work.values())
assert forward == 10_863_744  # lesson 1
backward_work = 2 * forward - work["conv2d"]
print(f"backward pass: {backward_work:,} multiply-adds, ", end="")
print(f"{backward_work / forward:.2f} times the forward pass")
assert backward_work == 21_100_288

# %% [markdown]
# ## Exercise 3: what a lazy check lets pass
#
# Comparing whole arrays is work. Suppose a check compares, of a right `dx` and of yours, only the shape, the
# mean and the standard deviation. Find a kernel, other than the right one, with which
# `backward(x, kernel, dy)` gives a `dx` that passes, *whatever* `dy` is.
#
# Two hints. What is the sum of all of `dx`, if each `dy[i, j]` stamps the whole kernel? And which
# slip did you read about above?


# %% tags=["exercise"]
def passes_unnoticed(kernel):
    """Another kernel (kh, kw), whose dx has the same mean and standard
    deviation for every dy."""
    # solution
    return kernel[::-1, ::-1]


# %%
check.passes_unnoticed(passes_unnoticed)

# %% [markdown]
# **The mean.** Each `dy[i, j]` stamps all numbers of the kernel, so the sum of `dx` is
# $\sum dy \cdot \sum kernel$. It does not matter in which order the kernel's numbers stand: any
# shuffled kernel passes a check of means.
#
# **The standard deviation.** Given the mean, it is a matter of the sum of squares. Square a sum of
# stamps, and you get, for every two stamps, the products of their numbers where they overlap. Draw two
# overlapping stamps on a sheet of paper, and turn the sheet by half a turn: the same numbers meet, both
# kernels are turned, and one still lies as far from the other as before. So the turned kernel gives
# the same products, for every two stamps, and the same sum of squares.
#
# For the tiny example, with the kernel the wrong way round:

# %%
wrong_dx, _, _ = backward(x, kernel[::-1, ::-1], dy)
print(wrong_dx)
assert wrong_dx.shape == dx.shape
assert wrong_dx.sum() == dx.sum() == 10
assert (wrong_dx**2).sum() == (dx**2).sum() == 120
assert abs(wrong_dx - dx).max() == 11 > abs(dx).max()

# %% [markdown]
# Both add up to 10, both have squares that add up to 120, and in the middle stands -3 for 8. The
# numbers are not even close.
#
# ## Would it not be noticed in training?
#
# Three small networks, equal but for the `dx` of the second convolution: the first computes it right, the second stamps the turned
# kernel, and the third returns zeros, so that the first convolution learns nothing at all. Each sees 6,000 digits once (how, is for
# lessons 11 to 13), then 2,000 new ones, from two first seeds. **Guess before you run:** how far apart will they be?

# %% tags=["varies"]
import minicnn
from minicnn.datasets import mnist
from minicnn.layers import Dense, Flatten, Input, MaxPooling2D
from minicnn.tutorial import scaled


class WrongBackward(Conv2D):
    def backward(self, dy, cache):
        _, grads = super().backward(dy, cache)
        x, y = cache
        dz = dy * (y > 0)  # back through ReLU
        turned = self.params["kernel"][::-1, ::-1]
        return input_gradient(dz, turned, self.geometry(x.shape[1:])), grads


class NoBackward(Conv2D):
    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        return 0 * dx, grads


def accuracy_with(kind, seed):
    """The share of new digits that a network with this second layer gets right."""
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    minicnn.set_random_seed(seed)
    second_convolution = kind(16, 5, padding="same", activation="relu")
    model = minicnn.Sequential(
        [
            Input((28, 28, 1)),
            Conv2D(8, 5, padding="same", activation="relu"),
            MaxPooling2D(2),
            second_convolution,
            MaxPooling2D(2),
            Flatten(),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(scaled(x_train[:6000]), y_train[:6000], verbose=0)
    return model.evaluate(scaled(x_test[:2000]), y_test[:2000], verbose=0)[1]


right, wrong, none = (
    np.mean([accuracy_with(kind, seed) for seed in (0, 1)])
    for kind in (Conv2D, WrongBackward, NoBackward)
)
print(f"right dx: {right:.1%}, wrong dx: {wrong:.1%}, dx of zeros: {none:.1%}")
assert wrong > 0.8
assert right - wrong < 0.08
assert abs(wrong - none) < 0.04

# %% [markdown]
# It learns, and nobody who sees that accuracy alone would look for a mistake. But the third network shows what the wrong gradient is
# worth: hardly more than none. The layers after it learn as they should, and make the best of a first layer that keeps its random
# kernels (or moves them at random).
#
# ## The fact
#
# How wrong is the mutant, for a layer as large as the second convolution of lesson 1, without
# padding? The error is the root of the sum of squared differences, in units of `dx`' own.

# %%
rng = np.random.default_rng(0)
kernel = rng.standard_normal((5, 5, 32, 64))
dy = rng.standard_normal((1, 10, 10, 64))
geometry = window_geometry((14, 14), (5, 5), (1, 1), "valid")
dx = input_gradient(dy, kernel, geometry)
mutant = input_gradient(dy, kernel[::-1, ::-1], geometry)

size = np.sqrt((dx**2).sum())
error = np.sqrt(((dx - mutant) ** 2).sum()) / size
print(f"shapes {dx.shape} and {mutant.shape}")
print(f"means  {dx.mean():.12f} and {mutant.mean():.12f}")
print(f"error  {error:.0%}")
assert dx.shape == mutant.shape
assert abs(dx.mean() - mutant.mean()) < 1e-12 * dx.std()
assert round(100 * error) == 138

# %% [markdown]
# > **The mutant has the right shape, the right mean to twelve digits, and an error of 138 %.** Two arrows of the
# > same length that have nothing to do with each other are $\sqrt 2$, or 141 %, apart: this `dx` is hardly
# > better than one drawn by lot. A check has to look at every element.
#
# (With 64 filters the standard deviations differ a little, by less than 2 %, since the overlapping stamps then
# come from different kernels; with one filter, as in exercise 3, they are equal.)

# %%
assert 0 < abs(mutant.std() / dx.std() - 1) < 0.02

# %% [markdown]
# ## In minicnn
#
# - `Conv2D.backward` in [minicnn/layers.py](../minicnn/layers.py): your `conv_backward`, for many images,
#   with padding, as two matrix products.
# - `sum_windows` in [minicnn/windows.py](../minicnn/windows.py): the sum of the stamps.
# - `backward` in [minicnn/step.py](../minicnn/step.py): from layer to layer, the last one first.
# - `grad_input` and `grad_kernel` in
#   [minicnn/engine/kernels/direct.py](../minicnn/engine/kernels/direct.py): the loops, compiled. The engine
#   also leaves out the `dx` of the first layer.
