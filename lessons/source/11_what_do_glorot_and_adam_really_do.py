# %% [markdown]
# # 11 · What do Glorot and Adam really do?
#
# *25 minutes · needs lesson 8*
#
# **You will build** `glorot_uniform(shape, rng)`, which draws the initial weights, and `adam_step(...)`, one update of the optimizer
# Adam. You will also find out that Adam's epsilon acts differently from the number in the program.

# %%
import itertools

import numpy as np

import minicnn
from checks import check_11 as check
from minicnn import plots
from minicnn.datasets import mnist
from minicnn.initializers import GlorotUniform
from minicnn.optimizers import Adam
from minicnn.tutorial import scaled, tutorial_network

# %% [markdown]
# ## How large is a sum? By hand
#
# Initial weights are random: two units with the same weights, incoming and outgoing, would get the same gradients,
# and stay equal forever. But how large should the weights be?
#
# A unit has the weights 1 and 2, and two inputs that are -1 or 1. Its output is
# $y = x_0 \cdot 1 + x_1 \cdot 2$. These are all four cases:

# %% tags=["fold"]
x = np.array(list(itertools.product([-1, 1], repeat=2)))
kernel = np.array([1, 2])
y = x @ kernel

figure = plots.new_figure(2.6)
left, middle, right = figure.subplots(1, 3)
plots.number_grid(left, x, "x: squares have the mean 1")
plots.number_grid(middle, y[:, None], "y", plots.SKY)
plots.number_grid(right, y[:, None] ** 2, "y squared: the mean is 5")
figure

# %%
assert (x**2).mean() == 1
assert (y**2).mean() == 5 == 1**2 + 2**2

# %% [markdown]
# The inputs have a *mean square* of 1, the outputs one of 5, which is the sum of the squared weights. The reason is that
# $y^2 = 1 \cdot x_0^2 + 4 \cdot x_1^2 + 4 \cdot x_0 x_1$, and the last term, the mixed one, is positive
# as often as negative, so it cancels in the mean.
#
# ## The derivation of the limit
#
# Let an output be a sum of $fan_{in}$ products of inputs and weights. The weights are independent and random, with mean 0
# and mean square $s^2$. The mixed terms cancel again, whatever the inputs are, because now the weights are positive as often as
# negative. So
#
# $$mean(y^2) = fan_{in} \cdot s^2 \cdot mean(x^2).$$
#
# So numbers neither grow nor shrink from layer to layer if $s^2 = 1 / fan_{in}$. In the backward pass (lesson 8) the gradient of an
# input is again a sum of products with weights, one for each of the $fan_{out}$ outputs that depend on it. Gradients neither
# grow nor shrink if $s^2 = 1 / fan_{out}$. Both conditions can hold only if the fans are equal, so Glorot and Bengio (2010) use the
# mean of the two fans:
#
# $$s^2 = \frac{2}{fan_{in} + fan_{out}}.$$
#
# Numbers drawn uniformly between $-limit$ and $limit$ have the mean square
# $\frac{1}{2 \cdot limit} \int_{-limit}^{limit} z^2 dz = \frac{1}{3} limit^2$. So
#
# $$limit = \sqrt{3 s^2} = \sqrt{\frac{6}{fan_{in} + fan_{out}}}.$$
#
# What are the fans?
#
# - **Dense**, kernel `(inputs, units)`: an output is a sum of `inputs` products, and an input is used in
#   `units` outputs. These are the fans.
# - **Conv2D**, kernel `(kh, kw, c, f)`: an output is a sum of `kh * kw * c` products, the first fan. An
#   input lies in `kh * kw` windows (lesson 8; for stride 1, away from the edge), each with `f` outputs, so the second fan is
#   `kh * kw * f`.
#
# ## Exercise 1: initial weights
#
# Draw all of them with one call of `rng.uniform(low, high, shape)`, so that they can be compared.


# %% tags=["exercise"]
def glorot_uniform(shape, rng):
    """An array of initial weights, for a shape (inputs, units) or (kh, kw, c,
    f)."""
    # solution
    *window, inputs, outputs = shape
    cells = int(np.prod(window))  # 1 for a dense kernel
    limit = np.sqrt(6 / (cells * inputs + cells * outputs))
    return rng.uniform(-limit, limit, shape)


# %%
check.glorot_uniform(glorot_uniform)

