// The page: puts its parts together and paints the numbers.

import { $, make, say } from "./dom.js";
import { Field } from "./field.js";
import { clock, count, name, rate, ratio, sentence } from "./format.js";
import { freshness, status, tierName } from "./freshness.js";
import { listen } from "./keyboard.js";
import { offer } from "./me.js";
import { Moments } from "./moments.js";
import { LABELS } from "./palette.js";
import { Rooms } from "./rooms.js";
import { rateOf } from "./state.js";
import { dress } from "./theme.js";
import { Timeline } from "./timeline.js";

const TICK_MS = 250;
const SPOKEN_MS = 30_000;

const names = new Map(); // id -> how it is written: asked for every name of every frame
const field = new Field($("field"), { free, label });
const timeline = new Timeline({ sought: (moment) => moments.seek(moment), sped: () => moments.sped() });
const rooms = new Rooms((id) => {
  field.focus = id;
  field.wake();
});
const moments = new Moments({
  heard: (shown) => field.add(shown),
  told: (brief) => timeline.heard(brief, Date.now()),
  changed: () => paint(),
  speed: () => timeline.speed,
});
let spokenAt = 0;
let spokenMode = "";

function label({ id }) {
  if (names.size > 4000) names.clear();
  if (!names.has(id)) names.set(id, name(id));
  return names.get(id);
}

/** What of the canvas nothing lies over; measured now and then, for it is asked in every frame. */
let freeBox = { x0: 0, y0: 0, x1: 1, y1: 1 };
function free() {
  return freeBox;
}

function measure() {
  const canvas = $("field").getBoundingClientRect();
  const wide = getComputedStyle($("field")).position === "fixed";
  const pad = Math.min(canvas.width, canvas.height) * 0.03;
  freeBox = { x0: pad, y0: pad * 2, x1: canvas.width - pad, y1: canvas.height - pad };
  freeBox.y0 = Math.max(freeBox.y0, document.querySelector(".top").offsetHeight + pad);
  if (wide) {
    freeBox.x0 = document.querySelector(".hero").offsetWidth * 0.8;
    freeBox.x1 = document.querySelector(".side").getBoundingClientRect().left - pad;
    freeBox.y1 = document.querySelector(".time").getBoundingClientRect().top - pad;
  } else {
    freeBox.y1 = document.querySelector(".hero").getBoundingClientRect().top - canvas.top;
  }
}

function paint(now = Date.now()) {
  const { state, mode, moment } = moments;
  if (field.state !== state) {
    field.state = state;
    field.signs.clear();
  }
  const fresh = mode === "live" ? freshness(state.heard, now) : "past";
  const { dataset } = document.body;
  [dataset.mode, dataset.fresh] = [mode, fresh];
  const held = mode === "paused" || mode === "scrubbing" || fresh === "stale";
  if (field.held !== held) {
    field.held = held;
    field.wake();
  }
  const line = { mode, heard: state.heard, now, connected: !moments.alone, tier: state.tier, moment, speed: timeline.speed };
  say($("status-text"), status({ ...line, clock: (ms) => clock(ms, now) }));
  $("pause").setAttribute("aria-pressed", String(mode === "paused"));
  say($("pause-label"), mode === "paused" ? "Go on" : "Pause");
  figures(state, mode, moment, now);
  reflects(state, now);
  timeline.paint({ mode, moment, now });
  rooms.paint(state, { now: mode === "live" ? now : moment, live: mode === "live" });
  speak(state, mode, moment, now);
}

function figures(state, mode, moment, now) {
  if (mode === "live" && moments.settling) return; // what is not known yet takes the place of nothing
  const { past } = moments;
  const point = past ? timeline.at(moment) : null;
  const brief = past ? null : state.brief;
  say($("resonance"), ratio(past ? point?.level ?? NaN : brief?.global_resonance ?? NaN));
  say($("people"), count(past ? point?.active_nodes ?? NaN : brief?.active_nodes ?? NaN));
  say($("entangled"), count(mode === "scrubbing" ? NaN : past ? state.pairs.size : brief?.entanglements_living ?? NaN));
  say($("together"), ratio(brief?.collective_intelligence ?? NaN));
  if (mode !== "paused") say($("rate"), rate(past ? point?.rate ?? NaN : state.brief ? rateOf(state, now) : NaN));
}

function reflects(state, now) {
  const { reflects: seen } = state;
  if (!seen || moments.mode !== "live") {
    say($("reflects"), moments.problem && moments.mode === "live" ? moments.problem.message : "");
    return;
  }
  const positions = Object.entries(seen.positions ?? {}).map(([partition, offset]) => `${partition}:${offset}`).join(" ");
  const old = Math.max(0, now - (state.heard ?? now)) / 1000;
  const words = [`from ${tierName(seen.tier)}`, `${old.toFixed(1)} s old`];
  if (seen.generation && seen.generation !== "live") words.push(`generation ${seen.generation}`);
  if (positions && positions.length < 60) words.push(`log ${positions}`);
  say($("reflects"), words.join(" · "));
}

/** For those who listen: a change of mode at once, the numbers now and then. */
function speak(state, mode, moment, now) {
  const key = mode === "live" ? document.body.dataset.fresh : mode;
  if (key === spokenMode && now - spokenAt < SPOKEN_MS) return;
  if (key === "scrubbing" || key === "waiting") return;
  [spokenMode, spokenAt] = [key, now];
  if (mode === "live") say($("said"), key === "stale" ? `The field is not heard at present. ${sentence(state.brief)}` : sentence(state.brief));
  else say($("said"), `${mode === "paused" ? "Paused at" : "The past, from"} ${clock(moment, now)}`);
}

function legend() {
  for (const [type, text] of Object.entries(LABELS)) {
    $("legend").append(make("li", {}, make("span", { class: `sample ${type.toLowerCase()}` }), text));
  }
  $("legend").append(
    make("li", {}, make("span", { class: "sample thread" }), "two who are entangled"),
    make("li", {}, make("span", { class: "sample ring" }), "a room; the arc: how much they breathe as one"),
  );
}

const still = matchMedia("(prefers-reduced-motion: reduce)");
still.addEventListener("change", () => setStill());
function setStill() {
  field.still = still.matches;
  field.wake();
}

const toggleTheme = dress((theme) => {
  field.dress(theme);
  timeline.dress();
});
const help = () => $("help-dialog").showModal();
const current = () => (moments.mode === "live" ? Date.now() : moments.moment);

legend();
offer();
setStill();
measure();
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}
$("help").addEventListener("click", help);
$("pause").addEventListener("click", () => moments.pause());
$("now").addEventListener("click", () => {
  moments.live();
  $("scrub").focus({ preventScroll: true });
});
$("field").addEventListener("click", (event) => rooms.choose(field.roomAt(event.clientX, event.clientY)));
listen({
  pause: () => moments.pause(),
  step: (direction, far) => timeline.step(current(), direction, far),
  now: () => moments.live(),
  theme: toggleTheme,
  help,
  room: (key) => rooms.byKey(key),
  all: () => rooms.choose(null),
});
addEventListener("resize", measure);
moments.live();
setInterval(() => {
  if (document.hidden) return;
  measure();
  moments.tick(Date.now());
  paint();
}, TICK_MS);
document.documentElement.dataset.ready = "yes";
