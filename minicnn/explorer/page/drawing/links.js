"use strict";
/* The address names what is shown (explorer.html#layer=conv2d_1&cell=3,4,7&mode=backward), and keys
   move through it. */

/* Writes what is shown into the address, without an entry in the history. */
function writeLink() {
  const parts = [
    ["layer", page.network.layers[page.layer]?.name ?? "input"],
    ["cell", page.cell.join(",")],
    ["mode", page.mode],
  ];
  if (page.network.layers[page.layer]?.type === "Conv2D") parts.push(["channel", page.channel]);
  if (page.imageNumber !== null) parts.push(["image", page.imageNumber]);
  if (page.imageNumber === null || page.label !== page.labels[page.imageNumber])
    parts.push(["label", page.label]);
  if (page.mode === "backward" && page.played !== null) parts.push(["step", page.played]);
  const encoded = (value) => encodeURIComponent(value).replaceAll("%2C", ",");
  const link = `#${parts.map(([key, value]) => `${key}=${encoded(value)}`).join("&")}`;
  if (link === location.hash) return;
  try {
    history.replaceState(null, "", link);
  } catch {
    // some browsers refuse it for files; the page works without
  }
}

/* Shows what the address names; says so if there is no such thing. */
function readLink() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const problems = [];
  const number = (key, count) => {
    if (!wanted.has(key)) return null;
    const value = Number(wanted.get(key));
    if (Number.isInteger(value) && value >= 0 && value < count) return value;
    problems.push(`there is no ${key} ${wanted.get(key)}, only 0 to ${count - 1}`);
    return null;
  };
  const image = number("image", page.images.length);
  if (image !== null) showImage(image);
  computePass();
  page.label = number("label", page.pass.probabilities.length) ?? page.label;
  page.backward = null;
  const mode = wanted.get("mode") ?? "forward";
  if (MODES[mode]) page.mode = mode;
  else problems.push(`there is no mode ${mode}, only ${Object.keys(MODES).join(", ")}`);
  const layer = layerOfLink(wanted.get("layer"), problems);
  const cell = cellOfLink(wanted.get("cell"), layer, problems);
  select(layer, cell, number("channel", channelsOf(layer)));
  page.played = number("step", Infinity);
  showNotice(
    problems.length
      ? `The link asks for something else than this file has: ${problems.join("; ")}.`
      : "",
  );
}

function layerOfLink(name, problems) {
  const names = page.network.layers.map((layer) => layer.name);
  if (name === null) return firstShown();
  if (name === "input") return -1;
  if (!names.includes(name)) problems.push(`there is no layer ${name}, only ${names.join(", ")}`);
  return names.includes(name) ? names.indexOf(name) : firstShown();
}

/* The layer that a visitor sees first: the first convolution, if there is one. */
function firstShown() {
  return Math.max(
    0,
    page.network.layers.findIndex(({ type }) => type === "Conv2D"),
  );
}

function cellOfLink(text, layer, problems) {
  if (text === null) return null;
  const shape = page.mode === "backward" ? inputShapeOf(Math.max(0, layer)) : outputShapeOf(layer);
  const cell = text.split(",").map(Number);
  const fits =
    cell.length === shape.length &&
    cell.every((n, axis) => Number.isInteger(n) && n >= 0 && n < shape[axis]);
  if (fits) return cell;
  problems.push(`there is no cell ${text} in an array of shape ${shapeText(shape)}`);
  return null;
}

/* Maps of the other side of a layer. */
function channelsOf(layer) {
  if (layer < 0) return 1;
  return page.mode === "backward" ? outputShapeOf(layer).at(-1) : inputShapeOf(layer).at(-1);
}

function showNotice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

const KEYS = {
  ArrowLeft: () => moveCell(-1, -1),
  ArrowRight: () => moveCell(-1, 1),
  ArrowUp: () => moveCell(-2, -1),
  ArrowDown: () => moveCell(-2, 1),
  "[": () => moveMap(-1),
  "]": () => moveMap(1),
  ",": () => moveLayer(-1),
  ".": () => moveLayer(1),
  f: () => setMode("forward"),
  b: () => setMode("backward"),
  t: () => setMode("train"),
  c: () => clearDrawing(),
  s: () => page.mode === "train" && oneStep(),
  u: () => undo(),
  " ": () => byId("play")?.click(),
};

function setUpKeys() {
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
    const isButton = target.tagName === "BUTTON" || target.tagName === "SUMMARY";
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    if (!KEYS[event.key] || (event.key === " " && (isButton || !byId("play")))) return;
    event.preventDefault();
    KEYS[event.key]();
  });
}

/* Arrows move through rows and columns of an image, and through the numbers of a vector. */
function moveCell(axis, step) {
  if (page.mode === "train") return;
  const cell = [...page.cell];
  if (cell.length === 1) cell[0] += step;
  else cell[axis === -2 ? cell.length - 3 : cell.length - 2] += step;
  select(page.layer, cell, cell.length === 3 ? page.channel : null);
}

function moveMap(step) {
  if (page.mode === "train" || page.cell.length === 1) return;
  const count = selectedShape().at(-1);
  select(page.layer, [...page.cell.slice(0, -1), (page.cell.at(-1) + step + count) % count]);
}

function moveLayer(step) {
  if (page.mode === "train") return;
  const lowest = page.mode === "backward" ? 0 : -1;
  const layer = Math.min(page.network.layers.length - 1, Math.max(lowest, page.layer + step));
  if (layer !== page.layer) select(layer, null);
}
