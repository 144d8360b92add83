# %% [markdown]
# # 9 · How do I know that a gradient is right?
#
# *25 minutes · needs lesson 8*
#
# **You will build** `gradients_right(layer, x)`, which finds out whether the backward pass of *any* layer is right
# without knowing what the layer computes. You will also see which mistakes no such check can find.

# %%
import numpy as np

from checks import check_09 as check
from minicnn import plots

# %% [markdown]
# ## A tiny example, by hand
#
# A gradient says how much a number $f$ changes if an entry $a$ changes a little. So change $a$ by a small *step* $h$,
# and measure. Lessons 5 and 6 did this in passing, but did not ask how far the result can be trusted. In lesson 8 any
# step would do, because the output of a convolution changes in proportion to its input. Now take $f(a) = a^3$ at
# $a = 1$, where the slope is $3a^2 = 3$. With $h = 1$:
#
# - one step up, the **forward difference**, $\dfrac{f(a + h) - f(a)}{h} = \dfrac{8 - 1}{1} = 7$: poor.
# - from one step below to one step above, the **central difference**,
#   $\dfrac{f(a + h) - f(a - h)}{2h} = \dfrac{8 - 0}{2} = 4$: better.

# %% tags=["fold"]
figure = plots.new_figure(3.9)
axes = figure.subplots()
line = np.linspace(-0.3, 2.1, 200)
axes.plot(line, line**3, color="black", linewidth=2, label="f(a) = a³")
ends = np.array([-0.2, 2.2])
for name, slope, style, colour in [
    ("tangent at a = 1: slope 3", 3, "--", plots.GREEN),
    ("central: from a - h to a + h, slope 4", 4, "-", plots.BLUE),
    ("forward: from a to a + h, slope 7", 7, "-.", plots.ORANGE),
]:
    start = 0 if "central" in name else 1  # a point that the line goes through
    values = start**3 + slope * (ends - start)
    axes.plot(ends, values, style, color=colour, linewidth=1.8, label=name)
axes.plot([0, 1, 2], [0, 1, 8], "o", color="black")
axes.set(ylabel="f", ylim=(-2.5, 9), xlim=(-0.3, 2.4))
axes.set_xticks([0, 1, 2], ["a - h = 0", "a = 1", "a + h = 2"])
axes.legend(frameon=False, fontsize=plots.SMALL + 1)
axes.spines[["top", "right"]].set_visible(False)
figure

# %% [markdown]
# **Guess before you run:** with $h = 0.1$, the forward difference is 3.31. What is the central difference?
#
# ## The naive code


# %%
def forward_difference(f, a, h):
    return (f(a + h) - f(a)) / h


def central_difference(f, a, h):
    return (f(a + h) - f(a - h)) / (2 * h)


def cube(a):
    return a**3


print(forward_difference(cube, 1, 0.1), central_difference(cube, 1, 0.1))
assert (forward_difference(cube, 1, 1), central_difference(cube, 1, 1)) == (7, 4)
assert round(forward_difference(cube, 1, 0.1), 10) == 3.31

# %% [markdown]
# The central difference is off by a hundredth. By hand one sees why: $(a \pm h)^3 = a^3 \pm 3a^2h + 3ah^2 \pm h^3$, so
#
# $$\text{forward: } 3a^2 + 3ah + h^2, \qquad \text{central: } 3a^2 + h^2.$$
#
# In $f(a + h) - f(a - h)$ the terms with even powers of $h$ cancel. This is so for every smooth $f$: if $d_1$, $d_2$
# and $d_3$ are its first, second and third derivative at $a$, then
#
# $$f(a \pm h) = f(a) \pm h\,d_1 + \frac{h^2}{2} d_2 \pm \frac{h^3}{6} d_3 + \dots$$
#
# and the central difference is $d_1 + \frac{h^2}{6} d_3 + \dots$ A tenth of the step leaves a hundredth of the error.
#
# ## Exercise 1: a whole array
#
# Lesson 5 did this for pooling; now do it for any function. `a` is an array of any shape, and `f` turns it into *one*
# number. Move one entry at a time, and leave `a` as it was.


# %% tags=["exercise"]
def numeric_gradient(f, a, h):
    """The central difference of f for each entry of a; an array of the shape
    of a."""
    # solution
    gradient = np.zeros(a.shape)
    for place in np.ndindex(a.shape):
        above, below = a.copy(), a.copy()
        above[place] += h
        below[place] -= h
        gradient[place] = (f(above) - f(below)) / (2 * h)
    return gradient


