"""Answers: JSON by msgspec, and what went wrong as ``application/problem+json`` (RFC 9457).

``code`` names the problem for programs, ``detail`` is one line for people.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from streams import logs

log = logging.getLogger(__name__)

PROBLEM_TYPE: Final = "application/problem+json"
_encode = msgspec.json.Encoder().encode


class Problem(Exception):
    """A request that is answered with an error; 4xx is the caller's, 503 says when to come again.

    ``more``: further members; a ``type`` other than about:blank comes with a ``title``.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        retry_after_s: int | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(retry_after_s)
        self.more = more

    def body(self) -> dict[str, Any]:
        """The members of the problem."""
        title = HTTPStatus(self.status).phrase
        found = {"type": "about:blank", "title": title, "status": self.status, "code": self.code}
        return {**found, "detail": self.detail, **self.more}


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """``content`` (plain objects or msgspec structs) as JSON."""
    return Response(_encode(content), status, headers, "application/json")


async def on_problem(request: Request, error: Exception) -> Response:
    """Starlette's handler of ``Problem``."""
    assert isinstance(error, Problem)
    return _response(error)


async def on_http(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: no such path, wrong method."""
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    headers = dict(error.headers or {})
    return _response(Problem(error.status_code, code, f"{request.method} {request.url.path}", headers=headers))


async def on_fault(request: Request, error: Exception) -> Response:
    """A fault of ours: named in the log, not to the caller."""
    route = getattr(request.scope.get("route"), "path", "none")  # the path may hold ids
    log.error("a fault of ours in a request", exc_info=error, extra=logs.request(request.method, route))
    return _response(Problem(500, "fault", "a fault of the gateway; its log says more"))


def _response(problem: Problem) -> Response:
    return Response(_encode(problem.body()), problem.status, problem.headers, PROBLEM_TYPE)
