// The API: one function for questions, one for orders, and the stream of what changes.

const BASE = new URL("api/v1/", document.baseURI);
/** Milliseconds after which a silence is none any more: the stream says something every 15 s. */
const PATIENCE = 40000;

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
  let text;
  try {
    response = await fetch(new URL(path, BASE), { credentials: "same-origin", cache: "no-store", ...options });
    text = await response.text();
  } catch (error) {
    if (superseded(error)) throw error;
    throw new Trouble("Batchkeeper does not answer: is the daemon up, and the network?");
  }
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
  const silence = patience(signal);
  const headers = authorised();
  return exchange(`${path}${tail}`, { headers, signal: silence.signal }).catch((error) => {
    // A refusal of the token before says nothing of the one that was given meanwhile.
    if (error.status === 401 && headers.Authorization !== authorised().Authorization) return ask(path, query, signal);
    throw error;
  }).finally(silence.end);
}

/** A signal for a while: it gives up when nothing was `heard` for that long, or with another one. */
function patience(other = undefined) {
  const controller = new AbortController();
  const { signal } = controller;
  const give = () => controller.abort(other?.reason);
  let timer = null;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort(new Error("silence")), PATIENCE);
  };
  other?.addEventListener("abort", give);
  if (other?.aborted) give();
  heard();
  return { signal, heard, give, end: () => { clearTimeout(timer); other?.removeEventListener("abort", give); } };
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
 * Nothing is asked for before `may()`. It gives back `again`, which asks at once, and `rest`, which lets go.
 */
export function follow(changed, up, may) {
  let pause = SHORTEST;
  let wake = () => {};
  let rest = () => {};
  const once = async () => {
    const silence = patience();
    rest = silence.give;
    try {
      await listen(silence);
    } finally {
      silence.end();
    }
  };
  const listen = async (silence) => {
    const response = await fetch(new URL("events", BASE), { headers: authorised(), cache: "no-store", signal: silence.signal });
    if (!response.ok || !response.body) throw new Trouble("no stream", response.status);
    up(true);
    pause = SHORTEST;
    changed("");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let left = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      silence.heard();
      left += value;
      const events = left.split(/\r?\n\r?\n/);
      left = events.pop();
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
  return { rest: () => rest(), again: () => { pause = SHORTEST; wake(); } };
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
