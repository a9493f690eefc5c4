"""A device that breathes: copy this file and the folder ``field_device``, and put your sensor where ``phase`` is.

FIELD_URL=http://127.0.0.1:8000 python example.py ana hall
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time

from field_device import Device, Rejected


def rejected(what: Rejected) -> None:
    """The field will never take this one; the queue goes on without it."""
    print(f"rejected: {what.event['id']} {what.reason}: {what.detail}", file=sys.stderr)


def main(device_id: str, room_id: str, breaths: int = 10) -> None:
    url = os.environ.get("FIELD_URL", "http://127.0.0.1:8000")
    token = os.environ.get("FIELD_TOKEN")  # `field token ana` makes one where the gateway asks for them
    with Device(device_id, url, f"{device_id}.queue", token=token, on_rejected=rejected) as device:
        for breath in range(breaths):
            phase = math.tau * (breath % 5) / 5  # where in the breath: your sensor's
            device.publish("BREATH", 0.8, room_id=room_id, data={"phase": phase, "rate": 12})
            time.sleep(1)
        device.flush(10)
        print(device.stats)


if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 10)
