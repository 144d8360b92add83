# %% [markdown]
# # 7 · How does error flow back through dense layers and ReLU?
#
# *15 minutes · needs lesson 6*
#
# **You will build** `dense_backward(x, kernel, dy)` and `relu_backward(dy, y)`, and join them to the forward and backward
# pass of a whole two-layer network, which then learns digits by plain gradient descent.

# %%
import numpy as np

from checks import check_07 as check
from minicnn import plots
from minicnn.losses import cross_entropy_of_logits

# %% [markdown]
# ## A tiny example, by hand
#
# One sample with two inputs; a dense layer with three units and ReLU; a dense layer with two units, whose outputs are
# the scores (*logits*) of two classes. A **dense layer** multiplies its input by a matrix and adds a bias:
#
# $$y = x \cdot kernel + bias$$
#
# or, entry by entry,
#
# $$y_j = bias_j + \sum_i x_i \cdot kernel_{ij}.$$

# %%
x = np.array([[1.0, 2]])  # (n, inputs), here one sample
kernel_1 = np.array([[1.0, -1, 0], [0, 1, -1]])  # (inputs, units)
bias_1 = np.array([0.0, -2, 1])
kernel_2 = np.array([[1.0, 2], [0, 1], [3, 0]])
bias_2 = np.array([0.0, -1])
label = np.array([0])

h = x @ kernel_1 + bias_1
a = np.maximum(h, 0)  # ReLU
z = a @ kernel_2 + bias_2
losses, dz = cross_entropy_of_logits(label, z)  # lesson 6
print("h", h, " a", a, " z", z, " loss", losses.round(4), " dz", dz.round(4))
assert h.tolist() == [[1, -1, -1]]
assert a.tolist() == [[1, 0, 0]]
assert z.tolist() == [[1, 1]]
assert np.allclose(dz, [[-0.5, 0.5]])

# %% [markdown]
# This was the **forward pass**: from the input to the loss, one step after the other, each result kept. The **backward
# pass** goes through the same steps in the opposite order. It begins with `dz`, the gradient of the loss with respect to
# the scores, which lesson 6 gives: probabilities minus one-hot. At each step the **chain rule** of lesson 4 turns the
# gradient with respect to the output of the step into the gradient with respect to its input, and, if the step has weights,
# into theirs as well. Done for a whole network, this is called **backpropagation**.
#
# ## Back through a dense layer
#
# Say `dy` arrives: $dy_j$ is how much the loss changes for a small change of $y_j$. Three questions:
#
# - **The bias.** $bias_j$ is added to $y_j$ alone, and unchanged. So $dbias_j = dy_j$.
# - **The kernel.** $kernel_{ij}$ enters $y_j$ alone, multiplied by $x_i$. So $dkernel_{ij} = x_i \cdot dy_j$.
# - **The input.** $x_i$ enters *every* $y_j$, multiplied by $kernel_{ij}$. A change of $x_i$ acts on the loss along all
#   these paths, so they add up: $dx_i = \sum_j dy_j \cdot kernel_{ij}$.
#
# **Guess before you run:** in the second layer `dz` is -0.5, 0.5 and its input `a` is 1, 0, 0. Which rows of the gradient
# of `kernel_2` are zero?

# %%
dkernel_2 = a.T @ dz
dbias_2 = dz.sum(axis=0)
da = dz @ kernel_2.T
print("dkernel_2\n", dkernel_2, "\ndbias_2", dbias_2, " da", da)
assert dkernel_2.tolist() == [[-0.5, 0.5], [0, 0], [0, 0]]
assert da.tolist() == [[0.5, 0.5, -1.5]]

