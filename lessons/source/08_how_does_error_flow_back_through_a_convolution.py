# %% [markdown]
# # 8 · How does error flow back through a convolution?
#
# *25 minutes · needs lesson 7*
#
# **You will build** `conv_backward(x, kernel, dy, s)`, the backward pass of `Conv2D`. You will also find a wrong
# kernel that passes every check of shape, mean and standard deviation.

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
# Here are the image, the kernel and the bias of lesson 2, without padding, and the output:

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
# After the convolution come other layers and, at the end, the loss $L$. Their backward passes, as in lessons 5 to 7, have
# already run, and they pass on an array `dy` of the shape of `y`: **`dy[i, j]` is the gradient of $L$ with respect to
# `y[i, j]`**. If `y[i, j]` changes by a small amount, $L$ changes by `dy[i, j]` times that amount. Suppose it is this:

# %%
dy = np.array([[1, 2], [-1, 3]])

# %% [markdown]
# The layer has three inputs, so its backward pass computes three gradients: with respect to the pixels, the weights of the
# kernel, and the bias. They are called `dx`, `dkernel` and `dbias`. The last two are used to update the weights (lesson 11);
# `dx` is the `dy` of the layer before this one.
#
# ## One product, two gradients
#
# $$y[i, j] = bias + \sum_{ki}\ \sum_{kj} x[i + ki,\ j + kj] \cdot kernel[ki, kj]$$
#
# Take *one* of these products. If its pixel grows by a small amount $t$, then `y[i, j]` grows by $t$ times the weight, and $L$
# by `dy[i, j]` times that. If its weight grows by $t$, then `y[i, j]` grows by $t$ times the pixel, and
# $L$ by `dy[i, j]` times that. This is the *chain rule*. So every product contributes to two gradients:
#
# - to that of its pixel, `dx[i + ki, j + kj]`, it adds `dy[i, j] * kernel[ki, kj]`;
# - to that of its weight, `dkernel[ki, kj]`, it adds `dy[i, j] * x[i + ki, j + kj]`.
#
# A pixel that lies under several windows is a factor of several products, and their contributions are
# **added up**. The bias was added to every output, so `dbias` is the sum of `dy`.
#
# In other words, each `dy[i, j]` puts a *stamp* on the image at the position of its window: the kernel, times
# `dy[i, j]`. Here are the four stamps, one after the other. **Guess before you run:** which pixel gets the most contributions?

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
# The pixel in the middle lies under all four windows, each time under another cell of the kernel. It
# gets $1\cdot0 + 2\cdot2 + (-1)\cdot(-1) + 3\cdot1 = 8$. A corner lies under one window only.
#
# **See it move** in [the explorer](01_what_will_we_rebuild.ipynb): at
# `#layer=conv2d_1&cell=3,4,7&mode=backward&step=12`, 12 of the 25 stamps that cover a cell have been added up; "Play" adds
# them one by one.
#
# The first weight, `kernel[0, 0]`, is multiplied by the pixels 1, 2, 0, 1 in the four windows, so
# it gets $1\cdot1 + 2\cdot2 + (-1)\cdot0 + 3\cdot1 = 8$, too. And `dbias` is $1 + 2 - 1 + 3 = 5$.
#
# ## The naive code
#
# The loops are those of the forward pass. Inside, two contributions take the place of one product:


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
# By how much does $L$ change if a number grows by one? This can be tried. The simplest loss whose gradient is
# our `dy` is $L = \sum dy[i, j] \cdot y[i, j]$.


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
# They are exactly equal, although a step of one is large: as a function of the image alone, or of the kernel alone, a convolution
# is linear. With ReLU or softmax a step has to be small; lesson 9 is about that. Keras 3.15.1 (TensorFlow 2.21) computes these
# three gradients for the same numbers:

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
# $$\begin{aligned} y[i, j, o] = {} & bias[o] + \sum_{ki,\ kj,\ ch} kernel[ki, kj, ch, o] \\
# & \cdot x[i \cdot s + ki,\ j \cdot s + kj,\ ch]. \end{aligned}$$
#
# Which two contributions does one of *these* products make?


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
# <details><summary>Hint 1</summary>Write the loops of the forward pass, over i, j, o, ki, kj and ch.</details>
# <details><summary>Hint 2</summary>With <code>pixel = i * s + ki, j * s + kj, ch</code>, one line adds to <code>dx[pixel]</code>, one
# to <code>dkernel[ki, kj, ch, o]</code>.</details>
# <details><summary>Hint 3</summary>The bias is added once to each output: <code>dbias</code> does not belong into the innermost
# loop.</details>
#
# ## The rotated kernel
#
# So far, each output distributed its gradient over pixels. Now start from a pixel, `dx[p, q]`: which contributions does it get?
# Those of all $i, j, ki, kj$ with $i + ki = p$ and $j + kj = q$. So $ki = p - i$ and
# $kj = q - j$, and
#
# $$dx[p, q] = \sum_i\ \sum_j dy[i, j] \cdot kernel[p - i,\ q - j],$$
#
# where cells outside the kernel count as zero. While $i$ grows, $p - i$ falls, so **the kernel is read
# backwards**, as in the mathematicians' convolution of lesson 2. In other words, `slide` computes `dx`, too: it slides the
# kernel, rotated by 180 degrees, over `dy` with $kh - 1$ rows and
# $kw - 1$ columns of zeros on every side, so that the corners are reached.
#
# And `dkernel`? Its formula, $dkernel[ki, kj] = \sum_i \sum_j dy[i, j] \cdot x[i + ki,\ j + kj]$, is
# that of `slide` itself, with `dy` as the kernel.

