# %% [markdown]
# # 2 · What does one convolution compute?
#
# *25 minutes · needs lesson 1*
#
# **You will build** `conv_valid(x, kernel, bias)`, the forward pass of `Conv2D`, with loops and
# nothing else; and find out what no picture of a kernel tells you: which way round it is.

# %%
import numpy as np

from checks import check_02 as check
from minicnn import plots
from minicnn.datasets import mnist

# %% [markdown]
# ## A tiny example, by hand
#
# An image `x` of 3 x 3, a kernel of 2 x 2, a bias of 1:

# %%
x = np.array([[1, 2, 0], [0, 1, 3], [2, 0, 1]])
kernel = np.array([[1, -1], [2, 0]])
bias = 1

# %% [markdown]
# The kernel is laid on the image, its top left corner on row $i$, column $j$. Every cell of the
# kernel is multiplied with the cell below it. The products are added, and the bias to them:
#
# $$y[i, j] = bias + \sum_{ki=0}^{kh-1}\ \sum_{kj=0}^{kw-1} x[i + ki,\ j + kj] \cdot kernel[ki, kj]$$
#
# It fits in 2 x 2 places. All four of them, with all their products:

# %% tags=["fold"]
figure = plots.new_figure(4.2)
all_axes = figure.subplots(2, 5, height_ratios=[3, 2.6])
y = np.zeros((2, 2), int)
for axes, (i, j) in zip(all_axes.T[1:], np.ndindex(y.shape), strict=True):
    window = x[i : i + 2, j : j + 2]
    y[i, j] = (window * kernel).sum() + bias
    blue = {(i + ki, j + kj): plots.SKY for ki, kj in np.ndindex(kernel.shape)}
    plots.number_grid(axes[0], x, f"i={i}, j={j}", blue)
    pairs = zip(window.flat, kernel.flat, strict=True)
    products = np.reshape([f"{pixel}·({weight})" for pixel, weight in pairs], (2, 2))
    title = f"sum {(window * kernel).sum()}, y = {y[i, j]}"
    plots.number_grid(axes[1], window, title, plots.SKY, products)
plots.number_grid(all_axes[0, 0], kernel, "kernel")
plots.number_grid(all_axes[1, 0], y, "y, with bias 1")
figure

# %% [markdown]
# Keras 3.15.1 gives the same four numbers for this image, kernel and bias:

# %%
KERAS = [[0, 5], [4, -1]]
assert y.tolist() == KERAS

# %% [markdown]
# How many places are there? The top row of the window can stand on rows $0, 1, \dots, h - kh$, which
# are $h - kh + 1$; with columns likewise,
#
# $$oh = h - kh + 1, \qquad ow = w - kw + 1.$$
#
# Keras calls this `padding="valid"`: only places where the whole window lies on the image count.
# Lesson 3 is about the other choice.
#
# ## The naive code
#
# The formula, letter by letter, for a grey image and one kernel:


# %%
def slide(x, kernel, bias=0):
    """One kernel (kh, kw) on an image of one channel (h, w): an output (oh, ow)."""
    (h, w), (kh, kw) = x.shape, kernel.shape
    y = np.zeros((h - kh + 1, w - kw + 1))
    for i in range(h - kh + 1):
        for j in range(w - kw + 1):
            for ki in range(kh):
                for kj in range(kw):
                    y[i, j] += x[i + ki, j + kj] * kernel[ki, kj]
    return y + bias


assert slide(x, kernel, bias).tolist() == y.tolist()

# %% [markdown]
# ## What a kernel sees
#
# An output is large where the image under the window looks like the kernel. Three kernels on a digit: the
# first compares right with left, the second bottom with top, the third just takes the mean.

# %% tags=["cover", "fold"]
(x_train, y_train), _ = mnist.load_data()
digit = x_train[0] / 255  # ink is 1, paper 0
kernels = {
    "right minus left": np.array([[-1, 0, 1]] * 3),
    "bottom minus top": np.array([[-1, 0, 1]] * 3).T,
    "mean of nine": np.full((3, 3), 1 / 9),
}

figure = plots.new_figure(4.6)
all_axes = figure.subplots(2, 4, height_ratios=[1, 2.4])
all_axes[0, 0].set_axis_off()
all_axes[1, 0].imshow(digit, cmap="gray_r")
all_axes[1, 0].set(title=f"the image, a {y_train[0]}", xlabel="column", ylabel="row")
for (above, axes), (name, cells) in zip(all_axes.T[1:], kernels.items(), strict=True):
    texts = [["1/9" if 0 < cell < 1 else f"{cell:g}" for cell in row] for row in cells]
    plots.number_grid(above, cells, name, texts=texts)
    seen = axes.imshow(slide(digit, cells), cmap="RdBu_r", vmin=-3, vmax=3)
    axes.set(xlabel="column")
