// Plots as SVG, drawn from the numbers that the API has counted; each with its numbers as text beside it.

import { h } from "./dom.js";
import { number, plural, span } from "./words.js";

const W = 560, H = 190, LEFT = 38, RIGHT = 8, TOP = 10, BOTTOM = 26;
const x = (share) => LEFT + share * (W - LEFT - RIGHT);
const y = (share) => H - BOTTOM - share * (H - TOP - BOTTOM);
const at = (share, value) => `${x(share).toFixed(1)},${y(value).toFixed(1)}`;

/** Three round ticks or so, from 0 to a little over the most. */
function ticks(most) {
  const raw = Math.max(1, most) / 3;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = Math.max(1, [1, 2, 5, 10].map((one) => one * size).find((one) => one >= raw));
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step);
}

const frame = (marks, scale) => [
  marks.map((mark) => h("line", { class: "grid", x1: LEFT, x2: W - RIGHT, y1: y(mark / scale), y2: y(mark / scale) })),
  marks.map((mark) => h("text", { x: LEFT - 5, y: y(mark / scale) + 4, "text-anchor": "end" }, number(mark))),
  h("line", { class: "axis", x1: LEFT, x2: W - RIGHT, y1: y(0), y2: y(0) }),
];

const picture = (label, ...parts) => h("svg", { class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": label }, parts);

/** Active jobs against the cap: `{from, to, points: [[seconds, active], …], cap}`. */
export function timeline(told) {
  const { points, cap } = told ?? { points: [], cap: 0 };
  if (!points.length) return h("p", { class: "soft" }, "Nothing has started yet.");
  const length = Math.max(1, points.at(-1)[0]);
  const most = Math.max(cap, ...points.map(([, n]) => n));
  const marks = ticks(most);
  const scale = marks.at(-1) || 1;
  const steps = points.flatMap(([when, n], i) => [at(when / length, (points[i - 1]?.[1] ?? 0) / scale), at(when / length, n / scale)]);
  const area = `M${at(0, 0)} L${steps.join(" L")} L${at(1, 0)} Z`;
  const peak = Math.max(...points.map(([, n]) => n));
  return h("div", {}, picture(`At most ${peak} jobs were active at once; the maximum is ${cap}`, frame(marks, scale),
    h("path", { class: "active", d: area }),
    h("line", { class: "cap", x1: LEFT, x2: W - RIGHT, y1: y(cap / scale), y2: y(cap / scale) }),
    h("text", { x: LEFT, y: H - 8 }, "start"), h("text", { x: W - RIGHT, y: H - 8, "text-anchor": "end" }, `after ${span(length)}`)),
  h("p", { class: "small soft" }, `At most ${plural(peak, "job")} at once; dashed: the maximum now, ${number(cap)}.`));
}

/** How long jobs took: `{edges: [seconds, …], counts: [n, …]}`, one edge more than counts. */
export function durations(told) {
  const { edges, counts } = told ?? { edges: [], counts: [] };
  if (!counts.length) return h("p", { class: "soft" }, "No job has completed yet.");
  const marks = ticks(Math.max(...counts));
  const scale = marks.at(-1) || 1;
  const width = 1 / counts.length;
  const total = counts.reduce((sum, n) => sum + n, 0);
  return h("div", {}, picture(`${total} jobs took between ${span(edges[0])} and ${span(edges.at(-1))}`, frame(marks, scale),
    counts.map((n, i) => h("rect", {
      class: "column", x: x(i * width) + 1, width: Math.max(1, x((i + 1) * width) - x(i * width) - 2), y: y(n / scale), height: y(0) - y(n / scale),
    }, h("title", {}, `${n} took ${span(edges[i])} to ${span(edges[i + 1])}`))),
    h("text", { x: LEFT, y: H - 8 }, span(edges[0])), h("text", { x: W - RIGHT, y: H - 8, "text-anchor": "end" }, span(edges.at(-1)))),
  h("p", { class: "small soft" }, `${plural(total, "job")}, from ${span(edges[0])} to ${span(edges.at(-1))}.`));
}
