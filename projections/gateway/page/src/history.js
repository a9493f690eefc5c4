// The past as a chart shows it. Pure.

/** How much each kind weighs in resonance, as in the fold. */
export const WEIGHTS = { BREATH: 1, TOUCH: 2, SPIRAL: 3, BLOOM: 5, SACRED_PHRASE: 8 };
const W0 = 10;

/**
 * Resonance 0..1 of a bucket. The aggregate keeps the mean of intensity x weight; divided by the mean weight, and held
 * to 0.5 by the same ten as in the fold, it lies on the scale of the live number.
 */
export function level(point) {
  let [weights, weighed] = [0, 0]; // the mean is over events that have a weight
  for (const [type, number] of Object.entries(point.counts ?? {})) {
    weights += (WEIGHTS[type] ?? 0) * number;
    weighed += WEIGHTS[type] ? number : 0;
  }
  if (!weights) return 0.5;
  const sum = (point.resonance ?? 0) * weighed;
  return Math.min(1, Math.max(0, (W0 * 0.5 + sum) / (W0 + weights)));
}

/** Points of /history, oldest first, with `level`; later ones win where two have the same bucket. */
export function join(older, newer) {
  const byBucket = new Map();
  for (const point of [...older, ...newer]) byBucket.set(point.bucket, { ...point, level: level(point) });
  return [...byBucket.values()].sort((a, b) => a.bucket - b.bucket);
}

/** The point whose bucket holds `moment`, else null. The newest holds until the next can be there. */
export function at(points, moment, width) {
  for (let i = points.length - 1; i >= 0; i -= 1) {
    if (points[i].bucket > moment) continue;
    const widths = i === points.length - 1 ? 2 : 1;
    return moment < points[i].bucket + widths * width ? points[i] : null;
  }
  return null;
}

/** Events a second of a bucket; the newest one was not over yet when it was asked for (`known`, ms). */
export function pace(point, width, known) {
  return (1000 * point.events) / Math.max(1000, Math.min(width, known - point.bucket));
}

/**
 * Columns for the chart: seconds, resonance by bucket, resonance as heard live, people. Nulls where nothing is known:
 * a bucket that is missing between two others is a gap, never a straight line.
 */
export function columns(points, live, width) {
  const rows = [];
  let last = null;
  for (const point of points) {
    if (last !== null && point.bucket - last > width * 1.5) rows.push([(last + width) / 1000, null, undefined, null]);
    rows.push([point.bucket / 1000 + width / 2000, point.level, undefined, point.active_nodes]);
    last = point.bucket;
  }
  const newest = points.at(-1); // the newest bucket is not over yet: its line goes on to the edge
  if (newest) rows.push([(newest.bucket + width) / 1000, newest.level, undefined, newest.active_nodes]);
  for (const { at: time, resonance } of live) rows.push([time / 1000, undefined, resonance, undefined]);
  rows.sort((a, b) => a[0] - b[0]);
  return [0, 1, 2, 3].map((column) => rows.map((row) => row[column]));
}

/** Width of a resolution's bucket in ms. */
export function widthOf(resolution) {
  return { "1min": 60_000, "1h": 3_600_000, "1d": 86_400_000 }[resolution] ?? 60_000;
}

/** The live trace, bounded: one value a second at most, the newest `most`. */
export function trace(live, at, resonance, most = 3600) {
  const last = live.at(-1);
  if (last && at - last.at < 1000) return live;
  live.push({ at, resonance });
  if (live.length > most) live.splice(0, live.length - most);
  return live;
}

/** The part of 0..1 that is lived in, at least a fifth of it: so small changes are seen, and noise is not made big. */
export function close(least, most) {
  if (!Number.isFinite(least) || !Number.isFinite(most)) return [0, 1];
  const middle = (least + most) / 2;
  const half = Math.max(0.12, (most - least) * 0.75);
  const low = Math.max(0, Math.min(1 - 2 * half, middle - half));
  return [low, Math.min(1, low + 2 * half)];
}
