"""The proxy itself: each mode does what it says, also to connections that are there already."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import Link, Proxy

WAIT_S = 0.3


@pytest.fixture
def link() -> Iterator[Link]:
    """To a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server, Proxy() as proxy:
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
        yield proxy.link("echo", server.getsockname()[1])


def _serve(server: socket.socket) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(client,), daemon=True).start()


def _echo(client: socket.socket) -> None:
    with client:
        while data := client.recv(4096):
            client.sendall(data)


def _ask(client: socket.socket, words: bytes) -> bytes:
    client.sendall(words)
    return client.recv(4096)


def _over(client: socket.socket, words: bytes) -> bool:
    try:
        return _ask(client, words) == b""
    except ConnectionError:
        return True


def test_it_passes(link: Link) -> None:
    with socket.create_connection(("127.0.0.1", link.port)) as client:
        assert _ask(client, b"one") == b"one"


def test_latency_counts_both_ways(link: Link) -> None:
    link.set("latency", latency_ms=100)
    with socket.create_connection(("127.0.0.1", link.port)) as client:
        began = time.monotonic()
        assert _ask(client, b"one") == b"one"
        assert time.monotonic() - began >= 0.2


def test_cut_ends_what_is_there_and_what_comes(link: Link) -> None:
    with socket.create_connection(("127.0.0.1", link.port)) as client:
        assert _ask(client, b"one") == b"one"
        link.set("cut")
        assert _over(client, b"two")
    with socket.create_connection(("127.0.0.1", link.port)) as client:
        assert _over(client, b"three")
    link.set("pass")
    with socket.create_connection(("127.0.0.1", link.port)) as client:
        assert _ask(client, b"four") == b"four"


def test_half_open_says_nothing_and_stays_so(link: Link) -> None:
    with socket.create_connection(("127.0.0.1", link.port)) as old:
        assert _ask(old, b"one") == b"one"
        link.set("half_open")
        old.settimeout(WAIT_S)
        with pytest.raises(TimeoutError):
            _ask(old, b"two")
        with socket.create_connection(("127.0.0.1", link.port)) as fresh:
            fresh.settimeout(WAIT_S)
            with pytest.raises(TimeoutError):
                _ask(fresh, b"three")
            link.set("pass")
            for dead in (old, fresh):  # the line is mended, these two are not
                with pytest.raises(TimeoutError):
                    _ask(dead, b"four")
        with socket.create_connection(("127.0.0.1", link.port)) as client:
            assert _ask(client, b"five") == b"five"
    assert link.swallowed >= len(b"twothreefourfour")
