"""The configuration of nginx out of its template, where no image does it.

``python -m deploy.nginx.render > nginx.conf``. ``FRONT_`` variables come from the environment; those that have no
default must be there.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from streams.errors import FieldError, InputError

TEMPLATE: Final = Path(__file__).with_name("nginx.conf.template")
_NAME: Final = re.compile(r"\$\{(FRONT_[A-Z_]+)\}")
DEFAULTS: Final[Mapping[str, str]] = {
    "FRONT_RUN": "/run/nginx",  # folder for its pid and for bodies that wait
    "FRONT_HTTP": "80",  # address:port or port
    "FRONT_HTTPS": "443",
    "FRONT_TLS": "ssl http2",  # from nginx 1.25.1 on "ssl; http2 on", else it warns; older ones know only this
    "FRONT_STATUS": "127.0.0.1:8081",
    "FRONT_NAME": "_",  # host names, blanks between them
    "FRONT_BODY_BYTES": "4194304",  # FIELD_GATEWAY_BODY_BYTES_MAX
    "FRONT_REQUESTS": "500",  # a second, of one address
    "FRONT_BURST": "1000",
    "FRONT_CONNECTIONS": "1000",  # of one address; a request of HTTP/2 is one
}
NEEDED: Final = ("FRONT_GATEWAYS", "FRONT_CERTIFICATE", "FRONT_CERTIFICATE_KEY")
"""``FRONT_GATEWAYS``: ``server HOST:PORT max_fails=1 fail_timeout=3s;``, once for each."""


def render(given: Mapping[str, str]) -> str:
    """The whole configuration; raises InputError that names what is missing."""
    values = {**DEFAULTS, **{name: value for name, value in given.items() if name.startswith("FRONT_") and value}}
    missing = [name for name in NEEDED if name not in values]
    if missing:
        raise InputError(f"{', '.join(missing)} not set; {TEMPLATE.name} needs it")
    return _NAME.sub(lambda found: values[found[1]], TEMPLATE.read_text())


def main() -> int:
    try:
        print(render(os.environ), end="")
    except FieldError as error:
        print(f"field: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
