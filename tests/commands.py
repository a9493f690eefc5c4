"""What commands print with ``--json``, held to their schemas under ``schema/cli``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import jsonschema

from deploy import cli

SCHEMAS: Final = Path(cli.__file__).parent.parent / "schema" / "cli"


def valid(name: str, document: str) -> Any:
    """The document, which is as the schema ``name`` says."""
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    found = json.loads(document)
    jsonschema.validate(found, schema)
    return found


def printed(words: tuple[str, ...], document: str) -> Any:
    """What the command of these words has printed; its schema is that of its first two words, or of its first."""
    name = "-".join(words[:2])
    return valid(name if (SCHEMAS / f"{name}.json").exists() else words[0], document)
