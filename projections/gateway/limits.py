"""How many events a device and an address may send: token buckets in Redis, so that all gateways count together.

While Redis is away each gateway counts for itself, in memory. Answers carry RateLimit and RateLimit-Policy, lists of
structured fields (RFC 9651), as the draft "RateLimit header fields for HTTP" of the IETF writes them (the working
group's text of September 2025). The unit is an event. The draft's ``qu`` may only name a registered unit, and events
are none: a parameter of our own says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from projections.gateway.buckets import Ask, Buckets, Told
from projections.gateway.problems import Problem
from projections.gateway.tab import Tab
from streams.settings import Settings

log = logging.getLogger(__name__)

ANSWER_S: Final = 1.0
AGAIN_S: Final = 5.0
"""Redis is left alone for so long after it did not answer."""
SETTLE_S: Final = 0.1
"""How often Redis is told what was spent here."""
SAID_AT_ONCE: Final = 500
"""Buckets that a round asks for, and those that it tells of: Redis serves nobody else meanwhile."""
WAITING_MAX: Final = 10_000
"""Requests that wait for a round; those behind them are counted here."""
DEVICES_MAX: Final = 64
"""A request that speaks for more devices is a publisher's: only its address is limited."""
REFUSED_MAX: Final = 10_000
PREFIX: Final = "gateway:limit"
UNIT: Final = 'field-unit="events"'
INTEGER_MAX: Final = 10**15 - 1
"""Of a structured field."""
EXCEEDED: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
"""The draft's type of problem, which has ``violated-policies``."""


class _Waiting(NamedTuple):
    """``answer``: whether it is charged, and what is left; None when Redis does not say."""

    asks: Sequence[Ask]
    answer: asyncio.Future[tuple[bool, list[Told]] | None]


