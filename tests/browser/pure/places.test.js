import assert from "node:assert/strict";
import { test } from "node:test";
import { fit, glide, toField, toScreen } from "../../../projections/gateway/page/src/camera.js";
import { bounds, chanceOf, quantile } from "../../../projections/gateway/page/src/places.js";
import { arrange, empty, events } from "../../../projections/gateway/page/src/state.js";
import { snapshot } from "../../../projections/gateway/page/src/state.js";

const T = 1_800_000_000_000;
const hall = (id, people) => ({ room_id: id, present: people.length, coherence: 0, participants: people.map((device_id) => ({ device_id, joined: T, seated: true })) });
const field = (rooms) => {
  const state = empty();
  snapshot(state, { data: { at: T, rooms, pairs: [], particles: [], quantum_fields: [] }, reflects: { tier: "redis", age_ms: 0 } }, T);
  arrange(state);
  return state;
};

test("who says no place has a seat of their own, and keeps it", () => {
  const people = Array.from({ length: 40 }, (_, i) => `d${i}`);
  const state = field([hall("hall", people), hall("other", ["x"])]);
  const places = people.map((id) => state.devices.get(id));
  for (const [i, a] of places.entries()) for (const b of places.slice(i + 1)) assert.ok(Math.hypot(a.tx - b.tx, a.ty - b.ty) > 0.8);
  const before = [places[20].tx, places[20].ty];
  state.devices.delete("d3");
  arrange(state);
  assert.deepEqual([places[20].tx, places[20].ty], before);
});

test("rooms that nobody has placed do not lie on each other", () => {
  const state = field(Array.from({ length: 8 }, (_, i) => hall(`hall-${i}`, [`a${i}`, `b${i}`])));
  const rooms = [...state.rooms.values()];
  for (const [i, a] of rooms.entries()) for (const b of rooms.slice(i + 1)) assert.ok(Math.hypot(a.x - b.x, a.y - b.y) > a.reach + b.reach);
});

test("one who stands far off moves neither the room nor its edge", () => {
  const people = Array.from({ length: 12 }, (_, i) => `d${i}`);
  const state = field([hall("hall", people)]);
  people.forEach((id, i) => events(state, [{ id, type: "BREATH", device_id: id, room_id: "hall", timestamp: T, position: i ? { x: i - 6, y: i % 3 } : { x: 900, y: 900 }, data: {} }], T));
  for (let i = 0; i < 30; i += 1) arrange(state);
  const room = state.rooms.get("hall");
  assert.ok(Math.hypot(room.x, room.y) < 4 && room.reach < 12, `${room.x} ${room.y} ${room.reach}`);
  const box = bounds(state.devices, state.rooms);
  assert.ok(box.x1 < 40);
});

test("the camera fits a box into what is free, there and back", () => {
  const screen = { width: 1440, height: 900 };
  const view = fit({ x0: -10, y0: -10, x1: 90, y1: 40 }, { x0: 200, y0: 80, x1: 1100, y1: 640 }, screen);
  const [left, top] = toScreen(view, screen, -10, -10);
  const [right, bottom] = toScreen(view, screen, 90, 40);
  assert.ok(left >= 199.9 && right <= 1100.1 && top >= 79.9 && bottom <= 640.1);
  const [x, y] = toField(view, screen, ...toScreen(view, screen, 12, 34));
  assert.ok(Math.abs(x - 12) < 1e-9 && Math.abs(y - 34) < 1e-9);
  let glided = { scale: 1, x: 0, y: 0 };
  for (let i = 0; i < 300; i += 1) glided = glide(glided, view, 0.016);
  assert.ok(Math.abs(glided.scale / view.scale - 1) < 1e-3);
});

test("chance by name is always the same, and spread", () => {
  assert.equal(chanceOf("device-00001"), chanceOf("device-00001"));
  const values = Array.from({ length: 1000 }, (_, i) => chanceOf(`device-${i}`));
  assert.ok(Math.abs(values.reduce((a, b) => a + b) / 1000 - 0.5) < 0.05);
  assert.equal(quantile([3, 1, 2], 0.5), 2);
});
