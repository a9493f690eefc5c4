"""A rolling upgrade, rehearsed: ``make upgrade`` (``python -m tests.upgrade [--from REVISION] [--seconds S]``).

An earlier version runs with two workers of fixed names, two projectors, a publisher and two gateways, under load. Then,
as the manifests in ``deploy/kubernetes`` do it: ``field migrate`` of this version, and one process after the other is
replaced. At the end every tier is compared with the log by the oracle, and by the verifier. Exit code 1 when anything
differs or is lost, a request was not answered with 200, or the workers (which have names) rebalanced; 2 when the two
versions cannot be rehearsed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path

from tests.faults.soak import Instances, parts_for_a_while
from tests.upgrade.code import Unfit, earlier, here
from tests.upgrade.judge import wrong
from tests.upgrade.rehearsal import rehearse

PREVIOUS = "91af971"
"""Release 0.3.0: the last one with another schema (007), and with the fold of this version."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--from", dest="revision", default=PREVIOUS, help=f"git revision (default {PREVIOUS}: 0.3.0)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of load before and after (default 10)")
    parser.add_argument("--nameless", action="store_true", help="workers without FIELD_INSTANCE, to see what it is for")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures into this file, too")
    words = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="upgrade-"))
    try:
        old, new = earlier(words.revision, home / "earlier"), here()
        if old.fold != new.fold:
            raise Unfit(
                f"{old.name} folds as {old.fold}, this version as {new.fold}: its workers would refuse the state (exit "
                "4). The way is a replay beside it and a switch (deploy/UPGRADE.md)"
            )
    except Unfit as error:
        print(f"cannot rehearse: {error}", file=sys.stderr)
        shutil.rmtree(home)
        return 2
    with parts_for_a_while() as parts:
        instances = Instances(parts, home, [])
        try:
            figures = asyncio.run(rehearse(old, new, instances.make(session_timeout_s=30), words))
        finally:
            instances.drop()
    text = json.dumps(figures, indent=2)
    print(text)
    if words.json:
        words.json.write_text(text + "\n")
    if bad := wrong(figures, nameless=words.nameless):
        print("\n".join([*bad, f"logs of the processes: {home}"]), file=sys.stderr)
        return 1
    shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
