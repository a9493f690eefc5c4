/**
 * Publish events to the field from a browser or Node (20 or later): what `publish()` resolved for is neither lost nor
 * counted twice, however often the page or process ends in the middle. No dependencies.
 *
 * An event and its `seq` are stored in one write; it is sent, in order, until the gateway has answered for it. The
 * same event always has the same `id`, `epoch` and `seq`, so the field counts it once.
 */

export const PATH = "/api/consciousness/sync";
const EVENT_BYTES_MAX = 65_000; // the field takes no larger events
const GZIP_BYTES_MIN = 1_000; // below this the header of gzip costs more than it saves

/** How a device sends; the defaults suit a phone. */
export const POLICY = Object.freeze({
  batchEvents: 500,
  batchBytes: 500_000,
  lingerMs: 50, // how long to gather before a request that is not full
  timeoutMs: 15_000,
  backoffBaseMs: 500,
  backoffMaxMs: 60_000,
  retryAfterMaxMs: 3_600_000, // a longer Retry-After is taken for a mistake and cut to this
});

/** The storage cannot be used: another tab or process has it, or it is another device's. */
export class StorageError extends Error {
  name = "StorageError";
}

/** A UUID of version 7 (RFC 9562): milliseconds, then chance. */
export function newId(now = Date.now()) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  for (let at = 5, rest = now; at >= 0; at -= 1, rest = Math.floor(rest / 256)) bytes[at] = rest % 256;
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** Exponential backoff with full jitter; never before `retryAfterMs`, and then not all devices at once. */
export function delayMs(failures, retryAfterMs = null, policy = POLICY, random = Math.random) {
  const jitter = random() * Math.min(policy.backoffMaxMs, policy.backoffBaseMs * 2 ** Math.min(failures, 16));
  if (retryAfterMs === null) return jitter;
  return Math.min(Math.max(0, retryAfterMs), policy.retryAfterMaxMs) + Math.min(jitter, policy.backoffBaseMs);
}

/**
 * One device. `await Device.open({...})`, then `publish`, `flush`, `close`.
 *
 * A storage has `entries()` -> [[key, text]], `write([[key, text or null]])` (durable when it resolves, in order),
 * and if it wants `open()` (refuses a second owner), `close()`, and `durable: false`: see the classes below.
 */
export class Device {
  #options;
  #policy;
  #queue = new Map(); // seq -> JSON text; a Map keeps the order
  #lastSeq = 0;
  #batchEvents;
  #running = false;
  #closed = false;
  #hurry = false;
  #wake = () => {};
  #nap = ""; // what it waits for: "more" events, a "pause" after a failure, a time that the gateway "asked" for
  #writing = Promise.resolve();
  #over = new AbortController();
  #waiters = new Set();
  #counts = { published: 0, accepted: 0, rejected: 0, retries: 0, dropped: 0 };

