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
  #bytes = 0; // of the journal that are whole lines
  #whole = true; // false: a piece of a line may stand behind them
  #lines = 0; // since the journal was written anew, or could not be
  #owner = null;

  constructor(folder) {
    this.#folder = folder;
  }

  async open() {
    fs.mkdirSync(this.#folder, { recursive: true });
    this.#owner = await own(fs.realpathSync(this.#folder));
    try {
      const found = fs.existsSync(this.#path) ? fs.readFileSync(this.#path, "utf8") : "";
      // a kill may have cut the last line off; writing anew takes that piece away before anything follows it
      const lines = found.slice(0, found.lastIndexOf("\n") + 1).split("\n");
      for (const line of lines) if (line) this.#apply(JSON.parse(line));
      this.#replace(this.#anew());
    } catch (error) {
      await this.close(); // whoever tries again, when the disk has room, is the owner
      throw error;
    }
  }

  async entries() {
    return [...this.#all];
  }

  /** One line for all changes: they are there together or not at all, also when the disk is full. */
  async write(changes) {
    this.#append(`${JSON.stringify(changes)}\n`);
    this.#apply(changes);
    this.#lines += 1;
    if (this.#lines > SPARE_LINES + this.#all.size) this.#compact();
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

  get #fresh() {
    return `${this.#path}.new`;
  }

  #apply(changes) {
    for (const [key, text] of changes) text === null ? this.#all.delete(key) : this.#all.set(key, text);
  }

  /** All of the line, or nothing of it: what follows a piece of a line could not be read again. */
  #append(line) {
    if (!this.#whole) this.#cut();
    this.#whole = false;
    const bytes = Buffer.from(line);
    try {
      store(this.#file, bytes, this.#bytes);
    } catch (error) {
      try {
        this.#cut();
      } catch {} // the next line tries again, before it is written
      throw error;
    }
    this.#bytes += bytes.length;
    this.#whole = true;
  }

  #cut() {
    fs.ftruncateSync(this.#file, this.#bytes);
    fs.fsyncSync(this.#file);
    this.#whole = true;
  }

  /** The old journal does as well when there is no room for a new one. */
  #compact() {
    this.#lines = 0;
    let fresh;
    try {
      fresh = this.#anew();
    } catch {
      return;
    }
    this.#replace(fresh);
  }

  /** A journal of what there is now, beside the other. */
  #anew() {
    const file = fs.openSync(this.#fresh, "w");
    try {
      const bytes = Buffer.from([...this.#all].map((change) => `${JSON.stringify([change])}\n`).join(""));
      store(file, bytes, 0);
      return { file, bytes: bytes.length };
    } catch (error) {
      fs.closeSync(file);
      fs.rmSync(this.#fresh, { force: true });
      throw error;
    }
  }

  #replace({ file, bytes }) {
    fs.renameSync(this.#fresh, this.#path);
    if (this.#file !== null) fs.closeSync(this.#file);
    this.#file = file;
    this.#bytes = bytes;
    this.#whole = true;
    this.#lines = this.#all.size;
    const folder = fs.openSync(this.#folder, "r");
    fs.fsyncSync(folder);
    fs.closeSync(folder);
  }
}

/** All of it, from this place on, synced. A disk may take less than it is given, and says so only by how much. */
function store(file, bytes, place) {
  for (let at = 0; at < bytes.length; ) at += fs.writeSync(file, bytes, at, bytes.length - at, place + at);
  fs.fsyncSync(file);
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
