# %% [markdown]
# # 18 · Is it the same network as Keras, and how does it outgrow this machine?
#
# *25 minutes · needs lessons 11, 15 and 16, and TensorFlow*
#
# **You will build** three tools that answer it: `same_bits` compares two sets of weights, `first_apart` finds the step at
# which two trainings part, and `combined` makes one gradient of those of several machines. In the challenge you
# count how many `float32` numbers lie between two results.

# %%
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import minicnn
from checks import check_18 as check
from minicnn import keras_reference, plots, scale_out
from minicnn.datasets import mnist
from minicnn.engine import ALGORITHMS
from minicnn.keras_reference import from_keras, to_keras
from minicnn.optimizers import Adam
from minicnn.tutorial import scaled, tutorial_network

try:
    keras = keras_reference.require_keras()
except ImportError as error:
    keras = None
    print(f"{error}\nUntil then, look at the pictures that came with this notebook.")


def have_keras():
    """Whether a cell that needs TensorFlow can run; it says so, if not."""
    if keras is None:
        print("left out: this cell needs TensorFlow")
    return keras is not None


# %% [markdown]
# This lesson needs TensorFlow: `pip install tensorflow-cpu` (macOS: `tensorflow`). Without it, cells that compare with
# Keras say that they are left out. The exercises do not need it.
#
# ## A tiny example, by hand
#
# When are two computations "the same"? For mathematics, if they have the same formula. A computer rounds after each
# operation, so the order of the operations matters. A `float32` has 24 binary digits: from $2^{24} = 16{,}777{,}216$ on
# it can represent even numbers only.
#
# **Guess before you run:** with $a = 2^{24}$, $b = 1$ and $c = -2^{24}$ in `float32`, what is $(a + b) + c$, and
# what is $(a + c) + b$?

# %%
a, b, c = np.float32([2**24, 1, -(2**24)])
assert (a + b) + c == 0
assert (a + c) + b == 1
assert np.spacing(a) == 2  # from here to the next float32

# %% tags=["fold"]
rows = [
    ["", "first sum", "rounded", "second sum"],
    ["(a + b) + c", "16777217", f"{a + b:.0f}", f"{(a + b) + c:.0f}"],
    ["(a + c) + b", "0", f"{a + c:.0f}", f"{(a + c) + b:.0f}"],
]
figure = plots.new_figure(2.2)
colours = {(1, 3): plots.YELLOW, (2, 3): plots.SKY}
title = "a = 16777216, b = 1, c = -16777216 in float32"
plots.number_grid(figure.subplots(), np.zeros((3, 4)), title, colours, rows)
figure

# %% [markdown]
# Same numbers, same formula, and 0 is not 1. Each output of a dense layer is a sum of many products; NumPy, Keras and
# minicnn's engine each add them in an order of their own. So the question has two parts. What is only *copied* from
# one library to the other has to stay the same **to the bit**. What is *computed* has to be the same **up to
# rounding**, and we need to know what rounding does.
#
# ## To Keras and back
#
# minicnn stores its arrays as Keras does: images `(n, h, w, c)`, kernels `(kh, kw, c, f)` and `(in, out)`. So moving
# weights from one to the other is copying them. `to_keras` makes the Keras *twin* of a model, with the same layers,
# weights, and state of Adam (the `m`, `v` and step count of lesson 11); `from_keras` goes the other way.
#
# To check that nothing changed, `==` is not enough: `0.0 == -0.0` although one bit differs, and a NaN is not even equal
# to itself.
#
# ## Exercise 1: the same bits
#
# Two lists of arrays are the same if they are equally long, and each pair of arrays has the same type, the same
# shape and the same bits. `array.tobytes()` gives the bits, and nothing but the bits.


# %% tags=["exercise"]
def same_bits(ours, theirs):
    """True if two lists of arrays are the same to the last bit, else False.

    ours, theirs: lists of arrays, which must not be changed.
    For example, same_bits([np.zeros(2)], [-np.zeros(2)]) is False.
    """
    # solution
    return len(ours) == len(theirs) and all(
        one.dtype == other.dtype
        and one.shape == other.shape
        and one.tobytes() == other.tobytes()
        for one, other in zip(ours, theirs, strict=True)
    )


# %%
check.same_bits(same_bits)

