# %% [markdown]
# # 11 · What do Glorot and Adam really do?
#
# *20 minutes · needs lesson 8*
#
# **You will build** `glorot_uniform(shape, rng)`, which draws the weights that training starts
# from, and `adam_step(...)`, which changes them; and find out that Adam's epsilon is not the number
# that is printed in the program.

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
# First weights are drawn at random: two units with the same weights would get the same gradients,
# and stay alike for ever. But how large should they be?
#
# A unit has the weights 1 and 2, and two inputs that are -1 or 1. Its output is
# $y = x_0 \cdot 1 + x_1 \cdot 2$. All four cases:

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
# Inputs have a *mean square* of 1, outputs one of 5, the sum of the squared weights. That is no
# accident: $y^2 = 1 \cdot x_0^2 + 4 \cdot x_1^2 + 4 \cdot x_0 x_1$, and the last term is positive
# as often as negative. It drops out of the mean.
#
# ## The derivation of the limit
#
# Let an output be a sum of $fan_{in}$ products of inputs and weights, and let the weights be drawn
# around zero, each on its own, with the mean square $s^2$. Mixed terms drop out as above, so
#
# $$mean(y^2) = fan_{in} \cdot s^2 \cdot mean(x^2).$$
#
# Signals neither grow nor fade if $s^2 = 1 / fan_{in}$. In the backward pass (lesson 8) an input gets
# its gradient from all the outputs that it had a part in, $fan_{out}$ of them: a sum of products
# with weights again. Gradients neither grow nor fade if $s^2 = 1 / fan_{out}$. Both at once is too
# much to ask. Glorot and Bengio (2010) put the mean of the two fans in their place:
#
# $$s^2 = \frac{2}{fan_{in} + fan_{out}}.$$
#
# Numbers drawn evenly between $-limit$ and $limit$ have the mean square
# $\frac{1}{2 \cdot limit} \int_{-limit}^{limit} z^2 dz = \frac{1}{3} limit^2$. So
#
# $$limit = \sqrt{3 s^2} = \sqrt{\frac{6}{fan_{in} + fan_{out}}}.$$
#
# What are the fans?
#
# - **Dense**, kernel `(inputs, units)`: an output sums `inputs` products, an input has a part in
#   `units` outputs. These are the fans.
# - **Conv2D**, kernel `(kh, kw, c, f)`: an output sums `kh * kw * c` products, the first fan. An
#   input lies in `kh * kw` windows (lesson 8; away from the edge), for `f` outputs each:
#   `kh * kw * f`.
#
# ## Exercise 1: draw first weights
#
# Draw them all with one call of `rng.uniform(low, high, shape)`, so that they can be compared.


# %% tags=["exercise"]
def glorot_uniform(shape, rng):
    """An array of first weights, for a shape (inputs, units) or (kh, kw, c,
    f)."""
    # solution
    *window, inputs, outputs = shape
    cells = int(np.prod(window))  # 1 for a dense kernel
    limit = np.sqrt(6 / (cells * inputs + cells * outputs))
    return rng.uniform(-limit, limit, shape)


# %%
check.glorot_uniform(glorot_uniform)

# %% [markdown]
# ## What it is good for, and what it overlooks
#
# A thousand random inputs go through twelve dense layers of 256 units, with Glorot's limit, half of
# it, twice of it; and with a ReLU after each layer.


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
axes.set(xlabel="layers passed", ylabel="mean square of the signal")
axes.legend(frameon=False)
figure

# %%
last = {name: values[-1] for name, values in signals.items()}
assert 0.7 < last["Glorot's limit"] < 1.4
assert 0.7 < last["twice the limit"] / 4**12 < 1.4
assert 0.7 < last["half the limit"] * 4**12 < 1.4
assert 0.5 < last["Glorot's limit, with ReLU"] * 2**12 < 2

# %% [markdown]
# With Glorot's limit the line is flat. A factor of 2 in the limit is one of 4 in the mean square,
# and after twelve layers one of $4^{12}$, sixteen million.
#
# And it is *not* flat with ReLU, which sets half of all numbers to zero: half of the mean square is
# gone at each layer, $2^{12} = 4096$ in the end. Glorot's derivation knows nothing of ReLU. *He's*
# rule (2015) does, $s^2 = 2 / fan_{in}$. Keras' default is Glorot all the same, and for the four
# layers of our network it will do.
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
all_axes[1, 0].set(xlabel="first weight", ylabel="how many")
all_axes[1, 1].set(xlabel="first weight")
figure

# %%
each = zip(kernels.values(), limits.values(), KERAS_LARGEST, strict=True)
for kernel, limit, keras_largest in each:
    assert 0.98 * limit < abs(kernel).max() <= limit
    assert 0.98 * limit < keras_largest <= limit
    assert abs((kernel**2).mean() / (limit**2 / 3) - 1) < 0.1

