// Resonance over time: uPlot, dressed in the page's colours.

import uPlot from "uplot";
import { close, columns } from "./history.js";

/** Seconds between two times on the axis: minutes and more, as they are written to the minute. */
const TIMES = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];

const two = (value) => String(value).padStart(2, "0");

function stamps(plot, splits) {
  const range = plot.scales.x.max - plot.scales.x.min;
  return splits.map((s) => {
    const time = new Date(s * 1000);
    if (range > 3 * 86_400) return time.toLocaleDateString(undefined, { day: "numeric", month: "short" });
    return `${two(time.getHours())}:${two(time.getMinutes())}`;
  });
}

export class Chart {
  #plot = null;
  #root;
  #playhead = null;
  #range = [0, 1];
  #data = [[], [], [], []];

  /** `sought(ms)` when a moment is picked on it; `framed(left, width)` in CSS pixels when the plot's frame has changed. */
  constructor(root, { sought, framed }) {
    this.#root = root;
    this.framed = framed;
    root.addEventListener("click", (event) => {
      if (!this.#plot) return;
      const box = this.#plot.over.getBoundingClientRect();
      const x = event.clientX - box.left;
      if (x >= 0 && x <= box.width) sought(this.#plot.posToVal(x, "x") * 1000);
    });
    new ResizeObserver(() => this.#resize()).observe(root);
  }

  /** Colours and letters from the style sheet; called when the theme has changed. */
  dress() {
    this.#plot?.destroy();
    this.#plot = null;
    this.#build();
  }

  show({ points, live, width, from, until, playhead }) {
    this.#playhead = playhead;
    this.#range = [from / 1000, until / 1000];
    this.#data = columns(points, live.filter((one) => one.at >= from), width);
    if (!this.#plot) return;
    this.#plot.batch(() => {
      this.#plot.setData(this.#data, false);
      this.#plot.setScale("x", { min: this.#range[0], max: this.#range[1] });
    });
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.#root;
    if (!width || !height) return;
    if (!this.#plot) this.#build();
    else this.#plot.setSize({ width, height });
    this.#frame();
  }

  #frame() {
    const { over } = this.#plot;
    this.framed(over.offsetLeft, over.offsetWidth);
  }

  #build() {
    const { clientWidth: width, clientHeight: height } = this.#root;
    if (!width || !height) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const rem = parseFloat(style.fontSize);
    const font = `${Math.round(rem * 0.69)}px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { stroke: colour("--quiet"), font, ticks: { show: false }, gap: rem * 0.3 };
    const series = [
      {},
      { stroke: colour("--line"), width: rem * 0.11, fill: (plot) => this.#fill(plot, colour("--line-fill")), spanGaps: false, points: { show: false } },
      { stroke: colour("--accent"), width: rem * 0.09, points: { show: false } },
      { stroke: colour("--faint"), width: rem * 0.07, dash: [rem * 0.2, rem * 0.25], scale: "people", spanGaps: false, points: { show: false } },
    ];
    const options = {
      width, height, series,
      padding: [rem * 0.5, rem * 0.4, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false, points: { show: false } },
      scales: { x: { time: true }, y: { range: (_, least, most) => close(least, most) }, people: { range: (_, __, most) => [0, Math.max(4, (most ?? 1) * 1.25)] } },
      axes: [
        { ...axis, size: rem * 1.5, space: rem * 4.5, grid: { show: false }, incrs: TIMES, values: stamps },
        { ...axis, size: rem * 2.4, space: rem * 1.9, grid: { stroke: colour("--rule"), width: 1 }, values: (_, list) => list.map((v) => v.toFixed(v * 10 === Math.round(v * 10) ? 1 : 2)) },
        { ...axis, size: rem * 2.6, side: 1, scale: "people", grid: { show: false }, space: rem * 2.2, values: (_, list) => list.map((v) => (Number.isInteger(v) ? String(v) : "")) },
      ],
      hooks: { draw: [(plot) => this.#mark(plot, colour("--accent"))] },
    };
    this.#plot = new uPlot(options, this.#data, this.#root);
    this.#plot.setScale("x", { min: this.#range[0], max: this.#range[1] });
    this.#frame();
  }

  #fill(plot, colour) {
    const gradient = plot.ctx.createLinearGradient(0, plot.bbox.top, 0, plot.bbox.top + plot.bbox.height);
    gradient.addColorStop(0, colour);
    gradient.addColorStop(1, "transparent");
    return gradient;
  }

  #mark(plot, colour) {
    if (this.#playhead === null) return;
    const x = plot.valToPos(this.#playhead / 1000, "x", true);
    if (x < plot.bbox.left - 1 || x > plot.bbox.left + plot.bbox.width + 1) return;
    const { ctx } = plot;
    ctx.save();
    ctx.strokeStyle = colour;
    ctx.setLineDash([]);
    ctx.lineWidth = Math.max(1.5, devicePixelRatio);
    ctx.beginPath();
    ctx.moveTo(x, plot.bbox.top);
    ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
    ctx.stroke();
    ctx.restore();
  }
}
