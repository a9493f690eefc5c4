"""The page's files as the gateway serves them."""

from __future__ import annotations

import gzip
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from projections.gateway import pages
from projections.gateway.problems import Problem, on_problem


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text('<script src="/static/main-ABCDEFGH.js"></script>')
    (tmp_path / "main-ABCDEFGH.js").write_text("let a = 1;\n" * 500)
    (tmp_path / "icon.svg").write_text("<svg/>")
    (tmp_path / "stamp").write_text("not for the world")
    return tmp_path


def visitor(folder: Path) -> httpx.AsyncClient:
    app = Starlette(routes=pages.routes(folder), exception_handlers={Problem: on_problem})
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://field")


async def test_the_page_may_load_and_ask_only_its_own_origin(built: Path) -> None:
    async with visitor(built) as client:
        for path in ("/", "/static/main-ABCDEFGH.js", "/static/icon.svg", "/static/none.js"):
            answer = await client.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_hashed_names_are_kept_for_ever_and_the_rest_asked_again(built: Path) -> None:
    async with visitor(built) as client:
        page = await client.get("/")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert page.headers["cache-control"] == "no-cache"
        again = await client.get("/", headers={"If-None-Match": f"W/{page.headers['etag']}"})
        assert (again.status_code, again.content) == (304, b"")
        script = await client.get("/static/main-ABCDEFGH.js")
        assert "immutable" in script.headers["cache-control"]
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        assert (await client.get("/static/icon.svg")).headers["cache-control"] == "no-cache"


async def test_packed_only_for_those_who_can_unpack(built: Path) -> None:
    async with visitor(built) as client:
        plain = await client.get("/static/main-ABCDEFGH.js", headers={"Accept-Encoding": "identity"})
        packed = await client.get("/static/main-ABCDEFGH.js", headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content
        assert len(gzip.compress(plain.content)) < len(plain.content)
        assert packed.headers["etag"] != plain.headers["etag"]


@pytest.mark.parametrize(
    "path", ["/static/stamp", "/static/..%2fpages.py", "/static/%2e%2e/pages.py", "/static/", "/static/a/b"]
)
async def test_nothing_but_the_page_is_served(built: Path, path: str) -> None:
    async with visitor(built) as client:
        assert (await client.get(path)).status_code == 404


async def test_what_is_built_anew_is_served_anew(built: Path) -> None:
    async with visitor(built) as client:
        first = await client.get("/")
        (built / "main-HGFEDCBA.js").write_text("let b = 2;")
        (built / "new.html").write_text("<p>new")
        (built / "new.html").replace(built / "index.html")
        assert (await client.get("/")).text != first.text
        assert (await client.get("/static/main-HGFEDCBA.js")).status_code == 200


async def test_a_page_that_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    async with visitor(tmp_path) as client:
        answer = await client.get("/")
        assert answer.status_code == 503
        assert "python -m deploy.local.page" in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert (await client.get("/static/x.js")).status_code == 404
