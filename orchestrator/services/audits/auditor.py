"""One audit, from the ledger's word to its end: look, compare, put right where the fleet wants it, look again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from inventory.model import Fleet
from orchestrator.domain.audit.audit import Audit, Known, Outcome
from orchestrator.domain.audit.drift import Drift, drift
from orchestrator.domain.audit.expectation import Expectation
from orchestrator.domain.audit.finding import Finding
from orchestrator.domain.audit.healing import Policy, Treated, Treatment, treat
from orchestrator.domain.audit.history import History, history
from orchestrator.domain.audit.observation import Observation
from orchestrator.domain.deployment import Deployment, Healing
from orchestrator.domain.errors import ConflictError, LockstepError, Problem
from orchestrator.ports import Audits, Ledger, Surveyor
from orchestrator.services.deployments import Deploying
from orchestrator.services.lookup import found
from orchestrator.services.rotation import Rotating

log = structlog.get_logger()

#: How often a healing that others lead is looked at, in seconds.
LOOK_SECONDS = 0.2
FAULT = "see the worker's log; this is a fault in Lockstep"

#: What should be seen of a fleet now, in an audit, with what is known to be wrong.
Expect = Callable[[Fleet, Audit, Sequence[Known]], Expectation]


class OvertakenError(LockstepError):
    """A deployment of the fleet began: what was seen says nothing any more."""


@dataclass(frozen=True, slots=True)
class Auditor:
    """Runs audits in this process. `lead` brings a deployment as far as it can go now."""

    ledger: Ledger
    audits: Audits
    surveyor: Surveyor
    expect: Expect
    deploying: Deploying
    rotating: Rotating
    lead: Callable[[int], None]
    pause: Callable[[float], None] = time.sleep

    def run(self, number: int) -> None:
        """Carry an open audit out to its end, whatever comes: nothing happens to one that has ended."""
        audit = self.audits.audit(number)
        if audit is None or audit.outcome is not None:
            log.info("nothing to audit", audit=number)
            return
        try:
            self._carried_out(audit)
        except OvertakenError as error:
            self.audits.end_audit(number, Outcome.OVERTAKEN, {"problem": error.problem.as_dict()})
        except LockstepError as error:
            log.warning("the audit failed", audit=number, **error.problem.as_dict())
            self.audits.end_audit(number, Outcome.FAILED, {"problem": error.problem.as_dict()})
        except Exception as error:  # a fault of ours must not leave an audit open, which would keep out all others
            log.exception("the audit failed", audit=number)
            fault = Problem("an unexpected error", found=f"{type(error).__name__}: {error}"[:300], remedy=FAULT)
            self.audits.end_audit(number, Outcome.FAILED, {"problem": fault.as_dict()})

    def _carried_out(self, audit: Audit) -> None:
        began = time.monotonic()
        fleet = Fleet.model_validate(audit.plan.snapshot)
        known = self.audits.findings(fleet.key)
        # Before anything is read that a deployment would change.
        newest = self._newest(fleet.key)
        looked = self._look(fleet, audit, known)
        self._refuse_overtaken(fleet.key, newest)
        told = looked.history(known)
        done: dict[str, Any] = {"opened": len(told.opened)}
        treated = treat(
            looked.drift.findings,
            Policy(audit.plan.policy),
            looked.expectation.rotation,
            self.audits.healed(fleet.key),
            remove_extra=audit.plan.remove_extra,
        )
        self._escalate(audit, treated, done)
        self._drain(fleet, audit, looked, treated, done)
        wanted = [each.finding for each in treated if each.treatment is Treatment.HEAL]
        if wanted:
            # What is put right is known with what it was, though it is gone in the end.
            self.audits.note_findings(audit.id, told)
            healed = self._heal(fleet, audit, wanted, newest, done)
            known = self.audits.findings(fleet.key)
            looked = self._look(fleet, audit, known)
            self._refuse_overtaken(fleet.key, healed)
            told = looked.history(known)
            left = {finding.identity for finding in looked.drift.findings}
            done["healed"] = sum(finding.identity not in left for finding in wanted)
        outcome = Outcome.CONSISTENT if told.consistent else Outcome.INCONSISTENT
        done |= {"open": len(told.open), "closed": len(told.closed)}
        detail = {**looked.detail(), **done, "seconds": round(time.monotonic() - began, 3)}
        self.audits.end_audit(audit.id, outcome, detail, told)

    def _look(self, fleet: Fleet, audit: Audit, known: Sequence[Known]) -> Looked:
        expectation = self.expect(fleet, audit, known)
        seen = self.surveyor.survey(audit.plan.snapshot, expectation)
        return Looked(expectation, drift(expectation, seen), seen.frontends)

    def _newest(self, fleet: str) -> int:
        """The fleet's newest deployment, which has ended; `OvertakenError` while one is open."""
        row = next(iter(self.ledger.history(fleet, 1)), None)
        if row is None or not row.state.ended:
            raise _overtaken(fleet, row)
        return row.id

    def _refuse_overtaken(self, fleet: str, newest: int) -> None:
        row = next(iter(self.ledger.history(fleet, 1)), None)
        if row is None or row.id != newest:
            raise _overtaken(fleet, row)

    def _escalate(self, audit: Audit, treated: Iterable[Treated], done: dict[str, Any]) -> None:
        given_up = [each.finding for each in treated if each.treatment is Treatment.ESCALATE]
        if given_up:
            self.audits.note_escalated(audit.id, [finding.identity for finding in given_up])
            done["escalated"] = len(given_up)

    def _drain(
        self, fleet: Fleet, audit: Audit, looked: Looked, treated: Iterable[Treated], done: dict[str, Any]
    ) -> None:
        """Out of rotation: no more at once than the fleet's `max_drained`, or one; and nobody where all look wrong."""
        wanted = {each.finding.frontend: each.finding for each in treated if each.treatment is Treatment.DRAIN}
        standings = list(looked.expectation.rotation.values())
        serving = sum(standing.serves for standing in standings)
        room = max(1, fleet.policy.max_drained) - (len(standings) - serving)
        drained = []
        if len(wanted) == serving > 0:
            done["not_drained"] = everybody(fleet.key).as_dict()
            wanted = {}
        for frontend, finding in list(wanted.items())[: max(0, room)]:
            reason = f"audit {audit.id}: {finding.what}"
            try:
                self.rotating.drain(fleet, frontend, audit.plan.actor, reason)
            except ConflictError as error:
                log.warning("not drained", frontend=frontend, **error.problem.as_dict())
                done["not_drained"] = error.problem.as_dict()
            else:
                drained.append(frontend)
        if len(wanted) > max(0, room):
            done["not_drained"] = no_room(fleet.key, sorted(set(wanted) - set(drained)), room).as_dict()
        if drained:
            done["drained"] = drained

    def _heal(self, fleet: Fleet, audit: Audit, wanted: Sequence[Finding], newest: int, done: dict[str, Any]) -> int:
        """Put these right, under the fleet's lock. Returns the deployment's number, once it has ended."""
        healing = Healing(audit.id, self.audits.highest_epoch(fleet.key), audit.plan.remove_extra)
        frontends = sorted({finding.frontend for finding in wanted})
        plan = self.deploying.plan_heal(fleet, frontends, healing, audit.plan.actor, newest)
        standing = self.audits.audit(audit.id)
        if standing is None or standing.outcome is not None:
            raise OvertakenError(f"audit {audit.id} was ended meanwhile: whoever ran it seemed to be gone")
        try:
            number = self.ledger.plan(plan).id
        except ConflictError as error:
            raise OvertakenError(**error.problem.as_dict()) from error
        # Counted before it is tried: what can't be put right is given up all the same.
        self.audits.note_healed(audit.id, [finding.identity for finding in wanted])
        ended = self._led(number, fleet)
        done["healing"] = number
        if ended.troubles:
            done["troubles"] = [trouble.as_dict() for trouble in ended.troubles]
        return number

    def _led(self, number: int, fleet: Fleet) -> Deployment:
        """Led to its end: here, or by a lookout that was first."""
        self.lead(number)
        deadline = time.monotonic() + fleet.policy.stage_seconds + fleet.policy.verify_seconds
        while not (row := found(self.ledger, number)).state.ended:
            if time.monotonic() > deadline:
                raise _overtaken(fleet.key, row)
            self.pause(LOOK_SECONDS)
        return row


