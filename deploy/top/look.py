"""Looks at a stack for ``field top``: endpoints, process files, ends of the log, what is kept, who has what."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from deploy import backend, endpoints, positions, scrape
from deploy.endpoints import Answer
from deploy.observe import Status
from deploy.top.rows import COUNTED, Look, Seen
from streams import access, topics
from streams.settings import Settings

ROLES: Final = tuple(COUNTED)


class Looker:
    """Looks again and again. ``further`` are host:port of endpoints beside those of the settings. ``stop`` it."""

    def __init__(self, settings: Settings, further: Sequence[str] = ()) -> None:
        self._settings = settings
        self._further = further
        self._observer = backend.of(settings).observer()
        self._admin: AIOKafkaAdminClient | None = None

    async def look(self) -> Look:
        """One look; a part that does not answer is one of its problems."""
        status, owners, ours, others = await asyncio.gather(
            self._observer.look(),
            self._owners(),
            asyncio.to_thread(_of_settings, self._settings),
            asyncio.to_thread(endpoints.ask, self._settings, self._further),
        )
        worker = next((one for one in status.projections if one.projection == positions.WORKER), None)
        known = worker is not None and worker.lag is not None
        return Look(
            at_s=time.monotonic(),
            generation=status.generation,
            problems=[f"{part.part}: {part.problem}" for part in status.parts if part.problem],
            processes=[*_known(ours, status), *map(_elsewhere, others)],
            ends=status.end,
            kept=worker.positions if worker is not None and known else None,
            owners=owners,
        )

    async def stop(self) -> None:
        await self._observer.stop()
        if self._admin is not None:
            await self._admin.close()

    async def _owners(self) -> dict[int, str]:
        """Who has each partition, as the group says it; empty where it does not."""
        if self._settings.parts == "embedded":
            return {}
        try:
            async with asyncio.timeout(positions.ASK_S):
                if self._admin is None:
                    self._admin = AIOKafkaAdminClient(**access.brokers(self._settings))
                    await self._admin.start()
                answers: Any = await self._admin.describe_consumer_groups([topics.app_id(self._settings)])
        except (KafkaError, OSError):
            if self._admin is not None:
                admin, self._admin = self._admin, None
                await admin.close()
            return {}
        members = [member for answer in answers for group in answer.groups for member in group[5]]
        return dict(found for member in members for found in _assigned(member, self._settings.events_topic))


def _assigned(member: Any, topic: str) -> list[tuple[int, str]]:
    """(partition, owner) of a member: the host that it comes from, and the end of its id, which tells two apart."""
    name, host, blob = member[0], member[2], member[4]
    if not blob:
        return []
    places = ConsumerProtocolMemberAssignment.decode(blob).partitions()
    owner = f"{host.lstrip('/')} {name[-4:]}"
    return [(place.partition, owner) for place in places if place.topic == topic]


def _of_settings(settings: Settings) -> list[Seen]:
    """The processes whose endpoints the settings name."""
    found = []
    for role in ROLES:
        port = getattr(settings, f"{role}_metrics_port")
        samples = scrape.scrape(settings, role)
        where = f"{settings.metrics_host}:{port}" if port else ""
        found.append(Seen(role, role, where, samples is not None, None, 0, samples))
    return found


def _elsewhere(answer: Answer) -> Seen:
    """A process that says itself what it is."""
    one = answer.endpoint
    return Seen(f"{one.role or '?'} {one.where}", one.role, one.where, one.up, None, 0, answer.samples)


def _known(found: list[Seen], status: Status) -> list[Seen]:
    """With what the process files of this home say; those of other generations have no known endpoint."""
    files = {role.role: role for role in status.processes}
    out = []
    for one in found:
        file = files.pop(one.process, None)
        if file is not None:
            up = file.up or one.samples is not None
            one = one._replace(up=up, pid=file.pid, restarts=file.restarts, local=_local(file.pid) if up else None)
        if file is not None or one.samples is not None:
            out.append(one)
    for name, file in files.items():
        role = name.partition("@")[0]
        if role in ROLES:
            local = _local(file.pid) if file.up else None
            out.append(Seen(name, role, "", file.up, file.pid, file.restarts, None, local))
    return out


def _local(pid: int) -> tuple[float, int] | None:
    """Seconds of processor and bytes of memory, as the kernel says; None where it does not."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