# %% [markdown]
# <details><summary>Hint 1</summary>Both kinds of kernels have inputs and outputs as their last two axes. What comes before are the cells
# of the window, of which a dense kernel has one.</details>
# <details><summary>Hint 2</summary><code>*window, inputs, outputs = shape</code>; <code>np.prod</code> of an empty list is
# 1.</details>
#
# ## What it achieves, and what it ignores
#
# A thousand random inputs go through twelve dense layers of 256 units, with Glorot's limit, with half of
# it, and with twice as much; and once more with a ReLU after each layer.
#
# **Guess before you run:** by which factor is the mean square larger after twelve layers if the limit is twice Glorot's?


# %% tags=["fold"]
def mean_squares(factor, relu=False):
    """Mean squares of the inputs, and after each of twelve layers."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(1000, 256))
    values = [(x**2).mean()]
    for _ in range(12):
        x = x @ (factor * GlorotUniform()((256, 256), rng))
        x = np.maximum(x, 0) if relu else x
        values.append((x**2).mean())
    return values


signals = {
    "twice the limit": mean_squares(2),
    "Glorot's limit": mean_squares(1),
    "Glorot's limit, with ReLU": mean_squares(1, relu=True),
    "half the limit": mean_squares(0.5),
}
figure = plots.new_figure(3.6)
axes = figure.subplots()
for (name, values), colour, marker in zip(
    signals.items(),
    [plots.ORANGE, plots.BLUE, plots.GREEN, plots.PINK],
    "^osv",
    strict=True,
):
    axes.semilogy(values, color=colour, marker=marker, label=name)
axes.set(xlabel="layers", ylabel="mean square of the outputs")
axes.legend(frameon=False)
figure

# %%
last = {name: values[-1] for name, values in signals.items()}
assert 0.7 < last["Glorot's limit"] < 1.4
assert 0.7 < last["twice the limit"] / 4**12 < 1.4
assert 0.7 < last["half the limit"] * 4**12 < 1.4
assert 0.5 < last["Glorot's limit, with ReLU"] * 2**12 < 2

# %% [markdown]
# With Glorot's limit the line is flat. A factor of 2 in the limit means a factor of 4 in the mean square,
# and after twelve layers a factor of about $4^{12}$, which is 16.8 million.
#
# With ReLU the line is *not* flat. ReLU sets half of all numbers to zero, so each layer loses half of the mean square,
# a factor of about $2^{12} = 4096$ in the end. Glorot's derivation ignores ReLU. *He's*
# rule (2015), $s^2 = 2 / fan_{in}$, takes it into account. Keras' default is Glorot's rule all the same, which is good enough for the
# four layers of our network.
#
# ## The four limits of our network

# %% tags=["fold"]
KERAS_LARGEST = [0.08526605, 0.049998738, 0.04330042, 0.28465024]  # Keras 3.15.1

minicnn.set_random_seed(8)
model = tutorial_network()
kernels = {layer.name: layer.params["kernel"] for layer in model.layers if layer.params}
limits = {}

figure = plots.new_figure(4.6)
all_axes = figure.subplots(2, 2, sharex=True)
for axes, (name, kernel) in zip(all_axes.flat, kernels.items(), strict=True):
    *window, inputs, outputs = kernel.shape
    fans = int(np.prod(window)) * inputs, int(np.prod(window)) * outputs
    limit = limits[name] = np.sqrt(6 / sum(fans))
    axes.hist(kernel.ravel(), bins=np.linspace(-limit, limit, 11), color=plots.SKY)
    for side in (-limit, limit):
        axes.axvline(side, color="black", linestyle=":")
    title = f"{name}: fans {fans[0]} and {fans[1]}, limit {limit:.6f}"
    axes.set_title(title, fontsize=plots.SMALL)
all_axes[0, 0].set_ylabel("how many")
all_axes[1, 0].set(xlabel="initial weight", ylabel="how many")
all_axes[1, 1].set(xlabel="initial weight")
figure

# %%
each = zip(kernels.values(), limits.values(), KERAS_LARGEST, strict=True)
for kernel, limit, keras_largest in each:
    assert 0.98 * limit < abs(kernel).max() <= limit
    assert 0.98 * limit < keras_largest <= limit
    assert abs((kernel**2).mean() / (limit**2 / 3) - 1) < 0.1

# %% [markdown]
# The histograms are flat, up to chance, and end sharply at the limits. In Keras the largest initial weight
# of each kernel lies just below the same limit. (The weights themselves differ, because Keras has other random numbers.) Biases start
# at zero.
#
# ## Adam, by hand
#
# *Gradient descent* (lesson 4) updates each weight `w` with its gradient `g` to `w - learning_rate * g`. If the gradient of one weight
# is a thousand times smaller than that of another, it moves a thousand times less.
# Adam (Kingma and Ba, 2014) divides each gradient by its *usual size*. For that it keeps
# two numbers for each weight, both 0 at first: `m`, a running mean of `g`, and `v`, a running mean of `g`
# squared. Step number $t = 1, 2, 3, \dots$ is, with `lr` for `learning_rate`,
#
# $$m \leftarrow m + (g - m)(1 - \beta_1), \qquad v \leftarrow v + (g^2 - v)(1 - \beta_2),$$
#
# $$w \leftarrow w - \alpha \cdot \frac{m}{\sqrt{v} + \epsilon} \qquad \text{with} \qquad
# \alpha = lr \cdot \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t}.$$
#
# Take one weight, `w = 10`, and three gradients, 4, 1 and -2, with numbers that are easy to compute with:
# `learning_rate=1`, `beta_1=0.5`, `beta_2=0.75`, `epsilon=0.5`. Do the first step on paper before you look:

# %% tags=["fold"]
by_hand = np.array(
    [
        [1, 4, 2, 4, 2.5, 1, -0.8, 9.2],
        [2, 1, 1.5, 3.25, 2.3028, 0.8819, -0.5745, 8.6255],
        [3, -2, -0.25, 3.4375, 2.3541, 0.869, 0.0923, 8.7178],
    ]
)
figure = plots.new_figure(2)
texts = ["t", "g", "m", "v", "√v + ε", "alpha", "move", "w"]
texts = [texts] + [[f"{number:g}" for number in row] for row in by_hand]
blue = {(row, 7): plots.SKY for row in (1, 2, 3)}
plots.number_grid(figure.subplots(), np.zeros((4, 8)), "", blue, texts)
figure

# %%
KERAS = [9.2, 8.625529941407928, 8.717814112875612]  # Keras 3.15.1

optimizer = Adam(learning_rate=1.0, beta_1=0.5, beta_2=0.75, epsilon=0.5)
w = np.array([10.0])
for (t, g, m, v, root, alpha, move, after), keras in zip(by_hand, KERAS, strict=True):
    optimizer.apply([np.array([g])], [w])
    assert (optimizer.state["m"][0], optimizer.state["v"][0]) == (m, v)
    computed = np.sqrt(v) + 0.5, np.sqrt(1 - 0.75**t) / (1 - 0.5**t)
    assert np.allclose([root, alpha], computed, atol=1e-4)
    assert np.allclose([move, after], [-alpha * m / root, w[0]], atol=1e-4)
    assert abs(w[0] - keras) < 1e-14

# %% [markdown]
# The first gradient is four times the second one, but it does not move the weight four times as far.
# And the gradient of -2 hardly reverses the direction, because `m` still contains the others.
#
# ## The bias correction
#
# Write `m` out, starting from $m_0 = 0$. Each step multiplies it by $\beta_1$ and adds
# $(1 - \beta_1) g$, so
#
# $$m_t = (1 - \beta_1) \cdot (g_t + \beta_1 g_{t-1} + \beta_1^2 g_{t-2} + \dots
# + \beta_1^{t-1} g_1).$$
#
# The shares of all these gradients add up to
# $(1 - \beta_1)(1 + \beta_1 + \dots + \beta_1^{t-1}) = 1 - \beta_1^t$, which is less than 1. The rest belongs to the
# initial zero, so `m` is too small. Divided by $1 - \beta_1^t$ it
# becomes a proper mean, $\hat m$; and `v`, divided by $1 - \beta_2^t$, becomes $\hat v$. Ignore epsilon
# for a moment:
#
# $$\alpha \cdot \frac{m}{\sqrt v}
# = lr \cdot \frac{m}{1 - \beta_1^t} \cdot \frac{\sqrt{1 - \beta_2^t}}{\sqrt v}
# = lr \cdot \frac{\hat m}{\sqrt{\hat v}}.$$
#
# So $\alpha$ contains both corrections, and is computed once for each step instead of once for each weight. As long as
# a gradient does not change, $\hat m = g$ and $\hat v = g^2$, and each step has the length
# `learning_rate`, however large `g` is (still without epsilon).
#
# ## Exercise 2: one step
#
# `w`, `g`, `m` and `v` are arrays of one shape. Return new arrays, and do not change these.


# %% tags=["exercise"]
def adam_step(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """One step: the tuple (w, m, v) after step number t, which is 1 for the
    first one."""
    # solution
    m = m + (g - m) * (1 - beta_1)
    v = v + (g * g - v) * (1 - beta_2)
    alpha = learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return w - alpha * m / (np.sqrt(v) + epsilon), m, v


# %%
check.adam_step(adam_step)

# %% [markdown]
# <details><summary>Hint 1</summary>The four formulas above, in their order: m, v, alpha, w. Use the new m and v for w.</details>
# <details><summary>Hint 2</summary><code>m = m + ...</code> makes a new array, <code>m += ...</code> changes the argument.</details>
#
# ## Exercise 3: two hundred steps of Keras
#
# `gradients` has a row for each step and a column for each weight. The weights start at 0.
# `step(w, g, m, v, t)` is a right `adam_step` with Keras' default settings, 0.001, 0.9, 0.999 and
# 1e-7. The check compares your result with that of Keras 3.15.1 in double precision, for the gradients of four weights.


# %% tags=["exercise"]
def adam(gradients, step):
    """The weights after each step, an array of the shape of `gradients`."""
    # solution
    w, m, v = np.zeros((3, gradients.shape[1]))
    path = []
    for t, g in enumerate(gradients, start=1):
        w, m, v = step(w, g, m, v, t)
        path.append(w)
    return np.array(path)


# %%
check.adam(adam)

# %% [markdown]
# <details><summary>Hint 1</summary>Three arrays of zeros, and a loop over the rows of <code>gradients</code>.</details>
# <details><summary>Hint 2</summary><code>for t, g in enumerate(gradients, start=1)</code>: the first step has t = 1.</details>
#
# Here are Keras' numbers, which minicnn's `Adam` reproduces. The gradients of the four weights
# are about 0.000001, 0.001, 1 and 1000. **Guess before you run:** how far apart are the weights after 200 steps?

# %%
optimizer, w = Adam(), np.zeros(4)
for t, g in enumerate(check.GRADIENTS, start=1):
    optimizer.apply([g], [w])
    if t in check.KERAS:
        print(f"step {t:3}", *(f"{number:10.6f}" for number in check.KERAS[t]))
        assert abs(w - check.KERAS[t]).max() < 1e-14
assert t == 200

# %% [markdown]
# After 200 steps, gradients that differ by a factor of $10^9$ have moved their weights by nearly the same amount. Only the
# first weight has moved less. Why?
#
# ## What epsilon does
#
# Epsilon prevents a division by zero. Its value in the program is 1e-7. Now write down the first step:
# $m = (1 - \beta_1) g$, $v = (1 - \beta_2) g^2$, and $\alpha$ for $t = 1$. The factors
# $1 - \beta_1$ cancel, and
#
# $$move = -lr \cdot \frac{\sqrt{1 - \beta_2} \cdot g}{\sqrt{1 - \beta_2} \cdot |g| + \epsilon}
# = -lr \cdot \frac{g}{|g| + \epsilon / \sqrt{1 - \beta_2}}.$$
#
# Epsilon is divided by $\sqrt{1 - 0.999} = 0.0316$. It acts as if it were **31.6 times
# larger**, 3.16e-6: a gradient of that size moves its weight half as far as a large one. In step
# $t$, by the same calculation, it acts as $\epsilon / \sqrt{1 - \beta_2^t}$.
#
# Algorithm 1 of the paper divides by $\sqrt{\hat v} + \epsilon$ instead. There, epsilon acts as the number that it is. The paper then gives the
# form above as a faster one, and calls its
# epsilon $\hat\epsilon$, because it is a different number. Keras uses the second form, PyTorch the
# first, with 1e-8.

# %% tags=["fold"]
t = np.arange(1, 10_001)
acts = 1e-7 / np.sqrt(1 - 0.999**t)

figure = plots.new_figure(3.6)
axes = figure.subplots()
axes.loglog(t, acts, color=plots.BLUE, linewidth=2, label="Keras and minicnn")
axes.axhline(
    1e-7, color=plots.GREY, linestyle=":", label="the number in the program, 1e-7"
)
axes.axhline(
    1e-8, color=plots.ORANGE, linestyle="--", label="PyTorch, 1e-8 in the program"
)
axes.set(xlabel="step t", ylabel="epsilon as it acts", ylim=(5e-9, 5e-6))
axes.legend(frameon=False)
figure

# %%
KERAS, PYTORCH = -0.00024025, -0.00099010  # first move for g = 1e-6; 3.15.1 and 2.13

assert round(acts[0] / 1e-7, 1) == 31.6
assert acts[287 - 1] > 2 * 1e-7 > acts[288 - 1]
assert acts[3924 - 1] > 1.01 * 1e-7 > acts[3925 - 1]
assert abs(-0.001 * 1e-6 / (1e-6 + acts[0]) - KERAS) < 1e-8
assert abs(-0.001 * 1e-6 / (1e-6 + 1e-8) - PYTORCH) < 1e-8
assert round(PYTORCH / KERAS, 1) == 4.1

# %% [markdown]
# For 287 steps epsilon acts as if it were more than twice as large as in the program, and for 3,924 steps more than one per
# cent larger. For a gradient of one millionth, PyTorch's first step is 4.1 times as long as
# Keras'.
#
# ## Exercise 4: look into a closed box
#
# There is an Adam of Keras' form with `learning_rate=0.001`, `beta_1=0.9`, `beta_2=0.999` and an unknown epsilon.
# `first_move(g)` returns what its first step adds to a weight whose gradient
# is `g`. What is its epsilon?


# %% tags=["exercise"]
def epsilon_of(first_move):
    """The epsilon of this Adam, as it stands in its program."""
    # solution
    g = 1.0
    acts = -0.001 * g / first_move(g) - g
    return acts * np.sqrt(1 - 0.999)


# %%
check.epsilon_of(epsilon_of)

# %% [markdown]
# <details><summary>Hint 1</summary>Solve the formula of the first move for epsilon / sqrt(1 - beta_2).</details>
# <details><summary>Hint 2</summary>Take any g but 0. The closer it is to epsilon, the fewer digits are lost; g = 1 is exact enough for
# the check.</details>
#
# ## One step of our network
#
# `train_on_batch` runs a forward and a backward pass over 32 images (lessons 2 to 8), and one step of
# Adam. After the first step $m = (1 - \beta_1) g$, so the gradients can be computed from Adam's `m`:

# %%
(x_train, y_train), _ = mnist.load_data()
images, labels = scaled(x_train[:1600]), y_train[:1600]

model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
before = np.concatenate([weight.ravel() for weight in model.get_weights()])
model.train_on_batch(images[:32], labels[:32])
moves = np.concatenate([weight.ravel() for weight in model.get_weights()]) - before
g = np.concatenate([m.ravel() for m in model.optimizer.state["m"]]) / np.float32(0.1)

low, middle, high = np.quantile(abs(g[g != 0]), [0.1, 0.5, 0.9])
print(f"exactly 0: {(g == 0).mean():.0%} of the gradients")
print(f"sizes of the others: a tenth below {low:.0e}, a tenth above {high:.0e}")
share = (abs(moves[g != 0]) > 0.0009).mean()
print(f"moved by more than 0.0009: {share:.0%} of their weights")
assert high > 40 * low
assert share > 0.9
assert abs(moves).max() < 0.001 * 1.0001
assert not moves[g == 0].any()
at = list(kernels).index("dense")  # the weights are a kernel and a bias for each layer
of_dense, of_bias = (
    model.optimizer.state["m"][2 * at],
    model.optimizer.state["m"][2 * at + 1],
)
silent = of_bias == 0
assert not of_dense[:, silent].any()
assert silent.sum() * len(of_dense) > (g == 0).sum() / 2
assert 4e-4 < middle < 6e-4

# %% [markdown]
# The gradients have very different sizes, and yet nearly all steps have the same length. At first, Adam uses only the *sign* of a
# gradient, and moves the weight by `learning_rate` in the opposite direction. Only
# a weight whose gradient is exactly zero stays where it is. Most of these belong to units of the first dense layer that are *silent*:
# ReLU makes them 0 for all 32 images.
#
# ## Three errors, and a learning curve that does not show them
#
# Plant three errors in Adam. On the left is the length of its steps if the gradient is always 5e-4, a
# common size in our network. On the right is the loss during training. **Guess before you run:** which of the four learns fastest?


# %%
class PlantedAdam(Adam):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def update(self, g, w, m, v):
        m += (g - m) * (1 - self.beta_1)
        v += (g * g - v) * (1 - self.beta_2)
        root, first = np.sqrt(1 - 0.999**self.iterations), 1 - 0.9**self.iterations
        alpha, divisor = 0.001 * root / first, np.sqrt(v) + 1e-7
        if self.error == "no correction":
            alpha = 0.001
        elif self.error == "corrections multiplied":
            alpha = 0.001 * root * first
        elif self.error == "epsilon inside the root":
            divisor = np.sqrt(v + 1e-7)
        w -= (alpha * m / divisor).astype(w.dtype)


def lengths(error, steps=50):
    """Of steps with a gradient that never changes, in units of the learning rate."""
    optimizer, w, path = PlantedAdam(error), np.zeros(1), [0.0]
    for _ in range(steps):
        optimizer.apply([np.array([5e-4])], [w])
        path.append(w[0])
    return abs(np.diff(path)) / 0.001


def losses(error, steps=50):
    """Of 50 batches, the network learning from each."""
    minicnn.set_random_seed(8)
    model = tutorial_network()
    model.compile(PlantedAdam(error), "sparse_categorical_crossentropy")
    batches = [slice(32 * t, 32 * t + 32) for t in range(steps)]
    return [model.train_on_batch(images[batch], labels[batch]) for batch in batches]


ADAMS = {
    "no correction": (plots.ORANGE, "-"),
    "right": (plots.BLUE, "-"),
    "corrections multiplied": (plots.GREEN, ":"),
    "epsilon inside the root": (plots.PINK, "--"),
}
long = {name: lengths(name) for name in ADAMS}
loss = {name: losses(name) for name in ADAMS}

# %% tags=["cover", "fold"]
figure = plots.new_figure(4.2)
left, right = figure.subplots(1, 2)
for name, (colour, line) in ADAMS.items():
    style = {"color": colour, "linestyle": line, "linewidth": 2, "label": name}
    left.plot(range(1, 51), long[name], **style)
    right.plot(range(5, 51), np.convolve(loss[name], np.ones(5) / 5, "valid"), **style)
left.set(xlabel="step t", ylabel="length of the step / learning rate", ylim=(0, 7))
right.set(xlabel="step t", ylabel="loss, mean of the last 5 batches", ylim=(0, 2.4))
right.legend(frameon=False, fontsize=9)
figure

# %%
late = {name: np.mean(values[-10:]) for name, values in loss.items()}
assert abs(long["right"] - 1).max() < 0.01
assert round(long["no correction"][0], 1) == 3.1
assert 6 < long["no correction"].max() < 7
assert max(late.values()) < 1  # all began at about 2.3
assert min(late, key=late.get) == "no correction"

# %% [markdown]
# There are two surprises. Without the correction the first steps are *longer*, not shorter. Both `m` and
# the root of `v`, by which the step is divided, are too small: in the first step 10 and 31.6 times, and the root stays too small for
# longer. So the steps are three times too long at first, and six times around step 12. The correction is a brake. The two other errors make steps too short: green
# has $1 - \beta_1^t$ in it twice, and with epsilon inside the root (pink), $\sqrt{10^{-7}} = 3 \cdot 10^{-4}$ is added to numbers
# of the same size.
#
# And **all of them learn.** The lowest loss even belongs to a wrong one, because longer steps happen to
# help this network at first. A learning curve does not show whether an optimizer is right. A comparison with Keras, step by step,
# does: the check of exercise 2 names each of these errors.
#
# ## The fast version, and what it costs
#
# In NumPy, each operation of exercise 2 goes over a whole array and writes a new one. For long
# arrays, moving the numbers takes more time than computing with them. minicnn's core does it like this. Its engine
# has one compiled loop, as in lesson 2, which does everything for one weight before it goes on to the next.

# %%
import time
import timeit

from minicnn.engine import update_weights

rng = np.random.default_rng(8)
w, g = rng.normal(size=(2, 1_000_000)).astype(np.float32)  # more than a cache holds
m, v = np.zeros_like(w), np.zeros_like(w)
numbers = [np.float32(number) for number in (0.001, 0.9, 0.999, 1e-7)]


def with_numpy(alpha, beta_1, beta_2, epsilon):
    new_m = m + (g - m) * (1 - beta_1)
    new_v = v + (g * g - v) * (1 - beta_2)
    return w - alpha * new_m / (np.sqrt(new_v) + epsilon)


alpha = np.float32(0.001 * np.sqrt(1 - 0.999) / (1 - 0.9))  # of the first step
expected = with_numpy(alpha, *numbers[1:])
optimizer = Adam()
update_weights(optimizer, [[g]], [w])  # compiles, and changes w
assert np.allclose(w, expected, atol=1e-6)
# Processor time: other programs on the machine hardly change it.
clock = {"number": 5, "repeat": 5, "timer": time.process_time}
slow = min(timeit.repeat(lambda: with_numpy(*numbers), **clock))
fast = min(timeit.repeat(lambda: update_weights(optimizer, [[g]], [w]), **clock))
assert slow > 1.5 * fast  # with room to spare

# What Adam costs is memory: two more numbers for each weight.
remembered = [array for slot in model.optimizer.state.values() for array in slot]
assert sum(array.size for array in remembered) == 2 * model.count_params() == 507_028

# %% [markdown]
# The cost of Adam is memory: for a network of 253,514 weights it keeps 507,028 more
# numbers during training.
#
# ## Challenge: weight decay
#
# *Weight decay* makes all weights a little smaller in every step, so that only those stay large that the gradients keep large
# (lesson 14 says what for, and makes it a part of the loss). As a part of the loss, and so of the gradient, it is divided by $\sqrt{v}$
# like everything else. **AdamW**
# (Loshchilov and Hutter, 2019) keeps it out of `m` and `v`: before the step, each weight is reduced by the share
# `learning_rate * decay`; then comes Adam's step as before. In the example by hand, with `learning_rate=0.5` and a decay of 0.25, Keras'
# AdamW gives 8.35, 7.0190 and 6.1878.


# %% tags=["exercise", "challenge"]
def adamw(w, gradients, learning_rate, beta_1, beta_2, epsilon, decay):
    """The weights after each step of AdamW: an array of the shape of gradients.

    w (weights,): where it starts; gradients (steps, weights).
    """
    # solution
    m, v, path = np.zeros_like(w), np.zeros_like(w), []
    settings = learning_rate, beta_1, beta_2, epsilon
    for t, g in enumerate(gradients, start=1):
        w = w - learning_rate * decay * w
        w, m, v = adam_step(w, g, m, v, t, *settings)
        path.append(w)
    return np.array(path)


# %%
check.adamw(adamw)

# %% [markdown]
# <details><summary>Hint 1</summary>It is the loop of exercise 3 with one more line.</details>
# <details><summary>Hint 2</summary>The line multiplies w by 1 - learning_rate * decay, before the step, and touches neither m nor
# v.</details>
#
# ## The fact

# %%
for name, limit in limits.items():
    print(f"{name:9} {limit:.6f}")
rounded = [round(limit, 6) for limit in limits.values()]
assert rounded == [0.085280, 0.050000, 0.043301, 0.284747]

for size in np.logspace(-9, 3, 25):
    for g in (-size, size):
        w = np.zeros(1)
        Adam().apply([np.array([g])], [w])
        assert abs(w[0] / (-0.001 * g / (abs(g) + 3.1623e-6)) - 1) < 1e-4

# %% [markdown]
# > **Glorot's limits are 0.085280, 0.050000, 0.043301 and 0.284747. The first step of Adam has the
# > length** $lr \cdot |g| / (|g| + 3.16 \cdot 10^{-6})$: epsilon acts as if it were 31.6 times larger.
#
# ## In minicnn
#
# - `GlorotUniform` in [minicnn/initializers.py](../minicnn/initializers.py): your `glorot_uniform`.
# - `Adam.update` in [minicnn/optimizers.py](../minicnn/optimizers.py): your `adam_step`; `Adam.alpha`:
#   the number $\alpha$, rounded as in Keras; and `Optimizer.apply`: the loop of exercise 3.
# - `adam` in [minicnn/engine/kernels/adam.py](../minicnn/engine/kernels/adam.py): the same in one
#   pass over the weights.
# - `test_item_8_a_thousand_steps_follow_keras` in
#   [tests/test_optimizers.py](../tests/test_optimizers.py): the comparison with Keras itself.
