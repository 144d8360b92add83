# %% [markdown]
# # 3 · Where do the zeros go?
#
# *20 minutes · needs lesson 2*
#
# **You will build** `same_pads(n, k, s)`, which says how many zeros `padding="same"` adds before and
# after a row of pixels; and see what goes wrong, without any error, when one zero is on the wrong
# side.

# %%
import numpy as np

from checks import check_03 as check
from minicnn import plots
from minicnn.datasets import mnist
from minicnn.shapes import Geometry, window_geometry
from minicnn.windows import windows

# %% [markdown]
# ## A tiny example, by hand
#
# The image and the kernel of lesson 2. Without padding, 3 x 3 became 2 x 2. With `padding="same"`
# the output is to be as large as the image: 3 x 3. One more row and one more column of windows are
# needed, so one more row and one more column of pixels, and these are zeros. But on which side?

# %% tags=["cover", "fold"]
x = np.array([[1, 2, 0], [0, 1, 3], [2, 0, 1]])
kernel = np.array([[1, -1], [2, 0]])
bias = 1


def convolve(x, kernel, bias, before, after):
    """One channel, one kernel, zeros before (top, left) and after (bottom, right)."""
    padded = np.pad(x, (before, after))
    cells = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape)
    return (cells * kernel).sum((2, 3)) + bias


figure = plots.new_figure(5.6)
all_axes = figure.subplots(2, 2, height_ratios=[4, 3])
sides = {"zeros after": (0, 1), "zeros before": (1, 0)}
for axes, (name, (before, after)) in zip(all_axes.T, sides.items(), strict=True):
    padded = np.pad(x, (before, after))
    is_zero = np.pad(np.zeros_like(x), (before, after), constant_values=1)
    colours = {
        cell: plots.YELLOW if is_zero[cell] else "white" for cell in np.ndindex(4, 4)
    }
    plots.number_grid(
        axes[0], padded, f"{name}: {before} before, {after} after", colours
    )
    y = convolve(x, kernel, bias, before, after)
    blue = {(i + before, j + before): plots.SKY for i in (0, 1) for j in (0, 1)}
    plots.number_grid(axes[1], y, "output", blue)
figure

# %% [markdown]
# Take the output with zeros after, middle of the last column: its window covers 3 and 1 and, after
# them, two zeros, so $3\cdot1 + 0\cdot(-1) + 1\cdot2 + 0\cdot0 + 1 = 6$.
#
# Both outputs are 3 x 3, and the four numbers that need no zeros (blue) are in both. But they stand
# in *other places*: with the zeros on the other side the whole output moves by a pixel. TensorFlow
# and Keras put the odd zero **after**, at the bottom and on the right:

# %%
KERAS = [[0, 5, 7], [4, -1, 6], [3, 0, 2]]  # Conv2D(padding="same"), Keras 3.15.1
assert convolve(x, kernel, bias, before=0, after=1).tolist() == KERAS

# %% [markdown]
# ## One dimension is enough
#
# Rows and columns are padded by the same rule, each for itself. So think of one row of `n` pixels,
# a window of `k` cells and a *stride* `s`: the window moves on by `s` pixels at a time.
#
# With strides, "same" cannot mean "as large as the image". It means: **as many windows as there are
# starting points 0, s, 2s, ... within the row**, which are
#
# $$out = \lceil n / s \rceil.$$
#
# How many zeros does that take? The naive way is to try. Windows that fit can be counted:


# %%
def windows_that_fit(n, k, s, zeros):
    """How many windows of k cells, s apart, fit in n pixels and so many zeros."""
    count = 0
    while count * s + k <= n + zeros:  # the next one starts at count * s
        count += 1
    return count


def zeros_needed(n, k, s):
    """The smallest number of zeros for which ceil(n / s) windows fit."""
    zeros = 0
    while windows_that_fit(n, k, s, zeros) < np.ceil(n / s):
        zeros += 1
    return zeros


for n, k, s in [(3, 2, 1), (28, 5, 1), (28, 3, 2), (7, 2, 1), (7, 3, 3), (8, 2, 2)]:
    out = int(np.ceil(n / s))
    print(f"n={n:2} k={k} s={s}: {out:2} windows, {zeros_needed(n, k, s)} zeros")

# %% [markdown]
# ## The derivation
#
# Number the windows $0, 1, \dots, out - 1$. Window number $i$ starts at $i \cdot s$, so the last one
# starts at $(out - 1) \cdot s$ and ends $k$ cells further on. Up to there the row has to reach, and
# it has $n$ cells already:
#
# $$total = \max\big((out - 1) \cdot s + k - n,\ 0\big).$$
#
# The $\max$ is for windows smaller than the stride. They may end before the row does (`n=8, k=2,
# s=4`: the last one starts at 4, ends at 6, and two pixels are never seen); nothing is cut off then,
# and no zero is added.
#
# The zeros are then shared out, half before and half after. If their number is odd, the odd one goes
# after, as you saw.
#
# ## Exercise 1: the rule of "same"
#
# Your answer is tried on all 1,120 cases with $n \le 40$, $k \le 7$, $s \le 4$.


