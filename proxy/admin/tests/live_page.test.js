// The pure parts of the Live page's scripts: `node --test proxy/admin/tests/`.
import assert from "node:assert/strict";
import test from "node:test";
import { delay, figuresOf, figuresOfNode, hasChanges, size } from "../../static/proxy/live_page/figures.js";
import { Rates, points, rateWords } from "../../static/proxy/live_page/rates.js";
import { chartsOf, pauseOf, rangeOf, short, stepWords, summaryOf, tableOf } from "../../static/proxy/live_page/series.js";

const clock = (at) => `t${at}`;
const TOLD = {
  span: "15m",
  step_seconds: 5,
  at: [0, 5, 10, 15],
  links: { other: [9, 9, 9, null], studio: [1, 2, 3, null], experience: [0, 5, 6, null] },
  opens: [null, 2, 1, null],
  closes: { client_left: [null, 1, 0, null], idle: [null, 0, 3, null] },
  refusals: { token_expired: [null, 0, 0, null] },
  dial_p95_seconds: [null, 0.012, null, null],
  loop_lag_seconds: [null, 0.001, 0.25, null],
};
const NAMING = { closes: { idle: "nothing crossed it for too long" }, refusals: {} };
const [links, ends, refusals, delays] = chartsOf(TOLD, NAMING);

test("the fullest line is the first, and what is added up of the rest the last", () => {
  assert.deepEqual(links.lines.map(({ name }) => name), ["experience", "studio", "other"]);
});

test("closes are under their causes, beside what opened, with their words", () => {
  assert.deepEqual(ends.lines.map(({ label }) => label), ["opened", "idle", "client left"]);
  assert.equal(ends.lines[1].title, "nothing crossed it for too long");
});

test("delays are in milliseconds, and what nobody knows stays unknown", () => {
  assert.deepEqual(delays.lines[0].values, [null, 12, null, null]);
});

test("each chart is a sentence", () => {
  assert.equal(summaryOf(links, clock), "18 now; between 10 and 18 in the last 15 minutes, most at t10. Most on experience.");
  assert.equal(summaryOf(ends, clock), "3 opened, 3 idle, 1 client left in the last 15 minutes; most in the 5 seconds from t10.");
  assert.equal(summaryOf(refusals, clock), "None in the last 15 minutes.");
  assert.equal(summaryOf(delays, clock), "dial p95 12 ms now, 12 ms at most (t5); loop lag 250 ms now, 250 ms at most (t10).");
});

test("a sentence says of how much nothing is known, as after an outage of Redis", () => {
  const at = Array.from({ length: 40 }, (_, place) => 5 * place);
  const known = (value) => at.map((second) => (second < 120 || second === 195 ? null : value));
  const [links, ends] = chartsOf({ ...TOLD, at, links: { studio: at.map((second) => (second < 120 ? null : second)) }, opens: known(1), closes: {} });
  assert.equal(summaryOf(links, clock), "195 now; between 120 and 195 in the last 15 minutes, most at t195. Nothing is known of 2 minutes of it.");
  assert.equal(summaryOf(ends, clock), "15 opened in the last 15 minutes; most in the 5 seconds from t120. Nothing is known of 2 minutes of it.");
});

test("of a gateway that has just started nothing is claimed", () => {
  const nothing = { ...TOLD, at: [0], links: {}, opens: [null], closes: {}, refusals: {}, dial_p95_seconds: [null], loop_lag_seconds: [null] };
  for (const chart of chartsOf(nothing)) assert.equal(summaryOf(chart, clock), "Nothing is known of this time yet.");
});

test("of a gateway that nobody uses it is said that there was nothing", () => {
  const idle = { ...TOLD, at: [0], links: {}, opens: [0], closes: {}, refusals: {}, dial_p95_seconds: [null], loop_lag_seconds: [0.001] };
  const [none, ...others] = chartsOf(idle).map((chart) => summaryOf(chart, clock));
  assert.equal(none, "None at the end of any 5 seconds of the last 15 minutes.");
  assert.deepEqual(others, ["None in the last 15 minutes.", "None in the last 15 minutes.", "loop lag 1.0 ms now, 1.0 ms at most (t0)."]);
});

test("a step that is not over yet is not taken for one in which nothing came", () => {
  const first = { ...TOLD, at: [0], links: { studio: [7] }, opens: [null], closes: {}, refusals: {}, dial_p95_seconds: [null], loop_lag_seconds: [0.001] };
  const [links, ends, refusals] = chartsOf(first).map((chart) => summaryOf(chart, clock));
  assert.deepEqual([links, ends, refusals], ["7 throughout, as far as it is known.", ...Array(2).fill("Nothing is known of this time yet.")]);
});

test("a table has the same figures, the newest first, and a gap for what nobody knows", () => {
  const { head, rows } = tableOf(ends, clock);
  assert.deepEqual(head, ["From", "opened", "idle", "client left"]);
  assert.deepEqual(rows[1], ["t10", "1", "3", "0"]);
  assert.deepEqual(rows.at(-1), ["t0", "-", "-", "-"]);
});

