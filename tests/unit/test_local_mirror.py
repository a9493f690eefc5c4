"""Which mirror a machine's own apt uses, out of either format."""

from __future__ import annotations

import pytest

from deploy.local import mirror
from deploy.local.mirror import Source

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://one.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/some.gpg

Types: deb
URIs: http://one.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
"""
CLASSIC = """\
# deb http://comment.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/some.gpg] http://two.example/debian/ bookworm main contrib # trailing
deb http://two.example/debian bookworm-updates main
"""


def test_deb822_gives_enabled_binary_archives() -> None:
    assert mirror.parse("debian.sources", DEB822) == [
        Source("http://one.example/debian", "bookworm", ("main", "contrib")),
        Source("http://one.example/debian", "bookworm-updates", ("main", "contrib")),
        Source("http://one.example/debian-security", "bookworm-security", ("main",)),
    ]


def test_a_deb822_field_may_go_on_in_the_next_lines() -> None:
    text = "Types: deb\nURIs:\n http://a.example/debian\n# between\n http://b.example/debian\nSuites: trixie\n"
    assert [source.uri for source in mirror.parse("x.sources", text)] == [
        "http://a.example/debian",
        "http://b.example/debian",
    ]


def test_classic_lines_with_options_and_comments() -> None:
    assert mirror.parse("sources.list", CLASSIC) == [
        Source("http://two.example/debian/", "bookworm", ("main", "contrib")),
        Source("http://two.example/debian", "bookworm-updates", ("main",)),
    ]


@pytest.mark.parametrize(("name", "text"), [("a.sources", DEB822), ("a.list", CLASSIC)])
def test_the_release_itself_is_chosen_without_a_trailing_slash(name: str, text: str) -> None:
    chosen = mirror.choose(mirror.parse(name, text), "bookworm")
    assert chosen in ("http://one.example/debian", "http://two.example/debian")


def test_security_and_foreign_archives_are_never_chosen() -> None:
    sources = [
        Source("http://one.example/debian-security", "bookworm-security", ("main",)),
        Source("http://vendor.example/tool", "nodistro", ("main",)),
        Source("http://vendor.example/apt", "bookworm", ("tool",)),
    ]
    assert mirror.choose(sources, "bookworm") is None


def test_an_update_suite_or_the_release_by_another_name_will_do() -> None:
    updates = Source("http://u.example/debian", "bookworm-updates", ("main",))
    nameless = Source("http://s.example/debian", "stable", ("main",))
    assert mirror.choose([nameless, updates], "bookworm") == "http://u.example/debian"
    assert mirror.choose([nameless], "bookworm") == "http://s.example/debian"


def test_release_fields_lose_their_quotes() -> None:
    fields = mirror.release('# no\nID=debian\nVERSION_CODENAME=bookworm\nNAME="Debian GNU/Linux"\n')
    assert fields == {"ID": "debian", "VERSION_CODENAME": "bookworm", "NAME": "Debian GNU/Linux"}
