"""Workers and frontends are cut off from each other, or hear each other badly: clients never see a mix."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from orchestrator.domain.deployment import Decision, Deployment, State
from tests.partitions.network import Way
from tests.partitions.site import CUT, Point, Site

Says = Callable[[str, object], None]

DRAINS = {"unreachable": "drain", "max_drained": 1}
POLICIES = {"abort": {}, "drain": DRAINS}
#: Where an answer is missing without which nothing is committed.
UNDECIDED = {(point, way) for point in (Point.STAGING, Point.HELD, Point.ARMING) for way in Way} - {
    # It was asked before, so it arms, and its answer gets through: it is the word that doesn't.
    (Point.ARMING, Way.TO)
}
#: In seconds. Only what waits for a frontend that is cut off may run into its limit.
LIMITS = {"stage_seconds": 5, "verify_seconds": 5, "arm_seconds": 20, "activate_seconds": 2}
DELAY_SECONDS = 0.2
LONG = pytest.mark.long
#: What `make test` tries of all that `make partitions` does.
SHORT = ((Point.ARMING, Way.FROM, "abort"), (Point.ARMED, Way.BOTH, "abort"))
CASES = [
    pytest.param(*case, marks=() if case in SHORT else LONG, id="-".join((case[0].name, case[1].name, case[2])))
    for case in itertools.product(Point, Way, POLICIES)
]


@pytest.fixture(autouse=True)
def healed(site: Site) -> Iterator[None]:
    yield
    site.network.heal()


@pytest.mark.parametrize(("point", "way", "policy"), CASES)
def test_a_frontend_that_is_cut_off(site: Site, point: Point, way: Way, policy: str, record_property: Says) -> None:
    limits = {**LIMITS, **({"arm_seconds": 2} if point is Point.ARMING else {})}
    site.operator.policy(**limits, **POLICIES[policy])
    before = site.current(CUT)
    with site.operator.observers() as observed:
        with site.stopped_at(point) as number:
            site.network.cut(CUT, way)
            began = time.monotonic()
        rested = site.rests(number)
        rest_seconds = time.monotonic() - began
        _check(site, rested, (point, way, policy), before)
        site.network.heal()
        healed = time.monotonic()
        ended = site.ends(number)
        if policy == "drain":
            readmitted = site.operator.types("readmit", "web", CUT)
            assert readmitted.code == 0, readmitted.output
        heal_seconds = time.monotonic() - healed
        site.assert_together(before if ended.state is State.ABORTED else str(ended.name))
    observed.assert_clean()
    then = ", then readmitted" if policy == "drain" else ""
    record_property("case", f"{point} | {way} | {policy}")
    record_property("ended", f"{_how(rested)}{then}")
    record_property("seconds", f"{rest_seconds:.1f} + {heal_seconds:.1f}")


def _check(site: Site, rested: Deployment, case: tuple[Point, Way, str], before: str) -> None:
    """What must be true while the frontend is still cut off."""
    point, way, policy = case
    served = site.operator.served()
    others = {activation for frontend, activation in served.items() if frontend != CUT}
    if policy == "drain":
        assert (rested.state, site.drained()) == (State.DONE, {CUT})
        assert others == {str(rested.name)}
        return
    assert site.drained() == set()
    if (point, way) in UNDECIDED:
        assert rested.state is State.ABORTED
        assert set(served.values()) == {before}
    else:
        assert (rested.decision, rested.state.ended) == (Decision.COMMIT, False)
        assert {trouble.frontend for trouble in rested.troubles} == {CUT}
        assert others == {str(rested.name)}


def _how(rested: Deployment) -> str:
    """How it ended, and what kept it from being done at once."""
    why = "; ".join({trouble.problem["what"] for trouble in rested.troubles})
    how = str(rested.state) if rested.state.ended else "open, then done by itself"
    return f"{how} ({why})" if why else how


@pytest.mark.parametrize("percent", [5, pytest.param(10, marks=LONG), pytest.param(20, marks=LONG)])
def test_packets_that_are_lost_by_chance(site: Site, percent: int, record_property: Says) -> None:
    with _ends_whole(site, f"{percent} % of the packets lost", record_property):
        site.network.lose(percent)


@LONG
@pytest.mark.parametrize("kilobytes", [50, 200])
def test_a_link_that_lets_little_through(site: Site, kilobytes: int, record_property: Says) -> None:
    with _ends_whole(site, f"{kilobytes} kB/s, the rest lost", record_property):
        site.network.throttle(kilobytes)


@LONG
def test_a_link_on_which_everything_takes_its_time(site: Site, record_property: Says) -> None:
    with site.network.delayed(DELAY_SECONDS), _ends_whole(site, "200 ms later, each way", record_property):
        pass


@contextmanager
def _ends_whole(site: Site, case: str, says: Says) -> Iterator[None]:
    """What is done inside makes the link bad: a deployment over it succeeds, or aborts and changes nobody."""
    site.operator.policy()
    new, before = site.new_version(), site.current(CUT)
    with site.operator.observers() as observed:
        yield
        began = time.monotonic()
        number = site.begins(new)
        rested = site.rests(number)
        seconds = time.monotonic() - began
        site.network.heal()
        ended = site.ends(number)
        assert ended.state in (State.DONE, State.ABORTED)
        site.assert_together(str(ended.name) if ended.decision is Decision.COMMIT else before)
    observed.assert_clean()
    says("case", f"{case} | | abort")
    says("ended", _how(rested))
    says("seconds", f"{seconds:.1f}")


@LONG
def test_a_transfer_that_is_cut_off_in_its_middle(site: Site, record_property: Says) -> None:
    """What the worker still has to send waits in its socket then, where no limit of a step can see it."""
    site.operator.policy()
    large = site.new_version(size=200_000)
    before = site.current(CUT)
    with site.operator.observers() as observed:
        site.network.throttle(300)
        number = site.begins(large)
        site.wait_for_incoming(CUT)
        site.network.cut(CUT)
        began = time.monotonic()
        rested = site.rests(number)
        seconds = time.monotonic() - began
        assert rested.state is State.ABORTED
        assert [trouble.problem["what"] for trouble in rested.troubles] == ["the frontend can't be reached over SSH"]
        site.network.heal()
        site.assert_together(before)
        number = site.begins()
        assert site.ends(number).state is State.DONE
        site.assert_together(str(site.row(number).name))
    observed.assert_clean()
    record_property("case", "in the middle of a transfer | both ways | abort")
    record_property("ended", "aborted")
    record_property("seconds", f"{seconds:.1f}")