# %%
check.numeric_gradient(numeric_gradient)

# %% [markdown]
# <details><summary>Hint 1</summary><code>np.ndindex(a.shape)</code> goes through all places of the array.</details>
# <details><summary>Hint 2</summary>For each place make two copies of <code>a</code>. Change the entry at that place: by
# <code>+h</code> in one copy, by <code>-h</code> in the other.</details>
# <details><summary>Hint 3</summary>The result at that place is <code>(f(above) - f(below)) / (2 * h)</code>.</details>
#
# ## How small a step?
#
# So should $h$ be tiny? A computer stores only so many digits. A number of size 1 is off by up to $u = 6\cdot10^{-8}$
# in float32, and by up to $u = 1.1\cdot10^{-16}$ in float64. Both values of $f$ have such an error, and dividing by
# $2h$ enlarges it. Together:
#
# $$\text{error} \approx \frac{u\,|f|}{h} + \frac{h^2}{6}\,|d_3|$$
#
# The first term is rounding, and falls as $h$ grows. The second comes from the step, and rises. The sum is smallest
# where its derivative, $-u\,|f|/h^2 + h\,|d_3|/3$, is zero. With $f$ and $d_3$ around 1, that is at
# $h = \sqrt[3]{3u}$.
#
# Let us try it on lesson 6's loss of ten scores. Its gradient is known: the probabilities, minus 1 at the label.
#
# **Guess before you run:** $h = 10^{-6}$ works well in float64. How far off is the gradient with this step in float32?
#
# **See it move** in [the explorer](01_what_will_we_rebuild.ipynb): the table at `#layer=dense_1&mode=backward` is this
# gradient, and `#mode=train` shows what a step against the gradients of all weights does to the loss.


# %% tags=["cover", "fold"]
scores = np.random.default_rng(0).standard_normal(10)
label = 3


def loss(z):
    """Cross-entropy of scores z, in the precision of z."""
    z = z - z.max()
    return np.log(np.exp(z).sum()) - z[label]


exact = np.exp(scores) / np.exp(scores).sum()
exact[label] -= 1


def worst_error(difference, dtype, h):
    """Over all entries, in units of the largest."""
    z, h = scores.astype(dtype), dtype(h)
    numeric = np.zeros(10)
    for entry in range(10):
        direction = np.zeros(10, dtype)
        direction[entry] = 1

        def along(a, direction=direction):
            return loss(z + a * direction)

        numeric[entry] = difference(along, dtype(0), h)
    return abs(numeric - exact).max() / abs(exact).max()


steps = 10.0 ** np.arange(0, -12.5, -0.5)
curves = {
    "central, float32": (central_difference, np.float32, plots.ORANGE, "s-"),
    "forward, float64": (forward_difference, np.float64, plots.GREY, "^--"),
    "central, float64": (central_difference, np.float64, plots.BLUE, "o-"),
}
errors = {}
figure = plots.new_figure(4.8)
axes = figure.subplots()
for name, (difference, dtype, colour, style) in curves.items():
    errors[name] = np.array([worst_error(difference, dtype, h) for h in steps])
    axes.loglog(steps, errors[name], style, color=colour, markersize=5, label=name)
axes.axhline(1e-6, color="black", linewidth=1, linestyle=":")
axes.text(2, 1.3e-6, "one in a million", fontsize=plots.SMALL, ha="right")
axes.set(xlabel="step h", ylabel="worst error", ylim=(1e-12, 30))
axes.legend(frameon=False, fontsize=plots.SMALL + 1)
axes.spines[["top", "right"]].set_visible(False)
figure

# %% tags=["varies"]
best = {name: (curve.min(), steps[curve.argmin()]) for name, curve in errors.items()}
for name, (error, h) in best.items():
    print(f"{name}: at best {error:.0e}, with h = {h:.0e}")
assert best["central, float64"][0] < 1e-10
assert best["central, float32"][0] > 1e-6
assert 1e-6 < best["central, float64"][1] < 1e-4  # (3 * 1.1e-16) ** (1 / 3) is 7e-6
assert 1e-3 < best["central, float32"][1] < 1e-1  # (3 * 6e-8) ** (1 / 3) is 6e-3
assert errors["central, float32"][steps == 1e-6].item() > 0.05
assert errors["central, float32"][-1] == 1  # all differences are 0
# A hundredth of the error for a tenth of the step, and a tenth for the forward difference.
assert 90 < errors["central, float64"][2] / errors["central, float64"][4] < 110
assert 9 < errors["forward, float64"][2] / errors["forward, float64"][4] < 11

