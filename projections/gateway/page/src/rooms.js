// The rooms at the side: a list of all, and the view of one.

import * as api from "./api.js";
import { $, make, say } from "./dom.js";
import { age, clock, count, name, people, ratio } from "./format.js";
import { ordered } from "./state.js";

const LIST_MOST = 34;
const PEOPLE_MOST = 64;
const ASK_MS = 2000;
/** What opens the rooms, in their order; letters that do something else are left out. */
export const KEYS = "123456789abcdefghijkmopqrsuvwxyz";

/** The rooms that are listed: the fullest, in the order of their names. */
export function listed(state) {
  const all = ordered(state);
  if (all.length <= LIST_MOST) return all;
  const least = all.map((room) => room.present).sort((a, b) => b - a)[LIST_MOST - 1];
  return all.filter((room) => room.present >= least).slice(0, LIST_MOST);
}

export class Rooms {
  #rows = new Map();
  #asked = 0;
  #detail = null;

  /** `changed(id|null)` when another room is looked at. */
  constructor(changed) {
    this.changed = changed;
    this.chosen = null;
    this.shown = [];
    $("room-back").addEventListener("click", () => this.choose(null));
  }

  choose(id) {
    if (id === this.chosen) return;
    const before = this.chosen;
    this.chosen = id;
    this.#detail = null;
    this.#asked = 0;
    $("list-view").hidden = id !== null;
    $("room-view").hidden = id === null;
    this.changed(id);
    if (id !== null) {
      say($("room-name"), name(id));
      $("room-name").focus({ preventScroll: true });
    } else {
      this.#rows.get(before)?.button.focus({ preventScroll: true });
    }
  }

  /** By key: "1".."9", then letters. True if there is such a room. */
  byKey(key) {
    const room = this.shown[KEYS.indexOf(key)];
    if (room) this.choose(room.id);
    return Boolean(room);
  }

  paint(state, { now, live }) {
    this.shown = listed(state);
    if (this.chosen === null) this.#list(state);
    else this.#room(state, now, live);
  }

  #list(state) {
    const total = Math.max(state.brief?.rooms_open ?? 0, state.rooms.size);
    say($("rooms-count"), total ? count(total) : "");
    $("rooms-none").hidden = this.shown.length > 0;
    $("rooms-more").hidden = total <= this.shown.length;
    say($("rooms-more"), `and ${count(total - this.shown.length)} more, less full`);
    const seen = new Set();
    this.shown.forEach((room, index) => {
      seen.add(room.id);
      const row = this.#rows.get(room.id) ?? this.#row(room.id);
      const place = $("rooms-list").children[index];
      if (place !== row.item) $("rooms-list").insertBefore(row.item, place ?? null);
      const coherence = room.coherence ?? 0;
      say(row.key, KEYS[index] ?? "");
      say(row.people, count(room.present));
      say(row.coherence, ratio(coherence));
      row.item.style.setProperty("--coherence", coherence.toFixed(3));
      row.button.setAttribute("aria-label", `${name(room.id)}: ${people(room.present)}, coherence ${ratio(coherence)}`);
      if (KEYS[index]) row.button.setAttribute("aria-keyshortcuts", KEYS[index].toUpperCase());
    });
    for (const [id, row] of this.#rows) {
      if (seen.has(id)) continue;
      row.item.remove();
      this.#rows.delete(id);
    }
  }

  #row(id) {
    const [key, here, coherence] = [make("kbd"), make("span", { class: "here" }), make("span", { class: "value" })];
    const button = make("button", { type: "button" }, key, make("span", { class: "name" }, name(id)), here, coherence, make("span", { class: "bar" }));
    button.addEventListener("click", () => this.choose(id));
    const row = { item: make("li", {}, button), button, key, people: here, coherence };
    this.#rows.set(id, row);
    return row;
  }

  #room(state, now, live) {
    const room = state.rooms.get(this.chosen);
    if (live && now - this.#asked > ASK_MS) this.#ask(now);
    $("room-away").hidden = Boolean(room);
    const read = (live && this.#detail) || room;
    if (!read) return;
    const coherence = room?.coherence ?? read.coherence ?? 0;
    say($("room-coherence"), ratio(coherence));
    $("dial-arc").style.opacity = coherence < 0.005 ? 0 : 1; // of nothing a round end would be left
    $("dial-arc").style.strokeDasharray = `${(100 * coherence).toFixed(1)} 100`;
    this.#figures(read, now);
    this.#people(read, now);
  }

  /** The room by itself: its people may be more than the snapshot of the whole field holds. */
  async #ask(now) {
    this.#asked = now;
    const id = this.chosen;
    try {
      const answer = await api.room(id);
      if (id === this.chosen) this.#detail = answer.data;
    } catch (error) {
      if (error.status === 404 && id === this.chosen) this.#detail = null;
    }
  }

  #figures(room, now) {
    const figures = [["here", count(room.present)], ["resonance", ratio(room.resonance ?? NaN)]];
    if (room.blooms !== undefined) figures.push(["blooms", count(room.blooms)], ["phrases", count(room.phrases)], ["seated", count(room.seated)]);
    if (room.opened) figures.push(["open for", age(now - room.opened)]);
    const root = $("room-figures");
    while (root.children.length > figures.length) root.lastChild.remove();
    figures.forEach(([what, value], index) => {
      const cell = root.children[index] ?? root.appendChild(make("div", {}, make("dt"), make("dd")));
      say(cell.firstChild, what);
      say(cell.lastChild, value);
    });
  }

  #people(room, now) {
    const list = (room.participants ?? []).slice(0, PEOPLE_MOST);
    const root = $("room-people");
    while (root.children.length > list.length) root.lastChild.remove();
    list.forEach((person, index) => {
      const row = root.children[index] ?? root.appendChild(make("li", {}, make("span"), make("span", { class: "quiet" })));
      say(row.firstChild, name(person.device_id));
      row.firstChild.title = person.device_id;
      const since = person.joined ? age(now - person.joined) : "";
      say(row.lastChild, person.seated === false ? `${since} · listening` : since);
      if (person.joined) row.lastChild.title = `since ${clock(person.joined, now)}`;
    });
  }
}
