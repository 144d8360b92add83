"use strict";
/* A slider that plays the contributions to a cell, one by one. */

/* A slider that plays messages one by one.

     messages   [{ sum }], whose sums add up to the cell
     words      step -> what message `step` is
     show       step -> elements                                                            */
function player({ title, messages, words, show, unit }) {
  const total = sum(messages.map((message) => message.sum));
  const picture = element("div", { class: "stamp" });
  const text = element("p", { class: "note words" });
  const sums = element("div", { class: "running" });
  const slider = element("input", {
    type: "range",
    id: "slider",
    min: 0,
    max: messages.length,
    step: 1,
    "aria-label": `${unit}s so far`,
  });
  const update = () => {
    const step = Number(slider.value);
    page.played = step;
    picture.replaceChildren(...show(step).filter(Boolean));
    text.textContent = words(step);
    const [now, soFar] = [
      step ? messages[step - 1].sum : 0,
      sum(messages.slice(0, step).map((m) => m.sum)),
    ];
    sums.replaceChildren(
      sumTable([
        [`${unit} ${step} of ${messages.length}`, now, { id: "message" }],
        ["sum so far", soFar, { id: "so-far", result: true }],
        ["all of them: dx", total, { id: "messages-sum" }],
      ]),
    );
    writeLink();
  };
  slider.value = page.played ?? messages.length;
  slider.addEventListener("input", update);
  const play = element(
    "button",
    { type: "button", id: "play", onclick: () => playSlider(slider) },
    "▶ Play",
  );
  update();
  const rows = messages.map((message, n) => ({
    label: `(${message.i}, ${message.j})`,
    value: message.sum,
    pick: () => {
      slider.value = n + 1;
      update();
    },
  }));
  return block(
    title,
    element("div", { class: "slider" }, play, slider),
    element("div", { class: "player" }, picture, element("div", {}, sums, text)),
    element(
      "details",
      {},
      element("summary", {}, `all ${messages.length} by position`),
      signedBars(rows, "Contributions"),
    ),
  );
}

/* Moves the slider from its beginning to its end, about three seconds long. */
function playSlider(slider) {
  clearInterval(page.playing);
  const steps = Number(slider.max);
  slider.value = 0;
  slider.dispatchEvent(new Event("input"));
  page.playing = setInterval(
    () => {
      if (!slider.isConnected || Number(slider.value) >= steps) return clearInterval(page.playing);
      slider.value = Number(slider.value) + 1;
      slider.dispatchEvent(new Event("input"));
    },
    Math.max(60, Math.min(400, 3000 / steps)),
  );
}
