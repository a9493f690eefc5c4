import assert from "node:assert/strict";
import { test } from "node:test";
import * as states from "../../../projections/gateway/page/src/state.js";

const T = 1_800_000_000_000;
const event = (type, device, more = {}) => ({ id: `${type}-${device}-${more.timestamp ?? T}`, type, device_id: device, timestamp: T, intensity: 0.5, ...more });
const room = (id, people, more = {}) => ({
  room_id: id, opened: T, last: T, open: true, present: people.length, seated: people.length, devices: people.length, blooms: 0, phrases: 0,
  resonance: 0.6, coherence: 0.4, participants: people.map((device_id, i) => ({ device_id, joined: T + i, seated: true })), ...more,
});
const answer = (more = {}, reflects = {}) => ({
  data: { at: T, watermark: T, global_resonance: 0.7, active_nodes: 2, collective_intelligence: 0.5, room64_active: true, entanglements_living: 1,
    entanglements_established: 1, rooms: [], pairs: [], particles: [], quantum_fields: [], rooms_open: 0, ...more },
  reflects: { tier: "redis", positions: { 0: 4 }, at: T, age_ms: 100, generation: "live", stale: false, ...reflects },
});

test("a snapshot says who is where", () => {
  const state = states.empty();
  states.snapshot(state, answer({ rooms: [room("hall", ["ana", "bo"])], pairs: [{ low: "ana", high: "bo", strength: 1 }] }), T);
  assert.equal(state.rooms.get("hall").coherence, 0.4);
  assert.equal(state.devices.get("bo").room, "hall");
  assert.equal(state.pairs.size, 1);
  assert.equal(state.heard, T - 100);
  states.snapshot(state, answer(), T + 1000);
  assert.equal(state.rooms.size, 0);
});

test("an old answer does not make the field younger", () => {
  const state = states.empty();
  states.snapshot(state, answer(), T);
  states.snapshot(state, answer({}, { stale: true, age_ms: 0, tier: "database" }), T + 9000);
  assert.equal(state.heard, T - 100);
  assert.equal(state.tier, "database");
  states.brief(state, { global_resonance: 0.2, reflects: { tier: "redis", age_ms: 50, stale: false } }, T + 10_000);
  assert.equal(state.heard, T + 9950);
});

test("events place people who say where they are", () => {
  const state = states.empty();
  states.events(state, [
    event("BREATH", "ana", { room_id: "hall", position: { x: 3, y: 4 }, data: { phase: 1, rate: 12 } }),
    event("BREATH", "bo", { room_id: "hall", data: { phase: 1 } }),
  ], T);
  const [ana, bo] = [state.devices.get("ana"), state.devices.get("bo")];
  assert.deepEqual([ana.placed, ana.px, ana.py, bo.placed], [true, 3, 4, false]);
  states.events(state, [event("LEAVE", "ana", { room_id: "hall" })], T);
  assert.equal(ana.room, null);
});

test("memories are bounded and newest last", () => {
  const state = states.empty();
  for (let i = 0; i < 1200; i += 1) states.events(state, [event("BLOOM", "ana", { timestamp: T + i })], T);
  assert.equal(state.particles.length, 1000);
  assert.equal(state.particles.at(-1).timestamp, T + 1199);
});

test("who opts out is gone from everything at once", () => {
  const state = states.empty();
  states.events(state, [event("BLOOM", "ana"), event("BLOOM", "bo")], T);
  states.pairs(state, { came: [["ana", "bo"]] });
  states.events(state, [event("OPT_OUT", "ana")], T);
  assert.equal(state.devices.has("ana"), false);
  assert.deepEqual(state.particles.map((one) => one.device_id), ["bo"]);
  assert.equal(state.pairs.size, 0);
});

test("an answer from before an opt-out brings nobody back, one after an opt-in does", () => {
  const state = states.empty();
  const told = answer({
    rooms: [room("hall", ["ana", "bo"])], pairs: [{ low: "ana", high: "bo" }, { low: "bo", high: "cy" }],
    particles: [event("BLOOM", "ana"), event("BLOOM", "bo")], quantum_fields: [event("FIELD", "ana")],
  });
  const known = () => [
    [...state.devices.keys()].sort(), state.rooms.get("hall").participants.length, state.pairs.size, state.particles.length, state.quantum.length,
  ];
  states.events(state, [event("OPT_OUT", "ana")], T);
  states.snapshot(state, told, T + 3000);
  assert.deepEqual(known(), [["bo", "cy"], 1, 1, 1, 0]);
  states.events(state, [event("OPT_IN", "ana")], T + 4000);
  states.snapshot(state, told, T + 5000);
  assert.deepEqual(known(), [["ana", "bo", "cy"], 2, 2, 2, 1]);
});

test("coherence as in the fold: a mean vector of last breaths, nothing of fewer than two", () => {
  const breath = (phase, breathAt = T) => ({ phase, breathAt });
  assert.equal(states.coherence([breath(1)], T), 0);
  assert.ok(Math.abs(states.coherence([breath(1), breath(1)], T) - 1) < 1e-12);
  assert.ok(states.coherence([breath(0), breath(Math.PI)], T) < 1e-12);
  assert.equal(states.coherence([breath(1), breath(1, T - 30_001)], T), 0);
});

test("the past makes its rooms from its events, and the silent leave", () => {
  const state = states.empty();
  const list = [event("BREATH", "ana", { room_id: "hall", data: { phase: 0 } }), event("TOUCH", "bo", { room_id: "hall", data: { target_device: "ana" } })];
  states.events(state, list, T);
  states.bind(state, list);
  states.readPast(state, T + 1000);
  assert.equal(state.rooms.get("hall").present, 2);
  assert.deepEqual([...state.pairs.keys()], ["ana|bo"]);
  states.readPast(state, T + 301_000);
  assert.equal(state.rooms.size, 0);
});

test("events a second over the last ten", () => {
  const state = states.empty();
  for (let s = 0; s < 60; s += 1) states.events(state, Array.from({ length: 5 }, (_, i) => event("BREATH", `d${i}`)), T + s * 1000);
  assert.ok(Math.abs(states.rateOf(state, T + 59_000) - 5) < 0.6);
  assert.ok(state.counted.length < 60);
  assert.equal(states.rateOf(states.empty(), T), 0);
});

test("devices are bounded: the longest silent go", () => {
  const state = states.empty();
  for (let i = 0; i < 6000; i += 1) states.events(state, [event("BREATH", `d${i}`, { timestamp: T - 6000 + i })], T);
  states.snapshot(state, answer(), T);
  assert.equal(state.devices.size, 5000);
  assert.ok(state.devices.has("d5999") && !state.devices.has("d0"));
});
