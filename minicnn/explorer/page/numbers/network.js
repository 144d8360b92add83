"use strict";
/* The network: its description decoded, forward pass, loss, backward pass, steps of training. */

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

function decodeBase64(text) {
  const digits = new Uint8Array(128);
  for (let n = 0; n < 64; n++) digits[BASE64.charCodeAt(n)] = n;
  const bytes = new Uint8Array(Math.floor((text.replace(/=+$/, "").length * 3) / 4));
  for (let from = 0, to = 0; to < bytes.length; from += 4, to += 3) {
    let bits = 0;
    for (let n = 0; n < 4; n++) bits = (bits << 6) | digits[text.charCodeAt(from + n) & 127];
    bytes[to] = bits >> 16;
    bytes[to + 1] = bits >> 8; // writing past the end of a typed array has no effect
    bytes[to + 2] = bits;
  }
  return bytes;
}

function decodeFloats(text) {
  const { buffer } = decodeBase64(text);
  const view = new DataView(buffer);
  return Float32Array.from({ length: buffer.byteLength / 4 }, (_, n) =>
    view.getFloat32(4 * n, true),
  );
}

/* Decodes the weights; a layer's params are then Float32Arrays, in Keras' order. */
function makeNetwork(description) {
  const layers = description.layers.map((layer) => {
    const params = {};
    for (const [key, { data }] of Object.entries(layer.params)) params[key] = decodeFloats(data);
    return { ...layer, params, shapes: shapesOf(layer.params) };
  });
  return { ...description, layers };
}

function shapesOf(params) {
  return Object.fromEntries(Object.entries(params).map(([key, { shape }]) => [key, shape]));
}

function sizeOf(shape) {
  return shape.reduce((a, b) => a * b, 1);
}

function decodeImages({ count, type, data }) {
  const bytes = type === "uint8" ? decodeBase64(data) : null;
  const all = bytes ? Float32Array.from(bytes, (byte) => byte / 255) : decodeFloats(data);
  const size = all.length / count;
  return Array.from({ length: count }, (_, n) => all.subarray(n * size, (n + 1) * size));
}

/* activations[0] is the image, activations[n + 1] the output of layer n. The loss is computed from
   logits: with a softmax at the end, these are what goes into it. */
function forwardPass(network, image) {
  const activations = [image];
  const winners = [];
  for (const layer of network.layers) {
    const { y, winner } = LAYERS[layer.type].forward(layer, activations.at(-1));
    activations.push(y);
    winners.push(winner);
  }
  const logits = logitsOf(network, activations);
  return { activations, winners, logits, probabilities: softmax(logits) };
}

function logitsOf(network, activations) {
  const last = network.layers.at(-1);
  if (!network.endsInSoftmax) return activations.at(-1);
  return last.type === "Dense" ? multiply(last, activations.at(-2)) : activations.at(-2);
}

/* loss = log(sum_j exp(z_j - m)) - (z_label - m), m = max(z); its gradient: p - onehot(label). */
function crossEntropy(logits, label) {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const exponentials = Float64Array.from(logits, (z) => Math.exp(z - largest));
  const total = exponentials.reduce((a, b) => a + b);
  const dlogits = Float32Array.from(exponentials, (e, j) => e / total - (j === label ? 1 : 0));
  return { loss: Math.log(total) - (logits[label] - largest), dlogits };
}

/* The gradient of the loss for one image. Of each layer: dy, of its output; dz, before its
   activation; dx, of its input, which is dy of the layer before; grads, of its weights. A softmax
   at the end and the loss are differentiated together, so the last dy is the gradient of the
   logits. */
function backwardPass(network, pass, label) {
  const { loss, dlogits } = crossEntropy(pass.logits, label);
  const layers = new Array(network.layers.length);
  let dy = dlogits;
  for (let n = network.layers.length - 1; n >= 0; n--) {
    const layer = network.layers[n];
    const fromLogits = network.endsInSoftmax && n === network.layers.length - 1;
    const passes = LAYERS[layer.type];
    const backward = fromLogits ? passes.backwardFromLogits : passes.backward;
    const values = { x: pass.activations[n], y: pass.activations[n + 1], winner: pass.winners[n] };
    layers[n] = { dy, grads: {}, ...backward(layer, dy, values) };
    dy = layers[n].dx;
  }
  return { loss, layers };
}

/* The trained weights of a network with their gradients: [{ layer, key, weight, gradient }]. */
function trainedWeights(network, backward) {
  return network.layers.flatMap((layer, n) =>
    Object.keys(layer.trainable ? layer.params : {}).map((key) => ({
      layer,
      key,
      weight: layer.params[key],
      gradient: backward.layers[n].grads[key],
    })),
  );
}

/* One optimizer: `update` changes the weights in place. Formulas: minicnn/optimizers.py. */
function makeOptimizer(name, learningRate) {
  const optimizer = { name, learningRate, iterations: 0, slots: [] };
  optimizer.update = (weights) => {
    optimizer.iterations++;
    weights.forEach(({ weight, gradient }, place) => {
      if (name === "sgd") updateBySgd(optimizer, weight, gradient);
      else updateByAdam(optimizer, place, weight, gradient);
    });
  };
  return optimizer;
}

function updateBySgd({ learningRate }, weight, gradient) {
  for (let n = 0; n < weight.length; n++) weight[n] -= learningRate * gradient[n];
}

function updateByAdam(optimizer, place, weight, gradient) {
  const [beta1, beta2, epsilon, t] = [0.9, 0.999, 1e-7, optimizer.iterations];
  const alpha = (optimizer.learningRate * Math.sqrt(1 - beta2 ** t)) / (1 - beta1 ** t);
  const size = weight.length;
  optimizer.slots[place] ??= { m: new Float32Array(size), v: new Float32Array(size) };
  const { m, v } = optimizer.slots[place];
  for (let n = 0; n < size; n++) {
    m[n] += (gradient[n] - m[n]) * (1 - beta1);
    v[n] += (gradient[n] * gradient[n] - v[n]) * (1 - beta2);
    weight[n] -= (m[n] * alpha) / (Math.sqrt(v[n]) + epsilon);
  }
}

/* One step on a mini-batch: the gradient of the mean loss, then the update. Returns that loss. */
function trainStep(network, optimizer, images, labels) {
  let sums = null;
  let loss = 0;
  images.forEach((image, n) => {
    const backward = backwardPass(network, forwardPass(network, image), labels[n]);
    loss += backward.loss / images.length;
    const weights = trainedWeights(network, backward);
    sums ??= weights.map((each) => ({ ...each, gradient: new Float32Array(each.weight.length) }));
    weights.forEach(({ gradient }, place) => {
      const sum = sums[place].gradient;
      for (let at = 0; at < sum.length; at++) sum[at] += gradient[at] / images.length;
    });
  });
  optimizer.update(sums);
  return loss;
}

/* Copies of weights and of the optimizer's state; `restore` writes them back, bit for bit. */
function snapshot(network, optimizer) {
  return {
    weights: network.layers.map(({ params }) =>
      Object.fromEntries(Object.entries(params).map(([key, weight]) => [key, weight.slice()])),
    ),
    iterations: optimizer.iterations,
    slots: optimizer.slots.map(({ m, v }) => ({ m: m.slice(), v: v.slice() })),
  };
}

function restore(network, optimizer, saved) {
  network.layers.forEach(({ params }, n) => {
    for (const [key, weight] of Object.entries(saved.weights[n])) params[key].set(weight);
  });
  optimizer.iterations = saved.iterations;
  optimizer.slots = saved.slots.map(({ m, v }) => ({ m: m.slice(), v: v.slice() }));
}
