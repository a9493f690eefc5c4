"""``field rejected list|show|retry``: what was no event, why, and the way back onto the log once it is mended."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from deploy import context, generations
from deploy.commands.output import print_json
from deploy.commands.reading import time_text
from streams.errors import InputError
from streams.rejected import Letter, Retrier, judge, read_letters
from streams.replay.span import moment
from streams.settings import Settings
from streams.validate import REASONS, Rejection

LIMIT: Final = 50
COMMAND_S: Final = 60.0
"""A mending command that takes longer for one letter hangs."""


class Row(msgspec.Struct):
    """A dead letter in a list; times in epoch ms, ``retried`` is where it stands on the log, or None: it waits."""

    position: str
    reason: str
    detail: str
    received: int
    rejected: int
    bytes: int
    retried: str | None


class Listed(msgspec.Struct):
    """``field rejected list``: how many letters match (by reason; waiting), and the newest of them, newest last."""

    letters: int
    waiting: int
    reasons: dict[str, int]
    rows: list[Row]


class Now(msgspec.Struct):
    """What validation says of the original bytes now."""

    valid: bool
    events: int
    reason: str | None = None
    detail: str | None = None


class Shown(msgspec.Struct):
    """``field rejected show``: one letter; its bytes as text where they are UTF-8, else in hexadecimal digits."""

    letter: Row
    headers: dict[str, str]
    text: str | None
    hex: str | None
    now: Now


class Outcome(msgspec.Struct):
    """What became of one letter: retried (``detail``: where), skipped (where it stands already) or refused (why)."""

    position: str
    outcome: str
    detail: str


class Retry(msgspec.Struct):
    """``field rejected retry``: counts, and each letter that was looked at."""

    retried: int
    skipped: int
    refused: int
    letters: list[Outcome]


def register(commands: Any) -> None:
    family = commands.add_parser("rejected", help="dead letters: list, show, retry")
    actions = family.add_subparsers(dest="action", required=True, metavar="list|show|retry")
    listing = actions.add_parser("list", help="what was rejected, and why")
    listing.add_argument("--reason", choices=REASONS, metavar="R", help="only these: " + ", ".join(REASONS))
    listing.add_argument("--since", metavar="T", help="rejected since then: RFC 3339 or epoch ms")
    listing.add_argument("--waiting", action="store_true", help="only those not retried yet")
    listing.add_argument("--limit", type=int, default=LIMIT, metavar="N", help=f"the newest N (default {LIMIT})")
    listing.add_argument("--json", action="store_true", help="as schema/cli/rejected-list.json says")
    listing.set_defaults(handler=run_list)
    showing = actions.add_parser("show", help="one letter whole, and what validation says of it now")
    showing.add_argument("position", metavar="POSITION", help="as list shows it; the topic may be left out")
    showing.add_argument("--json", action="store_true", help="as schema/cli/rejected-show.json says")
    showing.set_defaults(handler=run_show)
    retry = actions.add_parser("retry", help="send letters to the log again, mended or as they are")
    retry.add_argument("positions", nargs="*", metavar="POSITION", help="as list shows it; the topic may be left out")
    retry.add_argument("--reason", choices=REASONS, metavar="R", help="all that wait with this reason")
    retry.add_argument("--all", action="store_true", help="all that wait")
    mending = retry.add_mutually_exclusive_group()
    mending.add_argument("--edit", metavar="FILE", help="the mended bytes of the one POSITION; - is standard input")
    mending.add_argument("--with", dest="command", metavar="COMMAND", help="mends each: bytes in, mended bytes out")
    retry.add_argument("--json", action="store_true", help="as schema/cli/rejected-retry.json says")
    retry.set_defaults(handler=run_retry)


def _settings() -> Settings:
    settings = context.load()
    if settings.parts == "embedded":
        raise InputError(
            "the dead letters of the embedded field are in table `rejected` of its file (deploy/README.md)"
        )
    return generations.followed(settings)


def run_list(args: argparse.Namespace) -> int:
    since = 0 if args.since is None else moment(args.since, "--since")
    if args.limit < 0:
        raise InputError("--limit must be 0 or more letters")
    found = [
        letter
        for letter in asyncio.run(read_letters(_settings(), lambda _: False))
        if letter.rejected >= since
        and args.reason in (None, letter.reason)
        and not (args.waiting and letter.retried)
    ]  # fmt: skip
    reasons = dict(sorted(Counter(letter.reason for letter in found).items()))
    rows = [_row(letter) for letter in found[len(found) - min(args.limit, len(found)) :]]
    listed = Listed(len(found), sum(not letter.retried for letter in found), reasons, rows)
    if args.json:
        print_json(listed)
        return 0
    for row in rows:
        state = f"retried: {row.retried}" if row.retried else "waiting"
        print("\t".join((time_text(row.rejected), row.position, row.reason, f"{row.bytes} B", state, row.detail)))
    counts = ", ".join(f"{reason} {number}" for reason, number in reasons.items())
    print(f"{listed.letters} dead letters, {listed.waiting} waiting{': ' if counts else ''}{counts}")
    return 0


def run_show(args: argparse.Namespace) -> int:
    settings = _settings()
    position = _position(args.position, settings)
    letters = asyncio.run(read_letters(settings, lambda letter: letter.position == position))
    letter = _find(letters, position)
    found, text = judge(letter.value, _now(), settings), _text(letter.value)
    now = Now(False, 0, found.reason, found.detail) if isinstance(found, Rejection) else Now(True, len(found))
    digits = letter.value.hex() if letter.value is not None and text is None else None
    shown = Shown(_row(letter), letter.headers, text, digits, now)
    if args.json:
        print_json(shown)
        return 0
    for name, value in {**msgspec.to_builtins(shown.letter), **shown.headers}.items():
        told = time_text(int(value)) if name in ("received", "rejected") else value
        print(f"{name:<10} {'waiting' if told is None else told}")
    print(f"{'now':<10} {f'valid, {now.events} events' if now.valid else f'{now.reason}: {now.detail}'}")
    print(text if text is not None else digits or "")
    return 0


def chosen(args: argparse.Namespace) -> bool:
    """Whether a retry says which letters, in one way."""
    return bool(args.positions) + bool(args.reason) + bool(args.all) == 1


def run_retry(args: argparse.Namespace) -> int:
    if not chosen(args):
        raise InputError("say which letters: POSITION..., --reason R or --all (one of them)")
    if args.edit is not None and len(args.positions) != 1:
        raise InputError("--edit mends the letter of one POSITION; --with COMMAND mends several")
    settings = _settings()
    positions = {_position(text, settings) for text in args.positions}
    mend = _mender(args)
    done = asyncio.run(_retry(settings, positions, args.reason, mend))
    if args.json:
        print_json(done)
    else:
        for one in done.letters:
            print(f"{one.position}\t{one.outcome}\t{one.detail}")
        print(f"{done.retried} retried, {done.skipped} retried before (nothing sent), {done.refused} refused")
    return 1 if done.refused else 0


async def _retry(
    settings: Settings, positions: set[str], reason: str | None, mend: Callable[[Letter], bytes | None]
) -> Retry:
    """One letter after the other, so that a failure leaves all before it marked. An empty set is all that wait."""
    wanted = await read_letters(
        settings, lambda one: one.position in positions if positions else reason in (None, one.reason)
    )
    for position in positions:
        _find(wanted, position)
    if positions:
        wanted = [letter for letter in wanted if letter.position in positions]
    else:
        wanted = [letter for letter in wanted if not letter.retried and reason in (None, letter.reason)]
    done = Retry(0, 0, 0, [])
    async with Retrier(settings) as retrier:
        for letter in wanted:
            outcome = await _retry_one(letter, settings, retrier, mend)
            done.letters.append(outcome)
            setattr(done, outcome.outcome, getattr(done, outcome.outcome) + 1)
            letter.value = None
    return done


async def _retry_one(
    letter: Letter, settings: Settings, retrier: Retrier, mend: Callable[[Letter], bytes | None]
) -> Outcome:
    if letter.retried:
        return Outcome(letter.position, "skipped", letter.retried)
    try:
        value = await asyncio.to_thread(mend, letter)
    except subprocess.SubprocessError as error:
        return Outcome(letter.position, "refused", f"--with: {error}")
    found = judge(value, _now(), settings)
    if isinstance(found, Rejection):
        return Outcome(letter.position, "refused", f"{found.reason}: {found.detail}")
    assert value is not None, "no bytes are no event"
    return Outcome(letter.position, "retried", await retrier.send(letter, value, found))


def _mender(args: argparse.Namespace) -> Callable[[Letter], bytes | None]:
    """Letter -> the bytes to send; raises InputError for what cannot be read or run at all."""
    if args.edit is not None:
        try:
            value = sys.stdin.buffer.read() if args.edit == "-" else Path(args.edit).read_bytes()
        except OSError as error:
            raise InputError(f"--edit {args.edit}: {error.strerror}") from None
        return lambda _: value.rstrip(b"\r\n")
    if args.command is None:
        return lambda letter: letter.value
    words = shlex.split(args.command)
    if not words:
        raise InputError("--with names no command")

    def run(letter: Letter) -> bytes:
        told = {"LETTER_POSITION": letter.position, "LETTER_REASON": letter.reason}
        try:
            done = subprocess.run(
                words, input=letter.value or b"", stdout=subprocess.PIPE, check=True, timeout=COMMAND_S,
                env={**os.environ, **told},
            )  # fmt: skip
        except OSError as error:
            raise InputError(f"--with {words[0]}: {error.strerror}") from None
        return done.stdout.rstrip(b"\r\n")

    return run


def _position(text: str, settings: Settings) -> str:
    """A letter's key; ``partition/offset/index`` is one of the events topic."""
    return f"{settings.events_topic}/{text}" if text.count("/") == 2 else text


def _find(letters: list[Letter], position: str) -> Letter:
    for letter in letters:
        if letter.position == position:
            return letter
    raise InputError(f"there is no dead letter {position}; `field rejected list` shows those that there are")


def _row(letter: Letter) -> Row:
    return Row(
        letter.position, letter.reason, letter.detail, letter.received, letter.rejected, letter.size,
        letter.retried or None,
    )  # fmt: skip


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _now() -> int:
    return int(time.time() * 1000)
