"""Commands at the same moment: whatever the order, one outcome, and answers that agree with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.remote.frontend import Conversation, Frontend, check_tree
from tests.remote.packs import FILES, Stage, activation_name
from tests.remote.shells import Answer
from tests.remote.shims import meddled

FOUR, FIVE = activation_name(4), activation_name(5)


@pytest.fixture
def patient(frontend: Frontend) -> Frontend:
    """Waits for the lock as long as it takes a crowd on a busy machine."""
    return replace(frontend, shell=replace(frontend.shell, more={"LOCKSTEP_LOCK_WAIT": "300"}))


def finish(conversations: list[Conversation]) -> list[Answer]:
    """All of their answers. Nothing is sent: none of these reads its input."""
    return [conversation.finish() for conversation in conversations]


@pytest.mark.parametrize("count", [34])
def test_of_many_who_activate_and_disarm_at_once_either_all_of_one_kind_succeed_or_of_the_other(
    patient: Frontend, count: int
) -> None:
    patient.place(fence=4, current=4, staged={4, 5})
    crowd = [patient.start(command, FIVE) for _ in range(count // 2) for command in ("activate", "disarm")]
    answers = finish(crowd)
    activated, disarmed = ({answer.verdict for answer in answers[start::2]} for start in (0, 1))
    if patient.current == FIVE:
        assert (activated, disarmed) == ({"OK"}, {"REFUSED current"})
        assert patient.standing() == (5, FIVE, {FOUR, FIVE}, set(), set())
        # One has flipped; the others found it so.
        assert sum(not answer.lines[0].endswith(" 0") for answer in answers[0::2]) == 1
    else:
        assert (activated, disarmed) == ({"REFUSED unstaged"}, {"OK"})
        assert patient.standing() == (5, FOUR, {FOUR}, set(), set())


def test_the_word_a_disarm_and_a_later_arm_at_once_have_one_outcome(patient: Frontend) -> None:
    for round_ in range(6):
        patient.place(fence=4, current=4, staged={4, 5, 6})
        armed = patient.arm(5)
        rivals = [("disarm", FIVE), ("arm", activation_name(6))][:: 1 if round_ % 2 else -1]
        others = [patient.start(*words) for words in rivals]
        word = armed.finish(f"GO {FIVE}\n".encode())
        verdicts = {words[0]: other.finish().verdict for words, other in zip(rivals, others, strict=True)}
        flipped = patient.current == FIVE
        assert word.verdict == ("OK" if flipped else "REFUSED fenced"), (word, verdicts)
        assert verdicts["arm"] == "OK"
        assert (verdicts["disarm"] == "REFUSED current") == flipped
        assert patient.fence == 6
        assert patient.armed == set()


def test_a_flip_just_before_its_right_is_taken_away_is_never_undone(frontend: Frontend) -> None:
    flip = f"mv -fT {frontend.root}/state/armed-{FIVE} {frontend.root}/current"
    for command, verdict in (("disarm", "REFUSED current"), ("activate", "OK")):
        frontend.place(fence=5, current=4, staged={4, 5}, armed={5})
        assert meddled(frontend, f"rm*/state/armed-{FIVE}", flip, command, FIVE).verdict == verdict
        assert frontend.current == FIVE
        assert FIVE in frontend.names("activations")


def test_stagings_of_the_same_and_of_other_activations_do_not_disturb_each_other(patient: Frontend) -> None:
    stages = [Stage(1), Stage(1), Stage(2, {**FILES, "two": b"2"}), Stage(3)]
    for command in ("receive", "assemble"):
        running = [patient.start(command, stage.activation) for stage in stages]
        for conversation, stage in zip(running, stages, strict=True):
            sent = stage.objects_pack() if command == "receive" else stage.links_pack()
            assert conversation.finish(sent).verdict == "OK"
    assert all(map(patient.has, stages))
    assert patient.names("incoming") == set()
    check_tree(patient.root)


def test_a_staging_that_is_overtaken_while_it_transfers_leaves_nothing(frontend: Frontend) -> None:
    stage = Stage(5)
    for command, sent in (("receive", stage.objects_pack()), ("assemble", stage.links_pack())):
        frontend.place(fence=4, current=4, staged={4})
        if command == "assemble":
            assert frontend.run("receive", stage.activation, stdin=stage.objects_pack()).verdict == "OK"
        slow = frontend.start(command, stage.activation)
        slow.say(sent[:20])
        frontend.wait_for_scratch()
        assert frontend.run("disarm", stage.activation).verdict == "OK"
        # The scratch of a living command stays, and another's sweeping up leaves it alone.
        other = Stage(6)
        assert frontend.run("receive", other.activation, stdin=other.objects_pack()).verdict == "OK"
        assert len(frontend.names("incoming")) == 1
        assert slow.finish(sent[20:]).verdict == "REFUSED fenced"
        assert frontend.names("incoming") == set()
        assert frontend.names("ahead") == set()


def test_a_lock_that_is_held_too_long_is_reported(frontend: Frontend) -> None:
    frontend.place(fence=4, current=4, staged={4, 5})
    impatient = replace(frontend, shell=replace(frontend.shell, more={"LOCKSTEP_LOCK_WAIT": "0"}))
    with frontend.locked():
        for command in ("arm", "activate", "disarm", "discard", "receive", "assemble"):
            assert impatient.run(command, FIVE).verdict == "REFUSED busy", command
        assert frontend.run("probe").verdict == "OK"
    assert frontend.standing()[:2] == (4, FOUR)
