"use strict";
/* The inspector of the forward pass: the arithmetic of the selected cell. */

function drawInspector() {
  const views = { forward: forwardPanel, backward: backwardPanel, train: trainingPanel };
  byId("inspector").replaceChildren(...views[page.mode]());
}

function forwardPanel() {
  const layer = page.network.layers[page.layer];
  if (!layer) return imagePanel();
  const x = page.pass.activations[page.layer];
  const y = page.pass.activations[page.layer + 1];
  const panels = {
    Conv2D: convolutionPanel,
    MaxPooling2D: poolingPanel,
    Dense: densePanel,
    Flatten: samePanel,
    Dropout: samePanel,
    ReLU: activationPanel,
    Softmax: activationPanel,
    Activation: activationPanel,
  };
  const value = y[flatIndex(layer.outputShape, page.cell)];
  return [panelHeading(layer, "y", value), ...panels[layer.type](layer, x, y)];
}

/* "conv2d, Conv2D 5 × 5: y[3, 4, 7] = 0.1234". */
function panelHeading(layer, letter, value) {
  return element(
    "h2",
    {},
    "3 ",
    element(
      "span",
      {},
      element("b", {}, layer.name),
      element("span", { class: "quiet" }, ` ${typeText(layer)}  `),
    ),
    element("span", { class: "cell-name" }, `${letter}[${cellText(page.cell)}] = `),
    numberText(value, { id: "cell-value" }),
    element("span", { class: "quiet" }, ` ${placeText(page.cell)}`),
  );
}

/* "row 3, column 4, map 7". */
function placeText(cell) {
  if (cell.length === 1) return `number ${cell[0]}`;
  const names = cell.length === 3 ? ["row", "column", "map"] : ["row", "number"];
  return cell.map((n, axis) => `${names[axis]} ${n}`).join(", ");
}

function imagePanel() {
  const shape = page.network.inputShape;
  const value = page.image[flatIndex(shape, page.cell)];
  const map = enlargedMap({
    values: page.image,
    shape,
    channel: page.cell[2],
    isImage: true,
    largest: largestOf(page.image),
    selected: page.cell.slice(0, 2),
    pick: ([i, j]) => select(-1, [i, j, page.cell[2]]),
    name: "The image, enlarged",
  });
  return [
    panelHeading({ name: "input", type: "the image", trainable: true }, "x", value),
    element("div", { class: "blocks" }, block("What the network sees", map)),
    element(
      "p",
      {},
      "Pixels are numbers: 0 for paper, 1 for the darkest ink. ",
      "Pick a cell of a layer to see what becomes of them.",
    ),
  ];
}

/* z, and what the activation makes of it. */
function activationRows({ activation }, z, y) {
  const rows = [["= z", z, { result: true }]];
  if (activation === "relu") rows.push([`relu(z) = max(z, 0)`, y, { result: true }]);
  if (activation === "softmax") rows.push(["softmax over the units", y, { result: true }]);
  return rows;
}

/* Where the window of position (i, j) stands on the image. */
function windowOf({ kh, kw, sh, sw, top, left }, i, j) {
  return { row: i * sh - top, column: j * sw - left, height: kh, width: kw };
}

/* How many cells of padding the windows reach, on each side. */
function marginOf({ h, w, kh, kw, sh, sw, top, left, oh, ow }) {
  const bottom = Math.max(0, (oh - 1) * sh + kh - top - h);
  return { top, left, bottom, right: Math.max(0, (ow - 1) * sw + kw - left - w) };
}

function outputMap(layer, y) {
  const shape = layer.outputShape;
  const [i, j, channel] = page.cell;
  const choose = (n) => select(page.layer, [i, j, n]);
  return block(
    ["output ", mapStepper("map", channel, shape[2], choose)],
    enlargedMap({
      values: y,
      shape,
      channel,
      largest: largestOf(y),
      selected: [i, j],
      pick: (at) => select(page.layer, [...at, channel]),
      name: `Output map ${channel}`,
    }),
    note("click a cell, or use the arrow keys"),
  );
}

function mapStepper(name, value, count, choose) {
  return count > 1 ? stepper(name, value, count, choose) : null;
}

function setChannel(channel) {
  page.channel = channel;
  page.played = null;
  refresh();
}
