# %% [markdown]
# # 4 · How does one neuron learn?
#
# *20 minutes · needs lesson 3*
#
# **You will build** the gradient of one neuron, by the chain rule, and gradient descent, with momentum and with
# mini-batches. At the end, a single neuron tells handwritten fours from nines.

# %%
import numpy as np

from checks import check_04 as check
from minicnn import plots
from minicnn.datasets import mnist

# %% [markdown]
# In lessons 2 and 3 the numbers of a kernel were given. A real network begins with random ones and *learns* better
# ones. This lesson shows how, on the smallest network there is.
#
# ## A tiny example, by hand
#
# A **neuron** with one input $x$ has two parameters, a weight $w$ and a bias $b$. It computes $z = w x + b$, and then
# $y = \max(z, 0)$, which is the ReLU of lesson 1. For the input $x = 2$ we want the output $t = 3$, the *target*. How
# wrong the neuron is, is measured by a **loss**, here the squared error $L = (y - t)^2$. It is 0 if the output is
# right, and grows the more wrong it is.


# %%
def loss(w, b, x, t):
    """The squared error of one neuron with ReLU."""
    z = w * x + b
    y = max(z, 0)
    return (y - t) ** 2


w, b, x, t = 0.5, 1.0, 2.0, 3.0
print("z =", w * x + b, " y =", max(w * x + b, 0), " L =", loss(w, b, x, t))
assert loss(w, b, x, t) == 1

# %% [markdown]
# ## What is a derivative?
#
# Change one number a little, leave the others alone, and see what the loss does. This is all that a derivative is
# about. **Guess before you run:** when $w$ rises from 0.5 to 0.51, does the loss rise or fall? By about 0.01, by more,
# or by less?

# %%
for step in [0.1, 0.01, 0.001]:
    change = loss(w + step, b, x, t) - loss(w, b, x, t)
    print(
        f"w + {step}: the loss changes by {change:.6f}, {change / step:.3f} times step"
    )
assert abs(change / step - -4) < 0.01

# %% [markdown]
# The loss falls, and by about four times as much as $w$ rises. The smaller the step, the closer the ratio comes to
# $-4$. This limit is the **derivative** of the loss with respect to $w$, written $\frac{\partial L}{\partial w}$; in
# code we call it `dw`. Its sign says in which direction the loss rises, its size how fast.
#
# There is one derivative for each parameter. All of them together are the **gradient**. Here it is the pair
# (`dw`, `db`).
#
# ## The chain rule
#
# Nudging works, but for a network with 253,514 parameters, one gradient would take 253,514 forward passes. There is
# a better way. The loss is computed in small steps, and the derivative of each step is known from school:
#
# | step | its derivative | here |
# |---|---|---|
# | $z = w x + b$ | $\partial z / \partial w = x$ and $\partial z / \partial b = 1$ (and $\partial z / \partial x = w$) | 2 and 1 |
# | $y = \max(z, 0)$ | $\partial y / \partial z = 1$ if $z > 0$, else $0$ | 1 |
# | $L = (y - t)^2$ | $\partial L / \partial y = 2 (y - t)$ | $-2$ |
#
# If $w$ rises by a little, $z$ rises by $x = 2$ times as much; $y$ rises by 1 times as much as $z$; and $L$ changes by
# $-2$ times as much as $y$. So $L$ changes by $2 \cdot 1 \cdot (-2) = -4$ times as much as $w$. Derivatives along the
# way are *multiplied*. This is the **chain rule**:
#
# $$\frac{\partial L}{\partial w} = \frac{\partial L}{\partial y} \cdot \frac{\partial y}{\partial z} \cdot
# \frac{\partial z}{\partial w} \qquad\qquad
# \frac{\partial L}{\partial b} = \frac{\partial L}{\partial y} \cdot \frac{\partial y}{\partial z} \cdot
# \frac{\partial z}{\partial b}$$
#
# The factors that the two have in common are computed once. One starts at the loss and goes backward:

# %%
z = w * x + b  # forward pass: from the inputs to the loss
y = max(z, 0)

dy = 2 * (y - t)  # backward pass: from the loss to the parameters
dz = dy * (z > 0)
dw = dz * x
db = dz * 1
print("dy", dy, " dz", dz, " dw", dw, " db", db)

KERAS = {"dw": -4.0, "db": -2.0}  # Keras 3.15.1 (TensorFlow 2.21)
assert (dw, db) == (KERAS["dw"], KERAS["db"])

