"""What was, and how busy it is: history from the aggregates, and the figures of field and gateway."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from projections.gateway import history as past
from projections.gateway.answers import Figures, GatewayFigures, Latency
from projections.gateway.cache_headers import respond
from projections.gateway.context import gateway_of
from projections.gateway.history import MINUTE_MS, Counted
from projections.gateway.parameters import Parameters
from projections.gateway.problems import Problem
from streams import metrics


async def history(request: Request) -> Response:
    started_s, gateway = time.perf_counter(), gateway_of(request)
    page = past.asked(Parameters(request, "from", "until", "resolution", "limit", "cursor"))
    told = await gateway.past.history(page)
    reflects = gateway.past.kept.reflects(told)
    # which log positions they reflect moves on while the buckets of long ago stay
    still: Any = {"positions": {}}
    tagged = msgspec.structs.replace(reflects, **still)
    data = told.found.data
    return respond(request, data, reflects, gateway.reader.performance, started_s, bytes(data), tagged)


async def figures(request: Request) -> Response:
    started_s, gateway = time.perf_counter(), gateway_of(request)
    Parameters(request)
    held = await gateway.reader.read()
    counted: Counted | None = None
    try:
        told = await gateway.past.counted()
        counted = msgspec.json.decode(told.found.data, type=Counted)
    except Problem:  # the database is away and was never asked: those are not known then
        pass
    data = Figures(
        events_per_s=None if counted is None else round(counted.lately * 1000 / MINUTE_MS, 3),
        counts=None if counted is None else counted.counts,
        active_nodes=held.field.active_nodes,
        lag=gateway.watch.lag(held.field.positions),
        gateway=answered(),
    )
    return respond(request, data, gateway.reader.reflects(held), gateway.reader.performance, started_s)


def answered() -> GatewayFigures:
    """From this process's own metrics."""
    requests = failed = 0
    for sample in (sample for metric in metrics.GATEWAY_REQUESTS.collect() for sample in metric.samples):
        if sample.name.endswith("_total"):
            requests += int(sample.value)
            failed += int(sample.value) if sample.labels["status"].startswith("5") else 0
    buckets: dict[float, float] = {}
    for sample in (sample for metric in metrics.GATEWAY_SECONDS.collect() for sample in metric.samples):
        if sample.name.endswith("_bucket"):
            edge = float(sample.labels["le"])
            buckets[edge] = buckets.get(edge, 0.0) + sample.value
    return GatewayFigures(requests, failed, Latency(*(percentile_ms(buckets, share) for share in (0.5, 0.95, 0.99))))


def percentile_ms(buckets: dict[float, float], share: float) -> float | None:
    """From cumulative counts by upper edge (s): a straight line within a bucket, its lower edge beyond the last."""
    rising = sorted(buckets.items())
    if not rising or not rising[-1][1]:
        return None
    wanted, below, before = share * rising[-1][1], 0.0, 0.0
    for edge, count in rising:
        if count >= wanted:
            within = (wanted - before) / (count - before) if count > before else 0.0
            return round(1000 * (below if edge == float("inf") else below + within * (edge - below)), 3)
        below, before = edge, count
    return None


def routes() -> Sequence[BaseRoute]:
    return (Route("/api/consciousness/history", history), Route("/api/consciousness/metrics", figures))
