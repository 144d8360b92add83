"""The numeric part of the page, run by the JavaScript engine V8, from Python."""

import json

import numpy as np

from minicnn.activations import ACTIVATIONS, softmax
from minicnn.eager import without_softmax
from minicnn.explorer.description import describe, encoded
from minicnn.explorer.writer import NUMBERS, script
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.step import backward, forward

HARNESS = """
let network = null;
let lastFloats = null;
function packed(arrays) {
  const all = new Float32Array(arrays.reduce((size, array) => size + array.length, 0));
  arrays.reduce((at, array) => (all.set(array, at), at + array.length), 0);
  return all;
}
function passes(text, label) {
  const pass = forwardPass(network, decodeFloats(text));
  const back = backwardPass(network, pass, label);
  const grads = back.layers.flatMap(({ grads }) => Object.values(grads));
  return packed([
    ...pass.activations.slice(1), pass.probabilities, [back.loss],
    ...back.layers.map(({ dx }) => dx), ...grads,
  ]);
}
function prepared(text, height, width, shape) {
  return prepareInk(decodeFloats(text), height, width, shape);
}
function steps(name, rate, texts, labels, count) {
  const optimizer = makeOptimizer(name, rate);
  for (let n = 0; n < count; n++) trainStep(network, optimizer, texts.map(decodeFloats), labels);
  return packed(network.layers.flatMap(({ params }) => Object.values(params)));
}
"""


class Page:
    """The page's numbers for one model; the functions of the page by `call` and `floats`."""

    def __init__(self, engine, model):
        self.engine = engine
        self.load(model)

    def load(self, model):
        """Start again from the weights of the model."""
        self.engine.eval(f"network = makeNetwork({json.dumps(describe(model, 'test'))}); null")

    def floats(self, function, *arguments):
        """The Float32Array that a function of the page returns, in one piece."""
        text = ", ".join(json.dumps(argument) for argument in arguments)
        # The buffer that comes back is V8's own and does not keep the array alive. Without a
        # variable that holds it, V8 may free it before it is copied.
        return np.array(self.engine.eval(f"lastFloats = {function}({text})")).view(np.float32)

    def value(self, expression):
        """Any other value of the page, through JSON."""
        return json.loads(self.engine.eval(f"JSON.stringify({expression})"))

    def passes(self, image, label, like):
        """Results of `core_passes`, computed by the page; `like` gives names and shapes."""
        found = self.floats("passes", encoded(image.astype(np.float32)), int(label))
        sizes = [np.size(array) for array in like.values()]
        assert len(found) == sum(sizes)
        parts = np.split(found, np.cumsum(sizes)[:-1])
        return {
            name: part.reshape(np.shape(array))
            for part, (name, array) in zip(parts, like.items(), strict=True)
        }


def started():
    """V8 with the numeric part of the page, or ImportError."""
    from py_mini_racer import MiniRacer

    engine = MiniRacer()
    engine.eval(script(NUMBERS, "numbers") + HARNESS + "null")
    return engine


def ends_in_softmax(model):
    """Whether the outputs are probabilities."""
    activation = getattr(model.layers[-1], "activation", None)
    return activation == ACTIVATIONS["softmax"]


def core_passes(model, image, label):
    """Outputs, probabilities, loss and gradients of one image, by the core, by name."""
    x, names = image[None], [layer.name for layer in model.layers]
    loss = SparseCategoricalCrossentropy(from_logits=not ends_in_softmax(model))
    layers, loss = without_softmax(model.layers, loss)
    outputs = forward(model.layers, x)[0][1:]
    activations, caches = forward(layers, x)
    losses, dy = loss.losses_and_gradient(np.array([label]), activations[-1])
    gradients = backward(layers, caches, dy)
    dxs = [dx[0] for dx, _ in gradients]
    if len(layers) < len(model.layers):
        dxs.append(dy[0])  # of the layer Softmax, which the loss includes
    return {
        **{f"output of {name}": y[0] for name, y in zip(names, outputs, strict=True)},
        "probabilities": softmax(activations[-1])[0],
        "loss": losses,
        **{f"dx of {name}": dx for name, dx in zip(names, dxs, strict=True)},
        **{
            f"d{key} of {layer.name}": gradient
            for layer, (_, grads) in zip(layers, gradients, strict=True)
            for key, gradient in grads.items()
        },
    }
