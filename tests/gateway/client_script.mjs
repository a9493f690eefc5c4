/** Does what it is told (JSON in argv[2]) with the JavaScript client and says what came of it. */

import fs from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import { FileStorage } from "../../schema/clients/javascript/field-device-node.mjs";
import * as client from "../../schema/clients/javascript/field-device.mjs";

const told = JSON.parse(process.argv[2]);
const rejected = [];
const ids = [];
const said = { ids, rejected, flushed: [], errors: [] };
const tokens = told.tokens ?? [];

/** `localStorage` as browsers have it, with a quota. */
class Local {
  #all = new Map();
  get length() { return this.#all.size; }
  key(at) { return [...this.#all.keys()][at] ?? null; }
  getItem(key) { return this.#all.get(key) ?? null; }
  removeItem(key) { this.#all.delete(key); }
  setItem(key, text) {
    const used = [...this.#all].reduce((sum, [one, value]) => sum + (one === key ? 0 : value.length), 0);
    if (used + text.length > (told.quota ?? Infinity)) throw new DOMException("full", "QuotaExceededError");
    this.#all.set(key, text);
  }
}

/** A disk with room for so many bytes: as `write` does it, what fits is taken, and only the next call fails. */
let room = Infinity;
const { writeSync, ftruncateSync } = fs;
fs.writeSync = (file, given, from = 0, length = undefined, at = null) => {
  const bytes = Buffer.from(given);
  const taken = Math.min(length ?? bytes.length, room);
  if (taken === 0) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  room -= taken;
  return writeSync(file, bytes, from, taken, at);
};
let cuts = true;
fs.ftruncateSync = (...given) => {
  if (!cuts) throw new Error("not now");
  return ftruncateSync(...given);
};

const local = new Local();
const storages = {
  file: () => new FileStorage(told.folder),
  memory: () => new client.MemoryStorage(),
  local: () => new client.LocalStorage("ana", local),
  indexed: async () => {
    const found = createRequire(`${told.modules}/x.js`).resolve("fake-indexeddb");
    const loaded = await import(pathToFileURL(found));
    return new client.IndexedStorage("ana", (loaded.indexedDB ? loaded : loaded.default).indexedDB);
  },
};

async function open() {
  return await client.Device.open({
    deviceId: told.device ?? "ana",
    url: told.url,
    storage: await storages[told.storage ?? "file"](),
    token: told.token,
    newToken: async () => tokens.shift() ?? null,
    onRejected: (one) => { rejected.push(one); throw new Error("the sender goes on"); },
    queueMax: told.queueMax ?? 1_000,
    policy: { batchEvents: 50, lingerMs: 5, timeoutMs: 5_000, backoffBaseMs: 20, backoffMaxMs: 100 },
  });
}

console.error = () => {};
let device = await open();
const steps = {
  publish: async (event) => ids.push(await device.publish(event.type, event)),
  many: async (count) => {
    const event = { intensity: 0.5, room_id: "hall", data: { phase: 0.5 } };
    ids.push(...(await Promise.all(Array.from({ length: count }, () => device.publish("BREATH", event)))));
  },
  notes: async (sizes) => {
    for (const size of sizes) {
      try {
        ids.push(await device.publish("BREATH", { intensity: 0.5, data: { phase: 0.5, note: "é".repeat(size / 2) } }));
      } catch (error) {
        said.errors.push(error.code ?? error.name);
      }
    }
  },
  crowd: async (lines) => { // a journal of its own that would be written anew at once, but for the room
    const folder = `${told.folder}-crowd`;
    const { fsyncSync } = fs;
    fs.fsyncSync = () => {}; // of so many lines
    const storage = new FileStorage(folder);
    await storage.open();
    await storage.write([["large", "x".repeat(1_000)]]);
    said.journal = [];
    for (const few of [500, Infinity]) {
      for (let at = 1; at < lines; at += 1) await storage.write([["small", String(at)]]);
      for (let at = 0; at < 9; at += 1) {
        room = few;
        await storage.write([["small", `last ${few}`]]);
      }
      room = Infinity;
      said.journal.push([fs.readdirSync(folder), fs.statSync(`${folder}/journal`).size]);
    }
    await storage.close();
    await storage.open();
    said.entries = (await storage.entries()).map(([key, text]) => [key, text.length > 100 ? text.length : text]);
    await storage.close();
    fs.fsyncSync = fsyncSync;
  },
  room: async (bytes) => (room = bytes ?? Infinity),
  cuts: async (yes) => (cuts = yes),
  flush: async (ms) => said.flushed.push(await device.flush(ms)),
  reopen: async () => { await device.close(50); device = await open(); },
  nan: async () => device.publish("BREATH", { intensity: NaN }),
  large: async () => device.publish("BREATH", { data: { note: "x".repeat(70_000) } }),
  second: async () => open(),
};
for (const [name, argument] of told.steps) {
  try {
    await steps[name](argument);
  } catch (error) {
    said.errors.push(`${error.name}: ${error.message}`);
  }
}
said.stats = device.stats;
said.epoch = device.epoch;
await device.close(told.closeMs ?? 50);
said.delays = [0, 3, 5, 10_000].map((n) => [0, 1].map((r) => client.delayMs(n, null, client.POLICY, () => r)));
said.asked = client.delayMs(3, 7_000, client.POLICY, () => 1);
console.log(JSON.stringify(said));
