"use strict";
/* Forward through a window: the arithmetic of a cell of a convolution or a pooling. */

function convolutionPanel(layer, x, y) {
  const { kh, kw } = layer.geometry;
  const found = convolutionTerms(layer, x, page.cell);
  const chosen = found.terms[Math.min(page.channel, found.terms.length - 1)];
  const channels = found.terms.length;
  const [i, j, f] = page.cell;
  const window = windowOf(layer.geometry, i, j);
  const isImage = page.layer === 0;
  const total = convolutionSum(layer, found, y[flatIndex(layer.outputShape, page.cell)]);
  const blocks = [
    block(
      ["input ", mapStepper("map", page.channel, channels, setChannel)],
      enlargedMap({
        values: x,
        shape: layer.inputShape,
        channel: page.channel,
        margin: marginOf(layer.geometry),
        window,
        largest: largestOf(x),
        isImage,
        name: `Input map ${page.channel} with the window`,
      }),
    ),
    block(
      "window",
      numberGrid(chosen.window, kw, { name: "window", scale: largestOf(chosen.window) || 1 }),
    ),
    sign("×"),
    block(`kernel[:, :, ${page.channel}, ${f}]`, numberGrid(chosen.kernel, kw, { name: "kernel" })),
    sign("="),
    block(
      "products",
      numberGrid(chosen.products, kw, { name: "products" }),
      element(
        "p",
        { class: "total" },
        "their sum: ",
        numberText(chosen.sum, { id: "products-sum" }),
      ),
      channels === 1 ? total : null,
    ),
  ];
  const title = `the sums of all ${channels} input maps`;
  const maps = channels > 1 ? block(title, channelBars(found.terms), total) : null;
  const result = [maps, sign("→"), outputMap(layer, y)];
  return [
    formula(convolutionFormula(layer, channels)),
    element("div", { class: "blocks" }, blocks, element("div", { class: "blocks" }, result)),
  ];
}

function convolutionFormula({ geometry, activation, params }, channels) {
  const { kh, kw } = geometry;
  const numbers = kh * kw * channels;
  const place = channels > 1 ? ` and ${channels} input maps` : "";
  const then = activation === "linear" ? "" : `, then ${activation}`;
  const bias = params.bias ? " plus a bias" : "";
  return (
    `The sum of ${numbers.toLocaleString("en")} products: window times kernel, ` +
    `for ${kh} × ${kw} cells${place}` +
    `${bias}${then}.`
  );
}

function channelBars(terms) {
  return signedBars(
    terms.map(({ channel, sum: value }) => ({
      label: `map ${channel}`,
      value,
      chosen: channel === page.channel,
      pick: () => setChannel(channel),
    })),
    "Sum of each input map",
  );
}

function convolutionSum(layer, { terms, bias, z }, y) {
  const f = page.cell[2];
  const products = terms.length > 1 ? `sum of ${terms.length} maps` : "sum of the products";
  const rows = [[products, sum(terms.map((term) => term.sum)), { id: "terms-sum" }]];
  if (layer.params.bias) rows.push([`+ bias[${f}]`, bias, { id: "bias" }]);
  return sumTable([...rows, ...activationRows(layer, z, y)]);
}

/* The winner of a pooling is outlined, and with a broken line those that equal it. */
function markOf(candidate, winner) {
  if (candidate === winner) return "marked";
  return candidate.value !== null && candidate.value === winner.value ? "tied" : "";
}

function poolingPanel(layer, x, y) {
  const { kh, kw } = layer.geometry;
  const [i, j, channel] = page.cell;
  const { candidates, winner, ties } = poolingTerms(layer, x, page.cell);
  const window = windowOf(layer.geometry, i, j);
  const values = candidates.map((candidate) => candidate.value);
  const words =
    ties > 1
      ? `${ties} cells are equally large: a tie. The first in reading order wins, as in Keras. ` +
        "Only the winner gets a gradient in the backward pass."
      : "The largest is passed on; in the backward pass, only this cell gets a gradient.";
  return [
    formula(`The largest of the ${kh} × ${kw} numbers in the window, in each map for itself.`),
    element(
      "div",
      { class: "blocks" },
      block(
        `input map ${channel}`,
        enlargedMap({
          values: x,
          shape: layer.inputShape,
          channel,
          margin: marginOf(layer.geometry),
          window,
          largest: largestOf(x),
          name: `Input map ${channel} with the window`,
          padding: POOLING_PADDING,
        }),
      ),
      block(
        "candidates",
        numberGrid(values, kw, {
          name: "candidates",
          mark: (n) => markOf(candidates[n], winner),
          scale: largestOf(x),
          padding: POOLING_PADDING,
        }),
        element(
          "p",
          { class: "total" },
          "largest: ",
          numberText(winner?.value ?? NaN, { id: "winner" }),
        ),
        element("p", { class: "note", id: "ties", "data-ties": ties }, words),
      ),
      sign("→"),
      outputMap(layer, y),
    ),
  ];
}
