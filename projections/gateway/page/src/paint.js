// The layers of the canvas, from the ground up: rooms, quantum fields, threads, memories, people, names.

import { chanceOf } from "./places.js";
import { SPOT, css } from "./palette.js";

const THREADS_MOST = 900;
const BUCKETS = 5;

function stamp(context, image, x, y, radius) {
  context.drawImage(image, 0, 0, SPOT, SPOT, x - radius, y - radius, 2 * radius, 2 * radius);
}

/** How the people of each room breathe just now: a mean vector, whose length is how much they do it together. */
export function breathe(state, now, still) {
  for (const room of state.rooms.values()) [room.cosine, room.sine, room.breathing] = [0, 0, 0];
  for (const device of state.devices.values()) {
    if (device.breathAt === null) {
      device.breath = 0.5;
      continue;
    }
    const phase = device.phase + (still ? 0 : (device.rate / 60) * 2 * Math.PI * ((now - device.breathHeard) / 1000));
    device.breath = 0.5 + 0.5 * Math.cos(phase);
    const room = state.rooms.get(device.room);
    if (!room) continue;
    room.cosine += Math.cos(phase);
    room.sine += Math.sin(phase);
    room.breathing += 1;
  }
  for (const room of state.rooms.values()) room.breath = room.breathing ? 0.5 + (0.5 * room.cosine) / room.breathing : 0.5;
}

/** Rooms as soft places: the more in step, the clearer their edge and the warmer their mist; they breathe as their people do. */
export function rooms(frame, state) {
  const { context, project, view, palette, spots, focus, line } = frame;
  for (const room of state.rooms.values()) {
    if (!room.reach) continue;
    const [x, y] = project(room.x, room.y);
    const reach = room.reach * view.scale;
    const coherence = room.coherence ?? 0;
    const dim = focus && focus !== room.id ? 0.12 : 1;
    const swell = 1 + 0.09 * (room.breath - 0.5) * 2;
    context.globalCompositeOperation = palette.glow;
    context.globalAlpha = (0.55 + 0.4 * (room.breath - 0.5) + 0.25 * coherence) * dim;
    stamp(context, spots.of(coherence), x, y, reach * 1.65 * swell);
    context.globalCompositeOperation = "source-over";
    context.strokeStyle = css(palette.quiet);
    context.lineWidth = line * 0.6;
    context.globalAlpha = 0.16 * dim;
    context.beginPath();
    context.arc(x, y, reach * swell, 0, 2 * Math.PI);
    context.stroke();
    context.strokeStyle = css(palette.BREATH); // as much of the circle as they breathe together
    context.lineWidth = line * 1.3;
    context.globalAlpha = (0.35 + 0.4 * coherence) * dim;
    context.beginPath();
    context.arc(x, y, reach * swell, -Math.PI / 2, -Math.PI / 2 + 2 * Math.PI * Math.min(1, coherence));
    context.stroke();
  }
}

/** Harmonics as standing rings: the higher the frequency, the closer they lie. */
export function quantum(frame, state) {
  const { context, project, view, palette, spots, seconds, line, focus } = frame;
  const room = state.rooms.get(focus);
  context.globalCompositeOperation = palette.glow;
  const newest = state.quantum.length;
  state.quantum.forEach((field, index) => {
    const age = (newest - index) / 10;
    for (const harmonic of (field.data?.harmonics ?? []).slice(0, 6)) {
      if (room && Math.hypot(harmonic.x - room.x, harmonic.y - room.y) > room.reach * 1.3) continue;
      const [x, y] = project(harmonic.x, harmonic.y);
      const strength = Math.abs(harmonic.amplitude ?? 0.4) * (1.1 - age * 0.7);
      context.globalAlpha = 0.22 * strength;
      stamp(context, spots.FIELD, x, y, view.scale * 4);
      context.strokeStyle = css(palette.FIELD);
      context.lineWidth = line * 0.7;
      const gap = view.scale * (1.5 / (0.6 + Math.min(8, harmonic.frequency ?? 1)) + 0.3);
      const shift = ((seconds * 0.12 + (harmonic.phase ?? 0) / 6.283) % 1) * gap;
      for (let ring = 0; ring < 4; ring += 1) {
        context.globalAlpha = 0.3 * strength * (1 - ring / 4);
        context.beginPath();
        context.arc(x, y, Math.max(0.1, shift + ring * gap), 0, 2 * Math.PI);
        context.stroke();
      }
    }
  });
}

