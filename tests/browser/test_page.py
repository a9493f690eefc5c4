"""The page in Chromium: live, paused, in the past, stale and back, by keyboard, in both themes, on a phone."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser

from tests.browser.visiting import visiting

FRAMES = (
    "() => new Promise(done => { let n = 0; const f = () => (++n < 5 ? requestAnimationFrame(f) : done(n)); f(); })"
)
SIGNATURE = """() => { const c = document.getElementById('field'); const d = c.getContext('2d').getImageData(0, 0,
    c.width, c.height).data; let h = 0; for (let i = 0; i < d.length; i += 97) h = (h * 31 + d[i]) | 0; return h; }"""


FEWEST = """() => { const [list, number] = ['rooms-list', 'resonance'].map(id => document.getElementById(id));
    window.fewest = list.children.length; window.unsaid = 0;
    new MutationObserver(() => { window.fewest = Math.min(window.fewest, list.children.length); })
        .observe(list, { childList: true });
    new MutationObserver(() => { window.unsaid += number.textContent === '–'; })
        .observe(number, { childList: true, characterData: true, subtree: true }); }"""
"""Fewest rooms that were listed since, and how often there was no resonance."""


async def test_it_loads_without_a_fault_and_asks_nobody_else(browser: Browser) -> None:
    async with visiting(browser) as visit:
        await visit.until("document.querySelectorAll('#rooms-list li').length === 5")
        await visit.page.evaluate(FRAMES)
        assert await visit.text("people") == "60"
        assert await visit.text("status-text") == "live"
        assert re.fullmatch(r"from (Redis|the live stream) · \d\.\d s old · log 0:\d+", await visit.text("reflects"))
        assert visit.faults == []
        assert visit.asked == {visit.url}


async def test_numbers_and_picture_change_by_themselves(browser: Browser) -> None:
    async with visiting(browser) as visit:
        before = await visit.text("reflects")
        await visit.until(
            "before => document.getElementById('reflects').textContent.split('log')[1] !== before",
            before.split("log")[1],
        )
        drawn = await visit.page.evaluate(SIGNATURE)
        await visit.page.evaluate(FRAMES)
        assert await visit.page.evaluate(SIGNATURE) != drawn
        await visit.until("document.querySelector('#chart canvas').width > 100")


async def test_paused_nothing_moves_until_it_goes_on(browser: Browser) -> None:
    async with visiting(browser) as visit:
        await visit.page.keyboard.press("Space")
        await visit.mode("paused")
        assert (await visit.text("status-text")).startswith("paused at ")
        assert await visit.page.get_attribute("#pause", "aria-pressed") == "true"
        asked = len(visit.field.asked)
        shown = [await visit.text(name) for name in ("resonance", "people", "entangled", "rate")]
        await visit.page.wait_for_timeout(1500)  # nothing can be awaited where nothing shall happen
        assert [await visit.text(name) for name in ("resonance", "people", "entangled", "rate")] == shown
        assert not [one for one in visit.field.asked[asked:] if "history" not in one]
        await visit.page.keyboard.press("Space")
        await visit.mode("live", "fresh")


async def test_back_in_time_and_forward_until_now(browser: Browser) -> None:
    async with visiting(browser) as visit:
        await visit.until("document.getElementById('time-said').textContent === ''")
        await visit.until("document.querySelectorAll('#rooms-list li').length === 5")
        await visit.page.evaluate(FEWEST)
        for _ in range(6):  # a minute and a half back
            await visit.page.keyboard.press("ArrowLeft")
        await visit.mode("scrubbing")
        await visit.until("/resonance 0\\.\\d\\d/.test(document.getElementById('time-said').textContent)")
        await visit.mode("past")
        await visit.until("/10× speed$/.test(document.getElementById('status-text').textContent)")
        assert any("/stream?" in one and "from=" in one and "speed=10" in one for one in visit.field.asked)
        await visit.until("document.querySelectorAll('#rooms-list li').length > 2")
        value = await visit.page.input_value("#scrub")
        await visit.until("before => Number(document.getElementById('scrub').value) > before", float(value))
        assert await visit.page.is_visible("#now")
        await visit.page.check("#speed-300", force=True)
        await visit.mode("live", "fresh")  # the past has joined the present
        assert await visit.page.evaluate("window.fewest") > 2, "what was shown stays until the next is whole"
        assert await visit.page.evaluate("window.unsaid") == 0
        assert not await visit.page.is_visible("#now")
        assert visit.faults == []


async def test_the_scrubber_is_dragged_and_the_button_leads_back(browser: Browser) -> None:
    async with visiting(browser) as visit:
        box = await visit.page.locator("#scrub").bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        await visit.page.mouse.move(box["x"] + box["width"] - 12, middle)
        await visit.page.mouse.down()
        await visit.page.mouse.move(box["x"] + box["width"] * 0.8, middle, steps=4)
        await visit.mode("scrubbing")
        await visit.page.mouse.up()
        await visit.mode("past")
        assert "ago" in (await visit.page.get_attribute("#scrub", "aria-valuetext") or "")
        await visit.page.click("#now")
        await visit.mode("live", "fresh")
        assert await visit.page.get_attribute("#scrub", "aria-valuetext") == "now"


async def test_a_room_by_keyboard_and_back(browser: Browser) -> None:
    async with visiting(browser) as visit:
        await visit.until("document.querySelectorAll('#rooms-list li').length === 5")
        await visit.page.keyboard.press("2")
        await visit.page.wait_for_selector("#room-view", state="visible")
        assert await visit.text("room-name") == "room 1"
        assert await visit.page.evaluate("document.activeElement.id") == "room-name"
        await visit.until("document.querySelectorAll('#room-people li').length > 2")
        await visit.until("/^0\\.\\d\\d$|^1\\.00$/.test(document.getElementById('room-coherence').textContent)")
        await visit.page.keyboard.press("Escape")
        await visit.page.wait_for_selector("#list-view", state="visible")
        assert (await visit.page.evaluate("document.activeElement.getAttribute('aria-label')")).startswith("room 1: ")


async def test_a_field_that_fell_silent_is_shown_as_old_and_comes_back(browser: Browser) -> None:
    async with visiting(browser) as visit:
        visit.field.silent = True
        await visit.mode("live", "stale")
        said = await visit.text("status-text")
        assert re.fullmatch(r"last heard \d+ s ago · from the database", said), said
        assert "grayscale" in await visit.page.evaluate("getComputedStyle(document.getElementById('field')).filter")
        await visit.until("document.getElementById('said').textContent.startsWith('The field is not heard')")
        visit.field.silent = False
        await visit.mode("live", "fresh")


async def test_a_gateway_that_was_away_is_found_again_where_it_was_left(browser: Browser) -> None:
    async with visiting(browser) as visit:
        visit.field.cut = True
        await visit.mode("live", "stale")
        visit.field.cut = False
        await visit.mode("live", "fresh")
        await visit.until("document.getElementById('status-text').textContent === 'live'")
        assert visit.asked == {visit.url}


@pytest.mark.parametrize(("system", "other"), [("light", "dark"), ("dark", "light")])
async def test_light_and_dark_by_the_system_and_by_choice(browser: Browser, system: str, other: str) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    async with visiting(browser, color_scheme=system) as visit:
        first = await visit.page.evaluate(colour)
        assert await visit.page.get_attribute("html", "data-theme") == system
        await visit.page.keyboard.press("t")
        assert await visit.page.get_attribute("html", "data-theme") == other
        assert await visit.page.evaluate(colour) != first
        await visit.page.reload()
        await visit.until("document.documentElement.dataset.ready === 'yes'")
        assert await visit.page.get_attribute("html", "data-theme") == other


@pytest.mark.parametrize(("width", "height"), [(360, 740), (3840, 2160)])
async def test_it_fits_a_phone_and_a_wall(browser: Browser, width: int, height: int) -> None:
    async with visiting(browser, viewport={"width": width, "height": height}) as visit:
        await visit.until("document.querySelectorAll('#rooms-list li').length === 5")
        assert await visit.page.evaluate("document.documentElement.scrollWidth") <= width
        for name in ("status-text", "resonance", "rooms-list", "scrub", "pause"):
            box = await visit.page.locator(f"#{name}").bounding_box()
            assert box is not None
            assert box["x"] >= 0, name
            assert box["x"] + box["width"] <= width, name


async def test_opting_out_and_in_again(browser: Browser) -> None:
    async with visiting(browser) as visit:
        await visit.page.click("#me")
        device = await visit.page.input_value("#me-device")
        assert re.fullmatch(r"page-[0-9a-f-]{32,36}", device)
        assert await visit.page.evaluate("localStorage.getItem('field.device')") == device
        for out in (True, False):
            await visit.page.click("#me-switch")
            await visit.until(
                f"document.getElementById('me-switch').getAttribute('aria-checked') === '{str(not out).lower()}'"
            )
        assert visit.field.opted == [{"device_id": device, "out": True}, {"device_id": device, "out": False}]


async def test_who_wants_nothing_to_move_has_it_so(browser: Browser) -> None:
    async with visiting(browser, reduced_motion="reduce") as visit:
        await visit.until("document.querySelectorAll('#rooms-list li').length === 5")
        painted = await visit.page.evaluate(
            "() => new Promise(done => { let n = 0; const c = document.getElementById('field').getContext('2d');"
            " const set = c.setTransform.bind(c); c.setTransform = (...a) => { n += 1; set(...a); };"
            " setTimeout(() => done(n), 1500); })"
        )
        assert painted < 20  # a few times for what is new, not sixty times a second
