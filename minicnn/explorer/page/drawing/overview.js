"use strict";
/* The whole network on one screen: every array as a mosaic of its maps, layer after layer. */

const HEIGHT = 270; // CSS pixels that a mosaic has at most
const BARS = "flex: 150 1 128px; max-width: 260px"; // the place of the probabilities
let overview = []; // for the image and each layer: { layer, canvas, layout, figure, scale }

function buildOverview() {
  const { network } = page;
  byId("network-title").textContent =
    `${network.name}: ${network.parameters.toLocaleString("en")} parameters`;
  byId("modes").replaceChildren(
    ...Object.entries(MODES).map(([mode, { title }]) =>
      element("button", { type: "button", "data-mode": mode, onclick: () => setMode(mode) }, title),
    ),
  );
  overview = [-1, ...network.layers.keys()].map(layerFigure);
  const figures = overview.map(({ figure }) => figure);
  if (!network.endsInSoftmax) figures.push(probabilityFigure());
  byId("layers").replaceChildren(...figures);
}

function layerFigure(layer) {
  const described = page.network.layers[layer];
  const shape = outputShapeOf(layer);
  const scale = element("div", { class: "scale" });
  const isLast = layer === page.network.layers.length - 1;
  const heading = element(
    "figcaption",
    {},
    element("b", {}, breakable(described?.name ?? "input")),
    element("span", {}, described ? typeText(described) : "the image"),
  );
  const numbers = element(
    "div",
    { class: "shape" },
    element("span", { "data-shape": shape.join(",") }, shapeText(shape)),
    described
      ? element("span", { "data-parameters": described.parameters }, parameterText(described))
      : null,
  );
  const attributes = { class: "layer", "data-layer": described?.name ?? "input" };
  if (isLast && page.network.endsInSoftmax) {
    const bars = element("div", { class: "probabilities" });
    const figure = element("figure", { ...attributes, style: BARS }, heading, bars, numbers, scale);
    return { layer, bars, figure, scale };
  }
  const layout = mosaicLayout(shape);
  const canvas = element("canvas", {
    width: layout.width,
    height: layout.height,
    style: `max-width: ${mostWidth(shape, layout)}px`,
    "aria-label": `${described?.name ?? "input"}: ${shapeText(shape)}`,
  });
  canvas.addEventListener("click", (event) => pickInMosaic(layer, layout, canvas, event));
  const isImage = shape.length === 3;
  const wanted = isImage ? wantedWidth(layout) : 62;
  const style = `flex: ${wanted} 1 ${wanted / 2}px; max-width: ${wanted * (isImage ? 1.4 : 1.2)}px`;
  const figure = element("figure", { ...attributes, style }, heading, canvas, numbers, scale);
  return { layer, canvas, layout, figure, scale };
}

/* The width of a mosaic is limited by its height, and that of a vector by its own size, too. */
function mostWidth(shape, { width, height }) {
  const most = Math.round((HEIGHT * width) / height);
  return shape.length === 3 ? most : Math.min(most, width);
}

/* The square root keeps wide mosaics from taking the place of high ones. */
function wantedWidth({ count, width, height }) {
  if (count === 1) return 105;
  return Math.round(Math.max(100, Math.min(230, 190 * Math.sqrt(width / height))));
}

function probabilityFigure() {
  const bars = element("div", { class: "probabilities" });
  const heading = element(
    "figcaption",
    {},
    element("b", {}, "probabilities"),
    element("span", {}, "softmax of the logits"),
  );
  const figure = element("figure", { class: "layer", style: BARS }, heading, bars);
  overview.push({ layer: page.network.layers.length - 1, bars, figure, scale: element("div") });
  return figure;
}

/* A name that may be broken after its underscores. */
function breakable(name) {
  return name.split(/(?<=_)/).flatMap((part) => [part, element("wbr")]);
}

/* "Conv2D 5 × 5, same, relu". */
function typeText({ type, geometry, padding, activation, rate, trainable }) {
  const words = [type];
  if (geometry) {
    const { kh, kw, sh, sw } = geometry;
    words[0] += ` ${kh} × ${kw}`;
    const usual = type === "Conv2D" ? sh === 1 && sw === 1 : sh === kh && sw === kw;
    if (!usual) words.push(`strides ${sh} × ${sw}`);
    if (type === "Conv2D" || padding === "same") words.push(padding);
  }
  if (activation && activation !== "linear" && activation !== type.toLowerCase())
    words.push(activation);
  if (rate !== undefined) words.push(`${rate}, acts in training only`);
  if (!trainable) words.push("frozen");
  return words.join(", ");
}

