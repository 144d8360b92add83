# %% [markdown]
# # 16 · What limits a fast program?
#
# *25 minutes · needs lessons 8 and 15*
#
# **You will build** small models of a processor's memory that tell which of two loops is faster, and the gradient of a pooled
# convolution without the products that are zero.

# %%
import time

import numba
import numpy as np

import minicnn
from checks import check_16 as check
from minicnn import plots
from minicnn.checking.environment import machine
from minicnn.engine.blas import one_thread
from minicnn.engine.kernels import adam, direct, few_channels, im2col, winograd
from minicnn.engine.threads import USUAL_SHARD, cut, run
from minicnn.shapes import window_geometry


def in_turns(functions, rounds=5, clock=time.thread_time):
    """Seconds that a call takes: the shortest of some, as in lesson 15."""
    times = {name: [] for name in functions}
    with one_thread:  # BLAS multiplies matrices on this thread, too
        for function in functions.values():
            function()  # whatever has to be compiled is compiled now
        for _ in range(rounds):
            for name, function in functions.items():
                start, wall, calls = clock(), time.perf_counter(), 0
                while time.perf_counter() - wall < 0.03:  # short calls are repeated
                    function()
                    calls += 1
                times[name].append((clock() - start) / calls)
    return {name: max(min(seconds), 1e-9) for name, seconds in times.items()}


# %% [markdown]
# ## Memory is one long row
#
# Lesson 15 ended with 64 products in NumPy that were slower than one large product, although they multiply less. So the number of
# products is not all that counts. This lesson is about the rest: how a processor gets at its numbers, and what minicnn does about it.
#
# An array has several axes, memory has one. NumPy stores the numbers in the order of the axes, the last axis fastest. Here is a
# tiny image of 2 x 3 pixels with 2 channels. Its number `x[1, 0, 1]` is at place 7: one row of 3 pixels with 2 channels comes
# before it, and one channel.

# %% tags=["fold"]
figure = plots.new_figure(2.3, "x of shape (2, 3, 2): height, width, channels")
panels = figure.subplots(1, 3, width_ratios=[3, 3, 12])
places = np.arange(12).reshape(2, 3, 2)
tints = {0: plots.SKY, 1: plots.YELLOW}
for channel in (0, 1):
    colours = {(i, j): tints[channel] for i in range(2) for j in range(3)}
    plots.number_grid(
        panels[channel], places[..., channel], f"channel {channel}", colours
    )
colours = {(0, place): tints[place % 2] for place in range(12)}
plots.number_grid(panels[2], np.arange(12)[None], "the same numbers in memory", colours)
figure

# %%
x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
assert x[1, 0, 1] == 7
assert x.strides == (24, 8, 4)  # bytes to the next row, pixel and channel

# %% [markdown]
# The channels of a pixel are neighbours. Keras and minicnn store images like this, which is called *channels last*. PyTorch's
# order is (channels, height, width), *channels first*: there the pixels of one channel are neighbours.
#
# ## Exercise 1: where is it?


# %% tags=["exercise"]
def place_of(index, shape):
    """The place in memory of the number at `index` in an array of `shape`, both
    tuples of the same length; the first number is at place 0.

    place_of((1, 0, 1), (2, 3, 2)) is 7.
    """
    # solution
    place = 0
    for i, size in zip(index, shape, strict=True):
        place = place * size + i
    return place


# %%
check.place_of(place_of)

# %% [markdown]
# <details><summary>Hint 1</summary>For three axes: (i * width + j) * channels + k.</details>
# <details><summary>Hint 2</summary>Go through the axes from the first to the last, and multiply what you have by the size of each axis
# before you add its index.</details>
#
# ## Memory comes in lines
#
# A processor computes much faster than main memory can answer. So it keeps copies of what it used last in a small, fast memory on the
# chip, the **cache**. It never fetches a single number: it fetches a **cache line** of 64 bytes, which is 16 numbers in float32.
#
# **Guess before you run:** a compiled loop adds up all 16 million numbers of an array; another one adds up only every 16th. The
# second one does 16 times fewer additions. How many times as fast is it?


# %%
@numba.njit
def add_every(numbers, step):
    total = np.float32(0)
    for i in range(0, len(numbers), step):
        total += numbers[i]
    return total


# %% tags=["varies"]
large = np.ones(1 << 24, np.float32)  # 64 MB, more than the cache holds
steps = [1, 2, 4, 8, 16, 32]
times = in_turns({step: lambda step=step: add_every(large, step) for step in steps}, 3)
print(machine())
for step in steps:
    each = times[step] * step / times[1]
    print(
        f"step {step:2}: {times[1] / times[step]:4.1f} times as fast as step 1, ",
        end="",
    )
    print(f"{each:4.1f} times as long for each number")
