/** Where a device under Node keeps its queue: a journal in a folder, synced at every write, that one process has. */

import { createHash } from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";

import { StorageError } from "./field-device.mjs";

const SPARE_LINES = 10_000; // so many lines that say nothing any more, then the journal is written anew

export class FileStorage {
  #folder;
  #all = new Map();
  #file = null;
  #lines = 0;
  #owner = null;

  constructor(folder) {
    this.#folder = folder;
  }

  async open() {
    fs.mkdirSync(this.#folder, { recursive: true });
    this.#owner = await own(fs.realpathSync(this.#folder));
    const found = fs.existsSync(this.#path) ? fs.readFileSync(this.#path, "utf8") : "";
    // a kill may have cut the last line off; writing anew takes that piece away before anything follows it
    for (const line of found.slice(0, found.lastIndexOf("\n") + 1).split("\n")) if (line) this.#apply(JSON.parse(line));
    this.#rewrite();
  }

  async entries() {
    return [...this.#all];
  }

  /** One line for all changes: they are there together or not at all. */
  async write(changes) {
    fs.writeSync(this.#file, `${JSON.stringify(changes)}\n`);
    fs.fsyncSync(this.#file);
    this.#apply(changes);
    this.#lines += 1;
    if (this.#lines > SPARE_LINES + this.#all.size) this.#rewrite();
  }

  async close() {
    if (this.#file !== null) fs.closeSync(this.#file);
    this.#file = null;
    this.#owner?.close();
    this.#owner = null;
  }

  get #path() {
    return path.join(this.#folder, "journal");
  }

  #apply(changes) {
    for (const [key, text] of changes) text === null ? this.#all.delete(key) : this.#all.set(key, text);
  }

  #rewrite() {
    const fresh = `${this.#path}.new`;
    const file = fs.openSync(fresh, "w");
    const lines = [...this.#all].map((change) => `${JSON.stringify([change])}\n`);
    fs.writeFileSync(file, lines.join(""));
    fs.fsyncSync(file);
    fs.renameSync(fresh, this.#path);
    if (this.#file !== null) fs.closeSync(this.#file);
    this.#file = file;
    this.#lines = lines.length;
    const folder = fs.openSync(this.#folder, "r");
    fs.fsyncSync(folder);
    fs.closeSync(folder);
  }
}

/** A socket stands for the owner: it falls silent with the process, whatever ends that. */
async function own(folder, again = true) {
  const digest = createHash("sha256").update(folder).digest("hex").slice(0, 16);
  const name = `field-device-${digest}`;
  const place = process.platform === "win32" ? `\\\\.\\pipe\\${name}` : path.join(os.tmpdir(), name);
  const server = net.createServer((socket) => socket.destroy());
  const taken = await new Promise((resolve, reject) => {
    server.once("error", (error) => (error.code === "EADDRINUSE" ? resolve(true) : reject(error)));
    server.listen(place, () => resolve(false));
  });
  if (!taken) {
    server.unref();
    return server;
  }
  if (!again || (await answers(place))) throw new StorageError(`another process has ${folder}`);
  fs.rmSync(place, { force: true });
  return own(folder, false);
}

function answers(place) {
  return new Promise((resolve) => {
    const socket = net.connect(place);
    socket.once("connect", () => resolve(true) || socket.destroy());
    socket.once("error", () => resolve(false));
  });
}