# %% [markdown]
# Each curve is a V. On its right side the error comes from the step: a tenth of the step leaves a hundredth of the
# error, or a tenth for forward differences. On its left side the error comes from rounding, and *grows* as the step
# shrinks. In float32 the smallest steps do not change the numbers at all. Both central curves are lowest near the steps
# of the formula, $6 \cdot 10^{-3}$ in float32 and $7 \cdot 10^{-6}$ in float64.
#
# - **float32 never gets below one in a million.** With $h = 10^{-6}$, which is fine in float64, it is off by more than
#   5 %. Check gradients in float64, and train in float32.
# - Central differences in float64 with $h$ around $10^{-5}$ leave room: a right gradient is right to $10^{-10}$, a
#   wrong one, as a rule, to no digit at all. So the tolerance hardly matters:

# %%
STEP, TOLERANCE = 1e-5, 1e-7

# %% [markdown]
# ## Exercise 2: one number for "how wrong"
#
# One array is the gradient that a layer claims, the other is the gradient that was measured. How large is the
# difference of the worst entry? A difference means little without a size to compare it with. But do not compare each
# entry with its own size: rounding errors are of the same size for all entries, and where the gradient is nearly 0
# they would give false alarms. So the error is **the largest |claimed - measured|, divided by the largest size |...|
# of any entry of the two arrays.** If both arrays are all zeros, the error is 0. If `claimed` has a NaN or an
# infinity, the error must be infinity: `nan > TOLERANCE` is false, so a NaN would pass.


# %% tags=["exercise"]
def relative_error(claimed, measured):
    """The largest difference, divided by the largest entry; inf if claimed has
    a NaN or an infinity."""
    # solution
    if not np.isfinite(claimed).all():
        return np.inf
    largest = max(abs(claimed).max(), abs(measured).max())
    return abs(claimed - measured).max() / largest if largest > 0 else 0.0


# %%
check.relative_error(relative_error)

# %% [markdown]
# <details><summary>Hint 1</summary>There are three cases: a NaN or an infinity, nothing but zeros, and all others.</details>
# <details><summary>Hint 2</summary><code>np.isfinite(claimed).all()</code> tells about NaN, and
# <code>abs(claimed).max()</code> is the largest size.</details>
# <details><summary>Hint 3</summary>Take the larger of the two largest sizes. Divide only if it is above 0.</details>
#
# ## From one number to a layer
#
# All layers of minicnn keep the same contract, and it is all that a check needs to know:
#
# - `y, cache = layer.forward(x)`, where `cache` is what the backward pass needs;
# - `dx, grads = layer.backward(dy, cache)`, where `grads` has the gradients of the weights;
# - `layer.params` holds the weights, under the same names as in `grads`: `"kernel"`, `"bias"`, or none.
#
# A layer gives an array, but we need one number $f$. Why not the sum of the outputs? **Guess before you run:** what is
# the gradient of the sum of the outputs of softmax?

# %%
from minicnn.layers import Softmax

softmax = Softmax()
softmax.build((3,), np.random.default_rng(0), "float64")
x = np.array([[1.0, 2, 0]])
y, cache = softmax.forward(x)
dx, _ = softmax.backward(np.ones((1, 3)), cache)  # f = sum of y, so every dy is 1
print("probabilities", y.round(3), "dx", abs(dx).round(15))
assert abs(dx).max() < 1e-15

# %% [markdown]
# Probabilities add up to 1, whatever the scores are. Their sum never changes, so its gradient is zero, and anything
# else that a program computes for it is rounding. **With `dy` of 1, a check cannot tell a right backward pass of
# softmax from one that returns only zeros.** The right one gives $10^{-17}$, and the differences give $10^{-12}$.
# Compared with the differences, the right dx and the zeros look equally wrong (or, with a tolerance for tiny numbers,
# equally right):

