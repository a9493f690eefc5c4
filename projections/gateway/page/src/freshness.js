// Is what is shown still true? Pure; the time is an argument.

import { age } from "./format.js";

/** The field is told several times a second; this much silence is no hiccup any more. */
export const STALE_MS = 6000;

const TIERS = { memory: "memory", redis: "Redis", database: "the database", stream: "the live stream" };

/** "fresh", "stale" or "waiting" (nothing was heard yet). `heard`: when the newest field was true (local ms). */
export function freshness(heard, now) {
  if (heard === null) return "waiting";
  return now - heard > STALE_MS ? "stale" : "fresh";
}

/** The line beside the dot. */
export function status({ mode, heard, now, connected, tier, moment, speed, clock }) {
  if (mode === "paused") return `paused at ${clock(moment)}`;
  if (mode === "past") return `${clock(moment)} · ${speed}× speed`;
  if (mode === "scrubbing") return clock(moment);
  const state = freshness(heard, now);
  if (state === "waiting") return connected ? "listening" : "joining";
  if (state === "stale") return `last heard ${age(now - heard)} ago · from ${tierName(tier)}`;
  return connected ? "live" : `asking now and then · from ${tierName(tier)}`;
}

/** A tier as people call it. */
export function tierName(tier) {
  return TIERS[tier] ?? tier ?? "nowhere";
}