  /**
   * @param {object} options `deviceId`, `url` of the gateway, `storage`; and if wanted: `token`;
   *   `newToken()` asked for another when it is refused; `onRejected({event, reason, detail})` told of each event that
   *   the field will never take (at least once); `queueMax` events, beyond which the OLDEST are dropped and counted;
   *   `epoch` of a new storage (default: the clock); `policy`; `fetch`.
   */
  static async open(options) {
    const device = new Device(options);
    await device.#load();
    globalThis.addEventListener?.("online", device.#online);
    device.#start();
    return device;
  }

  constructor(options) {
    this.#options = { queueMax: 10_000, fetch: globalThis.fetch.bind(globalThis), ...options };
    this.#policy = { ...POLICY, ...options.policy };
    this.#batchEvents = this.#policy.batchEvents;
    if (!/^https?:\/\/[^/]/.test(options.url)) throw new TypeError(`${options.url} is not http://HOST or https://HOST`);
  }

  /** Counts since `open`; `dropped` (queue full) and `waiting` since the storage is new. */
  get stats() {
    return { ...this.#counts, waiting: this.#queue.size };
  }

  get epoch() {
    return this.#options.epoch;
  }

  /** Publish one event, now. `fields`: intensity, room_id, user_id, position, data, timestamp. Resolves to its id, stored. */
  async publish(type, fields = {}) {
    return (await this.publishMany([{ type, ...fields }]))[0];
  }

  /** Several events with one write; their ids. */
  async publishMany(events) {
    if (this.#closed) throw new StorageError("the device is closed");
    const complete = events.map((event) => this.#complete(event));
    const written = this.#writing.then(() => this.#add(complete)); // one after the other, so that they are in order
    this.#writing = written.catch(() => {});
    await written;
    return complete.map((event) => event.id);
  }

  /** Waits until all that was published before is settled; false when it is not within `timeoutMs`. */
  async flush(timeoutMs = Infinity) {
    const last = this.#lastSeq;
    const settled = () => this.#queue.size === 0 || this.#queue.keys().next().value > last;
    if (settled()) return true;
    this.#hurry = true;
    if (this.#nap === "more") this.#wake();
    return await new Promise((resolve) => {
      const waiter = () => (settled() || this.#closed) && done();
      const timer = timeoutMs === Infinity ? null : setTimeout(() => done(), timeoutMs);
      const done = () => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        resolve(settled());
      };
      this.#waiters.add(waiter);
    });
  }

  /** Sends what it can within `timeoutMs`; the rest stays stored for the next start. */
  async close(timeoutMs = 5_000) {
    if (this.#closed) return;
    await this.flush(timeoutMs);
    this.#closed = true;
    this.#over.abort();
    this.#wake();
    globalThis.removeEventListener?.("online", this.#online);
    for (const waiter of [...this.#waiters]) waiter();
    await this.#writing;
    await this.#options.storage.close?.();
  }

  async #load() {
    const { storage, deviceId } = this.#options;
    await storage.open?.();
    const known = new Map(await storage.entries());
    if (!known.has("device")) {
      const epoch = String(this.#options.epoch ?? Date.now());
      await storage.write([["epoch", epoch], ["dropped", "0"], ["device", deviceId]]);
      known.set("device", deviceId).set("epoch", epoch);
    } else if (known.get("device") !== deviceId) {
      await storage.close?.();
      throw new StorageError(`the queue belongs to ${known.get("device")}, not to ${deviceId}`);
    }
    this.#options.epoch = Number(known.get("epoch"));
    if (storage.durable === false) {
      // it may have forgotten numbers that were sent: under a new epoch none of them can be given twice
      this.#options.epoch = Math.max(this.epoch + 1, Date.now());
      await storage.write([["epoch", String(this.epoch)]]);
    }
    this.#counts.dropped = Number(known.get("dropped") ?? 0);
    const found = [...known].filter(([key]) => key.startsWith("e:")).sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [key, text] of found) this.#queue.set(Number(key.slice(2)), text);
    // the counter is written when events leave; until then the events themselves say how far it went
    this.#lastSeq = Math.max(Number(known.get("last") ?? 0), ...[...this.#queue.keys()].slice(-1));
  }

  #complete(event) {
    const id = event.id ?? newId();
    const whole = { id, timestamp: Date.now(), v: 1, ...event, device_id: this.#options.deviceId };
    const text = JSON.stringify(whole, (key, value) => {
      if (typeof value === "number" && !Number.isFinite(value)) throw new RangeError(`${key} is ${value}`);
      return value;
    });
    const size = new TextEncoder().encode(text).length;
    if (size > EVENT_BYTES_MAX) throw new RangeError(`an event of ${size} bytes; at most ${EVENT_BYTES_MAX}`);
    return whole;
  }

  async #add(events) {
    const numbered = events.map((event) => {
      const seq = (this.#lastSeq += 1);
      return [seq, JSON.stringify({ ...event, epoch: this.epoch, seq })];
    });
    await this.#store(numbered);
    for (const [seq, text] of numbered) this.#queue.set(seq, text);
    this.#counts.published += numbered.length;
    if (this.#nap === "more" && this.#queue.size >= this.#batchEvents) this.#wake();
    this.#start();
  }

  async #store(numbered) {
    const put = numbered.map(([seq, text]) => [keyOf(seq), text]);
    const surplus = this.#queue.size + put.length - this.#options.queueMax;
    try {
      await this.#options.storage.write([...put, ...this.#dropping(surplus)]);
    } catch (error) {
      if (error?.name !== "QuotaExceededError" || this.#queue.size === 0) throw error;
      await this.#options.storage.write(this.#dropping(Math.ceil(this.#queue.size / 4))); // room for the present
      await this.#options.storage.write(put);
    }
  }

  /** What to write so that so many of the oldest are gone; in memory they are at once. */
  #dropping(surplus) {
    if (surplus <= 0) return [];
    const oldest = [...this.#queue.keys()].slice(0, surplus);
    for (const seq of oldest) this.#queue.delete(seq);
    this.#counts.dropped += surplus;
    return [...this.#leaving(oldest), ["dropped", String(this.#counts.dropped)]];
  }

  #leaving(seqs) {
    return [["last", String(this.#lastSeq)], ...seqs.map((seq) => [keyOf(seq), null])];
  }

  #online = () => {
    if (this.#nap !== "asked") this.#wake();
  };

  #start() {
    if (this.#running || this.#closed || this.#queue.size === 0) return;
    this.#running = true;
    this.#run().finally(() => {
      this.#running = false;
      this.#start();
    });
  }

  async #run() {
    let failures = 0;
    while (!this.#closed && this.#queue.size > 0) {
      if (!this.#hurry && this.#queue.size < this.#batchEvents) await this.#sleep("more", this.#policy.lingerMs);
      this.#hurry = false;
      if (this.#closed) return;
      let outcome;
      try {
        outcome = await this.#send();
      } catch (error) {
        outcome = { kind: "later", problem: String(error), retryAfterMs: null };
      }
      if (outcome.kind !== "later") {
        failures = 0;
        continue;
      }
      this.#counts.retries += 1;
      const nap = outcome.retryAfterMs === null ? "pause" : "asked";
      await this.#sleep(nap, delayMs(failures, outcome.retryAfterMs, this.#policy));
      failures += 1;
    }
  }

  /** One batch, the oldest. */
  async #send() {
    const batch = this.#first();
    let outcome = await this.#exchange(batch);
    if (outcome.kind === "token") {
      const token = await this.#options.newToken?.();
      if (token) {
        this.#options.token = token;
        outcome = await this.#exchange(batch);
      }
    }
    if (outcome.kind === "settled") {
      await this.#settle(batch, outcome.verdicts);
      const grown = this.#batchEvents + Math.max(1, this.#batchEvents >> 3); // slowly: too large may stay too large
      this.#batchEvents = Math.min(grown, this.#policy.batchEvents);
    } else if (outcome.kind === "smaller") {
      this.#batchEvents = Math.max(1, batch.length >> 1);
    } else if (outcome.kind === "token") {
      return { ...outcome, kind: "later", retryAfterMs: null };
    }
    return outcome;
  }

  #first() {
    const batch = [];
    let size = 0;
    for (const one of this.#queue) {
      size += one[1].length + 1;
      if (batch.length === this.#batchEvents || (batch.length && size > this.#policy.batchBytes)) break;
      batch.push(one);
    }
    return batch;
  }

  async #exchange(batch) {
    const headers = { "Content-Type": "application/json" };
    if (this.#options.token) headers.Authorization = `Bearer ${this.#options.token}`;
    let body = new TextEncoder().encode(`[${batch.map(([, text]) => text).join(",")}]`);
    if (body.length >= GZIP_BYTES_MIN && globalThis.CompressionStream) {
      const zipped = new Blob([body]).stream().pipeThrough(new CompressionStream("gzip"));
      body = new Uint8Array(await new Response(zipped).arrayBuffer());
      headers["Content-Encoding"] = "gzip";
    }
    const url = this.#options.url.replace(/\/+$/, "") + PATH;
    const signal = AbortSignal.any([AbortSignal.timeout(this.#policy.timeoutMs), this.#over.signal]);
    try {
      const response = await this.#options.fetch(url, { method: "POST", headers, body, signal, cache: "no-store" });
      return understand(response.status, response.headers, await response.text(), batch.length);
    } catch (error) {
      return { kind: "later", problem: String(error?.cause ?? error), retryAfterMs: null };
    }
  }

  async #settle(batch, verdicts) {
    const refused = batch.map(([, text], at) => [text, verdicts[at]]).filter(([, verdict]) => !verdict.accepted);
    for (const [text, { reason, detail }] of refused) {
      try {
        this.#options.onRejected?.({ event: JSON.parse(text), reason, detail });
      } catch (error) {
        console.error("onRejected", error);
      }
    }
    if (this.#closed) return; // it is sent again by the next start
    const seqs = batch.map(([seq]) => seq);
    await this.#options.storage.write(this.#leaving(seqs));
    for (const seq of seqs) this.#queue.delete(seq);
    this.#counts.accepted += batch.length - refused.length;
    this.#counts.rejected += refused.length;
    for (const waiter of [...this.#waiters]) waiter();
  }

  #sleep(nap, ms) {
    this.#nap = nap;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake(), ms);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = () => {};
        this.#nap = "";
        resolve();
      };
    });
  }
}

/**
 * What an answer means. Only what is the gateway's own (per-event verdicts, or a problem) can make an event be
 * dropped: what a proxy or a hotel's login page says is no reason to.
 */
export function understand(status, headers, text, events) {
  const content = parsed(text);
  const verdicts = verdictsOf(content, events);
  if (verdicts && [200, 400, 403, 422].includes(status)) return { kind: "settled", verdicts };
  const problem = `${status} ${content.code ?? ""} ${content.detail ?? ""}`.trim();
  if (status === 401) return { kind: "token", problem };
  const own = (headers.get("content-type") ?? "").includes("problem+json");
  if (status === 413 || (own && [400, 403, 422].includes(status))) {
    if (events > 1) return { kind: "smaller", problem };
    const reason = String(content.code ?? "too_large");
    return { kind: "settled", verdicts: [{ accepted: false, reason, detail: String(content.detail ?? "") }], problem };
  }
  return { kind: "later", problem, retryAfterMs: retryAfterMs(headers.get("retry-after")) };
}

function parsed(text) {
  try {
    const content = JSON.parse(text);
    return content !== null && typeof content === "object" ? content : {};
  } catch {
    return {};
  }
}

/** One verdict for each event, by `index`; null when some are missing. */
function verdictsOf(content, events) {
  if (!Array.isArray(content.events)) return null;
  const found = new Map();
  for (const one of content.events) {
    if (!Number.isInteger(one?.index) || typeof one.verdict !== "string") return null;
    const reason = String(one.reason ?? one.verdict);
    found.set(one.index, { accepted: one.verdict === "accepted", reason, detail: String(one.detail ?? "") });
  }
  const all = Array.from({ length: events }, (_, index) => found.get(index));
  return all.every(Boolean) ? all : null;
}

/** Seconds, or the time until a date. */
function retryAfterMs(value) {
  if (value === null) return null;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}

function keyOf(seq) {
  return `e:${String(seq).padStart(16, "0")}`;
}

/** Keeps nothing beyond the page or process: for tests and for what may be lost. */
export class MemoryStorage {
  #all = new Map();

  async entries() {
    return [...this.#all];
  }

  async write(changes) {
    for (const [key, text] of changes) text === null ? this.#all.delete(key) : this.#all.set(key, text);
  }
}

/** A lock that only one tab has; where there are no locks, none. */
class Owned {
  #release = () => {};

  async own(name) {
    if (!globalThis.navigator?.locks) return;
    const got = await new Promise((resolve, reject) => {
      const hold = (lock) => {
        resolve(lock !== null);
        return lock && new Promise((release) => (this.#release = release));
      };
      navigator.locks.request(name, { ifAvailable: true }, hold).catch(reject);
    });
    if (!got) throw new StorageError(`another tab has the queue ${name}`);
  }

  async disown() {
    this.#release();
  }
}

/** `localStorage`: simple, about 5 MB; give a small `queueMax`. */
export class LocalStorage extends Owned {
  durable = false; // browsers write it to the disk when they like

  constructor(name, storage = globalThis.localStorage) {
    super();
    this.prefix = `field:${name}:`;
    this.storage = storage;
  }

  async open() {
    await this.own(this.prefix);
  }

  async entries() {
    const keys = Array.from({ length: this.storage.length }, (_, at) => this.storage.key(at));
    const ours = keys.filter((key) => key.startsWith(this.prefix));
    return ours.map((key) => [key.slice(this.prefix.length), this.storage.getItem(key)]);
  }

  async write(changes) {
    for (const [key, text] of changes) {
      if (text === null) this.storage.removeItem(this.prefix + key);
      else this.storage.setItem(this.prefix + key, text);
    }
  }

  async close() {
    await this.disown();
  }
}

/** IndexedDB: for more events; survives a power cut (`strict`). */
export class IndexedStorage extends Owned {
  constructor(name, factory = globalThis.indexedDB) {
    super();
    this.name = `field:${name}`;
    this.factory = factory;
  }

  async open() {
    await this.own(this.name);
    const request = this.factory.open(this.name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("all");
    this.db = await done(request);
  }

  async entries() {
    const store = this.db.transaction("all").objectStore("all");
    const [keys, texts] = await Promise.all([done(store.getAllKeys()), done(store.getAll())]);
    return keys.map((key, at) => [key, texts[at]]);
  }

  async write(changes) {
    const transaction = this.db.transaction("all", "readwrite", { durability: "strict" });
    const store = transaction.objectStore("all");
    for (const [key, text] of changes) text === null ? store.delete(key) : store.put(text, key);
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  }

  async close() {
    this.db?.close();
    await this.disown();
  }
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
