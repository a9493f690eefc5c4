// The canvas: one loop that paints the field sixty times a second while somebody looks, and not at all when nobody does.

import { fit, glide, toField, toScreen } from "./camera.js";
import * as paint from "./paint.js";
import { DAY, NIGHT, css, spots } from "./palette.js";
import { bounds } from "./places.js";
import { Names } from "./names.js";
import { Signs } from "./signs.js";
import { arrange } from "./state.js";

const PIXELS_MOST = 5_200_000; // a wall of 3840 x 2160 is painted a little softer, and as smoothly
const SLOW_MS = 24;
const BUSY_MS = 22;
const CALM_MS = 500;

export class Field {
  #canvas;
  #context;
  #frame = 0;
  #timer = 0;
  #last = 0;
  #seconds = 0;
  #quality = 1;
  #spent = 16;
  #busy = 0;
  #ground = null;
  #view = null;
  #screen = { width: 1, height: 1 };
  #look = NIGHT;
  #spots = null;
  #settled = 0;

  /** `free()` -> the part of the canvas that nothing lies over, in CSS pixels; `label(roomOrDevice)` -> its name. */
  constructor(canvas, { free, label }) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
    this.free = free;
    this.state = null;
    this.signs = new Signs();
    this.names = new Names(canvas.nextElementSibling, label);
    this.focus = null;
    this.still = false; // nothing moves: asked for by the system
    this.held = false; // paused, or what is shown is old
    new ResizeObserver(() => this.#measure()).observe(canvas);
    document.addEventListener("visibilitychange", () => this.wake());
  }

  /** "dark" or "light". */
  dress(theme) {
    this.#look = theme === "light" ? DAY : NIGHT;
    this.#spots = spots(this.#look);
    this.#ground = null;
    this.wake();
  }

  add(shown) {
    if (!this.still && !this.held) this.signs.add(shown, this.state.devices, this.#seconds);
  }

  /** The room under a point of the page, else null. */
  roomAt(clientX, clientY) {
    const box = this.#canvas.getBoundingClientRect();
    const [x, y] = toField(this.#view, this.#screen, clientX - box.left, clientY - box.top);
    for (const room of this.state.rooms.values()) if (Math.hypot(room.x - x, room.y - y) < room.reach * 1.15) return room.id;
    return null;
  }

  /** Goes on painting, unless nobody looks. */
  wake() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    if (!document.hidden) this.#frame = requestAnimationFrame((now) => this.#step(now));
  }

  #next() {
    if (document.hidden) return;
    const again = () => (this.#frame = requestAnimationFrame((now) => this.#step(now)));
    if (this.still || this.held) this.#timer = setTimeout(again, this.#gliding() ? 33 : CALM_MS);
    else if (this.#busy > BUSY_MS) this.#timer = setTimeout(again, this.#busy); // half of the time is for the others
    else again();
  }

  #gliding() {
    return this.#moved > 0.002;
  }

  #moved = 0;

  #measure() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width || !height) return;
    const dense = Math.min(window.devicePixelRatio || 1, 2, Math.sqrt(PIXELS_MOST / (width * height))) * this.#quality;
    this.#screen = { width, height, dense };
    this.#canvas.width = Math.round(width * dense);
    this.#canvas.height = Math.round(height * dense);
    this.#ground = null;
    this.names.measure();
    this.wake();
  }

  #step(now) {
    const began = performance.now();
    const dt = Math.min(0.1, Math.max(0.001, (now - this.#last) / 1000));
    this.#pace(now - this.#last);
    this.#last = now;
    if (!this.held && !this.still) this.#seconds += dt;
    if (this.state && this.#spots && this.#screen.width > 1) this.#paint(now, dt);
    this.#busy += (performance.now() - began - this.#busy) * 0.05;
    this.#next();
  }

  /** Where a machine cannot keep up, fewer pixels rather than fewer frames. */
  #pace(took) {
    if (this.still || this.held || took > 250) return;
    this.#spent += (took - this.#spent) * 0.03;
    if (this.#spent > SLOW_MS && this.#quality > 0.65) {
      this.#quality *= 0.8;
      this.#spent = 16;
      this.#measure();
    }
  }

  #paint(now, dt) {
    const { state } = this;
    if (state.unsettled || now - this.#settled > 1000) {
      arrange(state);
      this.#settled = now;
    }
    this.#steer(dt);
    if (!this.held) paint.breathe(state, Date.now(), this.still);
    const frame = this.#brush();
    const { context } = frame;
    this.#lay(context);
    paint.rooms(frame, state);
    paint.quantum(frame, state);
    paint.threads(frame, state);
    paint.memories(frame, state);
    paint.people(frame, state, dt);
    context.globalCompositeOperation = this.#look.glow;
    this.signs.draw(context, frame);
    context.globalAlpha = 1;
    this.names.place(frame, state);
  }

  #brush() {
    const [view, screen, focus] = [this.#view, this.#screen, this.focus];
    return {
      context: this.#context, view, screen, focus, palette: this.#look, spots: this.#spots, seconds: this.#seconds,
      still: this.still,
      project: (x, y) => toScreen(view, screen, x, y),
      unit: Math.min(9, Math.max(2.4, view.scale * 0.45)) * (screen.width > 2500 ? 1.3 : 1),
      line: Math.max(1, Math.min(screen.width, screen.height) / 900),
      shade: (device) => (focus && device.room !== focus ? 0.1 : 1),
    };
  }

  /** The ground: painted once for a size, for a gradient over all of a wall takes longer than all people on it. */
  #lay(context) {
    const { width, height, dense } = this.#screen;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalCompositeOperation = "source-over";
    context.globalAlpha = 1;
    if (!this.#ground) {
      this.#ground = document.createElement("canvas");
      [this.#ground.width, this.#ground.height] = [this.#canvas.width, this.#canvas.height];
      const brush = this.#ground.getContext("2d", { alpha: false });
      const [x, y] = [this.#ground.width * 0.45, this.#ground.height * 0.42];
      const gradient = brush.createRadialGradient(x, y, 0, x, y, Math.max(width, height) * dense * 0.56);
      gradient.addColorStop(0, css(this.#look.dusk));
      gradient.addColorStop(1, css(this.#look.ground));
      brush.fillStyle = gradient;
      brush.fillRect(0, 0, this.#ground.width, this.#ground.height);
    }
    context.drawImage(this.#ground, 0, 0);
    context.setTransform(dense, 0, 0, dense, 0, 0);
  }

  #steer(dt) {
    const { state } = this;
    const room = state.rooms.get(this.focus);
    const pad = room ? room.reach * 0.3 : 3;
    const one = room && { x0: room.x - room.reach, y0: room.y - room.reach, x1: room.x + room.reach, y1: room.y + room.reach };
    const box = one ?? bounds(state.devices, state.rooms);
    const wanted = fit({ x0: box.x0 - pad, y0: box.y0 - pad, x1: box.x1 + pad, y1: box.y1 + pad }, this.free(), this.#screen);
    this.#view = this.#view && !this.still ? glide(this.#view, wanted, dt) : wanted;
    this.#moved = Math.abs(wanted.scale / this.#view.scale - 1) + Math.hypot(wanted.x - this.#view.x, wanted.y - this.#view.y) * 0.05;
  }
}
