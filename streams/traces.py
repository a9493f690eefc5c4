"""OpenTelemetry: spans from publish through Kafka's headers to fold, projection and push. Off unless an address is set.

A record has one ``traceparent`` header (W3C trace context), though events of many requests may be in it: that of the
first sampled one. Whoever works on a batch makes one span, a child of the first traced record, with links to the
others. While it is off nothing is imported from here, and whoever could make a span looks at ``on`` and no further.
"""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from streams.chunks import Chunk
from streams.errors import SettingError
from streams.settings import Settings

HEADER: Final = "traceparent"
LINKS_MAX: Final = 32
"""Traced records of a batch that its span knows of; the others are traced up to here."""
WAITING_MAX: Final = 2_048
"""Spans that wait for the collector; further ones are dropped."""
SEND_S: Final = 5
"""A collector that has not answered within this time gets the next spans."""

_FORM: Final = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_IN_CHUNK: Final = re.compile(rb"\x16traceparent\x6e(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})")
"""A header as it stands in a record batch: name and value with their lengths (zigzag) before them."""

_QUIET: Final = {"record_exception": False, "set_status_on_exception": False}
"""The text of an exception may quote an event."""

on: bool = False
_provider: Any = None
_tracer: Any = None
_share: float = 0.0


def start(role: str, settings: Settings) -> None:
    """From here on this process makes spans, if an address is set; raises SettingError where packages are missing.

    The gateway decides about what comes from outside (``publish``); whoever works on it follows what is decided.
    """
    global on, _provider, _tracer, _share
    if not settings.traces_endpoint:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingError("FIELD_TRACES_ENDPOINT", f"needs packages that are missing ({error}): `make venv`") from None
    about = {
        "service.name": f"field-{role}",
        "service.namespace": "field",
        "field.generation": settings.generation,
    }
    _share = settings.traces_share
    _provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=_address(settings.traces_endpoint), timeout=SEND_S)
    _provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=WAITING_MAX, schedule_delay_millis=1_000))
    _tracer = _provider.get_tracer("field")
    on = True


def stop() -> None:
    """Send what waits; nothing where it is off."""
    global on, _provider, _tracer
    if _provider is not None:
        _provider.shutdown()
    on, _provider, _tracer = False, None, None


def in_records(records: Sequence[Any]) -> list[bytes]:
    """The ``traceparent`` of each record that has one and is sampled, LINKS_MAX at most.

    ``records`` are Kafka records, or Chunks, whose records are no objects: there the header's bytes are looked for.
    """
    found: list[bytes] = []
    for parent in _parents(records):
        if _is_sampled(parent):
            found.append(parent)
            if len(found) == LINKS_MAX:
                break
    return found


def _parents(records: Sequence[Any]) -> Iterator[bytes]:
    for record in records:
        if isinstance(record, Chunk):
            if record.records.find(b"\x16traceparent\x6e") >= 0:
                yield from (one[1] for one in _IN_CHUNK.finditer(record.records))
        elif record.headers:
            yield from (value for name, value in record.headers if name == HEADER and _FORM.fullmatch(value))


@contextlib.contextmanager
def publish(parent: str, **about: str | int) -> Iterator[bytes | None]:
    """A span of events on their way to the log, of a caller's ``parent`` (empty: none), for the share of requests.

    What comes out is the header for their records, None where this is not sampled. A caller may ask not to be traced,
    and not for more: a dice decides, because the ids of traces are the caller's. Only while ``on``.
    """
    given = parent.encode("ascii", "replace")
    if random.random() >= _share or (_FORM.fullmatch(given) and not _is_sampled(given)):
        yield None
        return
    from opentelemetry.trace import SpanKind

    context = _context(given) if _FORM.fullmatch(given) else None
    with _tracer.start_as_current_span("publish", context, SpanKind.PRODUCER, attributes=about, **_QUIET) as span:
        at = span.get_span_context()
        yield b"00-%032x-%016x-01" % (at.trace_id, at.span_id)


@contextlib.contextmanager
def work(name: str, records: Sequence[Any], **about: str | int) -> Iterator[None]:
    """A span of work on a batch, where one of its records is traced. Only while ``on``."""
    parents = in_records(records)
    if not parents:
        yield
        return
    from opentelemetry.trace import Link, SpanKind, get_current_span

    first, *others = [_context(parent) for parent in parents]
    links = [Link(get_current_span(other).get_span_context()) for other in others]
    with _tracer.start_as_current_span(name, first, SpanKind.CONSUMER, attributes=about, links=links, **_QUIET):
        yield


def _is_sampled(parent: bytes) -> bool:
    return bool(int(parent[-2:], 16) & 1)


def _context(parent: bytes) -> Any:
    """OpenTelemetry's context of a ``traceparent``."""
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    _, trace, span, flags = parent.split(b"-")
    at = SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16) & 1))
    return set_span_in_context(NonRecordingSpan(at))


def _address(endpoint: str) -> str:
    """As OTLP/HTTP has it, where only host and port are given."""
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + "/v1/traces"
