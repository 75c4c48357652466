"""The use cases of deployments: deploy, roll back, continue, abort. They write the ledger and hand work to workers."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from inventory.model import Fleet, MountedApp
from orchestrator.domain.access import same_person
from orchestrator.domain.activation import Activation, ActivationName, Placement, digests
from orchestrator.domain.deployment import Decision, Deployment, Healing, Kind, Plan, State, Trouble
from orchestrator.domain.errors import ConflictError, ForbiddenError, LockstepError, Problem, UsageError
from orchestrator.domain.update import NO_CONSENT, Consent
from orchestrator.ota.layouts import layout
from orchestrator.ports import Artifacts, Builds, Clock, Deployments, Dispatch, Ledger
from orchestrator.services.lookup import found
from orchestrator.services.releases import described
from orchestrator.services.rotation import known_frontend, present_rotation
from orchestrator.services.updates import Updating


@dataclass(frozen=True, slots=True)
class Schedule:
    """Whether to stop before the flip, and until when. Times are in UTC."""

    hold: bool = False
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Deploying:
    """Moving fleets to other releases."""

    ledger: Ledger
    artifacts: Artifacts
    dispatch: Dispatch
    clock: Clock
    builds: Builds

    @property
    def updating(self) -> Updating:
        """What plans mean for clients."""
        return Updating(self.ledger, self.artifacts, self.builds, self.clock)

    def deploy(
        self,
        fleet: Fleet,
        changes: Mapping[str, str],
        schedule: Schedule,
        actor: str,
        consent: Consent = NO_CONSENT,
    ) -> Deployment:
        """Plan a deployment of `changes` (app -> version), and have a worker coordinate it.

        `ConflictError` where it does to installed apps what `consent` does not confirm.
        """
        return self._start(self._agreed(fleet, self.plan(fleet, changes, schedule, actor), consent))

    def rollback(
        self, fleet: Fleet, epoch: int | None, schedule: Schedule, actor: str, consent: Consent = NO_CONSENT
    ) -> Deployment:
        """Plan a deployment of what the fleet served at `epoch`, or before the present one; and have it coordinated.

        `ConflictError` as in `deploy`.
        """
        return self._start(self._agreed(fleet, self.plan_rollback(fleet, epoch, schedule, actor), consent))

    def readmit(self, fleet: Fleet, frontends: Sequence[str], actor: str) -> Deployment:
        """Have drained or new frontends brought to what the fleet serves, proven, and back into rotation.

        Raises:
            UsageError: The fleet has no such frontend, or serves nothing yet.
            ConflictError: One of them is in rotation.
        """
        after = self._newest(fleet)
        present = last_committed(self.ledger, fleet.key)
        if present is None:
            raise UsageError(
                f"{fleet.key} serves nothing yet",
                remedy=f"all of its frontends are in the first deployment: lockstep deploy {fleet.key} APP=VERSION",
            )
        readmits = {name: self._to_readmit(fleet, name, actor) for name in dict.fromkeys(frontends)}
        placements = present.plan.placements
        names = tuple(readmits)
        plan = self._whole(fleet, Kind.READMIT, {}, placements, Schedule(), actor, names, after, placements)
        return self._start(replace(plan, readmits=readmits))

    def plan_heal(self, fleet: Fleet, frontends: Sequence[str], healing: Healing, actor: str, after: int) -> Plan:
        """What putting these frontends right would be, at what the fleet serves. Changes nothing.

        `after` is the fleet's newest deployment at the time of the audit that asks for it.
        """
        present = last_committed(self.ledger, fleet.key)
        if present is None:
            raise UsageError(f"{fleet.key} serves nothing yet: there is nothing to put right")
        placements = present.plan.placements
        names = tuple(frontends)
        plan = self._whole(fleet, Kind.HEAL, {}, placements, Schedule(), actor, names, after, placements)
        return replace(plan, healing=healing)

    def _to_readmit(self, fleet: Fleet, name: str, actor: str) -> int:
        """The drain that is to end. A new frontend gets one first, so that it is let in by the same way."""
        known_frontend(fleet, name)
        standing = next((drain for drain in self.ledger.drains(fleet.key) if drain.frontend == name), None)
        if standing is not None:
            return standing.number
        if name not in present_rotation(self.ledger, fleet).new:
            raise ConflictError(f"{name} is in rotation already", remedy=f"see: lockstep status {fleet.key}")
        return self.ledger.add_drain(fleet.key, name, fleet.model_dump(mode="json"), actor, "new").number

    def plan(self, fleet: Fleet, changes: Mapping[str, str], schedule: Schedule, actor: str) -> Plan:
        """What a deployment would be. Changes nothing. `UsageError` for apps or versions that do not exist."""
        after = self._newest(fleet)
        mounted = {app.name: app for app in fleet.apps}
        for app in changes:
            if app not in mounted:
                raise UsageError(f"fleet {fleet.key} has no app {app}", expected=_listed(mounted), found=app)
        placements = {app: self._placement(fleet, mounted[app], version) for app, version in changes.items()}
        present = last_committed(self.ledger, fleet.key)
        before = () if present is None else present.plan.placements
        for placement in before:
            if placement.app in mounted:
                placements.setdefault(placement.app, self._moved(fleet, placement, mounted[placement.app]))
        everybody = self._in_rotation(fleet)
        served = tuple(sorted(placements.values()))
        return self._whole(fleet, Kind.DEPLOY, changes, served, schedule, actor, everybody, after, before)

    def plan_rollback(self, fleet: Fleet, epoch: int | None, schedule: Schedule, actor: str) -> Plan:
        """What a rollback would be. Changes nothing. `UsageError` where there is nothing to go back to."""
        after = self._newest(fleet)
        committed = self.ledger.committed(fleet.key)
        if not committed:
            raise UsageError(f"{fleet.key} was never deployed to", remedy=f"lockstep deploy {fleet.key} APP=VERSION")
        target = next((d for d in committed if d.epoch == epoch), None)
        if epoch is None:
            now = _releases(committed[0].plan.placements)
            target = next((d for d in committed if _releases(d.plan.placements) != now), None)
        if target is None:
            epochs = ", ".join(str(d.epoch) for d in committed[:20])
            wanted = "an earlier activation" if epoch is None else f"epoch {epoch}"
            raise UsageError(f"{fleet.key} never served {wanted}", expected=f"one of the epochs {epochs}")
        mounted = {app.name: app for app in fleet.apps}
        staying = [p for p in target.plan.placements if p.app in mounted]
        placements = tuple(sorted(self._moved(fleet, p, mounted[p.app]) for p in staying))
        changes = {p.app: p.version for p in placements}
        everybody = self._in_rotation(fleet)
        before = committed[0].plan.placements
        return self._whole(fleet, Kind.ROLLBACK, changes, placements, schedule, actor, everybody, after, before)

    def proceed(self, number: int, actor: str) -> Deployment:
        """Let a held deployment go on, or carry on one whose outcome is open.

        Raises:
            ConflictError: It has ended, or is not held.
            ForbiddenError: Its fleet asks for four eyes, and `actor` is who planned it.
        """
        deployment = found(self.ledger, number)
        if deployment.state.ended:
            raise ConflictError(f"deployment {number} has ended: {deployment.state}", remedy="plan a new one")
        if deployment.decision is None:
            if deployment.state not in (State.PLANNED, State.PREPARED):
                raise ConflictError(
                    f"deployment {number} is not held",
                    expected=f"state {State.PREPARED}",
                    found=f"state {deployment.state}",
                    remedy=f"wait for it: lockstep deployments show {number}; or end it: lockstep abort {number}",
                )
            _refuse_same_eyes(deployment, actor)
            self.ledger.release_hold(number, actor=actor)
        self.ledger.note_troubles(number, [])
        self.dispatch.coordinate(number)
        return found(self.ledger, number)

    def abort(self, number: int, actor: str) -> Deployment:
        """Write the decision to abort, and have the frontends disarmed. `ConflictError` after the commit."""
        deployment = found(self.ledger, number)
        asked = Problem("an operator aborted it", found=actor)
        stands = self.ledger.decide(number, Decision.ABORT, [Trouble("abort", "", asked.as_dict())], actor=actor)
        if stands is not Decision.ABORT:
            raise ConflictError(
                f"deployment {number} was committed: it can't be aborted",
                found=f"state {found(self.ledger, number).state}",
                remedy=f"go back with a new deployment: lockstep rollback {deployment.plan.fleet}",
            )
        if not found(self.ledger, number).state.ended:
            self.dispatch.coordinate(number)
        return found(self.ledger, number)

    # ── below ──

    def _newest(self, fleet: Fleet) -> int:
        """The fleet's newest deployment, to be read before anything that it decides: 0 where there is none.

        An open one, which still moves things, is nothing to plan on: nothing comes after -1.
        """
        newest = next(iter(self.ledger.history(fleet.key, 1)), None)
        if newest is None:
            return 0
        return newest.id if newest.state.ended else -1

    def _start(self, plan: Plan) -> Deployment:
        deployment = self.ledger.plan(plan)
        try:
            self.dispatch.coordinate(deployment.id)
        except LockstepError as error:
            # Nobody was asked to do anything yet. If the message arrives after all, its coordinator finds this.
            problem = error.problem.as_dict()
            if self.ledger.decide(deployment.id, Decision.ABORT, [Trouble("plan", "", problem)]) is not Decision.ABORT:
                raise
            self.ledger.move(deployment.id, State.ABORTING, State.ABORTED)
            # What is known now is more than the error says: nothing was changed, and the fleet is free again.
            raise LockstepError(**problem) from error
        return deployment

    def _in_rotation(self, fleet: Fleet) -> tuple[str, ...]:
        serving = present_rotation(self.ledger, fleet).serving
        if not serving:
            raise UsageError(
                f"no frontend of {fleet.key} is in rotation",
                expected="at least one",
                remedy=f"bring one in first: lockstep readmit {fleet.key} FRONTEND",
            )
        return serving

    def _agreed(self, fleet: Fleet, plan: Plan, consent: Consent) -> Plan:
        self.updating.agree(fleet, plan.updates, consent, plan.actor)
        return plan

    def _moved(self, fleet: Fleet, placement: Placement, app: MountedApp) -> Placement:
        """The same release where the app is mounted now, for the builds that are out there now."""
        builds = self.updating.in_the_field(fleet, app.name)
        return Placement(placement.app, app.mount, placement.version, placement.digest, builds)

    def _placement(self, fleet: Fleet, app: MountedApp, version: str) -> Placement:
        record = self.ledger.release(app.name, version)
        if record is None:
            known = [r.version for r in self.ledger.releases(app.name)]
            near = difflib.get_close_matches(version, known, n=3)
            raise UsageError(
                f"there is no release {app.name} {version}",
                expected=_listed(near or known[:10]) if known else "a release that was built",
                remedy=f"lockstep release build DIR --app {app.name} --version {version}",
            )
        return Placement(app.name, app.mount, version, record.digest, self.updating.in_the_field(fleet, app.name))

    def _whole(
        self,
        fleet: Fleet,
        kind: Kind,
        changes: Mapping[str, str],
        placements: tuple[Placement, ...],
        schedule: Schedule,
        actor: str,
        frontends: tuple[str, ...],
        after: int,
        before: Sequence[Placement],
    ) -> Plan:
        """The plan of moving on from `before`, after a look at its layout.

        What can't lie on a frontend is refused before anything is sent.
        """
        if not placements:
            raise UsageError(f"nothing would be served by {fleet.key}", expected="at least one app of the fleet")
        releases = {digest: described(self.artifacts, digest) for digest in digests(placements)}
        layout(Activation.of(ActivationName(1, "0" * 16), placements), releases)
        hold = _is_held(fleet, kind, schedule)
        begins = schedule.due_at or self.clock()
        return Plan(
            fleet=fleet.key,
            kind=kind,
            changes=dict(changes),
            placements=placements,
            frontends=frontends,
            snapshot=fleet.model_dump(mode="json"),
            actor=actor,
            hold=hold,
            due_at=schedule.due_at,
            expires_at=begins + timedelta(hours=fleet.policy.hold_hours) if hold else None,
            updates=self.updating.updates(fleet, before, placements),
            after=after,
        )


def _is_held(fleet: Fleet, kind: Kind, schedule: Schedule) -> bool:
    """Whether to stop before the flip. `UsageError` for a time where somebody else has to let it go on."""
    if not kind.moves or not fleet.four_eyes:
        return schedule.hold or schedule.due_at is not None
    if schedule.due_at is not None:
        raise UsageError(
            f"{fleet.key} can't be moved at a time: {fleet.environment} asks for four eyes",
            expected="no time: somebody else has to let it go on",
            found=f"{schedule.due_at:%Y-%m-%d %H:%M} UTC",
            remedy="deploy without a time: it is held until somebody else continues it",
        )
    return True


def _refuse_same_eyes(deployment: Deployment, actor: str) -> None:
    if deployment.plan.four_eyes and same_person(actor, deployment.plan.actor):
        raise ForbiddenError(
            f"{deployment.plan.fleet} asks for four eyes: who deploys can't be who continues",
            where=f"deployment {deployment.id}",
            expected=f"somebody else than {deployment.plan.actor}",
            found=actor,
            remedy=f"ask somebody else: lockstep continue {deployment.id}; or end it: lockstep abort {deployment.id}",
        )


def last_committed(ledger: Deployments, fleet: str) -> Deployment | None:
    """What the fleet serves, according to the ledger."""
    return next(iter(ledger.committed(fleet, limit=1)), None)


def previous_committed(ledger: Deployments, deployment: Deployment) -> Deployment | None:
    """What the fleet served before this deployment."""
    return next(iter(ledger.committed(deployment.plan.fleet, before=deployment.epoch, limit=1)), None)


def _releases(placements: Sequence[Placement]) -> list[tuple[str, str, str]]:
    """What is served where, whoever is offered it."""
    return [(p.app, p.mount, p.digest) for p in placements]


def _listed(names: Mapping[str, object] | list[str]) -> str:
    return ", ".join(sorted(names)) or "none"
