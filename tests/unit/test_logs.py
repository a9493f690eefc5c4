"""Lines of the log: what they hold, what cannot get into them, and that nobody forges one."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import replace
from typing import Any

import psycopg
import pytest
import redis
from aiokafka import TopicPartition

from deploy.context import clone
from deploy.supervisor import told
from streams import logs
from streams.errors import FloodError, InputError, PartUnavailable, WireError
from streams.logs.fields import FIELDS, page
from streams.logs.lines import JsonLines, TextLines
from streams.logs.safe import TEXT_MAX, clean, described
from streams.logs.start import REPEAT_S, REPEATS_MAX, OncePerWhile
from streams.settings import Settings, exports

CANARY = "canary-7f3a"
EVIL = f'{CANARY}\r\n{{"log.level":"INFO"}}\x1b[2J\x1b]0;x\x07\x9b1A\u2028\u2029\u202e\x85\ud800'
KINDS = {"string": str, "number": int}


def record(message: str, *args: object, name: str = "field.test", **more: Any) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, __file__, 1, message, args, more.pop("exc_info", None))
    for key, value in more.pop("extra", {}).items():
        setattr(made, key, value)
    return made


def line(*given: Any, **more: Any) -> dict[str, Any]:
    """A line as a reader of JSON sees it: exactly one, with the fields of the list, of their kinds."""
    text = JsonLines("worker", "live").format(record(*given, **more))
    assert len(text.splitlines()) == 1
    found: dict[str, Any] = json.loads(text)
    by_name = {field.name: field for field in FIELDS}
    assert all(isinstance(value, KINDS[by_name[name].kind]) for name, value in found.items())
    assert {field.name for field in FIELDS if field.always} <= set(found)
    return found


def fault(error: BaseException) -> tuple[Any, ...]:
    try:
        raise error
    except BaseException:
        return sys.exc_info()


def test_the_page_has_the_fields_of_the_code() -> None:
    assert page() in (clone() / "deploy" / "LOGS.md").read_text()


def test_a_line_speaks_of_its_place() -> None:
    found = line("behind", extra=logs.at("field.events", 3, 0, reason="empty"))
    assert (found["kafka.topic"], found["kafka.partition"], found["kafka.offset"]) == ("field.events", 3, 0)
    assert (found["message"], found["field.reason"], found["log.level"]) == ("behind", "empty", "WARNING")
    assert "kafka.offset" not in line("behind", extra=logs.at("field.events", 3))
    error = FloodError("too many", topic="field.events", partition=1, offset=8)
    found = line("%s", error)
    assert (found["kafka.partition"], found["kafka.offset"], found["error.type"]) == (1, 8, "FloodError")
    assert found["message"].startswith("FloodError: too many")


def test_a_request_has_its_route_and_how_long_it_took() -> None:
    found = line("answered", extra=logs.request("GET", "/api/rooms/{room_id}", 200, 0.25))
    assert (found["http.route"], found["event.duration"]) == ("/api/rooms/{room_id}", 250_000_000)


@pytest.mark.parametrize("name", ["field.test", "aiokafka.conn", "projections.hot"])
def test_nobody_forges_a_line(name: str) -> None:
    for made in (record(EVIL, name=name), record("said %s", EVIL, name=name), record("x", name=EVIL)):
        found = json.loads(JsonLines("gateway", "live").format(made))
        assert not [one for value in found.values() for one in str(value) if one in EVIL and not one.isprintable()]
        text = TextLines("gateway", "live", colours=False).format(made)
        assert len(text.splitlines()) == 1
        assert text.isprintable()
    found = line("of it", exc_info=fault(OSError(2, EVIL)))
    assert all(value.isprintable() for name, value in found.items() if isinstance(value, str) and name[-5:] != "trace")


def test_a_stack_is_in_one_field_and_tells_no_values() -> None:
    try:
        try:
            {}[CANARY]
        except KeyError as error:
            raise RuntimeError(f"about {CANARY}") from error
    except RuntimeError:
        found = line("it failed: %r", ValueError(CANARY), exc_info=sys.exc_info())
    assert CANARY not in json.dumps(found)
    assert found["message"] == "it failed: ValueError"
    assert "test_a_stack_is_in_one_field" in found["error.stack_trace"]
    assert found["error.stack_trace"].index("KeyError") < found["error.stack_trace"].index("RuntimeError")
    assert (found["error.type"], "error.message" in found) == ("RuntimeError", False)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError(CANARY), "KeyError"),
        (WireError("malformed_json", CANARY), "WireError: malformed_json"),
        (InputError(CANARY), "InputError"),
        (redis.ResponseError(f"unknown command {CANARY}"), "ResponseError"),
        (redis.ConnectionError("Error 111"), "ConnectionError: Error 111"),
        (psycopg.ProgrammingError(f'missing "=" after "postgresql://u:{CANARY}@x"'), "ProgrammingError"),
        (psycopg.OperationalError("connection failed\n\tIs it?"), "OperationalError: connection failed"),
        (PartUnavailable("kafka", "refused"), "PartUnavailable: kafka does not answer: refused"),
    ],
)
def test_an_exception_tells_no_payload(error: Exception, text: str) -> None:
    assert described(error) == text


def test_a_library_shows_plain_values_only() -> None:
    given = ({"a": CANARY.encode(), TopicPartition("t", 1): [1, None]}, b"12345", object(), TimeoutError())
    assert line("%r %r %s %r", *given, name="aiokafka")["message"] == (
        "{'a': <11 bytes>, ['t', 1]: [1, None]} <5 bytes> <object> TimeoutError"
    )
    assert line(f"gone\n{CANARY}", name="asyncio")["message"] == "gone"
    assert line("%d of %s", "no number", name="mode")["message"] == "%d of %s"
    assert line("%s", ["x"] * 50, name="mode")["message"].count("'x'") == 20
    assert line("%s", "x" * 9_999, name="mode")["message"] == "x" * TEXT_MAX + " ..."


def test_text_that_is_harmless_stays() -> None:
    assert clean("Grüße, 🌬 und 気") == "Grüße, 🌬 und 気"


def test_the_supervisor_quotes_what_a_line_says() -> None:
    of_a_fault = JsonLines("worker", "live").format(record("leaving", exc_info=fault(KeyError(1))))
    assert told(of_a_fault) == "leaving (KeyError)"
    assert told(JsonLines("worker", "live").format(record("%s", OSError("no")))) == "OSError: no"
    assert told("Segmentation fault\n") == "Segmentation fault"


def test_a_library_says_the_same_once_in_a_while() -> None:
    now = 0.0
    once = OncePerWhile(clock=lambda: now)

    def passes(name: str, text: str, value: object = 1) -> bool:
        return once.filter(logging.LogRecord(name, logging.WARNING, "", 0, text, (value,), None))

    assert passes("aiokafka.conn", "no connection to %s")
    assert not passes("aiokafka.conn", "no connection to %s", 2)
    assert passes("faust", "no connection to %s")
    assert passes("aiokafka.conn", "another %s")
    assert all(passes("field.worker", "generation %s") for _ in range(3))
    now = REPEAT_S - 1
    assert not passes("aiokafka.conn", "no connection to %s")
    now = REPEAT_S
    assert passes("aiokafka.conn", "no connection to %s")
    assert all(passes("aiokafka", f"{n} %s") for n in range(2 * REPEATS_MAX))
    assert len(once._said) <= REPEATS_MAX


def run(code: str, **over: str) -> subprocess.CompletedProcess[str]:
    settings = exports(replace(Settings(), **over), secrets=False)
    begun = "import logging, os, threading\nfrom streams import logs, settings\n"
    begun += f"logs.start('worker', settings.read({settings!r}))\n"
    return subprocess.run([sys.executable, "-c", begun + code], capture_output=True, text=True, check=False)


def test_the_log_of_the_process_says_it_once() -> None:
    code = ""
    for name in ("aiokafka.conn", "field.worker", logs.SELDOM):
        code += f"for n in range(9): logging.getLogger({name!r}).error('gone %d', n)\n"
    said = [json.loads(one)["log.logger"] for one in run(code).stdout.splitlines()]
    assert [said.count(name) for name in ("aiokafka.conn", "field.worker", logs.SELDOM)] == [1, 9, 1]


@pytest.mark.parametrize(
    "code",
    [
        f"raise RuntimeError({CANARY!r})",
        f"thread = threading.Thread(target=lambda: {{}}[{CANARY!r}])\nthread.start()\nthread.join()",
        f"class Bad:\n    def __del__(self): raise RuntimeError({CANARY!r})\nBad()",
        f"import warnings; warnings.warn('gone\\n' + {CANARY!r})",
    ],
    ids=["main", "thread", "del", "warning"],
)
def test_what_nobody_catches_is_a_line_too(code: str) -> None:
    done = run(code)
    assert done.stderr == ""
    (found,) = map(json.loads, done.stdout.splitlines())
    assert found["log.level"] in ("CRITICAL", "ERROR", "WARNING")
    assert CANARY not in {value for name, value in found.items() if name != "error.stack_trace"}


@pytest.mark.parametrize(("chosen", "is_json"), [("auto", True), ("json", True), ("text", False)])
def test_the_format_is_that_of_the_setting(chosen: str, is_json: bool) -> None:
    (said,) = run(
        "logging.getLogger('field.x').info('here')\nlogging.getLogger('mode').info('not')", log_format=chosen
    ).stdout.splitlines()
    assert said.startswith("{") == is_json
    assert "here" in said