# %% tags=["fold"]
figure = plots.new_figure(3.4)
axes = figure.subplots()
nodes = {
    "$w$": (0, 1.5, "w = 0.5", "dw = -4"),
    "$x$": (0, 0, "x = 2", ""),
    "$b$": (0, -1.5, "b = 1", "db = -2"),
    "$w x + b$": (3, 0, "z = 2", "dz = -2"),
    "ReLU": (6, 0, "y = 2", "dy = -2"),
    "$(y - t)^2$": (9, 0, "L = 1", ""),
}
edges = [("$w$", "$w x + b$", "times x = 2"), ("$x$", "$w x + b$", "")]
edges += [("$b$", "$w x + b$", "times 1"), ("$w x + b$", "ReLU", "times 1")]
edges += [("ReLU", "$(y - t)^2$", "times 2(y - t) = -2")]
for start, end, slope in edges:
    (x1, y1, *_), (x2, y2, *_) = nodes[start], nodes[end]
    axes.plot([x1, x2], [y1, y2], color=plots.GREY, zorder=0)
    middle = (
        (x1 + x2) / 2 + (0.5 if y1 else 0),
        (y1 + y2) / 2 + (0.13 if y1 >= 0 else -0.42),
    )
    axes.text(*middle, slope, ha="center", fontsize=9, color=plots.GREY)
for name, (across, up, value, slope) in nodes.items():
    box = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": "black"}
    axes.text(across, up, name, ha="center", va="center", bbox=box, zorder=2)
    axes.text(across, up + 0.38, value, ha="center", color=plots.BLUE)
    axes.text(across, up - 0.6, slope, ha="center", color=plots.ORANGE)
title = "forward, left to right, in blue; backward, right to left, in orange"
axes.set_title(title, fontsize=11)
axes.set(xlim=(-0.8, 10), ylim=(-2.2, 2.1))
axes.set_axis_off()
figure

# %% [markdown]
# The **forward pass** computes the loss and keeps the values in between; the **backward pass** multiplies their
# derivatives, the last one first. One backward pass gives the derivatives with respect to *all* parameters. Done for a whole network
# it is called **backpropagation**; lessons 5 to 8 do it layer by layer.
#
# Two remarks. At $z = 0$ exactly, ReLU has a corner and no derivative; Keras takes 0 there, and so do we. And where $z$
# is negative, a small change of $w$ or $b$ changes nothing: the output stays 0. Then both derivatives are 0: the neuron
# is off, and learns nothing from this sample.
#
# ## Exercise 1: the gradient of a neuron


# %% tags=["exercise"]
def neuron_gradient(w, b, x, t):
    """The pair (dw, db) of the loss (y - t)**2, where y = max(w * x + b, 0).

    All numbers; neuron_gradient(0.5, 1.0, 2.0, 3.0) is (-4.0, -2.0).
    """
    # solution
    z = w * x + b
    dz = 2 * (max(z, 0) - t) * (z > 0)
    return dz * x, dz


# %%
check.neuron_gradient(neuron_gradient)

# %% [markdown]
# <details><summary>Hint 1</summary>Write the forward pass first, one line for z and one for y.</details>
# <details><summary>Hint 2</summary>Go back from the loss: dy, then dz. Both results contain dz.</details>
#
# ## A valley, and a way down
#
# Now three samples: for $x = 1, 2, 3$ the targets are $2, 3, 4$. The loss is the *mean* of the three squared errors.
# The loss depends on $w$ and $b$ through all three samples. When a number acts on the loss in several ways, its effects *add up*: the
# gradient of the mean is the mean of the three gradients.

# %%
xs, ts = np.array([1.0, 2, 3]), np.array([2.0, 3, 4])


def mean_loss(point):
    """The loss at point = (w, b)."""
    z = point[0] * xs + point[1]
    return np.mean((np.maximum(z, 0) - ts) ** 2)


def gradient(point):
    """An array (dw, db)."""
    z = point[0] * xs + point[1]
    dz = 2 * (np.maximum(z, 0) - ts) * (z > 0) / len(xs)
    return np.array([(dz * xs).sum(), dz.sum()])


start = np.array([2.0, 0.0])
print("loss", mean_loss(start).round(3), " gradient", gradient(start).round(3))
assert mean_loss(np.array([1.0, 1.0])) == 0  # y = x + 1 is the answer

