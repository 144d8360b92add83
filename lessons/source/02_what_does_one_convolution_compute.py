# %% [markdown]
# # 2 · What does one convolution compute?
#
# *15 minutes · needs lesson 1*
#
# **You will build** `conv_valid(x, kernel, bias)`, the forward pass of `Conv2D`, with loops and nothing else. And you will
# find out which way round a kernel is, which no picture of it tells you.

# %%
import numpy as np

from checks import check_02 as check
from minicnn import plots
from minicnn.datasets import mnist

# %% [markdown]
# ## A tiny example, by hand
#
# The kernel is placed on the image with its top left corner on row $i$, column $j$. Every cell of the kernel is multiplied by
# the cell of the image under it. The products are added, and the bias is added to them:
#
# $$y[i, j] = bias + \sum_{ki=0}^{kh-1}\ \sum_{kj=0}^{kw-1} x[i + ki,\ j + kj] \cdot kernel[ki, kj]$$
#
# An image `x` of 3 x 3, a kernel of 2 x 2, a bias of 1. The kernel fits in 2 x 2 places.
#
# **Guess before you run:** what is $y[1, 1]$? The window covers the bottom right corner of the image, with 1, 3 above 0, 1.

# %%
x = np.array([[1.0, 2, 0], [0, 1, 3], [2, 0, 1]])
kernel = np.array([[1.0, -1], [2, 0]])
bias = 1.0

y = np.zeros((2, 2))
for i, j in np.ndindex(2, 2):
    y[i, j] = (x[i : i + 2, j : j + 2] * kernel).sum() + bias

KERAS = [[0, 5], [4, -1]]  # Keras 3.15.1
assert y.tolist() == KERAS

# %% tags=["fold"]
figure = plots.new_figure(4.2)
all_axes = figure.subplots(2, 5, height_ratios=[3, 2.6])
for axes, (i, j) in zip(all_axes.T[1:], np.ndindex(y.shape), strict=True):
    window = x[i : i + 2, j : j + 2]
    blue = {(i + ki, j + kj): plots.SKY for ki, kj in np.ndindex(kernel.shape)}
    plots.number_grid(axes[0], x, f"i={i}, j={j}", blue)
    pairs = zip(window.flat, kernel.flat, strict=True)
    products = [f"{pixel:g}·({weight:g})" for pixel, weight in pairs]
    title = f"sum {(window * kernel).sum():g}, y = {y[i, j]:g}"
    plots.number_grid(axes[1], window, title, plots.SKY, np.reshape(products, (2, 2)))
plots.number_grid(all_axes[0, 0], kernel, "kernel")
plots.number_grid(all_axes[1, 0], y, "y, with bias 1")
figure

# %% [markdown]
# The four products at the last place are $1 \cdot 1$, $3 \cdot (-1)$, $0 \cdot 2$ and $1 \cdot 0$. Their sum is $-2$, and with the
# bias $y[1, 1] = -1$.
#
# How many places are there? The top row of the window can be on rows $0, 1, \dots, h - kh$, which are $h - kh + 1$ rows; it is
# the same with columns:
#
# $$oh = h - kh + 1, \qquad ow = w - kw + 1.$$
#
# Keras calls this `padding="valid"`: only places where the whole window is inside of the image count. Lesson 3 is about the
# other kind of padding.
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
# An output is large where the image under the window is dark in the cells where the kernel is positive, and pale where it is negative. Here are three kernels for a real digit: the first one
# compares right with left, the second one bottom with top, and the third one takes the mean.

# %%
(x_train, y_train), _ = mnist.load_data()
digit = x_train[0] / 255  # ink is 1, paper 0
kernels = {
    "right minus left": np.array([[-1.0, 0, 1]] * 3),
    "bottom minus top": np.array([[-1.0, 0, 1]] * 3).T,
    "mean of nine": np.full((3, 3), 1 / 9),
}

# %% tags=["cover", "fold"]
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
# Red is positive, blue is negative, white is zero. At an edge from paper to ink the output has one sign, at an edge from ink to
# paper the other one. On even paper or ink the first two kernels give 0, since their numbers add up to 0. In this course nobody
# chooses such kernels: the network *learns* them.
#
# **Guess before you run:** the digit is mirrored, left to right. What happens to the output of "right minus left"?

# %%
assert kernels["right minus left"].sum() == 0
assert abs(slide(np.ones((28, 28)), kernels["right minus left"])).max() == 0
# In the mirror image every output changes its sign, and the whole is mirrored.
mirrored = slide(digit[:, ::-1], kernels["right minus left"])
assert np.allclose(mirrored, -slide(digit, kernels["right minus left"])[:, ::-1])

