// The visitor's own part: opting a device out of everything collective, and in again.

import * as api from "./api.js";
import { $, keep, kept, say } from "./dom.js";

/** This page's own device; made once and kept. */
export function ownDevice() {
  let id = kept("device");
  if (!id) {
    id = `page-${crypto.randomUUID ? crypto.randomUUID() : Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("")}`;
    keep("device", id);
  }
  return id;
}

export function offer() {
  const [dialog, device, button] = [$("me-dialog"), $("me-device"), $("me-switch")];
  const show = () => button.setAttribute("aria-checked", String(kept(`out.${device.value}`) === null));
  $("me").addEventListener("click", () => {
    device.value = ownDevice();
    say($("me-said"), "");
    show();
    dialog.showModal();
  });
  device.addEventListener("change", () => {
    if (!device.value.trim()) device.value = ownDevice();
    if (device.checkValidity()) keep("device", device.value);
    show();
  });
  button.addEventListener("click", () => toggle(device, button, show));
}

async function toggle(device, button, show) {
  if (!device.reportValidity() || button.disabled) return;
  const out = button.getAttribute("aria-checked") === "true";
  button.disabled = true;
  say($("me-said"), "…");
  try {
    const { device_id: known } = await api.opt(device.value, out, $("me-token").value);
    keep(`out.${device.value}`, out ? "1" : null);
    const as = known && known !== device.value ? ` (known here as ${known.slice(0, 10)}…)` : "";
    say($("me-said"), out ? `Out${as}: what it gave is being forgotten.` : `In again${as}, from now on.`);
  } catch (error) {
    say($("me-said"), refusal(error));
  } finally {
    button.disabled = false;
    show();
    button.focus();
  }
}

function refusal(error) {
  if (error.status === 401 || error.status === 403) return `Not without a token of this device: ${error.message}.`;
  return `Not done: ${error.message}. Try again in a moment.`;
}
