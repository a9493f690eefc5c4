"""One request to the gateway, what its answer means, and how long to wait before the next one."""

from __future__ import annotations

import contextlib
import email.utils
import gzip
import http.client
import json
import random
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

PATH: Final = "/api/consciousness/sync"
ANSWER_BYTES_MAX: Final = 16_000_000
GZIP_BYTES_MIN: Final = 1_000
"""Below this the header of gzip costs more than it saves."""
EXPONENT_MAX: Final = 16


@dataclass(frozen=True)
class Policy:
    """How a device sends; the defaults suit a phone."""

    batch_events: int = 500
    batch_bytes: int = 500_000
    linger_s: float = 0.05
    """how long to gather before a request that is not full"""
    timeout_s: float = 15.0
    backoff_base_s: float = 0.5
    backoff_max_s: float = 60.0
    retry_after_max_s: float = 3_600.0
    """a longer Retry-After is taken for a mistake and cut to this"""


class Rejected(NamedTuple):
    """Why the field will never take an event; ``reason`` is one of schema/README.md, or a problem's code."""

    event: dict[str, Any]
    reason: str
    detail: str


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Verdict(NamedTuple):
    accepted: bool
    reason: str = ""
    detail: str = ""


class Outcome(NamedTuple):
    """What a reply means: verdicts for all, or send a smaller batch, get a new token, try again later."""

    kind: Literal["settled", "smaller", "token", "later"]
    verdicts: Sequence[Verdict] = ()
    retry_after_s: float | None = None
    problem: str = ""


class Line:
    """A kept-alive connection to one gateway."""

    def __init__(self, url: str, timeout_s: float, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not http://HOST or https://HOST")
        self._path = parts.path.rstrip("/") + PATH
        self._connection = (
            http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=context)
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
        )

    def post(self, body: bytes, token: str | None) -> Reply:
        """Raises OSError or http.client.HTTPException when there is no whole answer."""
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if len(body) >= GZIP_BYTES_MIN:
            body = gzip.compress(body, 6)
            headers["Content-Encoding"] = "gzip"
        reused = self._connection.sock is not None
        try:
            return self._exchange(body, headers)
        except (ConnectionError, http.client.RemoteDisconnected):
            if not reused:
                raise
        return self._exchange(body, headers)  # the other side had closed a line that was idle

    def _exchange(self, body: bytes, headers: dict[str, str]) -> Reply:
        try:
            self._connection.request("POST", self._path, body, headers)
            with self._connection.getresponse() as response:
                content = response.read(ANSWER_BYTES_MAX)
                found = {name.lower(): value for name, value in response.getheaders()}
                return Reply(response.status, found, content)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.close()


def understand(reply: Reply, events: int) -> Outcome:
    """What the answer to a request with so many events means.

    Only an answer that is the gateway's own (per-event verdicts, or a problem) can make an event be dropped: what a
    proxy or a hotel's login page says is no reason to.
    """
    content = _json(reply)
    if reply.status in (200, 400, 403, 422) and (verdicts := _verdicts(content, events)) is not None:
        return Outcome("settled", verdicts)
    problem = f"{reply.status} {content.get('code', '')} {content.get('detail', '')}".strip()
    if reply.status == 401:
        return Outcome("token", problem=problem)
    own = "problem+json" in reply.headers.get("content-type", "")
    if reply.status == 413 or (own and reply.status in (400, 403, 422)):
        if events > 1:
            return Outcome("smaller", problem=problem)
        reason = str(content.get("code") or "too_large")
        return Outcome("settled", [Verdict(False, reason, str(content.get("detail", "")))], problem=problem)
    return Outcome("later", retry_after_s=_retry_after_s(reply.headers.get("retry-after")), problem=problem)


def delay_s(failures: int, retry_after_s: float | None, policy: Policy) -> float:
    """Exponential backoff with full jitter; never before ``retry_after_s``, and then not all devices at once."""
    jitter = random.uniform(0, min(policy.backoff_max_s, policy.backoff_base_s * 2 ** min(failures, EXPONENT_MAX)))
    if retry_after_s is None:
        return jitter
    return min(max(0.0, retry_after_s), policy.retry_after_max_s) + min(jitter, policy.backoff_base_s)


def _json(reply: Reply) -> dict[str, Any]:
    try:
        content = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _verdicts(content: dict[str, Any], events: int) -> list[Verdict] | None:
    """One verdict for each event, by ``index``; None when some are missing."""
    told = content.get("events")
    if not isinstance(told, list):
        return None
    found: dict[int, Verdict] = {}
    for one in told:
        if not isinstance(one, dict) or not isinstance(one.get("index"), int) or "verdict" not in one:
            return None
        reason = str(one.get("reason") or one["verdict"])
        found[one["index"]] = Verdict(one["verdict"] == "accepted", reason, str(one.get("detail", "")))
    return [found[index] for index in range(events)] if found.keys() >= set(range(events)) else None


def _retry_after_s(value: str | None) -> float | None:
    """Seconds, or the time until a date."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
