// The page: which view stands where, who looks at it, and what keeps it live.

import { follow, superseded, Trouble } from "./client.js";
import { batchView } from "./batch.js";
import { h, show } from "./dom.js";
import { jobView } from "./job.js";
import { overviewView } from "./overview.js";
import { me, signIn, whoami } from "./signing.js";

const main = document.getElementById("main");
const QUIET = 400;
const EVERY = 15000;

let view = null;
let drawn = 0;
let soon = null;
let loading = false;
let missed = false;
let signing = false;
let stream = { again: () => {}, rest: () => {} };

const ROUTES = [
  [/^#?\/?$/, () => overviewView()],
  [/^#\/batches\/([^/]+)$/, (id) => batchView(id)],
  [/^#\/jobs\/([^/]+)$/, (id) => jobView(id)],
];

/** Show what the address names; focus goes to its heading, so that a screen reader tells of it. */
async function go() {
  view?.leave?.();
  document.getElementById("dialog").close();
  view = viewOf(location.hash);
  view.redraw = draw;
  drawn += 1;
  if (!signing) show(main, [h("p", { class: "soft" }, "Loading …")]);
  await load();
  if (!signing) (main.querySelector("h1") ?? main).focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function viewOf(hash) {
  for (const [pattern, make] of ROUTES) {
    const names = decoded(pattern.exec(hash));
    if (names) return make(...names);
  }
  return nowhere(hash);
}

/** What an address names; null: nothing, as of one that somebody typed with a percent sign in it. */
function decoded(found) {
  try {
    return found && found.slice(1).map((name) => decodeURIComponent(name));
  } catch {
    return null;
  }
}

const nowhere = (hash) => ({
  load: async () => {},
  draw: () => [h("div", { class: "card empty" }, h("h1", { tabindex: -1 }, "There is nothing here"),
    h("p", {}, `No page is called ${hash}.`), h("a", { href: "#/" }, "All batches"))],
});

/** Ask for everything that the view shows, then draw. What was on its way for another view is dropped. */
async function load() {
  const mine = view;
  const number = drawn;
  try {
    if (!me.user) await whoami();
    await mine.load();
    mine.trouble = null;
  } catch (error) {
    if (superseded(error)) return;
    if (error.status === 401) return ask();
    mine.trouble = error;
  }
  if (number === drawn) draw();
}

/** Ask who looks, once however much was refused; then go on where they were. */
function ask() {
  if (signing) return;
  signing = true;
  me.user = "";
  document.getElementById("dialog").close();
  signIn(async () => {
    signing = false;
    await load();
    if (signing) return;
    stream.again();
    (main.querySelector("h1") ?? main).focus({ preventScroll: true });
  });
}

function draw() {
  if (signing) return;
  document.title = view.title ? `${view.title} · Batchkeeper` : "Batchkeeper";
  const trouble = view.trouble;
  if (trouble && !(trouble instanceof Trouble)) console.error(trouble);
  const notice = trouble && h("p", { class: "notice", role: "alert", "data-key": "trouble" },
    trouble instanceof Trouble ? trouble.message : `This page has a bug: ${trouble.message}`);
  if (view.ready !== false) show(main, [notice, view.draw()]);
  else if (notice) show(main, [h("h1", { tabindex: -1 }, trouble.status === 404 ? "Not found" : view.title), notice,
    h("p", { "data-key": "back" }, h("a", { href: "#/" }, "All batches"))]);
}

/** Something changed: look once it is quiet, once for a thousand changes, and never twice at a time. */
function changed(batchId) {
  if (signing || document.hidden || (batchId && view?.concerns && !view.concerns(batchId))) return;
  if (loading) missed = true;
  else soon ??= setTimeout(look, QUIET);
}

async function look() {
  soon = null;
  loading = true;
  await load();
  loading = false;
  if (missed) changed("");
  missed = false;
}

function live(up) {
  const told = document.getElementById("live");
  told.className = up ? "live" : "live off";
  told.textContent = up ? "live" : "not live: reconnecting …";
}

document.querySelector(".skip").onclick = (event) => { event.preventDefault(); main.focus(); };
window.addEventListener("hashchange", go);
// A browser opens few connections to one server, for all of its tabs: one that nobody sees keeps none.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return stream.rest();
  stream.again();
  changed("");
});
setInterval(() => changed(""), EVERY);
setInterval(() => view && !document.hidden && view.ready !== false && drawn && draw(), 1000);
await go();
stream = follow(changed, live, () => !signing && !document.hidden);
