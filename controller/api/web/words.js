// Numbers, times and durations as people read them.

const NUMBER = new Intl.NumberFormat("en");

export const number = (n) => NUMBER.format(n ?? 0);

export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

/** Seconds in their two largest units: `3m 20s`, `2d 4h`. */
export function span(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "";
  let rest = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]]) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count) parts.push(`${count}${unit}`);
    if (parts.length === 2) break;
  }
  return parts.join(" ") || "0s";
}

export const secondsSince = (instant, now = Date.now()) => (instant ? (now - Date.parse(instant)) / 1000 : null);

export function ago(instant) {
  const seconds = secondsSince(instant);
  if (seconds === null) return "";
  return seconds < 2 ? "just now" : `${span(seconds)} ago`;
}

/** How long an attempt ran, or has been running. */
export function took(job) {
  if (!job.running) return "";
  return span(((job.finished ? Date.parse(job.finished) : Date.now()) - Date.parse(job.running)) / 1000);
}

/** An instant in the reader's own time zone. */
export const local = (instant) =>
  instant ? new Date(instant).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }) : "";

export const percent = (part, whole) => (whole ? Math.floor((100 * part) / whole) : 0);
