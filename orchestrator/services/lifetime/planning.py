"""Deployment plans while they are saved: what is asked for, checked against what there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar
from uuid import uuid4

from inventory.model import Environment, Fleet
from orchestrator.domain.access import Permission
from orchestrator.domain.errors import UsageError
from orchestrator.domain.lifetime import keys
from orchestrator.domain.lifetime.plan import DeploymentPlan, ImpossibleError, Operation, UnknownKeyError
from orchestrator.ports import Clock, LifetimePlans
from orchestrator.services.access import require
from orchestrator.services.lifetime.infrastructure import Infrastructure

LONGEST_NOTES = 2000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One operation as a client names it, by keys; "" for what it leaves open."""

    application: str = ""
    version: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A plan as a client names it, by keys; `source` is "" where none is named."""

    target: str
    source: str
    notes: str
    operations: Sequence[Wanted]


@dataclass(frozen=True, slots=True)
class Planning:
    """Saving, changing and deleting plans."""

    infrastructure: Infrastructure
    plans: LifetimePlans
    clock: Clock

    def save(self, request: Request) -> DeploymentPlan:
        """A new plan. `UnknownKeyError` where an environment is not there, `UsageError` where it could not be done."""
        now, name = self.clock(), self.infrastructure.who.name
        plan = self._checked(request, DeploymentPlan(str(uuid4()), "", "", "", "", (), now, name, now, name))
        self.plans.add_plan(plan)
        return plan

    def change(self, key: str, request: Request) -> DeploymentPlan:
        """Another content for a plan. As in `save`, and `ImpossibleError` where it is not saved any more."""
        found = self._to_change(key)
        changed = replace(found, saved_at=self.clock(), saved_by=self.infrastructure.who.name)
        plan = self._checked(request, changed)
        if not self.plans.change_plan(plan):
            raise started(self.plan(key))
        return plan

    def delete(self, key: str) -> None:
        """A plan is gone. `ImpossibleError` where it is not saved any more."""
        plan = self._to_change(key)
        if not self.plans.delete_plan(plan, self.infrastructure.who.name):
            raise started(self.plan(key))

    def plan(self, key: str) -> DeploymentPlan:
        """One plan. `UnknownKeyError`, or `ForbiddenError` where its environment may not be read."""
        normal = keys.normal(key)
        found = None if normal is None else self.plans.plan(normal)
        if found is None:
            raise UnknownKeyError("there is no deployment of that key", found=key[:80])
        require(self.infrastructure.who, Permission.READ, found.target)
        return found

    def listed(self, since: datetime, until: datetime | None, target: str, seconds: float) -> list[DeploymentPlan]:
        """The plans that were created in that time, newest first: for one environment, by its key, or "" for all.

        A plan that is saved and stale is not one of them: pipelines take it for one that runs, and wait for its end.
        It is stale `seconds` after it was saved, or as soon as its fleet has moved on or has another plan.
        """
        here = self.infrastructure
        environments = [_known(here.environment, target)] if target else here.environments
        targets = [environment.name for environment in environments]
        planned: set[str] = set()
        shown = []
        for plan in self.plans.plans(since, until, targets):
            if not (plan.saved and (plan.fleet in planned or self._stale(plan, seconds))):
                shown.append(plan)
            planned.add(plan.fleet)
        return shown

    # ── below ──

    def _stale(self, plan: DeploymentPlan, seconds: float) -> bool:
        if (self.clock() - plan.saved_at).total_seconds() >= seconds:
            return True
        newest = next(iter(self.infrastructure.ledger.history(plan.fleet, 1)), None)
        return newest is not None and newest.created_at > plan.saved_at

    def _to_change(self, key: str) -> DeploymentPlan:
        plan = self.plan(key)
        require(self.infrastructure.who, Permission.DEPLOY, plan.target)
        if not plan.saved:
            raise started(plan)
        return plan

    def _checked(self, request: Request, plan: DeploymentPlan) -> DeploymentPlan:
        """The plan with what is asked for, resolved to names."""
        here = self.infrastructure
        target = here.environment(request.target)
        require(here.who, Permission.DEPLOY, target.name)
        source = here.environment(request.source) if request.source else None
        if len(request.notes) > LONGEST_NOTES:
            found = f"{len(request.notes)} characters"
            raise UsageError("Notes are too long", expected=f"at most {LONGEST_NOTES} characters", found=found)
        operations = self._operations(request, source)
        fleet = self._zone(target, [wanted.zone for wanted in request.operations if wanted.zone], operations)
        named = "" if source is None else source.name
        return replace(
            plan, source=named, target=target.name, fleet=fleet.key, notes=request.notes, operations=operations
        )

    def _operations(self, request: Request, source: Environment | None) -> tuple[Operation, ...]:
        if not request.operations:
            raise UsageError("the plan deploys nothing", expected="at least one of ApplicationOperations")
        found: dict[str, Operation] = {}
        for wanted in request.operations:
            operation = self._operation(wanted, source)
            if found.setdefault(operation.app, operation) != operation:
                raise UsageError(
                    f"the plan deploys two versions of {operation.app}",
                    found=f"{found[operation.app].version} and {operation.version}",
                )
        return tuple(found.values())

    def _operation(self, wanted: Wanted, source: Environment | None) -> Operation:
        here = self.infrastructure
        app = _known(here.application, wanted.application) if wanted.application else ""
        if wanted.version:
            record = _known(here.version_of, wanted.version)
            if app and record.app != app:
                raise UsageError(f"the version is not one of {app}", found=f"a version of {record.app}")
            if source is not None and not here.was_active(record.app, record.version, source):
                raise UsageError(
                    f"{record.app} {record.version} was never active in {source.name}",
                    expected="a version that the source environment serves or has served",
                    remedy="deploy it there first, or give no SourceEnvironmentKey",
                )
            return Operation(record.app, record.version)
        if not app or source is None:
            raise UsageError(
                "an operation does not say what to deploy",
                expected="an ApplicationVersionKey, or an ApplicationKey and a SourceEnvironmentKey",
            )
        active = here.active(app, source)
        if active is None:
            raise UsageError(f"{app} is not active in {source.name}, so there is nothing to deploy from there")
        return Operation(app, active.version)

    def _zone(self, target: Environment, zones: Sequence[str], operations: Sequence[Operation]) -> Fleet:
        """The one fleet that gets all of it, in one flip."""
        fleets = self.infrastructure.fleets(target)
        apps = {operation.app for operation in operations}
        for zone in zones:
            if all(not keys.same(keys.zone_key(fleet.key), zone) for fleet in fleets):
                raise UsageError(f"{target.name} has no deployment zone of that key", found=zone[:80])
        if zones:
            fleets = [fleet for fleet in fleets if any(keys.same(keys.zone_key(fleet.key), zone) for zone in zones)]
            if len(fleets) > 1:
                raise UsageError(
                    "the plan deploys to several deployment zones",
                    expected="one: the applications of a plan flip together, and zones flip each for itself",
                    found=_names(fleets),
                    remedy="make a plan for each",
                )
        serving = [fleet for fleet in fleets if apps <= {app.name for app in fleet.apps}]
        if not serving:
            has = "; ".join(f"{fleet.name}: {', '.join(app.name for app in fleet.apps)}" for fleet in fleets)
            raise UsageError(
                f"no deployment zone of {target.name} has all of {', '.join(sorted(apps))}",
                found=has,
                remedy="add the application to a fleet in the inventory, or make a plan for each zone",
            )
        if len(serving) > 1:
            raise UsageError(
                f"several deployment zones of {target.name} have {', '.join(sorted(apps))}",
                expected="a DeploymentZoneKey that says which",
                found=_names(serving),
            )
        return serving[0]


def started(plan: DeploymentPlan) -> ImpossibleError:
    """The plan is not saved any more."""
    return ImpossibleError(
        "the deployment has been started already",
        expected="status saved",
        found=f"started by {plan.started_by}",
        remedy="see its status",
    )


def _known(look_up: Callable[[str], T], key: str) -> T:
    """What a request's body names: where that is not there, it is the request that is wrong, not its path."""
    try:
        return look_up(key)
    except UnknownKeyError as error:
        raise UsageError(**error.problem.as_dict()) from error


def _names(fleets: Sequence[Fleet]) -> str:
    return ", ".join(fleet.key for fleet in fleets)
