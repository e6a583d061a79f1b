// What people order: each is asked once, and the question shows what it would do, by a dry run of the very order.

import { order, Trouble } from "./client.js";
import { h, show } from "./dom.js";
import { me } from "./signing.js";
import { number, plural } from "./words.js";

const dialog = document.getElementById("dialog");
const SHOWN = 8;
const AT_ONCE = 10000;

/** Say something that passes; a failure stays longer. */
export function toast(text, bad = false) {
  const made = h("p", { class: bad ? "toast bad" : "toast", role: bad ? "alert" : null }, text);
  document.getElementById("toasts").append(made);
  setTimeout(() => made.remove(), bad ? 12000 : 5000);
}

/**
 * Ask once. `rehearse(body)` says what it would do as lines, or throws; `act(body)` does it and returns a sentence.
 * `fields(refresh)` are the order's own inputs, `body(form)` what is sent of them.
 */
function question({ title, verb, danger = false, fields = () => [], body = () => ({}), rehearse, act }) {
  const state = { lines: null, trouble: "", busy: false, token: 0, admin: false, left: false };
  const form = () => dialog.querySelector("form");
  const read = () => ({ ...body(form()), ...(state.admin ? { as_admin: true } : {}) });
  const draw = () => show(dialog, [h("form", { method: "dialog", novalidate: true, onsubmit: submit },
    h("h2", { id: "dialog-title", tabindex: -1 }, title), fields(rehearsed),
    h("div", { "aria-live": "polite" }, state.trouble ? h("p", { class: "notice" }, state.trouble)
      : state.lines === null ? h("p", { class: "soft" }, "Looking at what it would do …")
        : h("ul", { class: "what" }, state.lines.map((line) => h("li", {}, line)))),
    me.operator && h("label", { class: "check small" },
      asAdmin(), "act as an admin, on what belongs to others"),
    h("div", { class: "buttons" },
      h("button", { type: "submit", class: danger ? "danger" : "primary", disabled: state.busy || state.lines === null }, verb),
      h("button", { type: "button", onclick: () => dialog.close() }, "Leave it")))]);
  function asAdmin() {
    const box = h("input", { type: "checkbox", name: "as_admin", id: "as-admin",
      onchange: (event) => { state.admin = event.target.checked; rehearsed(); } });
    box.checked = state.admin;
    return box;
  }
  async function rehearsed() {
    const token = ++state.token;
    state.lines = null;
    state.trouble = "";
    draw();
    try {
      const lines = await rehearse(read());
      if (token === state.token) state.lines = lines;
    } catch (error) {
      if (token === state.token) state.trouble = error.message;
    }
    if (token === state.token) draw();
  }
  async function submit(event) {
    event.preventDefault();
    if (state.busy || state.lines === null) return;
    state.busy = true;
    draw();
    try {
      toast(await act(read()));
      if (!state.left) dialog.close();
    } catch (error) {
      state.trouble = error instanceof Trouble ? error.message : `This page has a bug: ${error.message}`;
      if (state.left) toast(`${title} ${state.trouble}`, true);
    }
    state.busy = false;
    if (!state.left && dialog.open) draw(); // by now it may be another question's
  }
  const before = document.activeElement;
  dialog.onclose = () => {
    state.token += 1;
    state.left = true;
    show(dialog, []);
    if (before?.isConnected) before.focus({ preventScroll: true });
    else if (document.activeElement === document.body) document.getElementById("main").focus({ preventScroll: true });
  };
  draw();
  dialog.showModal();
  return rehearsed();
}

// ------------------------------------------------------------------------------------------------- jobs

const named = (jobs) => (jobs.length === 1 ? jobs[0].name : plural(jobs.length, "job"));

/** What answers per id come to, as lines: what is done, and each reason for which something is not. */
function told(answers, would) {
  const done = answers.filter((one) => one.done);
  const refused = new Map();
  for (const one of answers.filter((each) => !each.done)) {
    const reason = one.name ? one.error.replace(one.name, "it") : one.error;
    refused.set(reason, [...(refused.get(reason) ?? []), one.name || one.job_id]);
  }
  const warnings = new Set(answers.map((one) => one.warning).filter(Boolean));
  const names = done.slice(0, SHOWN).map((one) => one.name).join(", ");
  const more = done.length > SHOWN ? ` and ${number(done.length - SHOWN)} more` : "";
  return [
    done.length ? `${would}: ${names}${more}` : "Nothing would be done.",
    ...[...refused].map(([reason, those]) => `Refused, ${plural(those.length, "job")} (${those.slice(0, 3).join(", ")}${those.length > 3 ? " …" : ""}): ${reason}`),
    ...[...warnings].slice(0, 3),
  ];
}

