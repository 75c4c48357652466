"""What is left of one epoch must not disturb the next, and what is left of the next must not be undone by this one."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.coordination import ATTEMPTS
from orchestrator.domain.deployment import Decision, Outcome, State, Step
from orchestrator.domain.effects import Ask
from orchestrator.ports import Deployments
from tests.protocol.endings import ABORTED, DONE, UNCONFIRMED, UNFLIPPED, deaf, ends, well_ended
from tests.protocol.fleets import Site
from tests.protocol.simulation.explorer import drive, explore
from tests.protocol.simulation.fleet import Fate
from tests.protocol.simulation.frontend import ACCEPTED, Conversation
from tests.protocol.simulation.ledger import MemoryLedger
from tests.protocol.simulation.messages import Request
from tests.protocol.simulation.scenario import LOSSES, Scenario, What
from tests.protocol.simulation.world import Choice, World

LATER = ActivationName(9, "9" * 16)


def test_a_frontend_that_could_not_be_disarmed_is_fenced_by_the_next_epoch(ledger: Deployments) -> None:
    """It still holds the activation, and still waits for the word: the end of its conversation was lost as well."""
    site = Site(ledger, 2)
    site.plan()
    row = site.coordinate(
        lambda ask: Fate.REFUSED if (ask.step, ask.frontend) == (Step.ARM, "a") else
        Fate.ASK_LOST if (ask.step, ask.frontend) == (Step.DISARM, "b") else Fate.OBEYED
    )  # fmt: skip
    assert row.state is State.ABORTED
    left = site.frontends["b"]
    left.armed = frozenset({row.name})
    assert (left.fence, list(left.staged), list(left.ahead)) == (1, [row.name], [row.name])

    site.plan()
    done = site.coordinate()
    assert (done.state, site.serving) == (State.DONE, {2})
    assert not left.armed
    assert not left.ahead
    # Whatever was on its way arrives now.
    assert Conversation(left, row.name).word().outcome is not Outcome.ACCEPTED
    assert left.stage(row.activation).outcome is Outcome.REFUSED
    assert left.arm(row.name).outcome is Outcome.REFUSED
    assert left.disarm(row.name).outcome is Outcome.REFUSED
    assert left.activate(row.name) == ACCEPTED
    assert left.current == done.name


def test_the_next_epoch_fences_as_soon_as_it_arms(ledger: Deployments) -> None:
    """Before anybody has flipped: the word for the old one must not win the race."""
    site = Site(ledger, 1)
    old = site.plan()
    frontend = site.frontends["a"]
    assert [frontend.stage(old.activation), frontend.arm(old.name)] == [ACCEPTED, ACCEPTED]
    ledger.decide(old.id, Decision.ABORT, [])
    ledger.move(old.id, State.ABORTING, State.ABORTED)
    new = site.plan()
    assert [frontend.stage(new.activation), frontend.arm(new.name)] == [ACCEPTED, ACCEPTED]
    assert deaf(frontend, old.name)
    assert frontend.armed == {new.name}
    assert Conversation(frontend, new.name).word().outcome is Outcome.ACCEPTED


def test_a_stage_that_still_runs_when_it_is_aborted_is_refused_after_the_disarm() -> None:
    world = World(Scenario(2, aborts=1, deployments=2), MemoryLedger())
    slow = "b"

    def ends_late(choices: Sequence[Choice]) -> Choice:
        """The slow frontend's stage comes last before the next deployment; the abort as soon as it is staging."""
        if world.row.state is State.STAGING and Choice(What.ABORT) in choices:
            return Choice(What.ABORT)
        ranks = {What.ABORT: 3, What.PLAN: 2}
        return min(choices, key=lambda choice: 1 if _stages(choice, slow) else ranks.get(choice.what, 0))

    taken = drive(world, ends_late)
    arrived = next(index for index, choice in enumerate(taken) if _stages(choice, slow))
    planned = next(index for index, choice in enumerate(taken) if choice.what is What.PLAN)
    aborted = next(row for row in world.ledger.history(None, 2) if row.epoch == 1)
    assert arrived < planned
    assert aborted.state is State.ABORTED
    assert aborted.name not in world.frontends[slow].staged
    assert world.row.state is State.DONE