# %% [markdown]
# Think of the loss as a landscape: each point $(w, b)$ has a height. The gradient points in the direction in which it
# rises most steeply, so we take a step in the opposite direction, and from there the next one:
#
# $$w \leftarrow w - lr \cdot dw \qquad\qquad b \leftarrow b - lr \cdot db$$
#
# This is **gradient descent**. The factor $lr$ is the **learning rate**. Each step uses the gradient *at the point where
# we are now*.
#
# **Guess before you run:** we take 30 steps from $w = 2$, $b = 0$, with the learning rates 0.01, 0.1 and 0.22. Which of
# the three comes closest to the lowest point?

# %%
paths = {}
for lr in (0.01, 0.1, 0.22):
    path = [start]
    for _step in range(30):
        path.append(path[-1] - lr * gradient(path[-1]))
    paths[lr] = np.array(path)
    heights = [mean_loss(point) for point in path]
    print(
        f"lr {lr}: loss",
        np.round(heights[:6], 2),
        "... after 30 steps",
        heights[-1].round(3),
    )

# %% tags=["cover", "fold"]
from matplotlib.colors import BoundaryNorm

grid_w, grid_b = np.meshgrid(np.linspace(-1, 3.2, 211), np.linspace(-2.2, 3, 211))
outputs = np.maximum(grid_w[..., None] * xs + grid_b[..., None], 0)
landscape = ((outputs - ts) ** 2).mean(-1)
levels = [0, 0.02, 0.1, 0.3, 1, 2, 4, 6, 8, 9.6, 13, 20, 30, 60]
titles = {0.01: "too small: on its way", 0.1: "just right", 0.22: "too large"}


def draw_valley(axes, path, title, colour=plots.ORANGE):
    """The contours of the loss, and a path through them."""
    norm = BoundaryNorm(levels, 256)  # as many colours for each level
    axes.contourf(grid_w, grid_b, landscape, levels, cmap="Blues_r", norm=norm)
    axes.contour(grid_w, grid_b, landscape, levels, colors="#ffffff", linewidths=0.6)
    axes.plot(*path.T, "o-", color=colour, markersize=3, linewidth=1.2)
    axes.plot(*path[0], "o", color="black", markersize=6)
    axes.plot(1, 1, "*", color=plots.YELLOW, markersize=13, markeredgecolor="black")
    axes.set(title=title, xlabel="w", xlim=(-1, 3.2), ylim=(-2.2, 3))


figure = plots.new_figure(3.9)
all_axes = figure.subplots(1, 3, sharey=True)
for axes, (lr, path) in zip(all_axes, paths.items(), strict=True):
    draw_valley(axes, path, f"lr = {lr}\n{titles[lr]}")
all_axes[0].set_ylabel("b")
all_axes[2].text(-0.9, -2.05, "plateau: the neuron is off", fontsize=9)
figure

# %% [markdown]
# The loss is a long, narrow valley (the star marks its lowest point); darker is lower. At the bottom left
# there is a high plateau.
#
# - **0.01 is too small.** Nothing goes wrong, but after 30 steps we are still far away.
# - **0.1 is right.** The first step ends near the floor of the valley; the others follow it.
# - **0.22 is too large.** Each jump ends higher on the other side than it began: the loss grows, 1.67, 3.21, 6.44. This
#   is called *divergence*. With the third jump we land on the plateau. There $z$ is negative for all three samples, the
#   neuron is off, the gradient is exactly 0, and gradient descent stays there forever. It is a **dead ReLU**.

# %%
small, right, large = (mean_loss(paths[lr][-1]) for lr in paths)
assert right < 0.06 < 0.15 < small
assert [round(mean_loss(point), 2) for point in paths[0.22][:3]] == [1.67, 3.21, 6.44]
assert (gradient(paths[0.22][3]) == 0).all()
assert large == mean_loss(paths[0.22][3]) == (ts**2).mean()

# %% [markdown]
# ## Exercise 2: gradient descent
#
# Along any landscape: `gradient` is a function that takes a point, an array, and returns the gradient there, an array of
# the same shape.


# %% tags=["exercise"]
def descend(gradient, start, lr, steps):
    """All points of the way: an array (steps + 1, len(start)), start first.

    gradient: a function of a point; start (len,): an array, not to be changed.
    """
    # solution
    path = [start]
    for _step in range(steps):
        path.append(path[-1] - lr * gradient(path[-1]))
    return np.array(path)


# %%
check.descend(descend)

