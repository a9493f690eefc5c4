"""All settings: environment variables, each with default, unit and reason, read once and checked.

Pure: ``read`` takes a mapping. ``deploy/SETTINGS.md`` is generated from here (``page``).
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from streams.errors import SettingError
from streams.fold.rules import Rules
from streams.setting import bounds, parse, setting
from streams.setting_checks import check

RULE_PREFIX = "FIELD_RULE_"
FILE_SUFFIX: Final = "_FILE"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force. Units stand last in the names."""

    kafka_brokers: str = setting("KAFKA_BROKERS", "127.0.0.1:9092", "host:port, comma separated; the log of record")
    kafka_security: str = setting(
        "KAFKA_SECURITY",
        "plaintext",
        "how the brokers are spoken to; sasl: with an account, ssl: over TLS",
        choices=("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"),
    )
    kafka_username: str = setting("KAFKA_USERNAME", "", "account at the brokers (SCRAM-SHA-512), with sasl")
    kafka_password: str = setting("KAFKA_PASSWORD", "", "of KAFKA_USERNAME", secret=True)
    kafka_reader_username: str = setting(
        "KAFKA_READER_USERNAME", "", "account of what a gateway reads of the log; empty: the one that it writes with"
    )
    kafka_reader_password: str = setting("KAFKA_READER_PASSWORD", "", "of KAFKA_READER_USERNAME", secret=True)
    kafka_ca_file: str = setting(
        "KAFKA_CA_FILE", "", "certificates (PEM) that the brokers' must be signed by; empty: this machine's"
    )
    database_url: str = setting(
        "DATABASE_URL", "postgresql://field:field@127.0.0.1:5432/field", "TimescaleDB with PostGIS", secret=True
    )
    redis_host: str = setting("REDIS_HOST", "127.0.0.1", "where the hot snapshot lives")
    redis_port: int = setting("REDIS_PORT", 6379, "Redis port", minimum=1, maximum=65_535)
    redis_username: str = setting("REDIS_USERNAME", "", "account at Redis; empty: its default one")
    redis_password: str = setting("REDIS_PASSWORD", "", "empty: none", secret=True)
    redis_tls: int = setting("REDIS_TLS", 0, "1: Redis is spoken to over TLS", minimum=0, maximum=1)
    redis_ca_file: str = setting(
        "REDIS_CA_FILE", "", "certificates (PEM) that Redis' must be signed by; empty: this machine's"
    )
    home: str = setting("FIELD_HOME", ".field", "folder of local parts, their logs and process files")
    disks: str = setting(
        "FIELD_DISKS", "", "folders, comma separated, whose disks are watched beside FIELD_HOME's; they must be there"
    )
    parts: str = setting(
        "FIELD_PARTS",
        "auto",
        "who runs Kafka, PostgreSQL and Redis; embedded: there are none",
        choices=("auto", "docker", "local", "none", "embedded"),
    )
    locked: int = setting(
        "FIELD_LOCKED",
        0,
        "1: local parts with TLS and an account for each role (deploy/SECURITY.md); for the life of the home",
        minimum=0,
        maximum=1,
    )
    synchronous: str = setting(
        "FIELD_SYNCHRONOUS",
        "full",
        "of the embedded log: full survives a power cut, normal the end of a process",
        choices=("full", "normal"),
    )
    generation: str = setting(
        "FIELD_GENERATION",
        "live",
        "names consumer groups, changelog and Redis keys; letters, digits, - and _, 64 at most",
    )
    events_topic: str = setting("FIELD_EVENTS_TOPIC", "field.events", "the log of record")
    changes_topic: str = setting("FIELD_CHANGES_TOPIC", "field.changes", "rows that changed, for the projector")
    rejected_topic: str = setting("FIELD_REJECTED_TOPIC", "field.rejected", "dead letters")
    partitions: int = setting(
        "FIELD_PARTITIONS", 4, "for the life of a topic; one core folds several", minimum=1, maximum=10_000
    )
    shards: int = setting(
        "FIELD_SHARDS", 64, "per partition; a shard's record should stay under 256 KB", minimum=1, maximum=65_536
    )
    keys_open: int = setting(
        "FIELD_KEYS_OPEN", 262_144, "in all partitions, 2 KB each; beyond them memory is saved, and folding slower"
    )
    replication: int = setting(
        "FIELD_REPLICATION", 1, "copies of each topic; 3 in production, then 2 must have a write", minimum=1
    )
    checkpoint_ms: int = setting("FIELD_CHECKPOINT_MS", 2_000, "how much is folded again after a crash", minimum=10)
    checkpoint_events: int = setting(
        "FIELD_CHECKPOINT_EVENTS", 200_000, "a checkpoint at the latest after so many events", minimum=1
    )
    fold: str = setting(
        "FIELD_FOLD",
        "auto",
        "which fold works, and what makes raw rows: the compiled one where it is built, else the simple one; both write"
        " the same bytes",
        choices=("auto", "compiled", "simple"),
    )
    poll_records: int = setting("FIELD_POLL_RECORDS", 5_000, "Kafka records in one batch of a partition", minimum=1)
    linger_ms: int = setting("FIELD_LINGER_MS", 10, "how long a producer gathers a batch", minimum=0)
    skew_ms_max: int = setting("FIELD_SKEW_MS_MAX", 60_000, "event time may be this much after received", minimum=0)
    event_bytes_max: int = setting(
        "FIELD_EVENT_BYTES_MAX", 65_536, "larger events are rejected", minimum=16_384, maximum=1_000_000
    )
    depth_max: int = setting("FIELD_DEPTH_MAX", 16, "deeper JSON is rejected", minimum=4, maximum=100)
    flood_window: int = setting("FIELD_FLOOD_WINDOW", 1_000, "records looked back on for a flood", minimum=1)
    flood_share: float = setting(
        "FIELD_FLOOD_SHARE", 0.5, "share of bad records that stops the worker; above 1 never", minimum=0.0
    )
    stall_s: int = setting("FIELD_STALL_S", 60, "no progress for so long while lag grows: leave", minimum=5)
    session_timeout_s: int = setting(
        "FIELD_SESSION_TIMEOUT_S",
        10,
        "a dead worker is replaced after this, a silent line after three times this; brokers take 6 at least",
        minimum=6,
    )
    instance: str = setting("FIELD_INSTANCE", "", "static group membership name of this worker; empty: dynamic")
    replay_lag_max: int = setting(
        "FIELD_REPLAY_LAG_MAX", 50_000, "a replay holds while the live worker is so many records behind", minimum=1
    )
    project_events: int = setting("FIELD_PROJECT_EVENTS", 20_000, "rows in one transaction at most", minimum=1)
    project_ms: int = setting(
        "FIELD_PROJECT_MS",
        100,
        "rest between two transactions of a partition when there is little to write; the first one never waits",
        minimum=0,
    )
    transaction_s: int = setting(
        "FIELD_TRANSACTION_S",
        60,
        "PostgreSQL gets this long for a transaction of the projector, which is then given up and tried again",
        minimum=1,
    )
    sample_ms: int = setting("FIELD_SAMPLE_MS", 1_000, "how often the state's readings are stored", minimum=50)
    retention_days: int = setting(
        "FIELD_RETENTION_DAYS", 0, "raw rows are dropped after this, 7 at least (Community only); 0: never", minimum=0
    )
    publish_ms: int = setting("FIELD_PUBLISH_MS", 500, "how often Redis gets a new snapshot", minimum=50)
    hot_s: int = setting("FIELD_HOT_S", 5, "life of field:current in Redis", minimum=1)
    hot_rows: int = setting(
        "FIELD_HOT_ROWS", 5_000, "rows of each list in a snapshot: rooms, people, pairs; all are counted", minimum=1
    )
    stream_length: int = setting("FIELD_STREAM_LENGTH", 10_000, "entries kept in consciousness:stream", minimum=1)
    metrics_host: str = setting("FIELD_METRICS_HOST", "127.0.0.1", "where the metrics endpoints listen")
    endpoints: str = setting(
        "FIELD_ENDPOINTS",
        "",
        "host:port, comma separated, of processes elsewhere that `status` and `top` ask; or none",
    )
    worker_metrics_port: int = setting("FIELD_WORKER_METRICS_PORT", 9101, "0: any free port", minimum=0, maximum=65_535)
    projector_metrics_port: int = setting(
        "FIELD_PROJECTOR_METRICS_PORT", 9102, "0: any free port", minimum=0, maximum=65_535
    )
    publisher_metrics_port: int = setting(
        "FIELD_PUBLISHER_METRICS_PORT", 9103, "0: any free port", minimum=0, maximum=65_535
    )
    gateway_host: str = setting("FIELD_GATEWAY_HOST", "127.0.0.1", "where the gateway listens (HTTP, WebSocket)")
    gateway_port: int = setting("FIELD_GATEWAY_PORT", 8000, "0: any free port", minimum=0, maximum=65_535)
    gateway_metrics_port: int = setting(
        "FIELD_GATEWAY_METRICS_PORT", 9104, "0: any free port", minimum=0, maximum=65_535
    )
    replay_metrics_port: int = setting(
        "FIELD_REPLAY_METRICS_PORT", 0, "of a replay, while it runs; 0: any free port", minimum=0, maximum=65_535
    )
    monitoring: int = setting(
        "FIELD_MONITORING", 0, "1: Prometheus and Alertmanager start with the stack", minimum=0, maximum=1
    )
    prometheus_port: int = setting("FIELD_PROMETHEUS_PORT", 9090, "0: any free port", minimum=0, maximum=65_535)
    alertmanager_port: int = setting("FIELD_ALERTMANAGER_PORT", 9093, "0: any free port", minimum=0, maximum=65_535)
    grafana_port: int = setting("FIELD_GRAFANA_PORT", 3000, "of Grafana, which comes with Docker only", minimum=1)
    alert_factor: float = setting(
        "FIELD_ALERT_FACTOR",
        1.0,
        "times of the alert rules are multiplied by it; below 1 they fire sooner, for tests",
        minimum=0.01,
        maximum=10.0,
    )
    pager_key_file: str = setting(
        "FIELD_PAGER_KEY_FILE", "", "file with the key of the pager that alerts go to; empty: they are shown only"
    )
    pager_url: str = setting(
        "FIELD_PAGER_URL", "https://events.pagerduty.com/v2/enqueue", "where it is told: PagerDuty's Events API v2"
    )
    ticket_hours: str = setting(
        "FIELD_TICKET_HOURS", "08:00-18:00", "with `field up`: hours (UTC) for what can wait; 00:00-24:00: always"
    )
    runbook_url: str = setting(
        "FIELD_RUNBOOK_URL", "", "with `field up`: deploy/runbooks as a pager can open it; empty: alerts name the file"
    )
    gateway_body_bytes_max: int = setting(
        "FIELD_GATEWAY_BODY_BYTES_MAX", 4_194_304, "larger requests and messages are refused (413)", minimum=65_536
    )
    gateway_key: str = setting(
        "FIELD_GATEWAY_KEY", "", "signs device tokens; empty: the gateway asks for none", secret=True
    )
    pseudonym_key: str = setting(
        "FIELD_PSEUDONYM_KEY", "", "device and user ids are hashed with it before the log; empty: not", secret=True
    )
    gateway_memory_ms: int = setting(
        "FIELD_GATEWAY_MEMORY_MS",
        10_000,
        "a gateway answers from memory for so long, unless news came",
        minimum=0,
    )
    gateway_kept_s: int = setting(
        "FIELD_GATEWAY_KEPT_S", 300, "life of a gateway's copies in Redis; older ones answer nobody", minimum=1
    )
    gateway_stale_ms: int = setting(
        "FIELD_GATEWAY_STALE_MS", 15_000, "an answer that is older, or behind the log for longer, says stale", minimum=0
    )
    gateway_wait_ms: int = setting(
        "FIELD_GATEWAY_WAIT_MS", 10_000, "at_least waits so long at most; a checkpoint takes 2 s", minimum=0
    )
    gateway_cors: str = setting(
        "FIELD_GATEWAY_CORS", "", "origins whose pages may read and write, comma separated, or *; empty: none"
    )
    strength_radius: float = setting(
        "FIELD_STRENGTH_RADIUS", 10.0, "nothing is felt further away: one body's reach, as of echoes", minimum=0.001
    )
    strength_half_life_ms: int = setting(
        "FIELD_STRENGTH_HALF_LIFE_MS",
        300_000,
        "what is remembered is felt half as much after five minutes, when a silent room is over",
        minimum=1,
    )
    strength_kept: int = setting("FIELD_STRENGTH_KEPT", 100, "field calculations kept; 0.3 MB each at most", minimum=0)
    strength_kept_ms: int = setting(
        "FIELD_STRENGTH_KEPT_MS", 5_000, "how long: in that time what is felt fades by a hundredth", minimum=0
    )
    gateway_gather_ms: int = setting(
        "FIELD_GATEWAY_GATHER_MS",
        2,
        "events that arrive within this go to the broker together",
        minimum=0,
        maximum=1_000,
    )
    gateway_ack_ms: int = setting(
        "FIELD_GATEWAY_ACK_MS", 10_000, "503 when the broker has not acknowledged events within this", minimum=100
    )
    gateway_waiting_events: int = setting(
        "FIELD_GATEWAY_WAITING_EVENTS", 100_000, "more events waiting for the broker are refused (503)", minimum=1
    )
    gateway_waiting_bytes: int = setting(
        "FIELD_GATEWAY_WAITING_BYTES",
        67_108_864,
        "the same in bytes, once for requests being read and once for events that wait",
        minimum=65_536,
    )
    gateway_device_rate: float = setting(
        "FIELD_GATEWAY_DEVICE_RATE", 200.0, "events a second of one device, on average; 0: no limit", minimum=0.0
    )
    gateway_address_rate: float = setting(
        "FIELD_GATEWAY_ADDRESS_RATE", 20_000.0, "events a second of one address, on average; 0: no limit", minimum=0.0
    )
    gateway_burst_s: int = setting(
        "FIELD_GATEWAY_BURST_S", 10, "so many seconds' events at once, for a device that was offline", minimum=1
    )
    gateway_proxies: str = setting(
        "FIELD_GATEWAY_PROXIES",
        "",
        "proxies in front whose X-Forwarded-For is believed: addresses or networks, comma separated; empty: none",
    )
    gateway_origins: str = setting("FIELD_GATEWAY_ORIGINS", "", "whose pages may open a WebSocket; empty: this host's")
    push_gather_ms: int = setting("FIELD_PUSH_GATHER_MS", 10, "events of so long go out together", minimum=0)
    push_connections_max: int = setting("FIELD_PUSH_CONNECTIONS_MAX", 2_000, "listeners; one more: 503", minimum=1)
    push_queue_messages: int = setting("FIELD_PUSH_QUEUE_MESSAGES", 1_000, "for one listener at most", minimum=2)
    push_queue_bytes: int = setting("FIELD_PUSH_QUEUE_BYTES", 2_097_152, "the same in bytes", minimum=65_536)
    push_tail_events: int = setting("FIELD_PUSH_TAIL_EVENTS", 20_000, "kept for who comes back soon", minimum=100)
    push_back_records: int = setting("FIELD_PUSH_BACK_RECORDS", 5_000_000, "of the past for a listener", minimum=1)
    push_histories_max: int = setting("FIELD_PUSH_HISTORIES_MAX", 32, "who hear the past; one more: 503", minimum=1)
    push_heartbeat_s: float = setting("FIELD_PUSH_HEARTBEAT_S", 15.0, "a silent line says it is open", minimum=0.1)
    push_stale_s: float = setting("FIELD_PUSH_STALE_S", 45.0, "who takes nothing for so long is gone", minimum=0.2)
    backups: str = setting("FIELD_BACKUPS", "", "folder of backups whose age `field doctor` looks at; empty: none")
    backup_hours_max: float = setting("FIELD_BACKUP_HOURS_MAX", 26.0, "it warns if the newest is older", minimum=0.0)
    archive: str = setting("FIELD_ARCHIVE", "", "folder of the archived log, read before Kafka; empty: none")
    log_level: str = setting(
        "FIELD_LOG_LEVEL", "INFO", "what the processes log", choices=("DEBUG", "INFO", "WARNING", "ERROR")
    )
    log_format: str = setting(
        "FIELD_LOG_FORMAT",
        "auto",
        "of the processes' lines on standard output; auto: text on a terminal, else JSON; json: steps, too",
        choices=("auto", "json", "text"),
    )
    traces_endpoint: str = setting(
        "FIELD_TRACES_ENDPOINT", "", "OTLP/HTTP address of a collector of traces, http://host:4318; empty: off"
    )
    traces_share: float = setting(
        "FIELD_TRACES_SHARE", 0.01, "of published requests that are traced", minimum=0.0, maximum=1.0
    )
    rules: Rules = field(default_factory=Rules)

    @property
    def answer_s(self) -> int:
        """A broker that has not answered within this time is asked again over another connection."""
        return 3 * self.session_timeout_s


