// The figures of some seconds in words, by the names that the page has for them. Pure.
import { rateWords } from "./rates.js";

const total = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);

/** `0 B`, `1.4 KB`, `23 MB`: by powers of 1,024. */
export function size(bytes) {
  for (const [place, unit] of [[4, "TB"], [3, "GB"], [2, "MB"], [1, "KB"]])
    if (bytes >= 1024 ** place) return `${(bytes / 1024 ** place).toFixed(bytes < 10 * 1024 ** place ? 1 : 0)} ${unit}`;
  return `${Math.round(bytes)} B`;
}

export const delay = (seconds) => (seconds === null ? "-" : `${seconds < 0.01 ? (seconds * 1000).toFixed(1) : Math.round(seconds * 1000)} ms`);

/** Of all nodes together. */
export function figuresOf(second) {
  const each = (count) => rateWords(count / second.seconds);
  return {
    links: total(second.links).toLocaleString("en"),
    opens: each(total(second.opens)),
    closes: each(total(second.closes)),
    refusals: each(total(second.refusals)),
    messages: `${each(second.messages_in)} in, ${each(second.messages_out)} out`,
    bytes: `${size(second.bytes_in / second.seconds)}/s in, ${size(second.bytes_out / second.seconds)}/s out`,
    dial: delay(second.dial_p95_seconds),
    delivery: delay(second.delivery_p99_seconds),
    lag: delay(second.loop_lag_seconds),
    memory: size(second.resident_bytes),
  };
}

/** Of one node. */
export const figuresOfNode = (node) => ({
  links: node.links.toLocaleString("en"),
  messages: rateWords(node.messages / node.seconds),
  lag: delay(node.loop_lag_seconds),
  memory: size(node.resident_bytes),
});

/** Whether rows may have come or gone in it. */
export const hasChanges = (second) => total(second.opens) + total(second.closes) + total(second.refusals) > 0;
