# %% [markdown]
# # 3 · Where do the zeros go?
#
# *15 minutes · needs lesson 2*
#
# **You will build** `same_pads(n, k, s)`, which says how many zeros `padding="same"` adds before and after a row of pixels. And you
# will see what happens, without any error, when one zero is on the wrong side.

# %%
import numpy as np

from checks import check_03 as check
from minicnn import plots
from minicnn.datasets import mnist
from minicnn.shapes import Geometry, same_padding, window_geometry
from minicnn.windows import windows

# %% [markdown]
# ## A tiny example, by hand
#
# The image and the kernel of lesson 2. Without padding, the output of 3 x 3 pixels was 2 x 2. With `padding="same"` it shall be as
# large as the image, 3 x 3. This takes one more row and one more column of windows, so one more row and one more column of pixels.
# They are filled with zeros. But on which side are they added?

# %%
x = np.array([[1.0, 2, 0], [0, 1, 3], [2, 0, 1]])
kernel = np.array([[1.0, -1], [2, 0]])
bias = 1.0


def convolve(x, kernel, bias, before, after):
    """One channel, one kernel, zeros before (top, left) and after (bottom, right)."""
    padded = np.pad(x, (before, after))
    cells = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape)
    return (cells * kernel).sum((2, 3)) + bias


# %% tags=["cover", "fold"]
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
# Take the output with zeros after, in the middle of the last column: its window covers 3 and 1 and, next to them, two zeros. So it is
# $3\cdot1 + 0\cdot(-1) + 1\cdot2 + 0\cdot0 + 1 = 6$.
#
# Both outputs are 3 x 3, and both contain the four numbers that need no zeros (blue). But these are in *different places*: with the
# zeros on the other side, the whole output moves by one pixel.
#
# **Guess before you run:** which of the two does Keras compute?

# %%
KERAS = [[0, 5, 7], [4, -1, 6], [3, 0, 2]]  # Conv2D(padding="same"), Keras 3.15.1
for name, (before, after) in {"after": (0, 1), "before": (1, 0)}.items():
    same = convolve(x, kernel, bias, before, after).tolist() == KERAS
    print(f"zeros {name}: {'as Keras' if same else 'not as Keras'}")
    assert same == (name == "after")

# %% [markdown]
# TensorFlow and Keras put the odd zero **after** the pixels: at the bottom and on the right.
#
# ## One dimension is enough
#
# Rows and columns are padded by the same rule, independently of each other. So think of one row of pixels. In this lesson `n` is the
# number of its pixels (later it will be the number of images), `k` the size of the window, and `s` the **stride**: the
# window moves on by `s` pixels at a time.
#
# With a stride, "same" cannot mean "as large as the image". It means: **one window for each of the starting points 0, s, 2s, ... in
# the row**. Their number is
#
# $$out = \lceil n / s \rceil.$$
#
# How many zeros does that take? The naive way is to try:


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
# Number the windows $0, 1, \dots, out - 1$. Window number $i$ starts at $i \cdot s$. So the last one starts at
# $(out - 1) \cdot s$ and ends $k$ cells later. The row has to be that long, and it has $n$ cells already:
#
# $$total = \max\big((out - 1) \cdot s + k - n,\ 0\big).$$
#
# The $\max$ is needed if windows are smaller than the stride: the last one may end before the row does. For `n=8, k=2, s=4` the two windows
# cover the pixels 0, 1, 4 and 5; the other four are under no window. Then no zeros are needed, and none are added.
#
# Half of the zeros are added before, half after. If their number is odd, the odd one is added after, as you saw.
#
# ## Exercise 1: the rule of "same"
#
# Your answer is tried on all 1,120 cases with $n \le 40$, $k \le 7$, $s \le 4$.


