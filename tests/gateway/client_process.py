"""A device that publishes until it is killed; with DRAIN it sends what is left and ends."""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path

from field_device import Device, Policy

POLICY = Policy(batch_events=40, linger_s=0.005, timeout_s=5.0, backoff_base_s=0.02, backoff_max_s=0.2)


def main(url: str, queue: str, noted: Path) -> None:
    with Device("ana", url, queue, policy=POLICY) as device, noted.open("a", buffering=1) as notes:
        if os.environ.get("DRAIN"):
            assert device.flush(60), device.stats
            return
        for number in itertools.count():
            fields = {"data": {"phase": 0.5}, "room_id": "hall", "user_id": "u1"}
            ids = (
                [device.publish("BREATH", 0.5, **fields)]
                if number % 5
                else device.publish_many([{"type": "TOUCH", "intensity": 1, "room_id": "hall"}] * 3)
            )
            notes.write("".join(json.dumps(one) + "\n" for one in ids))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
