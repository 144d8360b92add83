"use strict";
/* The layers, forward and backward, for one image: what minicnn/layers.py computes for a batch.

   Arrays are flat Float32Arrays in the order h, w, c. Sums are accumulated in double precision and
   rounded once. A layer is a plain object from the description that Python writes: type, shapes,
   geometry, activation, params.

     forward(layer, x)          -> { y, winner }   winner: of pooling, which cell of each window
     backward(layer, dy, pass)  -> { dx, dz, grads }   pass: { x, y, winner }                    */

const ACTIVATIONS = {
  linear: { forward: (z) => z, backward: (dy) => dy },
  relu: {
    forward: (z) => z.map((value) => Math.max(value, 0)),
    backward: (dy, y) => dy.map((value, at) => (y[at] > 0 ? value : 0)),
  },
  softmax: { forward: softmax, backward: softmaxBackward },
};

/* exp(z) / sum(exp(z)) over the last axis, of `length`; the largest z is subtracted first. */
function softmax(z, length = z.length) {
  const y = new Float32Array(z.length);
  for (let start = 0; start < z.length; start += length) {
    const row = z.subarray(start, start + length);
    const largest = row.reduce((a, b) => Math.max(a, b));
    const exponentials = Float64Array.from(row, (value) => Math.exp(value - largest));
    const total = exponentials.reduce((a, b) => a + b);
    y.set(
      exponentials.map((value) => value / total),
      start,
    );
  }
  return y;
}

/* dz_i = y_i (dy_i - sum_j dy_j y_j). */
function softmaxBackward(dy, y, length = y.length) {
  const dz = new Float32Array(y.length);
  for (let start = 0; start < y.length; start += length) {
    let mean = 0;
    for (let at = start; at < start + length; at++) mean += dy[at] * y[at];
    for (let at = start; at < start + length; at++) dz[at] = y[at] * (dy[at] - mean);
  }
  return dz;
}

function activate(layer, z) {
  return ACTIVATIONS[layer.activation].forward(z, layer.outputShape.at(-1));
}

function activateBackward(layer, dy, y) {
  return ACTIVATIONS[layer.activation].backward(dy, y, layer.outputShape.at(-1));
}

/* Calls visit(inputIndex, windowIndex) for the cells of window (i, j) that lie inside the image;
   indices count cells, not channels. */
function visitWindow(geometry, i, j, visit) {
  const { h, w, kh, kw, sh, sw, top, left } = geometry;
  for (let ki = Math.max(0, top - i * sh); ki < Math.min(kh, h + top - i * sh); ki++) {
    for (let kj = Math.max(0, left - j * sw); kj < Math.min(kw, w + left - j * sw); kj++) {
      visit((i * sh + ki - top) * w + j * sw + kj - left, ki * kw + kj);
    }
  }
}

/* z = bias + sum over the window and the channels of x * kernel. */
function convolve(layer, x) {
  const { geometry, params } = layer;
  const channels = layer.inputShape[2];
  const filters = layer.outputShape[2];
  const z = new Float32Array(geometry.oh * geometry.ow * filters);
  const sums = new Float64Array(filters);
  const values = new Float64Array(geometry.kh * geometry.kw * channels); // of x in one window
  const places = new Int32Array(values.length); // where their weights begin
  for (let i = 0; i < geometry.oh; i++) {
    for (let j = 0; j < geometry.ow; j++) {
      let count = 0;
      visitWindow(geometry, i, j, (cell, inWindow) => {
        for (let c = 0; c < channels; c++) {
          const value = x[cell * channels + c];
          if (value === 0) continue; // after ReLU, zeros are the rule
          values[count] = value;
          places[count++] = (inWindow * channels + c) * filters;
        }
      });
      startFromBias(sums, params.bias);
      addProducts(sums, params.kernel, values, places, count);
      z.set(sums, (i * geometry.ow + j) * filters);
    }
  }
  return z;
}

function startFromBias(sums, bias) {
  if (bias) sums.set(bias);
  else sums.fill(0);
}

/* sums[f] += values[n] * kernel[places[n] + f]; four values at a time, which is twice as fast. */
function addProducts(sums, kernel, values, places, count) {
  let n = 0;
  for (; n + 3 < count; n += 4) {
    const [v0, v1, v2, v3] = [values[n], values[n + 1], values[n + 2], values[n + 3]];
    const [p0, p1, p2, p3] = [places[n], places[n + 1], places[n + 2], places[n + 3]];
    for (let f = 0; f < sums.length; f++) {
      sums[f] +=
        v0 * kernel[p0 + f] + v1 * kernel[p1 + f] + v2 * kernel[p2 + f] + v3 * kernel[p3 + f];
    }
  }
  for (; n < count; n++) {
    for (let f = 0; f < sums.length; f++) sums[f] += values[n] * kernel[places[n] + f];
  }
}

/* Each product x * kernel gives x the gradient dz * kernel, and the kernel dz * x. */
function convolveBackward(layer, dz, x) {
  const { geometry, params } = layer;
  const { kernel, bias } = params;
  const channels = layer.inputShape[2];
  const filters = layer.outputShape[2];
  const dx = new Float64Array(x.length);
  const dkernel = new Float64Array(kernel.length);
  const dbias = new Float64Array(filters);
  const active = new Int32Array(filters); // the filters with a gradient at one position
  const values = new Float64Array(filters); // and those gradients
  for (let i = 0; i < geometry.oh; i++) {
    for (let j = 0; j < geometry.ow; j++) {
      let count = 0;
      for (let f = 0; f < filters; f++) {
        const value = dz[(i * geometry.ow + j) * filters + f];
        if (value === 0) continue;
        dbias[f] += value;
        active[count] = f;
        values[count++] = value;
      }
      if (count === 0) continue;
      visitWindow(geometry, i, j, (cell, inWindow) => {
        for (let c = 0; c < channels; c++) {
          const at = (inWindow * channels + c) * filters;
          const value = x[cell * channels + c];
          let sum = 0;
          for (let n = 0; n < count; n++) {
            const weight = at + active[n];
            sum += values[n] * kernel[weight];
            dkernel[weight] += values[n] * value;
          }
          dx[cell * channels + c] += sum;
        }
      });
    }
  }
  return { dx: Float32Array.from(dx), grads: gradients(dkernel, bias && dbias) };
}

