// Light or dark: as the system wishes, unless the visitor has chosen.

import { $, keep, kept, say } from "./dom.js";

const system = matchMedia("(prefers-color-scheme: light)");

export function theme() {
  const chosen = kept("theme");
  return chosen === "light" || chosen === "dark" ? chosen : system.matches ? "light" : "dark";
}

/** `changed(theme)` now and whenever it changes; returns what toggles it. */
export function dress(changed) {
  const apply = () => {
    const now = theme();
    document.documentElement.dataset.theme = now;
    say($("theme-label"), now === "light" ? "Dark instead of light" : "Light instead of dark");
    changed(now);
  };
  const toggle = () => {
    const wanted = theme() === "light" ? "dark" : "light";
    keep("theme", wanted === (system.matches ? "light" : "dark") ? null : wanted);
    apply();
  };
  system.addEventListener("change", apply);
  $("theme").addEventListener("click", toggle);
  apply();
  return toggle;
}
