"""How much is fuzzed: a little in every run, as much as is asked for by ``LOCKSTEP_FUZZ`` (examples per test)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

#: Each example starts processes, so a frontend is made once for all of them, and none has a deadline.
FUZZ = settings(
    max_examples=int(os.environ.get("LOCKSTEP_FUZZ", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
