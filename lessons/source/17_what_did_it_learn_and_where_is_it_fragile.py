# %% [markdown]
# # 17 · What did it learn, and where is it fragile?
#
# *25 minutes · needs lessons 8, 11, 13 and 14*
#
# **You will build** `receptive_field`, an occlusion map, and a way to ask what a single filter is worth. You will
# find that no filter matters much, that a third of a layer is dead, and that a little noise can be fatal. In the
# challenge you make the network read a 3 in nearly every digit.

# %%
import numpy as np

import minicnn
from checks import check_17 as check
from minicnn import plots
from minicnn.activations import softmax
from minicnn.datasets import mnist
from minicnn.engine import Plan
from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import SGD
from minicnn.tutorial import scaled, tutorial_network

# %% [markdown]
# ## A tiny example, by hand
#
# Take the image, kernel and bias of lesson 2, then ReLU and the maximum of all four outputs: a network with a single
# score, $\max(0, 5, 4, 0) = 5$. Which pixels does this 5 depend on? There are two ways to ask:
#
# - **Saliency:** how fast does the score change if a pixel changes *a little*? That is the gradient of the score
#   with respect to the image. The maximum passes the gradient to its winner, the 5 (lesson 5), and the convolution
#   puts its kernel where the winner's window is (lesson 8): rows 0 and 1, columns 1 and 2.
# - **Occlusion:** how far does the score fall if a pixel is *covered*, that is, set to 0?
#
# **Guess before you run:** which pixel has the largest saliency, and which one the largest drop by occlusion? Are
# they the same?

# %%
x = np.array([[1.0, 2, 0], [0, 1, 3], [2, 0, 1]])
kernel = np.array([[1.0, -1], [2, 0]])


def outputs(x):
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2))
    return np.maximum((windows * kernel).sum((2, 3)) + 1, 0)


saliency_by_hand = np.zeros((3, 3))
saliency_by_hand[0:2, 1:3] = kernel
drops = np.zeros((3, 3))
for pixel in np.ndindex(3, 3):
    covered = x.copy()
    covered[pixel] = 0
    drops[pixel] = outputs(x).max() - outputs(covered).max()

# Keras 3.15.1 gives the same two maps:
assert saliency_by_hand.tolist() == [[0, 1, -1], [0, 2, 0], [0, 0, 0]]
assert drops.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]

# %% tags=["fold"]
figure = plots.new_figure(2.9)
window = {(0, 1): plots.SKY, (0, 2): plots.SKY, (1, 1): plots.SKY, (1, 2): plots.SKY}
one, two, three, four = figure.subplots(1, 4)
plots.number_grid(one, x, "the image", window)
plots.number_grid(two, outputs(x), "outputs, after ReLU", {(0, 1): plots.SKY})
plots.number_grid(three, saliency_by_hand, "saliency", window)
plots.number_grid(four, drops, "occlusion", {(0, 1): plots.YELLOW})
figure

# %% [markdown]
# They do not agree! The pixel in the middle has the largest gradient, 2. Covering it lowers the winner from 5 to 3.
# But the same pixel counts as -1 in the window at the lower left, whose output rises from 4 to 5 and becomes the new
# maximum, so the score does not move at all. The pixel above it has a smaller gradient, 1. Covering it lowers the
# winner from 5 to 3, and now the 4 is the maximum: a drop of 1.
#
# Neither answer is wrong. A gradient describes the network only as long as the same units are active and the same
# windows win.
#
# ## What a cell can see
#
# Before we ask what the network sees: what *can* it see? The pixels that can influence a cell are its
# **receptive field**. Along one dimension, two numbers describe it:
#
# - `size`: how many pixels in a row one cell sees,
# - `jump`: by how many pixels the field moves from one cell to the next.
#
# A pixel sees itself: $\text{size} = 1$, $\text{jump} = 1$. Now add a layer whose window has $k$ cells, with the
# stride $s$. The first of the $k$ cells sees $\text{size}$ pixels, and each further one adds $\text{jump}$ pixels;
# neighbouring windows are $s$ cells apart:
#
# $$\text{size}' = \text{size} + (k - 1) \cdot \text{jump}, \qquad \text{jump}' = \text{jump} \cdot s.$$
#
# After a convolution with $k = 5$, $s = 1$: $1 + 4 \cdot 1 = 5$ pixels, 1 apart. After a pooling with $k = s = 2$ that
# follows: $5 + 1 \cdot 1 = 6$ pixels, 2 apart.
#
# ## Exercise 1: the receptive field


