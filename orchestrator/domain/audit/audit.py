"""An audit, and what the ledger knows of a finding: records. Pure; docs/audits.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from orchestrator.domain.audit.finding import Finding


class Cause(StrEnum):
    """What began an audit."""

    OPERATOR = "operator"
    SCHEDULE = "schedule"


class Outcome(StrEnum):
    """How an audit ended. The ledger keeps these words: they are never changed."""

    #: Nothing is wrong, as far as everything was looked at: no finding is open.
    CONSISTENT = "consistent"
    #: Findings are open.
    INCONSISTENT = "inconsistent"
    #: A deployment began meanwhile: what was seen says nothing.
    OVERTAKEN = "overtaken"
    #: It could not be carried out.
    FAILED = "failed"
    #: Whoever ran it is gone.
    LOST = "lost"
    #: It was due while a deployment or another audit held the fleet. Never begun.
    SKIPPED = "skipped"
    #: A later moment of the same schedule had come before anybody looked. Never begun.
    MISSED = "missed"
    #: A deep audit was due at the same moment. Never begun.
    COVERED = "covered"

    @property
    def begun(self) -> bool:
        """Whether anybody looked."""
        return self not in (Outcome.SKIPPED, Outcome.MISSED, Outcome.COVERED)


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """What is asked for.

    `fleet` is the key ``environment/fleet``, `snapshot` the fleet as the inventory gave it. `policy` is a
    `healing.Policy`. `scheduled_at` is the moment of the schedule, without its jitter; None where somebody asked.
    """

    fleet: str
    snapshot: Mapping[str, Any]
    deep: bool
    policy: str
    actor: str
    remove_extra: bool = False
    scheduled_at: datetime | None = None

    @property
    def cause(self) -> Cause:
        """What began it."""
        return Cause.OPERATOR if self.scheduled_at is None else Cause.SCHEDULE


@dataclass(frozen=True, slots=True)
class Audit:
    """An audit's row in the ledger. Times are in UTC.

    `outcome` is None while it is open. `begun_at` is when its row was made. `detail` says how it went: ``epoch``,
    ``frontends``, ``seconds``, ``hashed`` (``files`` and ``bytes``); numbers of findings: ``opened`` and ``closed`` in
    all its looks, ``open`` that are left, ``healed``, ``escalated``; ``healing`` (the deployment's number) and its
    ``troubles``; ``drained`` (names) and ``not_drained`` (why the last one was not); ``problem`` (why it could not be
    carried out), ``reason`` (why it was never begun); each where there is something to say.
    """

    id: int
    plan: AuditPlan
    begun_at: datetime
    outcome: Outcome | None = None
    ended_at: datetime | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Known:
    """A finding in the ledger. Times are in UTC.

    `first` and `last` are the numbers of the audits that saw it first and last; `closed_at` is None while it is open.
    `healed` counts how often it was put right, before it came back or now; `escalated_at` is when it was given up.
    """

    id: int
    finding: Finding
    first: int
    last: int
    opened_at: datetime
    seen_at: datetime
    closed_at: datetime | None = None
    healed: int = 0
    escalated_at: datetime | None = None
