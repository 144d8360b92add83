# %% [markdown]
# # 6 · How do scores become a loss that cannot overflow?
#
# *15 minutes · needs lesson 5*
#
# **You will build** `loss_and_gradient(z, labels)`: from the scores of a network to one number that
# says how wrong they are, and to the direction in which each score should move. It takes scores of
# 10,000 without blinking, which the formula of the textbooks does not.

# %%
import numpy as np

import minicnn
from checks import check_06 as check
from minicnn import plots
from minicnn.datasets import mnist
from minicnn.losses import SparseCategoricalCrossentropy, cross_entropy_of_logits
from minicnn.tutorial import scaled, tutorial_network

# %% [markdown]
# ## A tiny example, by hand
#
# The last layer of a network gives a *score* for each class, any number, the higher the more likely.
# (In the literature: *logits*.) Three classes, scores `z`, and class 2 would have been right:

# %%
z = np.array([1.0, 3.0, 2.0])
label = 2

# %% [markdown]
# Two steps lead to the loss. **Softmax** makes probabilities of scores: positive, and 1 in sum.
# **Cross-entropy** looks at the probability of the right class only, and takes its logarithm
# (the natural one, as everywhere in this course):
#
# $$p[j] = \frac{e^{z[j]}}{\sum_k e^{z[k]}}, \qquad\qquad L = -\log p[label].$$
#
# We also want to know how $L$ answers to each score, $dz[j] = \partial L / \partial z[j]$. You
# will see below that it is simply $p - onehot$, where $onehot$ is 1 at the label and 0 elsewhere. All
# numbers:

# %% tags=["fold"]
exps = np.exp(z)
p = exps / exps.sum()
onehot = np.array([0, 0, 1])
loss = -np.log(p[label])

figure = plots.new_figure(3.8)
table, bars = figure.subplots(1, 2, width_ratios=[5, 4])
rows = {"z": z, "exp(z)": exps, "p": p, "onehot": onehot, "p - onehot": p - onehot}
texts = [[f"{value:.4g}" for value in row] for row in rows.values()]
blue = {(row, label): plots.SKY for row in range(5)}
plots.number_grid(
    table, list(rows.values()), f"loss = -log {p[2]:.4f} = {loss:.4f}", blue, texts
)
for row, name in enumerate(rows):
    table.text(-0.15, row + 0.5, name, ha="right", va="center")
bars.bar([0, 1, 2], p - onehot, color=[plots.ORANGE, plots.ORANGE, plots.BLUE])
bars.axhline(0, color="black", linewidth=0.8)
bars.set(xlabel="class", ylabel="p - onehot", xticks=[0, 1, 2], ylim=(-1, 1))
figure

# %% [markdown]
# Read the bars as lesson 5 taught: raise the score of class 0 by a tiny $t$, and $L$ rises by
# $0.09 t$; raise that of class 2, the right one, and $L$ falls. Keras 3.15.1 agrees, up to the last digit
# of its single precision:

# %%
KERAS_LOSS, KERAS_DZ = 1.407606, [0.090030566, 0.66524088, -0.75527155]
assert abs(loss - KERAS_LOSS) < 1e-6
assert np.allclose(p - onehot, KERAS_DZ, rtol=0, atol=1e-7)
assert abs((p - onehot).sum()) < 1e-15

# %% [markdown]
# **Why the exponential?** It is positive and grows with the score. And since $e^{z + m} = e^z e^m$,
# adding the same $m$ to all scores changes nothing: numerator and denominator both get a factor $e^m$.
# Only differences of scores count. We shall need that.
#
# **Why the logarithm?** Certain and right costs $-\log 1 = 0$. Each halving of $p[label]$ costs another
# $\log 2 = 0.69$, without end. A network that knows nothing about ten classes says 1/10 to each, and pays
# $-\log(1/10) = \log 10 = 2.302585$.
#
# ## The naive code
#
# The two formulas, as they stand:


# %%
def naive_loss(z, label):
    exps = np.exp(z)
    p = exps / exps.sum()
    return -np.log(p[label])


assert naive_loss(z, label) == loss

