"""Polled zones: a request is claimed and answered at once; what becomes of it appears as a file.

Whoever looks (`Zones.advance`) carries on what is not ended, after an interruption as well: every step of it can be
taken again (docs/hooks.md, "Polled zones").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from inventory.hooks import Zone
from inventory.model import Fleet
from orchestrator.domain.deployment import Deployment, State
from orchestrator.domain.errors import ForbiddenError, LockstepError, UnansweredError, UsageError
from orchestrator.domain.trigger import Claim, Trigger
from orchestrator.domain.zone import Request, Step, apps_of, content, failure, finished, name_of, prepared, success
from orchestrator.ports import Clock, Results, Triggers
from orchestrator.services.deployments import Deploying, Schedule, last_committed
from orchestrator.services.lookup import found
from orchestrator.services.triggers import actor_of, held, serves

#: After so long, what was begun and set off no deployment was interrupted.
INTERRUPTED = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Zones:
    """Taking requests in, and carrying them on."""

    triggers: Triggers
    deploying: Deploying
    results: Results
    clock: Clock

    def take(self, zone: Zone, fleet: Fleet, request: Request) -> None:
        """Claim it. The same request again is no second one."""
        actor = actor_of(zone)
        kept: dict[str, object] = {
            "step": str(request.step),
            "application": request.application,
            "key": request.key,
            "operation": request.operation,
            "file": request.file,
            "apps": apps_of(request, [app.name for app in fleet.apps]),
        }
        if request.step is Step.PREPARE:
            try:
                kept["changes"] = self._changes(fleet, request)
            except LockstepError as error:
                kept["problem"] = str(error)
        shown = {key: value for key, value in kept.items() if key in ("step", "application", "changes", "problem")}
        self.triggers.claim(Claim(actor, request.name, kept, fleet.key, shown))

    def advance(self, zone: Zone, fleet: Fleet, tell: Callable[[str, LockstepError], None]) -> int:
        """Carry on what is not ended, as far as it goes now. How many results have appeared.

        `tell` is told what can't go on now and why; the others do.
        """
        appeared = 0
        for row in self.triggers.unended(actor_of(zone)):
            try:
                result = self._result(zone, fleet, row)
                if result is None:
                    continue
                self.results.put(zone.folder, row.request["file"], content(result))
                self.triggers.end(row.id, result)
                appeared += 1
            except LockstepError as error:
                tell(f"{zone.name}: {row.name}", error)
        return appeared

    def _result(self, zone: Zone, fleet: Fleet, row: Trigger) -> dict[str, str] | None:
        """The result of a request; None while there is none."""
        match Step(row.request["step"]):
            case Step.PREPARE:
                return self._prepare(zone, fleet, row)
            case Step.DEPLOY:
                return self._deploy(zone, fleet, row)
            case Step.UPDATE_CONFIGS:
                return success("Lockstep keeps no configuration: there was nothing to update")
            case Step.UNDEPLOY:
                return self._undeploy(fleet, row)

    def _prepare(self, zone: Zone, fleet: Fleet, row: Trigger) -> dict[str, str] | None:
        if "problem" in row.request:
            return failure(row.request["problem"])
        if row.deployment is not None:
            return self._state(row.deployment, prepared)
        if row.result is None:
            # Where this call is not the one that begins, the next look sees more.
            return self._begin(zone, fleet, row) if self.triggers.begin(row.id) else None
        return self._interrupted(zone, fleet, row, datetime.fromisoformat(row.result["begun"]))

    def _begin(self, zone: Zone, fleet: Fleet, row: Trigger) -> dict[str, str] | None:
        changes, actor = row.request["changes"], actor_of(zone)
        try:
            open_one = self.deploying.ledger.open_deployment(fleet.key)
            if open_one is not None:
                raise held(fleet, open_one)
            if serves(self.deploying, self.deploying.plan(fleet, changes, Schedule(), actor)):
                return success(f"{fleet.key} serves it already")
            deployment = self.deploying.deploy(fleet, changes, Schedule(hold=True), actor)
        except UnansweredError:
            # It may have been written: looked for later.
            return None
        except LockstepError as error:
            return failure(str(error))
        self.triggers.deployed(row.id, deployment.id)
        return None

    def _interrupted(self, zone: Zone, fleet: Fleet, row: Trigger, begun: datetime) -> dict[str, str] | None:
        """Another server is about to deploy, or has died at it.

        A deployment by this zone, of the same changes, that no request names is what the dead one left: a fleet has
        one at a time.
        """
        if self.clock() - begun < INTERRUPTED:
            return None
        left = self.deploying.ledger.open_deployment(fleet.key)
        mine = (
            left is not None
            and left.plan.actor == actor_of(zone)
            and left.created_at >= row.created_at
            and dict(left.plan.changes) == row.request["changes"]
        )
        if left is not None and mine and self.triggers.deployed(row.id, left.id):
            return None
        return failure(f"Lockstep was interrupted before it could deploy; see: lockstep history {fleet.key}")

    def _deploy(self, zone: Zone, fleet: Fleet, row: Trigger) -> dict[str, str] | None:
        before = self.triggers.trigger(
            actor_of(zone), name_of(Step.PREPARE, row.request["key"], row.request["operation"])
        )
        if before is None:
            return failure("this operation was not prepared: prepare comes first")
        if before.deployment is None:
            # Not begun, served already, or failed before there was a deployment.
            return None if before.ended_at is None else dict(before.result or {})
        deployment = found(self.deploying.ledger, before.deployment)
        waits = deployment.state is State.PREPARED and deployment.plan.hold
        if waits and not deployment.plan.four_eyes:
            try:
                self.deploying.proceed(before.deployment, actor_of(zone))
            except ForbiddenError:
                # Somebody else has to: the platform waits as long as its own time limit.
                return None
        return self._state(before.deployment, finished)

    def _undeploy(self, fleet: Fleet, row: Trigger) -> dict[str, str]:
        present = last_committed(self.deploying.ledger, fleet.key)
        served = set() if present is None else {placement.app for placement in present.plan.placements}
        standing = sorted(served & {row.request["application"], *row.request["apps"]})
        if not standing:
            return success(f"{fleet.key} does not serve it")
        return failure(
            f"{fleet.key} still serves {', '.join(standing)}: Lockstep removes an app only when an operator takes it "
            f"off the fleet in the inventory, with the fleet's next deployment"
        )

    def _state(self, number: int, view: Callable[[Deployment], dict[str, str] | None]) -> dict[str, str] | None:
        return view(found(self.deploying.ledger, number))

    def _changes(self, fleet: Fleet, request: Request) -> dict[str, str]:
        """What to deploy: the version that the request names, else each app's newest release."""
        apps = apps_of(request, [app.name for app in fleet.apps])
        if not apps:
            raise UsageError(
                f"{fleet.key} has no app of this application",
                expected=f"as its name, or as one of its modules: {', '.join(app.name for app in fleet.apps)}",
                found=ascii(request.application)[:200],
            )
        return {app: request.version or self._newest(app) for app in apps}

    def _newest(self, app: str) -> str:
        newest = next(iter(self.deploying.ledger.releases(app)), None)
        if newest is None:
            raise UsageError(f"there is no release of {app}", remedy="add one first: lockstep release build")
        return newest.version
