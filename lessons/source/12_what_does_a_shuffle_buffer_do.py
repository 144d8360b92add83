# %% [markdown]
# # 12 · What does a shuffle buffer do?
#
# *20 minutes · needs lesson 11*
#
# **You will build** `shuffled(items, buffer_size, choose)`, which shuffles a stream of items that is too long to be
# held in memory. You will find out how far an item can move, and how much of its data a network really sees.

# %%
import numpy as np

import minicnn
from checks import check_12 as check
from minicnn import plots
from minicnn.data import Dataset
from minicnn.datasets import mnist
from minicnn.layers import Dense, Flatten, Input
from minicnn.tutorial import scaled

# %% [markdown]
# The gradient of a mini-batch should stand for all data. If a file is sorted by label, the first batches contain only
# zeros and later ones only ones, and what was learned from the zeros is soon lost. So data are shuffled. But a full
# shuffle needs all items in memory. `tf.data`, the input pipeline of TensorFlow, needs less: it draws from a *buffer*. The
# tutorial that our network comes from says
#
# ```python
# ds = Dataset.from_tensor_slices((x_train, y_train))
# ds = ds.shuffle(buffer_size=len(y_train)).repeat().batch(64)
# ```
#
# ## A tiny example, by hand
#
# There are six items, 0 to 5, and a buffer that holds three of them. First the buffer is filled. Then one item at a
# time is drawn from it and comes out, and *one* new item takes the free place. When the input has ended, the buffer
# drains.

# %% tags=["fold"]
buffers = [[0, 1, 2], [0, 1, 3], [1, 3, 4], [1, 3, 5], [3, 5], [3]]
out = [2, 0, 4, 1, 5, 3]  # one way in which the draws can turn out

cells, colours = np.full((6, 3), np.nan), {}
for place, (buffer, item) in enumerate(zip(buffers, out, strict=True)):
    cells[place, : len(buffer)] = buffer
    if 0 < place < 4:
        colours[place, 2] = plots.YELLOW  # it has just come in
    colours[place, buffer.index(item)] = plots.SKY

figure = plots.new_figure(3.4)
left, right = figure.subplots(1, 2)
plots.number_grid(left, cells, "the buffer", colours)
plots.number_grid(right, np.array(out)[:, None], "comes out", plots.SKY)
for place in range(6):
    left.text(-0.15, place + 0.5, f"place {place}", ha="right", va="center")
left.set_xlim(-1.5, 3.05)
figure

# %%
assert sorted(out) == list(range(6))
for place, (buffer, item) in enumerate(zip(buffers, out, strict=True)):
    came_in = set(range(min(6, place + 3)))  # three at first, then one at a time
    assert set(buffer) == came_in - set(out[:place])
    assert item in buffer

# %% [markdown]
# The item in blue is drawn; the item in yellow has just come in. At place 2, item 4 is both.
#
# The tutorial makes three statements about this, which can be judged now:
#
# - The buffer is filled before any item is taken. *Right.*
# - The buffer is refilled when all examples have been used. *Wrong:* each draw is followed by one new item.
# - A smaller batch size saves memory and shuffles less well. *Wrong:* a smaller buffer size does.
#
# ## Exercise 1: the buffer
#
# A *generator* is a function with `yield` in it. It hands out an item, and continues from there when it is asked for
# the next one. Here `items` can be read only once, in a `for` loop, and its length is not known. `choose(k)` makes a
# draw: it returns a whole number from 0 to k - 1, each with the same chance.
#
# Use what `choose` returns as a position in the buffer. Items may be equal, and they may be arrays, so do not compare them. A
# buffer that is larger than the data never gets full.
#
# The check tries every way in which the draws can turn out, so it knows the chances of your generator exactly. It also
# watches how far you read ahead. (Whether the next item is read before or after one is handed out is all the same.)


# %% tags=["exercise"]
def shuffled(items, buffer_size, choose):
    """Yield all items, each drawn from a buffer of `buffer_size` of them."""
    # solution
    buffer = []
    for item in items:
        buffer.append(item)
        if len(buffer) == buffer_size:
            yield buffer.pop(choose(len(buffer)))
    while buffer:
        yield buffer.pop(choose(len(buffer)))


# %%
check.shuffled(shuffled)

