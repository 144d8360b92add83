# %% [markdown]
# # 14 · When does it learn by heart?
#
# *10 minutes · needs lesson 13*
#
# **You will build** `dropout_forward(x, rate, rng)`, `shifted(images, down, across)` and `stopping_epoch(losses, patience)`; and measure
# which remedies against *overfitting* help on a small training set, and which does not.

# %%
import numpy as np

from checks import check_14 as check
from minicnn import plots
from minicnn.datasets import mnist
from minicnn.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D

# %% [markdown]
# ## Two numbers that part
#
# A network with 60,000 digits to learn from has little choice but to learn what digits look like. One with 300 has another way: to
# remember these 300. It is called **overfitting**, and the training loss does not show it. What does is a **validation set**: samples
# that the network never learns from. Here: 300 digits to train with, 2,000 to validate with; the test set stays locked away until the end.

# %%
(x, y), (x_test, y_test) = mnist.load_data()


def as_images(digits):
    """Digits (n, 28, 28) as (n, 28, 28, 1) in single precision, from 0 to 1."""
    return (digits[..., None] / 255).astype("float32")


train, train_labels = as_images(x[:300]), y[:300]
validation = as_images(x[50_000:52_000]), y[50_000:52_000]

# %% [markdown]
# The network is that of lesson 1 with fewer filters. The first call compiles minicnn's engine, if it has not been used before, and says so.
#
# **Guess before you run:** after 30 epochs, what share of its 300 training digits does the network get right? And of the new ones?

# %% tags=["varies"]
import minicnn
import minicnn.keras


