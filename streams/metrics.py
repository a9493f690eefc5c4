"""Every metric of every process: the only list. Endpoints are started with ``serve``.

Names say their unit last, as Prometheus wants it; a counter's ``_total`` is added by the client. A child that an alert
or a dashboard asks for is made at the start: what appears with its first value shows no increase.
"""

from __future__ import annotations

import logging
import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

from streams.errors import PartUnavailable, SettingError
from streams.health import Health
from streams.settings import Settings
from streams.validate import REASONS

REGISTRY: Final = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)  # process_*: CPU, memory, files, start time

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
REBALANCES = Counter("field_rebalances", "Times that the group shared out the partitions anew", registry=REGISTRY)
PARTITIONS_ASSIGNED = Gauge("field_partitions_assigned", "Partitions that this worker folds", registry=REGISTRY)
RECOVERY_SECONDS = Histogram(
    "field_recovery_seconds", "From getting partitions to folding them", buckets=_SECONDS, registry=REGISTRY
)

# projector and publisher
LOG_END = Gauge("field_log_end_offset", "Next offset of the events topic", ["partition"], registry=REGISTRY)
LOG_REPLICAS_MISSING = Gauge(
    "field_log_replicas_missing", "Copies of partitions of the events topic that are not in sync", registry=REGISTRY
)
FOLD_POSITION = Gauge(
    "field_fold_position", "Last offset that the fold has kept in its changelog", ["partition"], registry=REGISTRY
)
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
GENERATION_INFO = Gauge(
    "field_generation_info", "1 for each generation of the state; seen: readers see it",
    ["generation", "stage", "seen"], registry=REGISTRY,
)  # fmt: skip
GENERATION_DIFFERS = Gauge(
    "field_generation_differs", "1 while the last comparison of a generation that readers do not see found differences",
    ["generation"], registry=REGISTRY,
)  # fmt: skip

# a replay, while it runs
REPLAY_RECORDS = Gauge("field_replay_records", "Records that it has to read", ["generation"], registry=REGISTRY)
REPLAY_READ = Gauge("field_replay_read_records", "Records that it has read", ["generation"], registry=REGISTRY)
REPLAY_EVENTS = Counter("field_replay_events", "Events that it has folded", ["generation"], registry=REGISTRY)
REPLAY_HELD = Gauge(
    "field_replay_held", "1 while it stands still, because the live worker lags", ["generation"], registry=REGISTRY
)