# %% tags=["fold"]
framed = np.pad(dy, (1, 1))  # kh - 1 and kw - 1 are both 1
turned = kernel[::-1, ::-1]
assert (slide(framed, turned) == dx).all()
assert (slide(x, dy) == dkernel).all()

figure = plots.new_figure(2.7)
first, second, third = figure.subplots(1, 3, width_ratios=[4, 2, 3])
colours = dict.fromkeys(np.ndindex(4, 4), plots.YELLOW)
colours |= dict.fromkeys([(1, 1), (1, 2), (2, 1), (2, 2)], plots.SKY)
plots.number_grid(first, framed, "framed: dy and zeros", colours)
plots.number_grid(second, turned, "kernel, rotated", plots.SKY)
plots.number_grid(third, dx, "slide(framed, turned) = dx", {(1, 1): plots.SKY})
figure

# %% [markdown]
# The blue window gives $1\cdot0 + 2\cdot2 + (-1)\cdot(-1) + 3\cdot1 = 8$, the same products as before.
#
# So one function is enough for the forward and the backward pass: for $y$ it slides the kernel over $x$, for $dkernel$ it slides $dy$ over $x$, and
# for $dx$ it slides the rotated kernel over $dy$. Whoever forgets to rotate it gets a `dx` of the right shape,
# with plausible numbers. We come back to this mistake below.
#
# ## Padding
#
# Padding changes only the positions: a window starts at $i \cdot s - top$, with `top` zeros above
# the image (lesson 3). Put the stamps on the padded image, then cut its border off. The gradients of the zeros are
# dropped, since zeros of padding never change. This is Keras' `dx` for an image of 5 x 6 with one channel, two filters of
# 3 x 2, stride 2, "same". `window_geometry` gives the sizes and zeros of lesson 3, and `sum_windows` adds up stamps:

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
# How many contributions does a pixel get? One from each window that covers it. Here are the numbers for lesson 1's convolutions, 5 x 5
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

# If all weights and all of dy are 1, dx is equal to these counts.
for (k, s), counts in coverage.items():
    geometry = window_geometry((28, 28), (k, k), (s, s), "same")
    ones = np.ones((1, geometry.oh, geometry.ow, 1)), np.ones((k, k, 1, 1))
    assert (input_gradient(*ones, geometry)[0, :, :, 0] == counts).all()

