// The table of one batch's jobs: filters, sorting, pages of a hundred from the server, and a choice of many.

import { ask, superseded } from "./client.js";
import { h } from "./dom.js";
import { cancelJobs, retryJobs, toast } from "./orders.js";
import { stateOf } from "./job.js";
import { ago, number, plural, took } from "./words.js";

const STATUSES = ["waiting", "created", "queued", "running", "completed", "error", "terminated"];
const VERDICTS = ["succeeded", "mount-failure", "configuration-error", "out-of-memory", "disrupted", "image-pull", "start-timeout",
  "deadline", "application-error", "cancelled", "reaped", "rejected", "lost", "name-collision", "unknown"];
const COLUMNS = [["Job", "order", ""], ["Status", "status", ""], ["Verdict", "verdict", ""], ["Exit", null, "number wide"],
  ["Took", "seconds", "number"], ["Node", "node", "wide"], ["Ended", "finished", "wide"], ["Why", null, ""]];
const PAGE = 100;
const MOST = 10000;

export function taskTable(batchId, view) {
  const table = {
    filters: { status: "", verdict: "", task: "" },
    sort: "order",
    descending: false,
    cursors: [""],
    page: null,
    chosen: new Map(),
    asking: null,
    last: null,
    async load() {
      const { cursors } = table;
      table.asking?.abort();
      table.asking = new AbortController();
      const page = await ask("jobs", table.query({ cursor: cursors.at(-1), limit: PAGE }), table.asking.signal);
      table.page = { ...page, cursors };
    },
    query: (more = {}) => ({ batch: batchId, ...table.filters, sort: table.sort, descending: table.descending ? "true" : "", ...more }),
    draw: () => drawn(table),
    async again() {
      try {
        await table.load();
        view.trouble = null;
      } catch (error) {
        if (superseded(error)) return;
        view.trouble = error;
      }
      view.redraw();
    },
    redraw: () => view.redraw(),
    view,
  };
  return table;
}

/** Look at the jobs of one verdict, from elsewhere on the page. */
export function only(table, filters) {
  Object.assign(table.filters, { status: "", verdict: "", task: "" }, filters);
  table.cursors = [""];
  return table.again();
}

function drawn(table) {
  if (!table.page) return null;
  return h("section", { class: "card", "data-key": "tasks", "aria-labelledby": "tasks" },
    h("div", { class: "head" }, h("h2", { id: "tasks", tabindex: -1 }, "Jobs"), filters(table)),
    table.page.items.length ? rows(table) : h("p", { class: "empty" }, "No job is like that."),
    pager(table),
    table.chosen.size > 0 && chosenBar(table));
}

function select(table, name, label, values) {
  return h("label", {}, label, h("select", {
    id: `filter-${name}`,
    onchange: (event) => only(table, { ...table.filters, [name]: event.target.value }),
  }, ["", ...values].map((value) => h("option", { value, selected: table.filters[name] === value }, value || "any"))));
}

let typing = null;

const filters = (table) => h("div", { class: "filters", role: "search" },
  select(table, "status", "Status", STATUSES),
  select(table, "verdict", "Verdict", VERDICTS),
  h("label", {}, "Task", h("input", {
    type: "search", id: "filter-task", size: 12, placeholder: "part of its id", value: table.filters.task, autocomplete: "off",
    oninput: (event) => {
      clearTimeout(typing);
      const task = event.target.value.trim();
      typing = setTimeout(() => only(table, { ...table.filters, task }), 200);
    },
  })),
  h("button", { type: "button", disabled: !table.page.total, onclick: () => chooseAll(table) },
    table.page.total > MOST ? `Choose the first ${number(MOST)}` : `Choose all ${number(table.page.total)}`));

/** Every job that the filters show, on all pages: up to what one request may name. */
async function chooseAll(table) {
  const asked = table.query({ limit: 1000 });
  let cursor = "";
  try {
    do {
      const page = await ask("jobs", { ...asked, cursor });
      for (const job of page.items) table.chosen.set(job.id, job);
      cursor = page.next;
    } while (cursor && table.chosen.size < MOST);
  } catch (error) {
    toast(error.message, true);
  }
  if (cursor) toast(`The first ${number(table.chosen.size)} are chosen: one request names no more`);
  table.redraw();
}