def _stages(choice: Choice, frontend: str) -> bool:
    request = choice.subject
    return isinstance(request, Request) and request.ask.step is Step.STAGE and request.frontend == frontend


def test_what_an_aborted_deployment_left_on_its_way_does_not_disturb_the_next() -> None:
    found = explore(Scenario(1, aborts=1, deployments=2, faults=1, kinds=frozenset({What.GIVE_UP})), check=well_ended)
    assert ends(found) == {DONE, ABORTED}


def test_two_deployments_one_after_the_other_survive_two_faults() -> None:
    kinds = LOSSES | {What.REFUSE}
    found = explore(Scenario(1, deployments=2, faults=2, kinds=kinds), check=well_ended)
    assert ends(found) == {DONE, ABORTED, UNFLIPPED, UNCONFIRMED}


def test_two_deployments_of_two_frontends_survive_a_loss() -> None:
    found = explore(Scenario(2, deployments=2, faults=1, kinds=LOSSES), check=well_ended)
    assert ends(found) == {DONE, ABORTED}


def test_a_frontend_at_a_later_epoch_is_never_taken_back_and_never_counts_as_done(ledger: Deployments) -> None:
    """It can't be where the ledger is right: a restored ledger, or a frontend in two fleets. The operator is told."""
    site = Site(ledger, 2)
    row = site.plan()
    _commit(site)
    site.frontends["b"].fence, site.frontends["b"].current = LATER.epoch, LATER
    for _ in range(2):
        row = site.coordinate()
        assert row.state is State.FINISHING
        assert [(trouble.step, trouble.frontend) for trouble in row.troubles] == [(Step.CONFIRM, "b")]
    assert {name: f.current for name, f in site.frontends.items()} == {"a": row.name, "b": LATER}


def test_a_coordinator_that_finds_some_flipped_brings_the_others(ledger: Deployments) -> None:
    site = Site(ledger, 3)
    row = site.plan()
    _commit(site)
    site.frontends["b"].activate(row.name)
    assert site.coordinate().state is State.DONE
    assert site.serving == {1}


def test_troubles_of_an_earlier_rest_stand_until_the_step_succeeds(ledger: Deployments) -> None:
    """Workers try again by themselves: whoever looks at the row meanwhile still reads why it is open."""
    site = Site(ledger, 2)
    site.plan()
    silent = site.coordinate(
        lambda ask: Fate.ASK_LOST if ask.step is Step.ACTIVATE and ask.frontend == "b" else Fate.OBEYED
    )
    assert len(silent.troubles) == 1
    seen = set()

    def look(ask: Ask) -> Fate:
        seen.add((ask.step, len(site.row.troubles)))
        return Fate.OBEYED

    assert site.coordinate(look).troubles == ()
    assert seen == {(Step.ACTIVATE, 1), (Step.CONFIRM, 0)}


def test_why_it_was_aborted_is_kept_while_it_is_being_disarmed(ledger: Deployments) -> None:
    site = Site(ledger, 2)
    site.plan()
    row = site.coordinate(lambda ask: Fate.REFUSED if ask.step is Step.VERIFY and ask.frontend == "b" else Fate.OBEYED)
    assert [trouble.frontend for trouble in row.troubles] == ["b"]
    assert site.coordinate().troubles == row.troubles


def test_attempts_begin_anew_with_every_coordinator(ledger: Deployments) -> None:
    site = Site(ledger, 1)
    site.plan()
    for _ in range(2):
        site.coordinate(lambda ask: Fate.ASK_LOST if ask.step is Step.ACTIVATE else Fate.OBEYED)
        asked = [ask.attempt for ask in site.asked(lambda ask: ask.step is Step.ACTIVATE)]
        assert asked == list(range(1, ATTEMPTS + 1))


def _commit(site: Site) -> None:
    """As a coordinator leaves it that died between its decision and the first word."""
    row, ledger = site.row, site.ledger
    for frontend in site.frontends.values():
        assert [frontend.stage(row.activation), frontend.arm(row.name)] == [ACCEPTED, ACCEPTED]
        frontend.stand_down()
    ledger.move(row.id, State.PLANNED, State.STAGING)
    ledger.move(row.id, State.STAGING, State.VERIFYING)
    ledger.prepare(row.id)
    assert ledger.decide(row.id, Decision.COMMIT, []) is Decision.COMMIT
