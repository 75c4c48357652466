"""What the tests of LifeTime's use cases share: two environments, one of them with two zones, and who asks."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from inventory.model import Environment, EnvironmentType, Fleet, Inventory
from orchestrator.adapters.artifacts import DirectoryArtifacts
from orchestrator.adapters.ledger.builds import SqlBuilds
from orchestrator.adapters.ledger.engine import open_engine
from orchestrator.adapters.ledger.lifetime_plans import SqlLifetimePlans
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.adapters.ledger.trail import SqlTrail
from orchestrator.domain.access import Grant, Principal, Role
from orchestrator.domain.deployment import Outcome, Report, Step
from orchestrator.domain.lifetime import keys
from orchestrator.domain.lifetime.plan import DeploymentPlan
from orchestrator.services.deployments import Schedule
from orchestrator.services.lifetime.execution import Executing, Following
from orchestrator.services.lifetime.infrastructure import Infrastructure
from orchestrator.services.lifetime.planning import Planning, Request, Wanted
from tests.unit.services.fleets import Clock, Messages, World, fleet

CI = Principal("ci#0123456789ab", (Grant(Role.DEPLOYER),))
VERSIONS = ("1.0.0", "2.0.0")


def fleet_of(environment: str, name: str = "web", apps: tuple[str, ...] = ("ToDo", "Portal")) -> Fleet:
    return fleet(apps, 2).model_copy(update={"environment": environment, "name": name})


DEVELOPMENT, PRODUCTION = fleet_of("Development"), fleet_of("Production")
SHOP = fleet_of("Production", "shop", ("Shop",))


@dataclass
class LifetimeWorld:
    world: World
    plans: SqlLifetimePlans
    trail: SqlTrail
    inventory: Inventory

    @classmethod
    def at(cls, directory: Path) -> LifetimeWorld:
        # A copy of one that is made once: most of the time goes into the migrations.
        shutil.copytree(_template(), directory, dirs_exist_ok=True)
        engine = open_engine(f"sqlite:///{directory / 'ledger.sqlite'}")
        clock = Clock()
        artifacts = DirectoryArtifacts(directory / "artifacts")
        world = World(SqlLedger(engine, clock), artifacts, Messages(), clock, SqlBuilds(engine, clock))
        environments = (
            Environment(name="Development", order=0, type=EnvironmentType.DEVELOPMENT),
            Environment(name="Production", order=1),
        )
        inventory = Inventory(fleets=(DEVELOPMENT, SHOP, PRODUCTION), environments=environments)
        return cls(world, SqlLifetimePlans(engine, world.clock), SqlTrail(engine, world.clock), inventory)

    def here(self, who: Principal = CI) -> Infrastructure:
        return Infrastructure(self.inventory, self.world.ledger, who)

    def planning(self, who: Principal = CI) -> Planning:
        return Planning(self.here(who), self.plans, self.world.clock)

    def following(self, who: Principal = CI) -> Following:
        return Following(self.planning(who))

    def executing(self, who: Principal = CI) -> Executing:
        return Executing(self.following(who), self.world.deploying)

    def serves(self, served: Fleet, **apps: str) -> None:
        """The fleet serves this from now on."""
        self.world.commit(self.world.deploying.deploy(served, apps, Schedule(), "somebody"))

    def saved(self, who: Principal = CI, **apps: str) -> DeploymentPlan:
        """A plan for Production, of versions."""
        return self.planning(who).save(request("Production", "", **apps))

    def confirms(self, number: int, *frontends: str) -> None:
        """Frontends prove what they serve."""
        reports = [Report(name, Step.CONFIRM, 1, Outcome.ACCEPTED) for name in frontends]
        self.world.ledger.record(number, reports)

    @property
    def actions(self) -> list[tuple[str, str]]:
        """What the trail says of plans."""
        entries = [entry.action for entry in self.trail.all() if entry.action.name.startswith("plan.")]
        return [(action.name, action.actor) for action in entries]


@cache
def _template() -> Path:
    """A world of releases, and nothing else."""
    made = tempfile.mkdtemp(prefix="lockstep-lifetime-")
    atexit.register(shutil.rmtree, made)
    world = World.at(Path(made))
    for app in ("ToDo", "Portal", "Shop"):
        for version in VERSIONS:
            world.release(app, version)
    return Path(made)


def request(target: str, source: str, zone: str = "", notes: str = "", **apps: str) -> Request:
    """By keys; an app's version "" is left open."""
    operations = [
        Wanted(
            "" if version else keys.application_key(app),
            keys.version_key(app, version) if version else "",
            keys.zone_key(zone) if zone else "",
        )
        for app, version in apps.items()
    ]
    return Request(
        keys.environment_key(target), keys.environment_key(source) if source else "", notes, tuple(operations)
    )
