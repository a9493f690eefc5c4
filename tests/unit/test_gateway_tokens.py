"""Device tokens: who cannot sign cannot make one, nor make one last longer."""

from __future__ import annotations

import base64
import json
import time

import pytest

from deploy import cli
from projections.gateway.tokens import LENGTH_MAX, Claims, TokenError, mint, verify

KEY = "a key of ours"
NOW = 1_700_000_000


def test_what_was_signed_is_read_until_it_expires() -> None:
    token = mint(KEY, "ana", NOW + 10)
    assert verify(KEY, token, NOW) == verify(KEY, token, NOW + 9.9) == Claims("ana", NOW + 10)
    with pytest.raises(TokenError, match="expired"):
        verify(KEY, token, NOW + 10)


def test_it_is_json_and_a_signature_in_base64url() -> None:
    content, _, signed = mint(KEY, "ana", NOW).partition(".")
    assert json.loads(base64.urlsafe_b64decode(content + "==")) == {"device": "ana", "expires": NOW}
    assert len(base64.urlsafe_b64decode(signed + "==")) == 32
    assert KEY not in content


def test_no_other_token_counts() -> None:
    token, other = mint(KEY, "ana", NOW + 10), mint(KEY, "bea", NOW + 99)
    content, _, signed = token.partition(".")
    later = base64.urlsafe_b64encode(json.dumps({"device": "ana", "expires": NOW + 99}).encode()).decode().rstrip("=")
    nothing = base64.urlsafe_b64encode(b"{}").decode().rstrip("=")
    for bad in (
        "", ".", "..", content, f"{content}.", f".{signed}", f"{other.partition('.')[0]}.{signed}", f"{later}.{signed}",
        f"{nothing}.{signed}", token + "A", token[:-3], token.replace(".", ".."), token + ".", f"é{token}",
        "a" * (LENGTH_MAX + 1), "!!.!!", mint("another key", "ana", NOW + 10),
    ):  # fmt: skip
        with pytest.raises(TokenError):
            verify(KEY, bad, NOW)


def test_an_empty_key_signs_and_reads_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        mint("", "ana", NOW)
    with pytest.raises(TokenError):
        verify("", mint(KEY, "ana", NOW + 10), NOW)


def test_the_command_mints_one(monkeypatch: pytest.MonkeyPatch, tmp_path, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("FIELD_HOME", str(tmp_path))
    monkeypatch.setenv("FIELD_GATEWAY_KEY", KEY)
    assert cli.main(["token", "ana", "--ttl-s", "60"]) == 0
    claims = verify(KEY, capsys.readouterr().out.strip(), time.time())
    assert claims.device == "ana"
    assert 0 < claims.expires - time.time() <= 60
    assert cli.main(["token", "a b"]) == 2
    assert cli.main(["token", "ana", "--ttl-s", "0"]) == 2
    monkeypatch.delenv("FIELD_GATEWAY_KEY")
    assert cli.main(["token", "ana"]) == 2
    assert "FIELD_GATEWAY_KEY" in capsys.readouterr().err
