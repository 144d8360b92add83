"use strict";
/* The pad on which digits are drawn, the gallery of images, and what the network says. */

const PEN = 0.085; // of the pad's width
const pad = { drawing: false, drawn: false, last: null, waiting: false };

function setUpPad() {
  const canvas = byId("pad");
  canvas.getContext("2d", { willReadFrequently: true });
  if (page.network.inputShape[2] !== 1) {
    const sentence = `Pick an image: this network takes ${page.network.inputShape[2]} channels`;
    byId("input").querySelector("h2 span").textContent = sentence;
    byId("pad-hint").hidden = byId("clear").hidden = true;
  } else {
    canvas.addEventListener("pointerdown", startStroke);
    canvas.addEventListener("pointermove", continueStroke);
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => (pad.drawing = false));
    }
  }
  byId("clear").addEventListener("click", clearDrawing);
}

function startStroke(event) {
  event.preventDefault();
  const canvas = byId("pad");
  canvas.setPointerCapture(event.pointerId);
  if (!pad.drawn) wipePad();
  pad.drawing = pad.drawn = true;
  pad.last = canvasPoint(canvas, event);
  drawStroke(pad.last, pad.last);
}

function continueStroke(event) {
  if (!pad.drawing) return;
  for (const each of event.getCoalescedEvents?.() ?? [event]) {
    const point = canvasPoint(byId("pad"), each);
    drawStroke(pad.last, point);
    pad.last = point;
  }
}

function drawStroke(from, to) {
  const canvas = byId("pad");
  const context = canvas.getContext("2d");
  context.strokeStyle = getComputedStyle(canvas).color;
  context.lineWidth = PEN * canvas.width;
  context.lineCap = "round";
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(to[0] + 0.01, to[1]); // a line of no length would not be drawn everywhere
  context.stroke();
  if (pad.waiting) return;
  pad.waiting = true;
  requestAnimationFrame(() => {
    pad.waiting = false;
    recogniseDrawing();
  });
}

/* How opaque a pixel is says how much ink there is, whatever its colour. */
function recogniseDrawing() {
  const { width, height } = byId("pad");
  const { data } = byId("pad").getContext("2d").getImageData(0, 0, width, height);
  const ink = Float32Array.from({ length: width * height }, (_, n) => data[4 * n + 3] / 255);
  const image = prepareInk(ink, height, width, page.network.inputShape);
  if (image) showDrawing(image);
}

function wipePad() {
  const canvas = byId("pad");
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

function clearPad() {
  pad.drawn = false;
  wipePad();
}

function clearDrawing() {
  clearPad();
  showDrawing(new Float32Array(sizeOf(page.network.inputShape)));
}

/* Shows an image of the gallery on the pad, so that one sees it large. */
function drawPicked() {
  if (page.imageNumber === null || pad.drawn) return;
  const canvas = byId("pad");
  const small = imageCanvas(page.image);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  wipePad();
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

/* An image in its own size: grey, or in colour if it has three channels. */
function imageCanvas(image) {
  const [h, w, channels] = page.network.inputShape;
  const canvas = element("canvas", { width: w, height: h });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(w, h);
  const pixels = new Uint32Array(picture.data.buffer);
  const largest = largestOf(image) || 1;
  for (let n = 0; n < h * w; n++) {
    const value = (channel) =>
      255 * Math.min(1, Math.max(0, image[n * channels + channel] / largest));
    if (channels === 3) pixels[n] = packedColour([value(0), value(1), value(2)]);
    else pixels[n] = colours.image[Math.round(value(0))];
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

function buildGallery() {
  const { groups } = page.network.images;
  const chosen = page.group;
  const tabs = groups.map(({ title }, n) =>
    element(
      "button",
      { type: "button", class: n === chosen ? "chosen" : "", onclick: () => pickGroup(n) },
      title,
    ),
  );
  const thumbs = groups[chosen].images.map((number) => thumbnail(number));
  byId("gallery").replaceChildren(
    element("div", { class: "tabs" }, tabs),
    element("div", { class: "thumbs" }, thumbs),
  );
}

function pickGroup(n) {
  page.group = n;
  buildGallery();
  drawVerdict();
}

function thumbnail(number) {
  const { predicted, numbers } = page.network.images;
  const [label, said] = [page.labels[number], predicted[number]];
  const mistake = said === label ? "" : `, taken for ${said}`;
  const title = `image ${numbers[number]}: ${label}${mistake}`;
  const attributes = {
    type: "button",
    title,
    "data-image": number,
    onclick: () => showImage(number),
  };
  const caption = element("small", {}, said === label ? `${label}` : `${label}→${said}`);
  return element(
    "button",
    { ...attributes, "aria-label": title },
    imageCanvas(page.images[number]),
    caption,
  );
}

/* The answer in words, and which image is chosen. */
function drawVerdict() {
  const { probabilities } = page.pass;
  const order = Array.from(probabilities.keys()).sort(
    (a, b) => probabilities[b] - probabilities[a],
  );
  const [first, second] = order;
  const blank = page.image.every((value) => value === 0);
  const truth = page.imageNumber === null ? null : page.labels[page.imageNumber];
  const words = [
    element("div", { class: "small" }, blank ? "Even of paper it says" : "It says"),
    element("div", { class: "answer", "data-answer": first }, String(first)),
    element("div", {}, percent(probabilities[first])),
    order.length > 1
      ? element("div", { class: "small" }, `then ${second}: ${percent(probabilities[second])}`)
      : null,
  ];
  if (truth !== null) {
    const right = truth === first;
    words.push(
      element(
        "div",
        { class: right ? "small" : "small wrong" },
        `label: ${truth}${right ? "" : ", a mistake"}`,
      ),
    );
  }
  byId("verdict").replaceChildren(...words.filter(Boolean));
  for (const button of byId("gallery").querySelectorAll("[data-image]")) {
    button.classList.toggle("chosen", Number(button.dataset.image) === page.imageNumber);
  }
  drawPicked();
}