# %% [markdown]
# Two units of the hidden layer gave 0. Their weights in the second layer were multiplied by 0, so no change of these weights
# changes the loss. For a whole batch, `dx` and `dkernel` are matrix products, and the shapes alone nearly tell which:
#
# $$dx = dy \cdot kernel^T \qquad dkernel = x^T \cdot dy \qquad dbias = \textstyle\sum_n dy$$
#
# | array | shape | computed as |
# |---|---|---|
# | `dx` | (n, inputs) | `dy` (n, units) times `kernel.T` (units, inputs) |
# | `dkernel` | (inputs, units) | `x.T` (inputs, n) times `dy` (n, units) |
# | `dbias` | (units,) | `dy` (n, units), summed over the samples |
#
# With more than one sample in the batch, each sample has its own row in `x`, `dy` and `dx`. The weights are shared by
# all samples, so their gradients are *sums* over the batch: that is what the inner dimension `n` of the product $x^T \cdot dy$ does.
# The loss of a batch is the *mean* over its samples; its factor $1/n$ is already in the `dz` of lesson 6's `loss_and_gradient`.
#
# ## Back through ReLU
#
# ReLU passes positive numbers on unchanged: slope 1. It makes all others 0: slope 0. So the gradient passes where the
# output was positive, and stops everywhere else:
#
# $$dx = dy \text{ where } y > 0, \text{ else } 0$$
#
# At exactly 0 there is no derivative. Keras takes 0 there, and so do we.

# %%
dh = np.where(a > 0, da, 0)
dkernel_1 = x.T @ dh
dbias_1 = dh.sum(axis=0)
print("dh", dh, "\ndkernel_1\n", dkernel_1, "\ndbias_1", dbias_1)
assert dh.tolist() == [[0.5, 0, 0]]
assert dkernel_1.tolist() == [[0.5, 0, 0], [1, 0, 0]]

# %% [markdown]
# Keras 3.15.1 (TensorFlow 2.21) has the same four gradients for this sample:

# %%
KERAS = {
    "kernel_1": [[0.5, 0.0, 0.0], [1.0, 0.0, 0.0]],
    "bias_1": [0.5, 0.0, 0.0],
    "kernel_2": [[-0.5, 0.5], [0.0, 0.0], [0.0, 0.0]],
    "bias_2": [-0.5, 0.5],
}
ours = {
    "kernel_1": dkernel_1,
    "bias_1": dbias_1,
    "kernel_2": dkernel_2,
    "bias_2": dbias_2,
}
for name, expected in KERAS.items():
    assert np.allclose(ours[name], expected, atol=1e-7), name

# %% [markdown]
# The whole computation as a graph. Forward, values go from left to right (above each circle); backward, gradients go from
# right to left (below it, in orange). Grey lines belong to units that ReLU has switched off: the weights on them get gradient 0, and
# nothing passes from $a$ to $h$.

# %% tags=["cover", "fold"]
columns = [("x", x, None), ("h", h, dh), ("a", a, da), ("z", z, dz)]
figure = plots.new_figure(4.2)
axes = figure.subplots()
places = {}
for column, (name, values, gradients) in enumerate(columns):
    values = values[0]
    heights = 1.6 * (np.arange(len(values)) - (len(values) - 1) / 2)
    for unit, (value, height) in enumerate(zip(values, -heights, strict=True)):
        places[name, unit] = 3 * column, height
        axes.scatter(
            3 * column, height, s=1300, color="white", edgecolor="black", zorder=2
        )
        axes.text(3 * column, height, f"${name}_{unit}$", ha="center", va="center")
        axes.text(3 * column, height + 0.5, f"{value:g}", ha="center", color=plots.BLUE)
        if gradients is not None:
            text = f"{gradients[0, unit]:+g}" if gradients[0, unit] else "0"
            axes.text(3 * column, height - 0.66, text, ha="center", color=plots.ORANGE)
for (name, i), (left, low) in places.items():
    for (other, j), (right, high) in places.items():
        dense = (name, other) in (("x", "h"), ("a", "z"))
        if dense or ((name, other) == ("h", "a") and i == j):
            alive = a[0, j if other in "ha" else i] > 0
            colour = "black" if alive else "#cccccc"
            axes.plot([left, right], [low, high], color=colour, zorder=1, linewidth=1)
axes.text(10.1, 0, f"loss {losses[0]:.3f}", va="center")
axes.set(
    xlim=(-1, 12),
    ylim=(-2.9, 2.9),
    title="values (blue) and gradients of the loss (orange)",
)
axes.set_axis_off()
figure

