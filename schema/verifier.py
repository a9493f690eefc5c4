"""An independent verifier: folds a log again by what schema/digest.md says, and compares the digests.

    python schema/verifier.py --brokers HOST:PORT --topic field.events --until FILE [--rejected TOPIC]
    python schema/verifier.py --log FILE [--digests FILE]

FILE is what `field digest --json` printed ("-": standard input). Exit code 0: equal, 1: different, 2: not checked.
Needs Python 3.11, verifier_*.py beside it and, for --brokers, aiokafka; nothing of the project, and the project
nothing of it: so an error has to be made twice to go unseen.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import os
import re
import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from verifier_account import account
from verifier_events import LIMITS, Event, home, read
from verifier_key import RULES, Key, is_stale, readable

TABLES = ("resonance", "rooms", "entanglements", "particles", "quantum_fields", "sequences", "opt_outs")
MEMORIES = {"BLOOM": "particles", "SACRED_PHRASE": "particles", "FIELD": "quantum_fields"}
PENDING_MAX = 4_096
FOREVER = 1 << 62
STALL_S = 60
SOURCE = re.compile(rb"[A-Za-z0-9._-]{1,249}(/[0-9]{1,19}){3}")
EXPONENT = re.compile(r'"[^"]*"|([0-9.]+)e([+-][0-9]+)')
Toggle = tuple[int, str, str, bool]
"""(timestamp, id, device, out)."""


class Unchecked(Exception):
    """It could not be checked; the text says why."""


class Partition:
    """One partition of the log: its keys, its toggles (OPT_*), its places [event, whether it is empty]."""

    def __init__(self, number: int, partitions: int, topic: str, rejected: set[str]) -> None:
        self.number, self.partitions, self.topic, self.rejected = number, partitions, topic, rejected
        self.keys: dict[str, Key] = {}
        self.toggles: dict[str, list[Toggle]] = {}
        self.outs: list[Toggle] = []
        self.places: dict[str, list[list[Any]]] = {"particles": [], "quantum_fields": []}
        self.counts: Counter[str] = Counter()
        self.refused: set[str] = set()

    def record(self, offset: int, appended: int, headers: dict[str, bytes], value: bytes | None) -> None:
        """Fold one record, in order of offset; ``appended`` is the broker's time (ms)."""
        received, source = headers.get("received") or b"", headers.get("source") or b""
        is_time = received.isdigit() and len(received) <= 15
        found = read(value, min(int(received), appended) if is_time else appended, headers.get("content-type"))
        for index, event in enumerate(found):
            if event is not None and not self.rejected:
                self.counts[self.deliver(event)] += 1
                continue
            place = f"{self.topic}/{self.number}/{offset}/{index}"
            if len(found) == 1 and SOURCE.fullmatch(source):
                place = source.decode()
            if event is None:
                self.refused.add(place)
            refused = event is None or place in self.rejected
            self.counts["rejected" if refused or event is None else self.deliver(event)] += 1

    def deliver(self, event: Event) -> str:
        """Take an event in: what became of it."""
        if event.kind in ("OPT_OUT", "OPT_IN"):
            return self.toggle((event.timestamp, event.id, event.device, event.kind == "OPT_OUT"))
        if home(event.key, self.partitions) != self.number:
            return "elsewhere"
        key = self.keys.get(event.key)
        if key is None:
            key = self.keys[event.key] = Key()
        verdict: str = key.accept(event)
        if len(key.pending) > PENDING_MAX:
            self.settle(key, key.floor)
        return verdict

    def toggle(self, toggle: Toggle) -> str:
        """OPT_OUT or OPT_IN. What is final is folded without it first; of that it only takes away."""
        timestamp, identity, device, out = toggle
        own = self.toggles.setdefault(device, [])
        at = bisect_left(own, (timestamp, identity))
        if own[at : at + 1] and own[at][:2] == (timestamp, identity):
            return "duplicate"
        for key in self.keys.values():
            self.settle(key, key.floor)
        own.insert(at, toggle)
        if out:
            self.outs.insert(bisect_left(self.outs, toggle), toggle)
        if out and not (at and own[at - 1][3]):
            late = {name for name, key in self.keys.items() if timestamp < key.settled}
            for name in late:
                self.keys[name].forget(device)
            for place in (place for places in self.places.values() for place in places):
                place[1] |= place[0].device == device and place[0].key in late
        return "accepted"

    def is_out(self, device: str, event: Event) -> bool:
        """Whether the device is out where the event stands in the order."""
        own = self.toggles.get(device)
        at = bisect_right(own, (*event[:3], True)) if own else 0
        return own is not None and at > 0 and own[at - 1][3]

    def left_out(self, event: Event) -> bool:
        return self.is_out(event.device, event) or (event.target is not None and self.is_out(event.target, event))

    def settle(self, key: Key, floor: int) -> None:
        """Fold what is pending before ``floor`` (ms), with the OPT_OUTs of the same stretch of time."""
        if floor <= key.settled:
            return
        key.pending.sort()
        end = bisect_left(key.pending, (floor,))
        events, key.pending = key.pending[:end], key.pending[end:]
        outs = self.outs[bisect_left(self.outs, (key.settled,)) : bisect_left(self.outs, (floor,))][::-1]
        key.settled = floor
        for event in events:
            while outs and outs[-1][:3] <= event[:3]:
                key.forget(outs.pop()[2])
            if not self.toggles or not self.left_out(event):
                key.hear(event)
                if event.kind in MEMORIES:
                    self.remember(MEMORIES[event.kind], event)
        for out in reversed(outs):
            key.forget(out[2])
        if events:
            key.prune()

    def remember(self, table: str, event: Event) -> None:
        places = self.places[table]
        places.append([event, False])
        if len(places) > 2 * RULES[table] + PENDING_MAX:
            places[:] = newest(places, table)

    def is_empty(self, place: list[Any]) -> bool:
        """Whether the device of a place has opted out since."""
        event, empty = place
        return empty or any(out and (at, name) >= event[:2] for at, name, _, out in self.toggles.get(event.device, ()))