# %%
measured = np.array(
    [
        (softmax.forward(x + step)[0] - softmax.forward(x - step)[0]).sum() / 2e-5
        for step in 1e-5 * np.eye(3)
    ]
)
for claimed in (dx[0], np.zeros(3)):
    size = max(abs(claimed).max(), abs(measured).max())
    if size:  # on some processors nothing is rounded
        print("relative error", round(abs(claimed - measured).max() / size, 3))
assert abs(measured).max() < 1e-10

# %% [markdown]
# Some published libraries have just such tests. The remedy is $f = \sum dy \cdot y$, the $L$ of lesson 8, with
# *random* `dy`. Every output gets a weight of its own, so nothing cancels except by chance. With `dy` of 1, -2, 3,
# Keras 3.15.1 and minicnn agree:

# %%
KERAS_DX = [[0.44434411692906456, -0.787870328693508, 0.3435262117644432]]

dx, _ = softmax.backward(np.array([[1.0, -2, 3]]), cache)
assert abs(dx - KERAS_DX).max() < 1e-15

# %% [markdown]
# ## Kinks
#
# ReLU is $\max(z, 0)$. At $z = 0.3$ its slope is 1. Measured with $h = 1$, it is $(1.3 - 0)/2 = 0.65$. This is neither
# rounding nor curvature: the step crossed the **kink** at 0. Max pooling has kinks as well, wherever another cell
# becomes the winner. A right gradient then looks wrong: a false alarm. *On* a kink there is no derivative at all, so
# every library has to choose a value:

# %%
KERAS_RELU = [0, 0, 1]  # Keras 3.15.1: gradients of ReLU at -1, 0 and 2
KERAS_POOLING = [[0, 1], [0, 0]]  # and of the maximum of [[1, 3], [3, 2]]


def relu(z):
    return max(z, 0)


assert round(central_difference(relu, 0.3, 1), 10) == 0.65
print("ReLU at -1, 0, 2:", [central_difference(relu, z, 0.5) for z in (-1, 0, 2)])


def maximum(a):
    """Of the window [[1, 3], [3, 2]], as one of the two maxima changes by a."""
    return max(1, 3 + a, 3, 2)


print("one of two equal maxima:", central_difference(maximum, 0, 0.5))
assert central_difference(maximum, 0, 0.5) == 0.5

# minicnn takes what Keras takes.
from minicnn.layers import MaxPooling2D, ReLU

for layer, x, keras in [
    (ReLU(), np.array([[-1.0, 0, 2]]), [KERAS_RELU]),
    (MaxPooling2D(2), np.array([[[[1.0], [3]], [[3], [2]]]]), [KERAS_POOLING]),
]:
    layer.build(x.shape[1:], None, "float64")
    y, cache = layer.forward(x)
    dx, _ = layer.backward(np.ones(y.shape), cache)
    assert dx.reshape(np.shape(keras)).tolist() == keras

# %% [markdown]
# Keras takes 0 for ReLU and gives all to the first maximum (lesson 5); the differences say one half. Neither is wrong.
#
# So a checker has to know when a step crosses a kink, and leave that entry out. Layers of minicnn tell:
# **`layer.branches(cache)` is a list of arrays that say on which side of its kinks each cell was** (the signs of ReLU,
# the winners of pooling; an empty list if there are no kinks). If these arrays are not the same at $a - h$,
# $a$ and $a + h$, a step crossed a kink.


# %%
def moved(layer, x, array, place, step):
    """y and branches when array[place], of x or of a weight, has moved by step. Puts it back."""
    old = array[place]
    array[place] = old + step
    y, cache = layer.forward(x)
    y, sides = y.copy(), [side.copy() for side in layer.branches(cache)]
    array[place] = old
    return y, sides


def same(sides, others):
    return all((one == other).all() for one, other in zip(sides, others, strict=True))


# %% [markdown]
# How often does this happen? Take a convolution of 3 x 3 with 8 filters and ReLU, on noise, and measure all of its 480
# gradients, with large steps and with small ones. **Guess before you run:** how many of 480 steps of 0.001 cross a
# kink?

# %% tags=["fold"]
from minicnn.layers import Conv2D

rng = np.random.default_rng(0)
conv = Conv2D(8, 3, activation="relu")
conv.build((20, 20, 1), rng, "float64")
noise = rng.standard_normal((1, 20, 20, 1))
y, cache = conv.forward(noise)
sides = conv.branches(cache)
dy = rng.standard_normal(y.shape)
dx, grads = conv.backward(dy, cache)
claims = [(noise, dx)] + [(conv.params[key], grads[key]) for key in conv.params]