# %% [markdown]
# ## Exercise 1: a dense layer
#
# The formulas above, for a batch of any size.


# %% tags=["exercise"]
def dense_backward(x, kernel, dy):
    """x (n, inputs), kernel (inputs, units), dy (n, units): the tuple of
    dx (n, inputs), dkernel (inputs, units) and dbias (units,).
    """
    # solution
    return dy @ kernel.T, x.T @ dy, dy.sum(axis=0)


# %%
check.dense_backward(dense_backward)

# %% [markdown]
# <details><summary>Hint 1</summary>Write down the shape of each result, and which two arrays have its letters.</details>
# <details><summary>Hint 2</summary>Three lines of code; two of them have an <code>@</code> and a <code>.T</code>.</details>
# <details><summary>Hint 3</summary>The bias was added to every row: its gradient is a sum over <code>axis=0</code>.</details>
#
# ## Exercise 2: ReLU
#
# `y` is the *output* of ReLU. That is enough to know where the input was positive.


# %% tags=["exercise"]
def relu_backward(dy, y):
    """dy and y of any one shape: dx of that shape."""
    # solution
    return np.where(y > 0, dy, 0)


# %%
check.relu_backward(relu_backward)

# %% [markdown]
# <details><summary>Hint 1</summary>What is the slope of ReLU where its output is positive, and where it is 0?</details>
# <details><summary>Hint 2</summary>A comparison of arrays gives an array of truth values, which can be multiplied.</details>
#
# ## Exercise 3: two layers
#
# Now both passes of a whole network. The gradients are those of the *mean* loss of the batch; `cross_entropy_of_logits(labels, z)`,
# labels first, gives the loss of each sample and `dz` *before* the division by $n$. `weights` are the four arrays `kernel_1, bias_1, kernel_2, bias_2`.


# %% tags=["exercise"]
def two_layers(weights, x, labels):
    """The mean loss, and the list of the four gradients, in the order of the
    weights.

    x (n, inputs), labels (n,): a dense layer with ReLU, then a dense layer.
    """
    # solution
    kernel_1, bias_1, kernel_2, bias_2 = weights
    a = np.maximum(x @ kernel_1 + bias_1, 0)
    losses, dz = cross_entropy_of_logits(labels, a @ kernel_2 + bias_2)
    da, dkernel_2, dbias_2 = dense_backward(a, kernel_2, dz / len(x))
    dh = relu_backward(da, a)
    _, dkernel_1, dbias_1 = dense_backward(x, kernel_1, dh)
    return losses.mean(), [dkernel_1, dbias_1, dkernel_2, dbias_2]


# %%
check.two_layers(two_layers)

# %% [markdown]
# <details><summary>Hint 1</summary>Forward: keep <code>a</code>; the backward pass needs it twice.</details>
# <details><summary>Hint 2</summary>Backward: second dense layer, ReLU, first dense layer, each with what the one before returned.</details>
# <details><summary>Hint 3</summary>Divide <code>dz</code> by <code>len(x)</code> once, at the start of the backward pass.</details>
#
# ## It learns
#
# What lesson 4 did with one neuron, for 50 hidden units and ten classes: take a batch, get the gradients, move every weight a small
# step against its gradient. `loss_and_gradients` below is exercise 3 once more, written out. With `loss_and_gradients = two_layers`
# after its definition, your own function trains, and gives the same curve. **Guess before you run:** how many of the 10,000 new
# digits will it get right after one epoch, and after eight?

# %%
from minicnn.datasets import mnist

(x_train, y_train), (x_test, y_test) = mnist.load_data()
train = x_train[:10_000].reshape(10_000, 784) / 255
test = x_test.reshape(10_000, 784) / 255


def scores(weights, x):
    """The logits of the two-layer network."""
    kernel_1, bias_1, kernel_2, bias_2 = weights
    return np.maximum(x @ kernel_1 + bias_1, 0) @ kernel_2 + bias_2