# %% [markdown]
# ## Where it breaks
#
# Networks compute in single precision, `float32`, whose largest number is about $3.4 \cdot 10^{38}$.
# Exponentials get there soon. In the other direction they become 0:

# %%
with np.errstate(all="ignore"):  # NumPy would warn, and we are going to overflow a lot
    for score in (88.72, 88.73, -103, -104):
        print(f"exp({score}) = {np.exp(np.float32(score)):.3g}")
    for scores in ([1, 3, 2], [101, 103, 102], [1, 106, 0]):
        print(f"{scores!s:15} loss {naive_loss(np.float32(scores), label=2):.4g}")

    assert np.isfinite(np.exp(np.float32(88.72)))
    assert np.isinf(np.exp(np.float32(88.73)))
    assert np.exp(np.float32(-103)) > 0 == np.exp(np.float32(-104))
    assert np.isnan(naive_loss(np.float32([101, 103, 102]), label=2))
    assert np.isinf(naive_loss(np.float32([1, 106, 0]), label=2))
for precision, wall in [("float32", 88.72), ("float64", 709.78)]:
    assert round(np.log(float(np.finfo(precision).max)), 2) == wall

# %% [markdown]
# The second line of scores is the first one plus 100, so its loss should be the same. It is `nan`, not
# a number: infinity divided by infinity. In the third, $p[label]$ becomes 0, and the loss infinite;
# but it should be about 106. One `nan` is enough: it is in the mean over the batch, then in the gradients, and
# after the next step in the weights.
#
# Double precision does not solve this, it moves the wall: there, exp overflows at 709.78 instead of 88.72.
#
# ## The derivation
#
# **First wall, exp.** Only differences of scores count, so take off the largest one,
# $m = \max_k z[k]$. Now every exponent is 0 or less, every exponential 1 or less, and the sum of them at
# least 1, since one of them *is* 1. Nothing overflows. An exponential may still become 0, but next to a 1
# that does no harm.
#
# **Second wall, log.** The logarithm of a quotient is a difference, and the logarithm of $e^{z}$ is $z$. So
# the quotient need not be computed:
#
# $$L = -\log \frac{e^{z[label] - m}}{\sum_k e^{z[k] - m}}
# = \log\Big(\sum_k e^{z[k] - m}\Big) - (z[label] - m).$$
#
# With $C$ classes the sum lies between 1 and $C$, its logarithm between 0 and $\log C$. There is nothing left
# that could overflow. For the tiny example: $m = 3$, $\log(e^{-2} + e^0 + e^{-1}) - (2 - 3) = 0.4076 + 1$.


# %%
def fused_loss(z, label):
    z = z - z.max()
    return np.log(np.exp(z).sum()) - z[label]


assert abs(fused_loss(z, label) - loss) < 1e-15
assert f"{np.log(np.exp(z - 3).sum()):.4f}" == "0.4076"
assert fused_loss(np.float32([1, 106, 0]), label=2) == 106

# %% [markdown]
# It is called *fused*, since softmax and loss are no longer two steps. Here is why it takes both ideas,
# and why a third one, which is popular, is not enough: the loss of the scores $(a, 0)$ if class 1 is right.
# It is $\log(1 + e^a)$, for large $a$ just $a$.

# %% tags=["cover", "fold"]


def only_shifted(z, label):
    """First wall only: softmax cannot overflow, but the logarithm sees a 0."""
    exps = np.exp(z - z.max())
    return -np.log((exps / exps.sum())[label])


def clipped(z, label):
    """Probabilities below 1e-7 are taken for 1e-7, so that there is a logarithm."""
    exps = np.exp(z - z.max())
    return -np.log(np.maximum((exps / exps.sum())[label], np.float32(1e-7)))