def look(h):
    """The error of every entry, and whether its step went over a kink."""
    errors, crossed = [], []
    for array, claimed in claims:
        for place in np.ndindex(array.shape):
            above, sides_above = moved(conv, noise, array, place, h)
            below, sides_below = moved(conv, noise, array, place, -h)
            measured = (dy * (above - below)).sum() / (2 * h)
            errors.append(abs(measured - claimed[place]) / abs(claimed).max())
            crossed.append(not (same(sides, sides_above) and same(sides, sides_below)))
    return np.array(errors), np.array(crossed)


figure = plots.new_figure(4.2)
left, right = figure.subplots(1, 2)
errors, crossed = look(1e-3)
bins = np.arange(-17, 0.5, 0.5)
logs = np.log10(np.maximum(errors, 1e-17))
parts = [logs[~crossed], logs[crossed]]
names = [f"{(~crossed).sum()} over no kink", f"{crossed.sum()} over a kink"]
left.hist(parts, bins, stacked=True, color=[plots.SKY, plots.ORANGE], label=names)
left.set(title="step 1e-3: errors", xlabel="error", ylabel="gradients")
left.set_xticks(range(-16, 1, 4), [f"1e{power}" for power in range(-16, 0, 4)] + ["1"])
left.legend(frameon=False, loc="upper center", fontsize=plots.SMALL)

steps = 10.0 ** np.arange(0, -7, -1)
shares = [look(h)[1].mean() for h in steps]
right.loglog(steps, np.maximum(shares, 1e-4), "o-", color=plots.ORANGE)
right.set(title="share over a kink", xlabel="step h", ylim=(0.7e-4, 2))
right.set_yticks([1, 0.1, 0.01, 0.001, 1e-4], ["100 %", "10 %", "1 %", "0.1 %", "none"])
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
figure

# %%
print(f"step 1e-3: {crossed.sum()} of {len(errors)} over a kink")
assert (crossed.sum(), len(errors)) == (53, 480)
assert errors[~crossed].max() < 1e-12
assert errors[crossed].min() > 1e-5
assert shares[0] > 0.99
assert shares[5] == shares[6] == 0

# %% [markdown]
# The errors form two groups, with nothing between them. Without the right group, every gradient is right to twelve
# digits; with it, no tolerance works. Smaller steps cross fewer kinks: with $10^{-5}$, none here. This is one more
# reason for small steps, and for float64.
#
# ## Exercise 3: the checker
#
# Now put everything together. `x` holds a few samples along its first axis, and all arrays are in float64. Draw `dy`
# at random (`np.random.default_rng(0).standard_normal(y.shape)`), and compare `dx` and *all* of `grads` with central
# differences of $\sum dy \cdot y$. Leave out entries whose step crosses a kink. A gradient of the wrong shape is a
# wrong gradient. Use `moved`, `same` and `relative_error`.
#
# Your checker gets right layers, some of them close to their kinks, and layers with planted bugs. It has to catch
# every bug and raise no false alarm.


# %% tags=["exercise"]
def gradients_right(layer, x):
    """True if dx and the gradients of all weights are right, else False."""
    # solution
    y, cache = layer.forward(x)
    sides = layer.branches(cache)
    dy = np.random.default_rng(0).standard_normal(y.shape)
    dx, grads = layer.backward(dy, cache)
    claims = [(x, dx)] + [(layer.params[key], grads[key]) for key in layer.params]
    for array, claimed in claims:
        if claimed.shape != array.shape:
            return False
        measured, smooth = np.zeros(array.shape), np.zeros(array.shape, bool)
        for place in np.ndindex(array.shape):
            above, sides_above = moved(layer, x, array, place, STEP)
            below, sides_below = moved(layer, x, array, place, -STEP)
            measured[place] = (dy * (above - below)).sum() / (2 * STEP)
            smooth[place] = same(sides, sides_above) and same(sides, sides_below)
        if not smooth.any():
            continue  # nothing is left to compare
        if not relative_error(claimed[smooth], measured[smooth]) <= TOLERANCE:
            return False
    return True


# %%
check.gradients_right(gradients_right)