# %% tags=["exercise"]
def same_pads(n, k, s):
    """(before, after): the zeros that padding="same" adds on the two sides; two
    integers."""
    # solution
    out = -(-n // s)  # rounds up
    total = max((out - 1) * s + k - n, 0)
    return total // 2, total - total // 2


# %%
check.same_pads(same_pads)

# %% [markdown]
# ## The picture
#
# Three rows of pixels 1, 2, ..., n, padded as TensorFlow does it, and as PyTorch does with `padding=k // 2`: the
# same number of zeros on both sides. Yellow cells are zeros; below, the first two windows and the
# last one.

# %% tags=["fold"]
from minicnn.shapes import same_padding


def draw_row(axes, n, k, s, before, after, name):
    """The row 1, 2, ..., n with its zeros, and below it where windows stand."""
    out = (before + n + after - k) // s + 1
    for cell in range(-before, n + after):
        zero = not 0 <= cell < n
        colour, text = (plots.YELLOW, "0") if zero else ("white", str(cell + 1))
        axes.barh(0, 1, left=cell, height=0.8, color=colour, edgecolor="#999999")
        axes.text(cell + 0.5, 0, text, ha="center", va="center", fontsize=7)
    for window in (0, 1, out - 1):
        start = window * s - before
        level = 0.75 + 0.32 * (window == 1)
        axes.plot(
            [start + 0.1, start + k - 0.1], [level] * 2, color=plots.BLUE, linewidth=3
        )
    title = (
        f"{name}, n={n}, k={k}, s={s}: {before} before, {after} after, {out} windows"
    )
    axes.set_title(title, fontsize=9, loc="left", pad=2)
    axes.set(xlim=(-2.3, 30.3), ylim=(1.4, -0.5))
    axes.set_axis_off()


figure = plots.new_figure(5.4)
all_axes = iter(figure.subplots(6, 1))
for n, k, s in [(28, 5, 1), (28, 3, 2), (7, 2, 1)]:
    draw_row(next(all_axes), n, k, s, *same_padding(n, k, s), "TensorFlow")
    draw_row(next(all_axes), n, k, s, k // 2, k // 2, "PyTorch, padding=k // 2")
figure

# %% [markdown]
# - `(28, 5, 1)`: four zeros, two on each side. No difference. So is lesson 1's network
#   made, and whoever tests with it notices nothing.
# - `(28, 3, 2)`: TensorFlow adds one zero, after. PyTorch adds two, and its last one is never read.
#   There are 14 windows in both, **but all of PyTorch's stand one pixel further left.**
# - `(7, 2, 1)`: PyTorch gets 8 outputs from 7 pixels. That at least is noticed.
#
# **See it move** in [the explorer](01_what_will_we_rebuild.ipynb): at `#layer=conv2d&cell=0,0,3` and
# `#layer=conv2d_1&cell=13,13,0` the window stands in a corner, and the zeros around the image are hatched.
#
# To be fair: PyTorch has a `padding="same"` too, which shares out zeros as TensorFlow does. It refuses
# strides other than 1, though, so networks with strides are written with `padding=k // 2`.
#
# One can *read* which pixels a window covers, if they are 1, 2, ..., n as in the picture and the
# kernel is 1, 10, 100. For `n=8, k=3, s=2`, Keras 3.15.1 and PyTorch 2.13 gave these:

# %%
KERAS = [321, 543, 765, 87]
PYTORCH = [210, 432, 654, 876]  # padding=1


def read_pixels(n, k, s, before, after):
    row = np.pad(np.arange(1, n + 1), (before, after))
    starts = range(0, len(row) - k + 1, s)
    return [int(row[start : start + k] @ 10 ** np.arange(k)) for start in starts]


assert read_pixels(8, 3, 2, before=0, after=1) == KERAS
assert read_pixels(8, 3, 2, before=1, after=1) == PYTORCH

# %% [markdown]
# The first window of Keras saw pixels 1, 2, 3; that of PyTorch saw a zero, then 1 and 2.
#
# ## What a zero on the wrong side does
#
# A digit, the mean of 3 x 3 pixels, stride 2; the same weights, the same pixels, the two rules:

# %% tags=["fold"]
(x_train, _), _ = mnist.load_data()
digit = x_train[0][None, :, :, None] / 255
mean = np.full((3, 3, 1, 1), 1 / 9)


def mean_of_windows(geometry):
    """As `Conv2D.forward` in minicnn: all windows, times the kernel."""
    return np.tensordot(windows(digit, geometry), mean, axes=3)[0, :, :, 0]


tensorflow_rule = window_geometry((28, 28), (3, 3), (2, 2), "same")
assert (tensorflow_rule.top, tensorflow_rule.left) == (0, 0)
pytorch_rule = Geometry(h=28, w=28, kh=3, kw=3, sh=2, sw=2, top=1, left=1, oh=14, ow=14)

one, other = mean_of_windows(tensorflow_rule), mean_of_windows(pytorch_rule)

figure = plots.new_figure(3.6)
all_axes = figure.subplots(1, 3)
panels = {
    "zeros as in TensorFlow": one,
    "zeros on both sides": other,
    "difference": one - other,
}
for axes, (name, values) in zip(all_axes, panels.items(), strict=True):
    drawn = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set(title=name, xlabel="column")
all_axes[0].set_ylabel("row")
figure.colorbar(drawn, ax=all_axes, label="output", shrink=0.8)
figure

# %%
ink = np.maximum(one, other) > 0
differ = abs(one - other)[ink] > 0.1
print(
    f"{differ.mean():.0%} of the {ink.sum()} outputs that see ink differ by more than 0.1"
)
assert one.shape == other.shape
assert differ.mean() > 0.5

# %% [markdown]
# No error, no warning, a plausible picture, and other numbers: this happens to weights that are moved
# from one library to the other. It is also why a test of padding needs strides and even windows:
# with `(28, 5, 1)` alone, both rules pass.
#
# ## Exercise 2: the size of an output
#
# For both values of `padding`. "valid" is lesson 2's rule with a stride: windows lie inside the row,
# and what is left over at the end is dropped.


# %% tags=["exercise"]
def output_size(n, k, s, padding):
    """How many windows of k cells, s apart, a row of n >= k pixels gets; an
    integer."""
    # solution
    if padding == "same":
        return -(-n // s)
    return (n - k) // s + 1


# %%
check.output_size(output_size)

# %% [markdown]
# ## Exercise 3: work done on nothing
#
# With "same" padding some products are products with a zero that was added. Of all the
# $out \cdot k$ cells of all windows of a row, how many are such zeros? Count with loops, if you like.


# %% tags=["exercise"]
def cells_on_zeros(n, k, s):
    """How many window cells lie on added zeros, over all windows of a row; an
    integer."""
    # solution
    out = -(-n // s)
    before = max((out - 1) * s + k - n, 0) // 2
    count = 0
    for window in range(out):
        for cell in range(k):
            pixel = window * s - before + cell
            if not 0 <= pixel < n:
                count += 1
    return count


# %%
check.cells_on_zeros(cells_on_zeros)

# %% [markdown]
# In the first convolution of lesson 1, 28 pixels and a window of 5, that is 6 of 140 cells; in the
# second one, 14 pixels, 6 of 70. In two dimensions both cells have to lie on the image, so the share
# of work done on zeros is $1 - (134/140)^2$ and $1 - (64/70)^2$:

# %%
for n, percent in [(28, 8.4), (14, 16.4)]:
    inside = np.convolve(np.ones(n), np.ones(5), "same").sum()  # cells on pixels
    assert inside == 5 * n - 6
    on_zeros = 1 - (inside / (5 * n)) ** 2
    print(f"{n} x {n} image, 5 x 5 kernel: {on_zeros:.1%} of the multiply-adds")
    assert round(100 * on_zeros, 1) == percent

# %% [markdown]
# So lesson 1's 10,863,744 multiply-adds were a little more than what has to be done.
#
# ## The fast version, and what it costs
#
# The formula *is* fast: it takes no time compared with the convolution. What costs is what one does
# with the zeros, and minicnn has both ways:
#
# - The algorithm `"direct"` never stores them. It asks of every cell whether it lies on the image,
#   `if 0 <= row < g.h and 0 <= column < g.w`, and skips it if not: fewer products, a question each.
# - The core and the algorithm `"im2col"` copy the image into a frame of zeros and multiply
#   everything: more products, no questions. That turns out to be much faster (lesson 15).
#
# ## The fact
#
# How often does it matter where the odd zero goes? Over all the 1,120 cases:

# %%
cases = [(n, k, s) for n in range(1, 41) for k in range(1, 8) for s in range(1, 5)]
pads = [same_padding(n, k, s) for n, k, s in cases]
asymmetric = sum(before != after for before, after in pads)
print(f"{asymmetric} of {len(cases):,} are asymmetric")
assert all(
    sum(pad) == zeros_needed(*case) for pad, case in zip(pads, cases, strict=True)
)
assert all(after - before in (0, 1) for before, after in pads)
assert (asymmetric, len(cases)) == (447, 1_120)

# %% [markdown]
# > **447 of the 1,120 cases are asymmetric**: in four of ten, a rule with the same zeros on both
# > sides cannot be right.
#
# ## In minicnn
#
# - `same_padding` in [minicnn/shapes.py](../minicnn/shapes.py): your `same_pads`.
# - `window_geometry` in [minicnn/shapes.py](../minicnn/shapes.py): both dimensions, both paddings,
#   `output_size` included.
# - `windows` in [minicnn/windows.py](../minicnn/windows.py): the frame of zeros.
# - `forward` in [minicnn/engine/kernels/direct.py](../minicnn/engine/kernels/direct.py): the question
#   asked of every cell.