# %% [markdown]
# ## Channels and filters
#
# The input of a real layer has `c` channels, its output `f` of them, the **feature maps**. One output is a sum over the window
# *and over all channels* of the input. Each feature map has its own kernel and its own bias (together also called a *filter*):
#
# $$\begin{aligned} y[i, j, o] = {} & bias[o] \\
# & + \sum_{ki,\ kj,\ ch} x[i + ki,\ j + kj,\ ch] \cdot kernel[ki, kj, ch, o] \end{aligned}$$
#
# The arrays are `x` $(h, w, c)$, `kernel` $(kh, kw, c, f)$, `bias` $(f,)$ and `y` $(oh, ow, f)$.
#
# **See it move** in [the explorer](01_what_will_we_rebuild.ipynb): `#layer=conv2d&cell=14,12,3` is one output of the first
# convolution, with its 25 products, and `#layer=conv2d_1&cell=3,4,7&channel=5` one of the second, with 25 products for each of
# 32 channels. The arrow keys move the window.
#
# ## Exercise 1: the whole formula
#
# Height and width may differ, of the image and of the kernel. Do not change the arrays you get.


# %% tags=["exercise"]
def conv_valid(x, kernel, bias):
    """The output y (oh, ow, f) of one image x (h, w, c).

    kernel (kh, kw, c, f), bias (f,). With x of shape (3, 3, 1) and a kernel of
    shape (2, 2, 1, 5), y has the shape (2, 2, 5).
    """
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
# <details><summary>Hint 1</summary>Six loops, one for each letter of the formula: i, j, o and ki, kj, ch.</details>
# <details><summary>Hint 2</summary>Begin with an array of zeros of the right shape. <code>np.zeros</code> makes floats, which you need:
# the numbers need not be whole.</details>
#
# ## Which way round?
#
# **Guess before you run:** the image has a single bright point, a 1 in the middle of zeros. What does the output look like?

# %%
point = np.zeros((3, 3))
point[1, 1] = 1
print("kernel\n", kernel, "\noutput\n", slide(point, kernel))
assert (slide(point, kernel) == kernel[::-1, ::-1]).all()

# %% [markdown]
# The output is the kernel *rotated by 180 degrees*. Here is why: when the window is in the top left corner of the image, the point lies
# under the last cell of the kernel. When the window has moved on to the bottom right corner, the point lies under the first one.
#
# In mathematics, a convolution rotates the kernel first, so that a point gives the kernel as it is: $x[i - ki,\ j - kj]$ instead of
# $x[i + ki,\ j + kj]$. There, the operation of this lesson is called *cross-correlation*. For a network it makes no difference:
# a kernel that is learned is learned either way round. It does make a difference when kernels are moved between libraries (SciPy's
# `convolve2d` rotates them), and in lesson 8 the rotated kernel appears by itself.
#
# ## Exercise 2: look into a closed box
#
# `conv` is a function. It takes an image (h, w) of any size and returns `slide(image, kernel, bias)`, but it hides its kernel, of
# kh x kw, and its bias. Find the kernel by showing images to it.


# %% tags=["exercise"]
def kernel_of(conv, kh, kw):
    """The kernel that `conv` hides, an array (kh, kw).

    conv(image) may be called as often as you like.
    """
    # solution
    point = np.zeros((2 * kh - 1, 2 * kw - 1))
    bias = conv(point)
    point[kh - 1, kw - 1] = 1
    return (conv(point) - bias)[::-1, ::-1]


# %%
check.kernel_of(kernel_of)

# %% [markdown]
# <details><summary>Hint 1</summary>What does <code>conv</code> say to an image of zeros? And to one with a single point?</details>
# <details><summary>Hint 2</summary>Put enough zeros around the point, so that each cell of the kernel covers it once.</details>
#
# ## Exercise 3: two in a row
#
# A first kernel slides over an image, then a second one over the result, both without bias. The two together are again one convolution,
# with one larger kernel. How large is it? What are its numbers? You may use `slide` and `kernel_of`, or a sheet of paper.


# %% tags=["exercise"]
def merged(first, second):
    """The kernel with which slide(x, kernel) is, for every x, the same as
    slide(slide(x, first), second).

    first and second are arrays of two dimensions, of any sizes.
    """
    # solution
    kh = first.shape[0] + second.shape[0] - 1
    kw = first.shape[1] + second.shape[1] - 1
    return kernel_of(lambda image: slide(slide(image, first), second), kh, kw)


