# %% [markdown]
# # 1 · What will we rebuild?
#
# *15 minutes · needs nothing but Python*
#
# **You will build** the table that `model.summary()` prints, by hand and before it is printed, and find out where a
# network keeps its numbers and where it spends its time.

# %%
import numpy as np

import minicnn
from checks import check_01 as check
from minicnn import plots
from minicnn.datasets import mnist
from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D

# %% [markdown]
# ## A network that reads digits
#
# The next cell makes a network, shows it 1,600 handwritten digits with their labels, and then lets it read digits that
# it has never seen. You need not understand a line of it yet. It takes a few seconds (the first time on
# a machine up to half a minute, because minicnn compiles its engine, and says so).
# %% tags=["varies"]
from minicnn.optimizers import Adam
from minicnn.tutorial import scaled, tutorial_network

(x_train, y_train), (x_test, y_test) = mnist.load_data()
minicnn.set_random_seed(0)
reader = tutorial_network()
reader.compile(Adam(0.003), "sparse_categorical_crossentropy", run_eagerly=True)
reader.fit(scaled(x_train[:1600]), y_train[:1600], batch_size=32, verbose=0)

read = reader.predict(scaled(x_test[:200]), verbose=0).argmax(axis=1)
print(f"{(read == y_test[:200]).sum()} of 200 new digits are read correctly")
assert (read == y_test[:200]).mean() > 0.8

# %% tags=["fold"]
figure = plots.new_figure(4.3, "What the network reads in new digits")
for axes, image, answer, label in zip(
    figure.subplots(4, 10).flat, x_test, read, y_test, strict=False
):
    axes.imshow(image, cmap="gray_r")
    right = answer == label
    text = str(answer) if right else f"{answer}, is {label}"
    axes.set_title(text, fontsize=10, color="black" if right else plots.ORANGE)
    axes.set_axis_off()
figure

# %% [markdown]
# Nobody wrote down a rule for what a 7 looks like. The network began with random numbers, and after every 32 digits it changed
# them a little. At the end of this course you will have written every step of that yourself.
#
# You can also touch it. In a terminal, in the folder of the project, run
#
# ```
# .venv/bin/python -m minicnn explore
# ```
#
# It trains the network with all 60,000 digits, which takes about ten seconds (more the first time, when it compiles minicnn's
# engine and says so), and opens a page in your browser, the *explorer*. Draw a digit and see what the network says. Click on any cell of `conv2d`: below, you see how its number is computed.
# In later lessons, lines that begin with **See it move** name places of this page. Write such a place after `explorer.html` in
# the browser's address bar, so that the address ends in `explorer.html#layer=conv2d&mode=forward`, for example.
#
# ## Keras, minicnn, and this course
#
# **Keras** is a library for neural networks, used all over the world. You describe a network in ten lines; it computes, by
# default with TensorFlow. How it does so is spread over many thousands of lines, in several languages.
#
# **minicnn** does the same for convolutional networks, with the same names and the same results, in Python that can be read. The
# files that lie directly in `minicnn/` are its *core*: the formulas of this course in plain NumPy. It is what ran above. The
# folder `minicnn/engine/` computes the same numbers much faster, and is what `fit` runs unless it is told otherwise.
#
# **Why rebuild what exists?** Whoever has written a convolution and its gradient once knows what a network can do, why it
# fails, and what its error messages mean. And one can check: each lesson compares its numbers with those of Keras.
#
# **You need** Python, arrays of NumPy, the product of two matrices, and derivatives from school: of sums, products, quotients
# and $e^x$, and the chain rule, which lesson 4 explains once more. Nothing about neural networks.
#
# ## What comes in
#
# MNIST: 60,000 handwritten digits to learn from, 10,000 others to be tested on. An image has 28 rows of 28 numbers, from 0 for
# paper to 255 for ink; a label is a number from 0 to 9.

# %%
print("images", x_train.shape, x_train.dtype, "labels", y_train.shape)
assert x_train.shape == (60_000, 28, 28)
assert x_test.shape == (10_000, 28, 28)
assert (x_train.min(), x_train.max()) == (0, 255)

plots.digit_grid(x_train, y_train, rows=5, columns=12)

