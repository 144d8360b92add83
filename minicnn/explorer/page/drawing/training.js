"use strict";
/* Steps of training in the page: what changed, what the loss is now, and how to take them back. */

const BATCH = 8; // images in a mini-batch of the twenty steps
const MANY = 20; // steps at once
const MOST_UNDO = 40; // snapshots of all weights
const RATES = { adam: 0.001, sgd: 0.01 };
const training = {
  name: "adam",
  rate: RATES.adam,
  optimizer: null,
  undo: [],
  report: null,
  stop: false,
};

function setUpTraining() {
  chooseOptimizer("adam", RATES.adam);
}

/* A new optimizer begins without momentum: Adam forgets its moving averages. */
function chooseOptimizer(name, rate) {
  Object.assign(training, { name, rate, optimizer: makeOptimizer(name, rate) });
}

/* Saves weights and optimizer before something changes them. */
function remember() {
  const { optimizer, report } = training;
  training.undo.push({
    ...snapshot(page.network, optimizer),
    optimizer,
    report,
    before: page.before,
  });
  if (training.undo.length > MOST_UNDO) training.undo.splice(1, 1); // the first is the beginning
}

function undo() {
  if (training.running || training.undo.length === 0) return;
  const saved = training.undo.pop();
  training.optimizer = saved.optimizer;
  Object.assign(training, { name: saved.optimizer.name, rate: saved.optimizer.learningRate });
  restore(page.network, training.optimizer, saved);
  training.report = saved.report;
  page.before = saved.before;
  refresh("image");
}

function undoAll() {
  if (training.running) return;
  training.undo.splice(1);
  undo();
}

/* One step on the image that is shown, with the chosen label. */
function oneStep() {
  if (training.running) return;
  computePass();
  remember();
  page.before = page.pass.probabilities;
  const before = training.undo.at(-1).weights;
  const gradients = trainedWeights(page.network, currentGradients());
  const loss = page.backward.loss;
  trainStep(page.network, training.optimizer, [page.image], [page.label]);
  page.pass = page.backward = null;
  computePass();
  training.report = {
    title: `One step of ${nameOf(training)} on this image, label ${page.label}`,
    losses: [
      ["loss before the step", loss],
      ["loss after it", lossOfShown()],
    ],
    changes: changesSince(before, gradients),
  };
  refresh("image");
}

function nameOf({ name, rate }) {
  return `${name === "adam" ? "Adam" : "SGD"} with learning rate ${rate}`;
}

function lossOfShown() {
  return crossEntropy(page.pass.logits, page.label).loss;
}

/* Twenty steps on mini-batches of the page's images; the curve grows while they run. */
async function manySteps() {
  if (training.running) return void (training.stop = true);
  Object.assign(training, { running: true, stop: false });
  computePass();
  remember();
  page.before = page.pass.probabilities;
  const before = training.undo.at(-1).weights;
  const report = {
    title: `${MANY} steps of ${nameOf(training)} on the page's images`,
    losses: [],
    curve: [],
  };
  training.report = report;
  report.losses.push([`mean loss of the ${page.images.length} images before`, await meanLoss()]);
  for (let step = 0; step < MANY && !training.stop; step++) {
    const numbers = batchOf(step);
    const [images, labels] = [page.images, page.labels].map((all) => numbers.map((n) => all[n]));
    report.curve.push(trainStep(page.network, training.optimizer, images, labels));
    refresh("image");
    await nextFrame();
  }
  report.losses.push([`mean loss of the ${page.images.length} images after`, await meanLoss()]);
  report.changes = changesSince(before);
  training.running = false;
  refresh("image");
}

/* The images of a mini-batch, from all parts of the list: some hard ones in each. */
function batchOf(step) {
  const count = page.images.length;
  const batches = Math.ceil(count / BATCH);
  return Array.from({ length: BATCH }, (_, n) => ((step % batches) + n * batches) % count);
}

async function meanLoss() {
  let total = 0;
  for (const [n, image] of page.images.entries()) {
    total += crossEntropy(forwardPass(page.network, image).logits, page.labels[n]).loss;
    if (n % 8 === 7) await nextFrame();
  }
  return total / page.images.length;
}

function nextFrame() {
  return new Promise((resolve) => setTimeout(resolve));
}

/* For each weight: the sizes of its numbers, of their changes, and of the gradient if given. */
function changesSince(saved, gradients = []) {
  return page.network.layers.flatMap((layer, n) =>
    Object.entries(layer.params).map(([key, weight]) => {
      const change = weight.map((value, at) => value - saved[n][key][at]);
      const gradient = gradients.find((each) => each.weight === weight)?.gradient;
      return { layer, key, weight, change, gradient: gradient && rootMeanSquare(gradient) };
    }),
  );
}

function rootMeanSquare(values) {
  return Math.sqrt(values.reduce((total, value) => total + value * value, 0) / values.length);
}
