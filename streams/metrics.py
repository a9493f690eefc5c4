"""Every metric of every process: the only list. Endpoints are started with ``serve``.

Names say their unit last, as Prometheus wants it; a counter's ``_total`` is added by the client.
"""

from __future__ import annotations

import logging
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from streams.errors import PartUnavailable
from streams.settings import Settings

REGISTRY: Final = CollectorRegistry(auto_describe=True)

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_RECORDS = (1, 10, 100, 500, 1_000, 2_500, 5_000, 10_000, 50_000)

# the worker
EVENTS = Counter("field_events", "Events read, good and bad", registry=REGISTRY)
EVENTS_FOLDED = Counter("field_events_folded", "Events accepted by the fold", registry=REGISTRY)
EVENTS_REJECTED = Counter("field_events_rejected", "Dead letters by reason", ["reason"], registry=REGISTRY)
EVENTS_DUPLICATE = Counter("field_events_duplicate", "Events that had been accepted before", registry=REGISTRY)
EVENTS_LATE = Counter("field_events_late", "Events too far behind their key's watermark", registry=REGISTRY)
EVENTS_COPIED = Counter("field_events_copied", "Copies sent to other partitions", registry=REGISTRY)
LAG = Gauge("field_lag_records", "Records in the log that are not folded yet", ["partition"], registry=REGISTRY)
COMMIT_AGE = Gauge(
    "field_commit_age_seconds", "How long folded records have been waiting for a commit", registry=REGISTRY
)
BATCH_RECORDS = Histogram("field_batch_records", "Kafka records in a batch", buckets=_RECORDS, registry=REGISTRY)
CHECKPOINT_SECONDS = Histogram(
    "field_checkpoint_seconds", "From encoding to the last acknowledgement", buckets=_SECONDS, registry=REGISTRY
)
CHANGELOG_BYTES = Counter("field_changelog_bytes", "Bytes of shard records written", registry=REGISTRY)

# projector and publisher
PROJECTION_SECONDS = Histogram(
    "field_projection_seconds", "One transaction of a projection", ["projection"], buckets=_SECONDS, registry=REGISTRY
)
PROJECTION_ROWS = Counter("field_projection_rows", "Rows written", ["projection"], registry=REGISTRY)
PROJECTION_POSITION = Gauge(
    "field_projection_position", "Last offset that the rows reflect", ["projection", "partition"], registry=REGISTRY
)
PROJECTION_FRESHNESS = Gauge(
    "field_projection_freshness_seconds", "Age of what a projection reflects", ["projection"], registry=REGISTRY
)
PUBLISH_SECONDS = Histogram("field_publish_seconds", "One snapshot to Redis", buckets=_SECONDS, registry=REGISTRY)

# the gateway
GATEWAY_REQUESTS = Counter("field_gateway_requests", "Requests answered", ["route", "status"], registry=REGISTRY)
GATEWAY_SECONDS = Histogram(
    "field_gateway_seconds", "From a request to the first byte of its answer", ["route"], buckets=_SECONDS,
    registry=REGISTRY,
)  # fmt: skip
GATEWAY_EVENTS = Counter("field_gateway_events", "Events of requests by verdict", ["verdict"], registry=REGISTRY)
GATEWAY_ACKNOWLEDGED_SECONDS = Histogram(
    "field_gateway_acknowledged_seconds", "From taking events to the broker's acknowledgement", buckets=_SECONDS,
    registry=REGISTRY,
)  # fmt: skip
GATEWAY_WAITING = Gauge("field_gateway_waiting_events", "Events that wait for the broker", registry=REGISTRY)

PUSH_LISTENERS = Gauge("field_push_listeners", "Open connections that are pushed to", ["kind"], registry=REGISTRY)
PUSH_EVENTS = Counter("field_push_events", "Events of the log that listeners could hear", registry=REGISTRY)
PUSH_MESSAGES = Counter("field_push_messages", "Messages handed to listeners", registry=REGISTRY)
PUSH_DROPPED = Counter("field_push_dropped", "Listeners let go, by reason", ["reason"], registry=REGISTRY)
PUSH_SECONDS = Histogram(
    "field_push_seconds", "From an event's append time to the queues of its listeners", buckets=_SECONDS,
    registry=REGISTRY,
)  # fmt: skip
PUSH_FALLBACK = Gauge("field_push_fallback", "1 while the field's messages are made from Kafka", registry=REGISTRY)

# all of them
PART_UP = Gauge("field_part_up", "1 while a part answers", ["part"], registry=REGISTRY)
PROCESS_INFO = Gauge("field_process_info", "1 for the role of this process", ["role"], registry=REGISTRY)


def serve(role: str, settings: Settings) -> int:
    """Start the endpoint of this process and say where it is.

    ``role`` is worker, projector, publisher or gateway; the port comes from ``settings`` (0: any free one).
    Returns the port; raises PartUnavailable when it is taken.
    """
    port = int(getattr(settings, f"{role}_metrics_port"))
    host = settings.metrics_host
    try:
        server, _thread = start_http_server(port, addr=host, registry=REGISTRY)
    except OSError as error:
        raise PartUnavailable(
            "metrics endpoint", f"{host}:{port}: {error}; FIELD_{role.upper()}_METRICS_PORT=0 takes a free one"
        ) from error
    PROCESS_INFO.labels(role).set(1)
    port = int(server.server_port)
    logging.getLogger("field.process").info("%s: metrics on http://%s:%d/metrics", role, host, port)
    return port


def page() -> str:
    """The metrics page, Markdown; a test holds ``deploy/METRICS.md`` to it."""
    rows = ["| metric | kind | what |", "| --- | --- | --- |"]
    for metric in globals().values():
        if isinstance(metric, Counter | Gauge | Histogram):
            found = next(iter(metric.describe()))
            suffix = "_total" if found.type == "counter" else ""
            rows.append(f"| `{found.name}{suffix}` | {found.type} | {found.documentation} |")
    return "\n".join(rows) + "\n"