# %% [markdown]
# <details><summary>Hint 1</summary>Begin with one forward and one backward pass. Then make a list of pairs:
# <code>x</code> with <code>dx</code>, and each weight with its gradient.</details>
# <details><summary>Hint 2</summary>For each entry call <code>moved</code> twice, with <code>STEP</code> and
# <code>-STEP</code>. What you measure is <code>(dy * (above - below)).sum() / (2 * STEP)</code>.</details>
# <details><summary>Hint 3</summary>Keep an array of truth values: are the branches above and below the <code>same</code>
# as those of the first forward pass?
# Compare only these entries. If there are none, go on with the next array.</details>
#
# ## On a digit, most steps cross a kink
#
# minicnn's checker compares as yours does, also raises all inputs together, and prints a report. Where nothing could be
# checked, it does not say "right". Here it looks at a small, new network and two digits,
# and checks at most 400 entries of each array, drawn at random:

# %%
import minicnn
from minicnn.datasets import mnist
from minicnn.gradcheck import check_gradients
from minicnn.layers import Dense, Flatten, Input
from minicnn.tutorial import scaled

(x_train, _), _ = mnist.load_data()
digits = scaled(x_train[:2]).astype("float64")

minicnn.set_random_seed(0)
minicnn.clear_session()
model = minicnn.Sequential(
    [
        Input((28, 28, 1)),
        Conv2D(4, 5, padding="same", activation="relu"),
        MaxPooling2D(2),
        Flatten(),
        Dense(10, activation="softmax"),
    ],
    dtype="float64",
)


def table(report):
    """The report's table; the sentences below it, with digits of rounding, are left out."""
    rows = [f"{r.gradient:16} {r.checked:5} {r.skipped:8}  {r.ok}" for r in report.rows]
    return "\n".join(["gradient       checked  skipped  right", *rows])


new = check_gradients(model, digits, rng=np.random.default_rng(0), sample=400)
print(table(new))
dx_row, _, dbias_row, *_ = new.rows
assert (dx_row.checked, dx_row.skipped) == (86, 314)
assert (dbias_row.checked, dbias_row.skipped) == (0, 4)
assert not new.ok

# %% [markdown]
# Nothing is wrong here, and yet **314 of 400 pixels cannot be checked, and not one of the convolution's biases** (the
# 400 are drawn from 1,568). A digit is mostly
# blank paper. Biases begin as 0 (lesson 11), so every window that sees only paper gives exactly 0, on the kink of
# ReLU. And four equal numbers in a pooling window are a tie. No step is small enough for that. A checker that does not
# skip such entries raises false alarms here. One that skips them in silence says "right" and has checked nothing. So
# minicnn's checker counts them, and a gradient of which most entries could not be checked does not count as right.
#
# The remedy is an input that has no kink within reach of a step: noise.

# %%
noise = np.random.default_rng(1).standard_normal(digits.shape)
on_noise = check_gradients(model, noise, rng=np.random.default_rng(0), sample=400)
print(table(on_noise))
assert on_noise.ok
assert sum(row.skipped for row in on_noise.rows) == 0

# %% [markdown]
# ## Planted bugs
#
# A checker is worth what it catches. minicnn has a table of *planted bugs*: slips that somebody has made somewhere,
# each a small change in its source. The next cell (folded: it is long) chooses 21 that concern gradients, and as the
# last one a bug of another kind. Its function `alarms` lets `check_gradients` look at four layers and two small
# networks.

# %% tags=["fold"]
import importlib

NAMES = """
stride ignored in the backward pass
windows overwrite what they share
kernel not rotated in dx
bias gradient of one position alone
bias gradient a mean, not a sum
all tied maxima paid
last maximum wins
ReLU's gradient passes at zero
softmax's gradient cell by cell
label shifted in the loss's gradient
activation skipped in the backward pass
bias summed over the wrong axis
divided by the shard, not by the batch
Dense: kernel reshaped for dx, not transposed
Dense: dkernel skips the activation
im2col: stride ignored in the backward pass
im2col: scratch not cleared between images
im2col: dkernel of the last image alone
max pooling: windows overwrite each other
ReLU's gradient let through everywhere
ReLU's gradient by the sign of dy
odd padding on the wrong side
"""


