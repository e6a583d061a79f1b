// The API: one function for questions, one for orders, and the stream of what changes.

const BASE = new URL("api/v1/", document.baseURI);

/** What the API refused, or that it could not be reached; `message` is one line for people. */
export class Trouble extends Error {
  constructor(message, status = 0, wait = 0) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
}

/** Whether a question failed only because another one took its place: nobody needs to hear of it. */
export const superseded = (error) => error.name === "AbortError";

async function exchange(path, options) {
  let response;
  try {
    response = await fetch(new URL(path, BASE), { credentials: "same-origin", cache: "no-store", ...options });
  } catch (error) {
    if (superseded(error)) throw error;
    throw new Trouble("Batchkeeper does not answer: is the daemon up, and the network?");
  }
  const text = await response.text();
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    throw new Trouble(`Batchkeeper's answer makes no sense (${response.status})`, response.status);
  }
  if (!response.ok) {
    const wait = Number(response.headers.get("Retry-After")) || 0;
    throw new Trouble(body?.detail ?? `refused (${response.status})`, response.status, wait);
  }
  return body;
}

const authorised = () => {
  const token = sessionStorage.getItem("token");
  return token ? { Authorization: `Bearer ${token}` } : {};
};

/** Ask: `query` may hold lists, which become repeated parameters; empty values are left out. */
export function ask(path, query = {}, signal = undefined) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [].concat(value)) if (one !== "" && one !== null && one !== undefined) parameters.append(name, one);
  }
  const tail = parameters.size ? `?${parameters}` : "";
  return exchange(`${path}${tail}`, { headers: authorised(), signal });
}

/** Order. `key` makes a repeated request harmless; a dry run says what it would do and does nothing. */
export function order(path, body, { dryRun = false, key = undefined } = {}) {
  return exchange(`${path}${dryRun ? "?dry_run=true" : ""}`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "X-Requested-With": "batchkeeper",
      ...(key ? { "Idempotency-Key": key } : {}),
      ...authorised(),
    },
    body: JSON.stringify(body ?? {}),
  });
}

const SHORTEST = 1000;
const LONGEST = 15000;

/**
 * Call `changed(batchId)` for what changes (empty: anything may have), `up(bool)` as the stream comes and goes.
 * Nothing is asked for before `may()`. What it gives back asks again at once.
 */
export function follow(changed, up, may) {
  let pause = SHORTEST;
  let wake = () => {};
  const once = async () => {
    const response = await fetch(new URL("events", BASE), { headers: authorised(), cache: "no-store" });
    if (!response.ok || !response.body) throw new Trouble("no stream", response.status);
    up(true);
    pause = SHORTEST;
    changed("");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value;
      const events = rest.split(/\r?\n\r?\n/);
      rest = events.pop();
      for (const event of events) heard(event, changed);
    }
  };
  const forever = async () => {
    for (;;) {
      const begun = Date.now();
      try {
        if (may()) await once();
        if (may() && Date.now() - begun > SHORTEST) continue; // a stream ends now and then: the next one begins
      } catch (error) {
        if (error.status === 401) changed(""); // which asks who looks
      }
      if (may()) up(false);
      await new Promise((done) => { wake = done; setTimeout(done, pause * (0.5 + Math.random() / 2)); });
      pause = Math.min(LONGEST, pause * 2);
    }
  };
  forever();
  return () => {
    pause = SHORTEST;
    wake();
  };
}

function heard(event, changed) {
  const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
  if (!lines.length) return;
  try {
    changed(JSON.parse(lines.join("\n")).batch_id ?? "");
  } catch {
    changed("");
  }
}