figure.colorbar(seen, ax=all_axes[1], label="output", shrink=0.8)
figure

# %% [markdown]
# Red is positive, blue negative, white zero. An edge from paper to ink answers with one sign, from
# ink to paper with the other, and inside a stroke the first two kernels see nothing, since their
# numbers add up to 0. Nobody will choose such kernels in this course: the network *learns* them.

# %%
assert kernels["right minus left"].sum() == 0
assert abs(slide(np.ones((28, 28)), kernels["right minus left"])).max() == 0
# In the mirror image every answer changes its sign.
mirrored = slide(digit[:, ::-1], kernels["right minus left"])
assert np.allclose(mirrored, -slide(digit, kernels["right minus left"])[:, ::-1])

# %% [markdown]
# ## Channels and filters
#
# A real layer has `c` channels coming in and `f` going out. One output is a sum over the window
# *and over all channels*; and for each of the `f` channels going out (*feature maps*) there is
# another kernel and another bias:
#
# $$y[i, j, o] = bias[o] + \sum_{ki=0}^{kh-1}\ \sum_{kj=0}^{kw-1}\ \sum_{ch=0}^{c-1}
# x[i + ki,\ j + kj,\ ch] \cdot kernel[ki, kj, ch, o]$$
#
# So the arrays are `x` $(h, w, c)$, `kernel` $(kh, kw, c, f)$, `bias` $(f,)$ and `y` $(oh, ow, f)$.
#
# **See it move** in [the explorer](01_what_will_we_rebuild.ipynb): `#layer=conv2d&cell=14,12,3` is
# one output of the first convolution, with its 25 products, and `#layer=conv2d_1&cell=3,4,7&channel=5` one of the second,
# with 25 products for each of 32 channels. The arrow keys move the window.
#
# ## Exercise 1: the whole formula
#
# Height and width may differ, of the image and of the kernel. Do not change the arrays you get.


# %% tags=["exercise"]
def conv_valid(x, kernel, bias):
    """One image x (h, w, c), kernel (kh, kw, c, f), bias (f,): an array y (oh,
    ow, f)."""
    # solution
    (h, w, c), (kh, kw, _, f) = x.shape, kernel.shape
    y = np.zeros((h - kh + 1, w - kw + 1, f))
    for i in range(h - kh + 1):
        for j in range(w - kw + 1):
            for o in range(f):
                y[i, j, o] = bias[o]
                for ki in range(kh):
                    for kj in range(kw):
                        for ch in range(c):
                            y[i, j, o] += x[i + ki, j + kj, ch] * kernel[ki, kj, ch, o]
    return y


# %%
check.conv_valid(conv_valid)

# %% [markdown]
# ## Which way round?
#
# Show the kernel a single bright point, and look at what comes out:

# %%
point = np.zeros((3, 3))
point[1, 1] = 1
print(slide(point, kernel))
assert (slide(point, kernel) == kernel[::-1, ::-1]).all()

# %% [markdown]
# The kernel was 1, -1 above 2, 0. What came out is the kernel *turned by half a turn*. Here is why:
# while the window stands in the top left corner of the image, the point lies under the kernel's last
# cell, and when the window has moved on to stand on the point, it lies under the first one.
#
# Mathematicians prefer that a point gives the kernel as it is, so *their* convolution turns the
# kernel first: $x[i - ki,\ j - kj]$ in the place of $x[i + ki,\ j + kj]$. What deep learning calls
# convolution, they call cross-correlation. For a network it makes no difference, since a kernel that
# is learned is learned either way round. It does make one as soon as you move kernels between
# libraries (SciPy's `convolve2d` turns them), and in lesson 8 the turned kernel comes back on its
# own.
#
# ## Exercise 2: look into a closed box
#
# `conv` is a function: it takes an image (h, w) of any size and gives `slide(image, kernel, bias)`,
# but hides its kernel, of kh x kw, and its bias. Find the kernel by showing it images.


# %% tags=["exercise"]
def kernel_of(conv, kh, kw):
    """The kernel (kh, kw) that `conv` hides."""
    # solution
    point = np.zeros((2 * kh - 1, 2 * kw - 1))
    bias = conv(point)
    point[kh - 1, kw - 1] = 1
    return (conv(point) - bias)[::-1, ::-1]


# %%
check.kernel_of(kernel_of)

# %% [markdown]
# ## Exercise 3: two in a row
#
# Slide a first kernel, then a second one on what comes out, both without bias. The whole is again
# one convolution, with one larger kernel. How large? What are its numbers? (`slide` and `kernel_of`
# may help; so may a sheet of paper.)


# %% tags=["exercise"]
def merged(first, second):
    """The kernel with which slide(x, kernel) is slide(slide(x, first), second)
    for every x."""
    # solution
    kh = first.shape[0] + second.shape[0] - 1
    kw = first.shape[1] + second.shape[1] - 1
    return kernel_of(lambda image: slide(slide(image, first), second), kh, kw)


