# %% [markdown]
# # 18 · Is it the same network as Keras, and how does it outgrow this machine?
#
# *25 minutes · needs lessons 11 and 15, and TensorFlow*
#
# **You will build** the three tools that answer it: `same_bits`, `first_apart` and `combined`. They
# compare two sets of weights, find the step at which two trainings part, and make one gradient of
# those of several machines.

# %%
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import minicnn
from checks import check_18 as check
from minicnn import keras_reference, plots
from minicnn.datasets import mnist
from minicnn.engine import ALGORITHMS
from minicnn.keras_reference import from_keras, to_keras
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
# This lesson needs TensorFlow: `pip install tensorflow-cpu` (macOS: `tensorflow`).
# Without it, cells that would compare with it say that they are left out. The exercises need none.
#
# ## A tiny example, by hand
#
# When are two computations "the same"? Mathematics says: if they have the same formula. A computer
# adds in some order, and rounds after each addition. A `float32` has 24 binary digits, so from
# $2^{24} = 16{,}777{,}216$ on it knows the even numbers only. Add three numbers in two orders:

# %% tags=["fold"]
a, b, c = np.float32([2**24, 1, -(2**24)])
rows = [
    ["", "first sum", "rounded", "second sum"],
    ["(a + b) + c", "16777217", f"{a + b:.0f}", f"{(a + b) + c:.0f}"],
    ["(a + c) + b", "0", f"{a + c:.0f}", f"{(a + c) + b:.0f}"],
]
figure = plots.new_figure(2.2)
blue = {(1, 3): plots.YELLOW, (2, 3): plots.SKY}
title = "a = 16777216, b = 1, c = -16777216 in float32"
plots.number_grid(figure.subplots(), np.zeros((3, 4)), title, blue, rows)
figure

# %%
assert (a + b) + c == 0
assert (a + c) + b == 1
assert np.spacing(a) == 2  # from here to the next float32

# %% [markdown]
# Same numbers, same formula, and 0 is not 1. The naive code of a dense layer's output is a sum of
# `inputs` products; NumPy, Keras and minicnn's engine each add them in an order of their own. So the question
# has two halves. *What is only carried* from one library to the other has to stay the same **to the
# bit**. *What is computed* has to be the same **up to rounding**, and we need to know what rounding does.
#
# ## To Keras and back
#
# minicnn keeps its arrays as Keras does: images `(n, h, w, c)`, kernels `(kh, kw, c, f)` and `(in,
# out)`. So carrying weights over is copying them. `to_keras` makes the Keras *twin* of a model, with the
# same layers, weights, and state of Adam (the `m`, `v` and step count of lesson 11); `from_keras` is the reverse.
#
# To check that nothing changed, `==` will not do. A bit pattern is more than a value: `0.0 == -0.0`
# although one bit differs, and a NaN is not even equal to itself.
#
# ## Exercise 1: the same bits
#
# `ours` and `theirs` are lists of arrays. They are the same if there are as many, and each pair has the same
# type, the same shape and the same bits. `array.tobytes()` gives the bits, and nothing but the bits.


# %% tags=["exercise"]
def same_bits(ours, theirs):
    """True if two lists of arrays are the same to the last bit, else False."""
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
# Now the network of the course. Three steps in minicnn, so that Adam has a state; over to Keras; back:

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
# Next, what is computed. Train both: the same first weights, the same batches, step by step, and
# compare before each step. When do they part?
#
# ## Exercise 2: the step at which they part
#
# `ours` and `theirs` are the losses, one for each step. A difference counts as a *share of theirs*,
# $|ours - theirs| / |theirs|$. Steps are counted from 1.


# %% tags=["exercise"]
def first_apart(ours, theirs, limit):
    """The first step with losses further apart than limit, or None if there is
    none."""
    # solution
    apart = np.flatnonzero(np.abs(ours - theirs) / np.abs(theirs) > limit)
    return int(apart[0]) + 1 if len(apart) else None


# %%
check.first_apart(first_apart)

# %% tags=["varies"]
from minicnn.checking.lockstep import lockstep

STEPS = 30

if have_keras():
    runs = {}
    for dtype in ("float32", "float64"):
        images, labels = x[: 32 * STEPS], y[: 32 * STEPS]
        runs[dtype] = lockstep(new_model(dtype), images, labels, batch_size=32)
        print(f"{dtype}: losses differ by a thousandth first at step", end=" ")
        print(runs[dtype].first_apart(1e-3))

# %% [markdown]
# The picture has the two losses above, and below, on a logarithmic scale, the largest difference of any two of the
# 253,514 weights:

# %% tags=["cover"]
figure = plots.lockstep(runs) if have_keras() else None
figure

# %%
if have_keras():
    single, double = runs["float32"].weights, runs["float64"].weights
    assert single[0] == double[0] == 0  # before the first step: the same bits
    assert double.max() < 1e-10  # 29 steps later still the same network
    assert single[-1] > 1e-5  # far more than the rounding of a float32, 6e-8
    assert runs["float64"].first_apart(1e-3) is None