# %% [markdown]
# <details><summary>Hint 1</summary>Two loops: one over the items, and after it one that empties the buffer.</details>
# <details><summary>Hint 2</summary>In the first loop, add the item to a list. When the list holds
# <code>buffer_size</code> items, draw one.</details>
# <details><summary>Hint 3</summary>To draw: <code>yield buffer.pop(choose(len(buffer)))</code>, in both
# loops.</details>
#
# ## What can come out where
#
# Number the items $i = 0, 1, \dots, n - 1$, and the places at which they come out $p = 0, 1, \dots, n - 1$. Let $B$ be
# the size of the buffer. Before the draw at place $p$, $B + p$ items have been read (or all $n$, if there are fewer),
# and $p$ of them have come out. So the buffer holds
#
# $$size_p = \min(B,\ n - p)$$
#
# items. Item $i$ is in the buffer once $i + 1$ items have been read. That is the case from place
# $first = \max(0,\ i - B + 1)$ on. **It cannot come out earlier.** If $B > 1$, it can come out at any later place.
#
# At each place, everything in the buffer has the same chance. To come out at place $p$, an item must not be drawn at
# any place before, and then be drawn:
#
# $$chance_{i,p} = \left(1 - \frac{1}{size_{first}}\right) \cdots
# \left(1 - \frac{1}{size_{p-1}}\right) \cdot \frac{1}{size_p}$$
#
# for $p \geq first$.
#
# By hand, for item 3 with $n = 6$ and $B = 3$: it can come out from place 1 on. At places 1 to 5 the buffer holds 3, 3,
# 3, 2 and 1 items. So its chances are
#
# $$\frac{1}{3}, \quad \frac{2}{3} \cdot \frac{1}{3} = \frac{2}{9}, \quad
# \frac{2}{3} \cdot \frac{2}{3} \cdot \frac{1}{3} = \frac{4}{27},$$
#
# $$\frac{8}{27} \cdot \frac{1}{2} = \frac{4}{27}, \quad
# \frac{8}{27} \cdot \frac{1}{2} \cdot 1 = \frac{4}{27}.$$
#
# ## Exercise 2: all chances


# %% tags=["exercise"]
def chances(n, buffer_size):
    """An array (n, n): the chance that item i (its row) comes out at place p
    (its column)."""
    # solution
    result = np.zeros((n, n))
    for item in range(n):
        there = 1  # the chance that it has not come out yet
        for place in range(max(0, item - buffer_size + 1), n):
            result[item, place] = there / min(buffer_size, n - place)
            there -= result[item, place]
    return result


# %%
check.chances(chances)

# %% [markdown]
# <details><summary>Hint 1</summary>For each item, go through the places from <i>first</i> on. Keep one number: the
# chance that the item has not come out yet.</details>
# <details><summary>Hint 2</summary>That number is 1 at first. Divided by the size of the buffer, it is the chance to
# come out at this place.</details>
# <details><summary>Hint 3</summary>After each place, subtract the chance of this place from it.</details>
#
# ## TensorFlow's numbers
#
# TensorFlow 2.21 sent six items through `shuffle(3)` 10,000 times. The tables show how often each item came out at each
# place, and how often the formula expects it:

# %% tags=["fold"]
TENSORFLOW = [
    [3316, 2251, 1540, 990, 979, 924],
    [3289, 2203, 1467, 985, 1030, 1026],
    [3395, 2188, 1448, 1052, 974, 943],
    [0, 3358, 2222, 1421, 1476, 1523],
    [0, 0, 3323, 2209, 2237, 2231],
    [0, 0, 0, 3343, 3304, 3353],
]
expected = check.chances_for_the_picture(6, 3)

figure = plots.new_figure(3.6)
tables = {"TensorFlow, 10,000 passes": TENSORFLOW, "expected": 10_000 * expected}
for axes, (name, table) in zip(figure.subplots(1, 2), tables.items(), strict=True):
    texts = [[f"{count:.0f}" for count in row] for row in table]
    possible = {(i, p): plots.SKY for i, p in np.ndindex(6, 6) if p >= i - 2}
    plots.number_grid(axes, table, name, possible, texts)
    for i in range(6):
        axes.text(-0.15, i + 0.5, f"item {i}", ha="right", va="center")
    axes.text(3, 6.5, "places 0 to 5", ha="center", va="center")
    axes.set(xlim=(-1.3, 6.05), ylim=(6.9, -0.05))