# %% [markdown]
# About flat, the more so the more weights there are, and cut off sharply. The largest first weight
# of each kernel in Keras lies just below the same limit; *which* weights it draws is up to its own
# random numbers. Biases start at zero.
#
# ## Adam, by hand
#
# The plain way to learn, *gradient descent*, is `w - learning_rate * g`, for each weight `w` and its gradient `g`. Of
# two weights, the one whose gradient is a thousand times smaller then moves a thousand times less.
# Adam (Kingma and Ba, 2014) takes each gradient *in units of its usual size*. For that it remembers
# two numbers a weight, both 0 at first: `m`, a running mean of `g`, and `v`, a running mean of `g`
# squared. Step number $t = 1, 2, 3, \dots$ is, with `lr` for `learning_rate`,
#
# $$m \leftarrow m + (g - m)(1 - \beta_1), \qquad v \leftarrow v + (g^2 - v)(1 - \beta_2),$$
#
# $$w \leftarrow w - \alpha \cdot \frac{m}{\sqrt{v} + \epsilon} \qquad \text{with} \qquad
# \alpha = lr \cdot \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t}.$$
#
# One weight, `w = 10`, and three gradients, 4, 1 and -2. With numbers that are easy to handle,
# `learning_rate=1`, `beta_1=0.5`, `beta_2=0.75`, `epsilon=0.5`, do it on paper before you look:

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
# The first gradient is four times the second, but it does not move the weight four times as far.
# And a gradient of -2 hardly turns it round, because `m` remembers the others.
#
# ## Why it corrects
#
# Write `m` out, from $m_0 = 0$ on. Each step keeps the share $\beta_1$ of it and adds
# $(1 - \beta_1) g$, so
#
# $$m_t = (1 - \beta_1) \cdot (g_t + \beta_1 g_{t-1} + \beta_1^2 g_{t-2} + \dots
# + \beta_1^{t-1} g_1).$$
#
# The shares of all these gradients add up to
# $(1 - \beta_1)(1 + \beta_1 + \dots + \beta_1^{t-1}) = 1 - \beta_1^t$, which is less than 1: the
# zero at the beginning has the rest, and pulls `m` towards itself. Divided by $1 - \beta_1^t$, `m`
# is a proper mean, $\hat m$; and `v`, divided by $1 - \beta_2^t$, is $\hat v$. Now leave epsilon
# aside:
#
# $$\alpha \cdot \frac{m}{\sqrt v}
# = lr \cdot \frac{m}{1 - \beta_1^t} \cdot \frac{\sqrt{1 - \beta_2^t}}{\sqrt v}
# = lr \cdot \frac{\hat m}{\sqrt{\hat v}}.$$
#
# So $\alpha$ is both corrections at once, computed once a step instead of once a weight. As long as
# a gradient does not change, $\hat m = g$ and $\hat v = g^2$, and each step is as long as
# `learning_rate`, however large `g` is.
#
# ## Exercise 2: one step
#
# `w`, `g`, `m` and `v` are arrays of one shape. Give new arrays, do not change these.


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
# ## Exercise 3: two hundred steps of Keras
#
# `gradients` has a row for each step and a column for each weight. The weights start at 0.
# `step(w, g, m, v, t)` is a right `adam_step` with Keras' default numbers, 0.001, 0.9, 0.999 and
# 1e-7. The check compares with what Keras 3.15.1 made of the gradients of four weights, in double
# precision.


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
# Here are Keras' numbers, and minicnn's `Adam` in step with them. The gradients of the four weights
# are about 0.000001, 0.001, 1 and 1000:

# %%
optimizer, w = Adam(), np.zeros(4)
for t, g in enumerate(check.GRADIENTS, start=1):
    optimizer.apply([g], [w])
    if t in check.KERAS:
        print(f"step {t:3}", *(f"{number:10.6f}" for number in check.KERAS[t]))
        assert abs(w - check.KERAS[t]).max() < 1e-14
assert t == 200

# %% [markdown]
# Gradients that differ by a factor of $10^9$ move their weights by nearly the same amount. Only the
# first weight moves less. Why?
#
# ## Where epsilon acts
#
# Epsilon is there so that nothing is divided by zero. It says 1e-7. Now put the first step
# together: $m = (1 - \beta_1) g$, $v = (1 - \beta_2) g^2$ and $\alpha$, for $t = 1$. The factors
# $1 - \beta_1$ cancel, and
#
# $$move = -lr \cdot \frac{\sqrt{1 - \beta_2} \cdot g}{\sqrt{1 - \beta_2} \cdot |g| + \epsilon}
# = -lr \cdot \frac{g}{|g| + \epsilon / \sqrt{1 - \beta_2}}.$$
#
# Epsilon has been divided by $\sqrt{1 - 0.999} = 0.0316$. It acts as if it were **31.6 times
# larger**, 3.16e-6: a gradient of that size moves its weight half as far as a large one. In step
# $t$, by the same calculation, it acts as $\epsilon / \sqrt{1 - \beta_2^t}$.
#
# It could have been otherwise. Algorithm 1 of the paper divides by $\sqrt{\hat v} + \epsilon$, and
# there epsilon is what it says. Then the paper gives the form above as a faster one, and calls its
# epsilon $\hat\epsilon$, since it is not the same number. Keras took the second form, PyTorch the
# first, with 1e-8.

