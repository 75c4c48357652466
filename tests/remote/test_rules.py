"""docs/protocol.md, "On a frontend": who is accepted when, from every state that a frontend can be in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import pytest

from tests.remote.frontend import Frontend
from tests.remote.packs import activation_name, hard_link, objects_pack, pack, sha256

EPOCHS = range(4)
#: Staged in every state: later than all of them, so no command of theirs may touch it.
BYSTANDER = 7


@dataclass(frozen=True)
class State:
    """Epochs alone stand for their activations. Whoever is armed is armed at the fence."""

    fence: int
    current: int
    staged: frozenset[int]
    armed: frozenset[int] = frozenset()

    def place(self, frontend: Frontend) -> None:
        """Make the tree so."""
        frontend.place(self.fence, self.current, self.staged, self.armed)

    def check(self, frontend: Frontend) -> None:
        """Hold the tree against this."""
        names = {activation_name(epoch) for epoch in self.staged | {self.current}}
        ahead = {activation_name(epoch) for epoch in self.staged if epoch > self.current}
        armed = {activation_name(epoch) for epoch in self.armed}
        assert frontend.standing() == (self.fence, activation_name(self.current), names, ahead, armed), self

    def raised(self, epoch: int) -> State:
        """The fence at `epoch` or above, and nobody armed up to there."""
        return replace(self, fence=max(self.fence, epoch), armed=frozenset(e for e in self.armed if e > epoch))


Outcome = tuple[State, list[str]]


def arm(state: State, epoch: int) -> Outcome:
    """With the word right behind it."""
    if epoch <= state.fence:
        return state, ["REFUSED fenced"]
    if epoch not in state.staged:
        return state, ["REFUSED unstaged"]
    name = activation_name(epoch)
    return replace(state.raised(epoch), current=epoch), [f"ARMED {name}", f"ACTIVE {name}", "OK"]


def activate(state: State, epoch: int) -> Outcome:
    """Without a word."""
    if state.current >= epoch:
        return state, [f"ACTIVE {activation_name(state.current)}", "OK"]
    if epoch < state.fence:
        return state, ["REFUSED fenced"]
    if epoch not in state.staged:
        return state, ["REFUSED unstaged"]
    return replace(state.raised(epoch), current=epoch), [f"ACTIVE {activation_name(epoch)}", "OK"]


def disarm(state: State, epoch: int) -> Outcome:
    """Never what is served."""
    if state.current >= epoch:
        return state, ["REFUSED current"]
    if epoch < state.fence:
        return state, ["REFUSED fenced"]
    return replace(state.raised(epoch), staged=state.staged - {epoch}), ["OK"]


def discard(state: State, epoch: int) -> Outcome:
    """Never what is served, nor what may have been committed."""
    if state.current == epoch:
        return state, ["REFUSED current"]
    if epoch == state.fence and epoch in state.staged and epoch > state.current:
        return state, ["REFUSED armed"]
    return replace(state, staged=state.staged - {epoch}), ["OK"]


MODEL = {"arm": arm, "activate": activate, "disarm": disarm, "discard": discard}


def states(epoch: int) -> Iterator[State]:
    """Every fence, every current up to it, the command's epoch staged or not; and armed who can be."""
    for fence, current, staged in product(EPOCHS, EPOCHS, (False, True)):
        armed = fence > current
        if current > fence or (staged and not epoch):
            continue
        there = {current, BYSTANDER} | ({epoch} if staged else set()) | ({fence} if armed else set())
        yield State(fence, current, frozenset(there), frozenset({fence}) if armed else frozenset())


@pytest.mark.parametrize("command", MODEL)
def test_a_command_is_accepted_when_the_rules_say_so_and_changes_only_what_they_say(
    frontend: Frontend, command: str
) -> None:
    cases = [(state, epoch) for epoch in EPOCHS for state in states(epoch)]
    # All of them under one shell: the rules are the same text to the others, which take their share.
    step = {"dash": 1, "attendant": 1, "busybox": 2, "bash": 3}[frontend.shell.name]
    for state, epoch in cases[::step]:
        state.place(frontend)
        after, lines = MODEL[command](state, epoch)
        name = activation_name(epoch)
        answer = frontend.run(command, name, stdin=f"GO {name}\n".encode() if command == "arm" else b"")
        assert [" ".join(line.split(" ")[:2]) for line in answer.lines] == lines, (state, epoch, answer)
        after.check(frontend)


@pytest.mark.parametrize("command", ["receive", "assemble"])
def test_staging_is_refused_at_the_fence_and_below_but_for_what_is_served(frontend: Frontend, command: str) -> None:
    content = b"hello"
    good = {
        "receive": objects_pack(content),
        "assemble": pack(hard_link("tree/activation/-/activation.json", sha256(content))),
    }
    assert frontend.run("receive", activation_name(BYSTANDER), stdin=good["receive"]).verdict == "OK"
    for fence, current, epoch in product(EPOCHS, EPOCHS[::2], EPOCHS):
        if current > fence:
            continue
        frontend.place(fence, current, {BYSTANDER})
        answer = frontend.run(command, activation_name(epoch), stdin=good[command])
        # An empty frontend serves nothing that could be put right.
        accepted = epoch > fence or epoch == current > 0
        assert answer.verdict == ("OK" if accepted else "REFUSED fenced"), (fence, current, epoch, answer)
        # What is served is ahead of nothing.
        assert (activation_name(epoch) in frontend.names("ahead")) == (epoch > fence and command == "assemble")
        assert frontend.standing()[:2] == (fence, activation_name(current))


def test_epochs_are_compared_as_numbers_up_to_the_largest(frontend: Frontend) -> None:
    for fence, epoch in ((9, 10), (99_999, 100_000), (2_147_483_647, 2_147_483_648), (9_999_999_998, 9_999_999_999)):
        for low, high in ((fence, epoch), (epoch, fence), (epoch, epoch)):
            frontend.place(low, 0, {high})
            answer = frontend.run("arm", activation_name(high))
            expected = ["ARMED", "STOODDOWN", "OK"] if high > low else ["REFUSED"]
            assert [line.split(" ")[0] for line in answer.lines] == expected, (low, high, answer)