# %% [markdown]
# In single precision weights drift apart, in some steps by leaps, although no one would see it in the loss. A
# small bug in minicnn would look just like that! But in double precision, where rounding is
# $2^{53-24} \approx 5 \cdot 10^8$ times smaller, they stay together. **A bug is as large in float64
# as in float32; rounding is not.** So it is the same network, and rounding parts them.
#
# Which step it is that exceeds a thousandth depends on your processor, which decides the order of sums.
#
# ## Why a rounding error grows
#
# A gradient is right to about 7 digits *of the largest products in its sum*. If they cancel, the sum is
# small, and its error is not. Call the gradient $g$, its error $\delta$. Plain gradient descent would move
# the weight by $lr \cdot \delta$ too much, which is nothing. Adam's first move was, in lesson 11,
#
# $$move(g) = -lr \cdot \frac{g}{|g| + e}, \qquad e = \frac{\epsilon}{\sqrt{1 - \beta_2}} = 3.16 \cdot 10^{-6}.$$
#
# For $g > 0$ its derivative is $-lr \cdot \frac{(g + e) - g}{(g + e)^2} = -lr \cdot \frac{e}{(g + e)^2}$,
# by the quotient rule, and for $g < 0$ the same with $|g|$. It is largest at $g = 0$:
#
# $$\left|\frac{d\,move}{d g}\right| \le \frac{lr}{e} = \frac{0.001}{3.16 \cdot 10^{-6}} = 316.$$
#
# So where a gradient is nearly zero, an error of it is 316 times larger in the weight, while SGD
# with the same rate makes it 1,000 times smaller. Worse, in later steps epsilon acts
# less (lesson 11), and $e$ goes down to $10^{-7}$: a factor of 10,000.

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
# The first time minicnn was trained in lockstep, the weights were 0.002 apart after **one** step, in
# float64 as well. Not rounding, then. And 0.002 was telling: Adam's first move is at most
# $lr = 0.001$, so one library had moved some weight by nearly $+0.001$ and the other by nearly $-0.001$:
# its gradient had another sign.
#
# It was the convolution after Winograd (lesson 15). Digits have a black border. On a window of zeros the
# output is 0 plus the bias, and biases start at 0. Exactly at 0, ReLU lets no gradient through. But
# Winograd computes several outputs of a row at once, from sums of *all* its pixels, in which those that a window does
# not see cancel. They cancel up to rounding. In one dimension, with minicnn's own matrices, eight pixels give
# four outputs of a kernel of 5:

# %% tags=["varies"]
winograd = ALGORITHMS["winograd"]
A, B, G = (matrix.astype(float) for matrix in winograd.matrices(5))
kernel = np.array([0.3, -0.2, 0.5, 0.1, -0.4])
pixels = np.array([0, 0, 0, 0, 0, 0.7, 0.2, 0.9])  # the first window sees zeros only

fast = A.T @ ((G @ kernel) * (B.T @ pixels))
exact = np.array([pixels[i : i + 5] @ kernel for i in range(4)])
print("window by window:", exact)
print("largest difference of Winograd's:", f"{abs(fast - exact).max():.0e}")
assert abs(fast - exact).max() < 1e-14

rng = np.random.default_rng(0)
passed = 0
for _ in range(1_000):
    kernel, pixels[5:] = rng.normal(size=5), rng.uniform(size=3)
    passed += (A.T @ ((G @ kernel) * (B.T @ pixels)))[0] > 0
print(f"of 1,000 blank windows, {passed} give a number above 0")
assert 200 < passed < 600

# %% [markdown]
# An error of $10^{-16}$ where 0 was due; and ReLU, asked "is it above 0?", says yes. From there on it is no
# rounding error any more: a whole gradient is let through that should have been stopped, at a third of
# the places. A *decision* was left to chance. The cure is small: minicnn finds windows of
# zeros and puts the bias there, to the bit (`put_bias_on_blanks`). Three things to take home:
#
# - Where a function has a kink or a tie (ReLU, max pooling), an error of $10^{-16}$ can become an
#   error of 1. Ties on real data are the rule, not the exception (lesson 5).
# - Tests with random numbers did not show it: no window in them is all zeros.
# - Without the run in float64, all would have been put down to rounding.
#
# ## Past one machine
#
# A step of minicnn cuts a batch into *shards* and lets threads work on them; then it adds up their gradients. Nothing in that
# asks for the threads to be on one machine. With $B$ images in a batch, $\ell_i$ the loss of image $i$
# and $w$ a weight,
#
# $$\frac{\partial}{\partial w} \frac{1}{B} \sum_{i=1}^{B} \ell_i
# = \sum_{k} \underbrace{\frac{1}{B} \sum_{i\ \in\ part\ k} \frac{\partial \ell_i}{\partial w}}_{\text{worker } k},$$
#
# because the derivative of a sum is the sum of derivatives. So each *worker*, a process on a machine of its own, needs the same
# weights and a part of the batch. All send their gradients to each other, all add them up, all take the same step of
# Adam, and all have the same weights again. The trap is $\frac{1}{B}$: it is the *whole* batch's size.
#
# ## Exercise 3: one gradient of several
#
# Suppose a worker only knows its own part, and gives the gradient of its *mean* loss. `gradients` is a list of such
# arrays, one from each worker, all of one shape; `sizes` says how many images each had. Parts may differ in size.


