"""The simple fold in Faust as its documentation writes it: records, ``async for``, a table write for every event.

It runs in this project's own environment, with the Faust that the field is built on; no setting is tuned.
"""

from __future__ import annotations

import os
import sys

import faust
from reporting import BROKER, FOLDER, RUN_ID, TOPIC, Watch

app = faust.App(
    RUN_ID, broker=f"kafka://{BROKER}", store="memory://", topic_partitions=4, web_enabled=False, datadir=FOLDER
)


class Place(faust.Record, serializer="json"):
    x: float
    y: float


class Event(faust.Record, serializer="json"):
    device_id: str
    timestamp: int
    intensity: float
    position: Place


class Device(faust.Record, serializer="json"):
    count: int = 0
    r: float = 0.0
    x: float = 0.0
    y: float = 0.0
    at: int = 0


table = app.Table("devices", default=Device, key_type=str, value_type=Device, partitions=4)
watch = Watch()


@app.agent(app.topic(TOPIC, key_type=bytes, value_type=Event))
async def fold(stream):
    async for event in stream:
        device = table[event.device_id]
        device.count += 1
        device.r = 0.9 * device.r + 0.1 * event.intensity
        device.x, device.y, device.at = event.position.x, event.position.y, event.timestamp
        table[event.device_id] = device
        if watch.event(event.timestamp):
            watch.report([(d.count, d.r, d.x, d.y, d.at) for d in table.values()])
            os._exit(0)  # a worker has no other end


if __name__ == "__main__":
    sys.argv[1:] = ["worker", "-l", "warn", "--without-web"]
    app.main()
