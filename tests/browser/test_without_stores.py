"""The page as the real gateway serves it while every store is away: it says so, and goes on asking."""

from __future__ import annotations

from dataclasses import replace

from playwright.async_api import Browser

from deploy.local import loopback
from streams.settings import Settings
from tests.browser.visiting import Visit
from tests.fixtures.gateway import serving


async def test_without_any_store_there_is_a_page_that_says_so(browser: Browser) -> None:
    gone = loopback.free()
    url = f"postgresql://field:field@127.0.0.1:{gone}/field"
    settings = replace(
        Settings(), kafka_brokers=f"127.0.0.1:{gone}", database_url=url, redis_port=gone, gateway_metrics_port=0
    )
    async with serving(settings) as served:
        context = await browser.new_context()
        visit = Visit(await context.new_page(), served.url)
        await visit.page.goto(served.url)
        await visit.until("document.documentElement.dataset.ready === 'yes'")
        await visit.until("document.getElementById('reflects').textContent !== ''")  # why, in the gateway's words
        await visit.until("document.getElementById('time-said').textContent === 'history is away just now'")
        assert await visit.text("resonance") == "–"
        assert await visit.page.get_attribute("body", "data-fresh") == "waiting"
        refused = [fault for fault in visit.faults if "Failed to load resource" not in fault]
        assert refused == []
        assert visit.asked == {served.url}
        await context.close()