# %% [markdown]
# <details><summary>Hint 1</summary>Keep the points in a list that begins with <code>start</code>.</details>
# <details><summary>Hint 2</summary><code>point -= ...</code> changes the array itself, and with it all that is in the list.
# <code>point = point - ...</code> makes a new one.</details>
#
# ## Momentum
#
# With a learning rate small enough not to diverge, the path along the floor takes long: the floor is almost flat, so the steps
# are short. A ball would roll faster and faster there. **Momentum** imitates it. The *velocity* $v$ begins at 0,
# keeps a part of what it was, and moves the point:
#
# $$v \leftarrow momentum \cdot v - lr \cdot gradient \qquad point \leftarrow point + v$$
#
# Across the valley, the gradients change their sign again and again and cancel each other; along the valley they add up.
# With momentum 0 this is plain gradient descent; 0.9 is usual.

# %%
lr, needed, rolled = 0.02, {}, {}
for momentum in (0.0, 0.9):
    path, velocity = [start], np.zeros(2)
    while mean_loss(path[-1]) > 0.001:
        velocity = momentum * velocity - lr * gradient(path[-1])
        path.append(path[-1] + velocity)
    needed[momentum], rolled[momentum] = len(path) - 1, np.array(path)
print("steps until the loss is below 0.001, by momentum:", needed)
assert needed == {0.0: 555, 0.9: 42}

# Keras 3.15.1, SGD(0.02, momentum=0.9): w and b after three steps from (2, 0).
KERAS = [1.507408618927002, -0.17801421880722046]
assert np.allclose(rolled[0.9][3], KERAS, atol=1e-6)

# %% tags=["fold"]
figure = plots.new_figure(3.9)
left, middle, curves = figure.subplots(1, 3)
for axes, momentum, colour in [(left, 0.0, plots.ORANGE), (middle, 0.9, plots.PINK)]:
    path = rolled[momentum]
    draw_valley(axes, path[:43], f"momentum {momentum}\n42 steps", colour)
    losses = [mean_loss(point) for point in path[:201]]
    curves.plot(losses, color=colour, label=f"momentum {momentum}")
left.set_ylabel("b")
curves.set(yscale="log", xlabel="step", title="loss\nwith lr = 0.02")
curves.legend()
figure

# %% [markdown]
# 42 steps instead of 555, with the same learning rate. With momentum the path overshoots and comes back, but it arrives much earlier.
#
# ## Exercise 3: one step with momentum


# %% tags=["exercise"]
def momentum_step(point, velocity, gradient, lr, momentum):
    """The new (point, velocity), both arrays of the shape of point.

    point, velocity, gradient: arrays of one shape. gradient is that at point.
    """
    # solution
    velocity = momentum * velocity - lr * gradient
    return point + velocity, velocity


# %%
check.momentum_step(momentum_step)

# %% [markdown]
# <details><summary>Hint 1</summary>Two lines, one for each arrow of the formula, in their order.</details>
#
# ## Real data: fours and nines
#
# A neuron for images has one weight for each of the 784 pixels, and one bias. We want 1 for a nine and 0 for a four, so we
# replace ReLU by the *sigmoid*, whose values lie between 0 and 1,
#
# $$y = \frac{1}{1 + e^{-z}}, \qquad \frac{\partial y}{\partial z} = \frac{e^{-z}}{(1 + e^{-z})^2} = y (1 - y),$$
#
# by the quotient rule. In the chain rule, too, this one factor is replaced, and nothing else changes. With `x` of shape
# $(n, 784)$, one image in each row, $z = x \cdot w + b$ is one matrix product, and so is the sum over the images in `dw`:

# %%
(x_train, y_train), (x_test, y_test) = mnist.load_data()


def fours_and_nines(images, labels):
    """The images of fours and nines (n, 784), from 0 to 1, and their targets (n,)."""
    chosen = (labels == 4) | (labels == 9)
    targets = (labels[chosen] == 9).astype(float)
    return images[chosen].reshape(-1, 784) / 255, targets


def image_gradient(w, b, x, t):
    """dw (784,) and db of the mean squared error of a sigmoid neuron."""
    y = 1 / (1 + np.exp(-(x @ w + b)))
    dz = 2 * (y - t) * y * (1 - y) / len(x)
    return x.T @ dz, dz.sum()


x, t = fours_and_nines(x_train, y_train)
new_x, new_t = fours_and_nines(x_test, y_test)
print(len(x), "images to learn from,", len(new_x), "new ones to be tested on")
dw, db = image_gradient(np.zeros(784), 0.0, x, t)
assert dw.shape == (784,)
# One weight, nudged: the gradient is right.
nudged = np.zeros(784)
nudged[400] = 1e-6
change = np.mean((1 / (1 + np.exp(-x @ nudged)) - t) ** 2) - 0.25
assert abs(change / 1e-6 - dw[400]) < 1e-5