# %% tags=["exercise"]
def same_pads(n, k, s):
    """(before, after): how many zeros padding="same" adds on the two sides.

    n pixels, windows of k cells, stride s. Two integers: same_pads(7, 2, 1) is
    (0, 1).
    """
    # solution
    out = -(-n // s)  # rounds up
    total = max((out - 1) * s + k - n, 0)
    return total // 2, total - total // 2


# %%
check.same_pads(same_pads)

# %% [markdown]
# <details><summary>Hint 1</summary>Three lines: out, total, and the two parts of total.</details>
# <details><summary>Hint 2</summary><code>-(-n // s)</code> is n / s, rounded up, without leaving the integers.</details>
#
# ## The picture
#
# Three rows of pixels 1, 2, ..., n, padded as TensorFlow does it, and as PyTorch does with `padding=k // 2`: the same number of zeros on
# both sides. Yellow cells are zeros. Above each row, the first two windows and the last one.
#
# **Guess before you run:** for which of (28, 5, 1), (28, 3, 2) and (7, 2, 1) do both give the same?

# %% tags=["fold"]


def draw_row(axes, n, k, s, before, after, name):
    """The row 1, 2, ..., n with its zeros, and above it where windows are."""
    out = (before + n + after - k) // s + 1
    for cell in range(-before, n + after):
        zero = not 0 <= cell < n
        colour, text = (plots.YELLOW, "0") if zero else ("white", str(cell + 1))
        axes.barh(0, 1, left=cell, height=0.8, color=colour, edgecolor="#999999")
        axes.text(cell + 0.5, 0, text, ha="center", va="center", fontsize=7)
    for window in (0, 1, out - 1):
        start = window * s - before
        level = -0.62 - 0.3 * (window == 1)
        axes.plot(
            [start + 0.1, start + k - 0.1], [level] * 2, color=plots.BLUE, linewidth=3
        )
    title = (
        f"{name}, n={n}, k={k}, s={s}: {before} before, {after} after, {out} windows"
    )
    axes.set_title(title, fontsize=9, loc="left", pad=3)
    axes.set(xlim=(-2.3, 30.3), ylim=(0.6, -1.2))
    axes.set_axis_off()


figure = plots.new_figure(5.4)
all_axes = iter(figure.subplots(6, 1))
for n, k, s in [(28, 5, 1), (28, 3, 2), (7, 2, 1)]:
    draw_row(next(all_axes), n, k, s, *same_padding(n, k, s), "TensorFlow")
    draw_row(next(all_axes), n, k, s, k // 2, k // 2, "PyTorch, padding=k // 2")
figure

# %% [markdown]
# - `(28, 5, 1)`: four zeros, two on each side. No difference. This is the case of lesson 1's network, so a test with this network alone
#   notices nothing.
# - `(28, 3, 2)`: TensorFlow adds one zero, after. PyTorch adds two, and never reads the last one. Both have 14 windows, **but all of
#   PyTorch's are one pixel further to the left.**
# - `(7, 2, 1)`: PyTorch makes 8 outputs of 7 pixels. This, at least, is noticed.
#
# **See it move** in [the explorer](01_what_will_we_rebuild.ipynb): at `#layer=conv2d&cell=0,0,3` and `#layer=conv2d_1&cell=13,13,0` the
# window is in a corner, and the zeros around the image are hatched.
#
# To be fair: PyTorch has a `padding="same"` too, which adds zeros as TensorFlow does. But it refuses strides other than 1, so
# networks with strides are written with `padding=k // 2`.
#
# One can *read* from an output which pixels its window covers, if the pixels are 1, 2, ..., n as in the picture and the kernel is
# 1, 10, 100. For `n=8, k=3, s=2`, Keras 3.15.1 and PyTorch 2.13 gave these:

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
# The first window of Keras covered pixels 1, 2, 3; that of PyTorch covered a zero, then 1 and 2.
#
# ## What a zero on the wrong side does
#
# A digit, the mean of 3 x 3 pixels, stride 2; the same weights, the same pixels, the two rules:

# %%
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
ink = np.maximum(one, other) > 0
differ = abs(one - other)[ink] > 0.1
print(
    f"{differ.mean():.0%} of the {ink.sum()} outputs that see ink differ by more than 0.1"
)
assert one.shape == other.shape
assert differ.mean() > 0.5

# %% tags=["fold"]
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

# %% [markdown]
# No error, no warning, a plausible picture, and other numbers. This happens to weights that are moved from one library to the other. It is
# also why a test of padding needs strides larger than 1 and windows of even size: with `(28, 5, 1)` alone, both rules pass.
#
# ## Exercise 2: the size of an output
#
# For both values of `padding`. "valid" is the rule of lesson 2, with a stride: windows are inside of the row, and what is left over at
# the end is dropped.


# %% tags=["exercise"]
def output_size(n, k, s, padding):
    """How many windows of k cells, s apart, a row of n >= k pixels gets.

    padding is "same" or "valid"; the result is an integer. output_size(7, 3, 2,
    "valid") is 3.
    """
    # solution
    if padding == "same":
        return -(-n // s)
    return (n - k) // s + 1


# %%
check.output_size(output_size)

# %% [markdown]
# <details><summary>Hint 1</summary>"same" is in this lesson. For "valid": where does the last window start at the latest?</details>
# <details><summary>Hint 2</summary>It starts at n - k at the latest. How many multiples of s are there from 0 to n - k?</details>
#
# ## Exercise 3: work done on nothing
#
# With "same" padding, some products are products with a zero that was added. All windows of a row together have $out \cdot k$ cells. How
# many of these cells are on added zeros? You may count with loops.


# %% tags=["exercise"]
def cells_on_zeros(n, k, s):
    """How many cells of all windows of a row are on added zeros; an integer.

    With padding="same". cells_on_zeros(28, 5, 1) is 6.
    """
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
# <details><summary>Hint 1</summary>If pixels are numbered from 0, the first window starts at <code>-before</code>.</details>
# <details><summary>Hint 2</summary>Two loops, over windows and over their cells. A cell is on a zero if its pixel is not one of 0 ... n - 1.</details>
#
# In the first convolution of lesson 1, with 28 pixels and a window of 5, these are 6 of 140 cells; in the second one, with 14 pixels,
# 6 of 70. In two dimensions a cell is on the image only if its row *and* its column are, so the share of work done on zeros is
# $1 - (134/140)^2$ and $1 - (64/70)^2$:

# %%
for n, percent in [(28, 8.4), (14, 16.4)]:
    inside = np.convolve(np.ones(n), np.ones(5), "same").sum()  # cells on pixels
    assert inside == 5 * n - 6
    on_zeros = 1 - (inside / (5 * n)) ** 2
    print(f"{n} x {n} image, 5 x 5 kernel: {on_zeros:.1%} of the multiply-adds")
    assert round(100 * on_zeros, 1) == percent

# %% [markdown]
# So lesson 1's 10,863,744 multiply-adds are somewhat more than what has to be done.
#
# ## Challenge
#
# Everything so far in one function: the forward pass of `Conv2D(f, (kh, kw), strides=(sh, sw), padding="same")`, with channels and filters,
# on images that need not be square.


# %% tags=["exercise", "challenge"]
def conv_same(x, kernel, bias, strides):
    """The output y (oh, ow, f) of one image x (h, w, c), with "same" padding.

    kernel (kh, kw, c, f), bias (f,), strides is the pair (sh, sw). With h = 7
    and sh = 2, oh is 4.
    """
    # solution
    (h, w, _), (kh, kw, _, f), (sh, sw) = x.shape, kernel.shape, strides
    padded = np.pad(x, [same_pads(h, kh, sh), same_pads(w, kw, sw), (0, 0)])
    y = np.zeros((-(-h // sh), -(-w // sw), f))
    for i, j in np.ndindex(y.shape[:2]):
        window = padded[i * sh : i * sh + kh, j * sw : j * sw + kw]
        y[i, j] = np.tensordot(window, kernel, axes=3) + bias
    return y


# %%
check.conv_same(conv_same)

# %% [markdown]
# <details><summary>Hint 1</summary>Add the zeros first. Then it is a convolution without padding, as in lesson 2, but with strides.</details>
# <details><summary>Hint 2</summary><code>np.pad</code> takes a pair (before, after) for each of the three axes; channels get (0, 0). Rows and
# columns have different sizes, windows and strides.</details>
# <details><summary>Hint 3</summary>Window (i, j) starts at row <code>i * sh</code> and column <code>j * sw</code> of the padded image. Your
# loops of lesson 2 do the rest; <code>oh</code> and <code>ow</code> come from <code>output_size</code>.</details>
#
# ## The fast version, and what it costs
#
# Computing the padding takes no time compared with the convolution. What costs time is what one does with the zeros, and minicnn has both ways:
#
# - The algorithm `"direct"` never stores them. It asks for every cell whether it is on the image, `if 0 <= row < g.h and 0 <= column < g.w`,
#   and skips it if not: fewer products, but a question for each.
# - The core and the algorithm `"im2col"` copy the image into a frame of zeros and multiply everything: more products, no questions. This
#   turns out to be much faster (lesson 15).
#
# ## The fact
#
# How often does it matter where the odd zero goes? **Guess before you run:** of the 1,120 cases, how many have an odd number of zeros?

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
# > **447 of the 1,120 cases are asymmetric**: in four of ten, a rule with the same zeros on both sides cannot be right.
#
# ## In minicnn
#
# - `same_padding` in [minicnn/shapes.py](../minicnn/shapes.py): your `same_pads`.
# - `window_geometry` in [minicnn/shapes.py](../minicnn/shapes.py): both dimensions, both paddings, `output_size` included.
# - `windows` in [minicnn/windows.py](../minicnn/windows.py): the frame of zeros.
# - `forward` in [minicnn/engine/kernels/direct.py](../minicnn/engine/kernels/direct.py): the question asked for every cell.