# %% tags=["fold"]
t = np.arange(1, 10_001)
acts = 1e-7 / np.sqrt(1 - 0.999**t)

figure = plots.new_figure(3.6)
axes = figure.subplots()
axes.loglog(t, acts, color=plots.BLUE, linewidth=2, label="Keras and minicnn")
axes.axhline(1e-7, color=plots.GREY, linestyle=":", label="what they print, 1e-7")
axes.axhline(1e-8, color=plots.ORANGE, linestyle="--", label="PyTorch, prints 1e-8")
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
# For 287 steps epsilon acts more than twice as large as printed, for 3,924 steps more than one per
# cent too large. With a gradient of a millionth, PyTorch's first step is 4.1 times as long as
# Keras'.
#
# ## Exercise 4: look into a closed box
#
# Someone hands you an Adam with `learning_rate=0.001`, `beta_1=0.9`, `beta_2=0.999` and an epsilon
# that you do not know. `first_move(g)` tells what its first step adds to a weight whose gradient
# is `g`. Which epsilon was it given?


# %% tags=["exercise"]
def epsilon_of(first_move):
    """The epsilon of this Adam, as it is printed in its program."""
    # solution
    g = 1.0
    acts = -0.001 * g / first_move(g) - g
    return acts * np.sqrt(1 - 0.999)


# %%
check.epsilon_of(epsilon_of)

# %% [markdown]
# ## One step of our network
#
# `train_on_batch` makes a forward and a backward pass over 32 images (lessons 2 to 8), and lets
# Adam move the weights. After its first step $m = (1 - \beta_1) g$, so the gradients can be read from what Adam
# remembers:

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
assert 4e-4 < middle < 6e-4

# %% [markdown]
# Gradients of very different sizes, and steps that are nearly all alike. That is what Adam really
# does at first: it looks at the *sign* of a gradient, and goes `learning_rate` the other way. Only
# a weight whose gradient is exactly zero stays where it is, one that sees nothing but blank paper,
# for instance.
#
# ## Three errors, and a learning curve that likes one of them
#
# Let us plant errors in Adam. Left: the length of its steps if the gradient is always 5e-4, a
# common size in our network. Right: the loss while the network learns.


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
# Two surprises. Leaving the correction out does not make the first steps *shorter*. Both `m` and
# `v` are too small at first, but `v` stays so for longer, and it divides: steps are three times too
# long, then six times. The correction is a brake.
#
# And **all of them learn.** The lowest loss even belongs to a wrong one, as longer steps happen to
# suit this network at first. A learning curve does not tell whether an optimizer is right. Steps
# next to Keras' do: the check of exercise 2 calls each of these errors by its name.
#
# ## The fast version, and what it costs
#
# With NumPy, each operation of exercise 2 goes over a whole array and writes a new one, and of long
# arrays the fetching takes more time than the computing. minicnn's core does so, too. Its engine
# has a loop, compiled like that of lesson 2, that does all of it for one weight, then for the next.

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
# The cost of Adam, fast or not, is memory: a network of 253,514 weights takes along 507,028 more
# numbers while it learns.
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
# > **The limits are 0.085280, 0.050000, 0.043301 and 0.284747. The first step of Adam has the
# > length** $lr \cdot |g| / (|g| + 3.16 \cdot 10^{-6})$: epsilon acts 31.6 times larger than it is
# > printed.
#
# ## In minicnn
#
# - `GlorotUniform` in [minicnn/initializers.py](../minicnn/initializers.py): your `glorot_uniform`.
# - `Adam.update` in [minicnn/optimizers.py](../minicnn/optimizers.py): your `adam_step`; `Adam.alpha`:
#   the number $\alpha$, rounded as in Keras; and `Optimizer.apply`: the loop of exercise 3.
# - `adam` in [minicnn/engine/kernels/adam.py](../minicnn/engine/kernels/adam.py): the same in one
#   pass over the weights.
# - `test_item_8_a_thousand_steps_follow_keras` in
#   [tests/test_optimizers.py](../tests/test_optimizers.py): next to Keras itself.
