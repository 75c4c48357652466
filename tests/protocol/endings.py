"""How a simulated world may end, and what must be possible from there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.deployment import Decision, State
from tests.protocol.simulation.explorer import drive
from tests.protocol.simulation.frontend import SimulatedFrontend
from tests.protocol.simulation.scenario import What
from tests.protocol.simulation.world import Choice, World

DONE = (State.DONE, Decision.COMMIT)
ABORTED = (State.ABORTED, Decision.ABORT)
UNFLIPPED = (State.ACTIVATING, Decision.COMMIT)
UNCONFIRMED = (State.FINISHING, Decision.COMMIT)


def ends(worlds: Iterable[World]) -> set[tuple[State, Decision | None]]:
    """Where the newest deployment stood in the end."""
    return {(world.row.state, world.row.decision) for world in worlds}


def well_ended(world: World) -> None:
    """Nothing is left to happen: whatever is open says why, and can be finished; whatever is aborted stays so."""
    row = world.row
    assert not world.messages, "an end, and something is on its way"
    if row.state is State.ABORTED:
        assert row.troubles, "aborted, and nobody knows why"
        for frontend in world.frontends.values():
            assert frontend.current != row.name, "aborted, and served"
            if row.name not in frontend.staged:
                assert deaf(frontend, row.name), "disarmed, and can still flip"
        if world.frontends:
            _next_is_done(world, row.name)
    elif row.decision is Decision.COMMIT and row.state is not State.DONE:
        died = any(not process.alive for process in world.processes.values())
        assert row.troubles or died, "open, and nobody knows why"
        assert _finished(world, []).row.state is State.DONE, "open, and can't be finished"
    elif row.decision is None:
        waits = row.state is State.PREPARED and row.plan.hold
        died = any(not process.alive for process in world.processes.values())
        assert waits or died, "undecided, and nobody carries it on"
        assert _finished(world, [Choice(What.ABORT)]).row.state is State.ABORTED, "undecided, and can't be aborted"


def deaf(frontend: SimulatedFrontend, name: ActivationName) -> bool:
    """Whether nothing that may still be on its way for this activation makes the frontend serve it."""
    before = frontend.current
    heard, told, armed = frontend.fork(), frontend.fork(), frontend.fork()
    heard.hear_word(name)
    told.activate(name)
    armed.arm(name)
    armed.hear_word(name)
    return heard.current == told.current == armed.current == before


def first(choices: Sequence[Choice]) -> Choice:
    """A driver without a mind of its own."""
    return choices[0]


def _finished(world: World, choices: list[Choice]) -> World:
    """What becomes of it when these things happen, then a coordinator starts, and nothing goes wrong any more."""
    twin = world.fork()
    twin.left = {**dict.fromkeys(twin.left, 0), **{choice.what: 1 for choice in choices}}
    for choice in choices:
        twin.take(choice)
    twin.left |= {What.START: 1, What.CONTINUE: 1}
    drive(twin, first)
    return twin


def _next_is_done(world: World, aborted: ActivationName) -> None:
    """The next deployment works on every frontend, also where the aborted one could not be disarmed."""
    twin = _finished(world, [Choice(What.PLAN)])
    assert twin.row.state is State.DONE, "an aborted epoch keeps the next from being done"
    for frontend in twin.frontends.values():
        assert not frontend.armed, "done, and still armed"
        assert deaf(frontend, aborted), "the next epoch did not fence the aborted one"
        assert aborted not in frontend.ahead, "an aborted epoch is still ahead"
