"""A visit to the page: what it logged, where it asked, and waiting for what a visitor sees."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from playwright.async_api import Browser, Page, Request
from starlette.types import ASGIApp

from tests.browser.stand_in import StandIn, create_app


class Visit:
    """``faults``: errors of scripts and in the console. ``asked``: origins of all requests."""

    def __init__(self, page: Page, url: str, field: StandIn | None = None) -> None:
        self.page = page
        self.url = url
        self.field = field or StandIn(devices=2, past_s=0)
        self.faults: list[str] = []
        self.asked: set[str] = set()
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda said: self.faults.append(said.text) if said.type in ("error", "warning") else None)
        page.on("request", self._asked)

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        self.asked.add(f"{parts.scheme}://{parts.netloc}")

    async def text(self, identity: str) -> str:
        return await self.page.inner_text(f"#{identity}")

    async def until(self, condition: str, argument: Any = None) -> Any:
        """Waits for an expression of JavaScript to be true; its value. (The driver's own waiting needs ``eval`` in
        the page, which its policy forbids.)"""
        async with asyncio.timeout(60):
            while not (found := await self.page.evaluate(condition, argument)):  # noqa: ASYNC110 # another process
                await asyncio.sleep(0.05)
        return found

    async def mode(self, mode: str, fresh: str | None = None) -> None:
        wanted = f"document.body.dataset.mode === '{mode}'"
        await self.until(wanted if fresh is None else f"{wanted} && document.body.dataset.fresh === '{fresh}'")


@contextlib.asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """Its address, on a free port, in this process."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1, lifespan="off"))
    listening = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server._serve([listening]))
    try:
        while not server.started:  # noqa: ASYNC110 # uvicorn tells it no other way
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listening.close()


@contextlib.asynccontextmanager
async def visiting(browser: Browser, **options: Any) -> AsyncIterator[Visit]:
    """The page, open and live, on a field of its own; ``options`` of the browser's context."""
    field = StandIn()
    going = asyncio.create_task(field.run())
    try:
        async with served(create_app(field)) as url:
            context = await browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
            visit = Visit(await context.new_page(), url, field)
            await visit.page.goto(url)
            await visit.mode("live", "fresh")
            yield visit
            field.cut = True  # so that the open stream ends
            await context.close()
    finally:
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
