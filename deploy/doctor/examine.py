"""All checks, on everything that a stack is made of."""

from __future__ import annotations

import asyncio

from deploy.doctor import certificates, database, findings, hot, log, machine, saved
from deploy.doctor.findings import Finding
from streams.settings import Settings


async def examine(settings: Settings) -> list[Finding]:
    """Every finding, in the order of the lists; a part that does not answer is one of them. Never raises."""
    here = list(findings.run(machine.CHECKS, machine.ask(settings)))
    if settings.parts == "embedded":
        return here
    kafka, postgres, redis, papers = await asyncio.gather(
        log.ask(settings), asyncio.to_thread(database.ask, settings), asyncio.to_thread(hot.ask, settings),
        asyncio.to_thread(certificates.ask, settings),
    )  # fmt: skip
    return [
        *here,
        *findings.run(certificates.CHECKS, papers),
        *findings.run(log.CHECKS, kafka),
        *findings.run(database.CHECKS, postgres),
        *findings.run(hot.CHECKS, redis),
        *findings.run(saved.CHECKS, saved.ask(settings)),
    ]
