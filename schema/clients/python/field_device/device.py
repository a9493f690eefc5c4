"""A device: ``publish()`` puts an event on disk and returns; a thread of its own brings it to the gateway."""

from __future__ import annotations

import http.client
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from field_device.ids import disguised, new_id
from field_device.sending import Line, Outcome, Policy, Rejected, Verdict, delay_s, understand
from field_device.store import Store, StoreError, Waiting

log = logging.getLogger(__name__)

EVENT_BYTES_MAX: Final = 65_000
"""The field takes no larger events; what ``epoch`` and ``seq`` need is left free."""


@dataclass(frozen=True)
class Stats:
    """Counts since the start; ``dropped`` (because the queue was full) and ``waiting`` since the queue is new."""

    published: int
    accepted: int
    rejected: int
    retries: int
    dropped: int
    waiting: int


class Device:
    """One device and its queue in the file ``queue``. To be closed, best by ``with``.

    ``on_rejected`` is told of each event that the field will never take (from the sender's thread; at least once).
    ``new_token`` is asked for a token when the one at hand is refused; None: wait and try again.
    ``pseudonym_key``: ids of devices and users are hashed here, for publishers that are trusted with the key.
    ``epoch``: for a new queue; the default is the clock. A device without a clock gives a number that only rises.
    """

    def __init__(
        self,
        device_id: str,
        url: str,
        queue: str | Path,
        *,
        token: str | None = None,
        new_token: Callable[[], str | None] | None = None,
        on_rejected: Callable[[Rejected], None] | None = None,
        pseudonym_key: bytes | None = None,
        queue_events_max: int = 100_000,
        epoch: int | None = None,
        policy: Policy | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.device_id = device_id
        self._policy = policy or Policy()
        self._token = token
        self._new_token = new_token
        self._on_rejected = on_rejected
        self._key = pseudonym_key
        self._line = Line(url, self._policy.timeout_s, context)
        self._store = Store(queue, device_id, queue_events_max, epoch)
        self._changed = threading.Condition()
        self._stopping = False
        self._hurry = False
        self._published = self._accepted = self._rejected = self._retries = 0
        self._batch_events = self._policy.batch_events
        self._thread = threading.Thread(target=self._run, name=f"field-device {device_id}", daemon=True)
        self._thread.start()

    def publish(self, type: str, intensity: float | None = None, **fields: Any) -> str:
        """Publish one event, now; its id. ``fields``: room_id, user_id, position, data, timestamp (ms), id.

        It is on disk when this returns. Raises ValueError for what cannot be an event at all, StoreError when the
        disk does not take it.
        """
        return self.publish_many([{"type": type, "intensity": intensity, **fields}])[0]

    def publish_many(self, events: Iterable[dict[str, Any]]) -> list[str]:
        """Several events with one write to the disk, all or none; their ids."""
        complete = [self._complete(event) for event in events]
        if not complete:
            return []
        if self._stopping:
            raise StoreError("the device is closed")
        self._store.add(complete)
        with self._changed:
            self._published += len(complete)
            self._changed.notify_all()
        return [event["id"] for event in complete]

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all that was published before is settled; False when it is not within ``timeout`` seconds.

        It does not shorten the wait after a failure: the gateway may have asked for it.
        """
        last = self._store.last_seq
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._stopping or self._settled(last), timeout) and self._settled(
                last
            )

    @property
    def stats(self) -> Stats:
        store = self._store
        return Stats(
            self._published, self._accepted, self._rejected, self._retries, store.dropped, store.waiting
        )  # fmt: skip

    def close(self, timeout: float = 5.0) -> None:
        """Sends what it can within ``timeout`` seconds; the rest stays on disk for the next start."""
        if not self._stopping:
            self.flush(timeout)
            with self._changed:
                self._stopping = True
                self._changed.notify_all()
            self._thread.join(self._policy.timeout_s + 1)
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _complete(self, event: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in event.items() if value is not None}
        own = {"id": new_id(), "device_id": self.device_id, "timestamp": time.time_ns() // 1_000_000, "v": 1}
        whole = own | given | {"device_id": self.device_id}
        if self._key is not None:
            whole = disguised(whole, self._key)
        size = len(json.dumps(whole, allow_nan=False, separators=(",", ":")))
        if size > EVENT_BYTES_MAX:
            raise ValueError(f"an event of {size} bytes; at most {EVENT_BYTES_MAX}")
        return whole

    def _settled(self, last: int) -> bool:
        oldest = self._store.oldest()
        return oldest is None or oldest > last

    def _run(self) -> None:
        failures = 0
        while self._gathered():
            try:
                wait_s = self._send(failures)
            except StoreError as error:
                log.warning("the queue: %s", error)
                wait_s = delay_s(failures, None, self._policy)
            except Exception:  # a fault of ours must not end the only thread that sends
                log.exception("sending")
                wait_s = delay_s(failures, None, self._policy)
            failures = 0 if wait_s is None else failures + 1
            if wait_s is not None:
                with self._changed:
                    self._retries += 1
                    self._changed.wait_for(lambda: self._stopping, wait_s)
        self._line.close()

    def _gathered(self) -> bool:
        """Waits until there is something to send; False when the device is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._store.waiting > 0)
            if not self._hurry:
                full = self._batch_events
                self._changed.wait_for(
                    lambda: self._stopping or self._hurry or self._store.waiting >= full, self._policy.linger_s
                )
            self._hurry = False
            return not self._stopping

    def _send(self, failures: int) -> float | None:
        """One batch, the oldest; None when it went well, else the seconds to wait."""
        batch = self._store.first(self._batch_events, self._policy.batch_bytes)
        if not batch:
            return None
        outcome = self._exchange(batch)
        if outcome.kind == "token" and self._new_token is not None and (token := self._new_token()):
            self._token = token
            outcome = self._exchange(batch)
        if outcome.kind == "settled":
            self._settle(batch, outcome.verdicts)
            grown = self._batch_events + max(1, self._batch_events // 8)  # slowly: what was too large may stay so
            self._batch_events = min(grown, self._policy.batch_events)
            return None
        if outcome.kind == "smaller":
            self._batch_events = max(1, len(batch) // 2)
            return None
        log.info("%d events wait: %s", self._store.waiting, outcome.problem)
        return delay_s(failures, outcome.retry_after_s, self._policy)

    def _exchange(self, batch: Sequence[Waiting]) -> Outcome:
        body = f"[{','.join(one.text for one in batch)}]".encode()
        try:
            return understand(self._line.post(body, self._token), len(batch))
        except (OSError, http.client.HTTPException) as error:
            return Outcome("later", problem=f"{type(error).__name__}: {error}")

    def _settle(self, batch: Sequence[Waiting], verdicts: Sequence[Verdict]) -> None:
        for one, verdict in zip(batch, verdicts, strict=True):
            if not verdict.accepted:
                self._tell(Rejected(json.loads(one.text), verdict.reason, verdict.detail))
        self._store.remove([one.seq for one in batch])
        accepted = sum(verdict.accepted for verdict in verdicts)
        with self._changed:
            self._accepted += accepted
            self._rejected += len(batch) - accepted
            self._changed.notify_all()

    def _tell(self, rejected: Rejected) -> None:
        log.warning("%s was rejected: %s, %s", rejected.event.get("id"), rejected.reason, rejected.detail)
        if self._on_rejected is not None:
            try:
                self._on_rejected(rejected)
            except Exception:
                log.exception("on_rejected")
