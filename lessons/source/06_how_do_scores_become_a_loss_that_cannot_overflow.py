# %% [markdown]
# # 6 · How do scores become a loss that cannot overflow?
#
# *20 minutes · needs lesson 5*
#
# **You will build** `loss_and_gradient(z, labels)`: it turns the scores of a network into one number that
# says how wrong they are, and into the gradient with respect to each score. It works for scores of
# 10,000, where the formula of the textbooks overflows.

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
# The last layer of a network gives a *score* (also called a *logit*) for each class. A score is any number; the higher it is,
# the more likely is the class. Here are the scores `z` of three classes, of which class 2 is right:

# %%
z = np.array([1.0, 3.0, 2.0])
label = 2

# %% [markdown]
# Two steps lead to the loss. **Softmax** turns scores into probabilities, which are positive and add up to 1.
# **Cross-entropy** is the negative logarithm of the probability of the right class
# (the natural logarithm, as everywhere in this course):
#
# $$p[j] = \frac{e^{z[j]}}{\sum_k e^{z[k]}}, \qquad\qquad L = -\log p[label].$$
#
# We also need the gradient of $L$ with respect to each score, $dz[j] = \partial L / \partial z[j]$. It is
# derived below, and is simply $p - onehot$, where $onehot$ is 1 at the label and 0 elsewhere. These are all
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
# The bars are the gradient: if the score of class 0 rises by a tiny $t$, $L$ rises by
# $0.09 t$; if that of class 2 rises, the right one, $L$ falls. Keras 3.15.1 agrees, up to the last digit
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
# Exponentials reach it soon. For very negative scores they become 0. **Guess before you run:** which of the three losses
# below will be right?

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
for precision, limit in [("float32", 88.72), ("float64", 709.78)]:
    assert round(np.log(float(np.finfo(precision).max)), 2) == limit

# %% [markdown]
# The second row of scores is the first one plus 100, so its loss should be the same. It is `nan` (not
# a number), because infinity is divided by infinity. In the third row $p[label]$ becomes 0 and the loss infinite,
# but it should be about 106. A single `nan` is enough to ruin a training: it enters the mean over the batch, then the gradients,
# and after the next step all weights.
#
# Double precision does not solve this. It only moves the limit from 88.72 to 709.78.
#
# ## The derivation
#
# **First problem: exp overflows.** Only differences of scores matter, so subtract the largest score,
# $m = \max_k z[k]$, from all of them. Now every exponent is at most 0, every exponential at most 1, and their sum at
# least 1, since one of them *is* 1. Nothing overflows. An exponential may still become 0, but next to a 1
# this does no harm.
#
# **Second problem: the logarithm of 0.** The logarithm of a quotient is a difference, and the logarithm of $e^{z}$ is $z$. So
# the quotient need not be computed:
#
# $$L = -\log \frac{e^{z[label] - m}}{\sum_k e^{z[k] - m}}
# = \log\Big(\sum_k e^{z[k] - m}\Big) - (z[label] - m).$$
#
# With $C$ classes the sum lies between 1 and $C$, and its logarithm between 0 and $\log C$. Nothing is left
# that could overflow. In the tiny example $m = 3$, and $\log(e^{-2} + e^0 + e^{-1}) - (2 - 3) = 0.4076 + 1$.


# %%
def fused_loss(z, label):
    z = z - z.max()
    return np.log(np.exp(z).sum()) - z[label]


assert abs(fused_loss(z, label) - loss) < 1e-15
assert f"{np.log(np.exp(z - 3).sum()):.4f}" == "0.4076"
assert fused_loss(np.float32([1, 106, 0]), label=2) == 106

# %% [markdown]
# This loss is called *fused*, because softmax and cross-entropy are no longer two steps. The picture shows why both ideas are
# needed, and why a popular third one, clipping, is not enough. It has the loss of the scores $(a, 0)$ if class 1 is right. The true
# loss is $\log(1 + e^a)$, which for large $a$ is nearly $a$.

# %% tags=["cover", "fold"]


def only_shifted(z, label):
    """The first idea only: softmax cannot overflow, but the logarithm of 0 is infinite."""
    exps = np.exp(z - z.max())
    return -np.log((exps / exps.sum())[label])


def clipped(z, label):
    """Probabilities below 1e-7 are replaced by 1e-7, so that there is a logarithm."""
    exps = np.exp(z - z.max())
    return -np.log(np.maximum((exps / exps.sum())[label], np.float32(1e-7)))


a = np.geomspace(1, 1000, 400).astype("float32")
ways = {
    "naive: infinite from 88.73": (naive_loss, plots.ORANGE, 8),
    "largest score subtracted: infinite from 104": (only_shifted, plots.YELLOW, 4.5),
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
                a[last],
                losses[last],
                "X",
                color=colour,
                markersize=13,
                mec="black",
                zorder=3,
            )
    for function, limit in [(naive_loss, 88.73), (only_shifted, 104)]:
        assert np.isfinite(function(np.float32([limit - 1, 0]), label=1))
        assert np.isinf(function(np.float32([limit, 0]), label=1))
    assert f"{clipped(np.float32([1000, 0]), label=1):.2f}" == "16.12"
    assert fused_loss(np.float32([1000, 0]), label=1) == 1000