def read(environ: Mapping[str, str]) -> Settings:
    """Settings from environment variables; raises SettingError that names the bad one."""
    names = known()
    for name in environ:
        _refuse_unknown(name, names)
    values: dict[str, Any] = {}
    for item in dataclasses.fields(Settings):
        if item.metadata and item.metadata["name"] in environ:
            values[item.name] = parse(
                environ[item.metadata["name"]], type(item.default), item.metadata["name"], **bounds(item)
            )
    rules = {
        item.name: parse(
            environ[RULE_PREFIX + item.name.upper()],
            type(item.default),
            RULE_PREFIX + item.name.upper(),
            minimum=item.metadata["minimum"],
            maximum=item.metadata["maximum"],
        )
        for item in dataclasses.fields(Rules)
        if RULE_PREFIX + item.name.upper() in environ
    }
    settings = Settings(**values, rules=Rules(**rules))
    check(settings)
    return settings


def known() -> set[str]:
    """Names of all settings, those of the rules included."""
    plain = {item.metadata["name"] for item in dataclasses.fields(Settings) if item.metadata}
    return plain | {RULE_PREFIX + item.name.upper() for item in dataclasses.fields(Rules)}


def secrets() -> set[str]:
    """Names of the settings that nobody else shall see; each can also be given as a file, NAME_FILE."""
    return {item.metadata["name"] for item in dataclasses.fields(Settings) if item.metadata.get("secret")}


