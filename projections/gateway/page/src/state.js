// What the page knows of the field, and how every message changes it. Pure: no clock, no page; times are arguments.

import { settle } from "./places.js";

const DEVICES_MOST = 5000;
const PARTICLES_MOST = 1000;
const QUANTUM_MOST = 10;
const PAIRS_MOST = 5000;
const SILENCE_MS = 300_000;
const BREATH_MS = 30_000;
const RATE_MS = 10_000;
const FORGETTING_MS = 15_000; // after an opt-out was heard, answers may be from before it for so long
const MEMORIES = new Set(["BLOOM", "SACRED_PHRASE"]);

/** A field of which nothing is known. */
export function empty() {
  return {
    brief: null, reflects: null, heard: null, tier: null,
    devices: new Map(), rooms: new Map(), pairs: new Map(), particles: [], quantum: [],
    counted: [], eventsSeen: 0, unsettled: true, out: new Map(),
  };
}

/** The answer of /snapshot: everything anew. `now`: local ms. */
export function snapshot(state, { data: whole, reflects }, now) {
  const data = without(whole, gone(state, now));
  brief(state, numbers(data), now, reflects);
  const rooms = new Map();
  const joined = new Map(); // who is in several rooms stands in the one entered last
  for (const room of data.rooms ?? []) {
    rooms.set(room.room_id, Object.assign(roomOf(state, room.room_id), room));
    for (const person of room.participants ?? []) {
      const device = deviceOf(state, person.device_id);
      device.seen = Math.max(device.seen, data.at - SILENCE_MS / 2);
      if (person.joined < (joined.get(device.id) ?? -Infinity)) continue;
      joined.set(device.id, person.joined);
      if (device.told === null) device.room = room.room_id;
    }
  }
  state.rooms = rooms;
  state.pairs = new Map((data.pairs ?? []).slice(0, PAIRS_MOST).map((pair) => [key(pair.low, pair.high), pair]));
  state.particles = (data.particles ?? []).slice(-PARTICLES_MOST);
  state.quantum = (data.quantum_fields ?? []).slice(-QUANTUM_MOST);
  for (const particle of state.particles) {
    const device = state.devices.get(particle.device_id);
    if (device && !device.placed && Number.isFinite(particle.x)) place(device, particle.x, particle.y);
  }
  for (const pair of state.pairs.values()) {
    for (const id of [pair.low, pair.high]) deviceOf(state, id).seen ||= data.at - SILENCE_MS / 2;
  }
  prune(state, data.at);
  return state;
}

/** The numbers without the lists. */
export function brief(state, data, now, reflects = data.reflects) {
  const { reflects: _, ...rest } = data;
  state.brief = rest;
  if (reflects) {
    state.reflects = reflects;
    state.tier = reflects.tier ?? state.tier;
  }
  const behind = reflects?.age_ms ?? 0;
  const heard = now - Math.max(0, behind);
  // an answer from a store that nobody writes to any more does not make the field any younger
  if (!reflects?.stale) state.heard = Math.max(state.heard ?? 0, heard);
  else if (state.heard === null) state.heard = heard;
  return state;
}

/** Events of the log as they come; returns those that are worth a sign on the canvas. */
export function events(state, list, now) {
  const shown = [];
  for (const event of list) {
    state.eventsSeen += 1;
    if (event.type === "OPT_OUT") {
      forget(state, event.device_id);
      state.out.set(event.device_id, now);
      continue;
    }
    if (event.type === "OPT_IN") state.out.delete(event.device_id);
    const device = deviceOf(state, event.device_id);
    device.seen = Math.max(device.seen, event.timestamp);
    const at = placeOf(event);
    if (at) place(device, at.x, at.y);
    if (event.room_id) {
      const room = event.type === "LEAVE" ? null : event.room_id;
      if (device.room !== room) state.unsettled = true;
      device.room = room;
      device.told = event.timestamp; // its own events know better than a snapshot
    }
    if (event.type === "BREATH" && Number.isFinite(event.data?.phase)) {
      device.phase = event.data.phase;
      device.rate = event.data.rate ?? 12;
      device.breathAt = event.timestamp;
      device.breathHeard = now;
    }
    if (MEMORIES.has(event.type)) remember(state.particles, event, device, PARTICLES_MOST);
    if (event.type === "FIELD") remember(state.quantum, event, device, QUANTUM_MOST);
    shown.push({ type: event.type, device, target: event.data?.target_device, data: event.data ?? {}, intensity: event.intensity ?? 0.4 });
  }
  tally(state, list.length, now);
  return shown;
}

/** Rooms that opened or closed. */
export function rooms(state, { came = [], went = [] }) {
  for (const [id, opened] of came) {
    if (!state.rooms.has(id)) state.rooms.set(id, { ...roomOf(state, id), opened });
  }
  for (const [id] of went) state.rooms.delete(id);
  state.unsettled = true;
  return state;
}

/** Pairs that came to life or faded. */
export function pairs(state, { came = [], went = [] }) {
  for (const [low, high] of came) {
    const id = key(low, high);
    if (!state.pairs.has(id) && state.pairs.size < PAIRS_MOST) state.pairs.set(id, { low, high, strength: 1, living: true });
    deviceOf(state, low);
    deviceOf(state, high);
  }
  for (const [low, high] of went) state.pairs.delete(key(low, high));
  return state;
}

/** Events a second over the last ten. */
export function rateOf(state, now) {
  const since = now - RATE_MS;
  let number = 0;
  for (const [at, many] of state.counted) if (at > since) number += many;
  const first = state.counted[0]?.[0];
  if (first === undefined) return 0;
  return number / Math.min(RATE_MS / 1000, Math.max(1, (now - first) / 1000));
}