# %% tags=["exercise"]
def receptive_field(layers):
    """(size, jump) after some layers, as two integers.

    layers: a list of (k, s), the first layer first. For example,
    receptive_field([(5, 1), (2, 2)]) is (6, 2).
    """
    # solution
    size, jump = 1, 1
    for k, s in layers:
        size += (k - 1) * jump
        jump *= s
    return size, jump


# %%
check.receptive_field(receptive_field)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Go through the layers in order. Update `size` first: its formula needs the old `jump`.
#
# </details>
#
# Let us also measure it, on the tutorial's network. Only its end differs: the softmax is left to the loss
# (lesson 6), so the network returns **logits**, which we call scores. Set all its weights to 1 and all biases to 0.
# For an image with a single bright pixel, a cell is then positive exactly if it sees that pixel. (The first run on a
# machine compiles the engine, and says so in a line.)


# %%
def network(optimizer="adam"):
    """The tutorial's network without its softmax; always the same first weights."""
    minicnn.clear_session()
    minicnn.set_random_seed(0)
    body = tutorial_network().layers[:-1]
    model = minicnn.Sequential([Input((28, 28, 1)), *body, Dense(10)])
    model.compile(optimizer, SparseCategoricalCrossentropy(from_logits=True))
    return model


def forward(layers, images):
    """The output of the last of these layers, computed by minicnn's engine."""
    return Plan(layers).predict(images)


probe = network()
for layer in probe.layers[:4]:
    layer.set_weights([np.full_like(w, w.ndim > 1) for w in layer.get_weights()])
pixels = np.eye(784, dtype=np.float32).reshape(784, 28, 28, 1)
sees = forward(probe.layers[:4], pixels)[..., 0] > 0
sees = sees.reshape(28, 28, 7, 7)  # [row, column, cell's row, cell's column]

rows = np.nonzero(sees[:, :, 3, 3])[0]
print("the cell in the middle sees rows", rows.min(), "to", rows.max())
assert sees[:, :, 3, 3].sum() == 16 * 16 == (rows.max() - rows.min() + 1) ** 2

(x_train, y_train), (x_test, y_test) = mnist.load_data()
train, labels, test = scaled(x_train[:8000]), y_train[:8000], scaled(x_test)
# From the first to the last row with ink, and the same for columns, of each digit:
heights, widths = (
    28 - ink.argmax(1) - ink[:, ::-1].argmax(1)
    for ink in ((x_test > 0).any(2), (x_test > 0).any(1))
)
assert np.maximum(heights, widths).min() == 19

# %% tags=["fold"]
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
right.set(title="how many cells see a pixel", xlabel="column")
figure.colorbar(counted, ax=right, label="cells", shrink=0.85)
figure

# %% [markdown]
# A cell of the last pooling sees at most 16 x 16 pixels, a third of the image, while every test digit is at least 19
# pixels high or wide. So no such cell sees a whole digit. It can respond to a *part*: the end of a stroke, a corner,
# a piece of a loop. The dense layers put the parts together.
#
# ## What it learned
#
# Now train the network on 8,000 digits, 250 mini-batches of 32. After the first five steps, and at the end, we count
# the units of the first dense layer that are 0 for all 500 of some test images.
#
# **Guess before you run:** of 64 units, how many will be silent at the start, after 5 steps, and after 250?

# %% tags=["varies"]
model = network()
layers = model.layers
before = layers[0].get_weights()[0]


