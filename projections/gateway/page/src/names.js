// Names on the canvas: of rooms, and in a room's view of its people. They are elements, so that they stay sharp however
// few pixels the canvas has; and no more than can be read.

const PEOPLE_MOST = 70;

export class Names {
  #root;
  #label;
  #text = 12;
  #spans = new Map(); // id -> { span, x, y }

  constructor(root, label) {
    this.#root = root;
    this.#label = label;
  }

  /** Called when the window has another size: asked in every frame it would cost more than all names. */
  measure() {
    this.#text = parseFloat(getComputedStyle(this.#root).fontSize);
  }

  place(frame, state) {
    const seen = new Set();
    const text = this.#text;
    this.#rooms(frame, state, text, seen);
    if (frame.focus) this.#people(frame, state, text, seen);
    for (const [key, { span }] of this.#spans) {
      if (seen.has(key)) continue;
      span.remove();
      this.#spans.delete(key);
    }
  }

  #rooms({ project, view, focus, screen }, state, text, seen) {
    const taken = [];
    for (const room of state.rooms.values()) {
      const reach = room.reach * view.scale;
      if ((focus && focus !== room.id) || reach < text * 1.6) continue;
      const [x, y] = project(room.x, room.y);
      const top = y - reach * 1.08 - text * 0.9;
      if (x < 0 || x > screen.width || top < 0 || taken.some(([a, b]) => Math.abs(a - x) < text * 5 && Math.abs(b - top) < text * 1.3)) continue;
      taken.push([x, top]);
      this.#at(`room ${room.id}`, room, "room", x, top, seen);
    }
  }

  #people({ project, focus, unit }, state, text, seen) {
    const taken = [];
    for (const device of state.devices.values()) {
      if (device.room !== focus || device.x === null || taken.length >= PEOPLE_MOST) continue;
      const [x, y] = project(device.x, device.y);
      if (taken.some(([a, b]) => Math.abs(a - x) < text * 5 && Math.abs(b - y) < text * 1.4)) continue;
      taken.push([x, y]);
      this.#at(`device ${device.id}`, device, "person", x, y + unit * 1.2 + text * 0.6, seen);
    }
  }

  #at(key, one, kind, x, y, seen) {
    seen.add(key);
    let known = this.#spans.get(key);
    if (!known) {
      known = { span: document.createElement("span"), x: NaN, y: NaN };
      known.span.className = kind;
      known.span.textContent = this.#label(one);
      this.#root.append(known.span);
      this.#spans.set(key, known);
    }
    if (Math.abs(known.x - x) < 0.3 && Math.abs(known.y - y) < 0.3) return;
    [known.x, known.y] = [x, y];
    known.span.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px) translate(-50%, -50%)`;
  }
}
