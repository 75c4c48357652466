"""drain, readmit and prune: the drain's number decides who had the last word, and nothing that is needed goes."""

from __future__ import annotations

import os
import time

import pytest

from tests.remote.frontend import Frontend, check_tree, snapshot
from tests.remote.packs import Stage, activation_name, sha256

ONE = Stage(1, {"index.html": b"one", "shared.js": b"shared", "only.js": b"1"})
TWO = Stage(2, {"index.html": b"two", "shared.js": b"shared"})
THREE = Stage(3, {"index.html": b"three", "shared.js": b"shared"})
FOUR = Stage(4, {"index.html": b"four", "only.js": b"1"})


def serve(frontend: Frontend, *stages: Stage) -> None:
    """Deploy them one after the other."""
    for stage in stages:
        frontend.stage(stage)
        assert frontend.run("activate", stage.activation).verdict == "OK"


def drain(frontend: Frontend) -> tuple[str, str]:
    """What probe says of it."""
    told = dict(line.split(" ", 1) for line in frontend.run("probe").lines if " " in line)
    return told["drained"], told["drain"]


# ── drain and readmit ──


def test_a_drained_frontend_is_back_by_a_readmit_with_its_number(frontend: Frontend) -> None:
    frontend.place(5, 5, {5})
    for _ in range(2):
        assert frontend.run("drain", activation_name(5), "7").lines == ["OK"]
        assert drain(frontend) == ("yes", "7")
    for _ in range(2):
        assert frontend.run("readmit", activation_name(5), "7").lines == ["OK"]
        assert drain(frontend) == ("no", "0")


def test_a_late_word_of_an_earlier_drain_changes_nothing(frontend: Frontend) -> None:
    frontend.place(5, 5, {5})
    for number in ("9", "7", "10"):
        assert frontend.run("drain", activation_name(5), number).verdict == "OK"
    assert drain(frontend) == ("yes", "10")
    assert frontend.run("readmit", activation_name(5), "9").verdict == "REFUSED drained"
    assert drain(frontend) == ("yes", "10")
    assert frontend.run("readmit", activation_name(5), "11").verdict == "OK"


def test_only_what_serves_the_right_activation_is_readmitted(frontend: Frontend) -> None:
    frontend.place(5, 4, {4, 5})
    frontend.run("drain", activation_name(5), "1")
    for epoch in (3, 5, 6):
        assert frontend.run("readmit", activation_name(epoch), "1").verdict == "REFUSED current"
    assert drain(frontend) == ("yes", "1")
    assert frontend.run("readmit", activation_name(4), "1").verdict == "OK"


@pytest.mark.parametrize(("epoch", "verdict"), [(4, "REFUSED fenced"), (5, "OK"), (6, "OK")])
def test_a_drain_below_the_fence_is_refused_and_none_raises_it(frontend: Frontend, epoch: int, verdict: str) -> None:
    frontend.place(5, 4, {4})
    assert frontend.run("drain", activation_name(epoch), "1").verdict == verdict
    assert frontend.fence == 5


def test_a_frontend_that_waits_for_the_word_can_be_drained_and_flips_all_the_same(frontend: Frontend) -> None:
    frontend.place(4, 4, {4, 5})
    waiting = frontend.arm(5)
    assert frontend.run("drain", activation_name(5), "1").verdict == "OK"
    assert waiting.finish(f"GO {activation_name(5)}\n".encode()).verdict == "OK"
    assert drain(frontend) == ("yes", "1")


def test_one_that_was_drained_by_hand_is_readmitted_by_any_number(frontend: Frontend) -> None:
    frontend.place(5, 5, {5})
    (frontend.root / "state/drained").touch()
    assert drain(frontend) == ("yes", "0")
    assert frontend.run("readmit", activation_name(5), "1").verdict == "OK"


@pytest.mark.parametrize("number", ["", "0", "-1", "1x", "01", "1 2", "9" * 11, "$(id)", "\n1"])
@pytest.mark.parametrize("command", ["drain", "readmit"])
def test_a_number_that_is_none_is_refused(frontend: Frontend, command: str, number: str) -> None:
    frontend.place(5, 5, {5})
    assert frontend.run(command, activation_name(5), number).verdict == "REFUSED words"
    assert drain(frontend) == ("no", "0")


