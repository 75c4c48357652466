"""An operator at a console that stays open, in a process of its own: what to do comes in, and what came of it goes out.

It does what `lockstep deploy`, `continue` and `abort` do, without the time that it takes to start each of them.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inventory import loader
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.deployment import Deployment
from orchestrator.domain.errors import LockstepError
from orchestrator.services.deployments import Deploying, Schedule
from tests.chaos.processes import PATIENCE, ChaosError

ACTOR = "chaos"


class Console:
    """The harness' end. Each call raises `ChaosError` where the command fails."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as messages:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.console"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                env=environment,
            )

    def deploy(self, app: str, version: str, *, hold: bool) -> int:
        """`lockstep deploy`; returns the deployment's number."""
        return self._ask(do="deploy", app=app, version=version, hold=hold)

    def proceed(self, number: int) -> None:
        """`lockstep continue`."""
        self._ask(do="continue", number=number)

    def abort(self, number: int) -> None:
        """`lockstep abort`."""
        self._ask(do="abort", number=number)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, **words: object) -> int:
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        asked.write(f"{json.dumps(words)}\n".encode())
        asked.flush()
        if not select.select([answers], [], [], PATIENCE)[0]:
            raise ChaosError(f"no answer to {words} within {PATIENCE:g} s")
        answer = json.loads(answers.readline() or '{"problem": "the console has ended"}')
        if "problem" in answer:
            raise ChaosError(f"{words['do']}: {answer['problem']}")
        return int(answer["number"])


def main() -> None:
    """The operator's end."""
    lockstep = Lockstep()
    deploying = Deploying(lockstep.ledger, lockstep.artifacts, lockstep.dispatch, lockstep.clock, lockstep.builds)
    for line in sys.stdin:
        try:
            answer: dict[str, object] = {"number": _done(lockstep, deploying, json.loads(line)).id}
        except LockstepError as error:
            answer = {"problem": error.problem.as_dict()}
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


def _done(lockstep: Lockstep, deploying: Deploying, words: Mapping[str, Any]) -> Deployment:
    match words["do"]:
        case "deploy":
            fleet = loader.load(lockstep.settings.inventory).fleets[0]
            return deploying.deploy(fleet, {words["app"]: words["version"]}, Schedule(hold=words["hold"]), ACTOR)
        case "continue":
            return deploying.proceed(words["number"], "operator")
        case _:
            return deploying.abort(words["number"], ACTOR)


if __name__ == "__main__":
    main()
