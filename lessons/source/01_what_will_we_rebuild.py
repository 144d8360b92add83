# %% [markdown]
# # 1 · What will we rebuild?
#
# *20 minutes · needs nothing but Python*
#
# **You will build** the table that `model.summary()` prints, by hand and before it is printed, and
# find out where a network keeps its numbers and where it spends its time.
#
# ## First, a look at all of it
#
# In a terminal, in the folder of the project, run the command below. It trains the network of this course (about ten
# seconds), writes it into a file, `explorer.html`, and opens that in your browser:
#
# ```
# .venv/bin/python -m minicnn explore
# ```
#
# Draw a digit and see what the network says. Then click on any cell of `conv2d`: below, you see how its number is
# computed. In later lessons, lines that begin with **See it move** name places of this page: replace all that follows
# `explorer.html` in the browser's address bar, for example by `#layer=conv2d&mode=forward`.

# %%
import minicnn
from checks import check_01 as check
from minicnn import plots
from minicnn.datasets import mnist
from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D

minicnn.clear_session()  # automatic names of layers start over, so this cell can be run twice

# %% [markdown]
# ## What comes in
#
# MNIST: 60,000 handwritten digits to learn from, 10,000 others to be tested on. An image is 28 rows
# of 28 numbers, 0 for paper and 255 for ink; a label is a number from 0 to 9.

# %%
(x_train, y_train), (x_test, y_test) = mnist.load_data()
print("images", x_train.shape, x_train.dtype, "labels", y_train.shape)
assert x_train.shape == (60_000, 28, 28)
assert x_test.shape == (10_000, 28, 28)
assert (x_train.min(), x_train.max()) == (0, 255)

plots.digit_grid(x_train, y_train, rows=9, columns=9)

# %% [markdown]
# ## What we will rebuild
#
# This network, every line of which you will understand from the inside by the end of the course:

# %%
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
# Read it as *what happens to one image*. A few letters are used in the whole course, and in the code
# of minicnn too: an image is `h` rows high, `w` columns wide and has `c` channels (1 for grey, 3 for
# red, green and blue). What comes out of a layer is `oh` high, `ow` wide and `f` channels deep.
#
# - **Conv2D** lays a small window, the *kernel*, on the image, `kh` cells high and `kw` wide, and
#   through all `c` channels. It multiplies what it sees with its own numbers, adds the products up,
#   adds a *bias*, and writes one number. Then it moves on by one cell. There are `f` kernels, so `f`
#   numbers come out at every position. `padding="same"` surrounds the image with just enough zeros
#   for the output to be as large as the image (lesson 3).
# - **MaxPooling2D** keeps the largest number of every 2 x 2 block. Nothing to learn; an odd last row
#   or column is dropped (lesson 5).
# - **Flatten** writes the numbers of an image in one row: `h * w * c` of them.
# - **Dense** makes `units` numbers of `inputs`: each is a weighted sum of *all* inputs, plus a bias.
# - `activation` says what is done to each number before it leaves a layer. `"relu"` makes 0 of all
#   that is negative, `"softmax"` makes probabilities of the last ten numbers (lesson 6). Neither has
#   anything to learn.
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
plots.number_grid(one, image, "first place: blue", top_left)
plots.number_grid(other, image, "last place: yellow", bottom_right)
ends = {(0, 0): plots.SKY, (1, 1): plots.YELLOW}
plots.number_grid(places, [[1, 2], [3, 4]], "the 2 x 2 outputs, numbered", ends)
figure

# %% [markdown]
# *Parameters*, the numbers that are learned: the kernel has $2\cdot2\cdot1 = 4$, and there is 1 bias.
# That makes **5**, wherever the window stands: it takes its numbers along.
#
# *Multiply-adds*, the work for one image: 4 places, 4 products at each, **16**. (Adding the bias
# is left out of the count, as is usual: it is one addition among dozens of products.)
#
# With `f = 2` kernels there are twice as many of both: 10 parameters and 32 multiply-adds.
#
# ## Count it, naively
#
# So as not to believe formulas, let us count one by one: each place, each kernel, each product.


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
    "products an image",
)

# %% [markdown]
# For one layer and one image that loop turned 627,200 times, as often as if it had computed
# something. It is easier to count with formulas. They are yours to find.
#
# ## Exercise 1: what a convolution costs
#
# A `Conv2D` with `f` kernels of `kh` x `kw` and `padding="same"`, on an image of `h` x `w` with `c`
# channels. With "same" padding the output is as high and wide as the image.


# %% tags=["exercise"]
def conv_costs(h, w, c, kh, kw, f):
    """(parameters, multiply-adds for one image) of a convolution; two integers,
    without loops."""
    # solution
    products = kh * kw * c  # for one number of the output
    return products * f + f, h * w * f * products


# %%
check.conv_costs(conv_costs)

# %% [markdown]
# ## Exercise 2: what a dense layer costs


# %% tags=["exercise"]
def dense_costs(inputs, units):
    """(parameters, multiply-adds for one sample) of a dense layer; two
    integers."""
    # solution
    return inputs * units + units, inputs * units


# %%
check.dense_costs(dense_costs)

# %% [markdown]
# ## Exercise 3: predict a summary
#
# Take paper. What would `summary()` print for this network? Mind the odd sizes.
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
    """A list with a pair for each of the six layers: (shape of one output,
    parameters).

    Shapes are tuples, of images (h, w, c), of vectors (size,). The first pair
    is of this form: ((11, 9, 4), number)."""
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
# ## The real one
#
# Now let it be printed, and compare the last column with what Keras 3.15.1 (TensorFlow 2.21) counts
# for the same seven layers:

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
# Two columns are missing in that table: how many numbers each layer *puts out*, and how much it
# *works*. Here they are, the blocks drawn with an area that stands for how many numbers there are.

# %% tags=["cover"]
plots.shape_ribbon(model)

# %% [markdown]
# An image comes in as 784 numbers, is 25,088 after the first convolution, and leaves as 10.
#
# Now the surprise. Look at the pairs of bars: **parameters and work are in different places.** A
# kernel is used at every position of its image, so the second convolution makes 196 times as many
# products as its kernel has numbers (14 x 14 positions). A weight of a dense layer is used exactly
# once an image.
#
# Hence two rules of thumb. To make this network *faster*, look at its convolutions (lesson 15). To
# make its *file smaller*, look at its first dense layer.
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
#
# The files that lie directly in `minicnn/` are the *core*: the formulas of this course in plain
# NumPy, complete, and meant to be read. The same numbers are computed faster by `minicnn/engine/`,
# which is what `fit` runs unless it is told otherwise (lesson 13).
