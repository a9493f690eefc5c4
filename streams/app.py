"""The Faust app of the worker, and how its process is run."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any

import faust
import uvloop
from faust.types.transports import TransportT
from yarl import URL

from streams import access, engine, health, logs, metrics, topics, traces, transport
from streams.agents import Folding, leave
from streams.errors import FieldError
from streams.settings import Settings

STOP_S = 10.0
"""Told to stop while it starts, Faust sometimes never ends; all is kept by then."""

HEARTBEAT_S = 3.0
"""At the latest: with it a member hears that the group comes together anew, however long its session may be silent."""

FETCH_BYTES_MAX = 4 * 1024 * 1024
"""From one partition in one fetch; bounds the memory of a batch."""


class FieldApp(faust.App):
    """A Faust app that reads ``batch_topic`` in batches, and ``folding`` does the work; ``chunks``: not by record."""

    batch_topic: str
    chunks: bool
    folding: Folding

    def _new_transport(self) -> TransportT:
        """Faust chooses a driver by the broker's URL, where ours is not registered."""
        return transport.Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> TransportT:
        return transport.Transport(self.conf.broker_producer, self)


def make_app(settings: Settings) -> FieldApp:
    """The app of one worker: table of shards in memory, its changelog in Kafka, no web."""
    heartbeat_s = min(HEARTBEAT_S, settings.session_timeout_s / 5)
    app = FieldApp(
        topics.app_id(settings),
        broker=[URL(f"kafka://{broker.strip()}") for broker in settings.kafka_brokers.split(",")],
        broker_credentials=_credentials(settings),
        store="memory://",
        datadir=Path(settings.home) / "faust",
        topic_partitions=settings.partitions,
        topic_replication_factor=settings.replication,
        topic_allow_declare=False,  # streams.topics creates all of them, with what Faust cannot say
        topic_disable_leader=True,
        Table=transport.Shards,
        table_standby_replicas=0,
        web_enabled=False,
        web_tables_enabled=False,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=FETCH_BYTES_MAX,
        consumer_group_instance_id=settings.instance or None,
        broker_max_poll_records=settings.poll_records,
        broker_commit_interval=0.5,
        broker_request_timeout=float(settings.answer_s),
        broker_session_timeout=float(settings.session_timeout_s),
        broker_heartbeat_interval=heartbeat_s,
        broker_rebalance_timeout=max(10.0, float(settings.session_timeout_s)),
        producer_linger=settings.linger_ms / 1_000,
        producer_acks=-1,
        producer_max_batch_size=512 * 1024,
        producer_max_request_size=topics.RECORD_BYTES_MAX,
        producer_request_timeout=float(max(settings.answer_s, settings.stall_s)),
        stream_buffer_maxsize=8,  # batches, not events
        stream_wait_empty=False,  # what is not acknowledged is folded again: nothing to wait for
        stream_recovery_delay=0.0,
    )
    app.batch_topic = settings.events_topic
    app.chunks = engine.is_compiled(settings)
    app.folding = Folding(app, settings)
    app.folding.attach()
    return app


def _credentials(settings: Settings) -> Any:
    """``access.brokers`` in Faust's words; None where there are none. Raises SettingError."""
    tls = access.tls(settings)
    if settings.kafka_username:
        return faust.SASLCredentials(
            username=settings.kafka_username,
            password=settings.kafka_password,
            ssl_context=tls,
            mechanism=access.MECHANISM,
        )
    return faust.SSLCredentials(tls) if tls is not None else None


class Worker(faust.Worker):
    """Faust's worker without its own logging, and with a last checkpoint before it stops."""

    def __init__(self, app: FieldApp, **kwargs: Any) -> None:
        super().__init__(app, override_logging=False, redirect_stdouts=False, quiet=True, **kwargs)
        self.spinner = None
        self._folding = app.folding

    def _on_sigusr1(self) -> None:
        """Nothing: Faust would print every local variable, payloads too."""

    def _on_sigusr2(self) -> None:
        """Nothing: Faust would begin a debugger."""

    async def _stop_on_signal(self, signal: signal.Signals) -> None:
        logging.getLogger("field.worker").info("%s: last checkpoint", signal.name)
        try:
            await self._folding.finish()
        except Exception as error:
            leave(error)
        hard = threading.Timer(STOP_S, os._exit, (0,))
        hard.daemon = True
        hard.start()
        await super()._stop_on_signal(signal)


def run_worker(settings: Settings) -> int:
    """Run a worker until it is told to stop (SIGTERM, SIGINT); returns the exit code.

    A failure in the middle of the work ends the process itself, with the code of its error.
    """
    logs.start("worker", settings)
    try:
        created = asyncio.run(topics.create(settings))
        if created:
            logging.getLogger("field.worker").info("created topics %s", ", ".join(created))
        level = logging.INFO if settings.fold == "simple" or engine.is_compiled(settings) else logging.WARNING
        logging.getLogger("field.worker").log(level, "the fold: %s", engine.name(settings))
        here = health.of("worker", settings)
        metrics.serve("worker", settings, here)
        traces.start("worker", settings)
        (Path(settings.home) / "faust").mkdir(parents=True, exist_ok=True)
    except FieldError as error:
        logs.ends(logging.getLogger("field.worker"), error, error.exit_code)
        return error.exit_code
    engine.collect_seldom()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # Faust makes the loop of its consumer's thread itself
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        app = make_app(settings)
        here.watch(loop, app.folding.waits_for)
        Worker(app, loop=loop).execute_from_commandline()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    finally:
        traces.stop()