function rows(table) {
  const { items } = table.page;
  const all = items.every((job) => table.chosen.has(job.id));
  const some = items.some((job) => table.chosen.has(job.id));
  const box = h("input", { type: "checkbox", "aria-label": "Choose this page", onchange: (event) => {
    for (const job of items) event.target.checked ? table.chosen.set(job.id, job) : table.chosen.delete(job.id);
    table.redraw();
  } });
  box.checked = all;
  box.indeterminate = some && !all;
  return h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Jobs of this batch" }, h("table", {},
    h("caption", { class: "sr" }, "Jobs of this batch; the headings sort"),
    h("thead", {}, h("tr", {}, h("th", {}, h("span", { class: "pick" }, box)), COLUMNS.map((column) => heading(table, column)))),
    h("tbody", {}, items.map((job) => row(table, job)))));
}

function heading(table, [label, sort, kind]) {
  const now = table.sort === sort && sort !== null;
  const order = now ? (table.descending ? "descending" : "ascending") : null;
  return h("th", { scope: "col", class: kind, "aria-sort": order }, sort === null ? label : h("button", {
    type: "button", "data-key": sort,
    onclick: () => {
      table.descending = now ? !table.descending : ["seconds", "finished"].includes(sort);
      table.sort = sort;
      table.cursors = [""];
      table.again();
    },
  }, label, h("span", { "aria-hidden": "true" }, now ? (table.descending ? " ↓" : " ↑") : "")));
}

function row(table, job) {
  const box = h("input", { type: "checkbox", id: `pick-${job.id}`, "aria-label": `Choose ${job.name}`, onclick: (event) => choose(table, job, event) });
  box.checked = table.chosen.has(job.id);
  return h("tr", { "data-key": job.id, class: box.checked ? "chosen" : null },
    h("td", {}, h("span", { class: "pick" }, box)),
    h("td", { class: "tight name" }, h("a", { href: `#/jobs/${job.id}` }, job.name)),
    h("td", {}, stateOf(job)), h("td", { class: "tight" }, job.verdict ?? ""),
    h("td", { class: "number wide" }, job.exit_code ?? ""), h("td", { class: "number tight" }, took(job)),
    h("td", { class: "wide tight" }, job.node ?? ""), h("td", { class: "wide tight" }, ago(job.finished)),
    h("td", { class: "reason small" }, job.error || job.evidence.message || (job.retry_ids?.length ? `retried ${plural(job.retry_ids.length, "time")}` : "")));
}

/** One row, or with Shift all from the last one that was chosen to this. */
function choose(table, job, event) {
  const on = event.target.checked;
  // By their ids: rows come, go and move between two clicks.
  const [from, to] = [table.last, job.id].map((id) => table.page.items.findIndex((one) => one.id === id)).sort((a, b) => a - b);
  const between = event.shiftKey && from >= 0 ? table.page.items.slice(from, to + 1) : [job];
  for (const one of between) on ? table.chosen.set(one.id, one) : table.chosen.delete(one.id);
  table.last = job.id;
  table.redraw();
}

/** Another page of the jobs that are shown, unless others are on their way: the cursor would not be of those. */
function turn(table, cursors) {
  if (table.page.cursors !== table.cursors) return;
  Object.assign(table, { cursors, last: null });
  table.again();
}

function pager(table) {
  const { items, total, next, cursors } = table.page;
  const before = (cursors.length - 1) * PAGE;
  const shown = items.length ? `${number(before + 1)}–${number(before + items.length)} of ${number(total)}` : "none";
  return h("div", { class: "pager" }, h("p", { class: "soft small", role: "status" }, shown),
    h("div", { class: "buttons" },
      h("button", { type: "button", "data-key": "previous", disabled: cursors.length < 2,
        onclick: () => turn(table, cursors.slice(0, -1)) }, "Previous"),
      h("button", { type: "button", "data-key": "next", disabled: !next,
        onclick: () => turn(table, [...cursors, next]) }, "Next")));
}

function chosenBar(table) {
  const jobs = [...table.chosen.values()];
  const clear = () => { table.chosen.clear(); table.redraw(); };
  return h("div", { class: "chosen-bar", role: "group", "aria-label": "What is chosen" },
    h("strong", {}, `${plural(jobs.length, "job")} chosen`),
    h("div", { class: "buttons" },
      h("button", { type: "button", class: "primary", onclick: () => retryJobs(jobs, table.view) }, "Retry"),
      h("button", { type: "button", class: "danger", onclick: () => cancelJobs(jobs, table.view) }, "Cancel"),
      h("button", { type: "button", onclick: clear }, "Clear")));
}