figure

# %%
assert np.allclose(expected[3], [0, 1 / 3, 2 / 9, 4 / 27, 4 / 27, 4 / 27])
assert np.allclose(expected.sum(axis=0), 1)
assert np.allclose(expected.sum(axis=1), 1)
off = abs(np.array(TENSORFLOW) - 10_000 * expected)
assert (off <= 4 * np.sqrt(10_000 * expected * (1 - expected))).all()  # by chance
assert not off[expected == 0].any()

# %% [markdown]
# White cells cannot happen, and did not happen. Item 5 is read last, and comes out in the second half.
#
# How far does an item move? As long as there is input, an item in the buffer is drawn with a chance of $1/B$ each time.
# So on average it is drawn at the $B$-th time, just as a die shows its first six at the sixth throw on average. The
# first of these times is at place $i - B + 1$, the $B$-th at place $i$. So on average an item comes out **where it
# would have come out without a shuffle**, give or take about $B$ places. (This holds away from both ends: the first $B$
# items are all in the buffer at place 0, and the last ones are drawn while it drains.)

# %% tags=["cover", "fold"]
n = 10_000
figure = plots.new_figure(7.2)
all_axes = figure.subplots(2, 2, sharex=True, sharey=True)
distances = {}
for axes, buffer_size in zip(all_axes.flat, [1, 10, 1000, n], strict=True):
    counts = np.zeros((50, 50))
    dataset = Dataset.from_tensor_slices(np.arange(n)).shuffle(buffer_size, seed=9)
    for _ in range(4):  # passes, each in an order of its own
        item = np.fromiter(dataset, int, n)
        place = np.arange(n)
        assert (item <= place + buffer_size - 1).all()
        np.add.at(counts, (item // 200, place // 200), 1)
    distances[buffer_size] = int(np.median(abs(item - place)))
    shown = axes.imshow(
        counts / 800, cmap="Blues", vmin=0, vmax=0.3, extent=(0, n, n, 0)
    )
    axes.set(title=f"buffer of {buffer_size:,}", xticks=[0, n], yticks=[0, n])
for side in (0, 1):
    all_axes[1, side].set_xlabel("place")
    all_axes[side, 0].set_ylabel("item")
label = "share of the items that come out there"
figure.colorbar(shown, ax=all_axes, label=label, shrink=0.7, extend="max")
figure

# %%
print("half of the items move by at most", distances)
middle = check.chances_for_the_picture(400, 10)[100]  # of item 100
assert abs(middle @ np.arange(400) - 100) < 1e-9
assert distances[1] == 0
assert round(1 / (1 - 1 / 1000) ** 9000, -3) == 8_000
assert 5 < distances[10] < 9
assert 500 < distances[1000] < 900
assert 2700 < distances[n] < 3200

# %% [markdown]
# A buffer of 10 leaves 10,000 items nearly in their order. A buffer of 1,000 blurs the diagonal: to the left by no more
# than its size, to the right with a long faint trail. An item of the first tenth stays in the buffer until the last
# tenth with a chance of 1 in 8,000. Only a buffer as large as the data can bring every item to every place.
#
# ## Sorted data
#
# Sort MNIST by its labels, and look at the first batch of 64 images that comes out. (`from_tensor_slices` gets the
# numbers of the images here, not the images. A later section says why.)

# %% tags=["fold"]
(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, x_test = scaled(x_train), scaled(x_test)
by_label = np.argsort(y_train, kind="stable")  # numbers of images: all zeros first

SIZES = [1, 1_000, 10_000, 30_000, 60_000]
first_batches = {}
for buffer_size in SIZES:
    dataset = (
        Dataset.from_tensor_slices(by_label).shuffle(buffer_size, seed=9).batch(64)
    )
    members = next(iter(dataset))
    first_batches[buffer_size] = np.bincount(y_train[members], minlength=10)

figure = plots.new_figure(3.4)
axes = figure.subplots()
colour_of = ["#08306b", "#9ecae1"]  # neighbours dark and light, labels are written
for row, counts in enumerate(first_batches.values()):
    left = 0
    for label, count in enumerate(counts):
        dark = label % 2 == 0
        axes.barh(row, count, left=left, color=colour_of[not dark], edgecolor="white")
        if count:
            colour = "white" if dark else "black"
            middle = left + count / 2
            axes.text(middle, row, str(label), color=colour, ha="center", va="center")
        left += count
axes.set_yticks(range(len(SIZES)), [f"{size:,}" for size in SIZES])
axes.set(
    xlabel="the 64 images of the first batch, by label", ylabel="buffer", xlim=(0, 64)
)
axes.invert_yaxis()
axes.spines[["top", "right"]].set_visible(False)
figure

# %%
classes = {size: int((counts > 0).sum()) for size, counts in first_batches.items()}
assert classes == {1: 1, 1_000: 1, 10_000: 2, 30_000: 5, 60_000: 10}
zeros = int((y_train == 0).sum())
assert zeros == 5923

# %% [markdown]
# There are 5,923 zeros, so for a long time a buffer of 1,000 holds nothing else. Does it matter? Train a network of a
# single layer for one pass over the sorted images. (`fit` takes a step for each batch, `evaluate` measures the
# accuracy. Lesson 13 is about them.)
#
# **Guess before you run:** without a shuffle, which digit does the network see in every image after this pass? And
# which accuracy does it reach with a buffer of 1,000?


# %% tags=["fold"]
def accuracy(order, buffer_size):
    """On the test images, after one pass over the training images in this order, shuffled."""
    minicnn.set_random_seed(9)
    one_layer = [Input((28, 28, 1)), Flatten(), Dense(10, activation="softmax")]
    model = minicnn.Sequential(one_layer)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    dataset = Dataset.from_tensor_slices(order).shuffle(buffer_size).batch(64)
    model.fit(dataset.map(lambda i: (x_train[i], y_train[i])), verbose=0)
    return model.evaluate(x_test, y_test, verbose=0)[1]


reached = {size: accuracy(by_label, size) for size in SIZES}
figure = plots.new_figure(2.8)
axes = figure.subplots()
shares = [100 * share for share in reached.values()]
axes.bar(range(len(SIZES)), shares, color=plots.BLUE, width=0.6)
for position, share in enumerate(shares):
    axes.text(position, share + 2, f"{share:.0f} %", ha="center")
axes.set_xticks(range(len(SIZES)), [f"{size:,}" for size in SIZES])
axes.set(xlabel="buffer", ylabel="test accuracy in %", ylim=(0, 100))
axes.spines[["top", "right"]].set_visible(False)
figure

# %%
assert round(reached[1], 4) == round((y_test == 9).mean(), 4) == 0.1009
assert reached[1_000] < 0.3
assert 0.7 < reached[10_000] < 0.85
assert reached[60_000] > 0.9
assert abs(accuracy(np.arange(60_000), 1) - reached[60_000]) < 0.01  # as delivered

# %% [markdown]
# Without a shuffle the network calls every image a 9, the last digit it has seen; 10.09 % of the test images are nines.
# A buffer of 1,000 looks large, but helps little. To be fair: MNIST as it is delivered is already mixed, and one pass
# over it does as well without any shuffle. **What a buffer can do depends on the file.** So a sorted file should be
# shuffled once on disk.
#
# ## Passes
#
# `repeat` starts the recipe again: a new pass, in a new order. The order of `shuffle` and `repeat` matters:

# %%
six = Dataset.from_tensor_slices(np.arange(6))
apart = list(map(int, six.shuffle(6, seed=9).repeat(3)))
blurred = list(map(int, six.repeat(3).shuffle(6, seed=9)))
print("shuffle, then repeat:", apart[:6], apart[6:12], apart[12:])
print("repeat, then shuffle:", blurred[:6], blurred[6:12], blurred[12:])
passes = [slice(0, 6), slice(6, 12), slice(12, 18)]
assert all(sorted(apart[each]) == list(range(6)) for each in passes)
assert any(sorted(blurred[each]) != list(range(6)) for each in passes)

# %% [markdown]
# (A seed fixes a sequence of orders, of which each pass takes the next one.) In the first line, every pass has every item once. In the second line, the buffer does not know where a pass ends, and
# an item can come out twice before another one has come out at all.
#
# ## How much of the data does the tutorial see?
#
# The pipeline above, with a buffer for all 60,000 images, goes to `model.fit(ds, epochs=20, steps_per_epoch=10)`:
# twenty "epochs" of ten batches of 64, which is 12,800 images. It is called three times. How many different images has
# the network seen then?
#
# Within a call, one iterator serves all twenty epochs, and no image comes twice before all have come. But each call
# makes a *new* iterator, with a new buffer and a new order. Let $s$ be the number of images in a call. One call misses
# a given image with the chance $1 - s/n$. All calls miss it with the chance $(1 - s/n)^{calls}$. So we can expect
#
# $$n \cdot \left(1 - (1 - s/n)^{calls}\right)$$
#
# different images. A call that is longer than a pass sees them all.
#
# ## Exercise 3: how many different images?


# %% tags=["exercise"]
def distinct_images(n, batch_size, steps, calls):
    """Different images to expect of so many calls, each of so many steps; n
    images in all."""
    # solution
    share = min(batch_size * steps / n, 1)
    return n * (1 - (1 - share) ** calls)


# %%
check.distinct_images(distinct_images)

# %% [markdown]
# <details><summary>Hint 1</summary>Which share of the images does one call see? And if it is longer than a
# pass?</details>
# <details><summary>Hint 2</summary>All calls miss an image with the chance <code>(1 - share) ** calls</code>.</details>
# <details><summary>Hint 3</summary><code>share = min(batch_size * steps / n, 1)</code></details>
#
# That was for a buffer as large as the data. With a smaller one, a call reads only the first $B + s - 1$ items before
# its last draw, and the next call starts again at item 0.
#
# **Guess before you run:** how many different images do the three calls see with a buffer of 1,000?

# %%
ds = Dataset.from_tensor_slices(np.arange(60_000)).shuffle(1_000, seed=9).repeat()
seen = set()
for _ in range(3):
    call = iter(ds)
    seen |= {int(next(call)) for _ in range(12_800)}
print(f"{len(seen):,} different images; the last one is number {max(seen):,}")
assert max(seen) < 1_000 + 12_800 - 1
assert 13_350 < len(seen) < 13_600

# %% [markdown]
# Each call sees nearly the same images. No call gets beyond number 13,798, so more than three quarters of the
# images are never seen.
#
# ## The fast version, and what a large buffer costs
#
# If all data are in memory, no buffer is needed: `rng.permutation(n)` gives all numbers in a random order, and a batch
# is `x_train[order[start : start + 64]]`. That is what `model.fit(x_train, y_train)` does. In a pipeline, shuffle the
# *numbers* of the images, and look up the images of each batch with `map`, as above. Both shuffle as well as a buffer
# for all images. A buffer of numbers saves the memory and a part of the wait, a permutation saves both. What does a buffer of images
# cost?

# %%
import time


def seconds_by_batch(batches, count=20):
    """Of the first batch, and on average of those after it."""
    batches = iter(batches)
    stamps = [time.perf_counter()]
    for _ in range(count):
        next(batches)
        stamps.append(time.perf_counter())
    seconds = np.diff(stamps)
    return seconds[0], seconds[1:].mean()


def permuted():
    order = np.random.default_rng(9).permutation(60_000)
    for start in range(0, 60_000, 64):
        yield x_train[order[start : start + 64]]


images = Dataset.from_tensor_slices(x_train).shuffle(60_000).batch(64)
first, later = seconds_by_batch(images)
assert first > 20 * later  # with room to spare
first_permuted, _ = seconds_by_batch(permuted())
assert first > 5 * first_permuted

# minicnn's buffer holds views of images; one of copies needs as much memory as they do.
assert np.shares_memory(next(iter(Dataset.from_tensor_slices(x_train))), x_train)
assert 60_000 * 28 * 28 * 8 == 376_320_000  # bytes, at 8 for a number

# %% [markdown]
# It costs **time** before the first batch, which has to wait until all 60,000 images have been read. It takes more than
# twenty times as long as a later batch, in each call of `fit`. And it costs **memory**: a buffer of copies, as in
# TensorFlow, holds 376 MB if the images were divided by 255 in double precision.
#
# ## Challenge
#
# Now `repeat` comes first: `ds.repeat().shuffle(buffer_size)`, where `ds` gives n items one by one. The buffer reads items 0 to n - 1 again and again,
# without end. It never drains, and it can hold the same item several times. Each call makes a new iterator and draws
# `draws` items. How likely is it that item i has come out at least once?


# %% tags=["exercise", "challenge"]
def chance_seen(n, buffer_size, draws, calls):
    """An array (n,): for each item, the chance that it comes out at least once
    in so many calls, each of so many draws from repeat().shuffle(buffer_size).
    """
    # solution
    item = np.arange(n)
    missed = np.ones(n)  # the chance that one call has not drawn it so far
    for place in range(draws):
        copies = (buffer_size + place - 1 - item) // n + 1
        missed *= 1 - copies / buffer_size
    return 1 - missed**calls


# %%
check.chance_seen(chance_seen)

# %% [markdown]
# <details><summary>Hint 1</summary>First one call. If the buffer holds <i>c</i> copies of an item, what is the chance
# that the next draw takes none of them?</details>
# <details><summary>Hint 2</summary>You only need the case that no copy has come out so far. Then all copies that were
# read are still in the buffer.</details>
# <details><summary>Hint 3</summary>Before the draw at place p, positions 0 to B + p - 1 of the stream have been read.
# Item i is at positions i, i + n, i + 2n, ... Count those, and multiply the chances of all draws.</details>
#
# **Guess before you run:** a call draws 1,000 times from 1,000 items. With `shuffle` first, it sees all of them.
# How many different items does it see with `repeat` first and a buffer of 1,000? With which buffer does it see most?

# %%
endless = Dataset.from_tensor_slices(np.arange(1_000)).repeat()
for buffer_size in [1, 10, 100, 1_000, 10_000]:
    call = iter(endless.shuffle(buffer_size, seed=9))
    different = len({int(next(call)) for _ in range(1_000)})
    expected = check.seen_for_the_text(1_000, buffer_size, 1_000, calls=1).sum()
    print(
        f"buffer {buffer_size:6,}: {different:5,} different items, {expected:.1f} expected"
    )
    assert abs(different - expected) < 30
    if buffer_size == 1_000:
        assert round(expected) == 768

# %% [markdown]
# The better the buffer shuffles, the more items come out twice, and the more are missed: 23 % with a buffer as large as
# the data. Only a buffer of 1, which does not shuffle, sees all items. So put `shuffle` before `repeat`.
#
# ## The fact
#
# A small network, three real calls of `fit`, and a note of each image that is looked up:

# %%
minicnn.set_random_seed(9)
model = minicnn.Sequential(
    [Input((28, 28, 1)), Flatten(), Dense(10, activation="softmax")]
)
model.compile("adam", "sparse_categorical_crossentropy")
noted = []


def look_up(members):
    noted.append(members)
    return x_train[members], y_train[members]


numbers = Dataset.from_tensor_slices(np.arange(60_000))
ds = numbers.shuffle(buffer_size=60_000).repeat().batch(64).map(look_up)
seen = set()
for _ in range(3):
    noted.clear()
    model.fit(ds, epochs=20, steps_per_epoch=10, verbose=0)
    in_this_call = np.concatenate(noted)
    assert len(in_this_call) == len(set(in_this_call)) == 12_800
    seen |= set(in_this_call.tolist())

expected = check.images_for_the_text(60_000, 64, 200, calls=3)
print(
    f"one call {len(in_this_call):,} images, three calls {len(seen):,} different ones"
)
print(f"expected {expected:,.1f} of 60,000, or {expected / 60_000:.1%}")
assert round(expected, -1) == 30_790
assert abs(len(seen) - expected) < 400

# %% [markdown]
# > **One `fit` of 20 x 10 steps sees 12,800 images. Three such calls see about 30,790 different ones**, 51 % of the
# > data. They do not see 38,400, because each call starts a new shuffle.
#
# ## In minicnn
#
# - `Dataset.shuffle` in [minicnn/data.py](../minicnn/data.py): your `shuffled`; `repeat`, `batch` and `map` are next
#   to it.
# - `Epochs` in [minicnn/batches.py](../minicnn/batches.py): one iterator for all epochs of a call; and `source`: the
#   permutation that `fit(x, y)` draws.
# - [tests/test_data.py](../tests/test_data.py): the rules of this lesson; and
#   [tests/test_pipelines.py](../tests/test_pipelines.py): random pipelines, compared with TensorFlow's.
