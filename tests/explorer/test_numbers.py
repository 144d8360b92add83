"""The numbers of the page, computed by V8, are those of the core."""

import numpy as np
import pytest

from minicnn.datasets import mnist
from minicnn.explorer.description import encoded
from minicnn.layers import Dropout
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import SGD, Adam
from minicnn.tutorial import scaled, tutorial_network
from tests.explorer.javascript import Page, core_passes, ends_in_softmax
from tests.explorer.networks import random_network, with_random_biases
from tests.tolerances import assert_close

OPTIMIZERS = {"sgd": SGD, "adam": Adam}
UPDATES = """
function updates(name, rate, text, gradients) {
  const [optimizer, weight] = [makeOptimizer(name, rate), decodeFloats(text)];
  for (const each of gradients) optimizer.update([{ weight, gradient: decodeFloats(each) }]);
  return weight;
}
"""


def assert_same_passes(page, model, image, label, gradients=True):
    expected = core_passes(model, image, label)
    found = page.passes(image, label, expected)
    for name, array in expected.items():
        if gradients or not name.startswith("d"):
            assert_close(found[name], array, "explorer")


def test_a_hundred_digits(v8, rng):
    model = with_random_biases(tutorial_network(), rng)
    page = Page(v8, model)
    (images, labels), _ = mnist.load_data()
    for n, (image, label) in enumerate(zip(scaled(images[:100]), labels[:100], strict=True)):
        # On blank paper the cells of a window are equal but for rounding, which depends on the
        # processor and decides where the gradient goes: so half of the digits get some noise.
        noise = 0.05 * rng.standard_normal(image.shape, np.float32) * (n % 2)
        assert_same_passes(page, model, image + noise, label, gradients=n % 2 == 1)


@pytest.mark.parametrize("number", range(30))
def test_a_random_network(v8, number):
    model, rng = random_network(number)
    model.layers[0].trainable = number % 4 > 0  # else the steps leave it alone
    page = Page(v8, model)
    images = rng.normal(size=(4, *model.input_shape)).astype(np.float32)
    labels = rng.integers(0, model.output_shape[0], 4)
    for image, label in zip(images, labels, strict=True):
        assert_same_passes(page, model, image, label)
    for name, optimizer in OPTIMIZERS.items():
        assert_same_steps(page, model, name, optimizer(0.01), images, labels)


def assert_same_steps(page, model, name, optimizer, images, labels, steps=1):
    """Steps on a mini-batch, then the weights of both; the model gets its own weights back."""
    before = model.get_weights()
    page.load(model)
    texts = [encoded(image) for image in images]
    found = page.floats("steps", name, optimizer.learning_rate, texts, labels.tolist(), steps)
    from_logits = not ends_in_softmax(model)
    for layer in model.layers:
        if isinstance(layer, Dropout):
            layer.rate = 0.0  # the page never drops anything, and says so
    model.compile(optimizer, SparseCategoricalCrossentropy(from_logits), run_eagerly=True)
    for _ in range(steps):
        model.train_on_batch(images, labels)
    parts = np.split(found, np.cumsum([weight.size for weight in before])[:-1])
    # Adam divides a gradient by its own size: where it is close to zero, rounding errors of the
    # gradient are as large as it is.
    tolerance = "explorer" if name == "sgd" else "float32 steps"
    for part, weight in zip(parts, model.get_weights(), strict=True):
        assert_close(part.reshape(weight.shape), weight, tolerance)
    model.set_weights(before)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_by_the_same_gradients(v8, rng, name):
    """Five updates each, by gradients of very different sizes, some of them zero."""
    optimizer, weight = OPTIMIZERS[name](0.02), rng.normal(size=400).astype(np.float32)
    gradients = rng.normal(size=(5, 400)) * 10.0 ** rng.integers(-9, 2, 400)
    gradients = (gradients * (rng.random((5, 400)) < 0.8)).astype(np.float32)
    page = Page(v8, tutorial_network())
    v8.eval(UPDATES + "null")
    found = page.floats("updates", name, 0.02, encoded(weight), [encoded(g) for g in gradients])
    for gradient in gradients:
        optimizer.apply([gradient], [weight])
    assert_close(found, weight, "explorer")
