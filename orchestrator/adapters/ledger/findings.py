"""The ledger's findings, and what was done about them: healed, or given up."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from orchestrator.adapters.ledger.actions import findings_action, treatments_action
from orchestrator.adapters.ledger.database import LedgerPart
from orchestrator.adapters.ledger.queries import of_environments
from orchestrator.adapters.ledger.rows import finding_columns, known_of
from orchestrator.adapters.ledger.tables import audits, findings, treatments
from orchestrator.adapters.ledger.trail import append
from orchestrator.domain.audit.audit import Known
from orchestrator.domain.audit.finding import Finding, Identity, Kind
from orchestrator.domain.audit.healing import Treatment
from orchestrator.domain.audit.history import History
from orchestrator.domain.errors import UsageError
from orchestrator.domain.trail import Action

#: For how long it counts what was done about a finding that is open no more.
MEMORY = timedelta(days=30)

_OPEN = findings.c.closed_at.is_(None)
_TREATED = and_(treatments.c.fleet == findings.c.fleet, treatments.c.identity == findings.c.identity)
#: How often a finding was healed.
_HEALED = (
    select(func.count())
    .select_from(treatments)
    .where(_TREATED, treatments.c.treatment == Treatment.HEAL.value)
    .correlate(findings)
    .scalar_subquery()
)
#: When it was given up, from its opening to its end: one that comes back can be given up once more.
_ESCALATED = (
    select(func.min(treatments.c.at))
    .where(
        _TREATED,
        treatments.c.treatment == Treatment.ESCALATE.value,
        treatments.c.audit >= findings.c.first_audit,
        or_(findings.c.closed_by.is_(None), treatments.c.audit < findings.c.closed_by),
    )
    .correlate(findings)
    .scalar_subquery()
)


class SqlFindings(LedgerPart):
    """The findings of `orchestrator.ports.Audits`."""

    def findings(
        self,
        fleet: str | None = None,
        *,
        closed: bool = False,
        limit: int | None = None,
        before: int | None = None,
        environments: Collection[str] | None = None,
    ) -> list[Known]:
        """Findings that are open, or all: newest first, below number `before`, of these environments alone."""
        query = select(findings, _HEALED.label("healed"), _ESCALATED.label("escalated_at"))
        query = query.order_by(findings.c.id.desc()).limit(limit)
        if not closed:
            query = query.where(_OPEN)
        if before is not None:
            query = query.where(findings.c.id < before)
        if environments is not None:
            query = query.where(of_environments(findings.c.fleet, environments))
        if fleet is not None:
            query = query.where(findings.c.fleet == fleet)
        with self._database.reading() as connection:
            return [known_of(row) for row in connection.execute(query).mappings()]

    def healed(self, fleet: str) -> Mapping[Identity, int]:
        """How often each finding was healed, while that counts."""
        mine = (treatments.c.fleet == fleet, treatments.c.treatment == Treatment.HEAL.value)
        query = select(treatments.c.frontend, treatments.c.kind, treatments.c.path)
        with self._database.reading() as connection:
            rows = connection.execute(query.where(*mine, ~_lapsed(fleet, self._clock()))).all()
        return Counter((fleet, frontend, Kind(kind), path) for frontend, kind, path in rows)

    def note_healed(self, number: int, identities: Sequence[Identity]) -> None:
        """Once for each in an audit: the same again is no change."""
        self._note(number, identities, Treatment.HEAL, "finding.healed")

    def note_escalated(self, number: int, identities: Sequence[Identity]) -> None:
        """Once for each from its opening to its end: the same again is no change."""
        self._note(number, identities, Treatment.ESCALATE, "finding.escalated")

    def _note(self, number: int, identities: Sequence[Identity], treatment: Treatment, name: str) -> None:
        now = self._clock()
        with self._database.writing() as connection:
            audit = _held(connection, number)
            wanted = {_digest(each): each for each in identities}
            for noted in _noted(connection, audit, treatment):
                wanted.pop(noted, None)
            if not wanted:
                return
            common = {"audit": number, "fleet": audit["fleet"], "treatment": treatment.value, "at": now}
            rows = [
                {**common, "identity": digest, "frontend": frontend, "kind": kind.value, "path": path}
                for digest, (_, frontend, kind, path) in wanted.items()
            ]
            connection.execute(insert(treatments), rows)
            append(connection, treatments_action(name, audit, tuple(wanted.values())), now)


def keep_findings(connection: Connection, audit: RowMapping, history: History, now: datetime) -> list[Action]:
    """Open, renew and close the findings of an audit that ends. Returns what the trail is to be told.

    What is open is what the rows say: a finding that has one is renewed, whatever `history` took it for.
    """
    open_now = select(findings.c.identity, findings.c.id).where(findings.c.fleet == audit["fleet"], _OPEN)
    stands = {row.identity: row.id for row in connection.execute(open_now)}
    seen = {_digest(each.identity): each for each in (*history.opened, *history.persisting)}
    opened = {digest: each for digest, each in seen.items() if digest not in stands}
    renewed = {stands[digest]: each for digest, each in seen.items() if digest in stands}
    closed = {_digest(each.identity): each for each in history.closed}
    gone = {stands[digest]: each for digest, each in closed.items() if digest in stands}
    _open(connection, audit["id"], opened, now)
    _renew(connection, audit["id"], renewed, now)
    _close(connection, audit["id"], gone, now)
    changes = {"finding.opened": tuple(opened.values()), "finding.closed": tuple(gone.values())}
    return [findings_action(name, audit, changed) for name, changed in changes.items() if changed]


def _open(connection: Connection, audit: int, opened: Mapping[str, Finding], now: datetime) -> None:
    common = {"first_audit": audit, "last_audit": audit, "opened_at": now, "seen_at": now}
    rows = [{**common, **finding_columns(each), "identity": digest} for digest, each in opened.items()]
    if rows:
        connection.execute(insert(findings), rows)


def _renew(connection: Connection, audit: int, persisting: Mapping[int, Finding], now: datetime) -> None:
    change = update(findings).where(findings.c.id == bindparam("number"))
    renew = change.values(
        expected=bindparam("wanted"),
        found=bindparam("came"),
        seriousness=bindparam("rank"),
        last_audit=audit,
        seen_at=now,
    )
    rows = [
        {"number": number, "wanted": each.expected, "came": each.found, "rank": each.seriousness.value}
        for number, each in persisting.items()
    ]
    if rows:
        connection.execute(renew, rows)


def _close(connection: Connection, audit: int, numbers: Iterable[int], now: datetime) -> None:
    change = update(findings).where(findings.c.id == bindparam("number"))
    rows = [{"number": number} for number in numbers]
    if rows:
        connection.execute(change.values(closed_at=now, closed_by=audit), rows)


def forget_treatments(connection: Connection, fleet: str, now: datetime) -> None:
    """Remove what counts no more. When an audit begins: what it then heals must not bring back what was before."""
    connection.execute(delete(treatments).where(treatments.c.fleet == fleet, _lapsed(fleet, now)))


def _lapsed(fleet: str, now: datetime) -> ColumnElement[bool]:
    """Whether a finding is open no more, and was neither closed nor treated of late."""
    since, other = now - MEMORY, treatments.alias()
    known = select(findings.c.identity).where(findings.c.fleet == fleet, or_(_OPEN, findings.c.closed_at >= since))
    late = select(other.c.identity).where(other.c.fleet == fleet, other.c.at >= since)
    return and_(treatments.c.identity.not_in(known), treatments.c.identity.not_in(late))


def _held(connection: Connection, number: int) -> RowMapping:
    """The audit's row, held to the end of the transaction: who notes the same at once waits, and sees it noted."""
    row = connection.execute(select(audits).where(audits.c.id == number).with_for_update()).mappings().one_or_none()
    if row is None:
        raise UsageError(f"there is no audit {number}", remedy="see: lockstep audits list")
    return row


def _noted(connection: Connection, audit: RowMapping, treatment: Treatment) -> Iterable[str]:
    """The findings of which it is noted: by this audit, or given up by an earlier one since they opened."""
    since = exists().where(_TREATED, _OPEN, treatments.c.audit >= findings.c.first_audit)
    mine = treatments.c.audit == audit["id"]
    noted = or_(mine, since) if treatment is Treatment.ESCALATE else mine
    query = select(treatments.c.identity).where(treatments.c.fleet == audit["fleet"], noted)
    return connection.scalars(query.where(treatments.c.treatment == treatment.value))


def _digest(identity: Identity) -> str:
    """Of fixed length, which paths have not."""
    return hashlib.sha256("\0".join(identity).encode()).hexdigest()