# ── repair ──


def test_what_is_served_is_put_right_at_its_own_epoch_and_stays_what_it_is(frontend: Frontend) -> None:
    serve(frontend, ONE, TWO)
    whole = snapshot(frontend.root, ignored=["state"])
    for damage in (f"releases/{TWO.release}/index.html", f"objects/{sha256(b'two')}"):
        (frontend.root / damage).parent.chmod(0o755)
        (frontend.root / damage).unlink()
    frontend.stage(TWO)
    assert snapshot(frontend.root, ignored=["state"]).keys() == whole.keys()
    assert frontend.names("ahead") == set()
    check_tree(frontend.root)


def test_an_empty_frontend_is_no_activation_to_put_right(frontend: Frontend) -> None:
    answer = frontend.run("receive", activation_name(0), stdin=ONE.objects_pack())
    assert answer.verdict == "REFUSED fenced"


# ── prune ──


def prune(frontend: Frontend, by: Stage, seconds: int, *stages: Stage) -> list[str]:
    return frontend.run("prune", by.activation, str(seconds), *(stage.activation for stage in stages)).lines


def test_what_only_an_old_activation_needed_goes_with_it(frontend: Frontend) -> None:
    serve(frontend, ONE, TWO, THREE)
    alone = {sha256(content) for content in (*TWO.contents, *THREE.contents)}
    answer = prune(frontend, THREE, 0, ONE)
    assert answer[:2] == ["pruned activations 1", "pruned releases 1"]
    assert answer[-1] == "OK"
    assert frontend.names("activations") == {activation_name(0), TWO.activation, THREE.activation}
    assert frontend.names("objects") == alone
    assert frontend.has(TWO)
    assert frontend.has(THREE)
    check_tree(frontend.root)
    assert prune(frontend, THREE, 0, ONE) == [f"pruned {kind} 0" for kind in ("activations", "releases", "objects")] + [
        "OK"
    ]


def test_what_is_staged_or_armed_keeps_all_that_it_needs(frontend: Frontend) -> None:
    serve(frontend, ONE, TWO)
    frontend.stage(FOUR)
    waiting = frontend.arm(4)
    # FOUR shares a file with ONE, which goes.
    assert prune(frontend, FOUR, 0, ONE)[-1] == "OK"
    assert frontend.has(FOUR)
    assert waiting.finish(f"GO {FOUR.activation}\n".encode()).verdict == "OK"
    check_tree(frontend.root)


@pytest.mark.parametrize("which", [TWO, THREE])
def test_nothing_that_is_served_or_ahead_is_pruned_and_nothing_else_with_it(frontend: Frontend, which: Stage) -> None:
    serve(frontend, ONE, TWO)
    frontend.stage(THREE)
    before = snapshot(frontend.root)
    assert prune(frontend, THREE, 0, ONE, which)[-1].startswith("REFUSED current")
    assert snapshot(frontend.root) == before


def test_what_was_served_a_short_time_ago_stays(frontend: Frontend) -> None:
    serve(frontend, ONE, TWO)
    # However long ago it was staged.
    assert prune(frontend, TWO, 60, ONE)[-1].startswith("REFUSED recent")
    ago = time.time() - 61
    os.utime(frontend.root / "activations" / ONE.activation, (ago, ago))
    assert prune(frontend, TWO, 60, ONE)[-1] == "OK"
    assert ONE.activation not in frontend.names("activations")


def test_a_flip_says_when_the_last_activation_was_served_for_the_last_time(frontend: Frontend) -> None:
    serve(frontend, ONE)
    place = frontend.root / "activations" / ONE.activation
    os.utime(place, (1, 1))
    frontend.stage(TWO)
    assert frontend.arm(2).finish(f"GO {TWO.activation}\n".encode()).verdict == "OK"
    assert place.stat().st_mtime > time.time() - 60


def test_a_coordinator_of_an_earlier_epoch_prunes_nothing(frontend: Frontend) -> None:
    serve(frontend, ONE, TWO, THREE)
    assert prune(frontend, TWO, 0, ONE)[-1].startswith("REFUSED fenced")
    assert frontend.has(ONE)
