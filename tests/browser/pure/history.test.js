import assert from "node:assert/strict";
import { test } from "node:test";
import { at, close, columns, join, level, pace, trace } from "../../../projections/gateway/page/src/history.js";

const MINUTE = 60_000;
const point = (bucket, more = {}) => ({ bucket, events: 10, active_nodes: 3, resonance: 0.8, counts: { BREATH: 10 }, ...more });

test("a bucket's level is on the scale of the live number", () => {
  assert.equal(level({ events: 0, counts: {} }), 0.5);
  assert.equal(level(point(0)), (5 + 8) / 20); // ten breaths of 0.8 against the ten of rest
  const blooms = point(0, { resonance: 2.5, counts: { BLOOM: 10 } }); // intensity 0.5 x weight 5
  assert.equal(level(blooms), 0.5);
  assert.equal(level(point(0, { events: 90, counts: { BREATH: 10, ENTER: 80 } })), level(point(0)));
  assert.equal(level(point(0, { resonance: 99 })), 1);
});

test("a minute that is not over has the pace of its part", () => {
  assert.equal(pace(point(0, { events: 60 }), MINUTE, 10 * MINUTE), 1);
  assert.equal(pace(point(9 * MINUTE, { events: 60 }), MINUTE, 9.25 * MINUTE), 4);
  assert.equal(pace(point(9 * MINUTE, { events: 2 }), MINUTE, 9 * MINUTE), 2);
});

test("points are joined by bucket, the newer answer wins", () => {
  const joined = join([point(2 * MINUTE), point(MINUTE)], [point(2 * MINUTE, { events: 11 })]);
  assert.deepEqual(joined.map(({ bucket, events }) => [bucket, events]), [[MINUTE, 10], [2 * MINUTE, 11]]);
});

test("a moment is in the bucket that holds it, or in none", () => {
  const points = join([], [point(MINUTE), point(4 * MINUTE)]);
  assert.equal(at(points, MINUTE, MINUTE).bucket, MINUTE);
  assert.equal(at(points, 2 * MINUTE - 1, MINUTE).bucket, MINUTE);
  assert.equal(at(points, 2 * MINUTE, MINUTE), null);
  assert.equal(at(points, 0, MINUTE), null);
});

test("the newest bucket stands until the next one can have been asked for", () => {
  const points = join([], [point(MINUTE), point(4 * MINUTE)]);
  assert.equal(at(points, 5 * MINUTE, MINUTE).bucket, 4 * MINUTE);
  assert.equal(at(points, 6 * MINUTE, MINUTE), null);
});

test("what is missing is a gap and no line", () => {
  const [xs, levels, heard, people] = columns(join([], [point(0), point(MINUTE), point(5 * MINUTE)]), [{ at: 90_500, resonance: 0.6 }], MINUTE);
  assert.deepEqual(xs, [...xs].sort((a, b) => a - b));
  assert.equal(levels.filter((value) => value === null).length, 1);
  assert.deepEqual(heard.filter((value) => value !== undefined && value !== null), [0.6]);
  assert.equal(people.at(-1), 3);
});

test("the live trace is bounded, one value a second", () => {
  const live = [];
  for (let ms = 0; ms < 20_000; ms += 250) trace(live, ms, 0.5, 12);
  assert.equal(live.length, 12);
  assert.equal(live.at(-1).at - live.at(-2).at, 1000);
});

test("the shown part of 0..1 is never less than a fifth and holds what is there", () => {
  for (const [least, most] of [[0.71, 0.72], [0, 0.01], [0.99, 1], [0.1, 0.9], [0, 1]]) {
    const [low, high] = close(least, most);
    assert.ok(low >= 0 && high <= 1 && high - low >= 0.2, `${low} ${high}`);
    assert.ok(low <= least && high >= most, `${low}..${high} holds ${least}..${most}`);
  }
  assert.deepEqual(close(null, null), [0, 1]);
});
