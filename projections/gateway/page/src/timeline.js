// Time: how far back is looked, which moment is shown, and where that is on the chart and the scrubber.

import * as api from "./api.js";
import { Chart } from "./chart.js";
import { $, choices, keep, kept, say } from "./dom.js";
import { age, clock, count, ratio } from "./format.js";
import { at, join, pace, trace, widthOf } from "./history.js";

const SPANS = [[900, "15 min"], [3600, "1 h"], [21_600, "6 h"], [86_400, "1 d"], [604_800, "7 d"]];
const SPEEDS = [[1, "1×"], [10, "10×"], [60, "60×"], [300, "300×"]];
const STEPS = 1000;
const ASK_MS = 15_000;
const KNOWN_MOST = 12_000;

export class Timeline {
  #chart;
  #points = [];
  #live = [];
  #width = 60_000;
  #resolution = "auto";
  #asked = -Infinity;
  #known = 0;
  #asking = 0;
  #away = false;
  #drawn = 0;

  /** `sought(ms)` when somebody wants another moment; `sped(speed)` when the past shall go faster. */
  constructor({ sought, sped }) {
    this.sought = sought;
    this.span = Number(kept("span", 900)) * 1000;
    this.speed = Number(kept("speed", 10));
    if (!SPANS.some(([s]) => s * 1000 === this.span)) this.span = 900_000;
    if (!SPEEDS.some(([s]) => s === this.speed)) this.speed = 10;
    choices($("spans"), "span", SPANS, this.span / 1000, (s) => this.#stretch(s));
    choices($("speeds"), "speed", SPEEDS, this.speed, (speed) => {
      this.speed = speed;
      keep("speed", speed);
      sped(speed);
    });
    this.#chart = new Chart($("chart"), {
      sought: (ms) => sought(this.#within(ms)),
      framed: (left, width) => {
        $("scrub").style.setProperty("--plot-left", `${left}px`);
        $("scrub").style.setProperty("--plot-width", `${width}px`);
      },
    });
    $("scrub").addEventListener("input", () => sought(this.#momentOf(Number($("scrub").value))));
  }

  dress() {
    this.#chart.dress();
  }

  heard(brief, now) {
    trace(this.#live, now, brief.global_resonance);
  }

  /** One press of an arrow: a sixtieth of what is seen; with shift a twelfth. */
  step(from, direction, far) {
    this.sought(this.#within(from + (direction * this.span) / (far ? 12 : 60)));
  }

  /** What is known of a moment: its bucket, else null. */
  at(moment) {
    const point = at(this.#points, moment, this.#width);
    return point && { ...point, rate: pace(point, this.#width, this.#known) };
  }

  paint({ mode, moment, now }) {
    if (now - this.#asked > ASK_MS) this.#ask(now);
    const past = mode !== "live";
    const shown = past ? moment : now;
    const scrub = $("scrub");
    const value = Math.round((STEPS * (shown - (now - this.span))) / this.span);
    if (mode !== "scrubbing" || document.activeElement !== scrub) scrub.value = value;
    scrub.style.setProperty("--at", Math.min(1, Math.max(0, value / STEPS)).toFixed(4));
    scrub.setAttribute("aria-valuetext", past ? `${clock(moment, now)}, ${age(now - moment)} ago` : "now");
    $("now").hidden = !past;
    this.#tell(mode, moment, now);
    if (now - this.#drawn < (mode === "scrubbing" ? 60 : 900)) return;
    this.#drawn = now;
    this.#chart.show({
      points: this.#points, live: this.#live, width: this.#width, from: now - this.span, until: now, playhead: past ? moment : null,
    });
  }

  #tell(mode, moment, now) {
    if (mode !== "live") {
      const point = this.at(moment);
      const words = point ? `resonance ${ratio(point.level)} · ${count(point.active_nodes)} people` : "nothing is kept of this moment";
      say($("time-said"), `${clock(moment, now)} · ${words}`);
    } else if (this.#away) say($("time-said"), "history is away just now");
    else if (this.#points.length < 2 && this.#live.length < 2) say($("time-said"), "the first minutes are being written");
    else say($("time-said"), "");
  }

  #stretch(seconds) {
    this.span = seconds * 1000;
    keep("span", seconds);
    this.#asked = -Infinity;
    this.#drawn = 0;
    this.#points = [];
    this.#resolution = "auto";
  }

  async #ask(now) {
    this.#asked = now;
    const asking = (this.#asking += 1);
    try {
      // the newest part again and again, what is before it once
      const last = this.#points.at(-1)?.bucket;
      const from = last === undefined ? now - this.span : Math.max(now - this.span, last - this.#width);
      const { resolution, points } = await api.history(from, now, this.#resolution);
      if (asking !== this.#asking) return;
      const width = widthOf(resolution);
      this.#resolution = resolution; // the gateway chose it for the whole span: its newest part is wanted the same way
      this.#width = width;
      this.#points = join(this.#points, points).filter((point) => point.bucket >= now - this.span - width).slice(-KNOWN_MOST);
      this.#known = now;
      this.#away = false;
      this.#drawn = 0;
    } catch {
      if (asking === this.#asking) this.#away = true;
    }
  }

  #momentOf(value) {
    const now = Date.now();
    return value >= STEPS ? now : now - this.span + (this.span * value) / STEPS;
  }

  #within(moment) {
    const now = Date.now();
    return Math.min(now, Math.max(now - this.span, moment));
  }
}
