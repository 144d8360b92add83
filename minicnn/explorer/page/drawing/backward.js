"use strict";
/* The inspector of the backward pass: what adds up to the selected cell of dx. */

function backwardPanel() {
  const layer = page.network.layers[page.layer];
  const found = currentGradients().layers[page.layer];
  const values = { x: page.pass.activations[page.layer], y: page.pass.activations[page.layer + 1] };
  const panels = {
    Conv2D: convolutionBackward,
    MaxPooling2D: poolingBackward,
    Dense: denseBackward,
    Flatten: sameBackward,
    Dropout: sameBackward,
    ReLU: activationBackward,
    Softmax: activationBackward,
    Activation: activationBackward,
  };
  const value = found.dx[flatIndex(layer.inputShape, page.cell)];
  const isLast = page.layer === page.network.layers.length - 1;
  return [
    panelHeading(layer, "dx", value),
    isLast ? lossBlock() : null,
    ...panels[layer.type](layer, found, values),
  ].filter(Boolean);
}

/* The loss and its gradient with respect to the logits. */
function lossBlock() {
  const { logits, probabilities } = page.pass;
  const { dlogits } = crossEntropy(logits, page.label);
  const head = ["class", "logit z", "p", "onehot", "dz = p − onehot"].map((text) =>
    element("th", {}, text),
  );
  const rows = Array.from(logits, (z, n) =>
    element(
      "tr",
      { class: n === page.label ? "chosen" : "" },
      element("th", {}, String(n)),
      [z, probabilities[n], n === page.label ? 1 : 0, dlogits[n]].map((number, column) =>
        element("td", column === 3 ? { style: colourStyle(number, 1) } : {}, numberText(number)),
      ),
    ),
  );
  return element(
    "details",
    { class: "loss", open: true },
    element(
      "summary",
      {},
      "Here the gradient begins: softmax and cross-entropy together have the gradient p − onehot",
    ),
    element(
      "table",
      { class: "softmax" },
      element("thead", {}, element("tr", {}, head)),
      element("tbody", {}, rows),
    ),
  );
}

/* (i, j) -> whether ReLU lets nothing through there, or null for other activations. */
function blockedBy(layer, y, channel) {
  if (layer.activation !== "relu") return null;
  const [, w, count] = layer.outputShape;
  return (i, j) => !(y[(i * w + j) * count + channel] > 0);
}

/* How many numbers ReLU has set to 0. */
function countOff(y) {
  return y.filter((value) => !(value > 0)).length;
}

function gateNote(layer, y, channel) {
  if (layer.activation === "linear" || !layer.activation) return note("no activation: dz = dy");
  if (layer.activation !== "relu") return note(`dz is dy through the ${layer.activation}`);
  const map = y.filter((_, n) => n % layer.outputShape[2] === channel);
  const share = countOff(map) / map.length;
  return note(
    `ReLU lets nothing through where y = 0: ${percent(share)} of these cells, hatched. `,
    "Elsewhere dz = dy.",
  );
}

function gradientMap(layer, dx) {
  const shape = layer.inputShape;
  const [i, j, channel] = page.cell;
  return block(
    ["dx ", mapStepper("map", channel, shape[2], (n) => select(page.layer, [i, j, n]))],
    enlargedMap({
      values: dx,
      shape,
      channel,
      largest: largestOf(dx),
      selected: [i, j],
      pick: (at) => select(page.layer, [...at, channel]),
      name: `dx of map ${channel}`,
    }),
    note("click a cell, or use the arrow keys"),
  );
}
