// Signs: what an event looks like for the two or three seconds that it is seen.

import { SPOT, css } from "./palette.js";

const MOST = 150;
const BREATHS_MOST = 60;
const LIFE = { BREATH: 1.8, TOUCH: 1.5, SPIRAL: 2.8, BLOOM: 3.2, SACRED_PHRASE: 3.2, FIELD: 3, ENTANGLE: 2 };

/** The signs on the canvas, bounded: while there is more going on than can be seen, some of it is not drawn. */
export class Signs {
  #list = [];
  #breaths = 0;

  /** `shown` as `state.events` returns it. */
  add(shown, devices, seconds) {
    for (const one of shown) {
      const life = LIFE[one.type];
      if (!life || this.#list.length >= MOST) continue;
      if (one.type === "BREATH" && (this.#breaths += 1) > BREATHS_MOST) continue;
      this.#list.push({ ...one, target: devices.get(one.target), born: seconds, life, turn: Math.random() * 2 * Math.PI });
    }
  }

  clear() {
    this.#list = [];
    this.#breaths = 0;
  }

  get size() {
    return this.#list.length;
  }

  draw(context, { project, unit, palette, spots, seconds, shade }) {
    const left = [];
    this.#breaths = 0;
    context.lineCap = "round";
    for (const sign of this.#list) {
      const t = (seconds - sign.born) / sign.life;
      if (t >= 1 || sign.device.x === null) continue;
      left.push(sign);
      if (sign.type === "BREATH") this.#breaths += 1;
      if (t < 0 || shade(sign.device) < 0.5) continue; // of another room than the one that is looked at
      const [x, y] = project(sign.device.x, sign.device.y);
      const brush = { context, x, y, t, unit, palette, spots, project, dim: shade(sign.device) };
      DRAW[sign.type]?.(brush, sign);
    }
    this.#list = left;
    context.globalAlpha = 1;
  }
}

const ease = (t) => 1 - (1 - t) ** 3;
const fade = (t) => Math.sin(Math.PI * Math.min(1, t * 1.02)) ** 0.8 || 0;

function glow({ context, spots, dim }, type, x, y, radius, alpha) {
  context.globalAlpha = Math.max(0, alpha) * dim;
  context.drawImage(spots[type], 0, 0, SPOT, SPOT, x - radius, y - radius, 2 * radius, 2 * radius);
}

const DRAW = {
  BREATH(brush, { intensity }) {
    const { x, y, t, unit } = brush;
    glow(brush, "BREATH", x, y, unit * (2 + 5 * ease(t)) * (0.6 + intensity), 0.3 * fade(t));
  },

  TOUCH(brush, { target, intensity }) {
    const { context, x, y, t, unit, palette, project, dim } = brush;
    if (target && target.x !== null) {
      const [tx, ty] = project(target.x, target.y);
      const go = ease(Math.min(1, t * 1.6));
      for (let i = 0; i < 5; i += 1) {
        const at = Math.max(0, go - i * 0.05);
        glow(brush, "TOUCH", x + (tx - x) * at, y + (ty - y) * at, unit * (2.6 - i * 0.4), (0.9 - i * 0.16) * fade(t));
      }
    }
    context.globalAlpha = 0.7 * (1 - t) * dim;
    context.strokeStyle = css(palette.TOUCH);
    context.lineWidth = unit * 0.3 * (1 - t) + 0.4;
    context.beginPath();
    context.arc(x, y, unit * (0.8 + 4 * ease(t) * (0.5 + intensity)), 0, 2 * Math.PI);
    context.stroke();
  },

  SPIRAL(brush, { data, turn, intensity }) {
    const { context, x, y, t, unit, palette, dim } = brush;
    const turns = Math.min(5, data.turns ?? 2);
    const size = unit * (3 + 2 * (data.radius ?? 1)) * (0.6 + 0.5 * intensity);
    const shown = ease(Math.min(1, t * 1.5));
    const inward = data.direction === "in";
    context.globalAlpha = 0.8 * fade(t) * dim;
    context.strokeStyle = css(palette.SPIRAL);
    context.lineWidth = Math.max(0.8, unit * 0.26);
    context.beginPath();
    const steps = Math.ceil(turns * 22);
    for (let i = 0; i <= steps * shown; i += 1) {
      const part = inward ? 1 - i / steps : i / steps;
      const angle = turn + part * turns * 2 * Math.PI + t * 0.8;
      context.lineTo(x + size * part * Math.cos(angle), y + size * part * Math.sin(angle));
    }
    context.stroke();
  },

  BLOOM(brush, { data, turn, intensity }) {
    const { context, x, y, t, unit, palette, dim } = brush;
    const petals = Math.min(12, Math.max(4, data.petals ?? 6));
    const size = unit * (3 + 1.4 * (data.radius ?? 1)) * ease(Math.min(1, t * 1.7)) * (0.6 + 0.5 * intensity);
    glow(brush, "BLOOM", x, y, size * 1.5, 0.5 * fade(t));
    context.globalAlpha = 0.34 * fade(t) * dim;
    context.fillStyle = css(palette.BLOOM);
    for (let i = 0; i < petals; i += 1) {
      const angle = turn + (i / petals) * 2 * Math.PI + t * 0.3;
      context.beginPath();
      context.ellipse(x + 0.55 * size * Math.cos(angle), y + 0.55 * size * Math.sin(angle), size * 0.48, size * 0.16, angle, 0, 2 * Math.PI);
      context.fill();
    }
  },

  SACRED_PHRASE(brush, { turn }) {
    const { x, y, t, unit } = brush;
    glow(brush, "SACRED_PHRASE", x, y, unit * (6 + 3 * ease(t)), 0.55 * fade(t));
    for (let i = 0; i < 8; i += 1) { // words that rise like sparks
      const sway = Math.sin(turn + i * 2.4 + t * 4) * unit * 1.4;
      const rise = unit * 11 * ease(t) * (0.35 + ((i * 0.37) % 1) * 0.65);
      glow(brush, "SACRED_PHRASE", x + sway, y - rise, unit * 1.1, 0.95 * fade(t));
    }
  },

  FIELD(brush) {
    const { x, y, t, unit } = brush;
    glow(brush, "FIELD", x, y, unit * (4 + 10 * ease(t)), 0.4 * fade(t));
  },

  ENTANGLE(brush, { target }) {
    const { context, x, y, t, unit, palette, project, dim } = brush;
    if (!target || target.x === null) return;
    const [tx, ty] = project(target.x, target.y);
    context.globalAlpha = 0.9 * fade(t) * dim;
    context.strokeStyle = css(palette.thread);
    context.lineWidth = unit * 0.4;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + (tx - x) * ease(t), y + (ty - y) * ease(t));
    context.stroke();
  },
};
