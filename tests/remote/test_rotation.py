"""drain and readmit: the mark that the web server's health goes by, and the number that makes a late word harmless."""

from __future__ import annotations

from itertools import product

import pytest

from tests.remote.frontend import Frontend, snapshot
from tests.remote.packs import activation_name

EPOCHS = range(3)
#: What the mark may hold: nothing there, what people make of it, and drains around the second one.
MARKS: dict[str | None, int] = {None: 0, "": 0, "out\n": 0, "02\n": 0, "1\n": 1, "2\n": 2, "3\n": 3}
#: The last drain that a readmission has ended.
ENDED: dict[str | None, int] = {None: 0, "1\n": 1, "2\n": 2, "3\n": 3}
FOUR, FIVE = activation_name(4), activation_name(5)


def hold(frontend: Frontend, name: str, content: str | None) -> None:
    """Have a file of the state hold this, or not be there."""
    path = frontend.root / "state" / name
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content)


def mark(frontend: Frontend, content: str | None) -> None:
    """Have the mark hold this, or not be there, and no drain have ended before."""
    hold(frontend, "drained", content)
    hold(frontend, "readmitted", None)


def share(frontend: Frontend, fence_current_epoch: int) -> bool:
    """All cases under one shell: the rules are the same text to the others, which take their share."""
    return fence_current_epoch % {"dash": 1, "busybox": 3, "bash": 4}[frontend.shell.name] == 0


def told(frontend: Frontend) -> tuple[str, str]:
    """What `probe` says of it."""
    lines = dict(line.partition(" ")[::2] for line in frontend.run("probe").lines)
    return lines["drained"], lines["drain"]


@pytest.mark.parametrize("command", ["drain", "readmit"])
def test_it_is_accepted_when_the_rules_say_so_and_changes_the_mark_alone(frontend: Frontend, command: str) -> None:
    cases = [case for case in product(EPOCHS, EPOCHS, EPOCHS, MARKS, ENDED) if case[1] <= case[0]]
    for number, (fence, current, epoch, held, ended) in enumerate(cases):
        if not share(frontend, number):
            continue
        frontend.place(fence, current, {current, 2})
        mark(frontend, held)
        hold(frontend, "readmitted", ended)
        before = frontend.standing()
        answer = frontend.run(command, activation_name(epoch), "2")
        if command == "drain":
            accepted = epoch >= fence and MARKS[held] <= 2 and ENDED[ended] < 2
            refusal = "fenced" if epoch < fence else "drained"
            after: str | None = "2\n"
        else:
            accepted = epoch == current and MARKS[held] <= 2 and ENDED[ended] <= 2
            refusal = "drained" if epoch == current else "current"
            after = None
        case = (fence, current, epoch, held, ended)
        assert answer.verdict == ("OK" if accepted else f"REFUSED {refusal}"), case
        assert frontend.drained == (after if accepted else held), case
        assert len(answer.lines) == 1
        assert frontend.standing() == before


def test_drained_and_readmitted_twice_is_once(frontend: Frontend) -> None:
    frontend.place(fence=4, current=4, staged={4})
    assert told(frontend) == ("no", "0")
    for _ in range(2):
        assert frontend.run("drain", FOUR, "12").lines == ["OK"]
        assert told(frontend) == ("yes", "12")
    for _ in range(2):
        assert frontend.run("readmit", FOUR, "12").lines == ["OK"]
        assert told(frontend) == ("no", "0")


def test_a_drain_whose_number_goes_backward_is_refused_and_changes_nothing(frontend: Frontend) -> None:
    frontend.place(fence=4, current=4, staged={4})
    assert frontend.run("drain", FOUR, "12").lines == ["OK"]
    before = snapshot(frontend.root)
    for late in ("11", "9", "1"):
        assert frontend.run("drain", FOUR, late).verdict == "REFUSED drained"
        assert frontend.run("readmit", FOUR, late).verdict == "REFUSED drained"
    assert snapshot(frontend.root) == before


