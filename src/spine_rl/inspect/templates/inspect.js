"use strict";
// Text reaches the page through textContent alone.
const details = document.getElementById("details");
const percent = (value) => (100 * value).toFixed(1) + " %";
let current = null;

function show(token) {
  if (current) current.classList.remove("current");
  current = token;
  token.classList.add("current");
  const data = JSON.parse(token.dataset.details);
  const others = data.top.map(([text, probability]) => `“${text}” ${percent(probability)}`).join("   ");
  details.textContent =
    `“${token.textContent}” ${percent(data.probability)}, entropy ${data.entropy} nats. Likeliest: ${others}`;
}

document.addEventListener("mouseover", (event) => {
  const token = event.target.closest("[data-details]");
  if (token) show(token);
});

document.addEventListener("keydown", (event) => {
  const box = document.activeElement.closest(".response .text");
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (box && step) {
    const tokens = [...box.querySelectorAll("[data-details]")];
    const at = tokens.indexOf(current);
    const next = tokens[at < 0 ? 0 : Math.min(Math.max(at + step, 0), tokens.length - 1)];
    if (next) { show(next); next.scrollIntoView({ block: "nearest" }); }
    event.preventDefault();
  } else if (event.key === "/" && document.activeElement !== search) {
    search.focus();
    event.preventDefault();
  }
});

const search = document.getElementById("search"), kind = document.getElementById("kind"), vote = document.getElementById("vote");
const problems = [...document.querySelectorAll(".problem")].map((element) => ({
  element,
  head: element.querySelector("h3").textContent + element.querySelector(".text").textContent,
  responses: [...element.querySelectorAll(".response")].map((part) => ({ element: part, text: part.textContent })),
}));

function filter() {
  const words = search.value.toLowerCase();
  let shown = 0;
  for (const problem of problems) {
    const inHead = problem.head.toLowerCase().includes(words);
    let any = false;
    for (const response of problem.responses) {
      const hit = (inHead || response.text.toLowerCase().includes(words))
        && (!vote.value || response.element.dataset.vote === vote.value);
      response.element.hidden = !hit;
      any ||= hit;
    }
    const visible = any && (!kind.value || problem.element.dataset.kind === kind.value);
    problem.element.hidden = !visible;
    shown += visible;
  }
  document.getElementById("count").textContent = `${shown} of ${problems.length} problems`;
}
for (const control of [search, kind, vote]) control.addEventListener("input", filter);
filter();
