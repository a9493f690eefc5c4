"""Publishes the events as single JSON records, all at once or at a rate; runs in the peers' environment (librdkafka).

With --rate it sends one event, waits for a line on stdin, and then keeps to the schedule: event n goes out n / rate
seconds later, its timestamp being the wall clock. It ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from confluent_kafka import Producer

from tests.benchmarks.bench import load

TICK_S = 0.005


def producer(broker: str, linger_ms: int) -> Producer:
    """Idempotent: a batch that is sent again on a busy machine is neither twice in the log nor behind the next."""
    return Producer(
        {
            "bootstrap.servers": broker, "partitioner": "murmur2_random", "enable.idempotence": True,
            "linger.ms": linger_ms, "batch.size": 1_000_000, "queue.buffering.max.messages": 1_000_000,
        }
    )  # fmt: skip


def fill(given: argparse.Namespace) -> dict[str, float]:
    out, size = producer(given.broker, 50), 0
    for number, event in enumerate(load.events(given.events, devices=given.devices, rooms=given.rooms)):
        value = load.encode(event)
        size += len(value)
        while True:
            try:
                out.produce(given.topic, value, key=event.key)
                break
            except BufferError:  # its queue is full
                out.poll(0.1)
        if number % 1_000 == 0:
            out.poll(0)
    left = out.flush(60)
    return {"bytes": size, "left": left}


def pace(given: argparse.Namespace) -> dict[str, float]:
    out, size, late_s = producer(given.broker, 2), 0, 0.0
    stream = load.events(given.events, devices=given.devices)
    first = next(stream)
    out.produce(given.topic, load.encode(first, int(time.time() * 1000)), key=first.key)
    out.flush(10)
    sys.stdin.readline()
    begun = time.time()
    for number, event in enumerate(stream, 1):
        due = begun + number / given.rate
        now = time.time()
        if due > now:
            out.poll(0)
            time.sleep(max(TICK_S, due - now))
            now = time.time()
        late_s = max(late_s, now - due)
        value = load.encode(event, int(now * 1000))
        size += len(value)
        out.produce(given.topic, value, key=event.key)
    left = out.flush(60)
    return {"begun": begun, "ended": time.time(), "late_ms": late_s * 1000, "bytes": size, "left": left}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--rooms", type=int, default=0)
    parser.add_argument("--rate", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(pace(given) if given.rate else fill(given)), flush=True)


if __name__ == "__main__":
    main()
