"""One frontend, or several, that don't do what they are asked: at every step, in every way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

from orchestrator.domain.coordination import ATTEMPTS
from orchestrator.domain.deployment import Decision, State, Step
from orchestrator.domain.effects import Ask
from orchestrator.ports import Deployments
from tests.protocol.fleets import Site
from tests.protocol.simulation.fleet import Fate
from tests.protocol.simulation.ledger import MemoryLedger
from tests.protocol.simulation.plans import names

BEFORE_COMMIT = (Step.STAGE, Step.VERIFY, Step.ARM)
AFTER_COMMIT = {Step.ACTIVATE: State.ACTIVATING, Step.CONFIRM: State.FINISHING}
FAILURES = [fate for fate in Fate if fate is not Fate.OBEYED]
FLEETS = [("memory", count, name) for count in (1, 2, 3) for name in names(count)] + [("sqlite", 2, "a")]


def failing(step: Step, fates: Mapping[str, Fate], times: int = 1000) -> Callable[[Ask], Fate]:
    """The first `times` askings to do this step have these fates, by frontend."""
    return lambda ask: (
        fates.get(ask.frontend, Fate.OBEYED) if ask.step is step and ask.attempt <= times else Fate.OBEYED
    )


def served_before(ledger: Deployments, count: int) -> Site:
    """A fleet that serves epoch 1, and its second deployment, planned."""
    site = Site(ledger, count)
    site.plan()
    assert site.coordinate().state is State.DONE
    site.plan()
    return site


@pytest.mark.parametrize(("ledger", "count", "name"), FLEETS, indirect=["ledger"])
@pytest.mark.parametrize("fate", FAILURES)
@pytest.mark.parametrize("step", BEFORE_COMMIT)
def test_before_the_commit_one_failure_aborts_and_nobody_flips(
    ledger: Deployments, step: Step, fate: Fate, count: int, name: str
) -> None:
    site = served_before(ledger, count)
    row = site.coordinate(failing(step, {name: fate}))
    assert (row.state, row.decision) == (State.ABORTED, Decision.ABORT)
    assert [(trouble.step, trouble.frontend) for trouble in row.troubles] == [(step, name)]
    assert name in row.troubles[0].problem["what"]
    assert site.serving == {1}
    assert {ask.frontend for ask in site.asked(lambda ask: ask.step is Step.DISARM)} == set(names(count))
    assert not site.asked(lambda ask: ask.step is Step.ACTIVATE)
    for frontend in site.frontends.values():
        assert (frontend.fence, frontend.armed, list(frontend.staged)) == (2, frozenset(), [frontend.current])


@pytest.mark.parametrize(("ledger", "count", "name"), FLEETS, indirect=["ledger"])
@pytest.mark.parametrize("fate", FAILURES)
@pytest.mark.parametrize("step", list(AFTER_COMMIT))
def test_after_the_commit_a_frontend_is_asked_again_until_it_answers(
    ledger: Deployments, step: Step, fate: Fate, count: int, name: str
) -> None:
    site = served_before(ledger, count)
    row = site.coordinate(failing(step, {name: fate}, times=ATTEMPTS - 1))
    assert (row.state, row.decision, row.troubles) == (State.DONE, Decision.COMMIT, ())
    assert site.serving == {2}
    asked = [ask.attempt for ask in site.asked(lambda ask: ask.step is step and ask.frontend == name)]
    assert asked == list(range(1, ATTEMPTS + 1))


@pytest.mark.parametrize(("ledger", "count", "name"), FLEETS, indirect=["ledger"])
@pytest.mark.parametrize("fate", FAILURES)
@pytest.mark.parametrize("step", list(AFTER_COMMIT))
def test_after_the_commit_a_frontend_that_goes_on_failing_leaves_the_deployment_open_never_aborted(
    ledger: Deployments, step: Step, fate: Fate, count: int, name: str
) -> None:
    site = served_before(ledger, count)
    for _ in range(2):
        row = site.coordinate(failing(step, {name: fate}))
        assert not site.asked(lambda ask: ask.step is Step.DISARM)
        assert row.decision is Decision.COMMIT
        assert row.state is AFTER_COMMIT[step]
        assert [(trouble.step, trouble.frontend) for trouble in row.troubles] == [(step, name)]
    flipped = {frontend.name for frontend in site.frontends.values() if frontend.current.epoch == 2}
    unflipped = {name} if step is Step.ACTIVATE and fate is not Fate.ANSWER_LOST else set()
    assert flipped == set(names(count)) - unflipped
    row = site.coordinate()
    assert (row.state, row.troubles) == (State.DONE, ())
    assert site.serving == {2}


@pytest.mark.parametrize("step", BEFORE_COMMIT)
def test_before_the_commit_any_mix_of_failures_aborts_and_every_one_is_named(step: Step) -> None:
    for fates in product(Fate, repeat=3):
        by_name = dict(zip(names(3), fates, strict=True))
        failed = [name for name, fate in by_name.items() if fate is not Fate.OBEYED]
        site = served_before(MemoryLedger(), 3)
        row = site.coordinate(failing(step, by_name))
        assert row.state is (State.ABORTED if failed else State.DONE), by_name
        assert [(trouble.step, trouble.frontend) for trouble in row.troubles] == [(step, name) for name in failed]
        assert site.serving == ({1} if failed else {2})


@pytest.mark.parametrize("step", list(AFTER_COMMIT))
def test_after_the_commit_any_mix_of_failures_leaves_it_open_and_every_one_is_named(step: Step) -> None:
    for fates in product(Fate, repeat=3):
        by_name = dict(zip(names(3), fates, strict=True))
        failed = [name for name, fate in by_name.items() if fate is not Fate.OBEYED]
        site = served_before(MemoryLedger(), 3)
        row = site.coordinate(failing(step, by_name))
        assert row.state is (AFTER_COMMIT[step] if failed else State.DONE), by_name
        assert [(trouble.step, trouble.frontend) for trouble in row.troubles] == [(step, name) for name in failed]
        assert site.coordinate().state is State.DONE
        assert site.serving == {2}


@pytest.mark.parametrize("fate", FAILURES)
@pytest.mark.parametrize("name", names(3))
def test_a_frontend_that_does_not_disarm_leaves_the_deployment_aborted(fate: Fate, name: str) -> None:
    site = served_before(MemoryLedger(), 3)
    arming, disarming = failing(Step.ARM, {"a": Fate.REFUSED}), failing(Step.DISARM, {name: fate})
    row = site.coordinate(lambda ask: disarming(ask) if ask.step is Step.DISARM else arming(ask))
    assert (row.state, row.decision) == (State.ABORTED, Decision.ABORT)
    assert [(trouble.step, trouble.frontend) for trouble in row.troubles] == [(Step.ARM, "a")]
    assert site.serving == {1}
    # Nobody waits for a word any more: the conversations ended before.
    assert not any(frontend.armed for frontend in site.frontends.values())


def test_no_frontends_agree_to_nothing(ledger: Deployments) -> None:
    site = Site(ledger, 0)
    site.plan()
    row = site.coordinate()
    assert (row.state, row.decision) == (State.ABORTED, Decision.ABORT)
    assert [(trouble.step, trouble.frontend) for trouble in row.troubles] == [(Step.STAGE, "")]
    assert row.troubles[0].problem["what"] == "no frontend was asked"


def test_no_frontends_are_never_done_even_where_the_ledger_says_commit(ledger: Deployments) -> None:
    site = Site(ledger, 0)
    number = site.plan().id
    for before, after in ((State.PLANNED, State.STAGING), (State.STAGING, State.VERIFYING)):
        ledger.move(number, before, after)
    ledger.prepare(number)
    ledger.decide(number, Decision.COMMIT, [])
    row = site.coordinate()
    assert row.state is State.ACTIVATING
    assert row.troubles[0].problem["what"] == "no frontend was asked"


def test_a_web_server_that_serves_another_root_aborts(ledger: Deployments) -> None:
    site = served_before(ledger, 2)
    site.frontends["b"].misrouted = True
    row = site.coordinate()
    assert row.state is State.ABORTED
    assert {(trouble.step, trouble.frontend) for trouble in row.troubles} == {(Step.VERIFY, "b")}
    assert site.serving == {1}


@pytest.mark.parametrize("step", [*BEFORE_COMMIT, *AFTER_COMMIT])
def test_answers_that_come_through_a_thread_lead_to_the_same(ledger: Deployments, step: Step) -> None:
    site = served_before(ledger, 3)
    fails = failing(step, {"b": Fate.ANSWER_LOST}, times=1)
    with ThreadPoolExecutor(1) as thread:
        row = site.coordinate(fails, thread.submit)
    assert row.state is (State.ABORTED if step in BEFORE_COMMIT else State.DONE)
    assert site.serving == ({1} if step in BEFORE_COMMIT else {2})