# the gateway
GATEWAY_REQUESTS = Counter("field_gateway_requests", "Requests answered", ["route", "status"], registry=REGISTRY)
GATEWAY_SECONDS = Histogram(
    "field_gateway_seconds", "From a request to the first byte of its answer", ["route", "status_class"],
    buckets=_SECONDS, registry=REGISTRY,
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
BUILD_INFO = Gauge(
    "field_build_info", "1 for what this process was made of", ["version", "fold_version", "python_version"],
    registry=REGISTRY,
)  # fmt: skip
DISK_FREE = Gauge(
    "field_disk_free_bytes", "Free on the disks of FIELD_HOME and FIELD_DISKS", ["folder"], registry=REGISTRY
)
DISK_SIZE = Gauge("field_disk_size_bytes", "Size of those disks", ["folder"], registry=REGISTRY)

_MADE: Final = (
    (EVENTS_REJECTED, REASONS),
    (GATEWAY_EVENTS, ("accepted", "rejected", "forbidden", "not_stored")),
    (PUSH_LISTENERS, ("sse", "ws")),
    (PUSH_DROPPED, ("slow", "stale", "stopping", "gap", "away", "moved", "busy", "fault")),
)
for _metric, _values in _MADE:
    for _value in _values:
        _metric.labels(_value)
del _metric, _values, _value  # ``page`` goes through the names of this module

_LABELS: Final = {
    "folder": "a path, of `FIELD_HOME` or `FIELD_DISKS`",
    "fold_version": "as `2-cb04a5c3a2b0`: of the code, and a fingerprint of its constants",
    "generation": "a name, `live` the first",
    "part": "`kafka`, `postgres`, `redis`, `sqlite` (embedded)",
    "partition": "its number, from 0",
    "projection": "`raw`, `state`, `states`, `redis`",
    "python_version": "as `3.11.7`",
    "role": "`worker`, `projector`, `publisher`, `gateway`, `replay`",
    "route": "a path as in the OpenAPI document, with names for what varies; `none`",
    "seen": "`true`, `false`",
    "stage": "`folding`, `following`, `inspection`, `dropping`",
    "status": "`200`, ...",
    "status_class": "`2xx`, `4xx`, `5xx`, ...",
    "version": "of this program",
}
"""What stands in a label whose values are not made at the start."""


def serve(role: str, settings: Settings, health: Health | None = None) -> int:
    """Start the endpoint of this process and say where it is.

    ``role`` is worker, projector, publisher, gateway or replay; the port comes from ``settings`` (0: any free one);
    ``health`` answers beside the metrics.
    Returns the port; raises PartUnavailable when it is taken, SettingError.
    """
    port = int(getattr(settings, f"{role}_metrics_port"))
    host = settings.metrics_host
    watched = disks(settings)
    try:
        server, _thread = start_http_server(port, addr=host, registry=REGISTRY)
    except OSError as error:
        raise PartUnavailable(
            "metrics endpoint", f"{host}:{port}: {error}; FIELD_{role.upper()}_METRICS_PORT=0 takes a free one"
        ) from error
    if health is not None:
        server.set_app(health.beside(server.get_app()))
    PROCESS_INFO.labels(role).set(1)
    BUILD_INFO.labels(version("the-field"), settings.rules.version, platform.python_version()).set(1)
    for folder in watched:
        _watch_disk(folder)
    port = int(server.server_port)
    logging.getLogger("field.process").info("%s: metrics on http://%s:%d/metrics", role, host, port)
    return port


def status_class(status: int) -> str:
    """``2xx`` for 200 to 299, and so on."""
    return f"{status // 100}xx"


def disks(settings: Settings) -> list[Path]:
    """Folders whose disks matter: FIELD_HOME, which may not be there yet, and FIELD_DISKS. Raises SettingError."""
    home = Path(settings.home).absolute()
    found = [next(folder for folder in (home, *home.parents) if folder.is_dir())]
    for name in filter(None, (part.strip() for part in settings.disks.split(","))):
        if not Path(name).is_dir():
            raise SettingError("FIELD_DISKS", f"{name} is no folder")
        found.append(Path(name).absolute())
    return found


def _watch_disk(folder: Path) -> None:
    """Looked at when somebody asks."""
    DISK_FREE.labels(str(folder)).set_function(lambda: shutil.disk_usage(folder).free)
    DISK_SIZE.labels(str(folder)).set_function(lambda: shutil.disk_usage(folder).total)


def page() -> str:
    """The metrics page, Markdown; a test holds ``deploy/METRICS.md`` to it."""
    rows = ["| metric | kind | labels | what |", "| --- | --- | --- | --- |"]
    said: dict[str, str] = {}
    for metric in globals().values():
        if isinstance(metric, Counter | Gauge | Histogram):
            found = next(iter(metric.describe()))
            labels = ", ".join(f"`{name}`" for name in metric._labelnames)
            rows.append(f"| `{_shown(metric)}` | {found.type} | {labels} | {found.documentation} |")
            said |= {f"`{name}`": _LABELS[name] for name in metric._labelnames if name in _LABELS}
    for metric, values in _MADE:
        said[f"`{metric._labelnames[0]}` of `{_shown(metric)}`"] = ", ".join(f"`{value}`" for value in values)
    told = [f"| {label} | {values} |" for label, values in sorted(said.items())]
    return "\n".join([*rows, "", "| label | values |", "| --- | --- |", *told]) + "\n"


def _shown(metric: Counter | Gauge | Histogram) -> str:
    """Its name as it is asked for."""
    found = next(iter(metric.describe()))
    return found.name + ("_total" if found.type == "counter" else "")
