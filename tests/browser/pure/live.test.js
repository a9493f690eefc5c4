import assert from "node:assert/strict";
import { test } from "node:test";

import { Live } from "../../../projections/gateway/page/src/live.js";

const HOUR_MS = 3_600_000;

/** What was asked for at each opening; nothing is sent by itself. */
class Source {
  static opened = [];
  constructor(url) {
    this.asked = new URL(url, "http://here").searchParams;
    this.kinds = {};
    Source.opened.push(this);
  }
  addEventListener(kind, take) {
    this.kinds[kind] = take;
  }
  say(kind, id) {
    this.kinds[kind]({ data: "{}", lastEventId: id });
  }
  close() {}
}

/** Cut off for an hour, and open again. */
function lateAgain(context, live) {
  context.mock.timers.tick(HOUR_MS);
  Source.opened.at(-1).onerror();
  context.mock.timers.tick(HOUR_MS);
  const asked = Source.opened.at(-1).asked;
  live.stop();
  return asked;
}

function started(context, options) {
  context.mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 1e12 });
  globalThis.EventSource = Source;
  Source.opened = [];
  const live = new Live({ heard() {}, changed() {} });
  live.start(options);
  return live;
}

test("the past goes on where it was, however long the line was away", (context) => {
  const live = started(context, { from: 1e12 - HOUR_MS, speed: 10 });
  assert.ok(Source.opened[0].asked.get("from"));
  Source.opened[0].say("events", "0:41");
  const asked = lateAgain(context, live);
  assert.equal(asked.get("last_event_id"), "0:41");
  assert.equal(asked.get("speed"), "10");
});

test("the present begins anew after long", (context) => {
  const live = started(context, {});
  Source.opened[0].say("events", "0:41");
  const asked = lateAgain(context, live);
  assert.equal(asked.get("last_event_id"), null);
  assert.equal(asked.get("from"), null);
});

test("the past that has reached the present is the present", (context) => {
  const live = started(context, { from: 1e12 - HOUR_MS, speed: 10 });
  Source.opened[0].say("live", "0:41");
  assert.equal(lateAgain(context, live).get("speed"), null);
});
