"""What all tests share: one fixture a file, in ``tests/fixtures``."""

from __future__ import annotations

import signal

from hypothesis import settings

# A shell's background job ignores Ctrl-C, and so would everything that is started here and has to hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("field", deadline=None)  # a test of what is true says nothing of how fast
settings.load_profile("field")

pytest_plugins = [
    "tests.fixtures.parts",
    "tests.fixtures.kafka",
    "tests.fixtures.postgres",
    "tests.fixtures.redis",
    "tests.fixtures.settings",
    "tests.fixtures.edition",
    "tests.fixtures.contacts",
    "tests.fixtures.command",
    "tests.fixtures.browser",
    "tests.fixtures.native",
    "tests.fixtures.collector",
    "tests.fixtures.prometheus",
    "tests.faults.figures",
]