def count_silent(layers):
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
similar = np.corrcoef(before.ravel(), layers[0].get_weights()[0].ravel())[0, 1]
print(f"test accuracy {accuracy:.4f}")
print("silent units by step:", silent)
print(f"first kernels, before and after: correlation {similar:.2f}")
assert similar > 0.5
assert silent[0] < 12 < silent[5]

# %% [markdown]
# More on the silent units below. First, the 32 kernels of the first convolution:

# %%
plots.filters(model.layers[0])

# %% [markdown]
# Can you tell them from noise? As the correlation says, they have not moved far from their random start. What they
# *do* is easier to look at than what they *are*: here are a digit's **feature maps** after the first convolution and
# after the last pooling.


# %% tags=["fold"]
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
above.imshow(tiled(forward(layers[:1], test[:1])[0], 8), cmap="magma")
above.set_title("after the first convolution: 32 feature maps of 28 x 28")
below.imshow(tiled(maps[0], 16), cmap="magma")
below.set_title("after the last pooling: 64 feature maps of 7 x 7")
for axes in (above, below):
    axes.set_axis_off()
figure

# %% [markdown]
# Each map has its own scale, from 0 (black) to its maximum (bright). A nearly random kernel is not useless: it responds
# to strokes of some direction, or to one side of them.
#
# ## Where it looks
#
# For saliency in the real network, do a forward pass, then a backward pass through all layers by the contract of
# lesson 9, `dx, grads = layer.backward(dy, cache)`. `dscores` says what to ask for: 1 for the class whose score is
# meant, 0 for all others.
#
# **See it move** in [the explorer](01_what_will_we_rebuild.ipynb): for an image of the group "Worst mistakes", look at
# the last feature maps, `#layer=max_pooling2d_1`, and at the gradient of its *loss*,
# `#layer=conv2d&cell=14,14,0&mode=backward`.


# %%
def gradient_by_images(layers, images, dscores):
    """Gradient with respect to images (n, h, w, c).

    `dscores` makes the gradient (n, classes) of the scores from the scores.
    """
    y, caches = images, []
    for layer in layers:
        y, cache = layer.forward(y)
        caches.append(cache)
    dy = dscores(y)
    for layer, cache in zip(reversed(layers), reversed(caches), strict=True):
        dy, _ = layer.backward(dy, cache)
    return dy


chosen = [0, 1, 18, 61]
one_hot = np.eye(10, dtype=np.float32)[y_test]
saliency = gradient_by_images(layers, test[chosen], lambda scores: one_hot[chosen])

# Lesson 9 has checked each backward pass; the loop gives the map of the tiny example.
tiny = [Conv2D(1, 2, activation="relu"), MaxPooling2D(2), Flatten()]
minicnn.Sequential([Input((3, 3, 1)), *tiny])
tiny[0].set_weights([kernel[:, :, None, None], np.ones(1)])
back = gradient_by_images(tiny, x[None, :, :, None], np.ones_like)
assert (back[0, :, :, 0] == saliency_by_hand).all()

# %% [markdown]
# ## Exercise 2: an occlusion map
#
# Cover a patch of `k` x `k` pixels at every place where it fits; its upper left corner is in row `i` and column `j`.
# By how much does the score fall?


# %% tags=["exercise"]
def occlusion_map(score, image, k):
    """How far the score falls, for each place of a patch of zeros.

    score: a function of an image (h, w) that returns a number.
    image: (h, w); it must not be changed.
    Returns an array (h - k + 1, w - k + 1): at [i, j], score(image)
    minus the score with image[i : i + k, j : j + k] covered.
    """
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
# <details><summary>Hint</summary>
#
# The tiny example does it for `k = 1`. Take a fresh copy for each place, or earlier patches stay covered.
#
# </details>
#
# **The fast version, and what it costs.** The engine is faster with many images at once. So make all covered images
# first, 24 x 24 for a patch of 5 x 5, and ask once. The price is memory: 576 images for one.


# %%
def covered_images(image, k):
    """All images with a patch of zeros: (places, h, w, 1)."""
    places = list(np.ndindex(image.shape[0] - k + 1, image.shape[1] - k + 1))
    images = np.repeat(image[None], len(places), axis=0)
    for each, (i, j) in zip(images, places, strict=True):
        each[i : i + k, j : j + k] = 0
    return images[..., None]