axes.set(xlabel="score a", ylabel="loss", xscale="log", yscale="log")
axes.xaxis.set_major_formatter("{x:g}")
axes.yaxis.set_major_formatter("{x:g}")
axes.legend(frameon=False)
axes.grid(color="#dddddd", linewidth=0.8)
figure

# %% [markdown]
# The crosses mark the last finite values. Clipping has no cross, which makes it look safe. What it does to the gradient
# follows below.
#
# ## Exercise 1: softmax
#
# The probabilities are still needed, as the network's answer. Write softmax for a batch with one row for each of `n`
# samples. It must work for scores of any size.


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
# <details><summary>Hint 1</summary>Subtract from each row its own maximum, then use the formula.</details>
# <details><summary>Hint 2</summary><code>z.max(axis=1, keepdims=True)</code> is a column, which is subtracted row by row.</details>
#
# ## The gradient
#
# Take the loss without $m$, which only prevents overflow:
# $L = \log \sum_k e^{z[k]} - z[label]$. Differentiate it with respect to one score $z[j]$. By the chain rule, the derivative
# of the logarithm is one over its argument, times the derivative of the argument, in which $z[j]$ appears once:
#
# $$\frac{\partial}{\partial z[j]} \log \sum_k e^{z[k]} = \frac{e^{z[j]}}{\sum_k e^{z[k]}} = p[j].$$
#
# The other term, $z[label]$, has the derivative 1 if $j = label$, else 0. So
#
# $$dz[j] = p[j] - onehot[j].$$
#
# No logarithm is left. Computed with $m$ subtracted, as in exercise 1, no exponential can overflow, and the denominator is at
# least 1. All values of $dz$ lie between -1 and 1, and they add up to $1 - 1 = 0$.
#
# ## The check
#
# Compare it with a numerical gradient, as in lesson 5: raise and lower each score a little.

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
# Here are ten scores, of which class 3 is right. The score of the right class (blue) should rise, so its gradient is negative; the
# others (orange) should fall.
#
# **Guess before you run:** the third network is sure and wrong, with a loss of about 6. How large is the gradient of
# the right class, and that of the wrong class that it is sure of?

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
assert [f"{dz[j]:.3f}" for j in (3, 8)] == ["-0.998", "0.978"]
figure.axes[0].set_ylabel("p - onehot")
figure

# %% [markdown]
# A network that is right and sure gets almost no gradient. One that is wrong and sure gets -0.998 for the right class and 0.978 for
# the wrong one. However large the loss becomes, no gradient is below -1 or above 1.
#
# ## Exercise 2: loss and gradient
#
# For a batch of `n` samples, and for scores of any size. The loss of a batch is the *mean* of its samples'
# losses, and `dz` is the gradient of that mean.


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
# <details><summary>Hint 1</summary>Subtract each row's maximum first; the loss and the gradient both need
# <code>exps = np.exp(z)</code> and its sums.</details>
# <details><summary>Hint 2</summary><code>z[np.arange(n), labels]</code> picks each sample's score at its label.</details>
# <details><summary>Hint 3</summary>The loss is <code>(np.log(sums) - picked).mean()</code>; dz is softmax with 1 subtracted at the
# labels, divided by n.</details>
#
# ## In two steps after all?
#
# In a network, each layer passes its gradient on to the layer before. Could the loss not pass $dp = \partial L / \partial p$ to
# softmax, and softmax compute $dz$ from it, like any other layer? It can. One score changes all probabilities, so
# by the *chain rule* its gradient is a sum over all of them:
#
# $$dz[i] = \sum_j dp[j] \cdot \frac{\partial p[j]}{\partial z[i]}.$$
#
# Let $S$ be the denominator of softmax. Then $p[j] = e^{z[j]} / S$ and
# $\partial S / \partial z[i] = e^{z[i]}$. By the quotient rule,
#
# $$\frac{\partial p[j]}{\partial z[i]} = \frac{[i = j] \cdot e^{z[j]} \cdot S - e^{z[j]} \cdot e^{z[i]}}{S^2}
# = p[j] \cdot \big([i = j] - p[i]\big),$$
#
# where $[i = j]$ is 1 if they are equal, else 0.
#
# ## Exercise 3: softmax, backward
#
# Put the second formula into the first, and simplify until only one sum is left, which is the same for all `i`.


# %% tags=["exercise"]
def softmax_backward(dp, p):
    """dp and p (n, classes): dz (n, classes). No loops are needed."""
    # solution
    return p * (dp - (dp * p).sum(axis=1, keepdims=True))


# %%
check.softmax_backward(softmax_backward)