a = np.geomspace(1, 1000, 400).astype("float32")
ways = {
    "naive: infinite from 88.73": (naive_loss, plots.ORANGE, 8),
    "largest score taken off: infinite from 104": (only_shifted, plots.YELLOW, 4.5),
    "and p clipped at 1e-7: never above 16.12": (clipped, plots.GREEN, 2.5),
    "fused: right": (fused_loss, "black", 1.2),
}
figure = plots.new_figure(
    4.6, "Loss of the scores (a, 0) if class 1 is right, in float32"
)
axes = figure.subplots()
with np.errstate(all="ignore"):
    for name, (function, colour, width) in ways.items():
        losses = np.array([function(np.float32([each, 0]), label=1) for each in a])
        axes.plot(a, losses, color=colour, linewidth=width, label=name)
        if np.isinf(losses).any():
            last = np.isfinite(losses).argmin() - 1
            axes.plot(
                a[last], losses[last], "X", color=colour, markersize=13, mec="black"
            )
    for function, wall in [(naive_loss, 88.73), (only_shifted, 104)]:
        assert np.isfinite(function(np.float32([wall - 1, 0]), label=1))
        assert np.isinf(function(np.float32([wall, 0]), label=1))
    assert f"{clipped(np.float32([1000, 0]), label=1):.2f}" == "16.12"
    assert fused_loss(np.float32([1000, 0]), label=1) == 1000
axes.set(xlabel="score a", ylabel="loss", xscale="log", yscale="log")
axes.xaxis.set_major_formatter("{x:g}")
axes.yaxis.set_major_formatter("{x:g}")
axes.legend(frameon=False)
axes.grid(color="#dddddd", linewidth=0.8)
figure

# %% [markdown]
# The crosses mark the last finite values. Clipping has no cross, which makes it look safe; we come back to
# what it does to the gradient.
#
# ## Exercise 1: softmax
#
# The probabilities are still wanted, as the network's answer. Write softmax for a batch, a row for each of `n`
# samples, such that no score is too large for it. (`keepdims=True` makes the maximum of rows a
# column, which can be taken off row by row.)


# %% tags=["exercise"]
def softmax(z):
    """Scores z (n, classes): probabilities of the same shape, each row 1 in
    sum."""
    # solution
    exps = np.exp(z - z.max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)


# %%
check.softmax(softmax)

# %% [markdown]
# ## The gradient
#
# Take the loss without $m$, which is there for the computer's sake only:
# $L = \log \sum_k e^{z[k]} - z[label]$. Now differentiate by one score $z[j]$. The logarithm gives
# one over its argument, times the derivative of the argument, in which $z[j]$ appears once:
#
# $$\frac{\partial}{\partial z[j]} \log \sum_k e^{z[k]} = \frac{e^{z[j]}}{\sum_k e^{z[k]}} = p[j].$$
#
# The other term, $z[label]$, has the derivative 1 if $j = label$, else 0. So
#
# $$dz[j] = p[j] - onehot[j].$$
#
# There is no exponential in it that could overflow, no division by a small number, and its values lie
# between -1 and 1. Its sum is $1 - 1 = 0$: what is taken from some scores is given to others.
#
# ## The check
#
# Numerically, as in lesson 5: raise and lower each score a little.

# %%
t = 1e-5
numerical = [
    (fused_loss(z + step, label) - fused_loss(z - step, label)) / (2 * t)
    for step in t * np.eye(3)
]
assert np.allclose(numerical, p - onehot, rtol=0, atol=1e-9)

# %% [markdown]
# ## The picture
#
# Ten scores, the right class is 3. Blue is the right class, which should rise; orange is what should fall.

# %% tags=["fold"]
sure, unsure = np.zeros(10), np.array([0, 1, 0, 1.5, 0, 1.2, 0, 0, 1, 0])
sure[3] = 6
panels = {"right and sure": sure, "unsure": unsure, "wrong and sure": np.roll(sure, 5)}
figure = plots.new_figure(3.6)
for axes, (name, scores) in zip(
    figure.subplots(1, 3, sharey=True), panels.items(), strict=True
):
    (one_loss,), (dz,) = cross_entropy_of_logits(np.array([3]), scores[None])
    colours = [plots.BLUE if j == 3 else plots.ORANGE for j in range(10)]
    axes.bar(range(10), dz, color=colours)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(title=f"{name}\nloss {one_loss:.2f}", xlabel="class", xticks=range(10))
    axes.set_ylim(-1.05, 1.05)
