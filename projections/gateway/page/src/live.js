// The live connection: server-sent events that go on where they broke off; while there are none, asking now and then.

import { wait } from "./backoff.js";

const KINDS = ["events", "field", "rooms", "entanglements", "live", "moved"];
const RESUME_MS = 60_000; // what was missed for longer is in the next snapshot, and nobody wants to see it played
const SILENT_MS = 20_000; // a heartbeat cannot be heard here, but the field is told every second

/** Keeps one connection to /stream. `heard(kind, data, id)`; `changed(connected)`. */
export class Live {
  #source = null;
  #timer = null;
  #watch = null;
  #tries = 0;
  #last = "";
  #lastAt = 0;
  #asked = null;

  constructor({ heard, changed, base = "/api/consciousness/stream" }) {
    this.heard = heard;
    this.changed = changed;
    this.base = base;
    this.connected = false;
  }

  /** Joins the present, or plays from `from` (epoch ms) at `speed`. */
  start({ from = null, speed = 1 } = {}) {
    this.stop();
    this.#asked = { from, speed };
    this.#last = "";
    this.#tries = 0;
    this.#open();
  }

  stop() {
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    this.#source?.close();
    this.#source = null;
    this.#asked = null;
    this.#tell(false);
  }

  /** Whether it is connected or on its way to be. */
  get wanted() {
    return this.#asked !== null;
  }

  #url() {
    const query = new URLSearchParams({ include: "events,field,rooms,entanglements" });
    const played = this.#asked.from !== null; // the past goes on where it was, however long the line was away
    const fresh = this.#last && (played || Date.now() - this.#lastAt < RESUME_MS);
    if (fresh) query.set("last_event_id", this.#last);
    if (played) {
      if (!fresh) query.set("from", new Date(this.#asked.from).toISOString());
      query.set("speed", String(this.#asked.speed));
    }
    return `${this.base}?${query}`;
  }

  #open() {
    const source = new EventSource(this.#url());
    this.#source = source;
    let opened = false;
    let lastHeard = Date.now();
    const alive = () => {
      lastHeard = Date.now();
      this.#tries = 0;
      this.#tell(true);
    };
    source.onopen = () => {
      opened = true;
      lastHeard = Date.now();
      this.#tell(true);
    };
    source.onerror = () => {
      if (!opened && this.#tries > 0) this.#last = ""; // refused again: the log may have nothing after these positions
      this.#again(source); // its own way of coming back knows no backoff
    };
    for (const kind of KINDS) {
      source.addEventListener(kind, (message) => {
        if (source !== this.#source) return;
        alive();
        if (message.lastEventId) [this.#last, this.#lastAt] = [message.lastEventId, Date.now()];
        if (kind === "live" && this.#asked) this.#asked.from = null;
        this.heard(kind, parse(message.data), message.lastEventId);
      });
    }
    source.addEventListener("bye", (message) => {
      if (["gap", "moved"].includes(parse(message.data).reason)) this.#last = ""; // positions of a log that is no more
      this.#again(source);
    });
    clearInterval(this.#watch);
    this.#watch = setInterval(() => {
      if (Date.now() - lastHeard > SILENT_MS && this.#asked?.from === null) this.#again(source);
    }, 5000);
  }

  #again(source) {
    if (source !== this.#source) return;
    source.close();
    this.#source = null;
    clearInterval(this.#watch);
    this.#tell(false);
    this.#timer = setTimeout(() => this.#open(), wait(this.#tries));
    this.#tries += 1;
  }

  #tell(connected) {
    if (connected === this.connected) return;
    this.connected = connected;
    this.changed(connected);
  }
}

function parse(text) {
  try {
    return text ? JSON.parse(text) : {};
  } catch {
    return {};
  }
}
