"use strict";
/* Arrays as pictures: a mosaic of all maps of an array, and one enlarged map with its cells. */

/* How the maps of an array (h, w, c), or the numbers of a vector, are laid out as tiles. Sizes are
   in pixels of the canvas. */
function mosaicLayout(shape) {
  const isVector = shape.length !== 3;
  const [h, w, count] = isVector ? [1, 1, sizeOf(shape)] : shape;
  const wanted = Math.sqrt((count * (isVector ? 0.3 : 0.6) * h) / w);
  const few = isVector || count < 4;
  const columns = few ? vectorColumns(count, wanted) : nearestDivisor(count, wanted);
  const largest = isVector ? 60 / columns : 56 / Math.max(h, w);
  const cell = Math.max(1, Math.min(isVector ? 28 : 6, Math.round(largest)));
  const gap = isVector ? (cell > 4 ? 1 : 0) : 2;
  const rows = Math.ceil(count / columns);
  const [tileWidth, tileHeight] = [w * cell + gap, h * cell + gap];
  const [width, height] = [columns * tileWidth - gap, rows * tileHeight - gap];
  return { h, w, count, columns, rows, cell, gap, tileWidth, tileHeight, width, height };
}

function vectorColumns(count, wanted) {
  return Math.max(1, Math.min(count, Math.round(wanted)));
}

function nearestDivisor(count, wanted) {
  let best = 1;
  for (let n = 1; n <= count; n++) {
    if (count % n === 0 && Math.abs(n - wanted) < Math.abs(best - wanted)) best = n;
  }
  return Math.abs(best - wanted) > wanted / 2 ? vectorColumns(count, wanted) : best;
}

/* Draws all maps of an array on a canvas of the layout's size. */
function drawMosaic(canvas, layout, values, { largest, isImage = false, chosen = null }) {
  const { h, w, count, columns, cell, tileWidth, tileHeight, width, height } = layout;
  const packed = packedColours(values, largest, isImage);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let map = 0; map < count; map++) {
    const left = (map % columns) * tileWidth;
    const top = Math.floor(map / columns) * tileHeight;
    for (let i = 0; i < h * cell; i++) {
      const row = Math.floor(i / cell) * w;
      const start = (top + i) * width + left;
      for (let j = 0; j < w; j++) {
        const at = start + j * cell;
        pixels.fill(packed[(row + j) * count + map], at, at + cell);
      }
    }
  }
  context.putImageData(image, 0, 0);
  if (chosen === null) return;
  const left = (chosen % columns) * tileWidth;
  const top = Math.floor(chosen / columns) * tileHeight;
  outline(context, left, top, w * cell, h * cell, 3);
}

/* The cell under a point of the canvas: [i, j, map], or null between the tiles. */
function mosaicCell(layout, x, y) {
  const { h, w, count, columns, cell, tileWidth, tileHeight } = layout;
  const map = Math.floor(y / tileHeight) * columns + Math.floor(x / tileWidth);
  const i = Math.floor((y % tileHeight) / cell);
  const j = Math.floor((x % tileWidth) / cell);
  const inside = map < count && i < h && j < w && x >= 0 && x < columns * tileWidth;
  return inside ? [i, j, map] : null;
}

function outline(context, x, y, width, height, line = 2) {
  const style = getComputedStyle(document.body);
  for (const [colour, size] of [
    [style.backgroundColor, line + 2],
    [style.accentColor, line],
  ]) {
    context.strokeStyle = colour;
    context.lineWidth = size;
    context.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
  }
}

/* Where on a canvas, in its own pixels, an event happened. */
function canvasPoint(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [
    ((event.clientX - box.left) * canvas.width) / box.width,
    ((event.clientY - box.top) * canvas.height) / box.height,
  ];
}

/* One map of an array (h, w, c), enlarged.

     values, shape, channel, largest, isImage
     margin      { top, left, bottom, right }: cells of padding to show around it
     selected    [i, j], outlined
     window      { row, column, height, width }, outlined
     blocked     (i, j) -> whether the cell is hatched
     pick        called with [i, j] for a click                                          */
function enlargedMap(options) {
  const { values, shape, channel, pick, name } = options;
  const [h, w, count] = shape;
  const margin = options.margin ?? { top: 0, left: 0, bottom: 0, right: 0 };
  const rows = h + margin.top + margin.bottom;
  const columns = w + margin.left + margin.right;
  const cell = Math.max(3, Math.min(28, Math.floor(190 / Math.max(rows, columns))));
  const canvas = element("canvas", {
    width: columns * cell,
    height: rows * cell,
    class: pick ? "map pickable" : "map",
    "aria-label": name,
  });
  drawEnlarged(canvas.getContext("2d"), { ...options, margin, cell });
  const readout = element("div", { class: "readout" }, "\u00a0");
  const cellAtEvent = (event) => {
    const [x, y] = canvasPoint(canvas, event);
    const [i, j] = [Math.floor(y / cell) - margin.top, Math.floor(x / cell) - margin.left];
    return i >= 0 && j >= 0 && i < h && j < w ? [i, j] : null;
  };
  canvas.addEventListener("pointermove", (event) => {
    const at = cellAtEvent(event);
    const value = at && values[(at[0] * w + at[1]) * count + channel];
    const { words } = options.padding ?? PADDING;
    readout.textContent = at ? `[${cellText(at)}]  ${format(value)}` : words;
  });
  canvas.addEventListener("pointerleave", () => (readout.textContent = "\u00a0"));
  if (pick) {
    canvas.addEventListener("click", (event) => {
      const at = cellAtEvent(event);
      if (at) pick(at);
    });
  }
  return element("div", { class: "enlarged" }, canvas, readout);
}

function drawEnlarged(context, { values, shape, channel, margin, cell, ...options }) {
  const [h, w, count] = shape;
  const map = Float32Array.from({ length: h * w }, (_, n) => values[n * count + channel]);
  const packed = packedColours(map, options.largest ?? largestOf(map), options.isImage);
  hatch(context, [[0, 0, context.canvas.width, context.canvas.height]]);
  const blocked = [];
  for (let i = 0; i < h; i++) {
    for (let j = 0; j < w; j++) {
      const colour = packed[i * w + j];
      const [x, y] = [(j + margin.left) * cell, (i + margin.top) * cell];
      const parts = `${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255}`;
      context.fillStyle = `rgb(${parts})`;
      context.fillRect(x, y, cell, cell);
      if (options.blocked?.(i, j)) blocked.push([x, y, cell, cell]);
    }
  }
  hatch(context, blocked);
  if (options.window) {
    const { row, column, height, width } = options.window;
    const [x, y] = [(column + margin.left) * cell, (row + margin.top) * cell];
    outline(context, x, y, width * cell, height * cell);
  }
  if (options.selected) {
    const [i, j] = options.selected;
    outline(context, (j + margin.left) * cell, (i + margin.top) * cell, cell, cell);
  }
}

/* Thin diagonal lines in rectangles: for padding, and for cells where no gradient gets through. */
function hatch(context, rectangles) {
  const { width, height } = context.canvas;
  context.save();
  context.beginPath();
  for (const rectangle of rectangles) context.rect(...rectangle);
  context.clip();
  context.strokeStyle = getComputedStyle(document.body).outlineColor;
  context.lineWidth = 1;
  context.beginPath();
  for (let at = -height; at < width; at += 5) {
    context.moveTo(at, height);
    context.lineTo(at + height, 0);
  }
  context.stroke();
  context.restore();
}
