// Colours of the canvas, as light on the night and as pigment on paper; and soft spots of them, painted once.

export const LABELS = {
  BREATH: "a breath", TOUCH: "a touch", SPIRAL: "a spiral", BLOOM: "a bloom", SACRED_PHRASE: "a shared phrase", FIELD: "a quantum field",
};

export const NIGHT = {
  glow: "lighter", ground: [7, 9, 17], dusk: [16, 21, 38], ink: [226, 232, 244], quiet: [142, 154, 182],
  BREATH: [116, 214, 206], TOUCH: [255, 176, 96], SPIRAL: [172, 150, 255], BLOOM: [255, 128, 170],
  SACRED_PHRASE: [255, 220, 128], FIELD: [104, 156, 255], device: [206, 232, 240], thread: [178, 190, 255],
  apart: [52, 70, 128], together: [36, 150, 140],
};

export const DAY = {
  glow: "multiply", ground: [246, 242, 234], dusk: [254, 252, 248], ink: [34, 38, 52], quiet: [96, 102, 118],
  BREATH: [74, 172, 164], TOUCH: [232, 146, 66], SPIRAL: [138, 116, 222], BLOOM: [228, 104, 148],
  SACRED_PHRASE: [214, 168, 52], FIELD: [84, 132, 224], device: [52, 74, 104], thread: [112, 104, 180],
  apart: [150, 176, 232], together: [92, 206, 182],
};

export function css([r, g, b], alpha = 1) {
  return `rgba(${r | 0},${g | 0},${b | 0},${alpha})`;
}

/** Between two colours. */
export function mix(a, b, share) {
  return a.map((value, i) => value + (b[i] - value) * share);
}

/** A round spot that fades to its edge, `SPOT` pixels wide: drawn a thousand times a frame, so made once. */
export const SPOT = 128;

export function spot(colour, stops) {
  const canvas = document.createElement("canvas");
  canvas.width = SPOT;
  canvas.height = SPOT;
  const context = canvas.getContext("2d");
  const half = SPOT / 2;
  const gradient = context.createRadialGradient(half, half, 0, half, half, half);
  for (const [at, alpha] of stops) gradient.addColorStop(at, css(colour, alpha));
  context.fillStyle = gradient;
  context.fillRect(0, 0, SPOT, SPOT);
  return canvas;
}

const GLOW = [[0, 0.9], [0.08, 0.55], [0.25, 0.2], [0.55, 0.05], [1, 0]];
const CORE = [[0, 1], [0.6, 1], [0.9, 0.2], [1, 0]];
const MIST = [[0, 0.5], [0.35, 0.34], [0.7, 0.12], [1, 0]];
const STEPS = 8;

/** All spots of a palette. */
export function spots(palette) {
  const made = { mist: [] };
  for (const name of ["BREATH", "TOUCH", "SPIRAL", "BLOOM", "SACRED_PHRASE", "FIELD", "device"]) made[name] = spot(palette[name], GLOW);
  for (let i = 0; i <= STEPS; i += 1) made.mist.push(spot(mix(palette.apart, palette.together, i / STEPS), MIST));
  made.core = spot(palette.ink, CORE);
  made.of = (coherence) => made.mist[Math.round(Math.min(1, Math.max(0, coherence)) * STEPS)];
  return made;
}