# %% [markdown]
# One step with the mean gradient of all 11,791 images needs the forward and backward pass of 11,791 images. The mean over 32
# random images is much cheaper. How good is it? Compare directions by the cosine of the angle between two gradients: 1 if they
# point in the same direction, 0 if they have nothing in common.

# %%
rng = np.random.default_rng(0)
draws = [rng.permutation(len(x))[:32] for _draw in range(500)]
noisy = [image_gradient(np.zeros(784), 0.0, x[draw], t[draw])[0] for draw in draws]


def cosine(one, other):
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


typical = np.mean([cosine(each, dw) for each in noisy])
of_the_mean = cosine(np.mean(noisy, axis=0), dw)
print(f"one gradient of 32 images: {typical:.2f}; the mean of 500: {of_the_mean:.3f}")
assert 0.6 < typical < 0.7
assert of_the_mean > 0.99

# %% [markdown]
# Each single one is noisy, but on average they are right. So one shuffles the images, cuts them into **mini-batches** of 32, say,
# and takes a step after each one. The words:
#
# - a **batch** is what one step is computed from. If it is all of the data, one says *full batch*; in deep learning it is
#   nearly always a mini-batch, and `batch_size` says how many samples it has.
# - an **epoch** is one pass over all the data: each sample is used once. Here it has $\lceil 11{,}791 / 32 \rceil = 369$
#   steps; the last batch is smaller.
# - **SGD**, *stochastic gradient descent*, is gradient descent with the gradients of random mini-batches.
#
# ## Exercise 4: mini-batches
#
# Samples are named by their numbers, $0, 1, \dots, n - 1$, so that `x[batch]` and `t[batch]` are the images and targets of a batch.


# %% tags=["exercise"]
def mini_batches(n, batch_size, rng):
    """One epoch: a list of arrays of integers, the samples of each batch.

    Each of 0 ... n - 1 is in exactly one batch, in random order. rng, made by
    np.random.default_rng, gives a new order for every call. All batches have
    batch_size entries, except the last one, which has what is left.
    """
    # solution
    order = rng.permutation(n)
    return [order[i : i + batch_size] for i in range(0, n, batch_size)]


# %%
check.mini_batches(mini_batches)

# %% [markdown]
# <details><summary>Hint 1</summary>First shuffle all numbers, then cut.</details>
# <details><summary>Hint 2</summary><code>rng.permutation(n)</code>; and a slice may reach beyond the end of an array.</details>
#
# ## One epoch, two ways
#
# All weights begin at 0, the learning rate is 0.1. **Guess before you run:** after one epoch, the full batch has taken
# 1 step and mini-batches have taken 369. How many of the new digits does each of them get right? And the full batch, if
# it may take 369 steps as well?

# %%
looked_at = {1, 2, 4, 8, 16, 32, 64, 128, 256, 369}  # steps to draw


def train(batches):
    """A step for each batch. The weights, and the share of new digits right by step."""
    w, b, accuracy = np.zeros(784), 0.0, {}
    for step, batch in enumerate(batches, start=1):
        dw, db = image_gradient(w, b, x[batch], t[batch])
        w, b = w - 0.1 * dw, b - 0.1 * db
        if step in looked_at:
            accuracy[step] = ((new_x @ w + b > 0) == new_t).mean()
    return w, accuracy


def one_epoch(batch_size, rng):
    order = rng.permutation(len(x))
    return [order[i : i + batch_size] for i in range(0, len(x), batch_size)]


_, full = train([slice(None)] * 369)  # 369 epochs of one step
runs = [train(one_epoch(32, np.random.default_rng(seed))) for seed in range(5)]
mini = [accuracy[369] for _, accuracy in runs]
print(f"full batch    1 step   {full[1]:.1%}")
print(
    f"mini-batches  369 steps {np.mean(mini):.1%} (from {min(mini):.1%} to {max(mini):.1%})"
)
print(f"full batch    369 steps {full[369]:.1%}")

