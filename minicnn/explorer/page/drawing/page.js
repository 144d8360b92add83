"use strict";
/* What the page holds and shows: the network, the image, what is selected. Whoever changes
   something calls `refresh`; everything is drawn again in the next frame. */

const page = {
  network: null,
  images: [], // as the network takes them
  labels: [], // theirs
  group: 0, // of images, in the gallery
  image: null, // the one that is shown
  imageNumber: 0, // its place in `images`, or null for a drawing
  label: 0, // the true class, or the one that the visitor chose
  pass: null, // of forwardPass
  backward: null, // of backwardPass, once it is needed
  mode: "forward",
  layer: 0, // place in network.layers; -1 for the image
  cell: [0, 0, 0], // of the layer's output; in mode "backward" of dx, the gradient of its input
  channel: 0, // of the other side: input channel forward, filter or unit backward
  played: null, // contributions that the slider has played; null for all
  before: null, // probabilities before the last steps of training
  waiting: false, // whether everything is drawn again in the next frame
};

const MODES = {
  forward: {
    title: "Forward",
    hint: "From the image to the probabilities. Click any cell to see how its number is computed.",
  },
  backward: {
    title: "Backward",
    hint:
      "From the loss back to the image: the gradient of the loss for every number. " +
      "Click a layer, then a cell of its dx.",
  },
  train: {
    title: "Train",
    hint: "Change the weights by a step against the gradient, see what it does, and take it back.",
  },
};

/* Everything is drawn again in the next frame. `changed`: "image" (or weights), "label", or "". */
function refresh(changed = "") {
  if (changed === "image") page.pass = null;
  if (changed) page.backward = null;
  if (page.waiting) return;
  page.waiting = true;
  requestAnimationFrame(() => {
    page.waiting = false;
    draw();
  });
}

function draw() {
  const { id, ariaLabel } = document.activeElement;
  computePass();
  if (page.mode === "backward") currentGradients();
  drawVerdict();
  drawOverview();
  drawInspector();
  writeLink();
  focusAgain(id, ariaLabel);
}

/* What had the focus may have been drawn anew; without this the keyboard would lose its place. */
function focusAgain(id, ariaLabel) {
  if (document.activeElement !== document.body || !(id || ariaLabel)) return;
  const made = [...document.querySelectorAll("button, select, input")];
  made.find((each) => (id ? each.id === id : each.ariaLabel === ariaLabel))?.focus();
}

function computePass() {
  if (page.pass) return;
  page.pass = forwardPass(page.network, page.image);
}

/* The backward pass of the image and label that are shown. */
function currentGradients() {
  computePass();
  page.backward ??= backwardPass(page.network, page.pass, page.label);
  return page.backward;
}

function showImage(number) {
  page.imageNumber = number;
  page.image = page.images[number];
  page.label = page.labels[number];
  page.before = null;
  clearPad();
  refresh("image");
}

function showDrawing(image) {
  page.imageNumber = page.before = page.pass = null;
  page.image = image;
  computePass();
  page.label = largestPlace(page.pass.probabilities); // until the visitor says what it is
  page.backward = null;
  refresh();
}

function setMode(mode) {
  if (page.mode === mode) return;
  const [layer, cell, channel] = [page.layer, page.cell, page.channel];
  page.mode = mode;
  if (mode === "backward") selectGradient(layer, cell);
  else if (page.layer >= 0 && cell.length !== page.network.layers[layer].outputShape.length) {
    select(layer, null);
  } else
    select(page.layer, page.layer < 0 ? cell : clamped(outputShapeOf(page.layer), cell), channel);
}

function outputShapeOf(layer) {
  return layer < 0 ? page.network.inputShape : page.network.layers[layer].outputShape;
}

function inputShapeOf(layer) {
  return layer < 0 ? page.network.inputShape : page.network.layers[layer].inputShape;
}

/* The shape of the array whose cell is selected. */
function selectedShape() {
  return page.mode === "backward" ? inputShapeOf(page.layer) : outputShapeOf(page.layer);
}

/* Select a cell of a layer: without `cell` the one with the largest number, without `channel` the
   one of the other side that contributes most. */
function select(layer, cell, channel = null) {
  page.layer = page.mode === "backward" ? Math.max(0, layer) : layer;
  const shape = selectedShape();
  page.cell = clamped(shape, cell ?? cellAt(shape, largestPlace(selectedArray().map(Math.abs))));
  page.channel = channel ?? strongestChannel();
  page.played = null;
  refresh();
}

/* The array whose cell is selected: the output of a layer, or dx. */
function selectedArray() {
  computePass();
  if (page.mode === "backward") return currentGradients().layers[page.layer].dx;
  return page.pass.activations[page.layer + 1];
}

/* Backward: a click on cell of a layer's output shows that layer, and the dx under the window. */
function selectGradient(layer, cell) {
  if (layer < 0) return select(0, cell);
  const { geometry, inputShape, outputShape, type } = page.network.layers[layer];
  if (!geometry) return select(layer, inputShape.length === outputShape.length ? cell : null);
  const { kh, kw, sh, sw, top, left } = geometry;
  const middle = [cell[0] * sh - top + (kh >> 1), cell[1] * sw - left + (kw >> 1)];
  const isPooling = type === "MaxPooling2D";
  return select(layer, [...middle, isPooling ? cell[2] : 0], isPooling ? null : cell[2]);
}

function clamped(shape, cell) {
  return shape.map((size, axis) => Math.min(size - 1, Math.max(0, cell[axis] || 0)));
}

/* The channel of the other side with the largest contribution to the selected cell. */
function strongestChannel() {
  const layer = page.network.layers[page.layer];
  if (layer?.type !== "Conv2D") return 0;
  if (page.mode === "backward") {
    const totals = new Array(layer.outputShape[2]).fill(0);
    const { dz } = currentGradients().layers[page.layer];
    for (const { filters } of convolutionMessages(layer, dz, page.cell)) {
      filters.forEach(({ filter, product }) => (totals[filter] += product));
    }
    return largestPlace(totals.map(Math.abs));
  }
  computePass();
  const { terms } = convolutionTerms(layer, page.pass.activations[page.layer], page.cell);
  return largestPlace(terms.map((term) => Math.abs(term.sum)));
}

function largestPlace(values) {
  return values.reduce((best, value, n) => (value > values[best] ? n : best), 0);
}
