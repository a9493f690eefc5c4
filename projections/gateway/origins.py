"""Whose pages may open a WebSocket, or write: a browser says in ``Origin`` whose page it is, and no other rule protects
where nobody has to say who he is."""

from __future__ import annotations

from urllib.parse import urlsplit


def allowed(origin: str | None, host: str | None, origins: str) -> bool:
    """``origins`` comma separated (``*``: everybody's); empty: those of the same host and port.

    What is no browser sends no origin.
    """
    if origin is None:
        return True
    names = {name.strip().rstrip("/").lower() for name in origins.split(",")} - {""}
    if names:
        return "*" in names or origin.rstrip("/").lower() in names
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == (host or "").lower()
    except ValueError:
        return False


def may_write(origin: str | None, host: str | None, named: str) -> bool:
    """Pages of the same host and port, and of the origins that are ``named`` (``*``: all)."""
    return allowed(origin, host, "") or (bool(named.strip()) and allowed(origin, host, named))
