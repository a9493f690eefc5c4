// Where everybody stands. Devices that say where they are stand there; others sit in their room like seeds in a
// sunflower; rooms that nobody has placed lie on a spiral beside the others. Pure.

const GOLDEN = Math.PI * (3 - Math.sqrt(5));
const SEAT = 1.5;
const ROOM_GAP = 34;
export const REACH_LEAST = 6;

/** A number in 0..1 that is always the same for a text. */
export function chanceOf(text) {
  let hash = 2166136261;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 16777619);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 2246822507);
  return ((hash ^ (hash >>> 13)) >>> 0) / 4294967296;
}

/** Seat number n of a sunflower around (0, 0). */
export function seat(n, gap = SEAT) {
  const r = gap * Math.sqrt(n + 0.5);
  return { x: r * Math.cos(n * GOLDEN), y: r * Math.sin(n * GOLDEN) };
}

/** Sets where rooms and devices belong (`tx`, `ty` of devices; `x`, `y`, `reach` of rooms). */
export function settle(devices, rooms) {
  const standing = new Map();
  const sitting = new Map();
  for (const device of devices.values()) {
    if (!rooms.has(device.room)) continue;
    const list = device.placed ? standing : sitting;
    if (list.has(device.room)) list.get(device.room).push(device);
    else list.set(device.room, [device]);
  }
  middles(rooms, standing);
  for (const device of devices.values()) {
    if (device.placed) {
      device.tx = device.px;
      device.ty = device.py;
    } else if (!rooms.has(device.room)) {
      const angle = chanceOf(device.id) * 2 * Math.PI;
      const [x, y, far] = around(rooms);
      device.tx = x + far * Math.cos(angle);
      device.ty = y + far * Math.sin(angle);
    }
  }
  for (const [id, seats] of sitting) sit(rooms.get(id), seats);
  for (const room of rooms.values()) {
    const wanted = Math.min(40, Math.max(REACH_LEAST, room.far * 1.12 + 1.5));
    room.reach += (wanted - room.reach) * (room.fresh ? 1 : 0.25);
    room.fresh = false;
  }
}

/** The value below which `share` of a list lies; somebody who stands elsewhere moves no room. */
export function quantile(list, share) {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

function middles(rooms, standing) {
  let unplaced = 0;
  const width = Math.max(1, Math.ceil(Math.sqrt(1.6 * (rooms.size - standing.size))));
  for (const [id, room] of rooms) {
    room.far = 0;
    const list = standing.get(id);
    if (list) {
      const [x, y] = [quantile(list.map((one) => one.px), 0.5), quantile(list.map((one) => one.py), 0.5)];
      room.fresh ||= !room.placed || list.length > 2 * room.known;
      room.known = list.length;
      const share = room.fresh ? 1 : 0.15; // a middle that jumps with everybody who walks would make the room tremble
      room.x += (x - room.x) * share;
      room.y += (y - room.y) * share;
      room.placed = true;
      const distances = list.map((one) => Math.hypot(one.px - room.x, one.py - room.y));
      room.far = Math.min(quantile(distances, 0.8), 2.2 * quantile(distances, 0.5) + 2);
    } else if (!room.placed) {
      const row = Math.floor(unplaced / width);
      room.x = ROOM_GAP * ((unplaced % width) + (row % 2) * 0.5);
      room.y = ROOM_GAP * 0.88 * row;
      unplaced += 1;
    }
  }
}

/** Who has a seat keeps it while others come and go. */
function sit(room, seats) {
  const taken = new Set();
  for (const device of seats) {
    if (device.seatRoom !== room.id || taken.has(device.seat)) device.seat = -1;
    else taken.add(device.seat);
  }
  let next = 0;
  for (const device of seats) {
    if (device.seat < 0) {
      while (taken.has(next)) next += 1;
      device.seat = next;
      device.seatRoom = room.id;
      taken.add(next);
    }
    const { x, y } = seat(device.seat);
    device.tx = room.x + x;
    device.ty = room.y + y;
    room.far = Math.max(room.far, Math.hypot(x, y));
  }
}

function around(rooms) {
  let [n, x, y] = [0, 0, 0];
  for (const room of rooms.values()) {
    n += 1;
    x += room.x;
    y += room.y;
  }
  if (!n) return [0, 0, 14];
  [x, y] = [x / n, y / n];
  let far = 0;
  for (const room of rooms.values()) far = Math.max(far, Math.hypot(room.x - x, room.y - y) + room.reach);
  return [x, y, far + 6];
}

/** The box that holds rooms and placed devices; a few who stand far out do not make all others small. */
export function bounds(devices, rooms) {
  const xs = [];
  const ys = [];
  for (const room of rooms.values()) {
    xs.push(room.x - room.reach, room.x + room.reach);
    ys.push(room.y - room.reach, room.y + room.reach);
  }
  const some = [...devices.values()].filter((device) => !rooms.has(device.room));
  const spread = (key) => {
    const sorted = some.map((device) => device[key]).sort((a, b) => a - b);
    const cut = Math.floor(sorted.length * 0.02);
    return sorted.slice(cut, sorted.length - cut || undefined);
  };
  xs.push(...spread("tx"));
  ys.push(...spread("ty"));
  if (!xs.length) return { x0: -20, y0: -14, x1: 20, y1: 14 };
  const least = (list) => list.reduce((a, b) => Math.min(a, b), Infinity);
  const most = (list) => list.reduce((a, b) => Math.max(a, b), -Infinity);
  return { x0: least(xs), y0: least(ys), x1: most(xs), y1: most(ys) };
}