def test_a_word_of_a_drain_that_comes_after_its_end_does_not_drain_again(frontend: Frontend) -> None:
    """A staging of the readmission that was thought lost, a message that was delivered twice."""
    frontend.place(fence=4, current=4, staged={4})
    for number in ("7", "12"):
        assert frontend.run("drain", FOUR, number).verdict == "OK"
    assert frontend.run("readmit", FOUR, "12").verdict == "OK"
    before = snapshot(frontend.root)
    for late in ("12", "7"):
        assert frontend.run("drain", FOUR, late).verdict == "REFUSED drained"
        assert snapshot(frontend.root) == before
    assert frontend.run("readmit", FOUR, "7").verdict == "REFUSED drained"
    assert frontend.run("drain", FOUR, "13").verdict == "OK"
    assert told(frontend) == ("yes", "13")


def test_numbers_are_compared_as_numbers_up_to_the_largest(frontend: Frontend) -> None:
    for low, high in ((9, 10), (2_147_483_647, 2_147_483_648), (9_999_999_998, 9_999_999_999)):
        mark(frontend, None)
        for drain in (low, high):
            assert frontend.run("drain", activation_name(0), str(drain)).verdict == "OK"
        assert frontend.run("drain", activation_name(0), str(low)).verdict == "REFUSED drained"
        assert told(frontend) == ("yes", str(high))
        assert frontend.run("readmit", activation_name(0), str(low)).verdict == "REFUSED drained"
        assert frontend.run("readmit", activation_name(0), str(high)).verdict == "OK"


def test_one_that_was_drained_by_hand_is_readmitted_by_any_number(frontend: Frontend) -> None:
    (frontend.root / "state/drained").touch()
    assert told(frontend) == ("yes", "0")
    assert frontend.run("readmit", activation_name(0), "1").verdict == "OK"
    assert told(frontend) == ("no", "0")


def test_only_the_very_activation_that_is_served_is_readmitted(frontend: Frontend) -> None:
    frontend.place(fence=4, current=4, staged={4})
    mark(frontend, "1\n")
    assert frontend.run("readmit", f"4-{'f' * 16}", "1").verdict == "REFUSED current"
    assert frontend.drained == "1\n"


def test_what_is_served_is_readmitted_though_a_later_deployment_was_given_up(frontend: Frontend) -> None:
    frontend.place(fence=4, current=4, staged={4, 5})
    mark(frontend, "1\n")
    assert frontend.run("disarm", FIVE).verdict == "OK"
    assert frontend.run("drain", FOUR, "2").verdict == "REFUSED fenced"
    assert frontend.run("readmit", FOUR, "1").verdict == "OK"


def test_an_armed_frontend_is_drained_and_flips_all_the_same(frontend: Frontend) -> None:
    frontend.place(fence=4, current=4, staged={4, 5})
    armed = frontend.arm(5)
    assert frontend.run("drain", FIVE, "1").verdict == "OK"
    assert armed.finish(f"GO {FIVE}\n".encode()).verdict == "OK"
    assert (frontend.current, frontend.drained) == (FIVE, "1\n")


def test_a_mark_that_can_not_be_replaced_or_removed_is_a_failure(frontend: Frontend) -> None:
    (frontend.root / "state/drained").mkdir()
    for command in ("drain", "readmit"):
        assert frontend.run(command, activation_name(0), "1").verdict == "FAILED state"
    assert told(frontend) == ("yes", "0")


def test_a_link_to_nowhere_is_no_drain_and_becomes_one(frontend: Frontend) -> None:
    (frontend.root / "state/drained").symlink_to("nowhere")
    assert told(frontend) == ("no", "0")
    assert frontend.run("drain", activation_name(0), "1").verdict == "OK"
    assert "nowhere" not in frontend.names("state")
    assert told(frontend) == ("yes", "1")
