"""Commands at the same moment: whatever the order, one outcome, and answers that agree with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.remote.frontend import Conversation, Frontend, check_tree, snapshot
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
        packs = [stage.objects_pack() if command == "receive" else stage.links_pack() for stage in stages]
        running = [
            patient.start(command, stage.activation, size=len(pack)) for stage, pack in zip(stages, packs, strict=True)
        ]
        for conversation, pack in zip(running, packs, strict=True):
            assert conversation.finish(pack).verdict == "OK"
    assert all(map(patient.has, stages))
    assert patient.names("incoming") == set()
    check_tree(patient.root)


def test_a_staging_that_is_overtaken_while_it_transfers_leaves_nothing(frontend: Frontend) -> None:
    stage = Stage(5)
    for command, sent in (("receive", stage.objects_pack()), ("assemble", stage.links_pack())):
        frontend.place(fence=4, current=4, staged={4})
        if command == "assemble":
            assert frontend.run("receive", stage.activation, stdin=stage.objects_pack()).verdict == "OK"
        slow = frontend.start(command, stage.activation, size=len(sent))
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


def test_a_late_word_never_undoes_a_newer_drain_whatever_comes_in_between(patient: Frontend) -> None:
    words = [("drain", FIVE, "2"), ("readmit", FOUR, "2"), ("drain", FIVE, "3"), ("readmit", FOUR, "1")] * 2
    for round_ in range(4):
        patient.place(fence=4, current=4, staged={4, 5})
        for name in ("drained", "readmitted"):
            (patient.root / "state" / name).unlink(missing_ok=True)
        armed = patient.start("arm", FIVE)
        crowd = [patient.start(*each) for each in words[:: 1 if round_ % 2 else -1]]
        assert armed.line() == f"ARMED {FIVE}"
        assert {answer.verdict for answer in finish(crowd)} <= {"OK", "REFUSED drained"}
        # The third drain is the last, and nobody readmits it.
        assert patient.drained == "3\n"
        # Nobody has lost the right to flip, and a drained frontend flips as any other.
        assert armed.finish(f"GO {FIVE}\n".encode()).verdict == "OK"
        assert (patient.current, patient.drained) == (FIVE, "3\n")


def test_a_pruning_while_something_is_brought_is_refused_and_what_is_brought_arrives_whole(frontend: Frontend) -> None:
    old, served, new = Stage(3, {"old": b"old"}), Stage(4, {"served": b"served"}), Stage(5)
    for command, sent in (("receive", new.objects_pack()), ("assemble", new.links_pack())):
        frontend.place(fence=0, current=0, staged=())
        frontend.serve(old, served)
        if command == "assemble":
            assert frontend.run("receive", new.activation, stdin=new.objects_pack()).verdict == "OK"
        slow = frontend.start(command, new.activation, size=len(sent))
        slow.say(sent[:20])
        scratch = frontend.wait_for_scratch()
        before = snapshot(frontend.root, ignored=["incoming"])
        assert frontend.run("prune", served.activation, "0", old.activation).verdict == "REFUSED busy"
        assert snapshot(frontend.root, ignored=["incoming"]) == before
        assert scratch.exists()
        assert slow.finish(sent[20:]).verdict == "OK"
    assert frontend.run("prune", served.activation, "0", old.activation).verdict == "OK"
    assert frontend.has(served)
    assert frontend.has(new)
    check_tree(frontend.root)


def test_pruning_and_staging_and_flipping_at_once_loses_nothing_of_what_is_served_next(patient: Frontend) -> None:
    stages = [Stage(epoch, {**FILES, "epoch": str(epoch).encode()}) for epoch in (3, 4, 5)]
    old, served, new = stages
    for round_ in range(3):
        patient.place(fence=0, current=0, staged=())
        patient.serve(old, served)
        patient.stage(new)
        flip = ("activate", "assemble", "arm")[round_]
        crowd = [patient.start("prune", served.activation, "0", old.activation) for _ in range(3)]
        word = new.links_pack() if flip == "assemble" else f"GO {new.activation}\n".encode()
        rival = patient.start(flip, new.activation, size=len(word) if flip == "assemble" else 0)
        assert rival.finish(word).verdict == "OK"
        verdicts = {answer.verdict for answer in finish(crowd)}
        assert verdicts <= {"OK", "REFUSED fenced", "REFUSED busy"}, verdicts
        assert patient.has(new)
        assert patient.has(served)
        gone = old.activation not in patient.names("activations")
        assert gone == ("OK" in verdicts)
        check_tree(patient.root)


def test_a_flip_in_the_midst_of_a_pruning_is_left_alone(frontend: Frontend) -> None:
    old, served, new = Stage(3, {"old": b"old"}), Stage(4, {"served": b"served"}), Stage(5)
    frontend.serve(old, served)
    frontend.stage(new)
    (frontend.root / "state/fence").write_text("5\n")
    (frontend.root / f"state/armed-{FIVE}").symlink_to(f"activations/{FIVE}")
    flip = f"mv -fT {frontend.root}/state/armed-{FIVE} {frontend.root}/current"
    answer = meddled(frontend, f"rm*/ahead/{old.activation}", flip, "prune", FIVE, "0", old.activation)
    assert answer.lines[:2] == ["pruned activations 1", "pruned releases 1"]
    assert frontend.current == FIVE
    assert frontend.has(served)
    assert frontend.has(new)
    check_tree(frontend.root)


def test_a_lock_that_is_held_too_long_is_reported(frontend: Frontend) -> None:
    frontend.place(fence=4, current=4, staged={4, 5})
    impatient = replace(frontend, shell=replace(frontend.shell, more={"LOCKSTEP_LOCK_WAIT": "0"}))
    with frontend.locked():
        commands = ("arm", "activate", "disarm", "discard", "receive", "assemble", "drain 1", "readmit 1", "prune 0")
        for command, *more in map(str.split, commands):
            assert impatient.run(command, FIVE, *more).verdict == "REFUSED busy", command
        assert frontend.run("probe").verdict == "OK"
    assert frontend.standing()[:2] == (4, FOUR)
