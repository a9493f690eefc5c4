"""What acceptance tests share: a stack of which every part may be stopped."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local import cache, loopback, parts
from streams.settings import Settings
from tests.acceptance.stack import Stack


@pytest.fixture
def own_stack(
    make_settings: Callable[..., Settings], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Stack]:
    """A stack on parts of its own, which may be stopped. An indirect parameter has settings of its own."""
    here = dataclasses.replace(
        make_settings(),
        home=str(tmp_path / "home"),
        parts=os.environ.get("FIELD_PARTS", "auto"),
        kafka_brokers=f"127.0.0.1:{loopback.free()}",
        database_url=f"postgresql://field:field@127.0.0.1:{loopback.free()}/field",
        redis_port=loopback.free(),
    )
    over = dict(getattr(request, "param", {}))
    password = over.pop("database_password", "field")
    here = dataclasses.replace(here, database_url=here.database_url.replace(":field@", f":{password}@"), **over)
    if parts.choose(here)[0] != "local":
        pytest.skip("single parts can be stopped only where they run as local processes")
    one = Stack(here)
    try:
        with one:
            yield one
    finally:
        one.field("clean")
        cache.remove(tmp_path / "home")