function parameterText({ parameters }) {
  if (parameters === 0) return "no parameters";
  return `${parameters.toLocaleString("en")} parameter${parameters === 1 ? "" : "s"}`;
}

function pickInMosaic(layer, layout, canvas, event) {
  const at = mosaicCell(layout, ...canvasPoint(canvas, event));
  if (!at) return;
  const shape = outputShapeOf(layer);
  const cell = shape.length === 3 ? at : cellAt(shape, at[2]);
  if (page.mode === "backward") selectGradient(layer, cell);
  else select(layer, cell);
  if (page.mode === "train") setMode("forward");
}

/* The array that is shown for a layer: its output, or the gradient of the loss for it. */
function shownArray(layer) {
  if (page.mode !== "backward") return page.pass.activations[layer + 1];
  const { layers } = currentGradients();
  return layer < 0 ? layers[0].dx : layers[layer].dy;
}

function drawOverview() {
  byId("hint").replaceChildren(MODES[page.mode].hint);
  if (page.mode !== "forward") byId("hint").append(labelChooser());
  for (const button of byId("modes").children) {
    button.classList.toggle("chosen", button.dataset.mode === page.mode);
    button.setAttribute("aria-pressed", button.dataset.mode === page.mode);
  }
  for (const each of overview) {
    each.figure.classList.toggle("chosen", each.layer === page.layer && page.mode !== "train");
    if (each.bars) drawProbabilities(each);
    else drawLayer(each);
  }
}

function drawLayer({ layer, canvas, layout, scale }) {
  const values = shownArray(layer);
  const largest = largestOf(values);
  const isImage = layer < 0 && page.mode !== "backward";
  drawMosaic(canvas, layout, values, { largest, isImage, chosen: chosenMap(layer) });
  const what = page.mode === "backward" ? "gradient up to ±" : "up to ";
  scale.textContent = `${what}${format(largest)}`;
}

/* Which map of an array is outlined: in the output and in the input of the selected layer. */
function chosenMap(layer) {
  if (page.mode === "train") return null;
  const { type } = page.network.layers[page.layer] ?? {};
  const shape = outputShapeOf(layer);
  const place = (cell) => (shape.length === 3 ? cell[2] : flatIndex(shape, cell));
  const isOutput = layer === page.layer;
  const isInput = layer === page.layer - 1;
  if (page.mode === "backward") {
    if (isInput) return place(page.cell);
    if (isOutput)
      return type === "Conv2D" ? page.channel : type === "MaxPooling2D" ? page.cell[2] : null;
    return null;
  }
  if (isOutput) return place(page.cell);
  if (isInput && type === "Conv2D") return page.channel;
  return isInput && type === "MaxPooling2D" ? page.cell[2] : null;
}

/* A bar for each class: its probability, or p - onehot in the backward pass. */
function drawProbabilities({ layer, bars, scale }) {
  const backward = page.mode === "backward";
  const values = backward ? currentGradients().layers[layer].dy : page.pass.probabilities;
  const rows = Array.from(values, (value, n) => {
    const fill = element("span", { class: value < 0 ? "fill negative" : "fill" });
    fill.style.width = `${100 * Math.abs(value)}%`;
    const before = page.before?.[n];
    const mark = element("span", {
      class: "before",
      title: `before: ${before}`,
      hidden: before === undefined,
    });
    if (before !== undefined) mark.style.left = `${100 * before}%`;
    const isLabel =
      n === page.label && (backward || page.mode === "train" || page.imageNumber !== null);
    const content = [
      element("span", { class: isLabel ? "class label" : "class" }, String(n)),
      element("span", { class: "track" }, fill, mark),
      element(
        "span",
        { class: "number", title: String(value), "data-value": value },
        backward ? format(value) : percent(value),
      ),
    ];
    const pick = () => (backward ? selectGradient(layer, [n]) : select(layer, [n]));
    return element(
      "button",
      { type: "button", class: "bar-row", "data-class": n, onclick: pick },
      content,
    );
  });
  bars.replaceChildren(...rows);
  scale.textContent = backward ? "p − onehot, of the logits" : "probabilities";
}

/* A choice of the label, for the loss. */
function labelChooser() {
  const options = Array.from(page.pass.probabilities, (_, n) =>
    element("option", { value: n, selected: n === page.label }, String(n)),
  );
  const change = (event) => {
    page.label = Number(event.target.value);
    refresh("label");
  };
  const { loss } = crossEntropy(page.pass.logits, page.label);
  return element(
    "span",
    { class: "label-chooser" },
    element("label", {}, "Label ", element("select", { id: "label", onchange: change }, options)),
    element(
      "span",
      { id: "loss", "data-value": loss },
      ` loss = −log p(${page.label}) = ${format(loss)}`,
    ),
  );
}
