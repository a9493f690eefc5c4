"""The simple fold in Bytewax: stateful_map with recovery (SQLite snapshots of state and offsets every 10 s)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main
from reporting import BROKER, FOLDER, PACED, TOPIC, Device, Watch, folded

EPOCH_S = 10  # its default
watch = Watch()
last: dict[str, Device] = {}


class Check(StatelessSinkPartition):
    """Counts what has been folded and keeps the newest state of each device, to verify."""

    def write_batch(self, items):
        last.update(items)
        for _, device in items:
            if watch.event(device[4]) and PACED:
                watch.report(last.values())


class Sink(DynamicSink):
    def build(self, step_id, worker_index, worker_count):
        return Check()


def parse(message):
    event = orjson.loads(message.value)
    return event["device_id"], event


def fold(device, event):
    found = folded(device, event)
    return found, found


flow = Dataflow("fold")
source = KafkaSource(
    [BROKER],
    [TOPIC],
    tail=PACED,
    batch_size=1_000,
    add_config={"queued.min.messages": "200000", "fetch.queue.backoff.ms": "5"},
)
parsed = op.map("parse", op.input("kafka", flow, source), parse)
op.output("check", op.stateful_map("fold", parsed, fold), Sink())

if __name__ == "__main__":
    folder = Path(FOLDER)
    init_db_dir(folder, 1)
    recovery = RecoveryConfig(str(folder))
    cluster_main(
        flow, [], 0, epoch_interval=timedelta(seconds=EPOCH_S), recovery_config=recovery, worker_count_per_proc=1
    )
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    watch.report(last.values(), committed=True, checkpoint_bytes=size)