# %% [markdown]
# - **5 x 5, stride 1**: 25 windows inside, 15 at an edge, 9 in a corner. A pixel near a corner
#   has less influence on the output, and gets less gradient.
# - **3 x 3, stride 2**: 1, 2 or 4. Even if all weights and all of `dy` are equal, `dx` has
#   this checkerboard pattern.
# - **2 x 2, stride 3**: more than half of the pixels are under no window. Their `dx` is always 0.
#
# ## Exercise 2: count them
#
# In one dimension, with "same" padding. `same_padding(n, k, s)`, lesson 3's exercise, is imported and
# returns the zeros (before, after). `windows_over` above counts the windows of each cell. Do it the other
# way round, as the backward pass does: let each window put a stamp of ones on an array of n zeros.


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
# <details><summary>Hint 1</summary>There are ceil(n / s) windows; window i starts at i * s - before.</details>
# <details><summary>Hint 2</summary><code>count[start : start + k] += 1</code>, but a negative start would count from the end of
# the array.</details>
#
# ## The fast version, and what it costs
#
# In lesson 2 a convolution became a matrix product: each window is a row of `cols`, $(oh \cdot ow) \times (kh \cdot kw
# \cdot c)$, and `y = cols @ kernel`. Lesson 7 derived the backward pass of a matrix product, which is two matrix products:
#
# $$dcols = dy \cdot kernel^T, \qquad dkernel = cols^T \cdot dy.$$
#
# Then every cell of `dcols` is added to the pixel that it was copied from: its rows are our stamps.

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
# The cost: each product of the forward pass makes *two* contributions, so **the backward pass takes twice the
# multiply-adds of the forward pass**. There is one exception: the first layer does not need its `dx`,
# because the images are not trained. And every layer with weights has to keep its `x` from the forward pass until `dkernel` has
# been computed. That is what fills the memory during training.

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
# Suppose a check compares your `dx` with the right one only by its shape, mean and standard deviation. Find a kernel, other
# than the right one, with which `backward(x, kernel, dy)` gives a `dx` that passes this check for *every* `dy`.


# %% tags=["exercise"]
def passes_unnoticed(kernel):
    """Another kernel (kh, kw), whose dx has the same mean and standard
    deviation for every dy."""
    # solution
    return kernel[::-1, ::-1]


# %%
check.passes_unnoticed(passes_unnoticed)

# %% [markdown]
# <details><summary>Hint 1</summary>What is the sum of all of dx, if each dy[i, j] stamps the whole kernel?</details>
# <details><summary>Hint 2</summary>Which mistake was mentioned under "The rotated kernel"?</details>
#
# **The mean.** Each `dy[i, j]` stamps all numbers of the kernel, so the sum of `dx` is
# $\sum dy \cdot \sum kernel$. The order of the kernel's numbers does not matter: any
# shuffled kernel passes a check of means.
#
# **The standard deviation.** If the means are equal, it depends only on the sum of squares. Square a sum of
# stamps, and you get, for every two stamps, the products of their numbers where they overlap. Draw two
# overlapping stamps on a sheet of paper, and rotate the sheet by 180 degrees. The same numbers still overlap, both
# kernels are rotated, and their distance is the same. The two stamps have changed places, but a product does not depend on
# the order of its factors. So the rotated kernel gives the same products for every two stamps, and the same sum of squares.
# (Without padding, that is: nothing is cut off.)
#
# For the tiny example, with the rotated kernel:

# %%
wrong_dx, _, _ = backward(x, kernel[::-1, ::-1], dy)
print(wrong_dx)
assert wrong_dx.shape == dx.shape
assert wrong_dx.sum() == dx.sum() == 10
assert (wrong_dx**2).sum() == (dx**2).sum() == 120
assert abs(wrong_dx - dx).max() == 11 > abs(dx).max()

# %% [markdown]
# Both add up to 10, and the squares of both add up to 120, but in the middle is -3 instead of 8. The
# numbers are not even close.
#
# ## Would training show it?
#
# Train three small networks that differ only in the `dx` of the second convolution: the first computes it right, the second stamps
# the rotated kernel, and the third returns zeros, so that the first convolution learns nothing at all. Each is trained on 3,000 digits
# (lessons 11 to 13 show how), and tested on 2,000 new ones, with six seeds, which takes about half a minute.
# **Guess before you run:** how far apart will they be?

# %% tags=["varies"]
import minicnn
from minicnn.datasets import mnist
from minicnn.layers import Dense, Flatten, Input, MaxPooling2D
from minicnn.tutorial import scaled


