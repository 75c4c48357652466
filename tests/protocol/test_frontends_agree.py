"""The simulated frontend obeys the rules that `tests.remote.test_rules` holds the real script to, in every state."""

from __future__ import annotations

import pytest

from orchestrator.domain.activation import Activation, ActivationName
from orchestrator.domain.deployment import Outcome
from tests.protocol.simulation.frontend import ACCEPTED, Answer, Conversation, SimulatedFrontend
from tests.protocol.simulation.plans import PLACEMENTS
from tests.remote.packs import activation_name
from tests.remote.test_rules import EPOCHS, MODEL, State, states

WORDS = {"OK": Outcome.ACCEPTED, "REFUSED": Outcome.REFUSED}


def name_of(epoch: int) -> ActivationName:
    return ActivationName.parse(activation_name(epoch))


def activation_of(epoch: int) -> Activation:
    return Activation.of(name_of(epoch), PLACEMENTS)


def placed(state: State) -> SimulatedFrontend:
    """A frontend in this state."""
    frontend = SimulatedFrontend("a")
    frontend.fence, frontend.current = state.fence, name_of(state.current)
    frontend.staged = {name_of(epoch): activation_of(epoch) for epoch in state.staged}
    frontend.ahead = frozenset(name_of(epoch) for epoch in state.staged if epoch > state.current)
    frontend.armed = frozenset(name_of(epoch) for epoch in state.armed)
    return frontend


def arm(frontend: SimulatedFrontend, name: ActivationName) -> Answer:
    """With the word right behind it."""
    answer = frontend.arm(name)
    return Conversation(frontend, name).word() if answer == ACCEPTED else answer


COMMANDS = {"arm": arm, "activate": SimulatedFrontend.activate, "disarm": SimulatedFrontend.disarm}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_does_what_the_rules_say(command: str) -> None:
    for epoch in EPOCHS:
        for state in states(epoch):
            frontend = placed(state)
            after, lines = MODEL[command](state, epoch)
            answer = COMMANDS[command](frontend, name_of(epoch))
            assert answer.outcome is WORDS[lines[-1].split(" ")[0]], (state, epoch)
            assert frontend.key == placed(after).key, (state, epoch)


def test_staging_is_refused_at_the_fence_and_below() -> None:
    for epoch in EPOCHS:
        for state in states(epoch):
            frontend = placed(state)
            answer = frontend.stage(activation_of(epoch))
            assert (answer == ACCEPTED) == (epoch > state.fence)
            staged = state.staged | {epoch} if epoch > state.fence else state.staged
            assert frontend.key == placed(State(state.fence, state.current, staged, state.armed)).key


def test_the_end_of_a_conversation_takes_its_own_right_to_flip_and_no_other() -> None:
    for epoch in EPOCHS:
        for state in states(epoch):
            frontend = placed(state)
            Conversation(frontend, name_of(epoch)).end()
            assert frontend.armed == {name_of(armed) for armed in state.armed if armed != epoch}
            Conversation(frontend, name_of(epoch)).word()
            assert frontend.current == name_of(state.current)
