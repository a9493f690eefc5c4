"""``field token``: what a device shows the gateway instead of the key."""

from __future__ import annotations

import argparse
import time
from typing import Any, Final

from deploy import context
from projections.gateway.tokens import mint
from streams.envelope import known_id
from streams.errors import InputError, SettingError, WireError

DAY_S: Final = 86_400


def register(commands: Any) -> None:
    token = commands.add_parser("token", help="a token with which a device may write as itself")
    token.add_argument("device", metavar="DEVICE", help="its id, as it calls itself")
    token.add_argument("--ttl-s", type=int, default=30 * DAY_S, metavar="N", help="good for so long (default 30 days)")
    token.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    key = context.load().gateway_key
    if not key:
        raise SettingError("FIELD_GATEWAY_KEY", "is empty: the gateway asks for no tokens, and none can be signed")
    if args.ttl_s < 1:
        raise InputError("--ttl-s must be 1 second or more")
    try:
        known_id(args.device)
    except WireError as error:
        raise InputError(f"{args.device!r} is no device id: {error.detail}") from None
    print(mint(key, args.device, int(time.time()) + args.ttl_s))
    return 0
