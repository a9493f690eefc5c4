/** A device that publishes until it is killed; with DRAIN it sends what is left and ends. */

import fs from "node:fs";

import { FileStorage } from "../../schema/clients/javascript/field-device-node.mjs";
import { Device } from "../../schema/clients/javascript/field-device.mjs";

const [url, folder, noted] = process.argv.slice(2);
const policy = { batchEvents: 40, lingerMs: 5, timeoutMs: 5_000, backoffBaseMs: 20, backoffMaxMs: 200 };
const device = await Device.open({ deviceId: "ana", url, storage: new FileStorage(folder), queueMax: 100_000, policy });
if (process.env.DRAIN) {
  if (!(await device.flush(60_000))) process.exit(1);
  await device.close();
} else {
  for (let number = 0; ; number += 1) {
    const event = { type: "TOUCH", intensity: 1, room_id: "hall" };
    const ids = number % 5 ? [await device.publish("TOUCH", event)] : await device.publishMany([event, event, event]);
    fs.appendFileSync(noted, ids.map((id) => `${JSON.stringify(id)}\n`).join(""));
  }
}
