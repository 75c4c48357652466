"""The lookout: what nobody leads is led, what somebody leads is left alone, and holds end at their time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.domain.deployment import Decision, Deployment, State, Trouble
from orchestrator.domain.errors import UnansweredError
from orchestrator.ports import Lease, lead_of
from orchestrator.services.deployments import Schedule
from orchestrator.services.recovery import GRACE_SECONDS, RETRY_SECONDS, START, Lookout
from tests.unit.services.fleets import World, fleet


@dataclass
class Leads:
    """Leases that are held as a test says; `silent`: Redis does not answer."""

    taken: set[str] = field(default_factory=set)
    silent: bool = False

    def take(self, name: str) -> Lease | None:
        raise AssertionError(f"whoever looks takes no lease: {name}")

    def held(self, names: Sequence[str]) -> frozenset[str]:
        if self.silent:
            raise UnansweredError("Redis can't say who leads")
        return frozenset(self.taken & set(names))


class Watch:
    """A lookout, its leases, and a clock that goes on by what each look says."""

    def __init__(self, world: World) -> None:
        self.leads = Leads()
        self._now = 0.0
        self._lookout = Lookout(world.ledger, self.leads, world.clock, lambda: self._now)

    def looks(self, after: float = 0.0) -> list[int]:
        self._now += after
        return self._lookout.look()

    def leads_at_last(self) -> list[int]:
        """What is led once the grace is over."""
        assert self.looks() == []
        return self.looks(GRACE_SECONDS)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World.at(tmp_path)
    made.release("ToDo", "1.0.0")
    return made


@pytest.fixture
def watch(world: World) -> Watch:
    return Watch(world)


def planned(world: World, schedule: Schedule | None = None) -> Deployment:
    return world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, schedule or Schedule(), "ann")


def held(world: World, schedule: Schedule) -> Deployment:
    made = planned(world, schedule)
    world.carry_out(made)
    return made


def row(world: World, number: int) -> Deployment:
    found = world.ledger.deployment(number)
    assert found is not None
    return found


# ── holds ──


def test_a_hold_without_a_time_waits_for_its_expiry_and_is_then_aborted(world: World, watch: Watch) -> None:
    made = held(world, Schedule(hold=True))
    world.clock.pass_hours(95)
    assert watch.leads_at_last() == []
    assert row(world, made.id).state is State.PREPARED
    world.clock.pass_hours(1)
    assert watch.leads_at_last() == [made.id]
    after = row(world, made.id)
    assert (after.decision, after.state) == (Decision.ABORT, State.ABORTING)
    assert after.troubles[0].problem["what"] == "the hold expired"


def test_a_hold_with_a_time_goes_on_then(world: World, watch: Watch) -> None:
    made = held(world, Schedule(due_at=world.clock.now + timedelta(hours=2)))
    world.clock.pass_hours(1)
    assert watch.leads_at_last() == []
    world.clock.pass_hours(1)
    assert watch.leads_at_last() == [made.id]
    after = row(world, made.id)
    assert (after.decision, after.plan.hold) == (None, False)


def test_a_hold_that_was_released_but_whose_message_got_lost_goes_on(world: World, watch: Watch) -> None:
    made = held(world, Schedule(hold=True))
    world.ledger.release_hold(made.id)
    assert watch.leads_at_last() == [made.id]


def test_a_hold_that_somebody_leads_out_of_is_left_alone(world: World, watch: Watch) -> None:
    made = held(world, Schedule(hold=True))
    world.ledger.release_hold(made.id)
    watch.leads.taken.add(lead_of(made.id))
    assert watch.leads_at_last() == []


# ── what nobody leads ──


def test_a_new_deployment_s_message_has_time_to_reach_a_worker(world: World, watch: Watch) -> None:
    made = planned(world)
    assert watch.leads_at_last() == []
    world.clock.now += START
    assert watch.leads_at_last() == [made.id]


@pytest.mark.parametrize("moves", [1, 2])
def test_what_is_on_its_way_is_led_once_its_lease_has_been_gone_for_a_while(
    world: World, watch: Watch, moves: int
) -> None:
    made = planned(world)
    path = (State.PLANNED, State.STAGING, State.VERIFYING)
    for before, after in itertools.pairwise(path[: moves + 1]):
        world.ledger.move(made.id, before, after)
    watch.leads.taken.add(lead_of(made.id))
    assert watch.looks() == []
    watch.leads.taken.clear()
    assert watch.looks(10) == []
    assert watch.looks(GRACE_SECONDS * 0.9) == []
    assert watch.looks(GRACE_SECONDS * 0.2) == [made.id]


def test_a_lease_that_comes_back_begins_the_wait_anew(world: World, watch: Watch) -> None:
    made = planned(world)
    world.ledger.move(made.id, State.PLANNED, State.STAGING)
    assert watch.looks() == []
    watch.leads.taken.add(lead_of(made.id))
    assert watch.looks(GRACE_SECONDS) == []
    watch.leads.taken.clear()
    assert watch.leads_at_last() == [made.id]


def test_nobody_is_followed_while_redis_is_silent_nor_right_after(world: World, watch: Watch) -> None:
    made = planned(world)
    world.ledger.move(made.id, State.PLANNED, State.STAGING)
    assert watch.looks() == []
    watch.leads.silent = True
    assert watch.looks(3600) == []
    watch.leads.silent = False
    assert watch.leads_at_last() == [made.id]


def test_an_open_commit_is_asked_again_less_and_less_often(world: World, watch: Watch) -> None:
    made = planned(world)
    world.carry_out(made)
    world.ledger.decide(made.id, Decision.COMMIT, [])
    world.ledger.note_troubles(made.id, [Trouble("activate", "fe1", {"what": "gone"})])
    first, most = RETRY_SECONDS
    assert watch.leads_at_last() == [made.id]
    pauses: list[float] = []
    pause = 0.0
    while len(pauses) < 8:
        pause += first
        if watch.looks(first):
            pauses.append(pause)
            pause = 0.0
    assert pauses[:5] == [first, 2 * first, 4 * first, 8 * first, 16 * first]
    assert max(pauses) == most


@pytest.mark.parametrize("decision", Decision)
def test_what_is_decided_is_carried_out(world: World, watch: Watch, decision: Decision) -> None:
    made = planned(world)
    world.carry_out(made)
    world.ledger.decide(made.id, decision, [])
    assert watch.leads_at_last() == [made.id]


def test_what_has_ended_is_over(world: World, watch: Watch) -> None:
    world.commit(planned(world))
    world.clock.pass_hours(24 * 30)
    assert watch.leads_at_last() == []
