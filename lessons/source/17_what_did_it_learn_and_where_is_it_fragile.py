# %% [markdown]
# # 17 · What did it learn, and where is it fragile?
#
# *25 minutes · needs lessons 8, 11 and 13*
#
# **You will build** an occlusion map, which shows what in an image a decision hangs on; and find that no
# single filter matters, that about a third of a layer is dead, and that a little noise can be fatal.

# %%
import timeit

import numpy as np

import minicnn
from checks import check_17 as check
from minicnn import plots
from minicnn.activations import softmax
from minicnn.datasets import mnist
from minicnn.engine import Plan
from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import SGD, Adam
from minicnn.tutorial import scaled, tutorial_network

# %% [markdown]
# ## A tiny example, by hand
#
# The image, kernel and bias of lesson 2, then ReLU and the maximum of all four outputs: a network with one
# score. It is $\max(0, 5, 4, 0) = 5$. Which pixel does this 5 hang on? Two ways to ask:
#
# - **Saliency:** how fast does the score change, if the pixel changes *a little*? That is the gradient of the score by the
#   image. The maximum passes it on to its winner, the 5 (lesson 5), and the convolution lays its kernel where that
#   window stood (lesson 8): rows 0 and 1, columns 1 and 2.
# - **Occlusion:** how far does the score fall, if the pixel is *covered*, set to 0?

# %% tags=["fold"]
x = np.array([[1, 2, 0], [0, 1, 3], [2, 0, 1]])
kernel = np.array([[1, -1], [2, 0]])


def outputs(x):
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2))
    return (windows * kernel).sum((2, 3)) + 1


def score(x):
    return max(outputs(x).max(), 0)


saliency_by_hand = np.array([[0, 1, -1], [0, 2, 0], [0, 0, 0]])  # the kernel, at [0, 1]
drops = np.zeros((3, 3), int)
for pixel in np.ndindex(3, 3):
    covered = x.copy()
    covered[pixel] = 0
    drops[pixel] = score(x) - score(covered)

figure = plots.new_figure(2.9)
winner = {(0, 1): plots.SKY, (0, 2): plots.SKY, (1, 1): plots.SKY, (1, 2): plots.SKY}
one, two, three, four = figure.subplots(1, 4)
plots.number_grid(one, x, "the image", winner)
plots.number_grid(
    two, np.maximum(outputs(x), 0), "outputs, after ReLU", {(0, 1): plots.SKY}
)
plots.number_grid(three, saliency_by_hand, "saliency", winner)
plots.number_grid(four, drops, "occlusion", {(0, 1): plots.YELLOW})
figure

# %% [markdown]
# They do not agree! The pixel in the middle has the largest gradient, 2. Covered, it takes 2 from the winner, which falls to 3;
# but the same pixel counts as -1 in the window at the lower left, whose output rises from 4 to 5 and takes over: the score does not move at
# all. The pixel above it has a smaller gradient, 1, and a value of 2. Covered, the winner falls from 5 to 3, and now the 4
# takes over: a drop of 1.
#
# Neither is wrong. A gradient holds only as long as nobody else takes over, and networks of ReLU and maxima are made of
# take-overs. Keras 3.15.1 gives the same two maps:

# %%
KERAS = {
    "saliency": [[0, 1, -1], [0, 2, 0], [0, 0, 0]],
    "occlusion": [[0, 1, 0], [0, 0, 0], [0, 0, 0]],
}
assert saliency_by_hand.tolist() == KERAS["saliency"]
assert drops.tolist() == KERAS["occlusion"]

# %% [markdown]
# ## What a cell can see
#
# Before we ask what the real network sees: what *can* it see? A cell after a convolution sees `k` pixels in a row. A cell after a pooling of 2
# sees two such cells. And so on. Two numbers are enough, along one dimension:
#
# - `size`: how many pixels one cell sees,
# - `step`: how many pixels further on the next cell begins to see.
#
# A pixel sees itself, so we begin with $size = 1$, $step = 1$. A layer with a window of `k` cells and a stride of `s` makes of it:
# the first of the `k` cells sees $size$ pixels, and each of the others $step$ pixels more; and its own neighbours stand `s` cells apart:
#
# $$size' = size + (k - 1) \cdot step, \qquad step' = step \cdot s.$$
#
# After a convolution of 5 with stride 1: $1 + 4 \cdot 1 = 5$ pixels, 1 apart. After a pooling of 2 with stride 2 that follows:
# $5 + 1 \cdot 1 = 6$ pixels, 2 apart.
#
# ## Exercise 1: the receptive field