# %% [markdown]
# ## What we will rebuild
#
# This is the network that read the digits:

# %%
minicnn.clear_session()  # numbers in names start over, so this cell can be run twice
model = minicnn.Sequential(
    [
        Input((28, 28, 1)),
        Conv2D(32, kernel_size=5, padding="same", activation="relu"),
        MaxPooling2D(pool_size=2),
        Conv2D(64, kernel_size=5, padding="same", activation="relu"),
        MaxPooling2D(pool_size=2),
        Flatten(),
        Dense(64, activation="relu"),
        Dense(10, activation="softmax"),
    ]
)

# %% [markdown]
# Read it as *what happens to one image*. The course and the code of minicnn use these letters: an image is
# `h` rows high, `w` columns wide and has `c` channels (1 for grey, 3 for red, green and blue). The output of a layer is `oh` high,
# `ow` wide and has `f` channels, which are called its *feature maps*.
#
# - **Conv2D** places a small window, the *kernel*, on the image: `kh` cells high, `kw` wide, and as deep as the image has channels.
#   Each number under the window is multiplied by a number of the kernel. The products are added, a *bias* is added to them, and this
#   is one number of the output. Then the window moves on by one cell. There are `f` kernels, so each position has `f`
#   outputs. `padding="same"` surrounds the image with zeros, so that the output is as large as the image (lesson 3).
# - **MaxPooling2D** keeps the largest number of every block of 2 x 2. It has nothing to learn. An odd last row or column is
#   dropped (lesson 5).
# - **Flatten** writes the numbers of an image in one row, a vector of `h * w * c` numbers.
# - **Dense** turns `inputs` numbers into `units` numbers. Each of them is a weighted sum of *all* inputs, plus a bias (lesson 7).
# - **activation** is what is done to each number before it leaves a layer. `"relu"` replaces negative numbers by 0. `"softmax"`
#   turns the last ten numbers into probabilities (lesson 6). Neither has anything to learn.
#
# ## A tiny example, by hand
#
# An image of 3 x 3 with one channel, a kernel of 2 x 2, no padding. The window fits in 2 x 2 places:

# %% tags=["fold"]
image = [[1, 2, 0], [0, 1, 3], [2, 0, 1]]
top_left = {(0, 0): plots.SKY, (0, 1): plots.SKY, (1, 0): plots.SKY, (1, 1): plots.SKY}
bottom_right = {(i + 1, j + 1): plots.YELLOW for i, j in top_left}

figure = plots.new_figure(2.6)
one, other, places = figure.subplots(1, 3)
plots.number_grid(one, image, "the image, 1st place of the window", top_left)
plots.number_grid(other, image, "the image, 4th place", bottom_right)
ends = {(0, 0): plots.SKY, (1, 1): plots.YELLOW}
names = [["1st", "2nd"], ["3rd", "4th"]]
plots.number_grid(places, np.zeros((2, 2)), "the output: 2 x 2 places", ends, names)
figure

# %% [markdown]
# **Parameters** are the numbers that are learned. The kernel has $2\cdot2\cdot1 = 4$ of them, and there is 1 bias: **5** in all, since
# the same kernel is used at every place.
#
# **Multiply-adds** are the work for one image: 4 places with 4 products each, **16** in all. (Adding the bias is not counted, as is
# usual.)
#
# With `f = 2` kernels there are twice as many of both: 10 parameters and 32 multiply-adds.
#
# ## Count it, naively
#
# Before we use formulas, let us count one by one: each place, each kernel, each product.


# %%
def count_conv(oh, ow, c, kh, kw, f):
    """The products that make an output of oh x ow x f, counted one by one."""
    count = 0
    for i in range(oh):
        for j in range(ow):
            for o in range(f):
                for ki in range(kh):
                    for kj in range(kw):
                        for ch in range(c):
                            count += 1  # x[i + ki, j + kj, ch] * kernel[ki, kj, ch, o]
    return count


