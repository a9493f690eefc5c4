// Everything can be done by keyboard; what is being typed into, and open dialogs, keep their keys.

const TYPED = "input:not([type=range]):not([type=radio]), textarea, select, [contenteditable]";

/** `does`: pause, step(direction, far), now, theme, help, room(key) -> bool, all. */
export function listen(does) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    const on = event.target instanceof Element ? event.target : document.body;
    if (on.matches(TYPED)) return;
    if (act(event, on, does)) event.preventDefault();
  });
}

function act(event, on, does) {
  const { key } = event;
  if (key === " ") {
    if (on.closest("button, a, summary, input[type=radio]")) return false;
    does.pause();
  } else if (key === "ArrowLeft" || key === "ArrowRight") {
    if (on.matches("input[type=radio]")) return false;
    does.step(key === "ArrowLeft" ? -1 : 1, event.shiftKey);
  } else if (key === "Escape" || key === "0") does.all();
  else if (key === "?") does.help();
  else if (key === "n" || key === "N") does.now();
  else if (key === "t" || key === "T") does.theme();
  else return key.length === 1 && does.room(key.toLowerCase());
  return true;
}