# %%
check.merged(merged)

# %% [markdown]
# <details><summary>Hint 1</summary>How many rows of the image does one number of the final result depend on?</details>
# <details><summary>Hint 2</summary>Two convolutions in a row are a closed box, too.</details>
#
# This is why there is a ReLU after each convolution in the network of lesson 1. Two convolutions
# with nothing between them compute no more than one convolution with a larger kernel.
#
# ## Challenge
#
# The closed box again. This time you may call `conv` **only once**, with one image of your choice, and have to find the bias as well.


# %% tags=["exercise", "challenge"]
def opened_at_once(conv, kh, kw):
    """The pair (kernel, bias) that `conv` hides: an array (kh, kw), a number.

    conv(image) may be called only once.
    """
    # solution
    image = np.zeros((3 * kh, 3 * kw))
    image[kh - 1, kw - 1] = 1
    y = conv(image)
    bias = y[-1, -1]
    return y[:kh, :kw][::-1, ::-1] - bias, bias


# %%
check.opened_at_once(opened_at_once)

# %% [markdown]
# <details><summary>Hint 1</summary>In exercise 2 one image of zeros shows the bias. Which part of your new image can show it?</details>
# <details><summary>Hint 2</summary>Make the image so large that in some places the window does not see the point at all.</details>
# <details><summary>Hint 3</summary>With zeros of shape <code>(3 * kh, 3 * kw)</code> and a 1 at <code>[kh - 1, kw - 1]</code>, the first
# <code>kh</code> rows and <code>kw</code> columns of the output see the point, and the last number of the output sees only zeros.</details>
#
# ## The fast version, and what it costs
#
# Python is slow with so many single products. There are two ways out, and minicnn has both. The first: **compile the loops.** The
# algorithm `"direct"` of minicnn's engine is the formula above, written as loops, which Numba translates to machine code. The cost: some
# seconds of compiling. The next cell does it when it is run for the first time on a machine, and says so in a line.

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
# The compiled loops are more than 20 times as fast. The second way: **make it a matrix product**, which computers are built for. Write
# every window in a row of its own. Then each row times the kernel, written as one column, is one output:

# %%
windows = np.lib.stride_tricks.sliding_window_view(digit, (5, 5))  # (24, 24, 5, 5)
cols = windows.reshape(24 * 24, 5 * 5)
product = cols @ big[:, :, 0, 0].reshape(5 * 5) + 0.1
assert np.allclose(product.reshape(24, 24), loops())
assert round(cols.size / digit.size, 1) == 18.4
print(f"{digit.size} numbers became {cols.size}, 18.4 times as many")

# %% [markdown]
# The cost: a pixel is copied once for each window that contains it, up to 25 times. Lesson 15 measures both ways, and a third one.
#
# ## The fact
#
# Slide both filters of `big` over rows 10 to 14 of the digit. That gives one row of 24 outputs for each filter. Keras 3.15.1 (TensorFlow
# 2.21) computes them in single precision (float32, about 7 digits), our loops in double precision (float64, about 16 digits):

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
print(f"largest difference {largest:.2e}, of outputs up to {abs(ours).max():.2f}")
assert ours.shape == keras.shape
assert f"{largest:.2e}" == "1.19e-07"
# Neighbouring numbers of single precision, just above 1, are 2 ** -23 apart.
assert largest < 2**-23 == np.finfo(np.float32).eps

# %% [markdown]
# > **The largest difference to Keras is 1.2e-07**, less than the distance between neighbouring numbers of single precision at 1. It is
# > Keras' rounding, not ours. Where there is nothing to round, as in the tiny example, the difference is exactly 0.
#
# `tests/test_layers_against_keras.py` says the same of minicnn's layer, for many shapes, next to Keras itself.
#
# ## In minicnn
#
# - `windows` in [minicnn/windows.py](../minicnn/windows.py): all windows of many images, with strides and padding.
# - `Conv2D.forward` in [minicnn/layers.py](../minicnn/layers.py): your `conv_valid`, as the product of these windows and the kernel.
# - `forward` in [minicnn/engine/kernels/direct.py](../minicnn/engine/kernels/direct.py): the compiled loops; and `forward` in
#   [minicnn/engine/kernels/im2col.py](../minicnn/engine/kernels/im2col.py): the matrix product, without the memory for all windows at once.