def drops_of(number):
    """The occlusion map (24, 24) of a test digit, for the score of its true class."""
    covered = forward(layers, covered_images(test[number, :, :, 0], 5))
    label = y_test[number]
    return (scores[number, label] - covered[:, label]).reshape(24, 24)


all_drops = {number: drops_of(number) for number in chosen}

# %% tags=["cover", "fold"]
figure = plots.new_figure(7.2)
all_axes = figure.subplots(3, 4)
for column, (number, gradient) in enumerate(zip(chosen, saliency, strict=True)):
    image, label = test[number, :, :, 0], y_test[number]
    frame = np.pad(all_drops[number], 2, constant_values=np.nan)  # at patch centres
    size = abs(gradient).max()
    all_axes[0, column].imshow(image, cmap="gray_r")
    all_axes[0, column].set_title(f"a {label}")
    all_axes[1, column].imshow(gradient[..., 0], cmap="RdBu_r", vmin=-size, vmax=size)
    reach = abs(all_drops[number]).max()
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
# Each map has its own scale; white is 0.
#
# - Saliency: where a bit more ink (red) or less of it (blue) would raise the score of the true class.
#   Much of it lies on blank paper: **a gap can tell as much as a stroke.**
# - Occlusion: where covering lowers the score (red) or raises it (blue), with the digit's outline. It is smoother, but
#   blind to gaps: covering paper with paper changes nothing.

# %% tags=["varies"]
paper = test[chosen] == 0
on_paper = abs(saliency)[paper].sum() / abs(saliency).sum()
print(f"{on_paper:.0%} of the saliency lies on blank paper")
assert on_paper > 0.3
assert abs(all_drops[0][0, 0]) < 1e-3 < abs(all_drops[0]).max()  # a blank corner

# %% [markdown]
# ## How much is a filter worth?
#
# The last pooling gives 64 feature maps, one for each filter of the second convolution. Remove a filter, that is, set
# its whole map to 0, and count the right answers again. This is called **ablation**.
#
# **Guess before you run:** how much accuracy does the *most harmful* removal cost?
#
# ## Exercise 3: the accuracy without each filter
#
# Write it for a small network of `Flatten` and one dense layer, whose input are feature maps and whose outputs are scores. Flatten
# writes an image's numbers row by row and cell by cell, with the `f` channels of a cell next to each other.


# %% tags=["exercise"]
def accuracy_without(maps, labels, kernel, bias):
    """Accuracy with each map removed: an array (f,).

    maps: (n, h, w, f); labels: (n,); bias: (classes,);
    kernel: (h * w * f, classes).
    Entry o is the share of right answers if map o is all zero.
    """
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
# <details><summary>Hint 1</summary>
#
# Start from a fresh copy of all maps for each `o`, and set `[..., o]` to 0.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `left.reshape(n, -1)` flattens as `Flatten` does; the scores are its product with `kernel`, plus `bias`. The answer is
# the class with the largest score.
#
# </details>
#
# For the real network there is a shortcut. The first dense layer is a sum over all maps,
# $z = \sum_o \text{maps}_o \cdot \text{kernel}_o + \text{bias}$, where $\text{kernel}_o$ are the rows that belong to map
# $o$. Without map $o$ this is $z - \text{maps}_o \cdot \text{kernel}_o$, so all 64 removals together cost as many
# products as the layer itself. `change` says for each filter and image whether the answer became right (1), wrong (-1),
# or neither (0).

# %% tags=["varies"]
dense_kernel, dense_bias = layers[5].get_weights()
kernel_of = dense_kernel.reshape(49, 64, 64)  # [cell, map, unit]
cells = maps.reshape(-1, 49, 64)  # [image, cell, map]
z = maps.reshape(len(maps), -1) @ dense_kernel + dense_bias


def is_right(z):
    """For each image, whether the answer is right, from the dense layer's sums."""
    return layers[6].forward(np.maximum(z, 0))[0].argmax(axis=1) == y_test