def alarms():
    """What check_gradients says of some layers and networks of the package as it is now."""
    package = importlib.import_module("minicnn")
    layers = importlib.import_module("minicnn.layers")
    look = importlib.import_module("minicnn.gradcheck").check_gradients
    odd = {"kernel_size": (3, 2), "padding": "same", "activation": "relu"}
    suspects = [
        (layers.Conv2D(3, strides=(2, 1), **odd), (5, 7, 2)),
        (layers.MaxPooling2D((3, 2), strides=(1, 2), padding="same"), (5, 6, 2)),
        (layers.Dense(3, activation="relu"), (7,)),
        (layers.Softmax(), (4,)),
    ]
    rng = np.random.default_rng(0)
    reports = []
    for layer, shape in suspects:
        layer.build(shape, rng, "float64")
        x = rng.standard_normal((3, *shape))
        reports.append(look(layer, x, rng=rng, sample=20))
    package.set_random_seed(0)
    small = [package.Input((4,)), layers.Dense(3, activation="softmax")]
    larger = [
        package.Input((6, 7, 2)),
        layers.Conv2D(2, 2),
        layers.ReLU(),
        layers.MaxPooling2D((2, 3), strides=1),
        layers.Conv2D(3, strides=2, algorithm="im2col", **odd),
        layers.Flatten(),
        layers.Dense(4, activation="relu"),
        layers.Dense(3, activation="softmax"),
    ]
    for network, eagerly in [(small, True), (larger, False)]:
        model = package.Sequential(network, dtype="float64")
        loss = "sparse_categorical_crossentropy"
        model.compile("adam", loss, run_eagerly=eagerly)  # False: the engine
        x, labels = rng.standard_normal((6, *network[0].shape)), rng.integers(0, 3, 6)
        reports.append(look(model, x, labels, rng=rng, sample=20))
    return sum(not report.ok for report in reports), len(reports)


# %% [markdown]
# Now plant the bugs, one at a time. The first ten change formulas in `layers.py` and its neighbours. The next eleven
# change the fast engine, whose gradients are checked in the second network. (In their names, a *shard* is a part of a
# batch, *im2col* a way to compute a convolution, lesson 15, and *scratch* memory that is used again and again.) **Guess before you run:** how many of the
# 22 will the checker miss?

# %%
from unittest import mock

import numba

from minicnn.checking.planted_bugs import BUGS
from minicnn.checking.planting import altered, planted


def alarms_with(bug):
    with planted(bug.module, altered(bug.module, bug.old, bug.new)):
        return alarms()[0]


bugs = {bug.name: bug for bug in BUGS}
names = NAMES.strip().split("\n")
# The engine runs as plain Python meanwhile, so that nothing has to be compiled.
with mock.patch.object(numba.config, "DISABLE_JIT", True):
    caught = {name: alarms_with(bugs[name]) > 0 for name in names}

for name, found in caught.items():
    print("caught  " if found else "NOT SEEN", name)

# %% [markdown]
# The bugs that were not seen teach more than the others.
#
# - **last maximum wins** and **ReLU's gradient passes at zero** are wrong only *on* a kink, and to a mathematician not
#   even there: at a kink both slopes are right. Only a comparison with Keras, element by element, finds them. On
#   digits such places are common, as you just saw.
# - **all tied maxima paid** is also wrong only on a kink, and yet it is caught. minicnn's checker also makes all
#   inputs equal and raises them *together*. Then a maximum rises exactly as much as they do, however many are tied, so
#   there is no kink in that direction. If each of four tied cells gets the whole gradient, the sum is four times too
#   large.
# - **divided by the shard, not by the batch**: the engine cuts a large batch into parts. A small batch is a single
#   part, and there both are the same. A check sees what it is shown.
# - **odd padding on the wrong side**, the last one, is no bug of gradients at all. The *forward* pass puts the zeros
#   on the wrong side (lesson 3), and the backward pass is its right gradient. *A right gradient of the wrong
#   function:* a gradient check says nothing about the forward pass.

# %%
ON_KINKS = {
    "last maximum wins",
    "ReLU's gradient passes at zero",
}
NOT_SHOWN = {"divided by the shard, not by the batch"}
FORWARD = {"odd padding on the wrong side"}

not_seen = {name for name, found in caught.items() if not found}
assert not_seen == ON_KINKS | NOT_SHOWN | FORWARD
assert {bugs[name].kind for name in caught.keys() - FORWARD} == {"gradient"}
assert {bugs[name].kind for name in FORWARD} == {"forward"}

