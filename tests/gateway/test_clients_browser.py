"""The JavaScript client in real Chromium, on a page of another origin: reloaded, crashed, killed, offline, in two tabs;
with the gateway itself, as a process on a real log, killed now and then."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Playwright, async_playwright
from playwright.async_api import Error as BrowserError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from deploy.local import browser as chromium
from streams import topics
from streams.settings import Settings
from streams.wire import to_plain
from tests.browser.visiting import served
from tests.gateway.devices import log_of
from tests.gateway.faked import ROOT, assert_all_there_once
from tests.gateway.test_clients_real import Process

LIMIT_S = 120.0
"""A bound on hanging only."""
PAGE = """<!doctype html><title>a device</title><script type="module">
import { Device, IndexedStorage, LocalStorage } from "/field-device.mjs";
const event = { intensity: 0.5, room_id: "hall", data: { phase: 0.5 } };
const policy = { batchEvents: 40, lingerMs: 5, timeoutMs: 5_000, backoffBaseMs: 20, backoffMaxMs: 200 };
window.open_ = async ({ url, storage, ...more }) => {
  const kept = storage === "local" ? new LocalStorage("ana") : new IndexedStorage("ana");
  window.device = await Device.open({ deviceId: "ana", url, storage: kept, policy: { ...policy, ...more } });
};
window.many = async (count) => {
  for (let n = 0; n < count; n += 1) await window.noted([await device.publish("BREATH", event)]);
};
window.go = async () => {
  for (let n = 0; ; n += 1) {
    await window.noted(n % 5 ? [await device.publish("BREATH", event)]
      : await device.publishMany([1, 2, 3].map(() => ({ type: "BREATH", ...event }))));
  }
};
</script>"""


class Device:
    """A device's page. ``noted``: ids that ``publish`` has resolved for, of all tabs and runs of the browser."""

    def __init__(self, origin: str, gateway: Process, storage: str) -> None:
        self.origin = origin
        self.gateway = gateway
        self.told = {"url": gateway.url, "storage": storage}
        self.noted: list[str] = []

    async def hear(self, context: BrowserContext) -> None:
        await context.expose_binding("noted", lambda _, ids: self.noted.extend(ids))

    async def begin(self, page: Page, **more: Any) -> Page:
        """Load the page (again) and open the device on it."""
        await page.goto(self.origin)
        await until(lambda: page.evaluate("typeof open_ === 'function'"), "the module")
        await page.evaluate("told => open_(told)", {**self.told, **more})
        return page

    async def waiting(self, page: Page) -> int:
        return int(await page.evaluate("device.stats.waiting"))

    async def drain(self, page: Page) -> None:
        """All that waits is sent, and the device closed."""
        await asyncio.to_thread(self.gateway.revive)
        assert await page.evaluate("device.flush(100_000)")
        await page.evaluate("device.close()")

    async def log(self) -> list[dict[str, Any]]:
        return [
            {"epoch": 0, **to_plain(event)}
            for entries in (await log_of(self.gateway.settings)).values()
            for entry in entries
            for event in entry.events
        ]

    async def hold(self) -> None:
        """Nothing is lost, nothing counts twice."""
        assert_all_there_once(await self.log(), self.noted)


@pytest.fixture
async def device(request: pytest.FixtureRequest, make_settings: Callable[..., Settings]) -> AsyncIterator[Device]:
    async with devices(make_settings(), getattr(request, "param", "indexed")) as found:
        yield found


@contextlib.asynccontextmanager
async def devices(settings: Settings, storage: str) -> AsyncIterator[Device]:
    """A page's origin, and a gateway (not started yet) that lets it in."""

    async def page(_: Request) -> Response:
        return HTMLResponse(PAGE)

    async def module(_: Request) -> Response:
        return FileResponse(ROOT / "schema/clients/javascript/field-device.mjs", media_type="text/javascript")

    app = Starlette(routes=[Route("/", page), Route("/field-device.mjs", module)])
    async with served(app) as origin:
        gateway = Process(replace(settings, partitions=2, gateway_cors=origin))
        await topics.create(gateway.settings, (gateway.settings.events_topic,))
        try:
            yield Device(origin, gateway, storage)
        finally:
            gateway.kill()


async def until(true: Callable[[], Awaitable[Any]], what: str) -> None:
    try:
        async with asyncio.timeout(LIMIT_S):
            while not await true():  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"never came: {what}") from None


