"use strict";
/* The panel of training: its buttons, and what a step has changed. */

function trainingPanel() {
  const { report } = training;
  return [
    element("h2", {}, "3 ", element("span", {}, "A step against the gradient")),
    formula(updateFormula()),
    trainingControls(),
    report
      ? reportBlocks(report)
      : note("Nothing has changed yet: the weights are those of the file, which is never changed."),
  ];
}

function updateFormula() {
  return training.name === "sgd"
    ? "SGD: each weight ← weight − learning rate × gradient."
    : "Adam: each weight ← weight − learning rate × m / √v, where m and v are moving averages " +
        "of the gradient and of its square, so that all weights move about equally far.";
}

function trainingControls() {
  const options = Object.keys(RATES).map((name) =>
    element(
      "option",
      { value: name, selected: name === training.name },
      name === "adam" ? "Adam" : "SGD",
    ),
  );
  const chooseName = (event) => {
    chooseOptimizer(event.target.value, RATES[event.target.value]);
    refresh();
  };
  const chooseRate = (event) => {
    const rate = Number(event.target.value);
    if (!(rate > 0)) return refresh(); // shows the old one again
    training.rate = training.optimizer.learningRate = rate;
    refresh();
  };
  const disabled = Boolean(training.running);
  const nothing = training.undo.length === 0 || disabled;
  const button = (id, text, onclick, off) =>
    element("button", { type: "button", id, onclick, disabled: off }, text);
  return element(
    "div",
    { class: "controls" },
    element(
      "label",
      {},
      "Optimizer ",
      element("select", { id: "optimizer", onchange: chooseName, disabled }, options),
    ),
    element(
      "label",
      {},
      "Learning rate ",
      element("input", {
        id: "rate",
        type: "number",
        min: 0,
        step: "any",
        value: training.rate,
        onchange: chooseRate,
        disabled,
      }),
    ),
    button("step", "One step on this image", oneStep, disabled),
    button("many", disabled ? "Stop" : `Twenty steps on the page's images`, manySteps, false),
    button("undo", "Undo", undo, nothing),
    button("undo-all", "Back to the weights of the file", undoAll, nothing),
  );
}

function reportBlocks({ title, losses, curve, changes }) {
  const ids = ["loss-before", "loss-after"];
  const rows = losses.map(([label, value], n) => [label, value, { id: ids[n], result: n === 1 }]);
  return element(
    "div",
    {},
    element("h3", {}, title),
    element(
      "div",
      { class: "blocks" },
      block(
        "the loss",
        sumTable(rows),
        note("In the probabilities above, a mark shows where each bar was before."),
      ),
      curve?.length
        ? block(`loss of each mini-batch of ${BATCH}, before its step`, lossCurve(curve))
        : null,
      changes ? block("what changed", changeTable(changes)) : null,
      changes ? changedKernel(changes) : null,
    ),
  );
}

function changeTable(changes) {
  const withGradient = changes.some(({ gradient }) => gradient !== undefined);
  const columns = [
    "weights",
    "how many",
    "size",
    "change",
    "largest",
    ...(withGradient ? ["gradient"] : []),
  ];
  const rows = changes.map(({ layer, key, weight, change, gradient }) =>
    element(
      "tr",
      {},
      element("th", {}, `${layer.name} ${key}`),
      element("td", {}, weight.length.toLocaleString("en")),
      [
        rootMeanSquare(weight),
        rootMeanSquare(change),
        largestOf(change),
        ...(withGradient ? [gradient ?? 0] : []),
      ].map((value) => element("td", {}, numberText(value))),
    ),
  );
  return [
    element(
      "table",
      { class: "softmax changes" },
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          columns.map((text) => element("th", {}, text)),
        ),
      ),
      element("tbody", {}, rows),
    ),
    note("sizes are root mean squares"),
  ];
}

/* The kernels of the first convolution, and how each number changed. */
function changedKernel(changes) {
  const found = changes.find(({ layer, key }) => layer.type === "Conv2D" && key === "kernel");
  if (!found) return null;
  const [kh, kw, channels, filters] = found.layer.shapes.kernel;
  const layout = mosaicLayout([kh, kw, filters]);
  const firstChannel = (values) =>
    Float32Array.from(
      { length: kh * kw * filters },
      (_, n) => values[Math.floor(n / filters) * channels * filters + (n % filters)],
    );
  const picture = (values, name) => {
    const canvas = element("canvas", {
      width: layout.width,
      height: layout.height,
      class: "map kernels",
      "aria-label": name,
    });
    const shown = firstChannel(values);
    const largest = largestOf(shown);
    drawMosaic(canvas, layout, shown, { largest });
    return element("div", {}, canvas, note(`${name}, up to ±${format(largest)}`));
  };
  return block(
    `the ${filters} kernels of ${found.layer.name}`,
    element(
      "div",
      { class: "pair" },
      picture(found.weight, "now"),
      picture(found.change, "change"),
    ),
  );
}

function lossCurve(losses) {
  const [width, height, left, bottom] = [320, 180, 44, 24];
  const canvas = element("canvas", {
    width: 2 * width,
    height: 2 * height,
    class: "curve",
    "aria-label": `losses: ${losses.map(format).join(", ")}`,
  });
  canvas.style.width = `${width}px`;
  const context = canvas.getContext("2d");
  context.scale(2, 2);
  const { color, accentColor, outlineColor } = getComputedStyle(document.body);
  const largest = Math.max(...losses.filter(Number.isFinite), 1e-9);
  const x = (step) => left + ((width - left - 8) * step) / Math.max(1, MANY - 1);
  const y = (loss) =>
    height - bottom - ((height - bottom - 10) * Math.min(loss, largest)) / largest;
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = color;
  context.strokeStyle = outlineColor;
  for (const loss of [0, largest / 2, largest]) {
    context.strokeRect(left, y(loss), width - left - 8, 0);
    context.fillText(loss.toPrecision(2), 2, y(loss) + 4);
  }
  context.fillText("step 1", left - 10, height - 6);
  context.fillText(String(MANY), width - 20, height - 6);
  context.strokeStyle = context.fillStyle = accentColor;
  context.lineWidth = 2;
  context.beginPath();
  losses.forEach((loss, step) => context.lineTo(x(step), y(loss)));
  context.stroke();
  losses.forEach((loss, step) => context.fillRect(x(step) - 2.5, y(loss) - 2.5, 5, 5));
  return canvas;
}
