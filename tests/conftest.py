"""What every run needs, however it was started. Hypothesis without a clock: a busy machine is no failure."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

from tests.integration.operator import Operator
from tests.integration.prompt import Prompt

PROMPT = Operator.prompt = Prompt()


def pytest_unconfigure() -> None:
    """The last command was typed."""
    PROMPT.close()


settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# Under nohup, or in a shell's background, these are ignored, and a process that a test starts would inherit that. What
# is caught here does no more to this run, and begins as usual in every program that it starts.
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)
