// All batches: how far each is, what it waits for, and what failed.

import { ask, superseded } from "./client.js";
import { h } from "./dom.js";
import { ago, number, percent, plural, span } from "./words.js";

const OPEN = ["expanding", "running", "paused", "held"];
const CLOSED = ["finished", "cancelled"];
const FRESH = 15000;
const MOST_TOLD = 20;
const CHOICES = [["open", "Open", OPEN], ["closed", "Ended", CLOSED], ["all", "All", []]];

export function overviewView() {
  const state = { choice: "all", name: "", page: null, cursors: [""], asking: null, told: new Map(), telling: false };
  const view = {
    title: "Batches",
    ready: false,
    async load() {
      const [, , status] = CHOICES.find(([key]) => key === state.choice);
      const { name, cursors } = state;
      state.asking?.abort();
      state.asking = new AbortController();
      const page = await ask("batches", { status, name, cursor: cursors.at(-1), limit: 50 }, state.asking.signal);
      state.page = { ...page, cursors };
      view.ready = true;
      tell(state, view);
    },
    leave: () => state.asking?.abort(),
    draw: () => [heading(state, view), list(state), pager(state, view)],
  };
  return view;
}

/** Why each open batch waits and when it will be done: asked one after the other, and seldom, beside the list. */
async function tell(state, view) {
  if (state.telling) return;
  state.telling = true;
  const open = state.page.items.filter((batch) => OPEN.includes(batch.state)).slice(0, MOST_TOLD);
  for (const { batchId } of open) {
    if (Date.now() - (state.told.get(batchId)?.at ?? 0) < FRESH) continue;
    const charts = await ask(`batches/${batchId}/charts`).catch(() => null); // the list itself says what is wrong
    state.told.set(batchId, { at: Date.now(), charts: charts ?? state.told.get(batchId)?.charts });
    view.redraw();
  }
  state.telling = false;
}

async function again(view) {
  try {
    await view.load();
    view.trouble = null;
  } catch (error) {
    if (superseded(error)) return;
    view.trouble = error;
  }
  view.redraw();
}

/** Another list: its first page. */
function choose(state, view, wanted) {
  Object.assign(state, wanted, { cursors: [""] });
  again(view);
}

/** Another page of the list that is shown, unless another list is on its way: the cursor would not be of that. */
function turn(state, view, cursors) {
  if (state.page.cursors !== state.cursors) return;
  state.cursors = cursors;
  again(view);
}

const heading = (state, view) => h("div", { class: "head", "data-key": "head" },
  h("h1", { tabindex: -1 }, "Batches"),
  h("div", { class: "filters" },
    h("div", { class: "buttons", role: "group", "aria-label": "Which batches" }, CHOICES.map(([key, label]) =>
      h("button", {
        type: "button", "data-key": key, "aria-pressed": String(state.choice === key),
        onclick: () => choose(state, view, { choice: key }),
      }, label))),
    h("form", { onsubmit: (event) => { event.preventDefault(); choose(state, view, {}); } },
      h("label", {}, "Name", h("input", {
        type: "search", id: "name-filter", placeholder: "whole name", value: state.name, autocomplete: "off",
        oninput: (event) => { state.name = event.target.value.trim().toLowerCase(); if (!state.name) choose(state, view, {}); },
      })))));

function list(state) {
  const { items } = state.page;
  if (!items.length) return nothing(state);
  return h("ul", { class: "cards", "data-key": "list" }, items.map((batch) => card(batch, state.told.get(batch.batchId)?.charts)));
}

const nothing = (state) => h("div", { class: "card empty", "data-key": "list" },
  h("h2", {}, state.name || state.choice !== "all" ? "No batch is like that" : "No batch yet"),
  h("p", {}, state.name || state.choice !== "all"
    ? "Choose All and clear the name to see every batch that you may see."
    : "Drop a spec file into the watched folder, or send one with 'batchkeeper submit'."));

function card(batch, charts) {
  const open = OPEN.includes(batch.state);
  const why = open ? charts?.why || batch.reason : batch.reason;
  return h("li", { class: "card", "data-key": batch.batchId },
    h("div", { class: "head" },
      h("h2", { class: "title" }, h("a", { href: `#/batches/${batch.batchId}` }, batch.batch.split("/").at(-1)), standing(batch)),
      h("span", { class: "soft small" }, `${batch.owner} · ${batch.batch.split("/")[0]} · ${ago(batch.accepted)}`)),
    progress(batch, open ? charts?.eta_seconds : null),
    failures(batch, charts),
    why && h("p", { class: "small soft", "data-key": "why" }, why));
}

/** How a batch stands: its state, with its result once it is over; cancelling until everything has ended. */
export function standing(batch) {
  const told = batch.cancelling ? "cancelling" : batch.state;
  return h("span", { class: `state ${batch.result ?? told}` }, batch.result ? `${told} (${batch.result})` : told);
}

/** Progress by where tasks stand, as a bar and in words: no colour tells anything alone. */
export function progress(batch, eta = null) {
  const { total, completed, endedWithoutSuccess: failed, active, waiting } = batch.tasks;
  const parts = [["completed", completed], ["failed", failed], ["active", active], ["waiting", waiting]];
  const most = batch.settings?.maxConcurrent?.value;
  const words = { completed: "completed", failed: "ended without success", waiting: "waiting",
    active: `active of ${most ?? batch.activeJobsInBatch.split(" of ").at(-1)}` };
  return h("div", {},
    h("div", { class: "bar", role: "img", "aria-label": `${percent(completed, total)} % completed` },
      parts.filter(([, n]) => n).map(([key, n]) => h("i", { class: key, style: { width: `${(100 * n) / total}%` } }))),
    h("ul", { class: "legend" },
      h("li", {}, h("strong", {}, `${number(completed + failed)} of ${number(total)} done`)),
      eta ? h("li", { "data-key": "eta" }, `done in about ${span(eta)}`) : null,
      parts.filter(([key, n]) => n || key === "active").map(([key, n]) =>
        h("li", {}, h("span", { class: `key ${key}` }), `${number(n)} ${words[key]}`)),
      batch.foreign ? h("li", { class: "soft" }, `${plural(batch.foreign, "job")} of others under its names count too`) : null));
}

/** Attempts by verdict, once they have been counted; until then first attempts, which the list itself tells. */
function failures(batch, charts) {
  const found = Object.entries(charts?.failures ?? batch.firstAttempts ?? {}).filter(([verdict]) => verdict !== "succeeded");
  if (!found.length) return null;
  found.sort(([one, n], [other, m]) => m - n || one.localeCompare(other));
  return h("p", { class: "small", "data-key": "failures" }, h("span", { class: "soft" }, "Failed: "),
    found.map(([verdict, n]) => `${number(n)} ${verdict}`).join(", "));
}

function pager(state, view) {
  const { cursors, next } = state.page;
  const back = cursors.length > 1;
  if (!back && !next) return null;
  return h("div", { class: "pager", "data-key": "pager" },
    h("button", { type: "button", disabled: !back, onclick: () => turn(state, view, cursors.slice(0, -1)) }, "Newer"),
    h("button", { type: "button", disabled: !next, onclick: () => turn(state, view, [...cursors, next]) }, "Older"));
}
