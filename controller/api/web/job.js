// One job: why it is as it is, its task's attempts, its evidence and the end of its log, and what to do.

import { ask } from "./client.js";
import { h } from "./dom.js";
import { cancelJobs, retryJobs } from "./orders.js";
import { ago, local, took } from "./words.js";

const FAILED = ["error", "terminated"];

export function jobView(id) {
  const path = `jobs/${encodeURIComponent(id)}`;
  const state = { job: null, why: null, log: null, whole: false };
  const view = {
    title: "Job",
    ready: false,
    concerns: (batchId) => !state.job || state.job.batch_id === batchId,
    async load() {
      const [job, why] = await Promise.all([ask(path), ask(`${path}/explain`)]);
      Object.assign(state, { job, why });
      view.title = job.name;
      view.ready = true;
      if (state.whole) return;
      state.log = await logOf(path);
      state.whole = Boolean(job.finished) && !state.log.trouble; // what was read before its end lacks the end
    },
    draw: () => drawn(state, view),
  };
  return view;
}

async function logOf(path) {
  try {
    return await ask(`${path}/log`);
  } catch (error) {
    return { from: "", text: "", trouble: error.message };
  }
}

function drawn({ job, why, log }, view) {
  const newest = job.task.attempts.at(-1) ?? job;
  const active = !newest.finished;
  return [
    h("p", { class: "crumbs", "data-key": "crumbs" }, h("a", { href: "#/" }, "Batches"), " / ",
      h("a", { href: `#/batches/${job.batch_id}` }, "its batch"), ` / task ${job.task_id}`),
    h("div", { class: "head", "data-key": "head" },
      h("div", { class: "title" }, h("h1", { tabindex: -1 }, job.name), stateOf(job)),
      h("div", { class: "buttons" },
        FAILED.includes(newest.status) && h("button", { type: "button", class: "primary", "data-key": "retry", onclick: () => retryJobs([newest], view) }, "Retry"),
        active && h("button", { type: "button", class: "danger", "data-key": "cancel", onclick: () => cancelJobs([newest], view) }, "Cancel"))),
    h("p", { class: FAILED.includes(job.status) ? "notice" : "why", "data-key": "why" }, why.sentence),
    h("section", { class: "card", "data-key": "facts", "aria-labelledby": "facts" }, h("h2", { id: "facts" }, "What happened"), facts(job)),
    h("section", { class: "card", "data-key": "attempts", "aria-labelledby": "attempts" },
      h("h2", { id: "attempts" }, `Attempts of task ${job.task_id}`), lineage(job)),
    evidence(job),
    h("section", { class: "card", "data-key": "log", "aria-labelledby": "log" },
      h("h2", { id: "log" }, "The end of its log"), log?.from && h("p", { class: "soft small" }, log.from),
      log?.trouble ? h("p", { class: "notice" }, log.trouble)
        : log?.text ? h("pre", { tabindex: 0, "aria-label": "Log" }, log.text) : h("p", { class: "soft" }, "It wrote nothing that was kept.")),
    runs(job),
  ];
}

export const stateOf = (job) => h("span", { class: `state ${job.status}` }, job.terminating ? "terminating" : job.status);

function facts(job) {
  const { resources: asked } = job;
  const rows = [
    ["Verdict", job.verdict], ["Exit code", job.exit_code], ["Node", job.node], ["Took", took(job)],
    ["Started", local(job.running)], ["Ended", local(job.finished)], ["Owner", job.user],
    ["Asked for", `${asked.cpu} CPU, ${asked.memory}${asked.gpu ? `, ${asked.gpu} GPU` : ""}`],
    ["Not before", job.status === "waiting" ? local(job.not_before) : null],
    ["Stopped by", job.stop && `${job.stop.by}: ${job.stop.why}`],
  ];
  return h("dl", { class: "facts" }, rows.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))));
}

const lineage = (job) => h("ol", { class: "lineage" }, job.task.attempts.map((one) =>
  h("li", { "data-key": one.id, "aria-current": one.id === job.id ? "true" : null },
    one.id === job.id ? h("strong", {}, one.name) : h("a", { href: `#/jobs/${one.id}` }, one.name),
    stateOf(one), one.verdict && h("span", {}, one.verdict),
    h("span", { class: "soft small" }, [one.origin === "auto" ? `by rule ${one.rule}` : one.origin, one.node && `on ${one.node}`,
      one.finished ? `ended ${ago(one.finished)}` : `for ${ago(one.inserted).replace(" ago", "")}`].filter(Boolean).join(" · ")))));

function evidence(job) {
  const { reason, message, events } = job.evidence;
  const lines = [job.error && `What it came to: ${job.error}`, reason && `Reason: ${reason}`, message && `Message: ${message}`].filter(Boolean);
  if (!lines.length && !events.length) return null;
  return h("section", { class: "card", "data-key": "evidence", "aria-labelledby": "evidence" }, h("h2", { id: "evidence" }, "Evidence"),
    lines.map((line) => h("p", {}, line)),
    events.length > 0 && h("pre", { tabindex: 0, "aria-label": "Events" }, events.join("\n")));
}

function runs(job) {
  const told = job.job_input;
  if (!told) return null;
  return h("details", { class: "card", "data-key": "runs" }, h("summary", {}, "What it runs"),
    h("dl", { class: "facts" }, h("div", {}, h("dt", {}, "Image"), h("dd", { class: "mono" }, job.image_digest ? `${told.image} (${job.image_digest})` : told.image)),
      h("div", {}, h("dt", {}, "Command"), h("dd", { class: "mono" }, told.command.join(" ")))),
    told.env && h("pre", { tabindex: 0, "aria-label": "Environment" }, Object.entries(told.env).map(([name, value]) => `${name}=${value}`).join("\n")));
}