# %% tags=["exercise"]
def receptive_field(layers):
    """(size, step) after some layers; `layers` is a list of (k, s), the first
    layer first."""
    # solution
    size, step = 1, 1
    for k, s in layers:
        size += (k - 1) * step
        step *= s
    return size, step


# %%
check.receptive_field(receptive_field)

# %% [markdown]
# Let us measure it, too, on the network of this lesson. It is that of lesson 1 but for its end: the softmax is left to the loss (lesson 6), so that it
# gives scores.


# %%
def network(dtype="float32"):
    """The tutorial's network without its softmax."""
    minicnn.clear_session()
    body = tutorial_network(dtype=dtype).layers[:-1]
    model = minicnn.Sequential([Input((28, 28, 1)), *body, Dense(10)], dtype=dtype)
    loss = SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def forward(layers, images):
    """What comes out of the last of these layers, computed by minicnn's engine."""
    return Plan(layers).predict(images)


# %% [markdown]
# A network with all weights 1 and biases 0, and an image with a single bright pixel: a cell is positive exactly if
# it sees that pixel. For all 784 pixels:

# %%
probe = network()
for layer in probe.layers[:4]:
    layer.set_weights([np.full_like(w, w.ndim > 1) for w in layer.get_weights()])
pixels = np.eye(784, dtype=np.float32).reshape(784, 28, 28, 1)
sees = forward(probe.layers[:4], pixels)[..., 0] > 0
sees = sees.reshape(28, 28, 7, 7)  # [row, column, cell's row, cell's column]

rows, columns = np.nonzero(sees[:, :, 3, 3])
print("the cell in the middle sees rows", rows.min(), "to", rows.max())
assert sees[:, :, 3, 3].sum() == 16 * 16 == (rows.max() - rows.min() + 1) ** 2
assert sees[:, :, 0, 0].sum() == 10 * 10  # the rest would lie outside of the image
assert sees.all((0, 1)).sum() == 0
assert sees.any((2, 3)).all()
assert np.nonzero(sees[:, :, 4, 3])[0].min() == rows.min() + 4  # the step

# %% tags=["fold"]
(x_train, y_train), (x_test, y_test) = mnist.load_data()


def extent(used):
    """From the first to the last row (or column) that has ink, of each image (n, 28)."""
    return 28 - used.argmax(1) - used[:, ::-1].argmax(1)


ink = x_test > 0
assert np.maximum(extent(ink.any(2)), extent(ink.any(1))).min() == 19  # never less
assert round(16 * 16 / 784, 2) == 0.33

figure = plots.new_figure(4.3)
left, right = figure.subplots(1, 2)
left.imshow(x_test[0], cmap="gray_r")
for (i, j), colour in {(3, 3): plots.BLUE, (0, 0): plots.ORANGE}.items():
    rows, columns = np.nonzero(sees[:, :, i, j])
    corners = [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]
    top, bottom, first, last = np.array(corners) - 0.5
    left.plot(
        [first, last, last, first, first],
        [top, top, bottom, bottom, top],
        color=colour,
        linewidth=3,
    )
    name = f"cell {i}, {j}: {len(rows)} pixels"
    white = {"facecolor": "white", "edgecolor": "none", "alpha": 0.9, "pad": 1}
    left.text(first + 0.3, bottom + 1.5, name, color=colour, weight="bold", bbox=white)
left.set(title="what two of the 7 x 7 last cells see", xlabel="column", ylabel="row")
counted = right.imshow(sees.sum((2, 3)), cmap="cividis")
right.set(title="by how many cells a pixel is seen", xlabel="column")
figure.colorbar(counted, ax=right, label="cells", shrink=0.85)
figure