# %% [markdown]
# <details><summary>Hint</summary>
#
# Compare the two lengths first; then `zip` the lists, and compare `dtype`, `shape` and `tobytes()` of each pair.
#
# </details>
#
# Now the network of the course: three steps in minicnn, so that Adam has a state; then to Keras, and back. (The first
# run compiles the engine, in single and further below in double precision, and says so in a line.)

# %%
(x_train, y_train), _ = mnist.load_data()
x, y = scaled(x_train[:3_000]), y_train[:3_000]

minicnn.clear_session()
minicnn.set_random_seed(13)
first_weights = tutorial_network().get_weights()


def new_model(dtype):
    """The tutorial's network, compiled; always with the same first weights."""
    model = tutorial_network(dtype=dtype)
    model.set_weights(first_weights)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def everything(model):
    """Weights, both slots of Adam, and its step count: all that training depends on."""
    slots = [array for slot in model.optimizer.state.values() for array in slot]
    return [*model.get_weights(), *slots, np.array(model.optimizer.iterations)]


if have_keras():
    model = new_model("float32")
    for start in (0, 32, 64):
        model.train_on_batch(x[start : start + 32], y[start : start + 32])
    back = from_keras(to_keras(model))
    pairs = list(zip(everything(model), everything(back), strict=True))
    assert all(one.tobytes() == other.tobytes() for one, other in pairs)
    assert model.count_params() == to_keras(model).count_params() == 253_514
    print(
        f"{len(pairs)} arrays came back, {sum(one.size for one, _ in pairs):,} numbers,"
    )
    print("every bit as it was")

# %% [markdown]
# ## In lockstep
#
# Next, what is computed. Train both from the same first weights on the same batches, and compare them before each step.
# When do they part?
#
# ## Exercise 2: the step at which they part
#
# `ours` and `theirs` are the losses, one for each step. Measure a difference relative to theirs,
# $|\text{ours} - \text{theirs}| / |\text{theirs}|$.


# %% tags=["exercise"]
def first_apart(ours, theirs, limit):
    """The first step whose losses differ by more than limit, or None.

    ours, theirs: (steps,). Steps are counted from 1. For example,
    first_apart(np.array([1, 1.5]), np.array([1, 1.0]), 0.1) is 2.
    """
    # solution
    apart = np.flatnonzero(np.abs(ours - theirs) / np.abs(theirs) > limit)
    return int(apart[0]) + 1 if len(apart) else None


# %%
check.first_apart(first_apart)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# `np.flatnonzero(condition)` gives the places where a condition holds; it may be empty.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `np.argmax` of a condition gives 0 both if the first step is apart and if none is. So look whether there is any.
#
# </details>
#
# How far does training follow Keras? And how far does Keras follow *itself*? On most processors TensorFlow computes
# convolutions with a library called oneDNN, and an environment variable turns it off. That is Keras, the same
# formulas, and another order of sums.
#
# **Guess before you run:** after 30 steps from the same weights in single precision, which two are closer: minicnn and
# Keras, or Keras and Keras without oneDNN?

# %% tags=["varies"]
from minicnn.checking.lockstep import lockstep

STEPS = 30
KERAS_ALONE = """
import os
import numpy as np
from minicnn.datasets import mnist
from minicnn.keras_reference import to_keras
from minicnn.tutorial import scaled, tutorial_network

(x, y), _ = mnist.load_data()
model = tutorial_network()
model.load_weights("first.npz")
model.compile("adam", "sparse_categorical_crossentropy")
twin, weights = to_keras(model), []
for start in range(0, 960, 32):
    weights.append(np.concatenate([w.ravel() for w in twin.get_weights()]))
    twin.train_on_batch(scaled(x[start : start + 32]), y[start : start + 32])
np.save(f"weights_{os.environ['TF_ENABLE_ONEDNN_OPTS']}.npy", weights)
"""


def keras_alone():
    """Keras' weights before each step (steps, 253514), with oneDNN and without: two programs."""
    with tempfile.TemporaryDirectory() as folder:
        new_model("float32").save_weights(f"{folder}/first.npz")
        python = [sys.executable, "-W", "ignore", "-c", KERAS_ALONE]
        programs = []
        for onednn in "10":
            variables = os.environ | {"TF_ENABLE_ONEDNN_OPTS": onednn}
            options = {"env": variables, "stderr": subprocess.DEVNULL}
            programs.append(subprocess.Popen(python, cwd=folder, **options))
        assert [program.wait() for program in programs] == [0, 0]
        return [np.load(f"{folder}/weights_{onednn}.npy") for onednn in "10"]


