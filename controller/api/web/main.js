// The page: which view stands where, who looks at it, and what keeps it live.

import { follow, Trouble } from "./client.js";
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

const ROUTES = [
  [/^#?\/?$/, () => overviewView()],
  [/^#\/batches\/([^/]+)$/, (id) => batchView(decodeURIComponent(id))],
  [/^#\/jobs\/([^/]+)$/, (id) => jobView(decodeURIComponent(id))],
];

/** Show what the address names; focus goes to its heading, so that a screen reader tells of it. */
async function go() {
  const [, make, found] = match(location.hash);
  view?.leave?.();
  view = make(...found.slice(1));
  view.redraw = draw;
  drawn += 1;
  show(main, [h("p", { class: "soft" }, "Loading …")]);
  await load();
  (main.querySelector("h1") ?? main).focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function match(hash) {
  for (const [pattern, make] of ROUTES) {
    const found = pattern.exec(hash);
    if (found) return [hash, make, found];
  }
  return [hash, () => nowhere(hash), [hash]];
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
    if (error.name === "AbortError") return;
    mine.trouble = error;
    if (error.status === 401 && number === drawn) return signIn(load);
  }
  if (number === drawn) draw();
}

function draw() {
  document.title = view.title ? `${view.title} · Batchkeeper` : "Batchkeeper";
  const trouble = view.trouble;
  const notice = trouble && h("p", { class: "notice", role: "alert", "data-key": "trouble" },
    trouble instanceof Trouble ? trouble.message : `This page has a bug: ${trouble.message}`);
  if (trouble && !(trouble instanceof Trouble)) console.error(trouble);
  show(main, [notice, ...(view.ready === false ? [] : [view.draw()].flat(Infinity))]);
}

/** Something changed: look once it is quiet, and not at every one of a thousand changes. */
function changed(batchId) {
  if (batchId && view?.concerns && !view.concerns(batchId)) return;
  if (soon === null && !document.hidden) soon = setTimeout(() => { soon = null; load(); }, QUIET);
}

function live(up) {
  const told = document.getElementById("live");
  told.className = up ? "live" : "live off";
  told.textContent = up ? "live" : "not live: reconnecting …";
}

window.addEventListener("hashchange", go);
document.addEventListener("visibilitychange", () => changed(""));
setInterval(() => changed(""), EVERY);
setInterval(() => view && !document.hidden && view.ready !== false && drawn && draw(), 1000);
await go();
follow(changed, live);
