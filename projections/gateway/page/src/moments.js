// Now and then: live, paused, seeking, and the past played forward until it joins the present.

import * as api from "./api.js";
import { Live } from "./live.js";
import * as states from "./state.js";

const SEEK_MS = 450;
const SNAPSHOT_MS = 5000;
const MANY = 2500;
const ALONE_MS = 2500; // how often to ask while there is no stream
const LONELY_MS = 4000;
const BACK_MS = 60_000;
const MEMORY_MS = 900_000;
const HIDDEN_MS = 20_000;

/** Holds the state of the field and the mode: "live" | "paused" | "scrubbing" | "past". */
export class Moments {
  #seeking = 0;
  #asked = -Infinity;
  #asking = false;
  #hidden = 0;
  #resume = null;
  #ticked = 0;
  #joined = Date.now();
  #coming = null; // what is shown next, once it is whole: until then what was shown stays

  /** `heard(shown)` signs to draw; `changed()` when mode or state are others; `told(brief)` when numbers came. */
  constructor({ heard, changed, told, speed }) {
    Object.assign(this, { heard, changed, told, speed });
    this.state = states.empty();
    this.mode = "live";
    this.moment = Date.now();
    this.problem = null;
    this.alone = false; // without a stream for longer than it takes to open one
    this.connection = new Live({ heard: (kind, data) => this.#message(kind, data), changed: () => this.changed() });
    document.addEventListener("visibilitychange", () => this.#look());
  }

  /** Whether what stands still is a moment of the past. */
  get past() {
    return this.mode === "past" || this.mode === "scrubbing" || (this.mode === "paused" && this.#resume !== null);
  }

  /** Whether what is shown is still what was before. */
  get settling() {
    return this.#coming !== null;
  }

  /** To the present: everything anew. */
  live() {
    clearTimeout(this.#seeking);
    if (this.mode !== "live") this.#renew();
    this.#set("live");
    this.#resume = null;
    this.#ask();
    this.connection.start();
  }

  pause() {
    if (this.mode === "paused") {
      if (this.#resume === null) this.live();
      else this.play(this.#resume);
      return;
    }
    this.#resume = this.mode === "live" ? null : this.moment;
    clearTimeout(this.#seeking);
    this.connection.stop();
    if (this.mode === "live") this.moment = Date.now();
    this.#set("paused");
  }

  /** Shows another moment at once, and plays from there when the hand rests. */
  seek(moment) {
    clearTimeout(this.#seeking);
    if (Date.now() - moment < 1500) {
      if (this.mode !== "live") this.live();
      return;
    }
    if (this.mode !== "scrubbing") this.connection.stop();
    this.moment = moment;
    this.#set("scrubbing");
    this.#seeking = setTimeout(() => this.play(moment), SEEK_MS);
  }

  /** The past from `moment` on. */
  async play(moment) {
    this.#renew();
    this.moment = moment;
    this.#set("past");
    const state = this.#coming;
    this.connection.start({ from: moment, speed: this.speed() });
    // who was there, and what they remembered: without it the picture of a moment would begin empty
    const [recent, memories] = await Promise.allSettled([
      api.before(moment, null, BACK_MS), api.before(moment, "BLOOM,SACRED_PHRASE", MEMORY_MS),
    ]);
    if (state !== this.#coming) return;
    const known = new Set();
    const seeds = [...(memories.value ?? []), ...(recent.value ?? [])].filter((event) => !known.has(event.id) && known.add(event.id));
    seeds.sort((a, b) => a.timestamp - b.timestamp);
    const came = state.particles;
    state.particles = [];
    states.events(state, seeds, Date.now());
    state.particles.push(...came);
    states.bind(state, seeds);
    states.readPast(state, this.moment);
    this.#arrive();
    this.changed();
  }

  /** Another speed: goes on from where it is. */
  sped() {
    if (this.mode === "past") this.play(this.moment);
  }

  /** Called a few times a second. */
  tick(now) {
    const dt = Math.min(2000, now - (this.#ticked || now));
    this.#ticked = now;
    if (this.mode === "past") {
      if (this.connection.connected) this.moment = Math.min(now, this.moment + dt * this.speed());
      if (!this.#coming) states.readPast(this.state, this.moment);
    }
    if (this.connection.connected || this.mode !== "live") this.#joined = now;
    this.alone = now - this.#joined > LONELY_MS;
    if (this.mode === "live" && !document.hidden) {
      const alone = !this.connection.connected || silent(this.state, now);
      if (now - this.#asked > (alone ? ALONE_MS : this.#often())) this.#ask();
    }
  }

  #message(kind, data) {
    const now = Date.now();
    if (this.mode === "past") this.#past(kind, data, now);
    else if (this.mode === "live") this.#present(kind, data, now);
  }

  #present(kind, data, now) {
    const state = this.#growing;
    if (kind === "events") this.#show(states.events(state, data.events ?? [], now));
    else if (kind === "rooms") states.rooms(state, data);
    else if (kind === "entanglements") states.pairs(state, data);
    else if (kind === "field") {
      states.brief(state, data, now);
      this.told(state.brief);
      this.changed();
    }
  }

  #past(kind, data, now) {
    if (kind === "live") {
      this.live();
      return;
    }
    if (kind !== "events") return; // numbers of the present do not belong into the past
    const list = data.events ?? [];
    this.#show(states.events(this.#growing, list, now));
    states.bind(this.#growing, list);
    const last = list.at(-1);
    const at = last?.received ?? last?.timestamp;
    if (at && Math.abs(at - this.moment) > 1500 * this.speed()) this.moment = Math.min(now, at);
  }

  async #ask() {
    if (this.#asking) return;
    this.#asking = true;
    this.#asked = Date.now();
    try {
      const answer = await api.snapshot();
      if (this.mode === "live") {
        states.snapshot(this.#growing, answer, Date.now());
        this.#arrive();
        this.problem = null;
        this.told(this.state.brief);
      }
    } catch (error) {
      if (this.mode === "live") this.#arrive();
      this.problem = error;
    } finally {
      this.#asking = false;
      this.changed();
    }
  }

  /** A field of thousands is asked for less often: between two answers the stream tells what matters. */
  #often() {
    return this.state.pairs.size + this.state.particles.length > MANY ? 3 * SNAPSHOT_MS : SNAPSHOT_MS;
  }

  #renew() {
    this.#coming = states.empty();
    this.#asked = -Infinity;
  }

  /** The state that grows by what is heard: the one that is shown, or the one that is shown next. */
  get #growing() {
    return this.#coming ?? this.state;
  }

  #arrive() {
    this.state = this.#growing;
    this.#coming = null;
  }

  #show(signs) {
    if (!this.#coming) this.heard(signs);
  }

  #set(mode) {
    this.mode = mode;
    this.changed();
  }

  /** Nobody looks: after a while nothing is asked or heard any more. */
  #look() {
    clearTimeout(this.#hidden);
    if (document.hidden) {
      this.#hidden = setTimeout(() => this.mode === "live" && this.connection.stop(), HIDDEN_MS);
    } else if (this.mode === "live" && !this.connection.wanted) {
      this.live();
    }
  }
}

function silent(state, now) {
  return state.heard === null || now - state.heard > ALONE_MS;
}