if have_keras():
    runs = {}
    for dtype in ("float32", "float64"):
        images, labels = x[: 32 * STEPS], y[: 32 * STEPS]
        runs[dtype] = lockstep(new_model(dtype), images, labels, batch_size=32)
        step = runs[dtype].first_apart(1e-3)
        print(f"{dtype}: losses differ by more than a thousandth first at step {step}")
    single, double = runs["float32"].weights, runs["float64"].weights
    keras_weights = keras_alone()
    itself = abs(keras_weights[0] - keras_weights[1]).max(axis=1)
    print(f"largest difference of two weights before step {STEPS}:")
    print(f"   minicnn and Keras: float32 {single[-1]:.0e}, float64 {double[-1]:.0e}")
    print(f"   Keras with and without oneDNN: float32 {itself[-1]:.0e}")
    assert single[0] == double[0] == itself[0] == 0  # before the first step: equal
    assert double.max() < 1e-10  # 29 steps later still the same network
    assert single[-1] > 5e-7  # more than the rounding of a float32, 6e-8

# %% tags=["cover", "fold"]
figure = None
if have_keras():
    figure = plots.new_figure(7, "The same network, step by step")
    above, below = figure.subplots(2, 1, sharex=True)
    steps = np.arange(1, STEPS + 1)
    run = runs["float32"]
    above.plot(steps, run.theirs, color=plots.GREY, linewidth=4, alpha=0.5)
    above.plot(steps, run.ours, color=plots.ORANGE, linewidth=1.5)
    above.legend(["Keras, float32", "minicnn, float32"], frameon=False)
    above.set_ylabel("loss of the batch")
    for name, apart, colour, style in [
        ("minicnn and Keras, float32", single, plots.ORANGE, "-"),
        ("Keras with and without oneDNN, float32", itself, plots.GREY, "--"),
        ("minicnn and Keras, float64", double, plots.BLUE, "-"),
    ]:
        shown = np.where(apart > 0, apart, np.nan)  # zero has no logarithm
        below.semilogy(steps, shown, style, color=colour, label=name)
    below.legend(frameon=False)
    below.set(ylabel="largest difference\nof two weights", xlabel="step of Adam")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
figure

# %% [markdown]
# In single precision the weights drift apart, in some steps by leaps, although the loss does not show it: those of minicnn and Keras, and
# those of Keras with and without oneDNN. A small bug in minicnn would look just like that! But in double precision, where rounding is
# $2^{53-24} \approx 5 \cdot 10^8$ times smaller, they stay together. (The ratio of the two differences can be even larger, if there are
# leaps at kinks, below, in single precision only.) **A bug is as large in float64 as in float32; rounding is not.** So it is the same network, and
# rounding parts them.
#
# At which step the losses first differ by more than a thousandth, and which pair parts first, depends on the batches and on the processor,
# which decides the order of sums. Over 48 starts (`python tests/promises/lockstep.py --starts 48`) the median is step 51.5 for minicnn and
# Keras, and 54.5 for Keras with and without oneDNN. Keras in single precision parts from Keras in double precision at step 49.5, so a program
# without any rounding errors would not follow Keras longer.
#
# ## Why a rounding error grows
#
# Is it Adam that differs? Give both the *same* gradients, of all sizes, for 20 steps:

# %%
if have_keras():
    rng = np.random.default_rng(0)
    ours = rng.normal(size=10_000).astype(np.float32)
    theirs = keras.Variable(ours.copy())
    adams = Adam(), keras.optimizers.Adam()
    for _ in range(20):
        sizes = 10.0 ** rng.integers(-9, 1, 10_000)
        gradient = (sizes * rng.normal(size=10_000)).astype(np.float32)
        adams[0].apply([gradient], [ours])
        adams[1].apply([keras.ops.convert_to_tensor(gradient)], [theirs])
    assert ours.tobytes() == theirs.numpy().tobytes()
    print("20 steps of Adam: the same weights, to the bit")