# %% [markdown]
# No cell in front of the dense layers sees a whole digit: 16 x 16 pixels at most, a third of the image, while every digit is at least 19 high or wide. So what these
# cells can know is "there is an end of a stroke here", and never "this is a 7". Putting it together is left to the dense layer.
#
# ## What it learned
#
# Now train it, on 8,000 digits, once: 250 batches of 32. We stop after the first five of them, to count something (wait for it).

# %% tags=["varies"]
train, labels = scaled(x_train[:8000]), y_train[:8000]
test = scaled(x_test)

minicnn.set_random_seed(0)
model = network()
layers = model.layers
before = model.layers[0].get_weights()[0]


def count_silent(layers):
    """Units of the first dense layer that give 0 for each of 500 test images."""
    hidden = forward(layers[:6], test[:500])  # (500, 64)
    return int((hidden.max(axis=0) == 0).sum())


silent = {0: count_silent(layers)}
model.fit(train[:160], labels[:160], verbose=0)
silent[5] = count_silent(layers)
model.fit(train[160:], labels[160:], verbose=0)
silent[250] = count_silent(layers)

maps = forward(layers[:4], test)  # (10000, 7, 7, 64), what the dense layers get
scores = forward(layers[4:], maps)
accuracy = (scores.argmax(axis=1) == y_test).mean()
print(f"test accuracy {accuracy:.4f}")
assert accuracy > 0.93

# %% [markdown]
# Its first 32 filters:

# %%
plots.filters(model.layers[0])

# %% [markdown]
# Hand on heart: can you tell them from noise? Here and there an edge or a blob. They have not moved far from the random
# numbers that they were at first:

# %% tags=["varies"]
after = model.layers[0].get_weights()[0]
similar = np.corrcoef(before.ravel(), after.ravel())[0, 1]
print(f"correlation of the first filters, before and after training: {similar:.2f}")
assert similar > 0.5

# %% [markdown]
# What they do is easier to look at than what they are. One digit, as it looks after the first convolution and after the last pooling (its *feature maps*):

# %% tags=["fold"]
first_maps = forward(layers[:1], test[:1])[0]  # (28, 28, 32)