assert count_conv(oh=2, ow=2, c=1, kh=2, kw=2, f=1) == 16
assert count_conv(oh=2, ow=2, c=1, kh=2, kw=2, f=2) == 32
print(
    "first convolution:",
    count_conv(oh=28, ow=28, c=1, kh=5, kw=5, f=32),
    "products for one image",
)
assert count_conv(oh=28, ow=28, c=1, kh=5, kw=5, f=32) == 627_200

# %% [markdown]
# The loop ran 627,200 times for one layer and one image. Counting with a formula is faster. Find it in the first exercise.
#
# ## Exercise 1: what a convolution costs
#
# A `Conv2D` with `f` kernels of `kh` x `kw` and `padding="same"`, on an image of `h` x `w` with `c`
# channels. With "same" padding the output is as high and wide as the image.


# %% tags=["exercise"]
def conv_costs(h, w, c, kh, kw, f):
    """(parameters, multiply-adds for one image); two integers, without loops.

    conv_costs(28, 28, 1, 5, 5, 32) is (832, 627200).
    """
    # solution
    products = kh * kw * c  # for one number of the output
    return products * f + f, h * w * f * products


# %%
check.conv_costs(conv_costs)

# %% [markdown]
# <details><summary>Hint 1</summary>How many products make one number of the output? A kernel reaches through all channels.</details>
# <details><summary>Hint 2</summary>A kernel has as many numbers as there are products. How many numbers does the output have?</details>
#
# ## Exercise 2: what a dense layer costs


# %% tags=["exercise"]
def dense_costs(inputs, units):
    """(parameters, multiply-adds for one sample); two integers.

    dense_costs(3, 2) is (8, 6).
    """
    # solution
    return inputs * units + units, inputs * units


# %%
check.dense_costs(dense_costs)

# %% [markdown]
# <details><summary>Hint 1</summary>Each unit has a weight for each input, and one bias.</details>
#
# ## Exercise 3: predict a summary
#
# Take a sheet of paper. What would `summary()` print for this network? Mind the odd sizes.
#
# ```python
# Input((11, 9, 3))
# Conv2D(4, kernel_size=3, padding="same", activation="relu")
# MaxPooling2D(pool_size=2)
# Conv2D(6, kernel_size=(3, 2), padding="same", activation="relu")
# MaxPooling2D(pool_size=2)
# Flatten()
# Dense(5, activation="softmax")
# ```


# %% tags=["exercise"]
def predicted():
    """A list of six pairs, one for each layer: (shape of output, parameters).

    The shape of an image is (h, w, c), that of a vector (size,). The first
    pair has the form ((11, 9, 4), number).
    """
    # solution
    return [
        ((11, 9, 4), 3 * 3 * 3 * 4 + 4),
        ((5, 4, 4), 0),  # the eleventh row and the ninth column are dropped
        ((5, 4, 6), 3 * 2 * 4 * 6 + 6),
        ((2, 2, 6), 0),
        ((24,), 0),
        ((5,), 24 * 5 + 5),
    ]


# %%
check.predicted(predicted)

# %% [markdown]
# <details><summary>Hint 1</summary>A convolution with "same" padding keeps height and width, and its output has f channels.</details>
# <details><summary>Hint 2</summary>The kernels of the second convolution are as deep as the output of the first one: 4 channels.</details>
#
# ## The real one
#
# **Guess before you run:** of the seven layers, which one has the most parameters? And which one does the most work?
#
# The last column has to be what Keras 3.15.1 (TensorFlow 2.21) counts for the same layers. Long names are cut off, as Keras does it;
# `layer.name` has the whole name.

# %%
model.summary()

KERAS = {
    "conv2d": 832,
    "max_pooling2d": 0,
    "conv2d_1": 51264,
    "max_pooling2d_1": 0,
    "flatten": 0,
    "dense": 200768,
    "dense_1": 650,
}
assert {layer.name: layer.count_params() for layer in model.layers} == KERAS

# %% [markdown]
# Two columns are missing in that table: how many numbers the output of each layer has, and how much work it is. Here they are. The
# area of a block shows how many numbers there are (64 and 10 are too few to be seen well).

# %% tags=["cover"]
plots.shape_ribbon(model)

