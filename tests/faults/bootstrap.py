"""``python -m tests.faults.bootstrap ROLE [point=NAME:N[:stop]] [break=NAME[:ARGUMENT]]``: a process of the field
(worker, projector or publisher; settings from the environment) that kills or stops itself, or is broken on purpose.
"""

from __future__ import annotations

import os
import sys

from streams.settings import known, read


def main(role: str, *words: str) -> int:
    """The exit code of the process; raises KeyError for an unknown role, point or break."""
    from tests.faults import breaks, points

    for word in words:
        kind, _, what = word.partition("=")
        if kind == "point":
            points.install(role, what)
        elif kind == "break":
            breaks.install(what)
        else:
            raise KeyError(word)
    settings = read({name: value for name, value in os.environ.items() if name in known()})
    if role == "worker":
        from streams.app import run_worker

        return run_worker(settings)
    from projections.run import run_projector, run_publisher

    return {"projector": run_projector, "publisher": run_publisher}[role](settings)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