@pytest.mark.parametrize("device", ["indexed", "local"], indirect=True)
async def test_what_waits_survives_a_reload_and_a_tab_that_crashed(browser: Browser, device: Device) -> None:
    context = await browser.new_context()
    await device.hear(context)
    page = await device.begin(await context.new_page())
    await page.evaluate("many(30)")
    assert await device.waiting(page) == 30
    await device.begin(page)
    assert await device.waiting(page) == 30
    await page.evaluate("many(10)")
    await crash(page)
    page = await device.begin(await context.new_page())
    assert await device.waiting(page) == 40
    await page.evaluate("many(5)")
    await device.drain(page)
    assert len(device.noted) == len(set(device.noted)) == 45
    await device.hold()
    assert len(await device.log()) == 45
    await context.close()


async def test_a_second_tab_is_refused_until_the_first_has_gone(browser: Browser, device: Device) -> None:
    context = await browser.new_context()
    await device.hear(context)
    first = await device.begin(await context.new_page())
    await first.evaluate("many(3)")
    second = await context.new_page()
    with pytest.raises(BrowserError, match="another tab has the queue"):
        await device.begin(second)
    await first.close()
    await device.begin(second)
    assert await device.waiting(second) == 3
    await device.drain(second)
    await device.hold()
    await context.close()


async def test_a_browser_that_comes_online_sends_at_once(browser: Browser, device: Device) -> None:
    await asyncio.to_thread(device.gateway.revive)
    context = await browser.new_context()
    await device.hear(context)
    page = await device.begin(await context.new_page(), backoffBaseMs=3_600_000, backoffMaxMs=3_600_000)
    await context.set_offline(True)
    await page.evaluate("many(20)")
    await until(lambda: page.evaluate("device.stats.retries"), "it has tried in vain")
    await context.set_offline(False)
    assert await page.evaluate("device.flush(100_000)"), "it does not wait for an hour"
    await device.hold()
    await context.close()


class Chromium:
    """A browser with a profile on the disk, as a process that can be killed."""

    def __init__(self, driver: Playwright, path: str, profile: Path) -> None:
        self._driver = driver
        self._command = [
            path, *chromium.ARGUMENTS, "--headless=new", f"--user-data-dir={profile}", "--remote-debugging-port=0",
        ]  # fmt: skip
        self._port = profile / "DevToolsActivePort"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, device: Device) -> Page:
        """A tab in it."""
        self._begin()
        await until(self._listens, "a browser that listens")
        port = self._port.read_text().split()[0]
        context = (await self._driver.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")).contexts[0]
        await device.hear(context)
        return await context.new_page()

    def _begin(self) -> None:
        self._port.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [*self._command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    def kill(self) -> None:
        """All of its processes."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    async def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the browser ended by itself"
        return self._port.exists() and self._port.read_text().count("\n") > 0


async def test_killed_at_any_moment_nothing_is_lost_or_counted_twice(
    chromium_path: str, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """Tabs are loaded again and crash, the whole browser and the gateway are killed while events are published."""
    chance = random.Random(5)
    async with devices(make_settings(), "indexed") as device, async_playwright() as driver:
        one = Chromium(driver, chromium_path, tmp_path / "profile")
        try:
            page = await one.start(device)
            for ending in ("crash", "kill", "load", "kill", "crash", "kill"):
                await asyncio.to_thread(device.gateway.revive)
                await device.begin(page)
                before = len(device.noted)
                await page.evaluate("void go().catch(() => {})")
                await reaches(device, before + chance.randint(10, 60))
                if chance.random() < 0.6:
                    device.gateway.kill()
                await reaches(device, before + chance.randint(61, 120))
                await asyncio.sleep(chance.random() * 0.05)  # any moment: within a write, a request, an answer
                if ending == "crash":
                    await crash(page)
                    page = await page.context.new_page()
                elif ending == "kill":
                    one.kill()
                    page = await one.start(device)
            await device.begin(page)
            await device.drain(page)
        finally:
            one.kill()
        assert device.gateway.kills > 1
        assert len(device.noted) > 300
        await device.hold()


async def reaches(device: Device, count: int) -> None:
    async def there() -> bool:
        return len(device.noted) >= count

    await until(there, f"{count} events")


async def crash(page: Page) -> None:
    """The process of the tab is gone, without a word to the page."""
    crashed = asyncio.Event()
    page.on("crash", lambda _: crashed.set())
    with contextlib.suppress(BrowserError):
        await page.goto("chrome://crash", timeout=2_000)
    async with asyncio.timeout(LIMIT_S):
        await crashed.wait()
