/**
 * A device that breathes: copy this file with field-device.mjs (and field-device-node.mjs under Node), and put your
 * sensor where `phase` is. In a browser: storage = new IndexedStorage("ana"), or new LocalStorage("ana").
 *
 *     FIELD_URL=http://127.0.0.1:8000 node example.mjs ana hall
 */

import { setTimeout as wait } from "node:timers/promises";

import { FileStorage } from "./field-device-node.mjs";
import { Device } from "./field-device.mjs";

const [deviceId = "ana", room = "hall", breaths = "10"] = process.argv.slice(2);
const device = await Device.open({
  deviceId,
  url: process.env.FIELD_URL ?? "http://127.0.0.1:8000",
  token: process.env.FIELD_TOKEN, // `field token ana` makes one where the gateway asks for them
  storage: new FileStorage(`${deviceId}.queue`),
  onRejected: ({ event, reason, detail }) => console.error("rejected:", event.id, reason, detail),
});
for (let breath = 0; breath < Number(breaths); breath += 1) {
  const phase = (2 * Math.PI * (breath % 5)) / 5; // where in the breath: your sensor's
  await device.publish("BREATH", { intensity: 0.8, room_id: room, data: { phase, rate: 12 } });
  await wait(1000);
}
await device.flush(10_000);
console.log(device.stats);
await device.close();