/** Where everybody belongs, when that may have changed. */
export function arrange(state) {
  settle(state.devices, state.rooms);
  state.unsettled = false;
}

/** |mean of e^(i phase)| of these devices' last breaths before `at`; 0 with fewer than two, as in the fold. */
export function coherence(devices, at) {
  let [n, cosine, sine] = [0, 0, 0];
  for (const device of devices) {
    if (device.breathAt === null || at - device.breathAt > BREATH_MS) continue;
    n += 1;
    cosine += Math.cos(device.phase);
    sine += Math.sin(device.phase);
  }
  return n < 2 ? 0 : Math.hypot(cosine, sine) / n;
}

/** While the past is played nobody tells us of rooms and pairs: rooms are what the events of it say. */
export function readPast(state, at) {
  const inside = new Map();
  for (const device of state.devices.values()) {
    if (!device.room || at - device.seen > SILENCE_MS) continue;
    const list = inside.get(device.room) ?? [];
    list.push(device);
    inside.set(device.room, list);
  }
  for (const [id, list] of inside) {
    const participants = list.map((device) => ({ device_id: device.id, joined: null, seated: true }));
    const read = { present: list.length, coherence: coherence(list, at), participants, open: true };
    state.rooms.set(id, { ...roomOf(state, id), ...read });
  }
  for (const id of state.rooms.keys()) if (!inside.has(id)) state.rooms.delete(id);
  state.unsettled = true;
  return state;
}

/** Threads of the past: those that touch or bind each other while it is played. */
export function bind(state, list) {
  for (const event of list) {
    const target = event.data?.target_device;
    if (!target) continue;
    const [low, high] = event.device_id < target ? [event.device_id, target] : [target, event.device_id];
    if (event.type === "RELEASE") state.pairs.delete(key(low, high));
    else if (state.pairs.size < PAIRS_MOST) state.pairs.set(key(low, high), { low, high, strength: 0.6, living: true, last: event.timestamp / 1000 });
  }
  return state;
}

/** Rooms as a list: the fullest first, then by name, so that keys stay where they are for a while. */
export function ordered(state) {
  const names = new Intl.Collator("en", { numeric: true });
  return [...state.rooms.values()].sort((a, b) => names.compare(a.id, b.id));
}

export function key(low, high) {
  return `${low}|${high}`;
}

function numbers(data) {
  const { rooms: _rooms, pairs: _pairs, particles, quantum_fields: quantum, ...rest } = data;
  return { ...rest, particles: particles?.length ?? 0, quantum_fields: quantum?.length ?? 0 };
}

/** Devices that are out since a moment ago: the newest answer may not know it yet. */
function gone(state, now) {
  for (const [id, heard] of state.out) if (now - heard > FORGETTING_MS) state.out.delete(id);
  return state.out;
}

/** An answer without what these devices have in it. */
function without(data, out) {
  if (!out.size) return data;
  const theirs = ({ device_id: id }) => !out.has(id);
  return {
    ...data,
    rooms: data.rooms?.map((room) => ({ ...room, participants: room.participants?.filter(theirs) })),
    pairs: data.pairs?.filter(({ low, high }) => !out.has(low) && !out.has(high)),
    particles: data.particles?.filter(theirs),
    quantum_fields: data.quantum_fields?.filter(theirs),
  };
}

/** Where the device says it is; many do not say. */
function placeOf(event) {
  const at = event.position;
  return at && Number.isFinite(at.x) && Number.isFinite(at.y) ? at : null;
}

function roomOf(state, id) {
  return state.rooms.get(id) ?? {
    id, room_id: id, x: 0, y: 0, reach: 0, far: 0, placed: false, known: 0, fresh: true,
    present: 0, coherence: 0, resonance: null, participants: [], open: true,
  };
}

function deviceOf(state, id) {
  let device = state.devices.get(id);
  if (!device) {
    device = {
      id, seen: 0, room: null, told: null, placed: false, px: 0, py: 0, tx: 0, ty: 0, x: null, y: null,
      phase: 0, rate: 12, breathAt: null, breathHeard: 0, seat: -1, seatRoom: null,
    };
    state.devices.set(id, device);
    state.unsettled = true;
  }
  return device;
}

function place(device, x, y) {
  device.placed = true;
  device.px = x;
  device.py = y;
}

function remember(list, event, device, most) {
  const { id, timestamp, type, intensity = 0.4, data = {} } = event;
  const [x, y] = device.placed ? [device.px, device.py] : [null, null];
  list.push({ id, timestamp, device_id: device.id, type, intensity, x, y, z: null, data });
  if (list.length > most) list.splice(0, list.length - most);
}

function forget(state, id) {
  state.devices.delete(id);
  state.particles = state.particles.filter((particle) => particle.device_id !== id);
  state.quantum = state.quantum.filter((one) => one.device_id !== id);
  for (const [id_, pair] of state.pairs) if (pair.low === id || pair.high === id) state.pairs.delete(id_);
  state.unsettled = true;
}

function tally(state, many, now) {
  const last = state.counted.at(-1);
  if (last && now - last[0] < 200) last[1] += many;
  else state.counted.push([now, many]);
  while (state.counted.length && state.counted[0][0] <= now - RATE_MS) state.counted.shift();
}

/** Who has been silent for long goes; beyond the bound the longest silent go first. */
function prune(state, at) {
  for (const [id, device] of state.devices) if (at - device.seen > SILENCE_MS) state.devices.delete(id);
  if (state.devices.size > DEVICES_MOST) {
    const bySilence = [...state.devices.values()].sort((a, b) => a.seen - b.seen);
    for (const device of bySilence.slice(0, state.devices.size - DEVICES_MOST)) state.devices.delete(device.id);
  }
  state.unsettled = true;
}
