"use strict";
/* The backward pass of one cell: the contributions that add up to its gradient dx. */

/* A convolution stamps its kernel, times dz, onto the image, once for each position. These are the
   stamps that cover cell [row, column, channel], in the order of their positions:
   { i, j, at: the kernel's cell that meets it, filters: [{ filter, dz, weight, product }], sum } */
function convolutionMessages(layer, dz, [row, column, channel]) {
  const { geometry, params } = layer;
  const { kw } = geometry;
  const channels = layer.inputShape[2];
  const filters = layer.outputShape[2];
  return positionsOver(geometry, row, column).map(({ i, j, ki, kj }) => {
    const products = Array.from({ length: filters }, (_, filter) => {
      const gradient = dz[(i * geometry.ow + j) * filters + filter];
      const weight = params.kernel[((ki * kw + kj) * channels + channel) * filters + filter];
      return { filter, dz: gradient, weight, product: gradient * weight };
    });
    return { i, j, at: [ki, kj], filters: products, sum: sum(products.map((p) => p.product)) };
  });
}

/* What the stamp of position (i, j) adds to one channel of the image: kh*kw numbers. */
function stampOf(layer, dz, i, j, channel) {
  const { geometry, params } = layer;
  const channels = layer.inputShape[2];
  const filters = layer.outputShape[2];
  return Array.from({ length: geometry.kh * geometry.kw }, (_, n) => {
    let total = 0;
    for (let f = 0; f < filters; f++) {
      const weight = params.kernel[(n * channels + channel) * filters + f];
      total += dz[(i * geometry.ow + j) * filters + f] * weight;
    }
    return total;
  });
}

/* The windows of a pooling that cover a cell, and what each passes on to it: all of its dy if the
   cell was its largest, nothing otherwise. */
function poolingMessages(layer, dy, winner, [row, column, channel]) {
  const { geometry } = layer;
  const { kw, sh, sw, top, left } = geometry;
  const channels = layer.inputShape[2];
  return positionsOver(geometry, row, column).map(({ i, j, ki, kj }) => {
    const at = (i * geometry.ow + j) * channels + channel;
    const wins = winner[at] === ki * kw + kj;
    return {
      i,
      j,
      wins,
      dy: dy[at],
      sum: wins ? dy[at] : 0,
      winner: [i * sh - top + Math.floor(winner[at] / kw), j * sw - left + (winner[at] % kw)],
    };
  });
}

/* A dense input passes to every unit: dz of the unit times the weight between them. */
function denseMessages(layer, dz, cell) {
  const { kernel } = layer.params;
  const units = layer.outputShape.at(-1);
  const input = cell.at(-1);
  const start = flatIndex(layer.outputShape, [...cell.slice(0, -1), 0]);
  const terms = Array.from({ length: units }, (_, unit) => {
    const [gradient, weight] = [dz[start + unit], kernel[input * units + unit]];
    return { unit, dz: gradient, weight, product: gradient * weight };
  });
  return terms.sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
}

/* Positions (i, j) whose window covers a cell, and which cell of the window that is. */
function positionsOver({ kh, kw, sh, sw, top, left, oh, ow }, row, column) {
  const found = [];
  for (let i = 0; i < oh; i++) {
    const ki = row + top - i * sh;
    if (ki < 0 || ki >= kh) continue;
    for (let j = 0; j < ow; j++) {
      const kj = column + left - j * sw;
      if (kj >= 0 && kj < kw) found.push({ i, j, ki, kj });
    }
  }
  return found;
}