figure.axes[0].set_ylabel("p - onehot")
figure

# %% [markdown]
# Who is right and sure hears almost nothing any more. Who is wrong and sure is told so with the full
# strength of -1 and 1, but never with more, however large the loss.
#
# ## Exercise 2: loss and gradient
#
# For a batch of `n` samples, and for scores of any size. The loss of a batch is the *mean* of its samples'
# losses; remember that the gradient is one of that mean.


# %% tags=["exercise"]
def loss_and_gradient(z, labels):
    """Scores z (n, classes), labels (n,): the pair of the mean loss and dz (n,
    classes).

    labels are integers, the loss is a number, and dz its gradient."""
    # solution
    n = len(z)
    z = z - z.max(axis=1, keepdims=True)
    exps = np.exp(z)
    sums = exps.sum(axis=1)
    loss = (np.log(sums) - z[np.arange(n), labels]).mean()
    dz = exps / sums[:, None]
    dz[np.arange(n), labels] -= 1
    return loss, dz / n


# %%
check.loss_and_gradient(loss_and_gradient)

# %% [markdown]
# ## In two steps after all?
#
# Layers pass their gradients on, one to the next. Could the loss not hand $dp = \partial L / \partial p$ to
# softmax, and softmax make $dz$ of it, like any other layer? It can. One score moves all probabilities, so
# its gradient is a sum over all of them (the *chain rule*):
#
# $$dz[i] = \sum_j dp[j] \cdot \frac{\partial p[j]}{\partial z[i]}.$$
#
# For the derivative call the denominator of softmax $S$; then $p[j] = e^{z[j]} / S$ and
# $\partial S / \partial z[i] = e^{z[i]}$. By the rule for quotients,
#
# $$\frac{\partial p[j]}{\partial z[i]} = \frac{[i = j] \cdot e^{z[j]} \cdot S - e^{z[j]} \cdot e^{z[i]}}{S^2}
# = p[j] \cdot \big([i = j] - p[i]\big),$$
#
# where $[i = j]$ is 1 if they are equal, else 0.
#
# ## Exercise 3: softmax, backward
#
# Put the second formula into the first, and simplify, until there is only one sum left, the same for all `i`.


# %% tags=["exercise"]
def softmax_backward(dp, p):
    """dp and p (n, classes): dz (n, classes). No loops are needed."""
    # solution
    return p * (dp - (dp * p).sum(axis=1, keepdims=True))


# %%
check.softmax_backward(softmax_backward)

# %% [markdown]
# For our loss, $dp$ is $-1 / p[label]$ at the label and 0 elsewhere. Put that in, and $p - onehot$ comes out:
# on paper both ways are one. Not so in the computer. If $p[label]$ has become 0, $dp$ is minus infinity, softmax
# multiplies it with 0, and that is `nan`.
#
# Which is why it is so popular to clip: probabilities below $10^{-7}$ are taken for $10^{-7}$. Now everything
# is finite. But a number that is clipped does not move when the scores do, so **its gradient is 0**. The worst
# mistakes of all are those that teach nothing. Here are the scores 200, 0, 0, label 1, in Keras 3.15.1
# (TensorFlow 2.21): once as a model computes them, once through probabilities of which it does not know that they
# come from softmax:

# %%
KERAS_FROM_SCORES = 200.0, [1.0, -1.0, 0.0]
KERAS_FROM_PROBABILITIES = 16.118095, [0.0, 0.0, 0.0]

large = np.float32([[200, 0, 0]])
loss, dz = cross_entropy_of_logits(np.array([1]), large)
assert (loss[0], dz[0].tolist()) == KERAS_FROM_SCORES

probabilities = np.float32([[1, 0, 0]])  # softmax of `large`, exactly
loss, dp = SparseCategoricalCrossentropy().losses_and_gradient(
    np.array([1]), probabilities
)
assert abs(loss[0] - KERAS_FROM_PROBABILITIES[0]) < 1e-5
assert dp.tolist() == [KERAS_FROM_PROBABILITIES[1]]