without = [is_right(z - cells[:, :, o] @ kernel_of[:, o]) for o in range(64)]
change = np.array(without).astype(np.int8) - is_right(z).astype(np.int8)  # (64, 10000)
effect = change.mean(axis=1)
assert abs(is_right(z).mean() - accuracy) < 1e-3

print(f"the most harmful removal costs {-100 * effect.min():.2f} points")
print(f"{(effect > 0).sum()} removals give more right answers than before")
assert effect.min() > -0.01
assert (effect > 0).sum() >= 5

# %% tags=["fold"]
figure = plots.new_figure(3.4)
axes = figure.subplots()
axes.bar(range(64), 100 * np.sort(effect), color=plots.BLUE)
axes.axhline(0, color=plots.GREY, linewidth=1)
axes.set(title="one of 64 filters removed: 10,000 test images")
axes.set(
    xlabel="filters, the most harmful first", ylabel="change of accuracy\nin points"
)
axes.spines[["top", "right"]].set_visible(False)
figure

# %% [markdown]
# The most harmful removal costs less than one point, and most cost next to nothing. And some removals seem to *help*. Do they? The largest of 64 changes contains some luck: borderline images that happen
# to fall on the right side. Lesson 14 had the remedy: **choose on one part of the data, judge on another.** So split
# the test images at random into two halves, find the most helpful removal on one, and look at the same filter on the
# other.
#
# **Guess before you run:** how much of the gain is left on the other half: all, some, or nothing?

# %% tags=["varies"]
rng = np.random.default_rng(0)
gains = []
for _ in range(100):
    order = rng.permutation(10_000)
    chooses, judges = change[:, order[:5000]], change[:, order[5000:]]
    best = chooses.mean(axis=1).argmax()
    gains.append([100 * chooses[best].mean(), 100 * judges[best].mean()])
chosen_on, judged_on = np.mean(gains, axis=0)
print("the most helpful removal, mean of 100 splits:")
print(
    f"   on the half that chose it {chosen_on:.2f} points, on the other {judged_on:.2f}"
)
assert judged_on < chosen_on < 1

# %% [markdown]
# Part of the gain was luck in choosing, and is gone. What is left is a small fraction of a point.
#
# If the network had *one* filter for the loop of the 6, then without it the 6s, a tenth of all images, would be lost. It
# has none: **what it knows is spread over many filters, and each can be replaced.** So remove many of them, in a
# random order:

# %% tags=["varies"]
shares, rest = [], z.copy()
for o in np.random.default_rng(0).permutation(64):
    rest -= cells[:, :, o] @ kernel_of[:, o]
    shares.append(is_right(rest).mean())
for removed in (8, 16, 32, 48, 64):
    print(f"{removed} of 64 filters removed at random: {shares[removed - 1]:.1%} right")
assert accuracy - shares[31] < 0.05
assert shares[63] < 0.25

# %% [markdown]
# Half of the second convolution, the layer that does 92 % of the work (lesson 1), can be removed without training
# again, and few answers change. Then it breaks.
#
# ## The dead third
#
# Now to the silent units. A unit that is 0 for all images gets no gradient, since ReLU's derivative is 0 there, so its
# own weights no longer change: it is a **dead ReLU**. It can only come back if the layers before it change its inputs
# enough. About a third of this layer does nothing, and most of it died **in the first five steps.**
#
# The cause is Adam's first step, which moves nearly every weight by about the learning rate, 0.001: small gradients move it as far
# as large ones, unless they are as small as epsilon (lesson 11). The inputs of this layer come from a ReLU, so none is negative. Where the first gradients want a unit to
# be smaller, all of its 3,136 weights go down together, and its sum $z$ falls by 0.001 times the sum of its inputs, for
# every image. Is that much? And does SGD, whose steps are small where gradients are small, leave more units alive?

# %% tags=["varies"]
fresh = network()
inputs = forward(fresh.layers[:5], test[:500])  # as they were before training
spread = (inputs @ fresh.layers[5].get_weights()[0]).std()
fall = 0.001 * inputs.sum(axis=1).mean()
print(f"a step can lower z by {fall:.2f}; its standard deviation is {spread:.2f}")
assert inputs.min() == 0 < 0.5 * spread < fall

