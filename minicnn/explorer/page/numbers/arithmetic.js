"use strict";
/* The arithmetic of one cell in the forward pass: the terms that add up to its number.

   A cell is [i, j, f] in an image and [u] in a vector. */

/* Where a cell is in a flat array of that shape, and the reverse. */
function flatIndex(shape, cell) {
  return cell.reduce((at, n, axis) => at * shape[axis] + n, 0);
}

function cellAt(shape, index) {
  const cell = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    cell.unshift(index % shape[axis]);
    index = Math.floor(index / shape[axis]);
  }
  return cell;
}

function sum(numbers) {
  return numbers.reduce((a, b) => a + b, 0);
}

/* A convolution: for each input channel the window, the kernel and their products, row by row.
   Cells of padding are null in `window`, and their products 0. */
function convolutionTerms(layer, x, [i, j, f]) {
  const { geometry, params } = layer;
  const { h, w, kh, kw, sh, sw, top, left } = geometry;
  const channels = layer.inputShape[2];
  const filters = layer.outputShape[2];
  const terms = Array.from({ length: channels }, (_, channel) => {
    const window = [];
    const kernel = [];
    for (let n = 0; n < kh * kw; n++) {
      const row = i * sh - top + Math.floor(n / kw);
      const column = j * sw - left + (n % kw);
      const inside = row >= 0 && row < h && column >= 0 && column < w;
      window.push(inside ? x[(row * w + column) * channels + channel] : null);
      kernel.push(params.kernel[(n * channels + channel) * filters + f]);
    }
    const products = window.map((value, n) => (value === null ? 0 : value * kernel[n]));
    return { channel, window, kernel, products, sum: sum(products) };
  });
  const bias = params.bias ? params.bias[f] : 0;
  return {
    terms,
    bias,
    z: sum(terms.map((term) => term.sum)) + bias,
  };
}

/* A pooling: the candidates of the window in row-major order, the winner, and how many equal it. */
function poolingTerms(layer, x, [i, j, channel]) {
  const { h, w, kh, kw, sh, sw, top, left } = layer.geometry;
  const channels = layer.inputShape[2];
  const candidates = Array.from({ length: kh * kw }, (_, n) => {
    const row = i * sh - top + Math.floor(n / kw);
    const column = j * sw - left + (n % kw);
    const inside = row >= 0 && row < h && column >= 0 && column < w;
    return { row, column, value: inside ? x[(row * w + column) * channels + channel] : null };
  });
  const inside = candidates.filter(({ value }) => value !== null);
  const largest = inside.reduce((best, { value }) => Math.max(best, value), -Infinity);
  const equal = candidates.filter(
    ({ value }) => value !== null && Object.is(value + 0, largest + 0),
  );
  return { candidates, winner: equal[0], ties: equal.length, y: largest };
}

/* A dense unit: input times weight, for every input, the largest contributions first. */
function denseTerms(layer, x, cell) {
  const { kernel, bias } = layer.params;
  const inputs = layer.inputShape.at(-1);
  const units = layer.outputShape.at(-1);
  const unit = cell.at(-1);
  const start = flatIndex([...layer.outputShape.slice(0, -1), inputs], [...cell.slice(0, -1), 0]);
  const terms = Array.from({ length: inputs }, (_, n) => {
    const [value, weight] = [x[start + n], kernel[n * units + unit]];
    return { input: n, value, weight, product: value * weight };
  });
  const bias_ = bias ? bias[unit] : 0;
  const z = sum(terms.map((term) => term.product)) + bias_;
  terms.sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
  return { terms, bias: bias_, z };
}

/* A softmax: the exponential of each score less the largest, and its share of their sum. */
function softmaxTerms(logits) {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const terms = Array.from(logits, (z) => ({ z, exponential: Math.exp(z - largest) }));
  const total = sum(terms.map((term) => term.exponential));
  return { largest, total, terms: terms.map((t) => ({ ...t, share: t.exponential / total })) };
}