# %%
check.merged(merged)

# %% [markdown]
# That is why there is a ReLU after each convolution of lesson 1's network: without something in
# between that is no weighted sum, two layers can do no more than one with a larger kernel.
#
# ## The fast version, and what it costs
#
# Python takes its time for each of the products. Two ways out, both in minicnn. The first:
# **compile the loops.** The algorithm `"direct"` of minicnn's engine is the formula above, written
# as loops, that Numba translates to machine code. The cost: some seconds of compiling, once.

# %%
import timeit

from minicnn.engine import ALGORITHMS
from minicnn.shapes import window_geometry

direct = ALGORITHMS["direct"]
big = ((7 * np.arange(5 * 5 * 1 * 2)) % 11 - 5).reshape(5, 5, 1, 2) / 10
geometry = window_geometry((28, 28), (5, 5), (1, 1), "valid")


def loops():
    return slide(digit, big[:, :, 0, 0], 0.1)


def compiled():
    return direct.forward(digit[None, :, :, None], big, np.array([0.1, -0.2]), geometry)


assert np.allclose(compiled()[0, :, :, 0], loops())
python_seconds = min(timeit.repeat(loops, number=1, repeat=3))
compiled_seconds = min(timeit.repeat(compiled, number=1, repeat=5))
# Asserted with room to spare, and although it computes two kernels, not one.
assert python_seconds > 20 * compiled_seconds

# %% [markdown]
# The second: **make it a matrix product**, which computers are built for. Write every window in a
# row of its own; then each row times the kernel, as one column, is one output:

# %%
windows = np.lib.stride_tricks.sliding_window_view(digit, (5, 5))  # (24, 24, 5, 5)
cols = windows.reshape(24 * 24, 5 * 5)
product = cols @ big[:, :, 0, 0].reshape(5 * 5) + 0.1
assert np.allclose(product.reshape(24, 24), loops())
assert round(cols.size / digit.size, 1) == 18.4
print(f"{digit.size} numbers became {cols.size}, 18.4 times as many")

# %% [markdown]
# The cost: a pixel is copied once for each window that it lies in, up to 25 times. Lesson 15 measures
# both ways, and a third one.
#
# ## The fact
#
# What Keras 3.15.1 (TensorFlow 2.21, on a processor) gives for rows 10 to 14 of the digit, the kernel
# `big`, both of its filters, in single precision; and what our loops give, in double precision:

# %%
KERAS = """
0.1 -0.2 0.1 -0.2 0.1 -0.2 0.1 -0.2 0.1 -0.2 0.078039214 -0.1835294 0.12039216 -0.19882353
-0.117254905 -0.25333333 0.031764716 -0.012941137 0.64235306 -0.014509842 0.90352935 0.47019613
-0.20117655 0.7941177 -1.0011764 -0.22901961 -0.4847059 -0.45372552 -0.42941174 -0.43803924
-0.14784315 -0.5780392 0.02117648 -0.49882352 0.12784314 -0.39529413 0.1 -0.23921569
0.1 -0.2 0.1 -0.2 0.1 -0.2 0.1 -0.2 0.1 -0.2
"""
keras = np.array(KERAS.split(), float).reshape(24, 2)
strip = digit[10:15]
ours = np.stack(
    [slide(strip, big[:, :, 0, o], b)[0] for o, b in enumerate([0.1, -0.2])], -1
)

largest = abs(ours - keras).max()
print(f"largest difference {largest:.1e}, of outputs up to {abs(ours).max():.2f}")
assert ours.shape == keras.shape
assert f"{largest:.1e}" == "1.2e-07"
# Neighbouring numbers of single precision, just above 1, are 2 ** -23 apart.
assert largest < 2**-23 == np.finfo(np.float32).eps

# %% [markdown]
# > **The largest difference to Keras is 1.2e-07**, less than one unit in the last digit that single
# > precision has at 1. It is Keras' rounding, not ours. Where there is nothing to round, as in the tiny example, it is exactly 0.
#
# `tests/test_layers_against_keras.py` says the same of minicnn's layer, for many shapes, next to
# Keras itself.
#
# ## In minicnn
#
# - `windows` in [minicnn/windows.py](../minicnn/windows.py): all windows of many images, with strides
#   and padding.
# - `Conv2D.forward` in [minicnn/layers.py](../minicnn/layers.py): your `conv_valid`, as the product of
#   these windows and the kernel.
# - `forward` in [minicnn/engine/kernels/direct.py](../minicnn/engine/kernels/direct.py): the compiled
#   loops; and `forward` in [minicnn/engine/kernels/im2col.py](../minicnn/engine/kernels/im2col.py):
#   the matrix product, without the memory for all windows at once.
