"use strict";
/* Colours of numbers: blue for positive ones, orange for negative ones, paper for zero. The two can
   be told apart with every kind of colour blindness; end colours are set in style.css. */

const STEPS = 255; // on each side of zero
const colours = { table: null, image: null, css: [] };

/* Reads the colours of the current theme from the style sheet. */
function readColours() {
  const probe = element("span");
  document.body.append(probe);
  const read = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe)
      .color.match(/[\d.]+/g)
      .slice(0, 3)
      .map(Number);
  };
  const scale = ["negative-end", "negative-middle", "zero", "positive-middle", "positive-end"].map(
    read,
  );
  const paper = [read("zero"), read("ink")];
  probe.remove();
  colours.css = Array.from({ length: 2 * STEPS + 1 }, (_, n) => mixed(scale, n / (2 * STEPS)));
  colours.table = Uint32Array.from(colours.css, packedColour);
  colours.image = Uint32Array.from({ length: STEPS + 1 }, (_, n) =>
    packedColour(mixed(paper, n / STEPS)),
  );
}

function mixed(points, share) {
  const place = share * (points.length - 1);
  const n = Math.min(Math.floor(place), points.length - 2);
  return points[n].map((from, channel) => from + (points[n + 1][channel] - from) * (place - n));
}

function packedColour([r, g, b]) {
  return ((255 << 24) | (Math.round(b) << 16) | (Math.round(g) << 8) | Math.round(r)) >>> 0;
}

/* Colours grow with the square root of a number, so that small ones can be seen. */
function colourIndex(value, largest) {
  if (!(largest > 0) || Number.isNaN(value)) return STEPS;
  const share = Math.sqrt(Math.min(1, Math.abs(value) / largest));
  return STEPS + Math.round(STEPS * (value < 0 ? -share : share));
}

/* Packed colours (for ImageData) of all numbers. An image of paper and ink is grey. */
function packedColours(values, largest, isImage) {
  const packed = new Uint32Array(values.length);
  for (let n = 0; n < values.length; n++) {
    packed[n] = isImage
      ? colours.image[Math.round(STEPS * Math.min(1, Math.max(0, values[n] / (largest || 1))))]
      : colours.table[colourIndex(values[n], largest)];
  }
  return packed;
}

/* Background and text colour of a number in a table. */
function colourStyle(value, largest) {
  const [r, g, b] = colours.css[colourIndex(value, largest)];
  const luminance = 0.2126 * linearLight(r) + 0.7152 * linearLight(g) + 0.0722 * linearLight(b);
  const text = luminance > 0.18 ? "#000" : "#fff";
  return `background: rgb(${Math.round(r)} ${Math.round(g)} ${Math.round(b)}); color: ${text}`;
}

function linearLight(channel) {
  return (channel / 255) ** 2.2;
}

function largestOf(values) {
  let largest = 0;
  for (const value of values) {
    const size = Math.abs(value);
    if (size > largest && size < Infinity) largest = size;
  }
  return largest;
}
