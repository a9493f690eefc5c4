"""Traces: what of a batch is traced, who decides, and that nothing is done and imported while they are off."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from projections.gateway.gather import Submission, _Item, records_of, traced
from streams import traces
from streams.chunks import chunks
from streams.errors import SettingError
from streams.events import Event
from streams.settings import Settings, read
from streams.validate import LIMITS, read_record
from tests.fixtures.collector import Collector
from tests.gateway.devices import breath

TRACE, OTHER = "ab" * 16, "cd" * 16


def header(trace: str, span: str = "12" * 8, sampled: bool = True) -> bytes:
    return f"00-{trace}-{span}-0{int(sampled)}".encode()


def a_batch(*headers: list[tuple[str, bytes]]) -> list[object]:
    """A record batch as brokers keep it, as the chunks of a fetch."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, 0, 0, 0, 1 << 20)
    for offset, given in enumerate(headers):
        builder.append(offset, 1_000, b"k", b'{"a": "traceparent"}', given)
    return list(chunks(bytes(builder.build()), "t", 0, 0))


@pytest.fixture
def tracing(collector: Collector) -> Iterator[Collector]:
    traces.start("gateway", Settings(traces_endpoint=collector.url, traces_share=1.0))
    yield collector
    traces.stop()


KINDS = [
    lambda *headers: a_batch(*headers),
    lambda *headers: [SimpleNamespace(headers=given, value=b"{}") for given in headers],
]


@pytest.mark.parametrize("make", KINDS, ids=["chunks", "records"])
def test_traced_records_are_found(make: object) -> None:
    other = ("content-type", b"application/json")
    found = traces.in_records(
        make(  # type: ignore[operator]
            [other, ("traceparent", header(TRACE))], [other], [],
            [("traceparent", header(OTHER, sampled=False))],
            [("traceparent", b"00-nonsense"), ("source", b"t/0/0/0")],
            [("traceparent", header(OTHER))],
        )
    )  # fmt: skip
    assert found == [header(TRACE), header(OTHER)]
    many = make(*([("traceparent", header(TRACE))] for _ in range(100)))  # type: ignore[operator]
    assert len(traces.in_records(many)) == traces.LINKS_MAX
    assert traces.in_records(make([], [other])) == []  # type: ignore[operator]


def test_one_span_of_a_batch_with_links_to_the_others(tracing: Collector) -> None:
    batch = a_batch([("traceparent", header(TRACE, "34" * 8))], [("traceparent", header(OTHER))])
    with traces.work("fold", batch, **{"kafka.partition": 3}):
        pass
    with traces.work("fold", a_batch([]), **{"kafka.partition": 3}):
        pass
    traces.stop()
    (span,) = tracing.spans
    assert (span.name, span.trace, span.parent, span.links) == ("fold", TRACE, "34" * 8, [OTHER])


def test_an_exception_is_not_told(tracing: Collector) -> None:
    with pytest.raises(ValueError, match="canary9"), traces.publish("", **{"field.events": 1}):
        raise ValueError("canary9")
    traces.stop()
    (span,) = tracing.spans
    assert "canary9" not in span.text


@pytest.mark.parametrize(
    ("share", "parent", "sampled", "same"),
    [
        (1.0, header(TRACE).decode(), True, True), (0.0, header(TRACE).decode(), False, True),
        (1.0, header(TRACE, sampled=False).decode(), False, True), (1.0, "", True, False), (0.0, "", False, False),
        (1.0, "00-" + "0" * 32 + "-" + "1" * 16 + "-01", True, False), (1.0, "forged\r\n", True, False),
    ],
)  # fmt: skip
def test_the_gateway_decides_by_its_share(
    collector: Collector, share: float, parent: str, sampled: bool, same: bool
) -> None:
    traces.start("gateway", Settings(traces_endpoint=collector.url, traces_share=share))
    try:
        with traces.publish(parent) as found:
            assert (found is not None) == sampled
        if found is not None:
            assert (found.decode()[3:35] == TRACE) == same
            assert traces._FORM.fullmatch(found)
    finally:
        traces.stop()
    assert len(collector.spans) == sampled


def test_no_caller_is_traced_more_often(collector: Collector) -> None:
    """Whichever ids it chooses: those that end in zeros are under every share of what an id can be."""
    traces.start("gateway", Settings(traces_endpoint=collector.url, traces_share=0.05))
    sampled = 0
    try:
        for number in range(2_000):
            with traces.publish(header(f"{number + 1:016x}{1:016x}").decode()) as found:
                sampled += found is not None
    finally:
        traces.stop()
    assert 20 < sampled < 250


async def test_a_record_has_the_trace_of_its_first_traced_event() -> None:
    def event(number: int) -> Event:
        found = read_record(json.dumps(breath("ana")).encode(), int(time.time() * 1_000) + number, LIMITS)[0]
        assert isinstance(found, Event)
        return found

    one, two = Submission([event(0)], 10), Submission([event(1)], 10, header(TRACE))
    items = [_Item(event(0), 10, one, 0, True), _Item(event(1), 10, two, 0, True)]
    for given, expected in ((items, header(TRACE)), (items[:1], None), (items[::-1], header(TRACE))):
        (record,) = traced(records_of(given, 0, 1), given)
        assert dict(record.headers).get("traceparent") == expected


def test_off_it_is_not_even_imported() -> None:
    for modules, name in (("streams.app", "opentelemetry"), ("projections.gateway.run", "opentelemetry.exporter")):
        code = f"import sys, {modules}\nfrom streams import traces\nfrom streams.settings import Settings\n"
        code += "traces.start('worker', Settings()); assert not traces.on\n"
        code += f"assert not [name for name in sys.modules if name.startswith({name!r})]"
        subprocess.run([sys.executable, "-c", code], check=True)


def test_an_address_that_is_none() -> None:
    with pytest.raises(SettingError, match="FIELD_TRACES_ENDPOINT"):
        read({"FIELD_TRACES_ENDPOINT": "localhost:4318"})
    assert traces._address("http://h:4318") == traces._address("http://h:4318/") == "http://h:4318/v1/traces"
    assert traces._address("https://h/otlp/v1/traces") == "https://h/otlp/v1/traces"