def tiled(maps, columns):
    """Maps (h, w, f) side by side, each divided by its maximum, with a gap between."""
    h, w, f = maps.shape
    maps = np.pad(
        maps / (maps.max((0, 1)) + 1e-9),
        ((0, 1), (0, 1), (0, 0)),
        constant_values=np.nan,
    )
    tiles = maps.reshape(h + 1, w + 1, f // columns, columns).transpose(2, 0, 3, 1)
    return tiles.reshape(f // columns * (h + 1), columns * (w + 1))


figure = plots.new_figure(8.2)
above, below = figure.subplots(2, 1, height_ratios=[2, 1])
above.imshow(tiled(first_maps, 8), cmap="magma")
above.set_title("after the first convolution: 32 maps of 28 x 28")
below.imshow(tiled(maps[0], 16), cmap="magma")
below.set_title("after the last pooling: 64 maps of 7 x 7")
for axes in (above, below):
    axes.set_axis_off()
figure

# %% [markdown]
# Each map is drawn on its own scale, 0 black and its maximum bright; a black one gave nothing. So a random kernel is not useless: it
# answers to strokes of some direction, or to one side of them, and with 32 of them every direction finds some that answer.
#
# ## Where it looks
#
# Saliency, for the real network: a forward pass, and then a backward pass through all layers with the contract of lessons 5 and 8,
# `dx, grads = layer.backward(dy, cache)`. `dscores` says what to ask for: a 1 at the class whose score is meant.
#
# **See it move** in [the explorer](01_what_will_we_rebuild.ipynb): pick an image of the group "Worst mistakes"
# and look at its last feature maps, `#layer=max_pooling2d_1`, and at the gradient of its *loss* by the image,
# `#layer=conv2d&cell=14,14,0&mode=backward`.


# %%
def gradient_by_images(layers, images, dscores):
    """Back to the images (n, h, w, c); `dscores` makes (n, classes) of the scores."""
    y, caches = images, []
    for layer in layers:
        y, cache = layer.forward(y)
        caches.append(cache)
    dy = dscores(y)
    for layer, cache in zip(reversed(layers), reversed(caches), strict=True):
        dy, _ = layer.backward(dy, cache)
    return dy


def of_true_class(labels):
    return lambda scores: np.eye(10, dtype=scores.dtype)[labels]


chosen = [0, 1, 18, 61]
saliency = gradient_by_images(layers, test[chosen], of_true_class(y_test[chosen]))

# %% [markdown]
# Is it right? The check of lesson 9: in double precision, step by $h = 10^{-6}$ to both sides, for every seventh pixel of the first digit. On
# blank paper all windows tie (lesson 5), and on a tie there is no derivative; so the paper is given a little grain.

# %%
exact = network(dtype="float64")
exact.set_weights(model.get_weights())

grain = np.random.default_rng(0).random((1, 28, 28, 1))
image, label = test[:1] + 0.1 * grain, y_test[:1]
computed = gradient_by_images(exact.layers, image, of_true_class(label)).ravel()[::7]
moved = 1e-6 * np.eye(784)[::7].reshape(112, 28, 28, 1)
up = forward(exact.layers, image + moved)[:, label[0]]
down = forward(exact.layers, image - moved)[:, label[0]]
numerical = (up - down) / 2e-6
largest = abs(numerical - computed).max() / abs(computed).max()
assert largest < 1e-6
assert (computed != 0).sum() > 50

# the tiny example, with the same function
tiny = [Conv2D(1, 2, activation="relu"), MaxPooling2D(2), Flatten()]
minicnn.Sequential([Input((3, 3, 1)), *tiny])
tiny[0].set_weights([kernel[:, :, None, None], np.ones(1)])
back = gradient_by_images(tiny, x[None, :, :, None], np.ones_like)
assert back[0, :, :, 0].tolist() == KERAS["saliency"]

# %% [markdown]
# ## Exercise 2: an occlusion map
#
# Cover a patch of `k` x `k` pixels, at every place where it fits, its upper left corner in row `i` and column `j`. By how much does the
# score fall? Do not change the image you get.


# %% tags=["exercise"]
def occlusion_map(score, image, k):
    """An array (h - k + 1, w - k + 1): score(image) minus the score with a
    patch of zeros there.

    score: a function of an image (h, w) that gives a number."""
    # solution
    h, w = image.shape
    drops = np.zeros((h - k + 1, w - k + 1))
    for i in range(h - k + 1):
        for j in range(w - k + 1):
            covered = image.copy()
            covered[i : i + k, j : j + k] = 0
            drops[i, j] = score(image) - score(covered)
    return drops


# %%
check.occlusion_map(occlusion_map)

# %% [markdown]
# ## The fast version, and what it costs
#
# A network takes many images as gladly as one. So make all covered images first, 24 x 24 of them for a patch of 5 x 5, and ask once.
# The cost: memory, 576 times as much as an image takes.


# %%
def covered_images(image, k):
    """All images with a patch of zeros: (places, h, w, 1)."""
    places = list(np.ndindex(image.shape[0] - k + 1, image.shape[1] - k + 1))
    images = np.repeat(image[None], len(places), axis=0)
    for each, (i, j) in zip(images, places, strict=True):
        each[i : i + k, j : j + k] = 0
    return images[..., None]


def all_at_once(image):
    return forward(layers, covered_images(image, 5))


def one_by_one(image):
    each = [forward(layers, one[None]) for one in covered_images(image, 5)]
    return np.concatenate(each)


digit = test[0, :, :, 0]
assert np.allclose(one_by_one(digit), all_at_once(digit), atol=1e-4)
slow = timeit.timeit(lambda: one_by_one(digit), number=1)
fast = min(timeit.repeat(lambda: all_at_once(digit), number=1, repeat=3))
assert slow > 1.5 * fast  # with room to spare

# %% [markdown]
# Both maps, for four digits:

# %% tags=["cover", "fold"]
figure = plots.new_figure(7.2)
all_axes = figure.subplots(3, 4)
for column, (number, gradient) in enumerate(zip(chosen, saliency, strict=True)):
    image, label = test[number, :, :, 0], y_test[number]
    drops = scores[number, label] - all_at_once(image)[:, label]
    frame = np.pad(drops.reshape(24, 24), 2, constant_values=np.nan)  # at patch centres
    size = abs(gradient).max()
    all_axes[0, column].imshow(image, cmap="gray_r")
    all_axes[0, column].set_title(f"a {label}")
    all_axes[1, column].imshow(gradient[..., 0], cmap="RdBu_r", vmin=-size, vmax=size)
    reach = abs(drops).max()
    all_axes[2, column].imshow(frame, cmap="RdBu_r", vmin=-reach, vmax=reach)
    all_axes[2, column].contour(image, levels=[0.5], colors="black", linewidths=0.8)
for axes, name in zip(
    all_axes[:, 0], ["image", "saliency", "occlusion, 5 x 5"], strict=True
):
    axes.set_ylabel(name)
for axes in all_axes.flat:
    axes.set(xticks=[], yticks=[])
figure

# %% [markdown]
# Each map has its own scale, white is 0.
#
# - Saliency: where a bit more ink (red) or less of it (blue) would raise the score of the true class.
#   Much of it lies on blank paper: **a gap can tell as much as a stroke.**
# - Occlusion: where covering lowers the score (red) or raises it (blue), with the digit's outline.
#   It is smoother, and closer to what one would call important. But it is blind to gaps, for covering paper with paper changes nothing.

# %% tags=["varies"]
paper = test[chosen] == 0
on_paper = abs(saliency)[paper].sum() / abs(saliency).sum()
print(f"{on_paper:.0%} of the saliency lies on blank paper")
assert on_paper > 0.3

drops = (scores[0, y_test[0]] - all_at_once(digit)[:, y_test[0]]).reshape(24, 24)
blank = np.lib.stride_tricks.sliding_window_view(digit, (5, 5)).max((2, 3)) == 0
assert blank.sum() > 100
assert abs(drops[blank]).max() < 1e-3 < abs(drops).max()

# %% [markdown]
# ## How much is a filter worth?
#
# The last pooling gives 64 maps, one for each filter of the second convolution. Remove a filter, that is, put 0 in its whole map, and
# count the right answers anew. Before you go on, write down two guesses: how much accuracy does the *most harmful* removal cost? And how would you find
# that filter without trying: the brightest map? The largest weights?
#
# ## Exercise 3: the most harmful filter
#
# For a small network: maps, `Flatten`, and one dense layer whose outputs are the scores. Flatten writes an image's
# numbers row by row, cell by cell, and a cell's `f` channels side by side. The smallest of your numbers then belongs to the most harmful filter.


# %% tags=["exercise"]
def accuracy_without(maps, labels, kernel, bias):
    """(f,) shares of right answers; number o is the share when map o is all
    zero.

    maps (n, h, w, f); labels (n,); kernel (h * w * f, classes); bias
    (classes,)."""
    # solution
    n, _, _, f = maps.shape
    shares = np.zeros(f)
    for o in range(f):
        left = maps.copy()
        left[..., o] = 0
        scores = left.reshape(n, -1) @ kernel + bias
        shares[o] = (scores.argmax(axis=1) == labels).mean()
    return shares


# %%
check.accuracy_without(accuracy_without)

# %% [markdown]
# For the real network, and the whole test set, a trick: the dense layer is a sum over all maps, $z = \sum_o maps_o \cdot kernel_o + bias$,
# where $kernel_o$ are the rows for the cells of map $o$. So what is left without one of them is $z - maps_o \cdot kernel_o$: all 64 removals together take
# as many products as the dense layer does once.

# %%
dense_kernel, dense_bias = layers[5].get_weights()
kernel_of = dense_kernel.reshape(49, 64, 64)  # [cell, map, unit]
cells = maps.reshape(-1, 49, 64)  # [image, cell, map]
z = cells.reshape(len(cells), -1) @ dense_kernel + dense_bias


def share_right(z):
    """Accuracy, from the first dense layer's sums, before its ReLU."""
    return (layers[6].forward(np.maximum(z, 0))[0].argmax(axis=1) == y_test).mean()


assert abs(share_right(z) - accuracy) < 1e-3
second = np.array(
    [share_right(z - cells[:, :, o] @ kernel_of[:, o]) for o in range(64)]
)

# the long way gives the same, for the first filter
left = maps.copy()
left[..., 0] = 0
again = (forward(layers[4:], left).argmax(axis=1) == y_test).mean()
assert abs(again - second[0]) < 1e-3

# %% [markdown]
# After the first convolution there is no such trick, since a ReLU and a maximum stand in between. The long way, for 500 images:

# %% tags=["fold"]
pooled = forward(layers[:2], test[:500])
first = np.zeros(32)
for o in range(32):
    left = pooled.copy()
    left[..., o] = 0
    first[o] = (forward(layers[2:], left).argmax(axis=1) == y_test[:500]).mean()
whole_of_500 = (scores[:500].argmax(axis=1) == y_test[:500]).mean()

figure = plots.new_figure(3.8)
axes = figure.subplots(1, 2, width_ratios=[1, 1.6], sharey=True)
for each, shares, whole, name in [
    (axes[0], first, whole_of_500, "32 filters of the first, 500 images"),
    (axes[1], second, accuracy, "64 filters of the second, 10,000 images"),
]:
    change = np.sort(100 * (shares - whole))
    each.bar(range(len(shares)), change, color=plots.BLUE)
    each.axhline(0, color=plots.GREY, linewidth=1)
    each.set(title=name, xlabel="filters, the most harmful first")
    each.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("change of accuracy, in points")
figure

# %% tags=["varies"]
worst = int(second.argmin())
print(f"most harmful: filter {worst}, {100 * (accuracy - second[worst]):.2f} points")
incoming = (model.layers[2].get_weights()[0] ** 2).sum((0, 1, 2))
guesses = {
    "brightest map": maps.mean((0, 1, 2)),
    "largest weights in": incoming,
    "largest weights out": (kernel_of**2).sum((0, 2)),
}
for name, size in guesses.items():
    place = int((size > size[worst]).sum()) + 1
    print(f"   {name}: it is number {place} of 64 by that")
better = int((second > accuracy).sum())
print(f"{better} removals make the network better")
assert accuracy - second.min() < 0.01
assert whole_of_500 - first.min() < 0.02
assert better >= 5

# %% [markdown]
# The most harmful removal costs less than a point, most cost next to nothing, and some even help. And ranking filters by their brightness or their weights does
# not reliably find it. If the network had *one* filter for the loop of the 6, the 6s, a tenth of all images, would be lost with it. It has none: **what
# it knows, many filters know at once, and each of them can be replaced.** So take away many of them, in a random order:

# %% tags=["varies"]
order = np.random.default_rng(0).permutation(64)
shares, rest = [], z.copy()
for o in order:
    rest -= cells[:, :, o] @ kernel_of[:, o]
    shares.append(share_right(rest))
for removed in (8, 16, 32, 48, 56, 64):
    print(f"{removed} of 64 filters removed at random: {shares[removed - 1]:.1%} right")
assert accuracy - shares[31] < 0.05
assert shares[63] < 0.25

# %% [markdown]
# Half of the second convolution, the layer that does 92 % of the work (lesson 1), can be thrown out without training anew, and few answers change.
# Somewhere beyond that, it breaks.
#
# ## The dead third
#
# And now for what was counted during training: units of the first dense layer that give 0 for each of 500 test images.

# %% tags=["varies"]
for steps, count in silent.items():
    print(f"after {steps:3} steps: {count:2} of 64 units give nothing")
assert silent[0] < 12 < silent[5]
assert abs(silent[250] - silent[5]) <= 5

# %% [markdown]
# A unit that gives 0 for all images gets no gradient from any of them, since that of ReLU is 0 there: its own weights do not change any
# more. It is *dead*. Only if the layers in front of it change its inputs enough can it come back, and few do. So about a third of this layer does
# nothing, and most of it died **in the first five steps.**
#
# The culprit is an old acquaintance. Adam's first step moves every weight by the learning rate 0.001, however small its gradient, unless that is tiny
# (lesson 11). The inputs of this layer come out of a ReLU, so none of them is negative. Where the first gradients want a unit to be smaller, all of its 3,136 weights
# go down together, and its sum $z$ falls by 0.001 times the sum of its inputs, for every image. That is a lot:

# %% tags=["varies"]
minicnn.set_random_seed(0)
fresh = network()
inputs = forward(fresh.layers[:5], test[:500])  # as they were before training
fresh_z = inputs @ fresh.layers[5].get_weights()[0]
fall = 0.001 * inputs.sum(axis=1).mean()
print(f"a step can move z by {fall:.2f}; its standard deviation is {fresh_z.std():.2f}")
assert inputs.min() == 0
assert fall > 0.5 * fresh_z.std()

# %% [markdown]
# One or two such steps, and $z$ is negative for all images. A suspicion can be tested: the same five batches with a tenth of the learning rate, or with plain
# gradient steps, which are small where gradients are:

# %% tags=["varies"]
for name, optimizer in {"Adam, 0.0001": Adam(0.0001), "plain, 0.1": SGD(0.1)}.items():
    minicnn.set_random_seed(0)
    gentle = network()
    gentle.compile(optimizer, gentle.loss)
    gentle.fit(train[:160], labels[:160], verbose=0)
    count = count_silent(gentle.layers)
    print(f"{name}: {count} of 64 silent after five steps, not {silent[5]}")
    assert count < silent[5] - 5

# %% [markdown]
# It is no fault of minicnn's: Keras 3.15.1, trained on the same 8,000 digits with its seeds 0 to 4, has these numbers of dead units, counted over 2,000 test
# images:

# %% tags=["varies"]
KERAS_DEAD = [35, 33, 19, 26, 34]
assert min(KERAS_DEAD) > 15
assert max(KERAS_DEAD) < 40

# Dead means dead: with any other outgoing weights, the scores are the same to the last bit.
hidden = np.maximum(z, 0)
dead = hidden.max(axis=0) == 0
outgoing, last_bias = layers[6].get_weights()
vandalised = outgoing.copy()
vandalised[dead] = 1e6
assert (hidden @ vandalised == hidden @ outgoing).all()
idle = int(dead.sum()) * (3136 + 1 + 10)
print(f"silent for all 10,000 images: {dead.sum()}; idle weights: {idle:,} of 253,514")
assert idle > 0.1 * 253_514

# %% [markdown]
# ## Where it is fragile
#
# Three disturbances, none of which would bother you (and a fourth, for the last picture: paper and ink exchanged):
#
# - **Push** the digit to the right by some pixels. Convolution and pooling do not mind, they move along; but the
#   dense layer has learned what belongs to which *place*, and MNIST's digits are all centred.
# - **Noise**: add or take away $\varepsilon$ from each pixel, at random (and keep it between 0 and 1).
# - **Chosen noise**: the same $\varepsilon$, but each pixel's sign is that of the gradient of the *loss* by this pixel. It is your
#   saliency again, with $p - onehot$ (lesson 6) in the place of the 1.

# %% tags=["fold"]
some, truth = test[:500], y_test[:500]


def right(images):
    return (forward(layers, images).argmax(axis=1) == truth).mean()


def pushed(pixels):
    moved = np.zeros_like(some)
    moved[:, :, pixels:] = some[:, :, : 28 - pixels]
    return moved


dloss = gradient_by_images(
    layers, some, lambda scores: softmax(scores) - np.eye(10, dtype="float32")[truth]
)
chosen_signs = np.sign(dloss)
random_signs = np.random.default_rng(0).choice(np.float32([-1, 1]), some.shape)


def noisy(signs, epsilon):
    return np.clip(some + np.float32(epsilon) * signs, 0, 1)


pushes = {pixels: right(pushed(pixels)) for pixels in range(9)}
epsilons = [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]
by_chance = {e: right(noisy(random_signs, e)) for e in epsilons}
by_choice = {e: right(noisy(chosen_signs, e)) for e in epsilons}
inverted = right(1 - some)

figure = plots.new_figure(6.4)
above, below = figure.subfigures(2, 1, height_ratios=[1.5, 1])
left_axes, right_axes = above.subplots(1, 2, sharey=True)
percent = lambda shares: [100 * share for share in shares.values()]  # noqa: E731
left_axes.plot(list(pushes), percent(pushes), "o-", color=plots.BLUE)
left_axes.set(xlabel="pushed right by pixels", ylabel="accuracy in %", ylim=(0, 102))
right_axes.plot(epsilons, percent(by_chance), "s-", color=plots.BLUE, label="random")
right_axes.plot(epsilons, percent(by_choice), "o-", color=plots.ORANGE, label="chosen")
right_axes.set(xlabel=r"noise: $\varepsilon$ added or taken away, pixel by pixel")
right_axes.legend(title="signs")
for axes in (left_axes, right_axes):
    axes.grid(color="#dddddd")
    axes.spines[["top", "right"]].set_visible(False)
shown = {
    "as it is": some,
    "4 pixels right": pushed(4),
    "random, 0.15": noisy(random_signs, 0.15),
    "chosen, 0.15": noisy(chosen_signs, 0.15),
    "inverted": 1 - some,
}
fooled = forward(layers, shown["chosen, 0.15"]).argmax(axis=1) != truth
right_before = scores[:500].argmax(axis=1) == truth
example = int(np.argmax(fooled & right_before))
for axes, (name, images) in zip(below.subplots(1, 5), shown.items(), strict=True):
    said = forward(layers, images[example : example + 1])[0].argmax()
    axes.imshow(images[example, :, :, 0], cmap="gray_r", vmin=0, vmax=1)
    axes.set_title(f"{name}:\nsays {said}", fontsize=plots.SMALL)
    axes.set_axis_off()
figure

# %% tags=["varies"]
print(f"pushed by 4 pixels: {pushes[4]:.1%} right, inverted: {inverted:.1%}")
print(f"noise of 0.2, random: {by_chance[0.2]:.1%} right, chosen: {by_choice[0.2]:.1%}")
assert pushes[1] > 0.9
assert pushes[4] < 0.75
assert pushes[8] < 0.3
assert by_chance[0.2] > 0.85
assert by_choice[0.2] < 0.5
assert inverted < 0.4

# %% [markdown]
# Random noise of 0.2 costs next to nothing. Noise *of the same size* with chosen signs ruins the network, in one step along one gradient. Both are up to 784 small changes;
# but random ones cancel out in every weighted sum, and chosen ones all pull in the same direction. Nothing in the network notices that such images
# are unlike any that it was trained on.
#
# So this is the answer to this lesson's question. It learned what distinguishes *these* digits from each other, centred, dark on light, by
# whatever means, spread over all filters. It did not learn what a 7 is.
#
# ## The fact

# %%
assert sees[:, :, 3, 3].sum() == 16 * 16
assert accuracy - second.min() < 0.01
assert accuracy - shares[31] < 0.05
assert by_chance[0.2] - by_choice[0.2] > 0.4

# %% [markdown]
# > **A cell of the last pooling sees 16 x 16 of 28 x 28 pixels. No single filter of 64 is worth a point of accuracy**, and half of them can go for less than 5 points;
# > but noise of 0.2 with chosen signs costs more than 40 points that random noise does not.
#
# ## In minicnn
#
# - `Layer.backward` in [minicnn/layer.py](../minicnn/layer.py): the contract that lets any network be asked for its saliency.
# - `forward` and `backward` in [minicnn/step.py](../minicnn/step.py): your `gradient_by_images`, the loops through the layers.
# - `Plan.predict` in [minicnn/engine/plan.py](../minicnn/engine/plan.py): how images go through some layers in shards, on several threads.
# - `filters` in [minicnn/plots/architecture.py](../minicnn/plots/architecture.py).
