"""Who the verifier is at brokers that are locked, by the environment variables that the field's own programs have.

KAFKA_SECURITY (plaintext, ssl, sasl_plaintext, sasl_ssl), KAFKA_USERNAME, KAFKA_PASSWORD or KAFKA_PASSWORD_FILE, and
KAFKA_CA_FILE. An account that may read the events topic is enough.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def account(environ: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of aiokafka's clients; raises OSError when a file cannot be read."""
    security = environ.get("KAFKA_SECURITY") or "plaintext"
    found: dict[str, Any] = {"security_protocol": security.upper()}
    if security.endswith("ssl"):
        found["ssl_context"] = ssl.create_default_context(cafile=environ.get("KAFKA_CA_FILE") or None)
    if security.startswith("sasl"):
        file = environ.get("KAFKA_PASSWORD_FILE")
        secret = Path(file).read_text().rstrip("\r\n") if file else environ.get("KAFKA_PASSWORD", "")
        found |= {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": environ.get("KAFKA_USERNAME", "")}
        found["sasl_plain_password"] = secret
    return found