# %% tags=["exercise"]
def combined(gradients, sizes):
    """The gradient of the mean loss of all images; an array."""
    # solution
    total = sum(
        size * gradient for size, gradient in zip(sizes, gradients, strict=True)
    )
    return total / sum(sizes)


# %%
check.combined(combined)

# %% [markdown]
# ## Two workers
#
# minicnn does not build a cluster of its own: TensorFlow has one. `scale_out.fit` takes a model of
# minicnn, makes its twin under TensorFlow's `MultiWorkerMirroredStrategy`, trains it, and carries
# weights and Adam's state back. A worker is told where all of them are, and which one it is. On one machine, "where" is
# `127.0.0.1`, the address by which a machine calls itself, with a *port* for each.

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


def free_addresses(count):
    """Addresses on this machine whose ports are free just now."""
    import socket

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
# The same 20 batches, by minicnn's shards and by one TensorFlow process. All in double precision, since we know by now
# what single precision would do.

# %% tags=["fold"]
if have_keras():
    from minicnn.data import Dataset

    model = new_model("float64")
    batches = Dataset.from_tensor_slices((x[:640], y[:640])).batch(32)
    shards = np.array(model.fit(batches, verbose=0).batches["loss"])

    with keras_reference.precision("float64"):
        twin = to_keras(new_model("float64"))
        losses = [twin.train_on_batch(*batch)[0] for batch in batches]
        one_process = np.array([float(loss) for loss in losses])

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
else:
    figure = None
figure

# %% [markdown]
# Above, three curves that cannot be told apart. Below, what is left between them is the last of the 16
# digits of a double (points at the bottom: no difference at all).
#
# ## What it costs
#
# In every step each worker has to send its gradients, one for each of the 253,514 weights:

# %%
print(f"{4 * 253_514:,} bytes a step in float32, whatever the size of the batch")
assert 4 * 253_514 == 1_014_056

# %% [markdown]
# A megabyte for 32 images, sent and received through a network cable, in each step: for this small
# network that is a bad bargain. Two workers on *one* machine are slower than one process: they share its cores,
# and talk besides. But the megabyte stays a megabyte when the batch grows to thousands, and then several machines pay off. The
# rule of lesson 1 in another dress: look for where the *work* is and where the *parameters* are.
#
# In real life you would make the same call on each machine, here `ada` and `bob`, and only the number of the worker differs:
#
# ```
# python -m minicnn train --workers ada:5000,bob:5000 --worker 0 --save weights.npz
# python -m minicnn train --workers ada:5000,bob:5000 --worker 1 --save weights.npz
# ```
#
# Worker 0, the *chief*, tests the network and writes the file. If a worker dies, or its port is
# in use, or it was given other data or another seed, all end with a sentence that says so.
#
# ## The fact

# %%
if have_keras():
    for losses in (two_workers, shards):
        assert abs(losses / one_process - 1).max() < 1e-12
    for of_workers, ours in zip(weights, model.get_weights(), strict=True):
        assert abs(of_workers - ours).max() < 1e-10
    print("step  one process  two workers  minicnn")
    for i in (0, 1, 2, 9, 19):
        values = (one_process[i], two_workers[i], shards[i])
        print(f"{i + 1:4}" + "".join(f"{value:13.9f}" for value in values))

# %% [markdown]
# > **The way to Keras and back is exact to the bit**: weights, Adam's state, step count. **Two TensorFlow
# > workers, one TensorFlow process and minicnn's shards give the same losses**, 20 steps long, to
# > twelve digits in double precision. In single precision they part by rounding, and by nothing else.
#
# That was the comparison; one lesson is left. You have written a convolutional network, and you know what it computes to the last bit.
#
# ## In minicnn
#
# - `to_keras` in [minicnn/keras_reference/to_keras.py](../minicnn/keras_reference/to_keras.py), `from_keras` in
#   [minicnn/keras_reference/from_keras.py](../minicnn/keras_reference/from_keras.py), and `compare` in
#   [minicnn/keras_reference/comparison.py](../minicnn/keras_reference/comparison.py), which shows every output and every
#   gradient side by side.
# - `lockstep` in [minicnn/checking/lockstep.py](../minicnn/checking/lockstep.py); `first_apart` is a method there. `python -m
#   minicnn verify --lockstep` runs 200 steps.
# - `put_bias_on_blanks` in [minicnn/engine/kernels/winograd_tiles.py](../minicnn/engine/kernels/winograd_tiles.py): the cure.
# - `cut` and `run` in [minicnn/engine/threads.py](../minicnn/engine/threads.py) for threads, `fit` in
#   [minicnn/scale_out/training.py](../minicnn/scale_out/training.py) for machines: parts and sums in both.