class WrongBackward(Conv2D):
    def backward(self, dy, cache):
        right = self.params["kernel"]
        self.params["kernel"] = right[::-1, ::-1].copy()
        dx, grads = super().backward(dy, cache)
        self.params["kernel"] = right
        return dx, grads


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
    model.fit(scaled(x_train[:3000]), y_train[:3000], verbose=0)
    return model.evaluate(scaled(x_test[:2000]), y_test[:2000], verbose=0)[1]


right, wrong, none = (
    np.mean([accuracy_with(kind, seed) for seed in range(6)])
    for kind in (Conv2D, WrongBackward, NoBackward)
)
print(f"right dx: {right:.1%}, wrong dx: {wrong:.1%}, dx of zeros: {none:.1%}")
assert wrong > 0.7
assert 0 < right - wrong < 0.08
assert abs(wrong - none) < 0.04

# %% [markdown]
# With the wrong gradient the network still learns, and its accuracy alone would not make anybody look for a mistake. The third
# network shows what the wrong gradient is worth: little more than none. The second convolution and the dense layer learn correctly,
# and they work well enough with a first convolution that learns the wrong thing, or nothing at all.
#
# ## Challenge: the gradient by sliding, with a stride
#
# "The rotated kernel" computed `dx` with `slide`, for stride 1. Do the same for any stride `s`, for one channel and one kernel, without
# padding. (The result, used as a forward pass, is called a *transposed convolution*. It makes images larger.)


# %% tags=["exercise", "challenge"]
def dx_by_sliding(dy, kernel, s, shape):
    """dy (oh, ow), kernel (kh, kw), stride s, shape (h, w) of x: dx (h, w), by
    one call of slide."""
    # solution
    (oh, ow), (kh, kw), (h, w) = dy.shape, kernel.shape, shape
    framed = np.zeros((h + kh - 1, w + kw - 1))
    framed[kh - 1 :: s, kw - 1 :: s][:oh, :ow] = dy
    return slide(framed, kernel[::-1, ::-1])


# %%
check.dx_by_sliding(dx_by_sliding)

# %% [markdown]
# <details><summary>Hint 1</summary>With stride s, neighbouring outputs have windows that start s cells apart. How far apart do their
# numbers of dy have to be in the array that the rotated kernel slides over?</details>
# <details><summary>Hint 2</summary>Put dy into an array of zeros, with s - 1 zeros between its numbers.</details>
# <details><summary>Hint 3</summary>The array has h + kh - 1 rows, so that slide returns h, and dy[0, 0] stands in row
# kh - 1.</details>
#
# ## The fact
#
# How wrong is the rotated kernel for a layer as large as the second convolution of lesson 1, without
# padding? The error is the root of the sum of squared differences, divided by that of `dx`.

# %%
rng = np.random.default_rng(0)
filters = rng.standard_normal((5, 5, 32, 64))
large_dy = rng.standard_normal((1, 10, 10, 64))
geometry = window_geometry((14, 14), (5, 5), (1, 1), "valid")
large_dx = input_gradient(large_dy, filters, geometry)
mutant = input_gradient(large_dy, filters[::-1, ::-1], geometry)

size = np.sqrt((large_dx**2).sum())
error = np.sqrt(((large_dx - mutant) ** 2).sum()) / size
print(f"shapes {large_dx.shape} and {mutant.shape}")
print(f"means  {large_dx.mean():.12f} and {mutant.mean():.12f}")
print(f"error  {error:.0%}")
assert large_dx.shape == mutant.shape
assert abs(large_dx.mean() - mutant.mean()) < 1e-12 * large_dx.std()
assert round(100 * error) == 138

# %% [markdown]
# > **The wrong `dx` has the right shape, the right mean to twelve digits, and an error of 138 %.** Two random arrays with the
# > same sum of squares differ by $\sqrt 2$, or 141 %, so this `dx` is hardly
# > better than a random one: only the weight in the middle of the kernel is in its place. A check has to look at every element.
#
# (With 64 filters the standard deviations differ by less than 2 %, because overlapping stamps then
# come from different kernels. With one filter, as in exercise 3, they are equal.)

# %%
assert 0 < abs(mutant.std() / large_dx.std() - 1) < 0.02

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
