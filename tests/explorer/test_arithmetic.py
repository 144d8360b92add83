"""The arithmetic that the page shows for a cell adds up to the cell, forward and backward."""

import numpy as np
import pytest

from minicnn.datasets import mnist
from minicnn.explorer.description import encoded
from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from minicnn.model import Sequential
from minicnn.tutorial import scaled, tutorial_network
from tests.explorer.javascript import Page
from tests.explorer.networks import random_network, with_random_biases
from tests.tolerances import assert_close

# For some cells of each layer: what the page shows, and the number that it should add up to.
SHOWN = """
function shownCells(text, label, seeds) {
  const pass = forwardPass(network, decodeFloats(text));
  const back = backwardPass(network, pass, label);
  return network.layers.map((layer, n) => {
    const [x, y] = [pass.activations[n], pass.activations[n + 1]];
    const [dz, dx, winner] = [back.layers[n].dz, back.layers[n].dx, pass.winners[n]];
    const forward = {
      Conv2D: (cell) => convolutionTerms(layer, x, cell).z,
      Dense: (cell) => denseTerms(layer, x, cell).z,
      MaxPooling2D: (cell) => poolingTerms(layer, x, cell).winner.value,
    }[layer.type];
    const messages = {
      Conv2D: (cell) => convolutionMessages(layer, dz, cell).map((message) => message.sum),
      Dense: (cell) => denseMessages(layer, dz, cell).map((message) => message.product),
      MaxPooling2D: (cell) => poolingMessages(layer, dz, winner, cell).map((each) => each.sum),
    }[layer.type];
    if (!forward) return null;
    const z = { Conv2D: convolve, Dense: multiply }[layer.type]?.(layer, x) ?? y;
    const pick = (shape, seed) => cellAt(shape, Math.floor(seed * sizeOf(shape)));
    const forwardCells = seeds.map((seed) => pick(layer.outputShape, seed));
    const backwardCells = seeds.map((seed) => pick(layer.inputShape, seed));
    return {
      type: layer.type,
      forward: forwardCells.map((cell) => [forward(cell), z[flatIndex(layer.outputShape, cell)]]),
      backward: backwardCells.map((cell) => [
        sum(messages(cell)), dx[flatIndex(layer.inputShape, cell)],
      ]),
    };
  }).filter((shown) => shown !== null);
}
"""


def assert_adds_up(page, image, label, rng):
    page.engine.eval(SHOWN + "null")
    seeds = rng.random(25).tolist()
    call = f"shownCells({encoded(image)!r}, {label}, {seeds})"
    shown = page.value(call)
    assert shown
    for layer in shown:
        for way in ("forward", "backward"):
            added_up, cells = np.array(layer[way]).T
            assert_close(added_up, cells, "explorer")
    return {layer["type"] for layer in shown}


def test_the_tutorials_network(v8, rng):
    page = Page(v8, with_random_biases(tutorial_network(), rng))
    (images, labels), _ = mnist.load_data()
    types = assert_adds_up(page, scaled(images[:1])[0], labels[0], rng)
    assert types == {"Conv2D", "MaxPooling2D", "Dense"}


@pytest.mark.parametrize("number", range(10))
def test_random_networks(v8, number):
    model, rng = random_network(number)
    image = rng.normal(size=model.input_shape).astype(np.float32)
    assert_adds_up(Page(v8, model), image, 1, rng)


@pytest.fixture
def tiny(v8):
    """A convolution of 3 x 3 with padding, a pooling, and a dense layer, with weights by hand."""
    layers = [Conv2D(1, 3, padding="same"), MaxPooling2D(), Flatten(), Dense(2)]
    model = Sequential([Input((4, 4, 1)), *layers])
    kernel = np.arange(9.0).reshape(3, 3, 1, 1)
    model.set_weights([kernel, np.array([10.0]), np.ones((4, 2)), np.zeros(2)])
    return Page(v8, model)


IMAGE = np.arange(16, dtype=np.float32).reshape(4, 4, 1)


def test_terms_of_a_cell_at_the_border(tiny):
    """Cells outside of the image are shown as padding, and their products are 0."""
    found = tiny.value(
        f"convolutionTerms(network.layers[0], decodeFloats('{encoded(IMAGE)}'), [0, 0, 0])"
    )
    (term,) = found["terms"]
    assert term["window"] == [None, None, None, None, 0, 1, None, 4, 5]
    assert term["kernel"] == list(range(9))
    assert term["products"] == [0, 0, 0, 0, 0, 5, 0, 28, 40]
    assert (term["sum"], found["bias"], found["z"]) == (73, 10, 83)


def test_ties_of_a_pooling(tiny):
    """Of equal candidates the first in row-major order wins, and their number is known."""
    image = np.array([[1, 7, 0, 0], [7, 2, 0, 0], [3, 3, 1, 2], [3, 3, 3, 4]], np.float32)
    terms = f"poolingTerms(network.layers[1], decodeFloats('{encoded(image)}'), [{{}}, {{}}, 0])"
    found = [[tiny.value(terms.format(i, j)) for j in (0, 1)] for i in (0, 1)]
    assert [[each["ties"] for each in row] for row in found] == [[2, 4], [4, 1]]
    winners = [[(each["winner"]["row"], each["winner"]["column"]) for each in row] for row in found]
    assert winners == [[(0, 1), (0, 2)], [(2, 0), (3, 3)]]
    assert found[0][0]["y"] == 7


def test_messages_name_their_position_and_weight(tiny):
    """Cell (1, 2) lies in nine windows; the one at (0, 1) sees it with its last kernel row."""
    dz = np.arange(16, dtype=np.float32)
    found = tiny.value(
        f"convolutionMessages(network.layers[0], decodeFloats('{encoded(dz)}'), [1, 2, 0])"
    )
    assert [(each["i"], each["j"]) for each in found] == [
        (i, j) for i in (0, 1, 2) for j in (1, 2, 3)
    ]
    first = found[0]
    assert first["at"] == [2, 2]
    assert first["filters"] == [{"filter": 0, "dz": 1, "weight": 8, "product": 8}]
    assert sum(each["sum"] for each in found) == sum(
        dz[4 * i + j] * (3 * (2 - i) + 3 - j) for i in (0, 1, 2) for j in (1, 2, 3)
    )


def test_softmax_shares(tiny):
    found = tiny.value("softmaxTerms([1000, 1000, 999])")
    assert_close(
        [term["share"] for term in found["terms"]], [0.4223188, 0.4223188, 0.1553624], "explorer"
    )
    assert found["largest"] == 1000
