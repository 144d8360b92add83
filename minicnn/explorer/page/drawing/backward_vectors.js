"use strict";
/* Backward without windows: dense layers, Flatten, Dropout, ReLU and softmax. */

function denseBackward(layer, { dz, dx, grads }, { y }) {
  const messages = denseMessages(layer, dz, page.cell);
  const shown = messages.slice(0, MOST_ROWS);
  const rest = messages.slice(MOST_ROWS);
  const input = page.cell.at(-1);
  const units = layer.outputShape.at(-1);
  const bars = signedBars(
    shown.map(({ unit, dz: gradient, weight, product }) => ({
      label: `unit ${unit}`,
      value: product,
      detail: `${format(gradient)} × ${format(weight)}`,
    })),
    "The largest contributions",
  );
  const rows = [
    [`the ${shown.length} largest`, sum(shown.map((m) => m.product)), { id: "largest-sum" }],
  ];
  if (rest.length)
    rows.push([`+ ${rest.length} others`, sum(rest.map((m) => m.product)), { id: "rest-sum" }]);
  rows.push([
    `= dx[${cellText(page.cell)}]`,
    sum(messages.map((m) => m.product)),
    { id: "messages-sum", result: true },
  ]);
  const silent =
    layer.activation === "relu"
      ? `ReLU: ${countOff(y)} of ${y.length} units are 0 and pass nothing on (dz = 0).`
      : null;
  const row = Array.from(grads.kernel.subarray(input * units, (input + 1) * units));
  const dkernel = numberGrid(row, Math.min(8, units), { name: "dkernel" });
  return [
    formula(
      "Every unit passes dz times the weight back to each of its inputs; ",
      "a weight gets dz times its input.",
    ),
    silent ? note(silent) : null,
    element(
      "div",
      { class: "blocks" },
      block(["contributions: dz × weight; ", cellChooser()], bars),
      block("added up", sumTable(rows)),
      block(`dkernel[${input}, :] = x[${input}] × dz`, dkernel),
      grads.bias
        ? block(
            "dbias = dz",
            numberGrid(Array.from(grads.bias), Math.min(8, units), { name: "dbias" }),
          )
        : null,
      dx.length > 1 && layer.inputShape.length === 1 ? vectorBlock("dx: click an input", dx) : null,
    ),
  ];
}

function cellChooser() {
  const at = flatIndex(selectedShape(), page.cell);
  const size = sizeOf(selectedShape());
  return stepper("input", at, size, (n) => select(page.layer, cellAt(selectedShape(), n)));
}

/* A vector as a picture whose cells can be clicked. */
function vectorBlock(title, values) {
  const layout = mosaicLayout([values.length]);
  const canvas = element("canvas", {
    width: layout.width,
    height: layout.height,
    class: "vector map pickable",
    "aria-label": title,
  });
  drawMosaic(canvas, layout, values, { largest: largestOf(values), chosen: page.cell.at(-1) });
  canvas.addEventListener("click", (event) => {
    const at = mosaicCell(layout, ...canvasPoint(canvas, event));
    if (at) select(page.layer, [at[2]]);
  });
  return block(title, canvas);
}

function sameBackward(layer, { dx }) {
  const to = cellAt(layer.outputShape, flatIndex(layer.inputShape, page.cell));
  return [
    formula(
      layer.type === "Flatten"
        ? "The same numbers in another shape, backward as forward."
        : "Nothing is dropped on this page: the gradient passes as it is.",
    ),
    element(
      "p",
      {},
      `dx[${cellText(page.cell)}] is dy[${cellText(to)}] = `,
      numberText(dx[flatIndex(layer.inputShape, page.cell)], { id: "messages-sum" }),
    ),
    layer.inputShape.length === 3
      ? element("div", { class: "blocks" }, gradientMap(layer, dx))
      : null,
  ];
}

function activationBackward(layer, { dy, dx }, { y }) {
  const at = flatIndex(layer.inputShape, page.cell);
  const isLast = page.layer === page.network.layers.length - 1;
  const fromLoss = isLast && page.network.endsInSoftmax;
  if (fromLoss)
    return [
      element(
        "p",
        {},
        "dx is p − onehot, from the table: ",
        numberText(dx[at], { id: "messages-sum" }),
      ),
    ];
  const words = {
    softmax: "dx = y (dy − sum of dy × y)",
    relu: "Where its output is above 0, ReLU passes the gradient on; elsewhere, nothing.",
    linear: "dx = dy",
  };
  const channel = page.cell[2];
  return [
    formula(words[layer.activation]),
    element(
      "div",
      { class: "blocks" },
      block(
        "this cell",
        sumTable([
          ["y", y[at]],
          ["dy", dy[at]],
          ["dx", dx[at], { id: "messages-sum", result: true }],
        ]),
      ),
      layer.inputShape.length === 3
        ? [
            block(
              `dy of map ${channel}`,
              enlargedMap({
                values: dy,
                shape: layer.outputShape,
                channel,
                largest: largestOf(dy),
                blocked: blockedBy(layer, y, channel),
                name: "dy",
              }),
              gateNote(layer, y, channel),
            ),
            gradientMap(layer, dx),
          ]
        : null,
    ),
  ];
}