def loss_and_gradients(weights, x, labels):
    """The solution of exercise 3, written out."""
    kernel_1, bias_1, kernel_2, bias_2 = weights
    a = np.maximum(x @ kernel_1 + bias_1, 0)
    losses, dz = cross_entropy_of_logits(labels, a @ kernel_2 + bias_2)
    dz = dz / len(x)
    dh = (dz @ kernel_2.T) * (a > 0)
    return losses.mean(), [x.T @ dh, dh.sum(0), a.T @ dz, dz.sum(0)]


rng = np.random.default_rng(0)
weights = [
    rng.uniform(-0.08, 0.08, (784, 50)),
    np.zeros(50),
    rng.uniform(-0.3, 0.3, (50, 10)),
    np.zeros(10),
]
lr, batch_size = 0.1, 50
curve, accuracy = [], []
for _epoch in range(8):
    order = rng.permutation(len(train))
    for start in range(0, len(train), batch_size):
        batch = order[start : start + batch_size]
        loss, gradients = loss_and_gradients(weights, train[batch], y_train[batch])
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= lr * gradient
        curve.append(loss)
    right = scores(weights, test).argmax(axis=1) == y_test
    accuracy.append(right.mean())
print("accuracy on 10,000 new digits after each epoch:", np.round(accuracy, 3))

# %% tags=["fold"]
figure = plots.new_figure(3.6)
left, right = figure.subplots(1, 2)
left.plot(curve, color="#cccccc")
smooth = np.convolve(curve, np.ones(20) / 20, "valid")
left.plot(np.arange(10, 10 + len(smooth)), smooth, color=plots.ORANGE)
left.set(xlabel="step", ylabel="loss of the batch", title="the loss falls")
right.plot(range(1, 9), accuracy, "o-", color=plots.BLUE)
right.set(xlabel="epoch", ylabel="share right", title="new digits")
figure

# %% [markdown]
# Grey is the loss of each batch, orange the mean of 20 steps.
#
# ## Challenge
#
# A network of *any* number of dense layers, with ReLU after each but the last. `weights` is a list kernel, bias, kernel, bias, ...


# %% tags=["exercise", "challenge"]
def many_layers(weights, x, labels):
    """The mean loss, and the list of all gradients, in the order of weights."""
    # solution
    inputs, y = [], x
    pairs = list(zip(weights[::2], weights[1::2], strict=True))
    for kernel, bias in pairs:
        inputs.append(y)
        z = y @ kernel + bias
        y = np.maximum(z, 0)
    losses, dz = cross_entropy_of_logits(labels, z)
    dz, gradients = dz / len(x), []
    for (kernel, _), y in zip(pairs[::-1], inputs[::-1], strict=True):
        dx, *own = dense_backward(y, kernel, dz)
        gradients[:0] = own
        dz = relu_backward(dx, y)
    return losses.mean(), gradients


# %%
check.many_layers(many_layers)

# %% [markdown]
# <details><summary>Hint 1</summary>The forward pass has to keep one array for each layer. Which?</details>
# <details><summary>Hint 2</summary>Loop over the layers twice: forward, then in reversed order.</details>
# <details><summary>Hint 3</summary>The input of a layer is the output of the ReLU before it, so it tells where that ReLU was positive.</details>
#
# ## The fact
#
# How often did ReLU stop the gradient? For the trained network and the 10,000 new digits:

# %%
hidden = np.maximum(test @ weights[0] + weights[1], 0)
stopped = (hidden == 0).mean()
print(f"accuracy {accuracy[-1]:.1%}; ReLU stops the gradient in {stopped:.0%} of cases")
assert accuracy[-1] > 0.92
assert 0.2 < stopped < 0.5

# %% [markdown]
# > **Two matrix products forward, three backward and a comparison with 0: 50 hidden units recognise more than 92 % of new
# > digits, after having seen 10,000 digits eight times.** For a fifth to a half of the outputs of hidden units,
# > the gradient ends at a ReLU.
#
# ## In minicnn
#
# - `Dense.backward` in [minicnn/layers.py](../minicnn/layers.py): your `dense_backward`, for inputs of any number of axes.
# - `relu_backward` in [minicnn/activations.py](../minicnn/activations.py): your `relu_backward`.
# - `backward` in [minicnn/step.py](../minicnn/step.py): from the last layer to the first, as in the challenge.
