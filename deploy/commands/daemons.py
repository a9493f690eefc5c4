"""``field worker``, ``projector``, ``publisher``, ``gateway``: the processes themselves, in the foreground."""

from __future__ import annotations

import argparse
from typing import Any

from deploy import context
from streams.settings import Settings


def register(commands: Any) -> None:
    for role, text in (
        ("worker", "fold the log (Faust)"),
        ("projector", "rows of the database from the log and the fold's changes"),
        ("publisher", "the merged field into Redis"),
        ("gateway", "HTTP and WebSocket for devices and dashboards, and the live page"),
    ):
        command = commands.add_parser(role, help=text)
        command.set_defaults(handler=run, role=role, logs=True)


def run(args: argparse.Namespace) -> int:
    return _start(args.role, context.load(daemon=True, role=args.role))


def _start(role: str, settings: Settings) -> int:
    """Each process imports only what it needs: Faust is no part of a projector."""
    if role == "worker":
        from streams.app import run_worker

        return run_worker(settings)
    if role == "projector":
        from projections.run import run_projector

        return run_projector(settings)
    if role == "gateway":
        from projections.gateway.run import run_gateway

        return run_gateway(settings)
    from projections.run import run_publisher

    return run_publisher(settings)
