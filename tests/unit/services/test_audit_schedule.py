"""The schedule of audits over time: every moment has one row, whatever dies; never two audits of a fleet."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from inventory.cron import earlier, latest
from inventory.model import Audits as Schedule
from inventory.model import Environment, Fleet, Inventory
from orchestrator.adapters.ledger.audits import SqlAudits
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.domain.audit.audit import Audit, Outcome
from orchestrator.domain.deployment import Decision, State
from orchestrator.domain.errors import UnansweredError
from orchestrator.domain.trail import ITSELF
from orchestrator.ports import Lease, audit_of
from orchestrator.services.audits.auditing import Auditing
from orchestrator.services.audits.schedule import MOST_OPEN, START, Scheduling, lost
from tests.empty_ledger import empty_ledger
from tests.integration.ledgers import advance, plan
from tests.unit.services.fleets import Clock, fleet

SCHEDULES = {
    "web": Schedule(quick="0 * * * *", deep="0 3 * * *", jitter_seconds=600),
    "shop": Schedule(quick="*/30 8-18 * * MON-FRI", jitter_seconds=0),
    "docs": Schedule(deep="15 */6 * * *", quick="15 * 1,3,5 * 0", jitter_seconds=3600),
}
TICK = timedelta(minutes=10)
WEEK = timedelta(days=7)


@dataclass
class Redis:
    """Who holds what; `broken`: it does not answer."""

    names: set[str] = field(default_factory=set)
    broken: bool = False

    def take(self, name: str) -> Lease | None:
        raise AssertionError(f"nobody takes {name}")

    def held(self, names: Sequence[str]) -> frozenset[str]:
        if self.broken:
            raise UnansweredError("Redis can't say who leads")
        return frozenset(self.names & set(names))


@dataclass
class Workers:
    """Takes the audits that are handed over."""

    handed: list[int] = field(default_factory=list)
    broken: bool = False

    def audit(self, number: int) -> None:
        if self.broken:
            raise UnansweredError("the broker may not have taken the work")
        self.handed.append(number)


class Site:
    """Fleets with schedules, a ledger, and whoever looks."""

    def __init__(self, directory: Path, schedules: dict[str, Schedule]) -> None:
        engine = empty_ledger(directory / "ledger.sqlite")
        self.clock = Clock()
        self.began = self.clock.now
        self.ledger, self.audits = SqlLedger(engine, self.clock), SqlAudits(engine, self.clock)
        self.workers, self.redis = Workers(), Redis()
        self.fleets = tuple(fleet().model_copy(update={"name": n, "audits": s}) for n, s in schedules.items())
        inventory = Inventory(fleets=self.fleets, environments=(Environment(name="Production"),))
        auditing = Auditing(self.ledger, self.audits, self.workers)
        self.scheduling = Scheduling(auditing, lambda: inventory, self.clock)

    def serve(self) -> None:
        """Every fleet serves something."""
        for each in self.fleets:
            advance(self.ledger, self.ledger.plan(plan(each.key)).id, State.DONE)

    def tick(self, beats: int = 1) -> None:
        """What beats at the same moment have done."""
        with ThreadPoolExecutor(beats) as pool:
            for done in [pool.submit(self._look) for _ in range(beats)]:
                done.result()

    def _look(self) -> None:
        lost(self.audits, self.redis, self.clock, lambda _: None)
        self.scheduling.due()

    def rows(self, key: str | None = None) -> list[Audit]:
        return self.audits.audits(key, 100_000)


class Disturbance:
    """What happens between two looks, by a seed."""

    def __init__(self, site: Site, seed: int) -> None:
        self.site, self.chance = site, random.Random(seed)
        self.deployments: list[tuple[int, datetime]] = []
        self.running: dict[int, datetime] = {}

    def step(self) -> None:
        site, now = self.site, self.site.clock.now
        for number in site.workers.handed:
            if self.chance.random() < 0.9:  # else its worker dies at once
                self.running[number] = now + timedelta(minutes=self.chance.choice([0, 4, 9, 40]))
                site.redis.names.add(audit_of(number))
        site.workers.handed.clear()
        for number, until in list(self.running.items()):
            if until <= now:
                del self.running[number]
                site.redis.names.discard(audit_of(number))
                if self.chance.random() < 0.9:  # else its worker dies at the end
                    site.audits.end_audit(number, Outcome.CONSISTENT, {})
        self._deploy(now)

    def _deploy(self, now: datetime) -> None:
        for number, until in [each for each in self.deployments if each[1] <= now]:
            assert self.site.ledger.decide(number, Decision.ABORT, []) is Decision.ABORT
            self.site.ledger.move(number, State.ABORTING, State.ABORTED)
            self.deployments.remove((number, until))
        if self.chance.random() < 0.02 and not self.deployments:
            made = self.site.ledger.plan(plan(self.chance.choice(self.site.fleets).key))
            self.deployments.append((made.id, now + timedelta(minutes=self.chance.choice([4, 70, 200]))))


def counted(row: Audit) -> int:
    """For how many moments a row stands."""
    return int(row.detail["reason"].rpartition(" ")[2]) if row.outcome is Outcome.MISSED else 1


def moments(expression: str, begin: datetime, end: datetime) -> list[datetime]:
    """All moments after `begin` until `end`, the latest first."""
    found = [latest(expression, end)]
    for moment in earlier(expression, found[0]):
        if moment <= begin:
            return found
        found.append(moment)
    raise AssertionError("a schedule has no first moment")


def check(site: Site, each: Fleet, expression: str, *, deep: bool) -> None:
    """Every moment of the schedule, from its start to the last row, has exactly one row, alone or counted."""
    rows = {row.plan.scheduled_at: row for row in site.rows(each.key) if row.plan.deep == deep}
    left = moments(expression, site.began, max(moment for moment in rows if moment))
    while left:
        row = rows.pop(left[0])
        del left[: counted(row)]
    assert not rows


def test_a_week_in_which_everything_dies_leaves_one_row_for_every_moment(tmp_path: Path) -> None:
    site = Site(tmp_path, SCHEDULES)
    site.serve()
    world, chance = Disturbance(site, 0), random.Random(0)
    silent = site.began
    site.tick()
    while site.clock.now < site.began + WEEK:
        site.clock.now += TICK
        world.step()
        if chance.random() < 0.01:
            silent = site.clock.now + timedelta(hours=chance.choice([0.2, 1, 3, 9]))
        if silent <= site.clock.now:
            site.tick(beats=chance.choice([1, 1, 1, 2]))
        held = Counter(audit.plan.fleet for audit in site.audits.open_audits())
        assert all(number == 1 for number in held.values())
    for each in site.fleets:
        for deep, expression in ((False, each.audits.quick), (True, each.audits.deep)):
            if expression is not None:
                check(site, each, expression, deep=deep)
    outcomes = Counter(row.outcome for row in site.rows())
    for outcome in (Outcome.CONSISTENT, Outcome.LOST, Outcome.SKIPPED, Outcome.MISSED, Outcome.COVERED):
        assert outcomes[outcome] > 0, outcome


def test_where_beat_is_always_there_no_moment_is_missed(tmp_path: Path) -> None:
    site = Site(tmp_path, SCHEDULES)
    site.serve()
    site.tick()
    while site.clock.now < site.began + timedelta(days=1):
        site.clock.now += TICK
        for number in site.workers.handed:
            site.audits.end_audit(number, Outcome.CONSISTENT, {})
        site.workers.handed.clear()
        site.tick()
    assert {row.outcome for row in site.rows() if row.outcome} == {Outcome.CONSISTENT, Outcome.COVERED}


@pytest.fixture
def hourly(tmp_path: Path) -> Site:
    """A fleet that is audited every hour; its schedule has begun."""
    site = Site(tmp_path, {"web": Schedule(quick="0 * * * *", jitter_seconds=0)})
    site.serve()
    site.tick()
    return site


def test_nothing_runs_for_the_past_nor_for_a_fleet_that_serves_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, {"web": Schedule(quick="0 * * * *", jitter_seconds=0)})
    for _ in range(3):
        site.tick()
        site.clock.pass_hours(1)
    assert site.audits.last_scheduled(site.fleets[0].key, deep=False) is None
    site.serve()
    site.tick()
    assert site.rows() == []
    site.clock.pass_hours(1)
    site.tick()
    (row,) = site.rows()
    assert (row.plan.actor, row.plan.scheduled_at, row.outcome) == (ITSELF, site.clock.now, None)
    assert site.workers.handed == [row.id]


def test_a_moment_at_which_a_deployment_holds_the_fleet_is_skipped_for_good(hourly: Site) -> None:
    holder = hourly.ledger.plan(plan(hourly.fleets[0].key))
    hourly.clock.pass_hours(1)
    hourly.tick()
    advance(hourly.ledger, holder.id, State.DONE)
    hourly.tick()
    (row,) = hourly.rows()
    assert (row.outcome, hourly.workers.handed) == (Outcome.SKIPPED, [])
    assert row.detail["reason"] == f"deployment {holder.id} of Production/web is open"


def test_a_moment_that_comes_while_an_audit_runs_waits_for_its_end(hourly: Site) -> None:
    asked = hourly.scheduling.auditing.begin(hourly.fleets[0], "ann")
    hourly.redis.names.add(audit_of(asked.id))
    hourly.clock.pass_hours(1)
    hourly.tick()
    assert [row.id for row in hourly.rows()] == [asked.id]
    hourly.audits.end_audit(asked.id, Outcome.CONSISTENT, {})
    hourly.tick()
    assert (hourly.rows()[0].plan.scheduled_at, hourly.rows()[0].outcome) == (hourly.clock.now, None)


def test_many_fleets_at_one_moment_take_turns(tmp_path: Path) -> None:
    schedule = Schedule(quick="0 * * * *", jitter_seconds=0)
    site = Site(tmp_path, {f"web{number}": schedule for number in range(MOST_OPEN + 2)})
    site.serve()
    site.tick()
    site.clock.pass_hours(1)
    site.tick()
    assert len(site.audits.open_audits()) == MOST_OPEN
    site.audits.end_audit(site.workers.handed[0], Outcome.CONSISTENT, {})
    site.tick()
    assert len(site.workers.handed) == MOST_OPEN + 1


def test_where_nobody_can_be_asked_the_audit_has_failed_and_other_fleets_have_theirs(tmp_path: Path) -> None:
    schedule = Schedule(quick="0 * * * *", jitter_seconds=0)
    site = Site(tmp_path, {"web": schedule, "shop": schedule})
    site.serve()
    site.tick()
    site.workers.broken = True
    site.clock.pass_hours(1)
    site.tick()
    assert [(row.plan.fleet, row.outcome) for row in site.rows()] == [
        ("Production/shop", Outcome.FAILED),
        ("Production/web", Outcome.FAILED),
    ]


def test_an_audit_whose_lease_nobody_holds_is_lost_after_its_grace(hourly: Site) -> None:
    hourly.clock.pass_hours(1)
    hourly.tick()
    (number,) = hourly.workers.handed
    hourly.clock.now += START
    hourly.tick()
    assert hourly.rows()[0].outcome is None
    hourly.clock.now += timedelta(seconds=1)
    for held, broken in ((True, False), (False, True)):
        hourly.redis.names, hourly.redis.broken = {audit_of(number)} if held else set(), broken
        hourly.tick()
        assert hourly.rows()[0].outcome is None
    hourly.redis.broken = False
    hourly.tick()
    assert hourly.rows()[0].outcome is Outcome.LOST


def test_a_lease_that_is_taken_anew_between_two_looks_is_not_lost(hourly: Site) -> None:
    hourly.clock.pass_hours(1)
    hourly.tick()
    (number,) = hourly.workers.handed
    hourly.clock.pass_hours(0.1)
    lost(hourly.audits, hourly.redis, hourly.clock, lambda _: hourly.redis.names.add(audit_of(number)))
    assert hourly.rows()[0].outcome is None
