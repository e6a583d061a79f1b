// Elements from plain data, and bringing what is shown up to date without losing focus, selection or scroll.
// Used by every view: a view is a function from state to elements.

/** Of SVG's namespace; a document's own title is never made here, so `title` is the tooltip of a shape. */
const SVG = new Set(["svg", "g", "path", "rect", "line", "text", "title", "polyline", "circle"]);

/** An element. `on…` attributes are listeners, `false` and `null` leave an attribute out; text is never HTML. */
export function h(tag, attributes = {}, ...children) {
  const made = SVG.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) made[name] = value;
    else if (name === "style") for (const [key, one] of Object.entries(value)) made.style.setProperty(key, one);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}

/**
 * Make `shown` look like `wanted`: elements of one tag and `id` or `data-key` are kept and mended. Focus stays
 * where it is; when what had it is gone, it goes to the nearest heading that takes it.
 */
export function show(shown, wanted) {
  const focused = shown.contains(document.activeElement) ? document.activeElement : null;
  const around = [];
  for (let one = focused?.parentElement; one && shown.contains(one); one = one.parentElement) around.push(one);
  mendChildren(shown, [].concat(wanted).flat(Infinity).filter(Boolean));
  if (!focused) return;
  if (!focused.isConnected || focused.disabled) settle(around.filter((one) => one.isConnected));
  else if (document.activeElement !== focused) focused.focus({ preventScroll: true });
}

function settle(around) {
  const heading = around.map((one) => one.querySelector("[tabindex='-1']")).find(Boolean);
  (heading ?? document.getElementById("main")).focus({ preventScroll: true });
}

const LISTENERS = ["onclick", "onchange", "oninput", "onsubmit", "onkeydown", "onclose", "ontoggle"];

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset?.key || "" : "");

const alike = (one, other) =>
  one.nodeType === other.nodeType && one.nodeName === other.nodeName && keyOf(one) === keyOf(other);

function mendChildren(shown, wanted) {
  const keyed = new Map();
  const kept = new Set(wanted.map((want) => (typeof want === "string" ? "" : keyOf(want))));
  for (const child of [...shown.childNodes]) {
    if (!keyOf(child)) continue;
    if (kept.has(keyOf(child))) keyed.set(keyOf(child), child);
    else child.remove();
  }
  let next = shown.firstChild;
  for (const want of wanted) {
    const found = keyed.get(keyOf(want));
    if (found && alike(found, want)) {
      if (found === next) next = next.nextSibling;
      else shown.insertBefore(found, next);
      mend(found, want);
    } else if (next && alike(next, want) && !keyOf(next)) {
      const kept = next;
      next = next.nextSibling;
      mend(kept, want);
    } else {
      shown.insertBefore(typeof want === "string" ? document.createTextNode(want) : want, next);
    }
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

function mend(shown, want) {
  if (shown.nodeType === Node.TEXT_NODE) {
    if (shown.data !== want.data) shown.data = want.data;
    return;
  }
  const told = shown.getAttribute("value");
  for (const { name } of [...shown.attributes]) {
    if (name !== "style" && !want.hasAttribute(name) && !(shown.nodeName === "DETAILS" && name === "open")) shown.removeAttribute(name);
  }
  for (const { name, value } of want.attributes) {
    if (name !== "style" && shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  }
  // A style is set by its properties: as an attribute it would be refused by the content policy.
  if (want.style && shown.style.cssText !== want.style.cssText) shown.style.cssText = want.style.cssText;
  for (const name of LISTENERS) if (shown[name] !== want[name]) shown[name] = want[name];
  if (shown.nodeName === "INPUT") {
    if (shown.type === "checkbox") {
      shown.checked = want.checked;
      shown.indeterminate = want.indeterminate;
    } else if (shown !== document.activeElement && want.getAttribute("value") !== told) shown.value = want.value;
    return; // what somebody has typed stays, unless the view itself wants another value than before
  }
  mendChildren(shown, [...want.childNodes]);
  if (shown.nodeName === "SELECT" && shown !== document.activeElement) shown.value = want.value;
}