assert times[16] * 16 / times[1] > 2

# %% [markdown]
# Not 16 times: with a step of 16 or more, each number that is added takes several times as long, because a whole line is fetched for
# it. **Whoever reads one number has its whole line fetched.** A fast loop goes along memory and uses each line completely, before it is replaced.
#
# ## Exercise 2: how many lines?


# %% tags=["exercise"]
def lines_touched(start, step, count):
    """How many cache lines a loop reads that goes over `count` numbers.

    The first number is at place `start`, each of the others `step` places
    further on; step and count may be 0, but not less. A line has 16 numbers;
    the first one holds the places 0 to 15.
    """
    # solution
    return len({(start + i * step) // 16 for i in range(count)})


# %%
check.lines_touched(lines_touched)

# %% [markdown]
# <details><summary>Hint 1</summary>In which line is the number at place p?</details>
# <details><summary>Hint 2</summary>Collect the numbers of the lines in a <code>set</code>.</details>
#
# The sum over the channels of a pixel, 32 numbers, reads two lines. The same sum over an array with channels first, whose numbers are
# 14 x 14 = 196 places apart, reads 32.

# %%
solved = check.lines_touched.verdict(lines_touched).passed
assert not solved or lines_touched(0, 1, 32) == 2
assert not solved or lines_touched(0, 196, 32) == 32

# %% [markdown]
# ## Vectors
#
# A processor has **vector instructions** that add or multiply 4, 8 or 16 neighbouring numbers at once. A compiler uses them on its own,
# but not for a sum. Adding eight numbers in two *lanes* means to add 1st, 3rd, 5th, 7th and 2nd, 4th, 6th, 8th separately, and
# then the two results. In exact arithmetic this changes nothing. In floating point it does:

# %%
numbers = np.float32([1e8, 1, -1e8, 1])
in_order = ((numbers[0] + numbers[1]) + numbers[2]) + numbers[3]
in_two_lanes = (numbers[0] + numbers[2]) + (numbers[1] + numbers[3])
print("in order:", in_order, " in two lanes:", in_two_lanes)
assert (in_order, in_two_lanes) == (1, 2)

# %% [markdown]
# A `float32` has about seven digits, so 100,000,000 + 1 is 100,000,000. A compiler may not change results, so it adds one number
# after the other, unless it is told that the order does not matter (`fastmath`):


# %% tags=["varies"]
def total(numbers):
    added = np.float32(0)
    for i in range(len(numbers)):
        added += numbers[i]
    return added


one_by_one = numba.njit(total)
in_lanes = numba.njit(fastmath=True)(total)
small = np.ones(1 << 13, np.float32)  # 32 KB, in the cache
times = in_turns(
    {"in order": lambda: one_by_one(small), "lanes": lambda: in_lanes(small)}
)
print(machine())
print(f"in lanes: {times['in order'] / times['lanes']:.1f} times as fast")
assert times["in order"] > 2 * times["lanes"]

# %% [markdown]
# minicnn's kernels fix the order themselves: their loops run over 16 lanes, which are neighbouring channels or filters, so that a
# result does not depend on what a compiler chooses.
#
# ## Registers
#
# The fastest memory are the **registers**, a few dozen numbers or vectors inside the processor. A product of two 512 x 512 matrices
# takes $512^3$ multiply-adds. If each of them reads its two numbers from the cache, reading takes longer than multiplying.
# Instead, take four rows of the first matrix and four columns of the second one, and keep the 16 results in registers. Then 4 + 4
# reads serve **16** products: half a read for each product instead of two. With $b \times b$ results it is $2b$ reads for
# $b^2$ products. BLAS does this, with blocks as large as the registers allow. Compare it with a compiled loop that uses vectors, but no blocks:


# %% tags=["varies"]
@numba.njit
def row_by_row(a, b, c):
    """c += a @ b: in the inner loop, rows of b and c are read along memory."""
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                c[i, j] += a[i, k] * b[k, j]


@numba.njit
def entry_by_entry(a, b, c):
    """c += a @ b, by the formula: the inner loop goes down a column of b."""
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                c[i, j] += a[i, k] * b[k, j]


rng = np.random.default_rng(0)
a, b = (rng.random((512, 512), np.float32) for _ in range(2))
c = np.zeros((512, 512), np.float32)
row_by_row(a, b, c)
assert np.allclose(c, a @ b, rtol=1e-3)
b_transposed = np.ascontiguousarray(b.T).T  # the columns of b lie along memory
times = in_turns(
    {
        "by the formula": lambda: entry_by_entry(a, b, c),
        "b transposed": lambda: entry_by_entry(a, b_transposed, c),
        "row by row": lambda: row_by_row(a, b, c),
        "BLAS": lambda: a @ b,
    },
    3,
)
print(machine())
for name, seconds in times.items():
    print(f"{name:15} takes {seconds / times['BLAS']:5.1f} times as long as BLAS")
assert times["by the formula"] > 2 * times["row by row"] > 2 * times["BLAS"]

# %% [markdown]
# All of them do the same products. By the formula, the inner loop goes *down* a column of `b` and touches a new cache line for each
# number. With `b` transposed in memory the same loop goes *along* it. But it is still a sum in order, in which each addition waits for the
# one before. Row by row, the inner loop adds to 512 different sums, in vectors. BLAS uses the registers as well. So each step is due to
# one of the three: cache lines, vectors, registers. (How large the first step is depends on the size of the matrices. Rows of
# 512 numbers are a bad case, because lines a power of two apart compete for the same places in the cache.)
#
# ## Do nothing with zeros
#
# The cheapest product is the one that is left out. A pooling passes the gradient on to the winner of each window (lesson 5), and ReLU
# stops it where its output is 0 (lesson 7). So most gradients of the convolution below are zero. A tiny example: a convolution has
# 4 x 4 outputs, the pooling keeps 2 x 2 of them, and one of these is 0.

# %% tags=["fold"]
pooled = np.array([[3.0, 1], [0, 2]])  # after ReLU
winner = np.array([[1, 2], [0, 3]])  # the cell of each 2 x 2 window
dpooled = np.array([[1.0, -2], [5, 4]])
dy = np.zeros((4, 4))
for i, j in np.ndindex(2, 2):
    if pooled[i, j] > 0:
        dy[2 * i + winner[i, j] // 2, 2 * j + winner[i, j] % 2] = dpooled[i, j]
tints = [[plots.SKY, plots.YELLOW], [plots.PINK, plots.GREEN]]
by_window = {(i, j): tints[i][j] for i in (0, 1) for j in (0, 1)}
spread_out = {(i, j): tints[i // 2][j // 2] for i in range(4) for j in range(4)}
figure = plots.new_figure(3.0, "Three of sixteen gradients are not zero")
panels = figure.subplots(1, 4, width_ratios=[2.2, 2.2, 2.2, 4])
plots.number_grid(panels[0], pooled, "pooled, after ReLU", by_window)
plots.number_grid(panels[1], winner, "winner", by_window)
plots.number_grid(panels[2], dpooled, "dpooled arrives", by_window)
plots.number_grid(panels[3], dy, "dy of the convolution", spread_out)
figure

# %%
assert np.count_nonzero(dy) == 3

# %% [markdown]
# Lesson 8's formula for the gradient of the kernel adds up 16 windows of the input, each times its number of `dy`. Thirteen of these
# numbers are 0, so three windows are enough:
#
# $$\begin{aligned} dkernel & = \sum_{i,\,j} dy[i, j] \cdot x[i : i + k,\ j : j + k] \\
# & = 1 \cdot x[0 : k,\ 1 : 1 + k] - 2 \cdot x[1 : 1 + k,\ 2 : 2 + k] \\
# & \quad + 4 \cdot x[3 : 3 + k,\ 3 : 3 + k]. \end{aligned}$$
#
# ## Exercise 3: the gradient without its zeros
#
# One channel, one filter of `k` x `k`, no padding, windows of 2 x 2 side by side. Do not make the array `dy`.


# %% tags=["exercise"]
def kernel_gradient(x, k, pooled, winner, dpooled):
    """x (h, w); pooled, winner and dpooled (ph, pw): dkernel (k, k).

    winner holds the number 2 * ki + kj of each window's winning cell."""
    # solution
    dkernel = np.zeros((k, k))
    for i, j in np.ndindex(pooled.shape):
        if pooled[i, j] > 0:
            row, column = 2 * i + winner[i, j] // 2, 2 * j + winner[i, j] % 2
            dkernel += dpooled[i, j] * x[row : row + k, column : column + k]
    return dkernel


# %%
check.kernel_gradient(kernel_gradient)

# %% [markdown]
# <details><summary>Hint 1</summary>Loop over the pooling windows, and skip those whose output is 0.</details>
# <details><summary>Hint 2</summary>The winner of window (i, j) is the output in row <code>2 * i + winner // 2</code>.</details>
#
# This is how minicnn's engine computes both gradients of a convolution with ReLU and pooling (`gradients` in
# [minicnn/engine/kernels/pooled_gradients.py](../minicnn/engine/kernels/pooled_gradients.py)). How many products are left in the network
# of lesson 1? Here is the second convolution, new and untrained, with its pooling:

# %%
from minicnn.layers import Conv2D, MaxPooling2D

images = rng.standard_normal((16, 14, 14, 32), np.float32)
convolution = Conv2D(64, 5, padding="same", activation="relu")
convolution.build((14, 14, 32), rng)
y, _ = convolution.forward(images)
pooling = MaxPooling2D(2)
pooling.build((14, 14, 64), rng)
kept, cache = pooling.forward(y)
left = (kept > 0).sum() / y.size
print(f"{left:.0%} of the outputs have a gradient")
assert (
    0.2 < left < 0.26
)  # ReLU alone leaves half, the maximum of four is mostly positive

# %% [markdown]
# ## Use all cores
#
# The images of a batch are independent. So in training a batch of 32 is cut into four *shards* of 8 images. Each shard goes
# through *all* layers, forward and backward, on whichever thread is free, and then the gradients of the shards are added up. (In
# inference, and in training with batches of more than 60, shards have 16 images.) Two rules keep the results the same to the last
# bit: **the cut depends on the size of the batch alone**, never on the number of threads; and **gradients are added in the order of the
# shards**, because sums depend on their order, as you saw. BLAS uses one thread meanwhile; otherwise its threads and ours would
# compete for the same cores.


# %%
x = rng.standard_normal((64, 14, 14, 32), np.float32)  # 64 images
kernel = rng.standard_normal((5, 5, 32, 64), np.float32) / 28
bias = rng.standard_normal(64, np.float32)
geometry = window_geometry((14, 14), (5, 5), (1, 1), "same")
prepared = winograd.prepare(kernel)
expected = direct.forward(x, kernel, bias, geometry)


def in_shards():
    def of_shard(shard):
        return winograd.forward(x[shard], prepared, bias, geometry)

    return np.concatenate(run(of_shard, cut(len(x), USUAL_SHARD)))


threads = minicnn.get_num_threads()  # as many as there are cores
results = []
for count in (1, 2, 3, threads):
    minicnn.set_num_threads(count)
    results.append(in_shards())
assert all((y == results[0]).all() for y in results)
assert [shard.stop - shard.start for shard in cut(32)] == [8] * 4
assert len(cut(64, USUAL_SHARD)) == 4

# %% [markdown]
# ## The ladder
#
# This is everything so far, for the second convolution. Each version is compared with the formula's numbers before it is timed, and
# the one on several threads with the same on one.
# The scale is logarithmic: each grid line is ten times the one before.


# %% tags=["varies", "cover", "fold"]
def python_loops(x, kernel, bias):
    """One filter, as in lesson 15."""
    (h, w, c), (kh, kw, _) = x.shape, kernel.shape
    y = np.zeros((h - kh + 1, w - kw + 1))
    for i, j, ki, kj, ch in np.ndindex(h - kh + 1, w - kw + 1, kh, kw, c):
        y[i, j] += x[i + ki, j + kj, ch] * kernel[ki, kj, ch]
    return y + bias


def said(ratio):
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"


padded = np.pad(x[0], [(2, 2), (2, 2), (0, 0)])
functions = {
    "Python": lambda: python_loops(padded, kernel[..., 0], bias[0]),
    "compiled": lambda: direct.forward(x[:1], kernel, bias, geometry),
}


def ladder_rung(function, images, filters=64):
    y = function()
    wanted = expected[:images, ..., :filters].reshape(y.shape)
    assert np.allclose(y, wanted, atol=1e-4)  # equal first
    return function, 64 * 64 / (images * filters)  # calls for 64 images of 64 filters


rungs = {
    "Python loops": ladder_rung(functions["Python"], 1, 1),
    "compiled loops": ladder_rung(functions["compiled"], 1),
    "im2col and BLAS": ladder_rung(
        lambda: im2col.forward(x[:16], kernel, bias, geometry), 16
    ),
    "Winograd": ladder_rung(
        lambda: winograd.forward(x[:16], prepared, bias, geometry), 16
    ),
}
times = in_turns({name: function for name, (function, _) in rungs.items()})
batch = {name: times[name] * calls for name, (_, calls) in rungs.items()}


def all_images_on(count):
    def forward():
        minicnn.set_num_threads(count)
        return in_shards()

    return forward


# Threads share the work, not the processor time: this ratio is one of the clock on the wall.
walls = in_turns(
    {count: all_images_on(count) for count in {1, threads}}, 9, time.perf_counter
)
minicnn.set_num_threads(threads)
name = f"... on {threads} thread{'s' * (threads > 1)}"
batch[name] = batch["Winograd"] * walls[threads] / walls[1]
speeds = {name: batch["Python loops"] / seconds for name, seconds in batch.items()}

figure = plots.new_figure(3.6, "How many times as fast as Python's loops")
axes = figure.subplots()
colours = [plots.GREY, plots.SKY, plots.BLUE, plots.GREEN, plots.ORANGE]
axes.barh(list(speeds), speeds.values(), color=colours)
before = None
for row, (name, speed) in enumerate(speeds.items()):
    step = f"  (x {said(speed / before)})" if before else ""
    axes.text(speed * 1.15, row, f"{speed:,.0f}{step}", va="center", fontsize=10)
    before = speed
axes.set(xscale="log", xlim=(0.5, 5e6), xlabel=f"times as fast; {machine()}")
axes.invert_yaxis()
axes.grid(axis="x", color="#dddddd")
axes.set_axisbelow(True)
axes.spines[["top", "right"]].set_visible(False)
by_rung = list(speeds.values())
assert min(by_rung[1:]) > 20
assert max(by_rung[i + 1] / by_rung[i] for i in range(4)) == by_rung[1]
figure

# %% [markdown]
# The numbers in brackets compare each bar with the one above. The largest step by far is from Python to compiled
# loops, whose innermost loop runs over the filters, in vectors.
# Winograd saves a factor of 4 in products (lesson 15), but its transforms take time, so its step is smaller. (On a machine with one core the last
# bar adds nothing.)
#
# ## Where does a step spend its time?
#
# Here is minicnn's own training step for 32 images on one thread, with a clock in each layer. Grey is the share of the
# multiply-adds, forward and backward (lesson 8: three times those of the forward pass, twice in the first layer). The time of a
# convolution includes the pooling after it, since the engine computes the two together
# (`PooledConvolution` in [minicnn/engine/operations.py](../minicnn/engine/operations.py)). The gradient of a dense kernel
# counts as "Adam, rest": it is computed once for the whole batch, where Adam needs it
# (`Product` in [minicnn/engine/updates.py](../minicnn/engine/updates.py)).

# %% tags=["varies", "fold"]
from collections import Counter

from minicnn.engine import Plan
from minicnn.layers import Dense, Flatten, Input
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import Adam


def put_clocks(operation, clock):
    """Let the clock add up the processor time of all that an operation does."""

    def timed(method):
        def clocked(*arguments):
            start = time.thread_time()
            result = method(*arguments)
            clock[operation.layer.name] += time.thread_time() - start
            return result

        return clocked

    for name in ("prepare", "forward", "backward", "weight_gradients"):
        setattr(operation, name, timed(getattr(operation, name)))


def step_profile(algorithm, steps=12):
    """Processor time of each layer, with this algorithm in the second convolution."""
    minicnn.clear_session()
    same = {"kernel_size": 5, "padding": "same", "activation": "relu"}
    stack = [Input((28, 28, 1)), Conv2D(32, **same), MaxPooling2D(2)]
    stack += [Conv2D(64, **same, algorithm=algorithm), MaxPooling2D(2), Flatten()]
    stack += [Dense(64, activation="relu"), Dense(10, activation="softmax")]
    layers = minicnn.Sequential(stack).layers
    plan = Plan(layers, SparseCategoricalCrossentropy())  # how the engine runs them
    clock, optimizer = Counter(), Adam()
    for segment in plan.segments:
        for (
            operation
        ) in segment.operations:  # a layer, or a convolution and its pooling
            put_clocks(operation, clock)
    images = rng.random((32, 28, 28, 1), np.float32)
    labels = rng.integers(0, 10, 32)
    for number in range(steps + 2):
        if number == 2:  # by now all is compiled
            clock.clear()
            start = time.thread_time()
        plan.train(optimizer, images, labels, seed=(0, number))
    clock["Adam, rest"] = time.thread_time() - start - clock.total()
    return clock


minicnn.set_num_threads(1)
profiles = {name: step_profile(name) for name in ("im2col", "winograd")}
minicnn.set_num_threads(threads)

products = {"conv2d": 2 * 627_200, "conv2d_1": 3 * 10_035_200}
products |= {"dense": 2 * 200_704, "dense_1": 2 * 640, "Adam, rest": 200_704 + 640}
assert round(100 * products["conv2d_1"] / sum(products.values()), 1) == 94.2
names = list(profiles["winograd"])
bars = {
    "multiply-adds": (products, plots.GREY),
    "time, conv2d_1 by im2col": (profiles["im2col"], plots.SKY),
    "time, conv2d_1 by Winograd": (profiles["winograd"], plots.BLUE),
}
figure = plots.new_figure(4, "Where a step of training spends its time")
axes = figure.subplots()
for number, (label, (amounts, colour)) in enumerate(bars.items()):
    shares = [100 * amounts.get(name, 0) / sum(amounts.values()) for name in names]
    place = np.arange(len(names)) + 0.27 * (number - 1)
    axes.bar(place, shares, 0.27, color=colour, label=label)
    for left, share in zip(place, shares, strict=True):
        if share >= 0.5:
            axes.text(left, share + 1, f"{share:.0f}", ha="center", fontsize=8.5)
axes.set(ylabel="share in %", ylim=(0, 108), xlabel=machine())
axes.set_xticks(range(len(names)), names)
axes.tick_params(axis="x", labelsize=8.5, length=0)
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
figure

# %% [markdown]
# The backward pass is the same in both profiles: it is the one of exercise 3, which leaves out the zeros. That leaves out nearly as many
# products as Winograd would, needs no transforms, and rounds less.
#
# The faster the largest part gets, the more the rest limits what can still be gained. If a part that takes half of the time becomes ten times as fast, the
# whole becomes only $1 / (0.5 + 0.05) = 1.8$ times as fast (*Amdahl's law*). Adam does few multiply-adds, and yet takes its time,
# since it reads and writes many numbers.
#
# ## The roofline
#
# Two things limit a loop. The **arithmetic** that the processor can do: take the speed of BLAS for one large matrix product, the
# *peak*. And the **memory**: how many bytes can be moved in a second, the *bandwidth*. Computing and moving overlap, so the slower of
# the two decides.
#
# ## Exercise 4: which one limits?


# %% tags=["exercise"]
def limit(operations, moved, peak, bandwidth):
    """The shortest time of a loop in seconds, and what limits it: the pair
    (seconds, "arithmetic") or (seconds, "memory").

    operations: additions and multiplications; moved: bytes read and written;
    peak: operations in a second; bandwidth: bytes in a second. If both take
    equally long, it is "arithmetic".
    """
    # solution
    computing, moving = operations / peak, moved / bandwidth
    if computing >= moving:
        return computing, "arithmetic"
    return moving, "memory"


# %%
check.limit(limit)

# %% [markdown]
# <details><summary>Hint 1</summary>How long does the arithmetic take alone, and how long does the memory?</details>
# <details><summary>Hint 2</summary>The two overlap, so the time is the larger of the two, not their sum.</details>
#
# Drawn against the operations for each byte moved, the limits look like a roof: a slope where memory decides, and a flat part where
# arithmetic does. The solid slope is measured with arrays of 64 MB, which lie in main memory; the dashed one, much steeper, with arrays
# of 128 KB, which stay in the cache. Every layer is a point.
#
# **Guess before you run:** Adam reads and writes 7 MB in each step. Will it be near the slope of main memory, or near that of the cache?

# %% tags=["varies", "fold"]
from scipy.linalg.blas import sgemm

large = [np.asfortranarray(rng.random((1024, 1024), np.float32)) for _ in range(2)]
source, target = np.ones(1 << 24, np.float32), np.zeros(1 << 24, np.float32)
x1 = rng.random((16, 28, 28, 1), np.float32)
first = window_geometry((28, 28), (5, 5), (1, 1), "same")
kernel1, bias1 = kernel[:, :, :1, :32].copy(), bias[:32].copy()
x3, kernel3 = rng.random((32, 3136), np.float32), rng.random((3136, 64), np.float32)
adam_arrays = [np.ones(253_514, np.float32) for _ in range(4)]
adam_numbers = [np.float32(number) for number in (0.001, 0.1, 0.001, 1e-7, 1e-38)]

# What runs, its operations (a multiply-add is two), and the numbers it has to move, 4 bytes each.
own = 2 * 16 * 49 * 25 * 32 * 64  # of Winograd: images, points, tiles, c, f
formula = 2 * 16 * 10_035_200
moved = 16 * 14 * 14 * (32 + 64) + kernel.size
layers = {
    "conv2d, few_channels": (
        lambda: few_channels.forward(x1, kernel1, bias1, first),
        2 * 16 * 627_200,
        16 * 28 * 28 * (1 + 32),
    ),
    "conv2d_1, im2col": (rungs["im2col and BLAS"][0], formula, moved),
    "conv2d_1, Winograd": (rungs["Winograd"][0], formula, moved),
    "dense": (lambda: x3 @ kernel3, 2 * 32 * 200_704, 32 * 3200 + 200_704),
    "Adam": (
        lambda: adam.adam(*adam_arrays, *adam_numbers),
        12 * 253_514,  # counted in its source
        7 * 253_514,  # four arrays read, three written
    ),
}
work = {name: function for name, (function, _, _) in layers.items()}
cached, cached_copy = np.ones(1 << 15, np.float32), np.zeros(1 << 15, np.float32)


def copy_in_cache():
    for _ in range(512):  # as many bytes as "copy"
        np.copyto(cached_copy, cached)


work |= {
    "peak": lambda: sgemm(1, *large),
    "copy": lambda: np.copyto(target, source),
    "copy in the cache": copy_in_cache,
}
times = in_turns(work)
peak = 2 * 1024**3 / times["peak"]
bandwidth = 2 * source.nbytes / times["copy"]
in_cache = 2 * source.nbytes / times["copy in the cache"]
assert 512 * cached.nbytes == source.nbytes
assert in_cache > bandwidth

figure = plots.new_figure(4.4, "The roofline, one core")
axes = figure.subplots()
intensity = np.geomspace(0.2, 1000, 200)
roof = np.minimum(peak, intensity * bandwidth)
axes.loglog(intensity, 100 * roof / peak, color="black", label="main memory")
roof = np.minimum(peak, intensity * in_cache)
axes.loglog(intensity, 100 * roof / peak, "--", color="black", label="cache")
axes.legend(frameon=False, loc="lower right")
white = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
beside = {"textcoords": "offset points", "fontsize": 9, "bbox": white}
for name, (_, operations, numbers) in layers.items():
    at, height = operations / (4 * numbers), 100 * operations / times[name] / peak
    axes.plot(at, height, "o", color=plots.BLUE)
    # These two lie side by side below the roof: one text to the left, one to the right.
    offsets = {"dense": (-8, -14), "conv2d, few_channels": (8, -14)}
    left, lower = offsets.get(name, (8, -4))
    side = {"ha": "right" if left < 0 else "left"}
    axes.annotate(
        f"{name}: {height:.0f} %", (at, height), (left, lower), **beside, **side
    )
    if name == "conv2d_1, Winograd":
        counted = height * own / formula
        axes.plot([at, at], [height, counted], ":", color=plots.BLUE)
        axes.plot(at, counted, "o", color=plots.BLUE, markerfacecolor="white")
        text = f"Winograd, its own products: {counted:.0f} %"
        axes.annotate(text, (at, counted), (8, -12), **beside)
axes.set(xlim=(0.2, 4000), ylim=(0.3, 900), ylabel="% of the peak of BLAS")
axes.set_xlabel(f"operations for each byte moved; {machine()}")
axes.set_yticks([1, 10, 100], ["1", "10", "100"])
axes.grid(color="#dddddd")
figure

# %% [markdown]
# - Points near the flat part can hardly become faster, unless they do less. That is why Winograd's filled point can be *above* the
#   roof: it counts the products of the formula, most of which Winograd does not do. The hollow point below it counts those that it does.
# - On the far left memory decides: Adam does 12 operations for 28 bytes, and can use only a small part of the arithmetic.
#   Its four arrays, 4 MB together, lie partly in the cache, so its point can be above the slope of main memory.
# - The gap between the hollow point and the roof is time for the transforms, and for products too small to reach the peak. It is what
#   is left to gain.
#
# ## Challenge: a cache of your own
#
# How can one tell whether a loop uses its cache lines before they are replaced? Simulate it. A cache holds a number of lines. If the line
# that is needed is in it, fine (a *hit*); if not (a *miss*), it is fetched, and if the cache is full, the line that has not been used
# for the longest time is dropped (*least recently used*).


# %% tags=["exercise", "challenge"]
def cache_misses(places, capacity):
    """How many of the numbers at these places, read in this order, are not in
    the cache.

    The cache holds `capacity` lines of 16 numbers, and is empty at first.
    """
    # solution
    cache, misses = {}, 0  # a dict keeps the order of insertion
    for line in (place // 16 for place in places):
        if line in cache:
            del cache[line]
        else:
            misses += 1
            if len(cache) == capacity:
                del cache[next(iter(cache))]
        cache[line] = True
    return misses


# %%
check.cache_misses(cache_misses)

# %% [markdown]
# <details><summary>Hint 1</summary>Keep the lines in a list, the one used last at its end.</details>
# <details><summary>Hint 2</summary>A hit moves its line to the end as well. That is what "used" means.</details>
# <details><summary>Hint 3</summary>A miss with a full list drops the first entry, then appends.</details>
#
# With it, compare the three loops of "Registers", for matrices of 48 x 48 and a cache of 40 lines. (Run this cell again after you have
# solved the challenge.)


# %% tags=["varies"]
def places_of_loops(order, n=48):
    """Where the loops of a product c += a @ b read: a, then b, then c."""
    names = "ikj" if order == "row by row" else "ijk"
    for outer, middle, inner in np.ndindex(n, n, n):
        at = dict(zip(names, (outer, middle, inner), strict=True))
        i, j, k = at["i"], at["j"], at["k"]
        in_b = j * n + k if order == "b transposed" else k * n + j
        yield from (i * n + k, n * n + in_b, 2 * n * n + i * n + j)


if check.cache_misses.verdict(cache_misses).passed:
    misses = {
        order: cache_misses(list(places_of_loops(order)), 40)
        for order in ("by the formula", "b transposed", "row by row")
    }
    for order, count in misses.items():
        print(f"{order}: {count:,} misses in {3 * 48**3:,} reads")
    assert misses["by the formula"] > 10 * misses["b transposed"]
    assert misses["b transposed"] > 0.5 * misses["row by row"]

# %% [markdown]
# The misses explain the first step of "Registers", from the formula to `b` transposed. They do not explain the second one: row by row,
# as many lines are fetched. It is due to vectors.
#
# ## The fact
#
# What is all of this worth? `benchmarks/compare.py` trains this network with minicnn and with other libraries, in turns, each run in
# its own process and with the same number of threads. This cell reads what it has written:

# %% tags=["fold"]
import json
from pathlib import Path
from statistics import median

results = Path(check.__file__).parents[2] / "benchmarks" / "results" / "compare.json"
content = json.loads(results.read_text(encoding="utf-8"))
runs = content["runs"] if "runs" in content else content["networks"]["tutorial"]["runs"]


def ratios(peer, measure):
    """Time of a peer in units of minicnn's, run by run."""
    pairs = zip(runs[peer], runs["minicnn"], strict=True)
    return [theirs[measure] / ours[measure] for theirs, ours in pairs]


print(f"{content['machine']}\ntime / minicnn's: median (lowest to highest)")
for measure in runs["keras"][0]:
    if measure in ("accuracy", "memory"):
        continue
    for peer in runs:
        if peer != "minicnn" and measure in runs[peer][0]:
            each = ratios(peer, measure)
            spread = f"({min(each):.2f} to {max(each):.2f})"
            print(f"{measure:20} {peer:18} {median(each):5.2f} {spread}")
    if measure.startswith(("training", "inference")):
        assert median(ratios("keras", measure)) > 1

# %% [markdown]
# > **On the same cores, Keras takes longer than minicnn, in training and in inference, by the ratios printed above.** Keras runs on
# > libraries that many people have written in C++. minicnn does fewer products: 49 instead of 225 in the forward pass, and none
# > for a gradient of 0 in the backward pass; and it keeps what it computes close to the processor.
#
# Not every ratio is above 1: a single image is faster in ONNX Runtime, which divides it between the cores. The words after a name are
# settings of the same library: `jit` compiles the model as a whole, `last` puts the channels last.
#
# ## In minicnn
#
# What makes it fast is in `minicnn/engine/`:
#
# - `gradients` in [minicnn/engine/kernels/pooled_gradients.py](../minicnn/engine/kernels/pooled_gradients.py): your
#   `kernel_gradient`, for all channels and filters. `add_windows` in
#   [minicnn/engine/kernels/vector_registers.py](../minicnn/engine/kernels/vector_registers.py) keeps the sums in registers.
# - `forward` in [minicnn/engine/kernels/few_channels.py](../minicnn/engine/kernels/few_channels.py): a convolution whose image has one
#   channel, without a copy of its windows.
# - `cut` and `run` in [minicnn/engine/threads.py](../minicnn/engine/threads.py), `Plan.train` in
#   [minicnn/engine/plan.py](../minicnn/engine/plan.py): shards and threads.
# - [benchmarks/README.md](../benchmarks/README.md): what was tried on the way, and did not help.
#   [benchmarks/kernels.py](../benchmarks/kernels.py): the ladder as a command.