# %% [markdown]
# ## The fast version, and what it costs
#
# Fused *is* the fast version: one exponential for each score and one logarithm for each sample, and no
# passing back through two layers. Even in double precision, as minicnn computes it, it is nothing compared with
# the rest of the network:

# %%
import timeit

(x_train, y_train), _ = mnist.load_data()
minicnn.set_random_seed(0)
convolution = tutorial_network().layers[0]
images, labels = scaled(x_train[:64]), y_train[:64].astype(int)
scores = np.random.default_rng(0).normal(size=(64, 10)).astype("float32")

loss_seconds = min(
    timeit.repeat(lambda: cross_entropy_of_logits(labels, scores), number=1, repeat=5)
)
layer_seconds = min(
    timeit.repeat(lambda: convolution.forward(images), number=1, repeat=5)
)
# The first convolution alone, forward only; with room to spare.
assert layer_seconds > 5 * loss_seconds

# %% [markdown]
# The price is in the design. A model ends in a layer with softmax, and the loss is named later, in `compile`:
# now the two have to know of each other. minicnn looks whether the last layer ends in softmax, and if so, trains
# on its scores (`without_softmax`). Keras, under TensorFlow, hangs the scores on the probabilities as an attribute
# `_keras_logits`, and the loss looks for it. That is why the two results above differ, for the same
# probabilities.
#
# ## The fact
#
# A new network has small random weights, scores near 0 and probabilities near 1/10: its loss should be near
# $\log 10$. Five new ones, on 200 digits each; and five more for which somebody forgot to divide the pixels by
# 255:


# %%
def first_scores(seed, images):
    """What a new network says to images; nothing is learned yet."""
    minicnn.set_random_seed(seed)
    *layers, last = tutorial_network().layers
    x = images
    for layer in layers:
        x, _ = layer.forward(x)
    return x @ last.params["kernel"] + last.params["bias"]


def mean_loss(scores):
    return cross_entropy_of_logits(y_train[: len(scores)].astype(int), scores)[0].mean()


images = scaled(x_train[:200])
starts = [mean_loss(first_scores(seed, images)) for seed in range(5)]
forgotten = [mean_loss(first_scores(seed, 255 * images)) for seed in range(5)]
print("pixels from 0 to 1:  ", ", ".join(f"{each:.2f}" for each in starts))
print("pixels from 0 to 255:", ", ".join(f"{each:.0f}" for each in forgotten))
assert f"{np.log(10):.6f}" == "2.302585"
assert max(abs(np.array(starts) - np.log(10))) < 0.03
assert min(forgotten) > 15

with np.errstate(all="ignore"):
    pairs = zip(first_scores(0, 255 * images), y_train, strict=False)
    assert np.isinf(max(naive_loss(scores, label) for scores, label in pairs))

largest = np.finfo(np.float32).max
assert np.exp(np.float32(88.72)) <= largest < np.exp(88.73)
huge = np.float32([[1e4, -1e4, 0]])
assert cross_entropy_of_logits(np.array([1]), huge)[0] == 20_000

# %% [markdown]
# > **The starting loss is ln 10 = 2.302585**, give or take 0.03 for a new network. **In single precision exp
# > overflows at 88.72**; fused, the loss of the scores 10,000, -10,000 and 0 is 20,000, exactly.
#
# Look at the first loss that a training prints. If it is far from the logarithm of the number of classes, something
# is wrong before anything was learned. The first of the five networks in the second line would have started with an
# infinite loss, had it been the naive one. The fused one goes on, and tells you by its size.
#
# ## In minicnn
#
# - `cross_entropy_of_logits` in [minicnn/losses.py](../minicnn/losses.py): your `loss_and_gradient`, before the
#   mean is taken.
# - `SparseCategoricalCrossentropy` in [minicnn/losses.py](../minicnn/losses.py): with Keras' clipping, for bare
#   probabilities only.
# - `softmax` and `softmax_backward` in [minicnn/activations.py](../minicnn/activations.py).
# - `without_softmax` in [minicnn/eager.py](../minicnn/eager.py): where softmax and loss are merged.
