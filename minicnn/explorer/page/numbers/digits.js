"use strict";
/* Strokes prepared as MNIST's makers prepared digits: cropped, scaled so that the longer side has
   20 of 28 pixels, and moved so that the centre of mass is in the middle. The same steps in Python:
   minicnn/explorer/pictures.py. */

const BOX = 20 / 28; // share of the image that the digit may fill

/* ink: height*width numbers, 0 for paper. Returns an image [h, w], or null if there is no ink. */
function prepareInk(ink, height, width, [h, w]) {
  const box = boundingBox(ink, height, width);
  if (box === null) return null;
  const side = Math.max(1, Math.round(BOX * Math.min(h, w)));
  const scale = side / Math.max(box.height, box.width);
  const rows = averages(box.height, Math.max(1, Math.floor(box.height * scale + 0.5)));
  const columns = averages(box.width, Math.max(1, Math.floor(box.width * scale + 0.5)));
  const small = rows.map((row) =>
    columns.map((column) => {
      let total = 0;
      for (const [r, rowShare] of row) {
        for (const [c, share] of column) {
          total += rowShare * share * ink[(box.top + r) * width + box.left + c];
        }
      }
      return total;
    }),
  );
  return centred(small, h, w);
}

function boundingBox(ink, height, width) {
  let [top, bottom, left, right] = [height, -1, width, -1];
  for (let r = 0; r < height; r++) {
    for (let c = 0; c < width; c++) {
      if (!(ink[r * width + c] > 0)) continue;
      [top, bottom] = [Math.min(top, r), Math.max(bottom, r)];
      [left, right] = [Math.min(left, c), Math.max(right, c)];
    }
  }
  return bottom < 0 ? null : { top, left, height: bottom - top + 1, width: right - left + 1 };
}

/* For each of `to` cells the cells of `from` that it covers, with their shares: [[cell, share]]. */
function averages(from, to) {
  const length = from / to;
  return Array.from({ length: to }, (_, n) => {
    const [start, end] = [n * length, (n + 1) * length];
    const shares = [];
    for (let cell = Math.floor(start); cell < Math.min(from, Math.ceil(end)); cell++) {
      const overlap = Math.min(end, cell + 1) - Math.max(start, cell);
      if (overlap > 0) shares.push([cell, overlap / length]);
    }
    return shares;
  });
}

/* The rows in an image of h x w pixels: brightest ink 1, centre of mass in the middle. */
function centred(rows, h, w) {
  let [total, down, across, largest] = [0, 0, 0, 0];
  rows.forEach((row, r) =>
    row.forEach((value, c) => {
      total += value;
      down += value * r;
      across += value * c;
      largest = Math.max(largest, value);
    }),
  );
  const top = placed(h, rows.length, down / total);
  const left = placed(w, rows[0].length, across / total);
  const image = new Float32Array(h * w);
  rows.forEach((row, r) =>
    row.forEach((value, c) => (image[(top + r) * w + left + c] = value / largest)),
  );
  return image;
}

/* Where to begin so that `centre` is in the middle of `size`, and all `length` cells inside. */
function placed(size, length, centre) {
  return Math.min(Math.max(0, Math.floor(size / 2 - centre + 0.5)), size - length);
}