@dataclass(frozen=True, slots=True)
class Looked:
    """What was expected, what came of the comparison, and what it took."""

    expectation: Expectation
    drift: Drift
    frontends: Mapping[str, Observation]

    def history(self, known: Iterable[Known]) -> History:
        """What came of the findings that were open before, and what is new."""
        return history((each.finding for each in known), self.drift.findings, self.drift.coverage.settles)

    def detail(self) -> dict[str, Any]:
        """For the audit's row."""
        hashed = [observed.hashed for observed in self.frontends.values()]
        return {
            "epoch": self.expectation.name.epoch,
            "frontends": len(self.expectation.rotation),
            "hashed": {"files": sum(files for files, _ in hashed), "bytes": sum(size for _, size in hashed)},
        }


def _overtaken(fleet: str, row: Deployment | None) -> OvertakenError:
    return OvertakenError(
        f"{fleet} was moved while it was audited",
        expected="no deployment from the audit's start to its end",
        found="no deployment" if row is None else f"deployment {row.id}, {row.state}",
        remedy=f"audit it again: lockstep audit {fleet}",
    )


def everybody(fleet: str) -> Problem:
    """All frontends look wrong: then it is not the frontends."""
    return Problem(
        f"every frontend of {fleet} in rotation shows clients something wrong: none was drained",
        remedy="see what they have in common: the web server's configuration, or an upgrade",
    )


def no_room(fleet: str, frontends: Sequence[str], room: int) -> Problem:
    """More frontends look wrong than may be out."""
    return Problem(
        f"not all were drained that show clients something wrong: {', '.join(frontends)}",
        expected=f"{max(0, room)} more out of rotation at most (policy: max_drained, at least 1)",
        found=f"{len(frontends)} that should be",
        remedy=f"look at them, then: lockstep drain {fleet} FRONTEND",
    )