function gradients(dkernel, dbias) {
  const grads = { kernel: Float32Array.from(dkernel) };
  if (dbias) grads.bias = Float32Array.from(dbias);
  return grads;
}

/* Every row of x, along its last axis, times the kernel (inputs, units). */
function multiply(layer, x) {
  const { kernel, bias } = layer.params;
  const inputs = layer.inputShape.at(-1);
  const units = layer.outputShape.at(-1);
  const z = new Float32Array((x.length / inputs) * units);
  const sums = new Float64Array(units);
  for (let row = 0; row < x.length / inputs; row++) {
    startFromBias(sums, bias);
    for (let n = 0; n < inputs; n++) {
      const value = x[row * inputs + n];
      if (value === 0) continue;
      for (let u = 0; u < units; u++) sums[u] += value * kernel[n * units + u];
    }
    z.set(sums, row * units);
  }
  return z;
}

function multiplyBackward(layer, dz, x) {
  const { kernel, bias } = layer.params;
  const inputs = layer.inputShape.at(-1);
  const units = layer.outputShape.at(-1);
  const dx = new Float32Array(x.length);
  const dkernel = new Float64Array(kernel.length);
  const dbias = new Float64Array(units);
  for (let row = 0; row < x.length / inputs; row++) {
    for (let u = 0; u < units; u++) dbias[u] += dz[row * units + u];
    for (let n = 0; n < inputs; n++) {
      const value = x[row * inputs + n];
      let sum = 0;
      for (let u = 0; u < units; u++) {
        const gradient = dz[row * units + u];
        sum += gradient * kernel[n * units + u];
        dkernel[n * units + u] += gradient * value;
      }
      dx[row * inputs + n] = sum;
    }
  }
  return { dx, grads: gradients(dkernel, bias && dbias) };
}

/* The largest value of each window, and which cell of the window it was: of equal ones the first
   in row-major order, as in TensorFlow. Cells of padding never win. */
function pool(layer, x) {
  const { geometry } = layer;
  const channels = layer.inputShape[2];
  const y = new Float32Array(geometry.oh * geometry.ow * channels).fill(-Infinity);
  const winner = new Int32Array(y.length).fill(-1);
  for (let i = 0; i < geometry.oh; i++) {
    for (let j = 0; j < geometry.ow; j++) {
      const start = (i * geometry.ow + j) * channels;
      visitWindow(geometry, i, j, (cell, inWindow) => {
        for (let c = 0; c < channels; c++) {
          const value = x[cell * channels + c];
          const best = y[start + c];
          const better = value > best || (Number.isNaN(value) && !Number.isNaN(best));
          if (winner[start + c] < 0 || better) {
            y[start + c] = value;
            winner[start + c] = inWindow;
          }
        }
      });
    }
  }
  return { y, winner };
}

function poolBackward(layer, dy, winner) {
  const { geometry } = layer;
  const channels = layer.inputShape[2];
  const dx = new Float64Array(geometry.h * geometry.w * channels);
  for (let i = 0; i < geometry.oh; i++) {
    for (let j = 0; j < geometry.ow; j++) {
      const start = (i * geometry.ow + j) * channels;
      visitWindow(geometry, i, j, (cell, inWindow) => {
        for (let c = 0; c < channels; c++) {
          if (winner[start + c] === inWindow) dx[cell * channels + c] += dy[start + c];
        }
      });
    }
  }
  return Float32Array.from(dx);
}

/* The passes of each type of layer, by its name in Keras. */
const LAYERS = {
  Conv2D: kernelLayer(convolve, convolveBackward),
  Dense: kernelLayer(multiply, multiplyBackward),
  MaxPooling2D: {
    forward: pool,
    backward: (layer, dy, { winner }) => ({ dx: poolBackward(layer, dy, winner), dz: dy }),
  },
  ReLU: activationLayer(),
  Softmax: activationLayer(),
  Activation: activationLayer(),
  Flatten: unchanged(),
  Dropout: unchanged(), // it acts on training batches only: minicnn sets inputs to 0 there
};

function kernelLayer(linear, linearBackward) {
  return {
    forward: (layer, x) => ({ y: activate(layer, linear(layer, x)) }),
    backward(layer, dy, { x, y }) {
      const dz = activateBackward(layer, dy, y);
      return { dz, ...linearBackward(layer, dz, x) };
    },
    /* Where dz is known already: see backwardPass. */
    backwardFromLogits: (layer, dz, { x }) => ({ dz, ...linearBackward(layer, dz, x) }),
  };
}

function activationLayer() {
  return {
    forward: (layer, x) => ({ y: activate(layer, x) }),
    backward(layer, dy, { y }) {
      const dx = activateBackward(layer, dy, y);
      return { dx, dz: dx };
    },
    backwardFromLogits: (layer, dz) => ({ dx: dz, dz }),
  };
}

function unchanged() {
  return { forward: (layer, x) => ({ y: x }), backward: (layer, dy) => ({ dx: dy, dz: dy }) };
}