def newest(places: Iterable[list[Any]], table: str) -> list[list[Any]]:
    return sorted(places, key=lambda place: tuple(place[0][:3]))[-RULES[table] :]


# ---- the tables, their canonical form and their digests


def tables(partitions: Iterable[Partition]) -> dict[str, list[Any]]:
    """Canonical rows by table; folds what is still pending."""
    out: dict[str, list[Any]] = {table: [] for table in TABLES}
    places: dict[str, list[list[Any]]] = {"particles": [], "quantum_fields": []}
    toggles: set[tuple[Any, ...]] = set()
    for partition in partitions:
        for name, key in partition.keys.items():
            partition.settle(key, FOREVER)
            key_rows(out, name, key)
        for table in places:
            places[table] += ([place[0], partition.is_empty(place)] for place in newest(partition.places[table], table))
        toggles |= {(device, at, name, out) for own in partition.toggles.values() for at, name, device, out in own}
    for table in places:
        out[table] = [place_row(*place) for place in newest(places[table], table)]
    out["opt_outs"] = [list(toggle) for toggle in toggles]
    return out


def key_rows(out: dict[str, list[Any]], name: str, key: Key) -> None:
    """The rows of one routing key, without what no reading at or after its watermark can show."""
    for device, (seen, spot, breath, slots, counts) in key.rows.items():
        felt = [[slot, *sums] for slot, sums in sorted(readable(slots, key.watermark).items())]
        out["resonance"].append([name, device, seen, spot, breath, felt, sorted(counts.items())])
    if key.opened >= 0:
        here = [
            [device, *stay] for device, stay in key.present.items() if key.watermark - stay[1] <= RULES["silence_ms"]
        ]
        heard = [[device, *tally] for device, tally in key.heard.items()]
        out["rooms"].append([name, key.opened, key.last, sorted(here), sorted(heard)])
    for pair, bond in key.pairs.items():
        if not is_stale(bond, key.watermark // 1000):
            out["entanglements"].append([name, *pair, *bond])
    for device, window in key.windows.items():
        out["sequences"].append([name, device, *window])


def place_row(event: Event, empty: bool) -> list[Any]:
    if empty:
        return [event.timestamp, event.id, "", "", "", 0, None, None, None, {}]
    data = {name: value for name, value in event.data.items() if value != []}
    spot = event.spot or (None, None, None)
    return [event.timestamp, event.id, event.device, event.key, event.kind, event.millionths, *spot, data]


def canonical(row: list[Any]) -> bytes:
    """A row as JSON; numbers from 0.00001 to under 1e16 in full, others as 1.5e-6 and 1e16."""

    def shortened(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        digits, exponent = found[1], int(found[2])
        return "0.0000" + digits.replace(".", "") if exponent == -5 else f"{digits}e{exponent}"

    return EXPONENT.sub(shortened, json.dumps(row, separators=(",", ":"), sort_keys=True)).encode()


def digests(partitions: Iterable[Partition]) -> dict[str, str]:
    rows = tables(partitions)
    return {table: hashlib.sha256(b"\n".join(sorted(map(canonical, rows[table])))).hexdigest() for table in TABLES}


# ---- where logs come from


def from_file(path: str, partitions: int, topic: str, until: dict[int, int], rejected: set[str]) -> list[Partition]:
    """Partitions out of JSON lines; raises Unchecked when a line is none."""
    found = [Partition(number, partitions, topic, rejected) for number in range(partitions)]
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                plain = json.loads(line)
                value = base64.b64decode(plain["base64"]) if "base64" in plain else (plain.get("text") or "").encode()
                headers = {name: text.encode() for name, text in plain.get("headers", {}).items()}
                offset, partition = plain["offset"], found[plain.get("partition", 0)]
                if offset <= until.get(partition.number, FOREVER if not until else -1):
                    partition.record(offset, plain["received"], headers, value)
            except (ValueError, KeyError, IndexError, TypeError) as error:
                raise Unchecked(f"{path}, line {number}: {error!r}; see schema/digest.md for what a line is") from error
    return found


class Kafka:
    """The log itself, read without a group: nothing is committed, nothing is written."""

    def __init__(self, brokers: str) -> None:
        from aiokafka import AIOKafkaConsumer  # only here: files need no Kafka

        self.brokers = brokers
        self.line = {"bootstrap_servers": brokers, **account(os.environ)}
        self.consumer: Any = AIOKafkaConsumer(**self.line, max_partition_fetch_bytes=1 << 22)

    async def partitions(self, topic: str) -> int:
        """How many; raises Unchecked when there is no such topic (asking about it alone might create it)."""
        from aiokafka.admin import AIOKafkaAdminClient

        if topic not in await self.consumer.topics():
            raise Unchecked(f"there is no topic {topic} at {self.brokers}")
        admin = AIOKafkaAdminClient(**self.line)
        try:
            await admin.start()
            (described,) = await admin.describe_topics([topic])
        finally:
            await admin.close()
        return len(described["partitions"])

    async def records(self, topic: str, partition: int, until: int | None) -> AsyncIterator[Any]:
        """From the first record to ``until`` (None: the last); raises Unchecked when some are not there."""
        from aiokafka import TopicPartition

        place = TopicPartition(topic, partition)
        first = (await self.consumer.beginning_offsets([place]))[place]
        end = (await self.consumer.end_offsets([place]))[place]
        last = end - 1 if until is None else until
        if first > 0 and last >= 0 and until is not None:
            raise Unchecked(f"{topic}/{partition} begins at {first}: what was before is needed, give it with --log")
        if end <= last:
            raise Unchecked(f"{topic}/{partition} ends at {end - 1}, before {last}")
        self.consumer.assign([place])
        self.consumer.seek(place, first)
        while (before := await self.consumer.position(place)) <= last:
            for records in (await self.consumer.getmany(place, timeout_ms=STALL_S * 1000)).values():
                for record in records:
                    if record.offset <= last:
                        yield record
            if await self.consumer.position(place) == before:
                raise Unchecked(f"{topic}/{partition}: nothing came from {before} on for {STALL_S} s")


async def from_kafka(args: argparse.Namespace, until: dict[int, int]) -> tuple[list[Partition], set[str]]:
    """Partitions up to ``until`` and the positions of the dead letters; raises Unchecked."""
    from aiokafka.errors import KafkaError

    kafka = Kafka(args.brokers)
    try:
        await kafka.consumer.start()
        rejected = positions_in(args.rejected)
        if args.rejected and not rejected:
            for number in range(await kafka.partitions(args.rejected)):
                rejected |= {record.key.decode() async for record in kafka.records(args.rejected, number, None)}
        count = await kafka.partitions(args.topic)
        found = [Partition(number, count, args.topic, rejected) for number in range(count)]
        for partition in found:
            async for record in kafka.records(args.topic, partition.number, until.get(partition.number, -1)):
                partition.record(record.offset, record.timestamp, dict(record.headers), record.value)
    except KafkaError as error:
        raise Unchecked(f"Kafka at {args.brokers}: {error}") from error
    finally:
        await kafka.consumer.stop()
    return found, rejected


def positions_in(path: str | None) -> set[str]:
    """Positions of rejected events, one a line, when that is a file."""
    return set(Path(path).read_text().split()) if path and Path(path).is_file() else set()


# ---- the command


def compare(ours: dict[str, str], said: dict[str, str]) -> bool:
    """Print table by table whether the digests are equal; True when all are."""
    for table in TABLES:
        word = "" if not said else "equal      " if ours[table] == said.get(table) else "different  "
        print(f"{word}{table:15} {ours[table]}" + (f", said {said.get(table)}" if word.startswith("d") else ""))
    return not said or ours == said


def compare_rejected(partitions: list[Partition], said: set[str], until: dict[int, int]) -> bool:
    """Print where the dead letters and what was refused here differ; True when nowhere."""
    refused = {place for partition in partitions for place in partition.refused}
    for place in list(said - refused):
        topic, partition, offset, _ = place.rsplit("/", 3)
        if topic != partitions[0].topic or int(offset) > until.get(int(partition), FOREVER if not until else -1):
            said = said - {place}  # of what was not read
    for place in sorted(said ^ refused):
        print(f"different  {place} is {'valid' if place in said else 'rejected'} here, not in the dead letters")
    return said == refused


def run(args: argparse.Namespace) -> bool:
    said: dict[str, Any] = {}
    if args.said:
        said = json.loads(sys.stdin.read() if args.said == "-" else Path(args.said).read_text())
    for name, value in [*said.get("rules", {}).items(), *(rule.split("=", 1) for rule in args.rule)]:
        rules = RULES if name in RULES else LIMITS
        if name not in rules:
            raise Unchecked(f"no rule is called {name}: there are {', '.join((*RULES, *LIMITS))}")
        rules[name] = type(rules[name])(value)
    until = {int(number): offset for number, offset in said.get("positions", {}).items()}
    if args.brokers:
        if not until:
            raise Unchecked("--brokers needs --until FILE: the positions that `field digest --json` printed")
        partitions, rejected = asyncio.run(from_kafka(args, until))
    else:
        count, rejected = args.partitions or said.get("partitions") or len(until) or 1, positions_in(args.rejected)
        partitions = from_file(args.log, count, args.topic, until, rejected)
    equal = compare(digests(partitions), said.get("tables", {}))
    if args.rejected:
        equal = compare_rejected(partitions, rejected, until) and equal
    counts = sum((partition.counts for partition in partitions), Counter())
    print(", ".join(f"{counts[word]} {word}" for word in ("accepted", "duplicate", "late", "rejected", "elsewhere")))
    return equal


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--brokers", metavar="HOST:PORT", help="read the topic")
    source.add_argument("--log", metavar="FILE", help="read JSON lines")
    parser.add_argument("--topic", default="field.events", help="of events (default: %(default)s)")
    parser.add_argument("--until", "--digests", dest="said", metavar="FILE", help="digests and positions, as JSON")
    parser.add_argument("--partitions", type=int, metavar="N", help="of the topic that the log was taken from")
    parser.add_argument("--rejected", metavar="TOPIC|FILE", help="dead letters: taken as given, and compared")
    parser.add_argument("--rule", action="append", default=[], metavar="NAME=VALUE", help="another constant")
    try:
        return 0 if run(parser.parse_args(words)) else 1
    except (Unchecked, OSError, ValueError) as error:
        print(f"not checked: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
