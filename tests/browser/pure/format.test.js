import assert from "node:assert/strict";
import { test } from "node:test";
import { wait } from "../../../projections/gateway/page/src/backoff.js";
import { age, clock, count, name, rate, ratio, sentence } from "../../../projections/gateway/page/src/format.js";
import { freshness, status, STALE_MS } from "../../../projections/gateway/page/src/freshness.js";

test("numbers as people read them", () => {
  assert.deepEqual([0.617, 1, NaN, undefined].map(ratio), ["0.62", "1.00", "–", "–"]);
  assert.deepEqual([0, 999, 1234, 12_345, 2_500_000, NaN].map(count), ["0", "999", "1\u202f234", "12.3 k", "2.5 M", "–"]);
  assert.deepEqual([0, 0.25, 9.96, 48.3].map(rate), ["0", "0.3", "10.0", "48"]);
});

test("an age has one unit", () => {
  assert.deepEqual([-5, 12_400, 89_000, 90_000, 3_600_000, 7_200_000, 300_000_000].map(age), ["0 s", "12 s", "89 s", "2 min", "60 min", "2 h", "3 d"]);
});

test("a time far from now has its date", () => {
  const at = new Date(2026, 4, 17, 9, 5, 3).getTime();
  assert.equal(clock(at, at + 1000, "en-GB"), "09:05:03");
  assert.match(clock(at, at + 3 * 86_400_000, "en-GB"), /^17 May,? 09:05$/);
  assert.equal(clock(NaN), "–");
});

test("ids are shortened, and never to the same as another's", () => {
  assert.equal(name("device-00042"), "device 42");
  assert.equal(name("room-0"), "room 0");
  assert.equal(name("hall"), "hall");
  assert.equal(name("p.0123456789abcdef0123456789abcdef"), "~012345");
  assert.equal(name("page-0b1c2d3e-0000-4000-8000-000000000000"), "page-0b1c2d3e");
});

test("the field in a sentence", () => {
  const brief = { global_resonance: 0.5, active_nodes: 1, rooms_open: 1, entanglements_living: 2 };
  assert.equal(sentence(brief), "Resonance 0.50, 1 person in 1 room, 2 pairs entangled.");
  assert.equal(sentence(null), "The field is not heard yet.");
});

test("what is old is not called live, whoever is connected", () => {
  const [now, clockOf] = [1_000_000, (ms) => `at ${ms}`];
  const base = { mode: "live", now, connected: true, tier: "database", moment: 7, speed: 10, clock: clockOf };
  assert.equal(freshness(null, now), "waiting");
  assert.equal(freshness(now - STALE_MS, now), "fresh");
  assert.equal(freshness(now - STALE_MS - 1, now), "stale");
  assert.equal(status({ ...base, heard: now - 200 }), "live");
  assert.equal(status({ ...base, heard: now - 12_000 }), "last heard 12 s ago · from the database");
  assert.equal(status({ ...base, heard: now - 200, connected: false }), "asking now and then · from the database");
  assert.equal(status({ ...base, heard: null, connected: false }), "joining");
  assert.equal(status({ ...base, mode: "past" }), "at 7 · 10× speed");
  assert.equal(status({ ...base, mode: "paused" }), "paused at at 7");
});

test("waits grow to a bound, half of each by chance", () => {
  assert.deepEqual([wait(0, 0), wait(0, 1), wait(3, 0), wait(3, 1)], [250, 500, 2000, 4000]);
  for (const tries of [5, 20, 1000]) assert.deepEqual([wait(tries, 0), wait(tries, 1)], [7500, 15_000]);
});