# %% [markdown]
# It is not: for the same gradients Adam's steps in minicnn are Keras' to the last bit, in `float32`. What differs are the
# gradients, and Adam *magnifies* their differences.
#
# A gradient is a sum of products, and its rounding error is about $10^{-7}$ times the *largest* of them. If the products cancel, the
# sum is small, but its error is not. Call the gradient $g$, and its error $\delta$. Gradient descent would move the weight by
# $\text{lr} \cdot \delta$ too far, which is nothing. Adam's first move was, in lesson 11,
#
# $$\text{move}(g) = -\text{lr} \cdot \frac{g}{|g| + e},
# \qquad e = \frac{\epsilon}{\sqrt{1 - \beta_2}} = 3.16 \cdot 10^{-6}.$$
#
# For $g > 0$ its derivative is, by the quotient rule,
# $-\text{lr} \cdot \frac{(g + e) - g}{(g + e)^2} = -\text{lr} \cdot \frac{e}{(g + e)^2}$, and for $g < 0$ the same
# with $|g|$. It is largest at $g = 0$:
#
# $$\left|\frac{d\,\text{move}}{d g}\right| \le \frac{\text{lr}}{e} = \frac{0.001}{3.16 \cdot 10^{-6}} = 316.$$
#
# So where a gradient is nearly zero, its error becomes 316 times larger in the weight, while SGD with the same
# learning rate makes it 1,000 times smaller. In later steps it gets worse: epsilon acts less (lesson 11), and $e$ goes
# down to $10^{-7}$, which makes a factor of 10,000.

# %% tags=["fold"]
lr, e = 0.001, 1e-7 / np.sqrt(1 - 0.999)


def move(g):
    return -lr * g / (abs(g) + e)


g = np.concatenate([-np.logspace(-3, -9, 300), np.logspace(-9, -3, 300)])
delta = 1e-12
slopes = abs(move(g + delta) - move(g - delta)) / (2 * delta)
assert np.allclose(slopes, lr * e / (abs(g) + e) ** 2, rtol=1e-3)
assert round(lr / e) == 316
assert slopes.max() <= lr / e

figure = plots.new_figure(3.2, "How much larger an error gets on its way into a weight")
axes = figure.subplots()
axes.loglog(g[300:], slopes[300:], color=plots.ORANGE, label="Adam, first step")
axes.axhline(lr, color=plots.BLUE, linestyle="--", label="SGD: 0.001")
axes.axvline(e, color=plots.GREY, linestyle=":", label="e = 3.16e-6")
axes.set(xlabel="gradient g", ylabel="|d move / d g|")
axes.legend(frameon=False)
figure

# %% [markdown]
# ## A true story
#
# The first time minicnn was trained in lockstep, the weights were 0.002 apart after **one** step, in float64 as well. So
# it was not rounding. And 0.002 was telling: Adam's first move is at most $\text{lr} = 0.001$, so one library had moved
# some weight by nearly $+0.001$ and the other by nearly $-0.001$. Its gradient had the opposite sign.
#
# The cause was the Winograd algorithm for the convolution (lesson 15). Digits have a black border. On a window of zeros
# the output is 0 plus the bias, and biases start at 0; and at exactly 0, ReLU lets no gradient through. But Winograd
# computes several outputs of a row at once, from sums of *all* their pixels, in which the pixels that a window does not
# see cancel: up to rounding. In one dimension, with minicnn's own matrices, seven pixels give three outputs of a kernel
# of 5:

# %% tags=["varies"]
winograd = ALGORITHMS["winograd"]
A, B, G = (matrix.astype(float) for matrix in winograd.matrices(5))
kernel = np.array([0.3, -0.2, 0.5, 0.1, -0.4])
pixels = np.array([0, 0, 0, 0, 0, 0.7, 0.2])  # the first window sees zeros only

fast = A.T @ ((G @ kernel) * (B.T @ pixels))
exact = np.array([pixels[i : i + 5] @ kernel for i in range(3)])
print("window by window:", exact)
print("largest difference of Winograd's:", f"{abs(fast - exact).max():.0e}")
assert abs(fast - exact).max() < 1e-14

rng = np.random.default_rng(0)
passed = 0
for _ in range(1_000):
    kernel, pixels[5:] = rng.normal(size=5), rng.uniform(size=2)
    passed += (A.T @ ((G @ kernel) * (B.T @ pixels)))[0] > 0
print(f"of 1,000 blank windows, {passed} give a number above 0")
assert 200 < passed < 600