gentle = network(SGD(0.1))
gentle.fit(train[:160], labels[:160], verbose=0)
count = count_silent(gentle.layers)
print(f"SGD, learning rate 0.1: {count} of 64 silent after five steps, not {silent[5]}")
assert count < silent[5] - 5

# Keras 3.15.1, 250 such steps, seeds 0 to 4, counted over 2,000 test images:
KERAS_DEAD = [35, 33, 19, 26, 34]
assert 15 < min(KERAS_DEAD) < max(KERAS_DEAD) < 40

# %% [markdown]
# ## Where it is fragile
#
# Three disturbances that hardly bother a human reader:
#
# - **Shift** the digit to the right. (By 4 pixels, one digit in seven loses a little ink at the edge; by 6 and 8 many do.) Feature maps of a convolution shift along (it is **equivariant**), but the dense
#   layer has learned what belongs to which *place*, and MNIST's digits are all centred. The remedy is lesson 14's
#   **data augmentation**: train with shifted digits, too.
# - **Random noise**: add or subtract $\varepsilon$ at each pixel, with a random sign, and clip to 0 ... 1.
# - **Chosen noise**: the same $\varepsilon$, but with the sign of the gradient of the *loss* with respect to the pixel:
#   saliency again, starting from $p - \text{onehot}$ (lesson 6). This is the **fast gradient sign method**, and what
#   it makes is an **adversarial example**.
#
# **Guess before you run:** the network has about 95 % right. How many with noise of $\varepsilon = 0.2$, random and
# chosen? How many after a shift of 4 pixels?

# %%
some, truth = test[:500], y_test[:500]


def right(images):
    return (forward(layers, images).argmax(axis=1) == truth).mean()


def shifted(pixels):
    moved = np.zeros_like(some)
    moved[:, :, pixels:] = some[:, :, : 28 - pixels]
    return moved


def noisy(signs, epsilon):
    return np.clip(some + np.float32(epsilon) * signs, 0, 1)


dloss = gradient_by_images(layers, some, lambda z: softmax(z) - one_hot[:500])
chosen_signs = np.sign(dloss)
random_signs = np.random.default_rng(0).choice(np.float32([-1, 1]), some.shape)

shifts = {pixels: right(shifted(pixels)) for pixels in range(9)}
epsilons = [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]
by_chance = {e: right(noisy(random_signs, e)) for e in epsilons}
by_choice = {e: right(noisy(chosen_signs, e)) for e in epsilons}

# %% tags=["varies", "fold"]
print(f"shifted by 4 pixels: {shifts[4]:.1%} right")
print(f"noise of 0.2, random: {by_chance[0.2]:.1%} right, chosen: {by_choice[0.2]:.1%}")
assert shifts[1] > 0.9
assert shifts[4] < 0.75
assert shifts[8] < 0.3
assert by_chance[0.2] > 0.85
assert by_choice[0.2] < 0.5

# %% tags=["fold"]
figure = plots.new_figure(6.4)
above, below = figure.subfigures(2, 1, height_ratios=[1.5, 1])
left_axes, right_axes = above.subplots(1, 2, sharey=True)
percent = lambda shares: [100 * share for share in shares.values()]  # noqa: E731
left_axes.plot(list(shifts), percent(shifts), "o-", color=plots.BLUE)
left_axes.set(xlabel="shifted right by pixels", ylabel="accuracy in %", ylim=(0, 102))
right_axes.plot(epsilons, percent(by_chance), "s-", color=plots.BLUE, label="random")
right_axes.plot(epsilons, percent(by_choice), "o-", color=plots.ORANGE, label="chosen")
right_axes.set(xlabel=r"noise: $\varepsilon$ added or subtracted at each pixel")
right_axes.legend(title="signs")
for axes in (left_axes, right_axes):
    axes.grid(color="#dddddd")
    axes.spines[["top", "right"]].set_visible(False)