def network(seed, dropout=0.0, l2=0.0):
    """A small convolutional network, compiled."""
    minicnn.set_random_seed(seed)
    options = {"activation": "relu"}
    if l2:
        options["kernel_regularizer"] = minicnn.keras.regularizers.L2(l2)
    layers = [Input((28, 28, 1))]
    for filters in (8, 16):
        layers += [Conv2D(filters, 5, padding="same", **options), MaxPooling2D(2)]
    layers += [Flatten(), Dropout(dropout), Dense(64, **options), Dropout(dropout)]
    model = minicnn.Sequential([*layers, Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


model = network(seed=0)
history = model.fit(
    train, train_labels, epochs=30, validation_data=validation, verbose=0
).history
for epoch in (1, 10, 30):
    row = {key: round(values[epoch - 1], 3) for key, values in history.items()}
    print(f"epoch {epoch}: {row}")
assert history["accuracy"][-1] > 0.99
assert 0.75 < history["val_accuracy"][-1] < 0.93

# %% tags=["cover", "fold"]
figure = plots.new_figure(3.8)
epochs = range(1, 31)
for axes, key, label in zip(
    figure.subplots(1, 2), ("loss", "accuracy"), ("loss", "share right"), strict=True
):
    axes.plot(epochs, history[key], color=plots.ORANGE, label="300 training digits")
    axes.plot(epochs, history[f"val_{key}"], color=plots.BLUE, label="2,000 new digits")
    axes.set(xlabel="epoch", ylabel=label)
    axes.legend(frameon=False)
best = int(np.argmin(history["val_loss"]))
figure.axes[0].plot(best + 1, history["val_loss"][best], "o", color=plots.BLUE)
figure

# %% [markdown]
# The training loss goes on falling towards 0. The validation loss falls, reaches its lowest value (the dot), and *rises* again: the
# network becomes surer of its mistakes. From there on it learns by heart.

# %% tags=["varies"]
lowest, last = min(history["val_loss"]), history["val_loss"][-1]
print(f"validation loss: lowest {lowest:.2f}, at the end {last:.2f}")
assert last > 1.05 * lowest
assert history["loss"][-1] < 0.1 * lowest

# %% [markdown]
# ## Exercise 1: stop in time
#
# **Early stopping** looks at the validation loss after each epoch, and stops when it has not been below its lowest value so far for
# `patience` epochs in a row. Which epoch is the last one? (Epochs count from 1; if it never stops, the last one there is.)


# %% tags=["exercise"]
def stopping_epoch(losses, patience):
    """The number of the last epoch of training; losses has one number each."""
    # solution
    lowest, since = np.inf, 0
    for epoch, loss in enumerate(losses, start=1):
        if loss < lowest:
            lowest, since = loss, 0
        else:
            since += 1
        if since >= patience:
            return epoch
    return len(losses)


# %%
check.stopping_epoch(stopping_epoch)

# %% [markdown]
# <details><summary>Hint 1</summary>Two variables: the lowest loss so far, and for how many epochs there has been no lower one.</details>
# <details><summary>Hint 2</summary>An equal loss is not a lower one.</details>
#
# `minicnn.callbacks.EarlyStopping` does this in `fit`. It limits the damage; it does not help the network to learn more.
#
# ## Exercise 2: dropout
#
# **Dropout** sets each number to zero with the probability `rate`, anew in every step, so that no unit can rely on another one being
# there. Numbers that stay are divided by $1 - rate$: then the *mean* of each is what it was, and in inference, where nothing is dropped,
# the layers after it see the same scale.
#
# A tiny example: of 1, 2, 3, 4 with a rate of 0.5, the second and third are dropped, and 2, 0, 0, 8 are left.
# Draw the random numbers by `rng.random(x.shape)`, once, and keep a number where the draw is at least `rate`. Return the mask too: the
# backward pass multiplies by it.


# %% tags=["exercise"]
def dropout_forward(x, rate, rng):
    """x of any shape, 0 <= rate < 1: the tuple of y and the mask, which is
    0 or 1 / (1 - rate), with y = x * mask.
    """
    # solution
    mask = (rng.random(x.shape) >= rate) / (1 - rate)
    return x * mask, mask


# %%
check.dropout_forward(dropout_forward)

# %% [markdown]
# <details><summary>Hint 1</summary>A comparison of arrays gives truth values, which count as 0 and 1.</details>
# <details><summary>Hint 2</summary>One draw for each number of <code>x</code>, samples included.</details>
#
# ## Exercise 3: more data out of the same data
#
# **Data augmentation** shows the network changed copies that keep their label: a digit that has moved by two pixels is still the same
# digit. Move all images down by `down` pixels and to the right by `across`; negative numbers move up and left. What leaves the image is
# lost, what comes in is paper, 0.


# %% tags=["exercise"]
def shifted(images, down, across):
    """Images (n, h, w, c): the same images moved, of the same shape."""
    # solution
    moved = np.zeros_like(images)
    _, h, w, _ = images.shape
    rows, columns = h - abs(down), w - abs(across)
    to = max(down, 0), max(across, 0)
    start = max(-down, 0), max(-across, 0)
    moved[:, to[0] : to[0] + rows, to[1] : to[1] + columns] = images[
        :, start[0] : start[0] + rows, start[1] : start[1] + columns
    ]
    return moved


# %%
check.shifted(shifted)

# %% [markdown]
# <details><summary>Hint 1</summary>Begin with an array of zeros, and copy a rectangle into it.</details>
# <details><summary>Hint 2</summary>Moving down by 2 copies rows 0 to h - 3 to rows 2 to h - 1.</details>
# <details><summary>Hint 3</summary><code>max(down, 0)</code> is where the copy begins, <code>max(-down, 0)</code> where it is taken from.</details>
#
# ## What helps?
#
# A third remedy changes the loss: **weight decay** adds $strength \cdot \sum w^2$ over all kernels, which makes large weights expensive
# (*L2 regularization*). Each remedy is trained from three first seeds; one number alone could be chance.
#
# **Guess before you run:** which of the four gains most?

# %%
shift = check.shift_images  # exercise 3's
copies = [shift(train, d, a) for d in (-2, 0, 2) for a in (-2, 0, 2)]
nine_times = np.concatenate(copies), np.tile(train_labels, 9)
once = train, train_labels
remedies = {
    "nothing": ({}, once, 30),
    "weight decay": ({"l2": 1e-3}, once, 30),
    "dropout": ({"dropout": 0.5}, once, 30),
    "shifted copies": ({}, nine_times, 4),
    "both": ({"dropout": 0.5}, nine_times, 8),
}
results = {}
for name, (options, (images, labels), epochs) in remedies.items():
    models = [network(seed, **options) for seed in range(3)]
    for each in models:
        each.fit(images, labels, epochs=epochs, verbose=0)
    scores = [each.evaluate(*validation, verbose=0)[1] for each in models]
    results[name] = np.array(scores), models

# %% tags=["varies"]
for name, (scores, _) in results.items():
    print(f"{name:15} {scores.mean():.1%}  (three seeds: {np.round(scores, 3)})")

# %% tags=["fold"]
figure = plots.new_figure(3)
axes = figure.subplots()
for place, (scores, _) in enumerate(results.values()):
    axes.barh(place, 1 - scores.mean(), color=plots.SKY)
    axes.plot(1 - scores, [place] * 3, "o", color=plots.BLUE)
axes.set_yticks(range(5), list(results))
axes.invert_yaxis()
axes.set(xlabel="share wrong of 2,000 new digits; dots are seeds")
figure

# %% [markdown]
# Dropout and shifted copies help, and they help *together*. Weight decay of this strength changes nothing that three seeds could show:
# the differences are smaller than those between seeds. (It would be a mistake to call the better of two such numbers a success.)

# %%
means = {name: scores.mean() for name, (scores, _) in results.items()}
spread = results["nothing"][0].std(ddof=1)
assert means["both"] > means["nothing"] + 0.04
assert means["dropout"] > means["nothing"] + 0.01
assert means["shifted copies"] > means["nothing"] + 0.01
assert abs(means["weight decay"] - means["nothing"]) < max(0.02, 3 * spread)

# %% [markdown]
# ## Challenge
#
# Weight decay by hand. The loss becomes $L + strength \cdot \sum w^2$, summed over the arrays of `weights`. What is added to the gradient of
# each weight?


# %% tags=["exercise", "challenge"]
def with_penalty(loss, gradients, weights, strength):
    """The new loss, and the list of the new gradients; change no argument."""
    # solution
    penalty = strength * sum((weight**2).sum() for weight in weights)
    pairs = zip(gradients, weights, strict=True)
    return loss + penalty, [g + 2 * strength * weight for g, weight in pairs]


# %%
check.with_penalty(with_penalty)

# %% [markdown]
# <details><summary>Hint 1</summary>The derivative of $w^2$, from school.</details>
# <details><summary>Hint 2</summary>Each weight appears in one term of the sum only.</details>
# <details><summary>Hint 3</summary>Make new arrays: <code>gradient += ...</code> would change an argument.</details>
#
# ## The fact
#
# The choice was made on the validation set. Now, once, the test set, with a network of the best remedy:

# %% tags=["varies"]
test = as_images(x_test), y_test
plain = results["nothing"][1][0].evaluate(*test, verbose=0)[1]
chosen = results["both"][1][0].evaluate(*test, verbose=0)[1]
print(f"test accuracy: {plain:.1%} without a remedy, {chosen:.1%} with both")
assert chosen > plain + 0.03

# %% [markdown]
# > **300 digits, learned by heart, make a network that is right for all of them and for five of six new ones. With dropout and shifted
# > copies of the same 300 digits, its errors on new ones fall by a third to a half.**

# %%
assert (1 - chosen) / (1 - plain) < 0.75

# %% [markdown]
# ## In minicnn
#
# - `Dropout` in [minicnn/layers.py](../minicnn/layers.py): your `dropout_forward`, as a layer.
# - `EarlyStopping` in [minicnn/callbacks/monitors.py](../minicnn/callbacks/monitors.py): your `stopping_epoch`, for `fit`.
