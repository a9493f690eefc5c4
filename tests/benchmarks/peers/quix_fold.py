"""The simple fold in Quix Streams: stateful apply, RocksDB with a changelog, commits every 5 s, both as by default.

GUARANTEE is at-least-once or exactly-once.
"""

from __future__ import annotations

import os

from quixstreams import Application
from reporting import BROKER, EVENTS, FOLDER, PACED, RUN_ID, TOPIC, Device, Watch, folded

app = Application(
    broker_address=BROKER,
    consumer_group=RUN_ID,
    auto_offset_reset="earliest",
    state_dir=FOLDER,
    loglevel="WARNING",
    processing_guarantee=os.environ["GUARANTEE"],
    consumer_extra_config={"queued.min.messages": 200_000, "fetch.queue.backoff.ms": 5},
)
watch = Watch()
last: dict[str, Device] = {}  # beside the state, which cannot be listed; a reference a device, to verify


def fold(event, state):
    device = folded(state.get("device"), event)
    state.set("device", device)
    last[event["device_id"]] = device
    if watch.event(event["timestamp"]) and PACED:
        watch.report(last.values())


app.dataframe(app.topic(TOPIC, key_deserializer="bytes", value_deserializer="json")).apply(fold, stateful=True)
if PACED:
    app.run()
else:
    app.run(count=EVENTS)  # returns when the changelog is flushed and the offsets are committed
    watch.report(last.values(), committed=True)