# %% [markdown]
# ## The fast version, and what it costs
#
# Central differences take two forward passes for each entry. For lesson 1's network with its 253,514 parameters, that
# is half a million. The backward pass finds all gradients at once, in about the time of two forward passes. This is why networks
# learn by backpropagation, and why the check is done on small arrays, or on some entries drawn at random.
#
# `check_gradients(..., directions=5)` moves *all* entries of an array at once, along five random directions, and
# compares one slope for each. Two passes for a direction notice one wrong entry among thousands, but do not tell which
# one it is.

# %%
forward_passes = 2 * 253_514
assert forward_passes == 507_028

# %% [markdown]
# ## Challenge
#
# Which entry is it? A direction $v$ is an array of the shape of $a$. The slope of $f$ along it, with $h$ = `STEP`, is
#
# $$\frac{f(a + h\,v) - f(a - h\,v)}{2h} \approx \textstyle\sum gradient \cdot v$$
#
# At most one entry of `claimed` is wrong, by 0.01 or more. All the others are rounded to six decimals. Find the wrong
# entry, and call `f` **at most 50 times**, even if `a` has 2,000 entries. There are no kinks. Choose the directions
# yourself, with entries between 0 and 1.


# %% tags=["exercise", "challenge"]
def wrong_entry(f, a, claimed):
    """The place of the wrong entry, a tuple such as (3, 0); None if all are
    right.

    f turns an array of the shape of a into a number. claimed, of that shape
    too, should be its gradient.
    """

    # solution
    def is_wrong(v):
        slope = (f(a + STEP * v) - f(a - STEP * v)) / (2 * STEP)
        return abs(slope - (claimed * v).sum()) > 0.005

    if not is_wrong(np.ones(a.shape)):
        return None
    suspects = np.arange(a.size)
    while len(suspects) > 1:
        half, rest = np.array_split(suspects, 2)
        v = np.isin(np.arange(a.size), half).reshape(a.shape)
        suspects = half if is_wrong(v) else rest
    return np.unravel_index(suspects[0], a.shape)


# %%
check.wrong_entry(wrong_entry)

# %% [markdown]
# <details><summary>Hint 1</summary>If all entries of v are 1, the slope tells whether any entry is wrong. Which v
# tells whether the wrong one is in the first half?</details>
# <details><summary>Hint 2</summary>Each v of ones and zeros halves the number of suspects. Eleven of them are enough
# for 2,000 entries.</details>
# <details><summary>Hint 3</summary>Compare the slope with <code>(claimed * v).sum()</code>. If they differ by more
# than 0.005, v is 1 at the wrong entry. <code>np.unravel_index</code> turns a place in the flat array into a
# tuple.</details>
# <details><summary>When you have it</summary>Four calls would be enough if all other entries were exact. If v is all ones,
# the difference is the error e. If v is k/n at entry k of n, it is e times k/n. Divide. Here the rounding of the other
# entries is too large for this.</details>
#
# ## The fact

# %%
of_gradients = [name for name in caught if bugs[name].kind == "gradient"]
found = sum(caught[name] for name in of_gradients)
false_alarms, looked_at = alarms()
print(f"{found} of {len(of_gradients)} bugs of gradients caught")
print(f"{false_alarms} false alarms in {looked_at} reports on the right code")
assert (found, len(of_gradients)) == (18, 21)
assert not_seen == ON_KINKS | NOT_SHOWN | FORWARD
assert (false_alarms, looked_at) == (0, 6)
assert 2**10 < 2_000 <= 2**11  # so many halvings in the challenge

# %% [markdown]
# > **18 of 21 bugs of gradients are caught, with no false alarm.** This check does not see the other three: two show
# > only on a kink, and one only in batches larger than it was given. On two digits 314 of 400 pixels had to be skipped
# > for kinks, on noise none.
#
# `python -m minicnn verify --planted-bugs` plants all bugs of the table and tries several kinds of checks on each. It
# shows what it is worth to compare shapes, means or accuracy.
#
# ## In minicnn
#
# - `check_gradients` in [minicnn/gradcheck/check.py](../minicnn/gradcheck/check.py): your `gradients_right`, with a
#   report. It checks layers of your own, too.
# - `Layer.branches` in [minicnn/layer.py](../minicnn/layer.py): how a layer reports its kinks.
# - `BUGS` in [minicnn/checking/planted_bugs.py](../minicnn/checking/planted_bugs.py): the table of planted bugs. Add
#   the next slip you make.
