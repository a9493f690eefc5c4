"""The page in Chromium on the whole stack: the simulated fleet lives on it, and the recorded conference."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser

from deploy import context
from streams import contacts
from streams.settings import Settings
from tests.acceptance.stack import Stack
from tests.browser.visiting import Visit
from tests.oracle.contacts import Contacts, count

FLEET = ("--devices", "60", "--rate", "60", "--seed", "7")
BUSY_S = 180
"""Of the conference: nobody in it falls silent and no pair fades before it is over."""
STAMPS = """() => { const draw = CanvasRenderingContext2D.prototype.drawImage; let drawn = 0;
    CanvasRenderingContext2D.prototype.drawImage = function (...given) {
        if (this.canvas.id === 'field') drawn += 1;
        return draw.apply(this, given); };
    const step = () => { window.stamps = drawn; drawn = 0; requestAnimationFrame(step); };
    requestAnimationFrame(step); }"""
"""Images that the page lays on its canvas in a frame: people, memories, rooms."""
CHART = "document.querySelector('#chart canvas').toDataURL()"
ROOMS = "[...document.querySelectorAll('#rooms-list li .name')].map(one => one.textContent)"
TEXT = "document.getElementById('{}').textContent"


@contextlib.asynccontextmanager
async def visited(browser: Browser, stack: Stack) -> AsyncIterator[Visit]:
    """The page of the stack's own gateway; at the end it has had no fault but of lines that were cut."""
    settings = context.load(stack.environ)
    there = await browser.new_context(viewport={"width": 1280, "height": 800})
    visit = Visit(await there.new_page(), f"http://127.0.0.1:{settings.gateway_port}")
    await visit.page.add_init_script(f"({STAMPS})()")
    await visit.page.goto(visit.url)
    try:
        yield visit
    finally:
        await there.close()
    assert [fault for fault in visit.faults if "net::ERR" not in fault and "Failed to load" not in fault] == []
    assert visit.asked == {visit.url}


async def ended(process: subprocess.Popen[str]) -> str:
    """All that it said."""
    output, _ = await asyncio.to_thread(process.communicate, timeout=120)
    return output


async def test_the_fleet_lives_on_the_page(browser: Browser, make_settings: Callable[..., Settings]) -> None:
    with Stack(make_settings(gateway_stale_ms=5_000)) as stack:
        async with visited(browser, stack) as visit:
            fleet = stack.start("simulate", *FLEET)
            await live(visit)
            await guest(visit)
            await paused(visit)
            await without_the_worker(visit, stack)
            await without_the_gateway(visit, stack)
            await back_and_forward(visit)
            fleet.send_signal(signal.SIGTERM)
            assert "events acknowledged" in await ended(fleet)


async def live(visit: Visit) -> None:
    """People, rooms and memories are there and move."""
    await visit.mode("live", "fresh")
    await visit.until(f"Number({TEXT.format('people')}) >= 50")
    await visit.until("document.querySelectorAll('#rooms-list li').length === 5")
    await visit.until("[...document.querySelectorAll('#rooms-list .here')].every(one => Number(one.textContent) > 1)")
    shown = await snapshot(visit)
    least = 2 * len({one["device_id"] for room in shown["rooms"] for one in room["participants"]})
    await visit.until(f"window.stamps >= {least + len(shown['particles'])}")
    assert shown["particles"]
    await visit.until("document.querySelector('#chart canvas').width > 100")
    chart, resonance = await visit.page.evaluate(CHART), await visit.text("resonance")
    await visit.until(f"before => {CHART} !== before", chart)
    await visit.until(f"before => {TEXT.format('resonance')} !== before", resonance)
    assert re.fullmatch(r"0\.\d\d", await visit.text("resonance"))
    assert await visit.text("status-text") == "live"


async def guest(visit: Visit) -> None:
    """An event published by HTTP opens a room, and its sender is in it."""
    await publish(visit, "guest", "annexe")
    await visit.until(f"{ROOMS}.includes('annexe')")
    await visit.page.click("#rooms-list button:has-text('annexe')")
    await visit.until("[...document.querySelectorAll('#room-people li')].some(one => /^guest/.test(one.textContent))")
    assert await visit.text("room-name") == "annexe"
    await visit.page.keyboard.press("Escape")


async def paused(visit: Visit) -> None:
    """Nothing moves while the field does."""
    await visit.page.click("#pause")
    await visit.mode("paused")
    shown = [await visit.text(name) for name in ("resonance", "people", "entangled", "rate", "rooms-list")]
    before = await snapshot(visit)
    async with asyncio.timeout(60):
        while (await snapshot(visit))["positions"] == before["positions"]:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.1)
    assert [await visit.text(name) for name in ("resonance", "people", "entangled", "rate", "rooms-list")] == shown
    await visit.page.click("#pause")
    await visit.mode("live", "fresh")


