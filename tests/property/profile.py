"""How the laws are run: a thousand worlds each, the same ones every time."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

law = settings(
    max_examples=int(os.environ.get("LAW_EXAMPLES", "1000")),
    deadline=None,  # no test asserts time
    derandomize="LAW_EXAMPLES" not in os.environ,  # a red run of the pipeline can be had again; own searches vary
    database=None,
    print_blob=False,
    suppress_health_check=[
        HealthCheck.too_slow,  # a world of sixty events is slow to make on a busy machine, and that is no fault
        HealthCheck.data_too_large,  # nor is its size
        HealthCheck.large_base_example,
    ],
)
"""A law is tried on 1,000 worlds. LAW_EXAMPLES asks for another number, and for new worlds each time."""

detail = settings(law, max_examples=int(os.environ.get("LAW_EXAMPLES", "300")))
"""Of what the compiled library reads and writes beside whole worlds: fewer in `make test`, as many in `make soak`."""