async function ofMany(what, jobs, body, options) {
  const answers = [];
  for (let from = 0; from < jobs.length; from += AT_ONCE) {
    const ids = jobs.slice(from, from + AT_ONCE).map((job) => job.id);
    const key = options.key && `${options.key}-${from}`;
    const found = await order(`jobs/${what}`, { ...body, job_ids: ids }, { ...options, key });
    answers.push(...(found.answers ?? found.items ?? found));
  }
  return answers;
}

const after = (view) => view?.ordered?.();

export function retryJobs(jobs, view) {
  const keys = new Map();
  /** The same order has the same key, however often it is sent; with other resources it is another one. */
  const keyOf = (body) => {
    const told = JSON.stringify(body);
    if (!keys.has(told)) keys.set(told, crypto.randomUUID?.() ?? String(Math.random()));
    return keys.get(told);
  };
  const resources = (form) => {
    const memory = form?.elements.memory?.value.trim();
    const cpu = form?.elements.cpu?.value.trim();
    const asked = { ...(memory ? { memory } : {}), ...(cpu ? { cpu } : {}) };
    return Object.keys(asked).length ? { resources: asked } : {};
  };
  return question({
    title: `Retry ${named(jobs)}?`,
    verb: "Retry",
    fields: (refresh) => h("div", { class: "filters" },
      h("label", {}, "Memory instead", h("input", { type: "text", name: "memory", id: "retry-memory", size: 8, placeholder: "as before", onchange: refresh })),
      h("label", {}, "CPU instead", h("input", { type: "text", name: "cpu", id: "retry-cpu", size: 8, placeholder: "as before", onchange: refresh }))),
    body: resources,
    rehearse: async (body) => told(await ofMany("retry", jobs, body, { dryRun: true }), "Stand in line as their next attempt"),
    async act(body) {
      const answers = await ofMany("retry", jobs, body, { key: keyOf(body) });
      after(view);
      const done = answers.filter((one) => one.done).length;
      return `${plural(done, "retry", "retries")} recorded${done < answers.length ? `, ${number(answers.length - done)} refused` : ""}`;
    },
  });
}

export function cancelJobs(jobs, view) {
  return question({
    title: `Cancel ${named(jobs)}?`,
    verb: "Cancel them",
    danger: true,
    body: () => ({ why: "cancelled on the page" }),
    rehearse: async (body) => told(await ofMany("cancel", jobs, body, { dryRun: true }), "Stopped, or withdrawn before they start"),
    async act(body) {
      const answers = await ofMany("cancel", jobs, body, {});
      after(view);
      const done = answers.filter((one) => one.done).length;
      return `${plural(done, "job")} cancelled${done < answers.length ? `, ${number(answers.length - done)} refused` : ""}`;
    },
  });
}

// ---------------------------------------------------------------------------------------------- batches

function ofBatch(batch, what, { title, verb, danger, fields, body = () => ({}) }, view) {
  const path = `batches/${batch.batchId}/${what}`;
  const sentence = (answer) => `${answer.name ?? ""} ${answer.did ?? ""}`.trim();
  return question({
    title, verb, danger, fields, body,
    rehearse: async (asked) => [sentence(await order(path, asked, { dryRun: true }))],
    async act(asked) {
      const answer = await order(path, asked);
      after(view);
      return sentence(answer);
    },
  });
}

const nameOf = (batch) => batch.batch.split("/").at(-1);

export const pauseBatch = (batch, view) => ofBatch(batch, "pause", { title: `Pause ${nameOf(batch)}?`, verb: "Pause" }, view);

export const resumeBatch = (batch, view) => ofBatch(batch, "resume", { title: `Let ${nameOf(batch)} go on?`, verb: "Resume" }, view);

export const adoptBatch = (batch, view) => ofBatch(batch, "adopt",
  { title: `Take over what others run under the names of ${nameOf(batch)}?`, verb: "Take over" }, view);

export const cancelBatch = (batch, view) => ofBatch(batch, "cancel", {
  title: `Cancel all of ${nameOf(batch)}?`, verb: "Cancel the batch", danger: true, body: () => ({ why: "cancelled on the page" }),
}, view);

export const scaleBatch = (batch, view) => ofBatch(batch, "scale", {
  title: `How many jobs of ${nameOf(batch)} may be active?`,
  verb: "Change",
  fields: (refresh) => h("label", {}, "maxConcurrent", h("input", {
    type: "number", name: "max", id: "scale-max", min: 1, step: 1, required: true,
    value: String(batch.settings.maxConcurrent.value), onchange: refresh,
  })),
  body: (form) => ({ max_concurrent: Number(form?.elements.max?.value ?? batch.settings.maxConcurrent.value) }),
}, view);
