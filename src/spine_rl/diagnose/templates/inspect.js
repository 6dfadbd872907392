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

// Within a response: from marked token to marked token.
function moveInResponse(box, key) {
  const tokens = [...box.querySelectorAll("[data-details]")];
  const at = tokens.indexOf(current), last = tokens.length - 1;
  const next = tokens[{ ArrowRight: Math.min(at + 1, last), ArrowLeft: Math.max(at - 1, 0), Home: 0, End: last }[key]];
  if (next) { show(next); next.scrollIntoView({ block: "nearest" }); }
}

// On the page: from problem to problem.
function moveToProblem(step) {
  const shown = problems.map((problem) => problem.element).filter((element) => !element.hidden);
  const at = shown.indexOf(document.activeElement.closest(".problem"));
  const next = shown[Math.min(Math.max(at + step, 0), shown.length - 1)];
  if (next) { next.focus(); next.scrollIntoView({ block: "start" }); }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const box = document.activeElement.closest(".response .text"), typing = document.activeElement.closest("input, select");
  if (event.key === "Escape" && document.activeElement === search) { search.value = ""; filter(); }
  else if (box && ["ArrowRight", "ArrowLeft", "Home", "End"].includes(event.key)) moveInResponse(box, event.key);
  else if (!typing && event.key === "/") search.focus();
  else if (!typing && event.key === "j") moveToProblem(1);
  else if (!typing && event.key === "k") moveToProblem(-1);
  else return;
  event.preventDefault();
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
