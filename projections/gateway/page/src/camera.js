// From the field's places to pixels: a view that glides to what is looked at. Pure.

const NEAR_MOST = 26; // pixels a unit, at a screen of 1000 pixels: two people are not a whole screen

/** What part of the canvas is free, and what box of the field should fill it -> {scale, x, y} (middle of the field). */
export function fit(box, free, screen) {
  const width = Math.max(1, box.x1 - box.x0);
  const height = Math.max(1, box.y1 - box.y0);
  const most = NEAR_MOST * (Math.min(screen.width, screen.height) / 1000 + 0.4);
  const scale = Math.min(most, (free.x1 - free.x0) / width, (free.y1 - free.y0) / height);
  const middle = { x: (free.x0 + free.x1) / 2, y: (free.y0 + free.y1) / 2 };
  return {
    scale,
    x: (box.x0 + box.x1) / 2 + (screen.width / 2 - middle.x) / scale,
    y: (box.y0 + box.y1) / 2 + (screen.height / 2 - middle.y) / scale,
  };
}

/** One step of gliding; `dt` in seconds, `haste` per second. */
export function glide(view, wanted, dt, haste = 2.6) {
  const share = 1 - Math.exp(-haste * dt);
  return {
    scale: view.scale * (wanted.scale / view.scale) ** share,
    x: view.x + (wanted.x - view.x) * share,
    y: view.y + (wanted.y - view.y) * share,
  };
}

export function toScreen(view, screen, x, y) {
  return [(x - view.x) * view.scale + screen.width / 2, (y - view.y) * view.scale + screen.height / 2];
}

export function toField(view, screen, x, y) {
  return [(x - screen.width / 2) / view.scale + view.x, (y - screen.height / 2) / view.scale + view.y];
}