async def without_the_worker(visit: Visit, stack: Stack) -> None:
    """Nothing is folded: what is shown is old, and says so, though events are heard."""
    worker = stack.process("worker")
    assert worker is not None
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        await visit.mode("live", "stale")
        assert re.fullmatch(r"last heard \d+ s ago · from .+", await visit.text("status-text"))
        assert "grayscale" in await visit.page.evaluate("getComputedStyle(document.getElementById('field')).filter")
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    await visit.mode("live", "fresh")


async def without_the_gateway(visit: Visit, stack: Stack) -> None:
    """It is killed, its supervisor starts another, and the page finds it by itself."""
    before = stack.process("gateway")
    assert before is not None
    async with visit.page.expect_response("**/api/consciousness/stream?*", timeout=60_000):
        stack.kill("gateway")
    await visit.mode("live", "fresh")
    await visit.until(f"{TEXT.format('status-text')} === 'live'")
    after = stack.process("gateway")
    assert after is not None
    assert after.pid != before.pid
    await publish(visit, "guest", "cellar")
    await visit.until(f"{ROOMS}.includes('cellar')")


async def back_and_forward(visit: Visit) -> None:
    """Before the cellar there was none; played forward, the past joins the present."""
    for _ in range(2):  # half a minute
        await visit.page.keyboard.press("ArrowLeft")
    await visit.mode("past")
    await visit.until(f"{ROOMS}.length > 4 && !{ROOMS}.includes('cellar')")
    assert re.search(r"\d\d:\d\d:\d\d · \d+× speed", await visit.text("status-text"))
    value = float(await visit.page.input_value("#scrub"))
    await visit.until("before => Number(document.getElementById('scrub').value) > before", value)
    await visit.mode("live", "fresh")
    await visit.until(f"{ROOMS}.includes('cellar')")


async def test_the_conference_lives_on_the_page(
    browser: Browser, make_settings: Callable[..., Settings], contacts_file: Path, tmp_path: Path
) -> None:
    path, expected = busiest(contacts_file, tmp_path / "busiest.tij")
    with Stack(make_settings()) as stack:
        async with visited(browser, stack) as visit:
            said = stack.start("simulate", "--contacts", str(path), "--at", "now", "--speed", "15")
            await visit.until(f"Number({TEXT.format('entangled')}) > 5")
            early = int((await visit.text("entangled")).replace(",", ""))
            assert (await ended(said)).startswith(f"{expected.events} events acknowledged")
            await visit.until(f"Number({TEXT.format('people')}) === {len(expected.by_device)}")
            await visit.until(f"Number({TEXT.format('entangled')}) === {len(expected.established)}")
            assert early < len(expected.established), "it was looked at while it went on"
            halls = {f"hall-{sum(int(badge.split('-')[1]) for badge in pair) % 8}" for pair in expected.seconds}
            await visit.until(f"{ROOMS}.length === {len(halls)}")
            await visit.until(f"window.stamps >= {2 * len(expected.by_device)}")
            assert (await visit.mode("live", "fresh")) is None


def busiest(whole: Path, part: Path) -> tuple[Path, Contacts]:
    """The busiest ``BUSY_S`` of the conference as a file of its own, and its figures."""
    rows = contacts.read_rows(whole)
    starts: dict[int, int] = {}
    for row in rows:
        starts[row.t // 60] = starts.get(row.t // 60, 0) + 1
    begin = 60 * max(starts, key=lambda minute: sum(starts.get(minute + n, 0) for n in range(BUSY_S // 60)))
    chosen = [row for row in rows if begin <= row.t < begin + BUSY_S]
    part.write_text("".join(f"{t}\t{i}\t{j}\n" for t, i, j in chosen))
    return part, count(part)


async def publish(visit: Visit, device: str, room: str) -> None:
    event = {
        "id": str(uuid.uuid4()), "type": "BREATH", "device_id": device, "room_id": room, "intensity": 0.9, "v": 1,
        "timestamp": int(time.time() * 1000), "data": {"phase": 0.5, "rate": 12},
    }  # fmt: skip
    async with httpx.AsyncClient(base_url=visit.url, timeout=30) as client:
        (await client.post("/api/consciousness/sync", json=event)).raise_for_status()


async def snapshot(visit: Visit) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=visit.url, timeout=30) as client:
        found: dict[str, Any] = (await client.get("/api/consciousness/snapshot")).raise_for_status().json()["data"]
    return found
