"""The process: uvicorn with the gateway's application, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn

from projections.gateway.app import build, create_app
from projections.gateway.lines import HttpLine, WebSocketLine
from streams import logs, metrics, traces
from streams.errors import FieldError, PartUnavailable
from streams.settings import Settings

log = logging.getLogger(__name__)

NO_KEY: Final = "FIELD_GATEWAY_KEY is empty: devices need no token"
YOUNG_OBJECTS: Final = 20_000
"""The collector looks at the newest when there are so many: a millisecond's work."""
STOP_S: Final = 5
"""Connections that are still open after this are cut when the process is asked to end."""


def run_gateway(settings: Settings) -> int:
    """Until it is asked to end; the exit code (0, 1 after a fault of a part, or that of a FieldError)."""
    logs.start("gateway", settings, waits=True)
    try:
        metrics.serve("gateway", settings)
        traces.start("gateway", settings)
        listening = listen(settings)
    except FieldError as error:
        logs.ends(log, error, error.exit_code)
        return error.exit_code
    host, port = listening.getsockname()[:2]
    log.info("gateway: http://%s:%d/", host, port)
    if not settings.gateway_key:
        log.warning(NO_KEY)
    failed = False

    def ended() -> None:
        nonlocal failed
        failed = True
        server.should_exit = True

    server = uvicorn.Server(config(create_app(build(settings), ended), settings))
    spare_collector()
    server.run(sockets=[listening])
    traces.stop()
    return 1 if failed else 0


def spare_collector() -> None:
    """Let it look less often, and never at what a gateway starts with: all of that took it a third of a second.

    Whoever makes thousands of events a second has thousands of new objects in a moment, and hardly a cycle in them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


class Guest(uvicorn.Server):
    """A server in a process of somebody else, who hears its signals; ``serve`` returns after ``should_exit``."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._up.set()

    async def until_started(self, serving: asyncio.Task[None]) -> None:
        """Returns when it takes connections, or raises what has kept it from that."""
        up = asyncio.create_task(self._up.wait())
        await asyncio.wait((serving, up), return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if serving.done():
            await serving
            raise PartUnavailable("the gateway", "it ended while it started; the lines above say why")


def config(app: object, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves it; bounds on what a connection may keep."""
    logging.getLogger("uvicorn.error").setLevel("WARNING")  # below, it logs every WebSocket's address, token and all
    proxies = [one.strip() for one in settings.gateway_proxies.split(",") if one.strip()]
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn's own type of an ASGI application is narrower than Starlette's
        loop="uvloop",
        http=HttpLine,
        ws=WebSocketLine,
        ws_per_message_deflate=False,  # it would be done anew for each listener
        ws_ping_interval=settings.push_heartbeat_s,
        ws_ping_timeout=settings.push_stale_s - settings.push_heartbeat_s,
        ws_max_size=settings.gateway_body_bytes_max,
        proxy_headers=bool(proxies),  # its own default believes whoever is on this machine
        forwarded_allow_ips=proxies,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
        timeout_keep_alive=75,  # longer than a proxy in front keeps its own
    )


def listen(settings: Settings) -> socket.socket:
    """The socket; raises PartUnavailable when the port is taken."""
    try:
        return socket.create_server((settings.gateway_host, settings.gateway_port), backlog=2_048, reuse_port=False)
    except OSError as error:
        where = f"{settings.gateway_host}:{settings.gateway_port}"
        raise PartUnavailable("the gateway", f"{where}: {error}; FIELD_GATEWAY_PORT names another port") from error