test("figures have three digits at most", () => {
  assert.deepEqual([9.94, 999, 1000, 3700].map((value) => short(value, "delay")), ["9.9 ms", "999 ms", "1 s", "3.7 s"]);
  const told = [0, 3, 999, 9_999, 12_345, 123_456, 1_500_000, 2e9].map((value) => short(value, "count"));
  assert.deepEqual(told, ["0", "3", "999", "9999", "12.3K", "123K", "1.5M", "2.0G"]);
  assert.deepEqual([0.4, 40].map((value) => short(value, "delay")), ["0.4 ms", "40 ms"]);
});

test("steps are called as people call them", () => {
  assert.deepEqual([5, 60, 300, 1800, 3600].map(stepWords), ["5 seconds", "minute", "5 minutes", "30 minutes", "hour"]);
});

test("a range is of whole steps, wherever the drag began", () => {
  assert.deepEqual(rangeOf(13, 4, 5), { since: 0, until: 15 });
  assert.deepEqual(rangeOf(4, 13, 5), rangeOf(13, 4, 5));
});

test("short spans are asked for often, and long ones seldom", () => {
  assert.deepEqual([5, 60, 300, 1800].map(pauseOf), [10_000, 30_000, 150_000, 300_000]);
});

test("a rate is of the time between two looks that lie far enough apart", () => {
  const rates = new Rates();
  assert.deepEqual(rates.note("a", 100, 0), []);
  assert.deepEqual(rates.note("a", 105, 2000), []);
  assert.deepEqual(rates.note("a", 110, 5000), [2]);
  assert.deepEqual(rates.note("a", 110, 10_000), [2, 0]);
});

test("a row that is gone is forgotten, and no row is remembered for ever", () => {
  const rates = new Rates();
  for (let look = 0; look < 100; look++) rates.note("a", look, look * 5000);
  assert.equal(rates.note("a", 0, 500_000).length, 24);
  rates.keep(new Set(["b"]));
  assert.deepEqual(rates.note("a", 7, 505_000), []);
});

test("a sparkline fills its box, also of nothing", () => {
  assert.equal(points([0, 2, 1], 60, 16), "0.0,16.0 30.0,0.0 60.0,8.0");
  assert.equal(points([0, 0], 60, 16), "0.0,16.0 60.0,16.0");
});

test("some seconds are told in words, each figure a second of those that it is of", () => {
  const second = {
    at: 0, seconds: 2, links: { experience: 1000, studio: 234 }, opens: { experience: 3 }, closes: {}, refusals: { token_expired: 1 },
    messages_in: 20, messages_out: 2400, bytes_in: 2048, bytes_out: 30 * 1024 ** 2, dial_p95_seconds: null, delivery_p99_seconds: 0.0125, loop_lag_seconds: 0.0004, resident_bytes: 80 * 1024 ** 2,
    nodes: [{ id: "n", name: "box:7", seconds: 2, links: 1234, messages: 2420, loop_lag_seconds: 0.25, resident_bytes: 80 * 1024 ** 2 }],
  };
  assert.deepEqual(figuresOf(second), {
    links: "1,234", opens: "1.5/s", closes: "0/s", refusals: "0.50/s", messages: "10/s in, 1,200/s out",
    bytes: "1.0 KB/s in, 15 MB/s out", dial: "-", delivery: "13 ms", lag: "0.4 ms", memory: "80 MB",
  });
  assert.deepEqual(figuresOfNode(second.nodes[0]), { links: "1,234", messages: "1,210/s", lag: "250 ms", memory: "80 MB" });
  assert.equal(hasChanges(second), true);
  assert.equal(hasChanges({ opens: {}, closes: {}, refusals: {} }), false);
});

test("sizes, delays and rates read as the rest of admin has them", () => {
  assert.deepEqual([0, 532, 1434, 23 * 1024 ** 2].map(size), ["0 B", "532 B", "1.4 KB", "23 MB"]);
  assert.deepEqual([0.0042, 0.042].map(delay), ["4.2 ms", "42 ms"]);
  assert.deepEqual([0.043, 3.14, 1200].map(rateWords), ["0.04/s", "3.1/s", "1,200/s"]);
});

test("a row's rates begin with what others were shown of it", () => {
  const rates = new Rates();
  const now = 100_000;
  assert.deepEqual(rates.note("a", 400, now, "20.0:0 15.0:50 10.0:150 5.0:300"), [10, 20, 30, 20]);
  assert.deepEqual(rates.note("a", 450, now + 5000, "5.0:0"), [10, 20, 30, 20, 10]);
  assert.deepEqual(rates.note("b", 400, now, ""), []);
  assert.deepEqual(rates.note("c", 400, now, "1.0:390"), []);
});
