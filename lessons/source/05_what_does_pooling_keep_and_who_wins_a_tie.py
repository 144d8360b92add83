# %% [markdown]
# # 5 · What does pooling keep, and who wins a tie?
#
# *20 minutes · needs lesson 4*
#
# **You will build** the forward and backward pass of max pooling: it keeps the largest number of each window, and sends the
# gradient back to it. You will see what happens when several numbers of a window share the maximum.

# %%
import numpy as np

from checks import check_05 as check
from minicnn import plots
from minicnn.datasets import mnist
from minicnn.layers import Conv2D, MaxPooling2D

# %% [markdown]
# ## A tiny example, by hand
#
# An image `x` of 4 x 4 is cut into windows of 2 x 2. Max pooling keeps the largest number of each window:
#
# $$y[i, j] = \max_{ki,\ kj}\ x[i \cdot sh + ki,\ j \cdot sw + kj]$$
#
# The strides $sh$ and $sw$ are both 2 here. In pooling, strides are as large as the window unless you
# say otherwise. The backward pass needs to know which cell the maximum came from. The cells of a window are numbered row by
# row, so cell $(ki, kj)$ has number $ki \cdot kw + kj$. The *winner* is the first cell that holds the maximum.

# %% tags=["fold"]
x = np.array([[1, 2, 0, 0], [0, 1, 0, 0], [2, 0, 3, 1], [0, 1, 1, 3]])
y = np.array([[2, 0], [2, 3]])
winner = np.array([[1, 0], [0, 0]])