# %% [markdown]
# An error of $10^{-16}$ where 0 was due; and ReLU, asked "is it above 0?", says yes. From there on it is no longer a
# rounding error: a whole gradient passes that should have been stopped, at a third of these places. The remedy is
# small: minicnn finds windows of zeros and writes the bias there, to the bit (`put_bias_on_blanks`). What to remember:
#
# - At a kink or a tie (ReLU, max pooling) an error of $10^{-16}$ can become an error of 1, and real data are full of
#   ties (lesson 5).
# - Ties need not be exact. Now and then, two values of a pooling window are equal but for rounding, and the larger one gets
#   the gradient. Winograd's errors, twice those of a plain sum (lesson 15), used to turn such a decision in one of 20 steps, and
#   minicnn parted from Keras at step 32.5 (median). Now it computes such values once more, by the formula and in double precision
#   (`decide_near_ties`).
# - Tests with random numbers did not show it: none of their windows is all zeros.
# - Without the run in float64, all of it would have been put down to rounding.
#
# ## Past one machine
#
# In a step, minicnn cuts a batch into *shards*, lets several threads work on them, and adds up their gradients. The
# threads need not be on one machine. With $B$ images in a batch, $\ell_i$ the loss of image $i$ and $w$ a weight,
#
# $$\frac{\partial}{\partial w} \frac{1}{B} \sum_{i=1}^{B} \ell_i
# = \sum_{k} \underbrace{\frac{1}{B} \sum_{i\ \text{in part}\ k} \frac{\partial \ell_i}{\partial w}}_{\text{worker } k},$$
#
# because the derivative of a sum is the sum of the derivatives. This is **data parallelism**: each *worker*, a process on
# a machine of its own, has the same weights and a part of the batch. All send each other their gradients and add them up
# (an **all-reduce**), take the same step of Adam, and have the same weights again. The trap is $\frac{1}{B}$: it is
# the size of the *whole* batch.
#
# ## Exercise 3: one gradient of several
#
# Suppose a worker knows its own part only, and returns the gradient of its *mean* loss. Parts may differ in size.


# %% tags=["exercise"]
def combined(gradients, sizes):
    """The gradient of the mean loss of all images: an array.

    gradients: a list of arrays of one shape, one from each worker.
    sizes: how many images each worker had.
    For example, combined([np.ones(2), np.zeros(2)], [1, 3]) is
    [0.25, 0.25].
    """
    # solution
    total = sum(
        size * gradient for size, gradient in zip(sizes, gradients, strict=True)
    )
    return total / sum(sizes)


# %%
check.combined(combined)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# A mean times its number of images is a sum. Sums can be added.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Add `size * gradient` over all workers, and divide by the number of all images, `sum(sizes)`.
#
# </details>
#
# ## Two workers
#
# minicnn does not build a cluster of its own: TensorFlow has one. `scale_out.fit` makes the Keras twin of a model under
# TensorFlow's `MultiWorkerMirroredStrategy`, trains it, and brings weights and Adam's state back. Each worker is told
# the addresses of all of them, and which one it is. On one machine that is `127.0.0.1`, the address by which a machine
# calls itself, with a different *port* for each worker.

# %%
WORKER = """
import sys
import numpy as np
import minicnn
from minicnn import scale_out
from minicnn.data import Dataset
from minicnn.datasets import mnist
from minicnn.tutorial import scaled, tutorial_network

folder, addresses, worker = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3])
(x, y), _ = mnist.load_data()
model = tutorial_network(dtype="float64")
model.load_weights(f"{folder}/first.npz")
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
batches = Dataset.from_tensor_slices((scaled(x[:640]), y[:640])).batch(32)
history = scale_out.fit(model, batches, workers=addresses, worker=worker, verbose=0)
np.save(f"{folder}/losses_{worker}.npy", history.batches["loss"])
if worker == 0:
    model.save_weights(f"{folder}/trained.npz")
"""

# %% [markdown]
# The next cell, whose code you need not read, starts this program twice, waits, and leaves no process running.