shown = {
    "as it is": some,
    "4 pixels right": shifted(4),
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

# %% [markdown]
# Random noise of 0.2 costs next to nothing. Noise *of the same size* with chosen signs ruins the network. Both are up to
# 784 small changes; but random ones cancel in every weighted sum, and chosen ones all pull in the same direction.
#
# So this is the answer to this lesson's question. The network learned what distinguishes *these* digits from each
# other, centred, with ink as large numbers on a background of zeros. With black and white exchanged it reads a 3. It did not learn what
# a 7 is.
#
# ## The fact

# %%
assert sees[:, :, 3, 3].sum() == 16 * 16
assert effect.min() > -0.01
assert accuracy - shares[31] < 0.05
assert by_chance[0.2] - by_choice[0.2] > 0.4

# %% [markdown]
# > **A cell of the last pooling sees 16 x 16 of 28 x 28 pixels. No single filter of 64 is worth a point of accuracy**,
# > and half of them can go for less than 5 points; but noise of 0.2 with chosen signs costs more than 40 points that
# > random noise does not.
#
# ## Challenge
#
# Chosen noise made answers wrong. Now make them all the *same*: change the digits so little that you would not mind,
# and let the network read a 3 in nearly every one of them. Give the loss the label 3 for each image, and go *down* its
# gradient in several small steps. After each step, bring every pixel back to within $\varepsilon$ of where it began,
# and to within 0 ... 1. (This is **projected gradient descent**, with the image in the place of the weights.)


# %% tags=["exercise", "challenge"]
def toward(gradient, images, epsilon, size, steps):
    """Images close to `images` on which a loss is small.

    gradient: a function of images (n, h, w, 1) that returns the
    gradient of the loss, of the same shape. Each of the `steps` steps
    moves every pixel by `size`, against the sign of its gradient at
    the images as they are by then. No pixel ends further than
    `epsilon` from where it began, nor outside of 0 ... 1.
    """
    # solution
    moved = images
    for _ in range(steps):
        moved = moved - size * np.sign(gradient(moved))
        moved = np.clip(moved, images - epsilon, images + epsilon)
        moved = np.clip(moved, 0, 1)
    return moved


# %%
check.toward(toward)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# One step alone is `noisy(chosen_signs, ...)` with a minus, and without looking at the gradient again.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Keep two arrays: `images`, which stay as they are, and the images that move. Only the latter go into `gradient`.
#
# </details>
# <details><summary>Hint 3</summary>
#
# `np.clip` takes arrays as limits, too: the lower one is `images - epsilon`, the upper one `images + epsilon`.
#
# </details>
#
# The next cell gives your function 100 digits, and draws eight of them.

# %% tags=["fold", "varies"]
figure = None
if check.toward.verdict(toward).passed:
    threes = np.eye(10, dtype=np.float32)[np.full(100, 3)]

    def dloss_of_three(images):
        return gradient_by_images(layers, images, lambda z: softmax(z) - threes)

    for epsilon in (0.1, 0.2, 0.3):
        few = toward(dloss_of_three, test[:100], np.float32(epsilon), epsilon / 8, 20)
        said = forward(layers, few.astype(np.float32)).argmax(axis=1)
        print(f"epsilon {epsilon}: {(said == 3).mean():.0%} are read as a 3")
    assert (said == 3).mean() > 0.8
    figure = plots.new_figure(1.6, "epsilon 0.3")
    for axes, image, digit in zip(figure.subplots(1, 8), few, said, strict=False):
        axes.imshow(image[..., 0], cmap="gray_r", vmin=0, vmax=1)
        axes.set_title(f"says {digit}", fontsize=plots.SMALL)
        axes.set_axis_off()
else:
    print("solve the challenge, then run this cell again")
figure

# %% [markdown]
# ## In minicnn
#
# - `Layer.backward` in [minicnn/layer.py](../minicnn/layer.py): the contract by which any network can be asked for its
#   saliency.
# - `forward` and `backward` in [minicnn/step.py](../minicnn/step.py): the loops of `gradient_by_images`.