tints = [[plots.SKY, plots.YELLOW], [plots.PINK, plots.GREEN]]
small = {(i, j): tints[i][j] for i in (0, 1) for j in (0, 1)}
large = {(r, c): tints[r // 2][c // 2] for r in range(4) for c in range(4)}
figure = plots.new_figure(3.4)
panels = figure.subplots(1, 4, width_ratios=[4, 2.2, 2.2, 2.2])
plots.number_grid(panels[0], x, "x, four windows", large)
plots.number_grid(panels[1], [[0, 1], [2, 3]], "numbers of\na window's cells")
plots.number_grid(panels[2], y, "y, the maxima", small)
plots.number_grid(panels[3], winner, "winner, the first\ncell to hold it", small)
figure

# %% [markdown]
# In the blue window the 2 wins, in cell 1. In the green one two cells hold a 3, and the first of them
# wins. In the yellow one *all* cells are equal, and cell 0 wins, only because it is the first. Is that a special case? You will
# count such windows in digits.
#
# ## The naive code


# %%
def largest(x, kh, kw):
    """One channel (h, w), windows side by side: their maxima (h // kh, w // kw)."""
    h, w = x.shape
    y = np.zeros((h // kh, w // kw))
    for i in range(h // kh):
        for j in range(w // kw):
            window = [
                x[i * kh + ki, j * kw + kj] for ki in range(kh) for kj in range(kw)
            ]
            y[i, j] = max(window)
    return y


assert (largest(x, 2, 2) == y).all()
assert largest(np.ones((5, 7)), 2, 2).shape == (2, 3)  # an odd row or column is dropped

# %% [markdown]
# Pooling has no weights, and each channel is pooled separately. The output sizes are those of
# lesson 3. With "same" padding, the cells that are added count as minus infinity, not as zero; otherwise they
# would win against all negative numbers.

# %%
KERAS = [[-1, -1], [-1, -2]]  # MaxPooling2D(2, padding="same"), Keras 3.15.1
negative = np.array([[-2, -3, -1], [-1, -4, -4], [-3, -1, -2]], "float32")
same = MaxPooling2D(2, padding="same")
same.build((3, 3, 1), rng=None)
assert same.forward(negative[None, :, :, None])[0][0, :, :, 0].tolist() == KERAS

# %% [markdown]
# ## Exercise 1: maxima and winners
#
# Now with channels, and with strides that may differ from the window's size, so that windows may overlap or leave
# cells out. Windows that do not fit are dropped, as always with "valid" padding.


# %% tags=["exercise"]
def max_pool(x, pool_size, strides):
    """x (h, w, c), two pairs (kh, kw) and (sh, sw): a pair of arrays y, winner
    (oh, ow, c).

    y is as precise as x. winner holds integers, the number ki * kw + kj of
    each window's first maximum."""
    # solution
    (h, w, c), (kh, kw), (sh, sw) = x.shape, pool_size, strides
    oh, ow = (h - kh) // sh + 1, (w - kw) // sw + 1
    y, winner = np.full((oh, ow, c), -np.inf), np.zeros((oh, ow, c), int)
    for i, j, ch in np.ndindex(oh, ow, c):
        for ki in range(kh):
            for kj in range(kw):
                value = x[i * sh + ki, j * sw + kj, ch]
                if value > y[i, j, ch]:
                    y[i, j, ch], winner[i, j, ch] = value, ki * kw + kj
    return y, winner


# %%
check.max_pool(max_pool)

# %% [markdown]
# <details><summary>Hint 1</summary>How many windows fit? Lesson 3: (h - kh) // sh + 1 rows of them.</details>
# <details><summary>Hint 2</summary>Loop over <code>np.ndindex(oh, ow, c)</code>. A window is
# <code>x[i * sh : i * sh + kh, j * sw : j * sw + kw, ch]</code>.</details>
# <details><summary>Hint 3</summary><code>window.max()</code>, and <code>window.argmax()</code>, which gives the number of the first
# maximum, row by row.</details>
#
# ## The picture
#
# A digit, the maxima, the winners, and how many cells of each window hold the maximum. The cell
# below finds the winners without a loop: `argmax` also returns the *first* of equal maxima.
#
# **Guess before you run:** for how many of the 196 windows of a digit is the maximum held by more than one cell?

# %% tags=["cover", "fold"]
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

(x_train, y_train), _ = mnist.load_data()


def cells_of(images):
    """Images (n, h, w), h and w even: the four cells of each window, (n, h/2, w/2, 4)."""
    n, h, w = images.shape
    blocks = images.reshape(n, h // 2, 2, w // 2, 2)  # i, ki, j, kj
    return blocks.transpose(0, 1, 3, 2, 4).reshape(n, h // 2, w // 2, 4)


def tied_cells(images):
    """How many cells of each window hold its maximum: 1 if it has one winner, up to 4."""
    cells = cells_of(images)
    return (cells == cells.max(-1, keepdims=True)).sum(-1)


digit = x_train[:1]
won, tied = cells_of(digit).argmax(-1)[0], tied_cells(digit)[0]

figure = plots.new_figure(9)
(before, after), (who, how_many) = figure.subplots(2, 2)
before.imshow(digit[0], cmap="gray_r")
before.set(title=f"the image: a {y_train[0]}", xlabel="column", ylabel="row")
after.imshow(largest(digit[0], 2, 2), cmap="gray_r")
after.set(title="the maxima, 14 x 14", xlabel="column")
colours = ["#eeeeee", plots.SKY, plots.YELLOW, plots.PINK]
who.imshow(won, cmap=ListedColormap(colours), vmin=0, vmax=3)
who.set(title="the winner of each window", xlabel="column", ylabel="row")
names = ["0, top left", "1, top right", "2, bottom left", "3, bottom right"]
handles = [
    Patch(facecolor=colour, edgecolor="#999999", label=name)
    for colour, name in zip(colours, names, strict=True)
]
legend = {"loc": "outside lower center", "title": "the winner is cell"}
figure.legend(handles=handles, ncols=4, frameon=False, **legend)
how_many.imshow(tied, cmap="Blues", vmin=0, vmax=5)
how_many.set(title="how many cells hold the maximum", xlabel="column")
for (i, j), count in np.ndenumerate(tied):
    colour = "white" if count > 2 else "black"
    how_many.text(j, i, count, ha="center", va="center", color=colour, fontsize=8)
figure

# %% [markdown]
# A 2, 3 or 4 in the last picture means a tie: **154 of the 196 windows are tied.** On blank paper all four cells are 0.
# Sixteen of the ties are in strokes. Fifteen of these have a maximum of 253, the most common value of ink in MNIST.
#
# **Pooling keeps** a quarter of the numbers, and roughly the position of each maximum. It is often
# said that max pooling makes a network insensitive to small shifts. To test this, shift a thousand
# digits to the right by one pixel, and measure by how many per cent the images change, and by how many their maxima
# do. For comparison, do the same with the *mean* of each window:


# %%
def change(before, after):
    return np.linalg.norm(after - before) / np.linalg.norm(before)


digits = x_train[:1000] / 255
moved = np.roll(digits, 1, axis=2)
changes = {
    "pixels": change(digits, moved),
    "maxima": change(cells_of(digits).max(-1), cells_of(moved).max(-1)),
    "means": change(cells_of(digits).mean(-1), cells_of(moved).mean(-1)),
}
print(", ".join(f"{name} {value:.0%}" for name, value in changes.items()))
assert [round(100 * value) for value in changes.values()] == [57, 45, 45]

# %% [markdown]
# 45 % instead of 57 %: less, but far from insensitive. The mean does as well as the maximum. Which of the two helps, the stride of 2 or
# the window of 2 x 2? **Guess before you run.** Each can be tested alone: a stride of 2 without windows takes every
# second pixel, and windows can move by a stride of 1.

# %%
windows = np.lib.stride_tricks.sliding_window_view
alone = {
    "stride alone": change(digits[:, ::2, ::2], moved[:, ::2, ::2]),
    "window alone, maximum": change(
        windows(digits, (2, 2), (1, 2)).max((-2, -1)),
        windows(moved, (2, 2), (1, 2)).max((-2, -1)),
    ),
    "window alone, mean": change(
        windows(digits, (2, 2), (1, 2)).mean((-2, -1)),
        windows(moved, (2, 2), (1, 2)).mean((-2, -1)),
    ),
}
print(", ".join(f"{name} {value:.1%}" for name, value in alone.items()))
assert abs(alone["stride alone"] - changes["pixels"]) < 0.01
assert all(
    abs(alone[f"window alone, {kind}"] - 0.45) < 0.01 for kind in ("maximum", "mean")
)

# %% [markdown]
# The **window** helps: a value that depends on several pixels changes less when they move. With the stride alone, the result changes
# as much as the pixels do. Whether the window takes its maximum or its mean hardly matters here.
#
# ## The backward pass
#
# Lesson 4 computed the gradient of one neuron in a *backward pass*. Now each layer gets one. Somewhere after this layer
# there is a *loss* $L$, a single number that says how wrong the network is (lesson 6). The layer receives the
# gradient of $L$ with respect to its output,
#
# $$dy[i, j] = \frac{\partial L}{\partial y[i, j]},
# \quad\text{and has to find}\quad dx[r, c] = \frac{\partial L}{\partial x[r, c]}.$$
#
# $dy[i, j] = 3$ means: if $y[i, j]$ rises by a tiny $t$, then $L$ rises by $3 t$. In the code, `dy` comes in and `dx` goes out; `dy`
# has the shape of `y`, and `dx` the shape of `x`.
#
# For a window with one winner this is simple. If the winner rises by $t$, then $y$ rises by $t$.
# If another cell rises by a small enough $t$, nothing happens. So the winner gets all of the
# window's $dy$, and the others get 0. If windows overlap, a cell can win several of them; by the chain rule it
# gets the sum:
#
# $$dx[r, c] = \sum_{\text{windows } (i, j) \text{ won by cell } (r, c)} dy[i, j].$$
#
# ## And a tie?
#
# Take the yellow window with its four zeros. Raise *one* of them by $t$: the maximum rises by $t$. Lower it by $t$:
# the maximum stays, because the other three are still 0. The slope is 1 upward and 0 downward, so **there is no
# derivative**, and a convention is needed. There are three candidates:
#
# - *The first takes all.* `MaxPooling2D` of Keras, `max_pool2d` of PyTorch, and minicnn do this.
# - *Equal shares.* TensorFlow's `reduce_max` does this, for the same maximum.
# - *Everyone gets all*, because raising any one of them raises $y$.
#
# The third one sounds plausible. But now raise **all four together** by $t$. The maximum rises by $t$; lower all four, and
# it falls by $t$. In this direction there *is* a derivative, and it is 1, but a rule that gives each of the four cells the full $dy$
# claims 4. So under any correct rule, the gradients in a window have to add up to $dy$.
#
# **See it move** in the explorer, which [lesson 1](01_what_will_we_rebuild.ipynb) opens. Add `#layer=max_pooling2d&cell=0,0,3` to
# the page's address for a tie of four, and `#layer=max_pooling2d&mode=backward` to see where the first takes all.
#
# Here are the three on the tiny example. The first two are what TensorFlow 2.21 gives:

# %% tags=["fold"]
dy = np.array([[1, 2], [3, 4]])
KERAS = [[0, 1, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]  # and PyTorch 2.13
REDUCE_MAX = [[0, 1, 0.5, 0.5], [0, 0, 0.5, 0.5], [3, 0, 2, 0], [0, 0, 0, 2]]
EVERYONE = [[0, 1, 2, 2], [0, 0, 2, 2], [3, 0, 4, 0], [0, 0, 0, 4]]

figure = plots.new_figure(3.1)
panels = figure.subplots(1, 4, width_ratios=[2, 4, 4, 4])
plots.number_grid(panels[0], dy, "dy, sum 10", small)
rules = {"first takes all": KERAS, "equal shares": REDUCE_MAX, "everyone": EVERYONE}
for axes, (name, dx) in zip(panels[1:], rules.items(), strict=True):
    plots.number_grid(axes, dx, f"{name}: sum {np.sum(dx):g}", large)
figure

# %% [markdown]
# ## Check it with numbers
#
# The definition itself can be computed: raise one cell a little, lower it a little, and divide the
# difference of the two losses by the distance. As a loss, take one whose $dy$ we know:
# $L = \sum_{i, j} dy[i, j] \cdot y[i, j]$.


# %%
def numerical_gradient(x, dy, t=1e-4):
    dx = np.zeros(x.shape)
    for cell in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[cell] = t
        up, down = (largest(x + s, 2, 2) for s in (step, -step))
        dx[cell] = (dy * (up - down)).sum() / (2 * t)
    return dx


untied = np.array([[1, 2, 8, 5], [0, 9, 7, 6], [15, 4, 3, 10], [13, 11, 14, 12]])
right = [[0, 0, 2, 0], [0, 1, 0, 0], [3, 0, 0, 0], [0, 0, 4, 0]]
assert np.allclose(numerical_gradient(untied, dy), right)

print(numerical_gradient(x, dy).round(6))
halves = [[0, 1, 1, 1], [0, 0, 1, 1], [3, 0, 2, 0], [0, 0, 0, 2]]
assert np.allclose(numerical_gradient(x, dy), halves)

# %% [markdown]
# Without ties it finds the winners. With ties it finds $dy/2$ for each of the tied cells, halfway
# between the slopes 1 and 0. For the two 3s that looks like equal shares. But in the window of zeros,
# whose $dy$ is 2, it gives 1 to each of four cells, and none of the three rules does that: these four numbers
# add up to 4, twice $dy$. At a tie the numerical gradient decides nothing about a rule. Gradient checks have to stay away from ties (lesson 9).
#
# ## Exercise 2: the backward pass
#
# `winner` is what exercise 1's function returns. Windows may overlap.


# %% tags=["exercise"]
def max_pool_backward(dy, winner, x_shape, pool_size, strides):
    """dy and winner (oh, ow, c), x_shape (h, w, c): dx of that shape, of
    floating-point numbers; winners take all."""
    # solution
    (_, kw), (sh, sw) = pool_size, strides
    dx = np.zeros(x_shape)
    for i, j, ch in np.ndindex(dy.shape):
        ki, kj = winner[i, j, ch] // kw, winner[i, j, ch] % kw
        dx[i * sh + ki, j * sw + kj, ch] += dy[i, j, ch]
    return dx


# %%
check.max_pool_backward(max_pool_backward)

# %% [markdown]
# <details><summary>Hint 1</summary>Start with zeros of the shape <code>x_shape</code>, and loop over all entries of
# <code>dy</code>.</details>
# <details><summary>Hint 2</summary>Cell number <code>winner</code> is in row <code>winner // kw</code> and column
# <code>winner % kw</code> of its window; the window begins at (i * sh, j * sw).</details>
# <details><summary>Hint 3</summary>Use <code>+=</code>, since a cell may win several windows.</details>
#
# ## Exercise 3: equal shares
#
# The rule of `reduce_max`, for one channel and windows of 2 x 2 side by side; `h` and `w` are even.


# %% tags=["exercise"]
def equal_shares(x, dy):
    """x (h, w), dy (h/2, w/2), also of integers: dx (h, w), of floating-point
    numbers; tied cells share the dy of their window."""
    # solution
    dx = np.zeros(x.shape)
    for i, j in np.ndindex(dy.shape):
        window = x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        tied = window == window.max()
        dx[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = tied * dy[i, j] / tied.sum()
    return dx


# %%
check.equal_shares(equal_shares)

# %% [markdown]
# <details><summary>Hint 1</summary>For each window, <code>window == window.max()</code> marks the tied cells.</details>
# <details><summary>Hint 2</summary>Each of them gets dy divided by how many they are.</details>
#
# ## The fast version, and what it costs
#
# There is a short backward pass that needs no winners and no loops. Copy $y$ and $dy$ into all four
# cells of their windows, and take $dy$ wherever $x$ equals $y$:


# %%
def spread(small):
    """(n, oh, ow, c) to (n, 2*oh, 2*ow, c): each number four times."""
    return small.repeat(2, axis=1).repeat(2, axis=2)


def tempting(x, y, dy):
    return (x == spread(y)) * spread(dy)


def as_batch(image):
    return np.asarray(image, "float32")[None, :, :, None]


of_untied = tempting(*map(as_batch, (untied, largest(untied, 2, 2), dy)))
assert (of_untied == as_batch(right)).all()
assert (tempting(*map(as_batch, (x, y, dy))) == as_batch(EVERYONE)).all()

# %% [markdown]
# It is one line, it is fast, and it is right on every image without ties, for instance on random numbers in a
# test. With ties it is the third rule. minicnn keeps the winners of the forward pass instead, and its backward pass needs nothing
# else, neither `x` nor `y`. Its engine stores each winner in one byte, next to the
# four bytes of an output in single precision, and finds them with compiled loops:

# %%
import timeit

from minicnn.engine import Plan

pool = MaxPooling2D(2)
pool.build((4, 4, 1), rng=None)
_, cache = pool.forward(as_batch(x))
assert (pool.backward(as_batch(dy), cache)[0] == as_batch(KERAS)).all()

pool.build((28, 28, 1), rng=None)
images = x_train[:100, :, :, None].astype("float32")
fast = Plan([pool])  # how the engine runs these layers
assert (fast.predict(images) == pool.forward(images)[0]).all()  # compiles
python_seconds = min(timeit.repeat(lambda: largest(digit[0], 2, 2), number=1, repeat=5))
compiled_seconds = min(timeit.repeat(lambda: fast.predict(images), number=1, repeat=5))
# With room to spare, for each of the hundred images, and although it keeps the winners too.
assert python_seconds > 10 * compiled_seconds / 100

# %% [markdown]
# ## What the rules do to a network
#
# In lesson 1's network, pooling comes after a convolution and its *ReLU*, $a = \max(z, 0)$. In the backward
# pass, ReLU passes the gradient on where $z > 0$, and makes it 0 elsewhere (also at $z = 0$, which is another tie). On blank
# paper the convolution sees only zeros, so $z$ is its bias $b$, the same number in every cell.
#
# The right gradient of $b$ can be found without choosing a rule for the ties of pooling. Let $dy = 1$ for every output of the
# pooling, so $L$ is the sum of all $y$. Write $z = s + b$: the convolution's sum of products $s$, and the bias. If $b$ is added to
# all cells of a window, it is added to the largest of them:
#
# $$y = \max_{window}\ \max(s + b,\ 0) = \max\Big(b + \max_{window} s,\ 0\Big).$$
#
# So $\partial y / \partial b$ is 1 where $y > 0$ and, by ReLU's rule, 0 where $y = 0$. **The gradient of $b$ is the number of
# windows with $y > 0$.** In the backward pass the same gradient is a sum over all cells with $z > 0$, because $b$ was added
# to each of them. A window of blank paper has four such cells once $b$ is above 0. "Everyone gets all" gives 1 to each, and so
# counts the window four times.
#
# Take 500 digits and 32 kernels of 5 x 5, all of whole numbers, so that rounding neither makes nor breaks a tie:


# %% tags=["fold"]
kernel = np.random.default_rng(0).integers(-8, 9, (5, 5, 1, 32))
images = x_train[:500, :, :, None]  # ink is 255
pool.build((28, 28, 32), rng=None)


def convolve(bias):
    """The layer, all its biases alike; what comes out of its ReLU; and its cache."""
    conv = Conv2D(32, 5, padding="same", activation="relu")
    conv.build((28, 28, 1), rng=np.random.default_rng(0))
    conv.set_weights([kernel, np.full(32, bias)])
    return conv, *conv.forward(images)


def to_bias(a, da):
    """The gradient of each filter's bias if the cells of `a` get the gradients `da`."""
    return (da * (a > 0)).sum((0, 1, 2))


times = {}
figure = plots.new_figure(3.6, "Everyone gets all: the gradients of 32 biases")
axes = figure.subplots()
for bias, colour, side in [(0, plots.SKY, -0.2), (1, plots.ORANGE, 0.2)]:
    conv, a, conv_cache = convolve(bias)
    y, cache = pool.forward(a)
    dy = np.ones_like(y)
    first, everyone = pool.backward(dy, cache)[0], tempting(a, y, dy)
    assert (to_bias(a, first) == (y > 0).sum((0, 1, 2))).all()
    times[bias] = to_bias(a, everyone).sum() / to_bias(a, first).sum()
    ratio = to_bias(a, everyone) / to_bias(a, first)
    label = f"biases of {bias}: {times[bias]:.3f} over all filters"
    axes.bar(np.arange(32) + side, ratio, 0.4, color=colour, label=label)
axes.axhline(1, color="black", linestyle="--", label="the right gradient: 1")
axes.set(xlabel="filter", ylabel="everyone / right", ylim=(0, 4.8))
axes.legend(ncols=3, loc="upper center", frameon=False)
figure

# %%
# The dashed line, checked for the biases of 1: if all of them are lowered by a half,
# L falls by half the number of windows that are above 0.
fallen = y.sum(dtype=float) - pool.forward(convolve(0.5)[1])[0].sum(dtype=float)
assert fallen == (y > 0).sum() / 2

# %% [markdown]
# A bias of 1 is tiny next to ink of 255, but it is enough: on blank paper every window counts four
# times. With biases of 0 the maxima there are 0, and ReLU passes nothing on. How much too large a gradient becomes depends on
# $dy$: the 2.74 belong to a $dy$ of 1 everywhere, in which blank paper counts as much as ink.
#
# Is it as bad for the kernels? No: on blank paper a weight is multiplied by zeros, so the gradients there do not
# reach it. And what if the *last* maximum took all, instead of the first?

# %%
turned = np.ascontiguousarray(a[:, ::-1, ::-1])  # upside down, the last is the first
last = pool.backward(dy, pool.forward(turned)[1])[0][:, ::-1, ::-1]
gradients = {
    name: conv.backward(da, conv_cache)[1]
    for name, da in {"first": first, "last": last, "everyone": everyone}.items()
}


def apart(name, weight):
    return change(gradients["first"][weight], gradients[name][weight])


for name in ("everyone", "last"):
    print(
        f"{name:8} kernel {apart(name, 'kernel'):.2%}, bias {apart(name, 'bias'):.0%}"
    )
print(f"first or last: {(first != last).mean():.0%} of dx differ")
assert round(100 * apart("everyone", "kernel"), 1) == 0.4
assert round(100 * apart("last", "kernel"), 1) == 0.1
assert apart("last", "bias") == 0
assert 0.31 < (first != last).mean() < 0.33

# %% [markdown]
# A third of all numbers in $dx$ differ, but the weights' gradients hardly do: most tied cells lie on blank paper, where the
# kernel sees the same zeros. What matters is that **the gradients of a window add up to $dy$**. *Which* of the tied cells gets
# it hardly matters, unless every number has to be equal to Keras'.
#
# ## Challenge: the mean, with padding
#
# Average pooling takes the mean of each window. Write its backward pass with "same" padding, whose rules are those of lesson 3. In
# Keras, cells of padding do not count: a window that reaches over the edge takes the mean of the cells that exist.


# %% tags=["exercise", "challenge"]
def average_pool_backward(dy, x_shape, pool_size, strides):
    """dy (oh, ow, c), x_shape (h, w, c), two pairs (kh, kw) and (sh, sw): dx of
    the shape x_shape, for "same" padding."""
    # solution
    (h, w, _), (kh, kw), (sh, sw) = x_shape, pool_size, strides
    oh, ow, _ = dy.shape
    top = max((oh - 1) * sh + kh - h, 0) // 2
    left = max((ow - 1) * sw + kw - w, 0) // 2
    dx = np.zeros(x_shape)
    for i, j in np.ndindex(oh, ow):
        r, c = i * sh - top, j * sw - left
        window = dx[max(r, 0) : r + kh, max(c, 0) : c + kw]
        window += dy[i, j] / (window.shape[0] * window.shape[1])
    return dx


# %%
check.average_pool_backward(average_pool_backward)

# %% [markdown]
# <details><summary>Hint 1</summary>If all cells of a window that exist get the same share of its dy, how large is the
# share?</details>
# <details><summary>Hint 2</summary>Window (i, j) begins in row i * sh - top. Lesson 3: the padding above is
# <code>top = max((oh - 1) * sh + kh - h, 0) // 2</code>.</details>
# <details><summary>Hint 3</summary>A slice may begin before the image; cut it with <code>max(r, 0)</code>. At the end NumPy
# cuts it for you. The shape of the slice says how many cells exist.</details>
#
# ## The fact
#
# How common are ties? All 60,000 digits have 11.76 million windows:

# %%
counts, blank = np.zeros(5, int), 0
for start in range(0, 60_000, 10_000):
    part = x_train[start : start + 10_000]
    counts += np.bincount(tied_cells(part).ravel(), minlength=5)
    blank += (cells_of(part).max(-1) == 0).sum()
shares = counts / counts.sum()
print(f"tied {1 - shares[1]:.1%}, four equal cells {shares[4]:.1%}, ", end="")
print(f"blank {blank / counts.sum():.1%}")
assert counts.sum() == 60_000 * 14 * 14 == 11_760_000
assert round(100 * (1 - shares[1]), 1) == 82.7
assert round(100 * shares[4], 1) == 75.8
assert round(100 * blank / counts.sum(), 1) == 74.4
assert round(blank / counts[2:].sum(), 1) == 0.9

assert round(float(times[1]), 2) == 2.74
assert round(float(times[0]), 3) == 1.004

# %% [markdown]
# > **82.7 % of the windows of MNIST are tied**, nine in ten of these on blank paper. **A rule that gives the full gradient to
# > every tied maximum makes the gradient of the first layer's biases 2.74 times too large** once these are above 0, with these kernels
# > and a $dy$ of 1 everywhere; while they are 0, 1.004 times.
#
# The biases of a new network *are* 0 (lesson 11). So a test with a new network hardly sees this bug. It
# shows once training has moved the first bias above 0.
#
# ## In minicnn
#
# - `MaxPooling2D` in [minicnn/layers.py](../minicnn/layers.py): its `forward` is your `max_pool`, and says
#   what it does with cells of padding; its `backward` is your `max_pool_backward`.
# - `AveragePooling2D` in [minicnn/keras/pooling.py](../minicnn/keras/pooling.py): the layer of the challenge.
# - `sum_windows` in [minicnn/windows.py](../minicnn/windows.py): the sum for a cell that wins several windows.
# - `relu_backward` in [minicnn/activations.py](../minicnn/activations.py): the rule at 0.
# - `forward` and `grad_input` in [minicnn/engine/kernels/pooling.py](../minicnn/engine/kernels/pooling.py): the
#   compiled loops.