# %% [markdown]
# <details><summary>Hint 1</summary>Split the sum in two: the part with [i = j], which has only one term, and the rest.</details>
# <details><summary>Hint 2</summary>dz[i] = p[i] * (dp[i] - sum over j of dp[j] * p[j]).</details>
#
# For our loss, $dp$ is $-1 / p[label]$ at the label and 0 elsewhere. With this, the formula gives $p - onehot$ again:
# on paper both ways are the same. In floating point they are not. If $p[label]$ has become 0, $dp$ is minus infinity, and softmax
# multiplies it by 0, which gives `nan`.
#
# That is why many programs clip: they replace probabilities below $10^{-7}$ by $10^{-7}$. Then everything
# is finite. But a clipped number does not change when the scores change, so **its gradient is 0**, and the network
# learns nothing from its worst mistakes. Here are the scores 200, 0, 0 with label 1 in Keras 3.15.1
# (TensorFlow 2.21): first from scores, as a model computes them, and then from probabilities, where Keras does not know that they
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
# The fused loss *is* the fast version: it takes one exponential for each score and one logarithm for each sample, and there is
# only one backward pass instead of two. Even in double precision, in which minicnn computes it, it takes almost no time compared with
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
# The price is a more complicated design. Softmax belongs to the last layer of a model, and the loss is chosen later, in `compile` (lesson 13);
# now the two have to know about each other. minicnn checks whether the last layer ends in softmax, and if so, trains
# on its scores (`without_softmax`). Keras, under TensorFlow, attaches the scores to the probabilities as an attribute
# `_keras_logits`, and the loss looks for it. That is why the two results above differ for the same
# probabilities.
#
# ## Challenge: in one pass
#
# Suppose there are so many classes that their scores come in pieces, one after the other, and are never in memory all at once. The
# largest score is known only at the end. Compute the loss all the same, in one pass, with scores of any size. (Programs for large
# language models compute softmax like this.)


# %% tags=["exercise", "challenge"]
def loss_in_pieces(pieces, label):
    """The fused loss of one sample. `pieces` yields arrays of scores, some of
    them empty, and can be gone through only once; keep none of them. `label`
    counts through all of them together."""
    # solution
    largest, total, before, score = -np.inf, 0.0, 0, None
    for piece in pieces:
        if before <= label < before + len(piece):
            score = piece[label - before]
        before += len(piece)
        higher = max(largest, piece.max(initial=-np.inf))
        if higher > largest:
            total *= np.exp(largest - higher)
            largest = higher
        total += np.exp(piece - largest).sum()
    return np.log(total) - (score - largest)


# %%
check.loss_in_pieces(loss_in_pieces)

# %% [markdown]
# <details><summary>Hint 1</summary>Keep two numbers: the largest score so far, and the sum of <code>exp(z - largest)</code> so far.</details>
# <details><summary>Hint 2</summary>When a piece has a larger score, the old sum belongs to the old maximum. By which factor must it
# be multiplied?</details>
# <details><summary>Hint 3</summary>Multiply the old sum by <code>exp(old - new)</code>. With <code>-np.inf</code> as the first maximum
# this is a factor of 0.</details>
#
# ## The fact
#
# A new network has small random weights, so its scores are near 0 and its probabilities near 1/10. Its loss should be near
# $\log 10$. Here are five new networks, on 200 digits each, and the same five with pixels that somebody forgot to divide by
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
    all_scores = first_scores(0, 255 * images)
    pairs = zip(all_scores, y_train, strict=False)
    assert np.isinf(max(naive_loss(scores, label) for scores, label in pairs))
    assert np.isfinite(np.exp(all_scores)).all()  # it is p that has become 0

largest = np.finfo(np.float32).max
assert np.exp(np.float32(88.72)) <= largest < np.exp(88.73)
huge = np.float32([[1e4, -1e4, 0]])
assert cross_entropy_of_logits(np.array([1]), huge)[0] == 20_000

# %% [markdown]
# > **A new network's loss is ln 10 = 2.302585**, within 0.03. **In single precision exp
# > overflows above 88.72**; the fused loss of the scores 10,000, -10,000 and 0 with label 1 is 20,000, exactly.
#
# Look at the first loss that a training prints. If it is far from the logarithm of the number of classes, something
# is wrong before anything has been learned. With the naive loss, the first network of the second row would have started at
# infinity: no exponential overflows, but the probability of some digits' class is rounded to 0. The fused loss stays
# finite, and its size shows the mistake.
#
# ## In minicnn
#
# - `cross_entropy_of_logits` in [minicnn/losses.py](../minicnn/losses.py): your `loss_and_gradient`, before the
#   mean is taken.
# - `SparseCategoricalCrossentropy` in [minicnn/losses.py](../minicnn/losses.py): with Keras' clipping, for bare
#   probabilities only.
# - `softmax` and `softmax_backward` in [minicnn/activations.py](../minicnn/activations.py).
# - `without_softmax` in [minicnn/eager.py](../minicnn/eager.py): where softmax and loss are merged.