# %% tags=["fold"]
def free_addresses(count):
    """Addresses on this machine whose ports are free just now."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in servers]
    for server in servers:
        server.close()
    return addresses


def train_with_workers(count):
    """Start the workers, wait for them, leave none running: losses of each, last weights."""
    with tempfile.TemporaryDirectory() as folder:
        new_model("float64").save_weights(f"{folder}/first.npz")
        where = ",".join(free_addresses(count))
        python = [sys.executable, "-W", "ignore", "-c", WORKER, folder, where]
        workers = [subprocess.Popen([*python, str(worker)]) for worker in range(count)]
        try:
            assert [worker.wait(timeout=100) for worker in workers] == [0] * count
        finally:
            for worker in workers:
                worker.kill()  # no effect on those that have ended
                worker.wait()
        losses = [np.load(f"{folder}/losses_{worker}.npy") for worker in range(count)]
        trained = new_model("float64")
        trained.load_weights(Path(folder) / "trained.npz")
        return losses, trained.get_weights()


if have_keras():
    (two_workers, seen_by_the_other), weights = train_with_workers(2)
    assert (two_workers == seen_by_the_other).all()
    print(f"two workers took {len(two_workers)} steps together")

# %% [markdown]
# Now the same 20 batches with minicnn's shards, and with one TensorFlow process; all in double precision, since we know
# by now what single precision would do.
#
# **Guess before you run:** how many digits of the 20 losses will be the same?

# %%
if have_keras():
    from minicnn.data import Dataset

    model = new_model("float64")
    batches = Dataset.from_tensor_slices((x[:640], y[:640])).batch(32)
    shards = np.array(model.fit(batches, verbose=0).batches["loss"])

    with keras_reference.precision("float64"):
        twin = to_keras(new_model("float64"))
        losses = [twin.train_on_batch(*batch)[0] for batch in batches]
        one_process = np.array([float(loss) for loss in losses])
    for losses in (two_workers, shards):
        assert abs(losses / one_process - 1).max() < 1e-12

# %% tags=["fold"]
figure = None
if have_keras():
    curves = {
        "one TensorFlow process": (one_process, plots.GREY, "-", 6),
        "two TensorFlow workers": (two_workers, plots.ORANGE, "-", 2.5),
        "minicnn's shards": (shards, plots.BLUE, ":", 2.5),
    }
    figure = plots.new_figure(6, "The same twenty batches, three times")
    above, below = figure.subplots(2, 1, sharex=True)
    step = np.arange(1, 21)
    for name, (losses, colour, style, width) in curves.items():
        above.plot(step, losses, style, color=colour, linewidth=width, label=name)
        apart = abs(losses - one_process) / one_process
        if losses is not one_process:
            apart[apart == 0] = 1e-17  # at the bottom of the picture
            below.semilogy(step, apart, style, color=colour, linewidth=width)
    above.set_ylabel("loss of the batch")
    above.legend(frameon=False)
    below.set(ylim=(5e-18, 1e-10), ylabel="relative difference\nto one process")
    below.set(xlabel="step of Adam", xticks=step)
figure

# %% [markdown]
# The three curves above cannot be told apart. What is left between them, below, is the last of the 16 digits of a double
# (points at the bottom: no difference at all).
#
# ## What it costs
#
# In every step each worker has to send its gradients, one for each of the 253,514 weights:

# %%
print(f"{4 * 253_514:,} bytes a step in float32, whatever the size of the batch")
assert 4 * 253_514 == 1_014_056

# %% [markdown]
# A megabyte for 32 images in each step is a bad bargain, and two workers on *one* machine share its cores as well. But a
# megabyte stays a megabyte when the batch grows to thousands, and then several machines pay off. It is the rule of
# lesson 1 again: look where the *work* is, and where the *parameters* are.
#
# On several machines, here `ada` and `bob`, make the same call on each; only the number of the worker differs:
#
# ```
# python -m minicnn train --workers ada:5000,bob:5000 --worker 0 --save weights.npz
# python -m minicnn train --workers ada:5000,bob:5000 --worker 1 --save weights.npz
# ```
#
# Worker 0, the *chief*, tests the network and writes the file. Before they connect, the workers greet each other: each
# sends a line with its number and a checksum of the list of addresses. So a port that is in use, or another program that
# answers at the address of a worker, is noticed within seconds. If a worker dies during training, or was given other
# data or another seed, all of them end with a sentence that says so, too.

# %%
with socket.create_server(("", 0)) as other_program:
    port = other_program.getsockname()[1]
    addresses = [f"127.0.0.1:{port}", *free_addresses(1)]
    try:
        scale_out.meet(addresses, worker=0)
    except OSError as error:
        print(str(error).replace(str(port), "PORT"))

# %% [markdown]
# ## The fact

# %%
if have_keras():
    for of_workers, ours in zip(weights, model.get_weights(), strict=True):
        assert abs(of_workers - ours).max() < 1e-10
    print("step  one process  two workers  minicnn")
    for i in (0, 1, 2, 9, 19):
        values = (one_process[i], two_workers[i], shards[i])
        print(f"{i + 1:4}" + "".join(f"{value:13.9f}" for value in values))

# %% [markdown]
# > **The way to Keras and back is exact to the bit**: weights, Adam's state, step count. For the same gradients **Adam's
# > steps are Keras' to the bit, too**. Two TensorFlow workers, one TensorFlow process and minicnn's shards give the same
# > losses, 20 steps long, to twelve digits in double precision. In single precision they part by rounding, as Keras
# > parts from itself.
#
# ## Challenge
#
# How far apart are two results? 0.0001 is a lot for a number of size 0.001 and nothing for one of size 1,000. There is a
# measure without this trouble: **units in the last place** (ULP). Count how many steps from one `float32` to the next
# lead from one number to the other. Neighbours are 1 apart, whatever their size; 0.0 and -0.0 are the same number,
# 0 apart.
#
# A `float32` is 32 bits: the sign, then the exponent, then the digits. Read as *integers*, larger positive numbers have
# larger integers, and neighbours have neighbouring ones.


# %% tags=["exercise", "challenge"]
def ulps_apart(ours, theirs):
    """How many float32 steps lie between the entries of two arrays.

    ours, theirs: float32 arrays of one shape, without NaN.
    Returns an array of integers, none negative, of that shape. For
    example, it is [1] from x to the next number, np.nextafter(x, 2 * x).
    """
    # solution
    places = []
    for array in (ours, theirs):
        bits = array.view(np.int32).astype(np.int64)
        places.append(np.where(bits < 0, -(2**31) - bits, bits))
    return abs(places[0] - places[1])


# %%
check.ulps_apart(ulps_apart)

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# `array.view(np.int32)` reads the same bits as integers; `astype` would convert the numbers instead.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The bit of the sign makes the integer of a negative float negative. But -2.0 has a *larger* integer than -1.0: their
# order is reversed, and -0.0 has the smallest of all, $-2^{31}$.
#
# </details>
# <details><summary>Hint 3</summary>
#
# Turn the negative ones around, so that -0.0 comes to 0: for `bits < 0` take `-2**31 - bits`. And use `np.int64`: the
# distance from $-10^{38}$ to $10^{38}$ is too large for 32 bits.
#
# </details>
#
# The next cell counts with your function: Keras with and without oneDNN, after one step and after 29.

# %% tags=["fold", "varies"]
if have_keras() and check.ulps_apart.verdict(ulps_apart).passed:
    for step in (1, 29):
        apart = ulps_apart(keras_weights[0][step], keras_weights[1][step])
        print(
            f"after {step:2} steps {(apart == 0).mean():.0%} of the weights are equal;"
        )
        print(f"   half of them are at most {np.median(apart):,.0f} ULP apart")
else:
    print("solve the challenge, then run this cell again")

# %% [markdown]
# One lesson is left. You know what this network computes to the last bit; now add a layer of your own.
#
# ## In minicnn
#
# - `to_keras` in [minicnn/keras_reference/to_keras.py](../minicnn/keras_reference/to_keras.py), `from_keras` in
#   [minicnn/keras_reference/from_keras.py](../minicnn/keras_reference/from_keras.py), and `compare` in
#   [minicnn/keras_reference/comparison.py](../minicnn/keras_reference/comparison.py), which shows every output and
#   every gradient side by side.
# - `lockstep` in [minicnn/checking/lockstep.py](../minicnn/checking/lockstep.py); `first_apart` is a method there.
#   `python -m minicnn verify --lockstep` runs 200 steps.
# - `put_bias_on_blanks` in [minicnn/engine/kernels/winograd_tiles.py](../minicnn/engine/kernels/winograd_tiles.py): the
#   remedy.
# - `cut` and `run` in [minicnn/engine/threads.py](../minicnn/engine/threads.py) for threads, `fit` in
#   [minicnn/scale_out/training.py](../minicnn/scale_out/training.py) for machines, and `meet` in
#   [minicnn/scale_out/cluster.py](../minicnn/scale_out/cluster.py): how workers greet each other.
