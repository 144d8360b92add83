"use strict";
/* HTML elements: how they are made, and the ones that several panels use. */

/* element("p", { class: "hint", onclick: f }, "text", child, ...); no text is taken for HTML. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

/* A number with four decimals, or in scientific notation if it is very small or large. */
function format(number) {
  if (number === null) return "";
  if (!Number.isFinite(number)) return String(number);
  const size = Math.abs(number);
  if (size === 0) return "0";
  const text = size >= 1e4 || size < 5e-4 ? number.toExponential(2) : number.toFixed(4);
  return text.replace(/-/g, "\u2212").replace(/e\+?/, "e");
}

/* A number as text; its exact value is the title, and data-value for programs. */
function numberText(value, attributes = {}) {
  const exact = { title: String(value), "data-value": String(value) };
  return element("span", { class: "number", ...exact, ...attributes }, format(value));
}

function percent(share) {
  return `${(100 * share).toFixed(share > 0.9995 || share < 0.0005 ? 2 : 1)} %`;
}

function shapeText(shape) {
  return shape.join(" × ");
}

function cellText(cell) {
  return cell.join(", ");
}

/* What is written for cells outside of the image, in a convolution and in a pooling. */
const PADDING = { text: "0", words: "padding: counts as 0" };
const POOLING_PADDING = { text: "−∞", words: "padding: never the largest" };

/* A grid of numbers on their colours. Null stands for a cell of padding. */
function numberGrid(values, columns, { scale, mark, name, padding = PADDING }) {
  const largest = scale ?? largestOf(values);
  const rows = [];
  for (let start = 0; start < values.length; start += columns) {
    const cells = values.slice(start, start + columns).map((value, n) => {
      const attributes = { class: mark?.(start + n) ?? "" };
      if (value === null)
        return element("td", { class: "padding", title: padding.words }, padding.text);
      attributes.style = colourStyle(value, largest);
      attributes.title = String(value);
      attributes["data-value"] = String(value);
      return element("td", attributes, format(value));
    });
    rows.push(element("tr", {}, cells));
  }
  return element("table", { class: "grid", "aria-label": name }, element("tbody", {}, rows));
}

/* The sentence that says what a panel shows, and remarks in small print. */
function formula(...text) {
  return element("p", { class: "formula" }, text);
}

function note(...text) {
  return element("p", { class: "note" }, text);
}

function block(title, ...content) {
  return element("div", { class: "block" }, element("h4", {}, title), content);
}

function sign(text) {
  return element("div", { class: "sign", "aria-hidden": "true" }, text);
}

/* A list of signed bars around a zero line: rows of { label, value, detail, chosen, pick }. */
function signedBars(rows, name) {
  const largest = largestOf(rows.map((row) => row.value));
  const items = rows.map(({ label, value, detail, chosen, pick }) => {
    const width = largest > 0 ? (50 * Math.abs(value)) / largest : 0;
    const side = value < 0 ? "left: auto; right: 50%" : "left: 50%";
    const bar = element("span", { class: value < 0 ? "fill negative" : "fill" });
    bar.style.cssText = `width: ${width}%; ${side}`;
    const content = [
      element("span", { class: "label" }, label),
      detail ? element("span", { class: "detail" }, detail) : null,
      element("span", { class: "track" }, bar),
      numberText(value),
    ];
    const attributes = { class: chosen ? "bar-row chosen" : "bar-row" };
    if (!pick) return element("div", attributes, content);
    return element("button", { type: "button", onclick: pick, ...attributes }, content);
  });
  return element("div", { class: "signed-bars", role: "group", "aria-label": name }, items);
}

/* The rows of a sum that ends in a result: [[label, number], ...]; the last one is underlined. */
function sumTable(rows) {
  return element(
    "table",
    { class: "sum" },
    element(
      "tbody",
      {},
      rows.map(([label, value, attributes = {}]) =>
        element(
          "tr",
          { class: attributes.result ? "result" : "" },
          element("td", {}, label),
          element("td", {}, typeof value === "number" ? numberText(value, attributes) : value),
        ),
      ),
    ),
  );
}

/* Buttons to go through the maps of an array: "map 3 of 32". */
function stepper(name, value, count, choose) {
  const go = (change) => () => choose((value + change + count) % count);
  return element(
    "span",
    { class: "stepper" },
    element("button", { type: "button", onclick: go(-1), "aria-label": `previous ${name}` }, "‹"),
    element("span", {}, `${name} ${value}`, element("small", {}, ` of 0–${count - 1}`)),
    element("button", { type: "button", onclick: go(1), "aria-label": `next ${name}` }, "›"),
  );
}