class Limiter:
    """``check`` before a request is read, ``charge`` when it is known what it holds. Without Redis: alone.

    Of a bucket that is well filled requests are let pass here, and Redis is told after; how much more than it holds
    several gateways may so let pass, ``tab`` says. That is kept by rounds: one question to Redis at a time, in which
    this gateway first says what it has spent and then asks for all who wait.
    """

    def __init__(self, settings: Settings, redis: Redis | None) -> None:
        self.memory = Buckets()
        self.tab = Tab()
        self._burst_s = settings.gateway_burst_s
        self._rates = {"device": settings.gateway_device_rate, "address": settings.gateway_address_rate}
        self._script: Any = redis and redis.register_script(
            resources.files("projections.gateway").joinpath("limits.lua").read_text(encoding="utf-8")
        )
        self._again_s = math.inf if redis is None else 0.0
        self._waiting: list[_Waiting] = []
        self._talking: asyncio.Task[None] | None = None
        self._refused: OrderedDict[str, float] = OrderedDict()

    def check(self, address: str, device: str | None) -> None:
        """Raises Problem (429) for whom a bucket was empty a moment ago, without a question to Redis."""
        names = [("address", neighbourhood(address))] + ([] if device is None else [("device", device)])
        for policy, name in names:
            until = self._refused.get(_key(policy, name))
            if until is not None and until > time.monotonic():
                wait_ms = math.ceil((until - time.monotonic()) * 1_000)
                raise self._problem([policy], wait_ms, self._headers({policy: Told(0, wait_ms)}))

    async def charge(self, address: str, devices: Mapping[str, int], events: int) -> dict[str, str]:
        """Header fields of the answer; raises Problem (429).

        ``devices``: events by device id; ``events``: all of the request, also those that nobody can read.
        """
        asks = self._asks(address, devices, events)
        if not asks:
            return {}
        charged, told = await self._ask(asks)
        worst: dict[str, Told] = {}
        for ask, one in zip(asks, told, strict=True):
            policy = ask.key.split(":")[2]
            if not charged and one.wait_ms:
                self._remember(ask.key, one.wait_ms)
            if policy not in worst or (-one.wait_ms, one.left) < (-worst[policy].wait_ms, worst[policy].left):
                worst[policy] = one
        headers = self._headers(worst)
        if not charged:
            wait_ms = max(one.wait_ms for one in told)
            raise self._problem([policy for policy, one in worst.items() if one.wait_ms], wait_ms, headers)
        return headers

    def _asks(self, address: str, devices: Mapping[str, int], events: int) -> list[Ask]:
        wanted = [("address", neighbourhood(address), max(1, events))]
        if len(devices) <= DEVICES_MAX:
            wanted += [("device", device, count) for device, count in devices.items()]
        return [
            Ask(_key(policy, name), rate, rate * self._burst_s, cost)
            for policy, name, cost in wanted
            if (rate := self._rates[policy])
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Tell Redis what was spent, until stopped."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), SETTLE_S)
            await self._talk()

    async def _ask(self, asks: Sequence[Ask]) -> tuple[bool, list[Told]]:
        if time.monotonic() >= self._again_s:
            if (told := self.tab.spend(asks)) is not None:
                return True, told
            if len(self._waiting) < WAITING_MAX and (said := await self._wait(asks)) is not None:
                return said
        return self.memory.charge(asks, time.monotonic() * 1_000)

    async def _wait(self, asks: Sequence[Ask]) -> tuple[bool, list[Told]] | None:
        """What Redis says in one of the next rounds; None when it does not answer."""
        self.tab.ask(asks)
        waiting = _Waiting(asks, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._talk()
        return await waiting.answer

    def _talk(self) -> asyncio.Task[None]:
        """Rounds until there is nothing to say, by the one task that has them."""
        if self._talking is None or self._talking.done():
            self._talking = asyncio.create_task(self._rounds())
        return self._talking

    async def _rounds(self) -> None:
        try:
            while time.monotonic() >= self._again_s and await self._round():
                pass
        finally:  # whoever still waits would wait for the same silence
            for one in self._waiting:
                self._answer(one, None)
            self._waiting = []

    async def _round(self) -> bool:
        """What was spent, then those who wait; whether there was anything to say, and it was heard."""
        asking = self._next()
        spent = self.tab.take([ask.key for one in asking for ask in one.asks], SAID_AT_ONCE)
        groups = [spent, *(one.asks for one in asking)]
        said = [(ask, number) for number, asks in enumerate(groups) for ask in asks]
        if not said:
            return False
        numbers = [one for ask, number in said for one in (ask.rate, ask.capacity, ask.cost, number)]
        try:
            async with asyncio.timeout(ANSWER_S):
                found = await self._script(keys=[ask.key for ask, _ in said], args=numbers)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("limits are counted by this gateway alone: Redis does not answer (%r)", error)
            self._again_s = time.monotonic() + AGAIN_S
            self.tab.owe(spent)
            return False
        finally:
            self.tab.told(spent)
        told = [Told(*found[at : at + 2]) for at in range(1, len(found), 3)]
        self.tab.learn([ask for ask, _ in said], told)
        at = len(spent)
        for one in asking:
            self._answer(one, (bool(found[3 * at]), told[at : at + len(one.asks)]))
            at += len(one.asks)
        del self._waiting[: len(asking)]
        return True

    def _next(self) -> list[_Waiting]:
        """Those who are asked for in one round: the first ones, and one at least."""
        buckets = 0
        for count, one in enumerate(self._waiting):
            buckets += len(one.asks)
            if count and buckets > SAID_AT_ONCE:
                return self._waiting[:count]
        return self._waiting[:]

    def _answer(self, one: _Waiting, said: tuple[bool, list[Told]] | None) -> None:
        self.tab.told(one.asks)
        if not one.answer.done():  # whoever asked may have gone
            one.answer.set_result(said)

    def _remember(self, key: str, wait_ms: int) -> None:
        self._refused[key] = time.monotonic() + wait_ms / 1_000
        self._refused.move_to_end(key)
        while len(self._refused) > REFUSED_MAX:
            self._refused.popitem(last=False)

    def _problem(self, policies: Sequence[str], wait_ms: int, headers: dict[str, str]) -> Problem:
        seconds = max(1, math.ceil(wait_ms / 1_000))
        detail = f"more events than this {' and this '.join(policies)} may send; again in {seconds} s"
        more = {"violated-policies": list(policies), "type": EXCEEDED, "title": "More than a quota allows"}
        return Problem(429, "rate_limited", detail, retry_after_s=seconds, headers=headers, **more)

    def _headers(self, told: Mapping[str, Told]) -> dict[str, str]:
        """``t``: until there is enough, or one event more. A refusal's only where it is due to them: Retry-After is not
        to be earlier."""
        policies, limits = [], []
        refused = any(one.wait_ms for one in told.values())
        for policy, one in told.items():
            rate = self._rates[policy]
            quota, left = math.floor(rate * self._burst_s), max(0, one.left)
            until_s = one.wait_ms / 1_000 if refused else max(1, 1 - one.left) / rate
            until = f";t={_whole(math.ceil(until_s))}" if one.wait_ms or (not refused and left < quota) else ""
            policies.append(f'"{policy}";q={_whole(quota)};w={self._burst_s};{UNIT}')
            limits.append(f'"{policy}";r={_whole(left)}{until}')
        return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(limits)}


@lru_cache(maxsize=4_096)
def neighbourhood(address: str) -> str:
    """What counts as one address: of IPv6 the network of 64 bits that one household has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
    return address


def _whole(number: int) -> int:
    return min(number, INTEGER_MAX)


def _key(policy: str, name: str) -> str:
    return f"{PREFIX}:{policy}:{name}"
