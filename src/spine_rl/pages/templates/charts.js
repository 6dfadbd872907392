"use strict";
{
// Values of a chart at the step that is pointed at, or reached with the arrow keys. Text reaches the page through textContent alone.
const make = (name, parent) => parent.appendChild(document.createElementNS("http://www.w3.org/2000/svg", name));
const write = (number) => number.toLocaleString("en", { maximumSignificantDigits: 3, useGrouping: false });

function describe(line, index) {
  const parts = [`${line.label}: ${write(line.y[index])}`];
  if (line.raw) parts.push(`this step ${write(line.raw[index])}`);
  for (const band of line.bands) {
    const found = band.find(([x]) => x === line.x[index]);
    if (found) parts.push(`area ${write(found[1])} to ${write(found[2])}`);
  }
  return parts.join(", ");
}

function enliven(figure) {
  const chart = JSON.parse(figure.dataset.chart), svg = figure.querySelector("svg"), tip = figure.querySelector(".tip");
  const cursor = make("line", svg), stops = new Map();  // place of a step in the drawing → the step
  for (const line of chart.lines) line.x.forEach((x, index) => stops.set(line.at[index][0], x));
  const places = [...stops.keys()].sort((a, b) => a - b);
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", chart.top);
  cursor.setAttribute("y2", chart.bottom);
  const dots = chart.lines.map((line) => {
    const dot = make("circle", svg);
    dot.setAttribute("r", 3);
    dot.setAttribute("fill", line.colour);
    return dot;
  });
  let at = -1;

  function show(index) {
    at = index;
    const place = places[index], x = stops.get(place), box = svg.viewBox.baseVal;
    cursor.setAttribute("x1", place);
    cursor.setAttribute("x2", place);
    tip.replaceChildren();
    tip.appendChild(document.createElement("strong")).textContent = `${chart.x} ${Number.isInteger(x) ? x : write(x)}`;
    chart.lines.forEach((line, number) => {
      const found = line.x.indexOf(x);
      dots[number].style.display = found < 0 ? "none" : "";
      if (found < 0) return;
      dots[number].setAttribute("cx", line.at[found][0]);
      dots[number].setAttribute("cy", line.at[found][1]);
      const row = tip.appendChild(document.createElement("div"));
      row.textContent = describe(line, found);
      row.style.borderLeftColor = line.colour;
    });
    tip.hidden = false;
    figure.classList.add("pointed");
    const right = place > box.width / 2;  // the tip stands on the side that has more room
    tip.style.left = right ? "" : `${(100 * place) / box.width + 2}%`;
    tip.style.right = right ? `${100 - (100 * place) / box.width + 2}%` : "";
  }

  function hide() {
    tip.hidden = true;
    figure.classList.remove("pointed");
  }

  function point(event) {
    const box = svg.getBoundingClientRect();
    const place = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const distances = places.map((other) => Math.abs(other - place));
    show(distances.indexOf(Math.min(...distances)));
  }

  figure.addEventListener("pointermove", point);
  figure.addEventListener("pointerdown", point);
  figure.addEventListener("pointerleave", hide);
  figure.addEventListener("blur", hide);
  figure.addEventListener("keydown", (event) => {
    const last = places.length - 1;
    const next = { ArrowRight: Math.min(at + 1, last), ArrowLeft: Math.max(at - 1, 0), Home: 0, End: last }[event.key];
    if (next === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    show(next);
    event.preventDefault();
  });
}

for (const figure of document.querySelectorAll("[data-chart]")) enliven(figure);
}
