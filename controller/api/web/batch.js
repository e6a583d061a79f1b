// One batch: how far, what it waits for, what failed; its plots, its jobs, and what may be ordered.

import { ask, superseded } from "./client.js";
import { h } from "./dom.js";
import { adoptBatch, cancelBatch, pauseBatch, resumeBatch, scaleBatch } from "./orders.js";
import { progress, standing } from "./overview.js";
import { durations, timeline } from "./plots.js";
import { only, taskTable } from "./tasks.js";
import { ago, number, span } from "./words.js";

const CLOSED = ["finished", "cancelled"];

export function batchView(id) {
  const path = `batches/${encodeURIComponent(id)}`;
  const state = { batch: null, charts: null, asked: 0, shown: 0 };
  const view = {
    title: "Batch",
    ready: false,
    concerns: (batchId) => !state.batch || batchId === state.batch.batchId,
    async load() {
      const turn = state.asked += 1;
      const [batch, charts] = await Promise.all([ask(path), ask(`${path}/charts`), jobs()]);
      if (turn < state.shown) return;  // who asked later, after an order say, was answered before
      Object.assign(state, { batch, charts, shown: turn });
      view.title = nameOf(batch);
      view.ready = true;
    },
    ordered() {
      view.table.chosen.clear();
      view.load().then(() => view.redraw(), (error) => {
        if (superseded(error)) return;
        view.trouble = error;
        view.redraw();
      });
    },
    leave: () => view.table.asking?.abort(),
    draw: () => drawn(state, view),
  };
  view.table = taskTable(id, view);
  /** The first page must be there; later ones may be overtaken by a newer question about the jobs. */
  const jobs = () => view.table.load().catch((error) => {
    if (!superseded(error) || !view.table.page) throw error;
  });
  return view;
}

const nameOf = (batch) => batch.batch.split("/").at(-1);

function drawn({ batch, charts }, view) {
  const why = batch.waits?.[0] ?? batch.reason;
  const stopped = ["held", "paused"].includes(batch.state) && !batch.cancelling;
  return [
    h("p", { class: "crumbs", "data-key": "crumbs" }, h("a", { href: "#/" }, "Batches"), ` / ${batch.batch.split("/")[0]}`),
    h("div", { class: "head", "data-key": "head" },
      h("div", { class: "title" }, h("h1", { tabindex: -1 }, nameOf(batch)), standing(batch)),
      orders(batch, view)),
    h("section", { class: "card", "data-key": "progress", "aria-label": "Progress" }, progress(batch),
      why && h("p", { class: stopped ? "notice" : "why" }, why), facts(batch, charts), failed(batch, charts, view)),
    h("div", { class: "two", "data-key": "plots" },
      h("section", { class: "card", "aria-labelledby": "timeline" }, h("h2", { id: "timeline" }, "Active jobs over time"), timeline(charts.timeline)),
      h("section", { class: "card", "aria-labelledby": "durations" }, h("h2", { id: "durations" }, "How long jobs that completed took"), durations(charts.durations))),
    view.table.draw(),
  ];
}

/** What may be ordered: of what is over, or ends by a cancel already, nothing. */
function orders(batch, view) {
  if (CLOSED.includes(batch.state) || batch.cancelling) return null;
  const button = (label, act, kind = null, key = label) => h("button", { type: "button", class: kind, "data-key": key, onclick: () => act(batch, view) }, label);
  const adopt = (batch.reason ?? "").startsWith("adoption-needed");
  const stopped = ["paused", "held"].includes(batch.state);
  return h("div", { class: "buttons" },
    adopt ? button("Take over", adoptBatch, "primary", "go")
      : stopped ? button("Resume", resumeBatch, "primary", "go") : button("Pause", pauseBatch, null, "go"),
    button("Change the maximum", scaleBatch),
    button("Cancel the batch", cancelBatch, "danger"));
}

function facts(batch, charts) {
  const rows = [
    ["Owner", batch.owner], ["Active of at most", batch.activeJobsInBatch],
    ["Of others, counted", batch.foreign], ["Retries", batch.retries],
    ["Median time of a job", charts.median_seconds && span(charts.median_seconds)],
    ["Done in about", charts.eta_seconds === null ? null : span(charts.eta_seconds)],
    ["Accepted", `${ago(batch.accepted)}, from ${batch.source}`], ["Ended", batch.finished && ago(batch.finished)],
  ];
  return h("dl", { class: "facts" }, rows.filter(([, value]) => value).map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))));
}

/** Failures by verdict, each a way to the jobs behind it. */
function failed(batch, charts, view) {
  const found = Object.entries(charts.failures ?? {});
  if (!found.length) return null;
  return h("div", {}, h("h2", { class: "label" }, "Attempts that failed, by verdict"),
    h("ul", { class: "chips" }, found.map(([verdict, n]) => h("li", { "data-key": verdict },
      h("button", {
        type: "button", class: "chip", "aria-pressed": String(view.table.filters.verdict === verdict),
        onclick: () => only(view.table, { verdict: view.table.filters.verdict === verdict ? "" : verdict }),
      }, `${verdict} ${number(n)}`)))));
}