# %% tags=["fold"]
figure = plots.new_figure(3.6)
left, middle, picture = figure.subplots(1, 3, width_ratios=[1.2, 1.2, 1])
weights, first = runs[0]
for axes, full_share, mini_share in [(left, 1, 1 / 369), (middle, 1, 1)]:
    epochs = axes is left
    steps = np.array(sorted(looked_at))
    axes.semilogx(
        steps * full_share, full.values(), "o-", color=plots.BLUE, label="full batch"
    )
    axes.semilogx(
        steps * mini_share,
        first.values(),
        "o-",
        color=plots.ORANGE,
        label="batches of 32",
    )
    axes.set(xlabel="epochs (work)" if epochs else "steps", ylim=(0.45, 1))
left.set(ylabel="share of new digits right", title="by work")
middle.set(title="by steps")
middle.legend(loc="lower right")
limit = abs(weights).max()
shown = picture.imshow(weights.reshape(28, 28), cmap="RdBu_r", vmin=-limit, vmax=limit)
picture.set(title="the weights", xticks=[], yticks=[])
figure.colorbar(shown, ax=picture, shrink=0.7)
figure

# %% [markdown]
# After the first steps, both are about equally good, step for step. But a step with 32 images is 369 times less work. Its gradient
# is noisy, and the noise averages out over many steps. This is why networks are trained with mini-batches.
#
# On the right you see what the neuron has learned: ink in red pixels counts for a nine, ink in blue ones for a four.
# The red stroke at the top closes the loop of a nine.
#
# **See it move** in [the explorer](01_what_will_we_rebuild.ipynb): `#mode=train` takes such steps with all weights of the
# convolutional network, at a learning rate of your choice. Try one that is too large.
#
# ## Challenge
#
# Two neurons, and a *shortcut* around the second one:
#
# $$a = \max(w_1 x + b_1, 0)$$
#
# $$y = a + \max(w_2 a + b_2, 0) \qquad\qquad L = (y - t)^2$$
#
# Networks with such shortcuts are called *residual networks*; some have more than a hundred layers.


# %% tags=["exercise", "challenge"]
def shortcut_gradient(w1, b1, w2, b2, x, t):
    """The four derivatives (dw1, db1, dw2, db2) of L; all are numbers.

    shortcut_gradient(1.0, 0.0, 2.0, 1.0, 1.0, 5.0) is (-6.0, -6.0, -2.0, -2.0).
    """
    # solution
    z1 = w1 * x + b1
    a = max(z1, 0)
    z2 = w2 * a + b2
    dy = 2 * (a + max(z2, 0) - t)
    dz2 = dy * (z2 > 0)
    dz1 = (dy + dz2 * w2) * (z1 > 0)
    return dz1 * x, dz1, dz2 * a, dz2


# %%
check.shortcut_gradient(shortcut_gradient)

# %% [markdown]
# <details><summary>Hint 1</summary>Draw the graph. From how many places does an arrow come back to a?</details>
# <details><summary>Hint 2</summary>dy is as before. The second neuron is that of exercise 1, with the input a; it also has a
# derivative with respect to that input.</details>
# <details><summary>Hint 3</summary>a acts on the loss in two ways, and its effects add up: da is dy, from the shortcut, plus
# dz2 * w2, from the second neuron. From da on, it is exercise 1 again.</details>
#
# ## The fact
#
# The numbers of the picture:

# %%
assert len(x) == 11_791
row, column = divmod(weights.argmax(), 28)
assert row < 10  # the stroke that closes the loop of a nine
assert 10 < column < 18
assert len(one_epoch(32, np.random.default_rng(0))) == 369
assert round(100 * full[1], 1) == 78.5
assert round(100 * np.mean(mini), 1) == 95.6
assert round(100 * full[369], 1) == 95.7
# Step for step about equally good, after the first ones.
late = [step for step in looked_at if step >= 32]
assert all(abs(full[k] - accuracy[k]) < 0.04 for _, accuracy in runs for k in late)

# %% [markdown]
# > **One neuron tells fours from nines in 95.6 % of new digits after one epoch of mini-batches**, 369 steps (mean of five
# > seeds). With the full batch, one epoch is a single step, after which 78.5 % are right. It takes 369 epochs to get to 95.7 %:
# > the same steps, at 369 times the work.
#
# ## In minicnn
#
# - `SGD.update` in [minicnn/optimizers.py](../minicnn/optimizers.py): gradient descent, with momentum as in exercise 3.
# - `relu_backward` in [minicnn/activations.py](../minicnn/activations.py): the derivative of ReLU, 0 at 0.
# - `backward` in [minicnn/step.py](../minicnn/step.py): the chain rule, from the last layer to the first one.
# - `train_step` in [minicnn/step.py](../minicnn/step.py): one step with one mini-batch, as your network will take it.