/** Entangled pairs as threads that sway a little; a few strokes for all of them, by strength. */
export function threads(frame, state) {
  const { context, project, palette, seconds, focus, line, still } = frame;
  const paths = Array.from({ length: BUCKETS }, () => new Path2D());
  let drawn = 0;
  for (const pair of state.pairs.values()) {
    const [a, b] = [state.devices.get(pair.low), state.devices.get(pair.high)];
    if (!a || !b || a.x === null || b.x === null) continue;
    if (focus && a.room !== focus && b.room !== focus) continue;
    if ((drawn += 1) > THREADS_MOST) break;
    pair.bow ??= chanceOf(pair.low + pair.high) * 2 - 1;
    const [x0, y0] = project(a.x, a.y);
    const [x1, y1] = project(b.x, b.y);
    const sway = 0.13 * pair.bow + (still ? 0 : 0.045 * Math.sin(seconds * 0.5 + pair.bow * 20));
    const far = Math.hypot(a.x - b.x, a.y - b.y); // across the field they are hints, or they would hide it
    const weight = Math.max(pair.strength ?? 0.5, pair.explicit ? 0.4 : 0) / (1 + Math.max(0, far - 14) / 12);
    const path = paths[Math.min(BUCKETS - 1, Math.floor(weight * BUCKETS))];
    path.moveTo(x0, y0);
    path.quadraticCurveTo((x0 + x1) / 2 + (y1 - y0) * sway, (y0 + y1) / 2 - (x1 - x0) * sway, x1, y1);
  }
  context.globalCompositeOperation = palette.glow;
  context.strokeStyle = css(palette.thread);
  const crowd = 1 / (1 + drawn / 400);
  paths.forEach((path, bucket) => {
    context.globalAlpha = (0.05 + 0.5 * (bucket / BUCKETS)) * (0.4 + 0.6 * crowd);
    context.lineWidth = line * (0.5 + 0.8 * (bucket / BUCKETS));
    context.stroke(path);
  });
}

/** Memories: blooms and phrases that are kept, drifting about where they came to be; the newest shine. */
export function memories(frame, state) {
  const { context, project, view, palette, spots, seconds, still, focus } = frame;
  context.globalCompositeOperation = palette.glow;
  const total = state.particles.length;
  const room = state.rooms.get(focus);
  for (let i = 0; i < total; i += 1) {
    const particle = state.particles[i];
    const owner = state.devices.get(particle.device_id);
    particle.chance ??= chanceOf(particle.id);
    const x0 = particle.x ?? owner?.tx;
    const y0 = particle.y ?? owner?.ty;
    if (!Number.isFinite(x0)) continue;
    if (room && Math.hypot(x0 - room.x, y0 - room.y) > room.reach * 1.4) continue;
    const turn = particle.chance * 6.283 + (still ? 0 : seconds * (0.04 + 0.08 * particle.chance));
    const far = 0.6 + 2.6 * ((particle.chance * 7.13) % 1);
    const [x, y] = project(x0 + far * Math.cos(turn), y0 + far * Math.sin(turn * 1.3));
    const young = (i + 1) / total;
    const twinkle = still ? 1 : 0.75 + 0.25 * Math.sin(seconds * (0.6 + particle.chance) + particle.chance * 40);
    context.globalAlpha = (0.12 + 0.6 * young ** 3) * twinkle;
    const size = view.scale * (0.35 + 0.65 * particle.intensity) * (0.6 + 0.7 * young);
    stamp(context, spots[particle.type] ?? spots.BLOOM, x, y, Math.max(2.5, size));
  }
}

/** People: a small light each, brighter on the in-breath. */
export function people(frame, state, dt) {
  const { context, project, palette, spots, unit, still, shade } = frame;
  const share = still ? 1 : 1 - Math.exp(-3 * dt);
  context.globalCompositeOperation = palette.glow;
  for (const device of state.devices.values()) {
    if (device.x === null) [device.x, device.y] = [device.tx, device.ty];
    device.x += (device.tx - device.x) * share;
    device.y += (device.ty - device.y) * share;
    const [x, y] = project(device.x, device.y);
    context.globalAlpha = (0.4 + 0.6 * device.breath) * shade(device);
    stamp(context, spots.device, x, y, unit * (2.3 + 1.7 * device.breath));
  }
  context.globalCompositeOperation = "source-over";
  for (const device of state.devices.values()) {
    const [x, y] = project(device.x, device.y);
    context.globalAlpha = 0.9 * shade(device);
    stamp(context, spots.core, x, y, unit * (0.4 + 0.2 * device.breath));
  }
}
