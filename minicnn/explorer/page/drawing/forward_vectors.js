"use strict";
/* Forward without windows: the arithmetic of dense units, softmax, Flatten, Dropout and ReLU. */

const MOST_ROWS = 16; // contributions of a dense unit that are listed

function densePanel(layer, x, y) {
  const { terms, bias, z } = denseTerms(layer, x, page.cell);
  const shown = terms.slice(0, MOST_ROWS);
  const rest = sum(terms.slice(MOST_ROWS).map((term) => term.product));
  const unit = page.cell.at(-1);
  const bars = signedBars(
    shown.map(({ input, value, weight, product }) => ({
      label: inputName(input),
      value: product,
      detail: `${format(value)} × ${format(weight)}`,
    })),
    "The largest contributions",
  );
  const rows = [
    [`the ${shown.length} largest`, sum(shown.map((term) => term.product)), { id: "largest-sum" }],
  ];
  if (terms.length > MOST_ROWS)
    rows.push([`+ ${terms.length - MOST_ROWS} others`, rest, { id: "rest-sum" }]);
  if (layer.params.bias) rows.push([`+ bias[${unit}]`, bias, { id: "bias" }]);
  const isLast = page.layer === page.network.layers.length - 1;
  return [
    formula(
      `Unit ${unit}: each of ${terms.length.toLocaleString("en")} inputs times its weight, `,
      layer.params.bias ? "added up with a bias." : "added up.",
    ),
    element(
      "div",
      { class: "blocks" },
      block("the largest contributions: input × weight", bars),
      block(
        "added up",
        sumTable([
          ...rows,
          ...activationRows(layer, z, y[flatIndex(layer.outputShape, page.cell)]),
        ]),
      ),
      isLast || layer.activation === "softmax"
        ? softmaxBlock(isLast ? page.pass.logits : multiply(layer, x), unit)
        : null,
    ),
  ];
}

/* Where an input of a dense layer comes from: after Flatten, the cell of the feature map. */
function inputName(input) {
  const before = page.network.layers[page.layer - 1];
  if (before?.type !== "Flatten") return `x[${input}]`;
  return `x[${input}] = [${cellText(cellAt(before.inputShape, input))}]`;
}

function softmaxBlock(logits, unit) {
  const { total, terms } = softmaxTerms(logits);
  const rows = terms.map(({ z, exponential, share }, n) =>
    element(
      "tr",
      { class: n === unit ? "chosen" : "" },
      element("th", {}, String(n)),
      [z, exponential, share].map((value) => element("td", {}, numberText(value))),
    ),
  );
  const head = ["", "z", "exp(z − max)", "share"].map((text) => element("th", {}, text));
  return block(
    "softmax: shares of the exponentials",
    element(
      "table",
      { class: "softmax" },
      element("thead", {}, element("tr", {}, head)),
      element(
        "tbody",
        {},
        rows,
        element(
          "tr",
          { class: "result" },
          element("th", {}, "sum"),
          element("td"),
          element("td", {}, numberText(total)),
          element("td", {}, numberText(1)),
        ),
      ),
    ),
  );
}

function samePanel(layer, x, y) {
  const from = cellAt(layer.inputShape, flatIndex(layer.outputShape, page.cell));
  const words =
    layer.type === "Dropout"
      ? `In training, Dropout sets a share of ${layer.rate} of its inputs to 0. Otherwise it ` +
        "changes nothing, and this page leaves it at that, also in the steps of Train."
      : "Flatten changes no number: it writes all maps as one row, cell by cell.";
  return [
    formula(words),
    element(
      "p",
      {},
      `y[${cellText(page.cell)}] is x[${cellText(from)}] = `,
      numberText(x[flatIndex(layer.inputShape, from)]),
    ),
    layer.outputShape.length === 3
      ? element("div", { class: "blocks" }, outputMap(layer, y))
      : null,
  ].filter(Boolean);
}

function activationPanel(layer, x, y) {
  const at = flatIndex(layer.outputShape, page.cell);
  const start = at - page.cell.at(-1);
  const isSoftmax = layer.activation === "softmax";
  const words = {
    softmax: "Scores become probabilities: the exponential of each, divided by the sum of all.",
    relu: "Every number by itself: max(x, 0).",
    linear: "Every number stays as it is.",
  };
  return [
    formula(words[layer.activation]),
    element(
      "div",
      { class: "blocks" },
      isSoftmax
        ? softmaxBlock(x.subarray(start, start + layer.outputShape.at(-1)), page.cell.at(-1))
        : block(
            "this cell",
            sumTable([
              ["x", x[at]],
              [layer.activation === "relu" ? "max(x, 0)" : "y", y[at], { result: true }],
            ]),
          ),
      layer.outputShape.length === 3 ? outputMap(layer, y) : null,
    ),
  ];
}
