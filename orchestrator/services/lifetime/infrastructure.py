"""What there is, in LifeTime's words: environments, deployment zones, applications and their versions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from inventory.model import Environment, Fleet, Inventory
from orchestrator.domain.access import Permission, Principal
from orchestrator.domain.activation import Placement
from orchestrator.domain.errors import UsageError
from orchestrator.domain.lifetime import documents, keys
from orchestrator.domain.lifetime.documents import Active, Document
from orchestrator.domain.lifetime.plan import ImpossibleError, UnknownKeyError
from orchestrator.ports import Ledger, ReleaseRecord
from orchestrator.services.access import require
from orchestrator.services.deployments import last_committed

#: How far back it is looked whether an environment has ever served a version: in deployments of each fleet.
LOOK_BACK = 200


@dataclass(frozen=True)
class Infrastructure:
    """The inventory and the ledger as somebody sees them, in one request. Everything that is read is read once."""

    inventory: Inventory
    ledger: Ledger
    who: Principal

    # ── environments and zones ──

    @cached_property
    def environments(self) -> tuple[Environment, ...]:
        """Those that may be read, in the order of the inventory."""
        return tuple(each for each in self.inventory.environments if self.who.may(Permission.READ, each.name))

    def environment(self, key: str) -> Environment:
        """The environment of that key. `UnknownKeyError`, or `ForbiddenError` where it may not be read."""
        found = next((e for e in self.inventory.environments if keys.same(keys.environment_key(e.name), key)), None)
        if found is None:
            raise UnknownKeyError("there is no environment of that key", found=key[:80])
        require(self.who, Permission.READ, found.name)
        return found

    def fleets(self, environment: Environment) -> list[Fleet]:
        """Its deployment zones, the default one first."""
        return [fleet for fleet in self.inventory.fleets if fleet.environment == environment.name]

    def environment_documents(self) -> list[Document]:
        """All environments that may be read."""
        return [self.environment_document(each) for each in self.environments]

    def environment_document(self, environment: Environment) -> Document:
        """One environment, under its default zone's address, or else that zone's first frontend's."""
        fleets = self.fleets(environment)
        address = urlsplit("") if not fleets else urlsplit(str(fleets[0].url or fleets[0].frontends[0].url))
        return documents.environment(
            environment.name,
            environment.order,
            str(environment.type),
            address.netloc,
            sum(len(fleet.frontends) for fleet in fleets),
            https=address.scheme == "https",
        )

    def zone_documents(self, environment: Environment) -> list[Document]:
        """The deployment zones of an environment."""
        fleets = self.fleets(environment)
        return [documents.zone(fleet.key, fleet.name, default=fleet is fleets[0]) for fleet in fleets]

    # ── applications ──

    def application(self, key: str) -> str:
        """The app of that key. `UnknownKeyError`, or `ForbiddenError` where no environment that may be read has it."""
        app = next((app for app in self._apps(self.inventory.environments) if _is(app, key)), None)
        if app is None:
            raise UnknownKeyError("there is no application of that key", found=key[:80])
        if app not in self._apps(self.environments):
            require(self.who, Permission.READ, self._homes(app)[0])
        return app

    def application_documents(self, *, with_status: bool) -> list[Document]:
        """All applications of the environments that may be read."""
        return [self.application_document(app, with_status=with_status) for app in self._apps(self.environments)]

    def application_document(self, app: str, *, with_status: bool) -> Document:
        """One application, and where it is active."""
        found = [self.active(app, each) for each in self.environments] if with_status else []
        return documents.application(app, self._url_path(app), [each for each in found if each is not None])

    def environment_applications(self, environment: Environment, *, with_status: bool) -> list[Document]:
        """The applications that are active in an environment, each with its status there alone."""
        found = [self.active(app, environment) for app in self._apps([environment])]
        return [self._there(active, with_status) for active in found if active is not None]

    def environment_application(self, environment: Environment, app: str, *, with_status: bool) -> Document:
        """An application as it is active in an environment. `UnknownKeyError` where it is not active there."""
        return self._there(self.running(app, environment), with_status)

    def active(self, app: str, environment: Environment) -> Active | None:
        """What of an app is active in an environment: by the first zone that serves it; None where none does."""
        serving = [
            (fleet, placement)
            for fleet in self.fleets(environment)
            if (placement := self._placement(fleet, app)) is not None
        ]
        if not serving:
            return None
        fleet, first = serving[0]
        differing = ""
        if any(placement.digest != first.digest for _, placement in serving):
            differing = "; ".join(f"{fleet.name} serves {placement.version}" for fleet, placement in serving)
        return Active(app, first.version, environment.name, fleet.key, differing)

    def running(self, app: str, environment: Environment) -> Active:
        """What of an app is active there. `UnknownKeyError` where nothing is."""
        found = self.active(app, environment)
        if found is None:
            raise UnknownKeyError(f"{app} is not active in {environment.name}", remedy="deploy it there first")
        return found

    def was_active(self, app: str, version: str, environment: Environment) -> bool:
        """Whether an environment serves this version, or has served it."""
        return any((app, version) in self._has_served(fleet.key) for fleet in self.fleets(environment))

    # ── versions ──

    def version(self, app: str, key: str) -> ReleaseRecord:
        """The release of that key. `UnknownKeyError` where there is none."""
        record = self._versions.get(keys.normal(key) or "")
        if record is None or record.app != app:
            raise UnknownKeyError(f"{app} has no version of that key", found=key[:80])
        return record

    def version_of(self, key: str) -> ReleaseRecord:
        """The release of that key, of whichever app. `UnknownKeyError` where there is none."""
        record = self._versions.get(keys.normal(key) or "")
        if record is None:
            raise UnknownKeyError("there is no application version of that key", found=key[:80])
        return record

    def version_documents(self, app: str, most: int, change_log: str) -> list[Document]:
        """The newest versions of an application. None has a change log, so whoever looks for words in it finds none."""
        if most < 0:
            raise UsageError("MaximumVersionsToReturn is less than 0", expected="a whole number", found=str(most))
        if change_log:
            return []
        return [self.version_document(record) for record in self.ledger.releases(app)[:most]]

    def version_document(self, record: ReleaseRecord) -> Document:
        """One version. It is in use where an environment that may be read serves it."""
        in_use = any(
            (active := self.active(record.app, each)) is not None and active.version == record.version
            for each in self.environments
        )
        return documents.application_version(record.app, record.version, record.created_at, in_use=in_use)

    def tag(self, app: str, environment: Environment, version: str) -> str:
        """The key of the version that is active in an environment, where that is the one to be tagged.

        `ImpossibleError` for another: a release has had its version since it was built, and never gets another.
        """
        running = self.running(app, environment)
        if version != running.version:
            raise ImpossibleError(
                f"{app} in {environment.name} can't be tagged: a release has its version since it was built",
                expected=f"{running.version}, which is active there",
                found=version[:80],
                remedy=f"build the release under that version: lockstep release build DIR --app {app} --version …",
            )
        return keys.version_key(app, version)

    # ── below ──

    def _apps(self, environments: Iterable[Environment]) -> list[str]:
        names = {environment.name for environment in environments}
        apps = {app.name for fleet in self.inventory.fleets if fleet.environment in names for app in fleet.apps}
        return sorted(apps)

    def _homes(self, app: str) -> list[str]:
        """The environments that have the app."""
        return [fleet.environment for fleet in self.inventory.fleets if app in {each.name for each in fleet.apps}]

    def _url_path(self, app: str) -> str:
        mounts = [each.mount for fleet in self.inventory.fleets for each in fleet.apps if each.name == app]
        return mounts[0].strip("/")

    def _there(self, active: Active, with_status: bool) -> Document:
        return documents.application(active.app, self._url_path(active.app), [active] if with_status else [])

    def _placement(self, fleet: Fleet, app: str) -> Placement | None:
        if all(each.name != app for each in fleet.apps):
            return None
        return next((each for each in self._served[fleet.key] if each.app == app), None)

    @cached_property
    def _versions(self) -> dict[str, ReleaseRecord]:
        """All releases, by their keys."""
        return {keys.version_key(record.app, record.version): record for record in self.ledger.releases()}

    def _has_served(self, fleet: str) -> frozenset[tuple[str, str]]:
        """The versions that a fleet serves or has served, as far as it is looked back."""
        if fleet not in self._past:
            past = self.ledger.committed(fleet, limit=LOOK_BACK)
            self._past[fleet] = frozenset((each.app, each.version) for row in past for each in row.plan.placements)
        return self._past[fleet]

    @cached_property
    def _past(self) -> dict[str, frozenset[tuple[str, str]]]:
        return {}

    @cached_property
    def _served(self) -> dict[str, tuple[Placement, ...]]:
        """What each fleet serves, according to the ledger."""
        served = {}
        for fleet in self.inventory.fleets:
            last = last_committed(self.ledger, fleet.key)
            served[fleet.key] = () if last is None else last.plan.placements
        return served


def _is(app: str, key: str) -> bool:
    return keys.same(keys.application_key(app), key)