def exports(settings: Settings, *, secrets: bool) -> dict[str, str]:
    """The settings in force by name, secrets only when asked for."""
    out = {}
    for item in dataclasses.fields(Settings):
        if item.metadata and (secrets or not item.metadata["secret"]):
            out[item.metadata["name"]] = str(getattr(settings, item.name))
    for item in dataclasses.fields(Rules):
        out[RULE_PREFIX + item.name.upper()] = str(getattr(settings.rules, item.name))
    return out


IDENTITY: Final = ("generation", "events_topic", "changes_topic", "rejected_topic", "partitions", "shards")


def identity(settings: Settings) -> dict[str, str]:
    """The settings that make a generation of the state what it is, rules included, by name."""
    ours = {_name(item) for item in dataclasses.fields(Settings) if item.name in IDENTITY}
    return {
        name: value
        for name, value in exports(settings, secrets=False).items()
        if name in ours or name.startswith(RULE_PREFIX)
    }


def overlaid(settings: Settings, over: Mapping[str, str]) -> Settings:
    """The settings with some others, by name; raises SettingError that names a bad one."""
    return read({**exports(settings, secrets=True), **over})


def page() -> str:
    """The settings page, Markdown; a test holds ``deploy/SETTINGS.md`` to it."""
    rows = ["| setting | default | reason |", "| --- | --- | --- |"]
    for item in dataclasses.fields(Settings):
        if item.metadata:
            more = f"; also as `{item.metadata['name']}{FILE_SUFFIX}`" if item.metadata["secret"] else ""
            rows.append(f"| `{item.metadata['name']}` | `{item.default}` | {item.metadata['reason']}{more} |")
    rows += ["", "Constants of the fold (changing one is another fold: replay):", ""]
    rows += ["| setting | default | reason |", "| --- | --- | --- |"]
    for item in dataclasses.fields(Rules):
        rows.append(f"| `{RULE_PREFIX}{item.name.upper()}` | `{item.default}` | {item.metadata['reason']} |")
    return "\n".join(rows) + "\n"


def _name(item: dataclasses.Field[Any]) -> str:
    return str(item.metadata.get("name", ""))


def _refuse_unknown(name: str, names: set[str]) -> None:
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.85)
    if name.startswith("FIELD_") or near:
        hint = f"; did you mean {near[0]}?" if near else "; deploy/SETTINGS.md lists all of them"
        raise SettingError(name, "there is no such setting" + hint)
