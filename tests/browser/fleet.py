"""The sample app on a whole fleet: the lab's frontends, a worker, and releases that are built and deployed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.app import SIGNATURE, write_app
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.deployments import actor, choose, deploying
from orchestrator.cli.progress import outcome
from orchestrator.domain.deployment import Deployment, State
from orchestrator.services.deployments import Schedule
from orchestrator.services.lookup import found
from orchestrator.settings import Settings
from tests.integration.operator import PATIENCE, Operator

CLIENT = Path(__file__).parents[2] / "orchestrator" / "ota" / "browser"
APP, MOUNT, FRONTENDS = "ToDo", "/ToDo/", 3
#: Looked for so often, in seconds.
LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Release:
    """A version of the sample app, with `more` files of its own."""

    version: str
    signature: str = SIGNATURE
    broken: bool = False
    more: int = 0


#: Other content; another signature of the action; one that throws before it is ready; one that takes a while to fetch.
RELEASES = (
    Release("1.0.0"),
    Release("2.0.0"),
    Release("3.0.0", signature="sha256:02fe"),
    Release("4.0.0", broken=True),
    Release("5.0.0", more=30),
)


class Fleet:
    """An operator's commands, for many deployments in a short time."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.lab = operator.lab
        self.url = f"{operator.lab.url}{MOUNT}"
        # In this process: to start Python for each would take longer than the deployment.
        self._lockstep = Lockstep(Settings.read(operator.environment))
        self._fleet = choose(self._lockstep, "web")
        self._unbuilt = {release.version: release for release in RELEASES}

    def deploys(self, version: str) -> int:
        """Move the fleet to one of `RELEASES`, which is built where it is not yet; returns the epoch that it serves."""
        if version in self._unbuilt:
            self._builds(self._unbuilt.pop(version))
        return self._done(deploying(self._lockstep).deploy(self._fleet, {APP: version}, Schedule(), actor()))

    def rolls_back(self) -> int:
        """Move the fleet back to what it served before, under a new epoch."""
        return self._done(deploying(self._lockstep).rollback(self._fleet, None, Schedule(), actor()))

    def calls(self) -> int:
        """How many server actions have reached the app's service."""
        return self.lab.service.log.read_text().count("POST ")

    def _builds(self, release: Release) -> None:
        """By the command line."""
        tree = self.operator.directory / "trees" / release.version
        write_app(tree, release.version, client=CLIENT, action_signature=release.signature, broken=release.broken)
        for number in range(release.more):
            (tree / "data" / f"{number}.txt").write_text(f"{number} of {release.version}")
        said = self.operator.types("release", "build", str(tree), "--app", APP, "--version", release.version)
        assert said.code == 0, said.messages

    def _done(self, started: Deployment) -> int:
        deadline = time.monotonic() + PATIENCE
        while outcome(now := found(self._lockstep.ledger, started.id)) is None:
            assert time.monotonic() < deadline, f"{now.state} still"
            time.sleep(LOOK_SECONDS)
        assert now.state is State.DONE, now
        return now.epoch