# %% [markdown]
# An image comes in as 784 numbers, has become 25,088 after the first convolution, and leaves as 10.
#
# Look at the pairs of bars: **parameters and work are in different places.** A kernel is used at every position of its image. The kernels of
# the second convolution have 51,200 numbers, and each of them is used in 14 x 14 = 196 products. A weight of a dense layer is
# used exactly once for each image.
#
# Hence two rules of thumb. To make this network *faster*, look at its convolutions (lesson 15). To make its *file smaller*, look at its
# first dense layer.
#
# ## Challenge
#
# Now the costs of a whole network, from its description alone. Each layer is a tuple: `("conv", f, kh, kw)` with "same" padding,
# `("pool", size)`, `("flatten",)` or `("dense", units)`.


# %% tags=["exercise", "challenge"]
def network_costs(shape, layers):
    """(parameters, multiply-adds for one input) of all layers together.

    shape: of the input, (h, w, c) for an image or (size,) for a vector.
    network_costs((3,), [("dense", 2), ("dense", 1)]) is (11, 8).
    """
    # solution
    parameters = work = 0
    for kind, *numbers in layers:
        added = (0, 0)
        if kind == "conv":
            added, shape = (
                conv_costs(*shape, *numbers[1:], numbers[0]),
                (*shape[:2], numbers[0]),
            )
        elif kind == "pool":
            shape = (shape[0] // numbers[0], shape[1] // numbers[0], shape[2])
        elif kind == "flatten":
            shape = (shape[0] * shape[1] * shape[2],)
        else:
            added, shape = dense_costs(*shape, *numbers), tuple(numbers)
        parameters, work = parameters + added[0], work + added[1]
    return parameters, work


# %%
check.network_costs(network_costs)

# %% [markdown]
# <details><summary>Hint 1</summary>Go through the layers in a loop. What do you have to remember from one to the next?</details>
# <details><summary>Hint 2</summary>Three things: both sums, and the shape of what comes next. Each kind of layer changes the shape in its
# own way; only two kinds cost anything, and you have functions for these.</details>
# <details><summary>Hint 3</summary><code>if layer[0] == "conv": h, w, c = shape; f, kh, kw = layer[1:]</code>. After it the shape is
# <code>(h, w, f)</code>; after pooling it is <code>(h // size, w // size, c)</code>.</details>
#
# ## The fact
#
# All of the numbers above, from shapes alone:

# %%
work = {
    "conv2d": 28 * 28 * 32 * (5 * 5 * 1),
    "conv2d_1": 14 * 14 * 64 * (5 * 5 * 32),
    "dense": 3136 * 64,
    "dense_1": 64 * 10,
}
parameters = {name: count for name, count in KERAS.items() if count}
print("             parameters    multiply-adds")
for name, count in parameters.items():
    held, done = count / sum(parameters.values()), work[name] / sum(work.values())
    print(f"{name:9} {count:8,} = {held:5.1%} {work[name]:12,} = {done:5.1%}")

assert 832 + 51_264 + 200_768 + 650 == model.count_params() == 253_514
assert sum(work.values()) == 10_863_744
assert work["conv2d_1"] == 14 * 14 * (51_264 - 64)  # the kernel, without the biases
assert round(100 * parameters["conv2d_1"] / 253_514, 1) == 20.2
assert round(100 * work["conv2d_1"] / 10_863_744, 1) == 92.4
assert round(100 * parameters["dense"] / 253_514, 1) == 79.2
assert round(100 * work["dense"] / 10_863_744, 1) == 1.8

# %% [markdown]
# > **832 + 51,264 + 200,768 + 650 = 253,514 parameters.** The second convolution holds 20.2 % of
# > them and does 92.4 % of the 10,863,744 multiply-adds. The first dense layer holds 79.2 % of them
# > and does 1.8 %.
#
# ## In minicnn
#
# - `summary_lines` in [minicnn/summary.py](../minicnn/summary.py) prints the table.
# - `Layer.count_params` in [minicnn/layer.py](../minicnn/layer.py) adds up the sizes of the weights.
# - `output_shape` of each class in [minicnn/layers.py](../minicnn/layers.py) is what you predicted.
# - `tutorial_network` in [minicnn/tutorial.py](../minicnn/tutorial.py) is this network, for all
#   lessons to come.
