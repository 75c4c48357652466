"""What the tests of the services share: an embedded ledger, a store of two releases, a fleet, and a silent dispatch."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from inventory.model import Fleet
from orchestrator.adapters.artifacts import DirectoryArtifacts
from orchestrator.adapters.ledger.builds import SqlBuilds
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.domain.batch import Batch
from orchestrator.domain.deployment import Decision, Deployment, State
from orchestrator.domain.errors import UnansweredError
from orchestrator.domain.release import File, Hasher, Manifest
from orchestrator.ports import ReleaseRecord
from orchestrator.services.deployments import Deploying
from tests.empty_ledger import empty_ledger

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJcm6B5z4R1y2IhLzgGXB5de65ZNWsN6W9K7plwrEAOW"


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_hours(self, hours: float) -> None:
        self.now += timedelta(hours=hours)


@dataclass
class Messages:
    """A dispatch that keeps what it was asked to hand on; `broken`: the broker can't be reached."""

    coordinated: list[int] = field(default_factory=list)
    drained: list[int] = field(default_factory=list)
    audited: list[int] = field(default_factory=list)
    broken: bool = False

    def coordinate(self, number: int) -> None:
        if self.broken:
            raise UnansweredError("the broker may not have taken the work")
        self.coordinated.append(number)

    def drain(self, number: int) -> None:
        if self.broken:
            raise UnansweredError("the broker may not have taken the work")
        self.drained.append(number)

    def audit(self, number: int) -> None:
        if self.broken:
            raise UnansweredError("the broker may not have taken the work")
        self.audited.append(number)

    def step(self, number: int, batch: Batch) -> None:
        raise AssertionError(f"the services ask for no step: {number} {batch}")

    def memory(self) -> str:
        raise AssertionError("the services rely on no message")


@dataclass
class World:
    ledger: SqlLedger
    artifacts: DirectoryArtifacts
    messages: Messages
    clock: Clock
    builds: SqlBuilds

    @classmethod
    def at(cls, directory: Path) -> World:
        engine = empty_ledger(directory / "ledger.sqlite")
        clock = Clock()
        artifacts = DirectoryArtifacts(directory / "artifacts")
        return cls(SqlLedger(engine, clock), artifacts, Messages(), clock, SqlBuilds(engine, clock))

    @property
    def deploying(self) -> Deploying:
        return Deploying(self.ledger, self.artifacts, self.messages, self.clock, self.builds)

    def release(self, app: str, version: str, content: bytes | None = None) -> Manifest:
        return self.releases(app, version, {"index.html": content or f"{app} {version}".encode()})

    def releases(self, app: str, version: str, files: Mapping[str, bytes]) -> Manifest:
        """A release of these files."""
        made = []
        for path, content in files.items():
            held = Hasher.of([content])
            made.append(File(path, held.size, held.sha256, held.ota))
            self.artifacts.add(held.sha256, [content])
        manifest = Manifest.of(made)
        self.artifacts.add_manifest(manifest)
        record = ReleaseRecord(app, version, manifest.digest, len(manifest), manifest.size, self.clock.now)
        self.ledger.add_release(record)
        return manifest

    def carry_out(self, deployment: Deployment) -> None:
        """As a coordinator would whose frontends all agree."""
        path = (State.PLANNED, State.STAGING, State.VERIFYING)
        for before, after in itertools.pairwise(path):
            assert self.ledger.move(deployment.id, before, after)[1]
        assert self.ledger.prepare(deployment.id)[1]

    def commit(self, deployment: Deployment) -> None:
        self.carry_out(deployment)
        self.decided(deployment)

    def decided(self, deployment: Deployment) -> None:
        """From arming to the end."""
        assert self.ledger.decide(deployment.id, Decision.COMMIT, []) is Decision.COMMIT
        self.ledger.move(deployment.id, State.ACTIVATING, State.FINISHING)
        self.ledger.move(deployment.id, State.FINISHING, State.DONE)


def fleet(apps: tuple[str, ...] = ("ToDo", "Portal"), frontends: int = 3) -> Fleet:
    return Fleet.model_validate(
        {
            "environment": "Production",
            "name": "web",
            "apps": [{"name": app, "mount": f"/{app}/"} for app in apps],
            "frontends": [
                {
                    "name": f"fe{n}",
                    "address": f"127.0.0.{n}",
                    "user": "deploy",
                    "host_key": HOST_KEY,
                    "root": "/srv/lockstep",
                    "url": f"http://127.0.0.{n}:8080",
                }
                for n in range(1, frontends + 1)
            ],
        }
    )
