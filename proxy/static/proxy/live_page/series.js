// What the charts of the Live page show, made of what the gateway tells of a span of time. Pure: no page, no clock.

const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
const words = (name) => name.replaceAll("_", " ");

/** `{experience: […], studio: […]}` as lines, the fullest first; what is added up of the rest last. */
const linesOf = (told, naming) =>
  Object.entries(told)
    .sort(([one, first], [other, second]) => (one === "other") - (other === "other") || sum(second) - sum(first) || (one < other ? -1 : 1))
    .map(([name, values]) => ({ name, label: words(name), title: naming[name] ?? words(name), values }));

const milliseconds = (values) => values.map((value) => (value === null ? null : value * 1000));

/**
 * The four charts of `told`, which `/admin/proxy/live/series/` answers; `naming` has words for causes, of closes and of refusals.
 * `kind` says how values read: "level" as they stand, "count" as so many in a step, "delay" in milliseconds.
 */
export function chartsOf(told, naming = { closes: {}, refusals: {} }) {
  const { at, step_seconds: stepSeconds, span } = told;
  // A node told of it, if only that it did nothing; of what is counted, of a whole step.
  const isKnown = (kind) => (kind === "count" ? told.opens : told.loop_lag_seconds).some((value) => value !== null);
  const chart = (id, kind, lines) => ({ id, kind, at, stepSeconds, span, lines, isKnown: isKnown(kind) });
  const opens = { name: "opens", label: "opened", title: "links that opened", values: told.opens };
  return [
    chart("links", "level", linesOf(told.links, {})),
    chart("ends", "count", [opens, ...linesOf(told.closes, naming.closes)]),
    chart("refusals", "count", linesOf(told.refusals, naming.refusals)),
    chart("delays", "delay", [
      { name: "dial", label: "dial p95", title: "nineteen of twenty dials took at most", values: milliseconds(told.dial_p95_seconds) },
      { name: "lag", label: "loop lag", title: "the latest of all event loops", values: milliseconds(told.loop_lag_seconds) },
    ]),
  ];
}

/** `0`, `12.3K`, `4.0 ms`: three digits at most. */
export function short(value, kind) {
  if (value === null || value === undefined) return "-";
  if (kind === "delay" && value >= 1000) return `${Math.round(value / 100) / 10} s`;
  if (kind === "delay") return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  for (const [unit, name] of [[1e9, "G"], [1e6, "M"], [1e4, "K"]])
    if (value >= unit) return `${(value / (name === "K" ? 1e3 : unit)).toFixed(value < 10 * unit ? 1 : 0)}${name}`;
  return String(Math.round(value * 10) / 10);
}

const SPANS = { "15m": "15 minutes", "1h": "hour", "24h": "24 hours", "7d": "7 days" };
const STEPS = [[86_400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];

/** `5 seconds`, `minute`, `30 minutes`. */
export function stepWords(seconds) {
  const [unit, name] = STEPS.find(([size]) => seconds % size === 0);
  return seconds === unit ? name : `${seconds / unit} ${name}s`;
}

const lastOf = (values) => values.findLast((value) => value !== null) ?? null;

/** Which step has the most, and how many; null where nothing is known. */
function peak(values) {
  let best = null;
  values.forEach((value, place) => {
    if (value !== null && (best === null || value > values[best])) best = place;
  });
  return best;
}

/** Of all lines together, step by step: null where nothing is known. */
const totals = (lines, length) =>
  Array.from({ length }, (_, place) => {
    const known = lines.map(({ values }) => values[place]).filter((value) => value !== null && value !== undefined);
    return known.length ? sum(known) : null;
  });

/** Of how much before the newest step that is known nobody told anything; "" for less than a minute. */
function gapWords(values, stepSeconds) {
  const known = values.slice(0, values.findLastIndex((value) => value !== null) + 1);
  const minutes = Math.round((known.filter((value) => value === null).length * stepSeconds) / 60);
  if (!minutes) return "";
  const [amount, unit] = minutes < 120 ? [minutes, "minute"] : [Math.round(minutes / 60), "hour"];
  return ` Nothing is known of ${amount} ${unit}${amount === 1 ? "" : "s"} of it.`;
}

function ofLevels({ at, lines, span, stepSeconds }, clock) {
  const all = totals(lines, at.length);
  const most = peak(all);
  if (most === null) return `None at the end of any ${stepWords(stepSeconds)} of the last ${SPANS[span]}.`;
  const known = all.filter((value) => value !== null);
  const first = lines.length > 1 ? ` Most on ${lines[0].label}.` : "";
  const least = Math.min(...known);
  if (least === all[most]) return `${short(least)} throughout, as far as it is known.${first}`;
  return `${short(lastOf(all))} now; between ${short(least)} and ${short(all[most])} in the last ${SPANS[span]}, most at ${clock(at[most])}.${first}${gapWords(all, stepSeconds)}`;
}

function ofCounts({ at, lines, span, stepSeconds }, clock) {
  const parts = lines.filter(({ values }) => sum(values)).map(({ label, values }) => `${short(sum(values))} ${label}`);
  if (!parts.length) return `None in the last ${SPANS[span]}.`;
  const all = totals(lines, at.length);
  return `${parts.join(", ")} in the last ${SPANS[span]}; most in the ${stepWords(stepSeconds)} from ${clock(at[peak(all)])}.${gapWords(all, stepSeconds)}`;
}

function ofDelays({ at, lines }, clock) {
  const parts = lines
    .filter(({ values }) => peak(values) !== null)
    .map(({ label, values }) => `${label} ${short(lastOf(values), "delay")} now, ${short(values[peak(values)], "delay")} at most (${clock(at[peak(values)])})`);
  return parts.length ? `${parts.join("; ")}.` : "";
}

const SUMMARIES = { level: ofLevels, count: ofCounts, delay: ofDelays };

/** A chart in a sentence, for who does not see it, or not yet; `clock` makes `09:33` of Unix seconds. */
export const summaryOf = (chart, clock) => (chart.isKnown ? SUMMARIES[chart.kind](chart, clock) : "Nothing is known of this time yet.");

/** The same figures for a table: the columns' heads, and a row for each step, the newest first. */
export function tableOf({ at, lines, kind }, clock) {
  const rows = at.map((second, place) => [clock(second), ...lines.map(({ values }) => short(values[place], kind))]);
  return { head: ["From", ...lines.map(({ label }) => label)], rows: rows.reverse() };
}

/** From where to where somebody dragged, in whole steps that hold it all. */
export function rangeOf(one, other, stepSeconds) {
  const [since, until] = one < other ? [one, other] : [other, one];
  return { since: Math.floor(since / stepSeconds) * stepSeconds, until: Math.ceil(until / stepSeconds) * stepSeconds };
}

/** How often a span is asked for: its newest step is half as old then, and nobody waits for a week's. */
export const pauseOf = (stepSeconds) => Math.min(300, Math.max(10, stepSeconds / 2)) * 1000;
