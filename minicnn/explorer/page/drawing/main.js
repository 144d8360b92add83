"use strict";
/* Starts the page. */

function start() {
  page.network = makeNetwork(JSON.parse(byId("description").textContent));
  page.images = decodeImages(page.network.images);
  page.labels = page.network.images.labels;
  document.title = `${page.network.name}: a network one can touch`;
  byId("about").textContent = aboutText();
  byId("app").hidden = false;
  readColours();
  setUpPad();
  setUpTraining();
  buildGallery();
  buildOverview();
  drawLegend();
  setUpKeys();
  setUpTheme();
  buildTour();
  byId("help-button").addEventListener("click", () => byId("help").showModal());
  showImage(page.network.images.start);
  readLink();
  addEventListener("hashchange", readLink);
}

function aboutText() {
  const { layers, inputShape, regularized } = page.network;
  return (
    `${layers.length} layers on images of ${shapeText(inputShape)}; ` +
    "every number of the forward and the backward pass is computed here, in your browser." +
    (regularized ? " The penalties of its regularizers are left out of loss and gradients." : "")
  );
}

/* Links to places that show what the page can do. */
function buildTour() {
  const { layers } = page.network;
  const last = (type) => layers.findLast((layer) => layer.type === type)?.name;
  const [convolution, pooling, dense] = ["Conv2D", "MaxPooling2D", "Dense"].map(last);
  const places = [
    convolution && ["one cell of a convolution", `layer=${convolution}`],
    pooling && ["who wins in pooling", `layer=${pooling}`],
    dense && ["where the gradient begins", `layer=${dense}&mode=backward`],
    convolution && ["a gradient, stamp by stamp", `layer=${convolution}&mode=backward&step=5`],
    ["a step of training", "mode=train"],
  ];
  const links = places
    .filter(Boolean)
    .map(([text, link]) => element("a", { href: `#${link}` }, text));
  byId("tour").replaceChildren(element("span", {}, "Look at: "), ...links);
}

function drawLegend() {
  byId("legend").replaceChildren("negative", element("span", { class: "ramp" }), "positive");
}

function setUpTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => {
    readColours();
    buildGallery();
    tintDrawing();
    refresh();
  };
  byId("theme").addEventListener("click", () => {
    const { style } = document.documentElement;
    const now = style.colorScheme || (dark.matches ? "dark" : "light");
    style.colorScheme = now === "dark" ? "light" : "dark";
    redraw();
  });
  dark.addEventListener("change", redraw);
}

/* Strokes keep their place and get the ink of the new theme. */
function tintDrawing() {
  if (!pad.drawn) return;
  const canvas = byId("pad");
  const context = canvas.getContext("2d");
  context.globalCompositeOperation = "source-in";
  context.fillStyle = getComputedStyle(canvas).color;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "source-over";
}

try {
  start();
} catch (error) {
  byId("app").hidden = true;
  showNotice(
    `This page cannot show its network here: ${error.message}. It needs a current version of ` +
      "Firefox, Chrome, Edge or Safari, and a file that is complete.",
  );
  console.error(error);
}
