"use strict";
/* Backward through a window: what a convolution or a pooling passes to a cell of its input. */

function convolutionBackward(layer, { dy, dz, dx, grads }, { y }) {
  const { kw } = layer.geometry;
  const [filter, channel] = [page.channel, page.cell[2]];
  const filters = layer.outputShape[2];
  const messages = convolutionMessages(layer, dz, page.cell);
  const kernel = columnOf(layer.shapes.kernel, grads.kernel, channel, filter);
  return [
    formula(
      "Forward, a kernel reads the image; backward, every position stamps its kernel, times its ",
      "gradient dz, onto dx. What the stamps leave in a cell adds up.",
    ),
    element(
      "div",
      { class: "blocks" },
      block(
        ["dy ", mapStepper("filter", filter, filters, setChannel)],
        enlargedMap({
          values: dy,
          shape: layer.outputShape,
          channel: filter,
          largest: largestOf(dy),
          blocked: blockedBy(layer, y, filter),
          name: `dy of filter ${filter}`,
        }),
        gateNote(layer, y, filter),
      ),
      sign("→"),
      stampPlayer(layer, dz, messages),
      sign("→"),
      gradientMap(layer, dx),
      weightGradients(
        layer,
        block(`dkernel[:, :, ${channel}, ${filter}]`, numberGrid(kernel, kw, { name: "dkernel" })),
        grads,
        filter,
      ),
    ),
  ];
}

/* The part of a kernel, or of its gradient, of one input channel and one filter. */
function columnOf([kh, kw, channels, filters], values, channel, filter) {
  return Array.from(
    { length: kh * kw },
    (_, n) => values[(n * channels + channel) * filters + filter],
  );
}

function weightGradients(layer, kernelBlock, grads, unit) {
  const bias = grads.bias
    ? element(
        "p",
        { class: "total" },
        `dbias[${unit}] = `,
        numberText(grads.bias[unit], { id: "dbias" }),
      )
    : note("no bias");
  kernelBlock.append(
    bias,
    note(
      `all its weights: dkernel up to ±${format(largestOf(grads.kernel))}`,
      grads.bias ? `, dbias up to ±${format(largestOf(grads.bias))}` : "",
    ),
  );
  return kernelBlock;
}

/* A slider over the stamps that cover the selected cell; their sum so far as numbers and as map. */
function stampPlayer(layer, dz, messages) {
  const { geometry } = layer;
  const [row, column, channel] = page.cell;
  const maps = partialMaps(layer, dz, messages, channel);
  const show = (step) => {
    const message = messages[step - 1];
    const map = enlargedMap({
      values: maps.at(step),
      shape: [...layer.inputShape.slice(0, 2), 1],
      channel: 0,
      largest: maps.largest,
      selected: [row, column],
      name: `dx after ${step} stamps`,
      window: message && windowOf(geometry, message.i, message.j),
      margin: marginOf(geometry),
    });
    const stamp = message
      ? numberGrid(stampOf(layer, dz, message.i, message.j, channel), geometry.kw, {
          name: "stamp",
          scale: maps.largest,
          mark: (n) => (n === message.at[0] * geometry.kw + message.at[1] ? "marked" : ""),
        })
      : null;
    return [map, stamp];
  };
  const title = `the stamps on dx[${cellText(page.cell)}]`;
  const words = (step) => (step ? stampWords(messages[step - 1]) : "before the first stamp");
  return player({ title, messages, words, show, unit: "stamp" });
}

function stampWords({ i, j, at, filters }) {
  const strongest = largestPlace(filters.map(({ product }) => Math.abs(product)));
  const { dz: gradient, weight } = filters[strongest];
  const others = filters.length > 1 ? ` and ${filters.length - 1} other filters` : "";
  return (
    `position (${i}, ${j}) meets the cell with kernel[${cellText(at)}]; ` +
    `filter ${strongest} adds ${format(gradient)} × ${format(weight)}${others}`
  );
}

/* dx of one channel after each of the stamps. */
function partialMaps(layer, dz, messages, channel) {
  const { h, w, kh, kw, sh, sw, top, left } = layer.geometry;
  const maps = [new Float32Array(h * w)];
  for (const { i, j } of messages) {
    const map = maps.at(-1).slice();
    stampOf(layer, dz, i, j, channel).forEach((value, n) => {
      const [row, column] = [i * sh - top + Math.floor(n / kw), j * sw - left + (n % kw)];
      if (row >= 0 && row < h && column >= 0 && column < w) map[row * w + column] += value;
    });
    maps.push(map);
  }
  return {
    at: (step) => maps[step],
    largest: Math.max(
      ...maps.map((map) => largestOf(map)),
      largestOf(stampOfAll(layer, dz, messages, channel)),
    ),
  };
}

function stampOfAll(layer, dz, messages, channel) {
  return messages.flatMap(({ i, j }) => stampOf(layer, dz, i, j, channel));
}

function poolingBackward(layer, { dy, dx }, { x }) {
  const [row, column, channel] = page.cell;
  const winner = page.pass.winners[page.layer];
  const messages = poolingMessages(layer, dy, winner, page.cell);
  const first = messages[0];
  return [
    formula(
      "Each window passes its whole gradient to the one cell that was largest; ",
      "the others get nothing.",
    ),
    element(
      "div",
      { class: "blocks" },
      block(
        `dy of map ${channel}`,
        enlargedMap({
          values: dy,
          shape: layer.outputShape,
          channel,
          largest: largestOf(dy),
          name: `dy of map ${channel}`,
          selected: first && [first.i, first.j],
        }),
      ),
      sign("→"),
      block(
        `input map ${channel}: who was largest`,
        enlargedMap({
          values: x,
          shape: layer.inputShape,
          channel,
          largest: largestOf(x),
          margin: marginOf(layer.geometry),
          blocked: losers(layer, winner, channel),
          selected: [row, column],
          window: first && windowOf(layer.geometry, first.i, first.j),
          name: "Input with its winners",
        }),
        note("hatched: cells that were the largest of no window; no gradient reaches them"),
      ),
      sign("→"),
      gradientMap(layer, dx),
      poolingMessageBlock(messages),
    ),
  ];
}

function poolingMessageBlock(messages) {
  const lines = messages.map(({ i, j, wins, dy, winner }) =>
    element(
      "li",
      {},
      `window (${i}, ${j}) has dy = `,
      numberText(dy),
      wins
        ? ": this cell was its largest, so all of it comes here."
        : `: its largest was cell (${cellText(winner)}), so nothing comes here.`,
    ),
  );
  const none = "No window covers this cell, so the loss does not depend on it.";
  if (lines.length === 0) lines.push(element("li", {}, none));
  const total = sum(messages.map((message) => message.sum));
  return block(
    "what reaches the cell",
    element("ul", { class: "messages" }, lines),
    sumTable([["dx", total, { id: "messages-sum", result: true }]]),
  );
}

/* (i, j) -> whether a cell won in no window of its map. */
function losers(layer, winner, channel) {
  const winners = new Set();
  const { oh, ow, kw, sh, sw, top, left, w } = layer.geometry;
  for (let i = 0; i < oh; i++) {
    for (let j = 0; j < ow; j++) {
      const at = winner[(i * ow + j) * layer.outputShape[2] + channel];
      winners.add((i * sh - top + Math.floor(at / kw)) * w + j * sw - left + (at % kw));
    }
  }
  return (i, j) => !winners.has(i * w + j);
}
