"""prune: what was not served for long enough goes with all that nothing needs any more, and nothing else ever does."""

from __future__ import annotations

import os
import time
from itertools import count, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.remote.frontend import Frontend, check_tree, snapshot
from tests.remote.fuzz import FUZZ
from tests.remote.packs import Stage, activation_name, hard_link, pack, sha256
from tests.remote.shells import Shell

OLD = Stage(1, {"index.html": b"old", "shared.js": b"shared", "same.js": b"shared", "empty": b""})
OLDER = Stage(2, {"index.html": b"older", "shared.js": b"shared"})
NEW = Stage(3, {"index.html": b"new", "shared.js": b"shared", "empty": b""})
NEXT = Stage(4, {"index.html": b"next", "shared.js": b"shared"})
EPOCHS = range(4)
HOUR = 3600


def age(frontend: Frontend, epoch: int, seconds: float) -> None:
    """Have it been served so long ago."""
    then = time.time() - seconds
    os.utime(frontend.root / "activations" / activation_name(epoch), (then, then))


def pruned(activations: int, releases: int, objects: int) -> list[str]:
    """The whole answer."""
    return [f"pruned activations {activations}", f"pruned releases {releases}", f"pruned objects {objects}", "OK"]


def contents(frontend: Frontend) -> tuple[dict[str, tuple[object, ...]], set[str]]:
    """All but the state; of the markers, their names alone."""
    return snapshot(frontend.root, ignored=["state", "ahead"]), frontend.names("ahead")


def test_old_activations_go_with_all_that_nothing_else_needs(frontend: Frontend) -> None:
    frontend.serve(NEW)
    frontend.stage(NEXT)
    assert frontend.run("prune", NEW.activation, "0", activation_name(0)).lines == pruned(1, 0, 0)
    alone = contents(frontend)
    frontend.place(0, 0, ())
    frontend.serve(OLD, OLDER, NEW)
    frontend.stage(NEXT)
    names = [activation_name(0), OLD.activation, OLDER.activation, OLD.activation]
    answer = frontend.run("prune", NEW.activation, "0", *names)
    # Each had a document of its own and one file that nobody shared.
    assert answer.lines == pruned(3, 2, 4)
    assert contents(frontend) == alone
    assert frontend.run("prune", NEW.activation, "0", *names).lines == pruned(0, 0, 0)
    assert contents(frontend) == alone
    check_tree(frontend.root)


def test_what_is_not_named_keeps_what_it_needs(frontend: Frontend) -> None:
    again = Stage(4, OLD.files)
    frontend.serve(OLD, OLDER, NEW, again)
    assert again.release == OLD.release
    answer = frontend.run("prune", again.activation, "0", OLD.activation, NEW.activation)
    # Of `OLD`, its document alone: what came back under a later epoch is its release.
    assert answer.lines == pruned(2, 1, 3)
    assert frontend.has(again)
    assert frontend.has(OLDER)
    check_tree(frontend.root)


def test_the_documents_of_an_activation_go_from_by_hash_and_one_that_another_shares_stays(frontend: Frontend) -> None:
    own, common = "o" * 22, "c" * 22
    frontend.serve(OLD)
    for stage in (OLDER, NEW):
        assert frontend.run("receive", stage.activation, stdin=stage.objects_pack()).verdict == "OK"
        shared = hard_link("tree/activation/-/ToDo/moduleinfo.json", sha256(b"shared"))
        tokens = [hard_link(f"tree/by-hash/{common}", sha256(b"shared"))]
        if stage is OLDER:
            tokens.append(hard_link(f"tree/by-hash/{own}", sha256(stage.document)))
        links = pack(*stage.members(), shared, *tokens)
        assert frontend.run("assemble", stage.activation, stdin=links).verdict == "OK"
        assert frontend.run("activate", stage.activation).verdict == "OK"
    assert {own, common} <= frontend.names("by-hash")
    assert frontend.run("prune", NEW.activation, "0", OLDER.activation).verdict == "OK"
    assert own not in frontend.names("by-hash")
    assert common in frontend.names("by-hash")
    check_tree(frontend.root)


def test_what_aborted_and_killed_stagings_left_goes_without_a_name(frontend: Frontend) -> None:
    frontend.serve(NEW)
    before = contents(frontend)
    frontend.stage(NEXT)
    assert frontend.run("disarm", NEXT.activation).verdict == "OK"
    late = Stage(5, {"late": b"late"})
    assert frontend.run("receive", late.activation, stdin=late.objects_pack()).verdict == "OK"
    scratch = frontend.root / "incoming/5-x.1"
    scratch.mkdir()
    os.link(frontend.root / "objects" / sha256(b"late"), scratch / "late")
    assert frontend.run("prune", NEXT.activation, str(HOUR)).lines == pruned(0, 1, 4)
    assert contents(frontend) == before


def test_what_is_not_lockstep_s_stays(frontend: Frontend) -> None:
    frontend.serve(OLD, NEW)
    odd = ["by-hash/some thing else", "objects/note", f"objects/{'g' * 64}", "objects/abc", "releases/ToDo/x/y"]
    odd += ["activations/notes/x", f"releases/{OLD.release[:-1]}/x"]
    for path in odd:
        (frontend.root / path).parent.mkdir(exist_ok=True)
        (frontend.root / path).write_text("x")
    assert frontend.run("prune", NEW.activation, "0", OLD.activation).verdict == "OK"
    assert all((frontend.root / path).exists() for path in odd)


def test_it_is_accepted_when_the_rules_say_so_and_removes_all_or_nothing(frontend: Frontend) -> None:
    cases = [case for case in product(EPOCHS, EPOCHS, EPOCHS, EPOCHS) if case[1] <= case[0]]
    step = {"dash": 1, "busybox": 3, "bash": 4}[frontend.shell.name]
    for fence, current, epoch, gone in cases[::step]:
        frontend.place(fence, current, {0, 1, 2, 3, 7}, {fence} if fence > current else ())
        before = frontend.standing()
        # 0 is always the first, and would be removed if not all were looked at before.
        answer = frontend.run("prune", activation_name(epoch), "0", activation_name(0), activation_name(gone))
        if epoch < fence:
            expected = "REFUSED fenced"
        elif gone >= current or not current:
            expected = "REFUSED current"
        else:
            expected = "OK"
            before = (*before[:2], before[2] - {activation_name(0), activation_name(gone)}, *before[3:])
        assert answer.verdict == expected, (fence, current, epoch, gone)
        assert frontend.standing() == before, (fence, current, epoch, gone)


def test_another_activation_of_the_epoch_that_is_served_is_not_below_it(frontend: Frontend) -> None:
    frontend.place(fence=2, current=2, staged={1, 2})
    answer = frontend.run("prune", activation_name(2), "0", activation_name(1), f"2-{'f' * 16}")
    assert answer.verdict == "REFUSED current"
    assert activation_name(1) in frontend.names("activations")


def test_what_was_served_a_moment_ago_stays_with_all_others(frontend: Frontend) -> None:
    frontend.place(fence=3, current=3, staged={1, 2, 3})
    names = [activation_name(epoch) for epoch in (1, 2)]
    before = frontend.standing()
    for ages, verdict in (((HOUR + 2, HOUR - 60), "REFUSED recent"), ((HOUR + 2, -60), "REFUSED recent")):
        for epoch, seconds in zip((1, 2), ages, strict=True):
            age(frontend, epoch, seconds)
        assert frontend.run("prune", activation_name(3), str(HOUR), *names).verdict == verdict
        assert frontend.standing() == before
    age(frontend, 2, HOUR + 2)
    assert frontend.run("prune", activation_name(3), "9999999999", *names).verdict == "REFUSED recent"
    assert frontend.run("prune", activation_name(3), str(HOUR), *names).lines == pruned(2, 0, 0)


@pytest.mark.parametrize("flip", ["arm", "activate"])
def test_the_time_since_it_was_served_begins_with_the_flip(frontend: Frontend, flip: str) -> None:
    frontend.place(fence=3, current=3, staged={1, 2, 3, 4})
    for epoch in (1, 2, 3, 4):
        age(frontend, epoch, 2 * HOUR)
    before = time.time() - 1
    four = activation_name(4)
    assert frontend.run(flip, four, stdin=f"GO {four}\n".encode()).verdict == "OK"
    times = {epoch: (frontend.root / "activations" / activation_name(epoch)).stat().st_mtime for epoch in range(1, 5)}
    assert [epoch for epoch in times if times[epoch] >= before] == [3]
    assert frontend.run("prune", four, str(HOUR), activation_name(3)).verdict == "REFUSED recent"
    assert frontend.run("prune", four, str(HOUR), activation_name(1), activation_name(2)).verdict == "OK"


def test_a_flip_that_was_made_already_and_one_that_stood_down_begin_no_time(frontend: Frontend) -> None:
    frontend.place(fence=3, current=3, staged={2, 3, 4})
    for epoch in (2, 3, 4):
        age(frontend, epoch, 2 * HOUR)
    before = contents(frontend)
    times = [(frontend.root / "activations" / activation_name(epoch)).stat().st_mtime for epoch in (2, 3, 4)]
    assert frontend.run("activate", activation_name(3)).verdict == "OK"
    assert frontend.run("activate", activation_name(2)).verdict == "OK"
    assert frontend.run("arm", activation_name(4)).lines[-2:] == ["STOODDOWN", "OK"]
    after = [(frontend.root / "activations" / activation_name(epoch)).stat().st_mtime for epoch in (2, 3, 4)]
    assert after == times
    assert contents(frontend) == before


def test_a_flip_away_from_what_is_gone_makes_nothing_of_its_name(frontend: Frontend) -> None:
    frontend.place(fence=3, current=3, staged={3, 4})
    (frontend.root / "activations" / activation_name(3)).rmdir()
    assert frontend.run("activate", activation_name(4)).verdict == "OK"
    assert frontend.names("activations") == {activation_name(4)}


def test_while_somebody_is_armed_what_is_older_goes_and_he_flips(frontend: Frontend) -> None:
    frontend.serve(OLD, NEW)
    frontend.stage(NEXT)
    armed = frontend.arm(NEXT.epoch)
    assert frontend.run("prune", NEW.activation, "0", OLD.activation).verdict == "REFUSED fenced"
    assert frontend.run("prune", NEXT.activation, "0", OLD.activation).verdict == "OK"
    assert armed.finish(f"GO {NEXT.activation}\n".encode()).verdict == "OK"
    assert frontend.has(NEXT)
    assert frontend.has(NEW)


# --- whatever was done before, never anything that is needed ---

CONTENTS = [f"content {number}".encode() for number in range(6)]
RELEASES = st.dictionaries(
    st.sampled_from(["index.html", "a.js", "b/c.js", "d"]), st.sampled_from(CONTENTS), min_size=1
)
ACTIONS = st.one_of(
    st.tuples(st.sampled_from(["activate", "arm", "stage", "receive", "abort"]), RELEASES),
    st.tuples(st.just("prune"), st.sets(st.integers(0, 9))),
)
ROOTS = count()


def reachable(frontend: Frontend) -> dict[str, tuple[object, ...]]:
    """All that `current` and everything above it reaches, by path, hashed; and where by-hash has a name for it."""
    serving = int(frontend.current.split("-")[0])
    found: dict[str, tuple[object, ...]] = {}
    inodes: set[int] = set()
    for activation in (frontend.root / "activations").iterdir():
        if int(activation.name.split("-")[0]) < serving:
            continue
        tops = [activation, *(path.resolve(strict=True) for path in activation.iterdir() if path.is_symlink())]
        for top in tops:
            found |= {f"{top}/{path}": seen for path, seen in snapshot(top).items()}
            inodes |= {path.stat().st_ino for path in top.rglob("*") if path.is_file() and not path.is_symlink()}
    for directory in ("objects", "by-hash"):
        for path in (frontend.root / directory).iterdir():
            if path.stat().st_ino in inodes:
                found[str(path)] = (sha256(path.read_bytes()),)
    return found


def act(frontend: Frontend, epoch: int, action: str, files: dict[str, bytes]) -> None:
    """One deployment, as far as it gets."""
    stage = Stage(epoch, files)
    if action == "receive":
        assert frontend.run("receive", stage.activation, stdin=stage.objects_pack()).verdict == "OK"
        return
    frontend.stage(stage)
    if action == "abort":
        assert frontend.run("disarm", stage.activation).verdict == "OK"
    elif action != "stage":
        word = f"GO {stage.activation}\n".encode()
        assert frontend.run(action, stage.activation, stdin=word).verdict == "OK"


@settings(FUZZ, max_examples=max(4, FUZZ.max_examples // 3))
@given(actions=st.lists(ACTIONS, min_size=3, max_size=8))
def test_whatever_was_deployed_aborted_and_pruned_nothing_goes_that_is_or_may_be_served(
    all_shells: dict[str, Shell], ground: Path, actions: list[tuple[str, dict[str, bytes] | set[int]]]
) -> None:
    number = next(ROOTS)
    frontend = Frontend(list(all_shells.values())[number % 3], ground / f"root{number}")
    frontend.make()
    # In the end all that may go does.
    for epoch, (action, more) in enumerate([*actions, ("prune", set(range(10)))], start=1):
        if isinstance(more, dict):
            act(frontend, epoch, action, more)
            continue
        serving = int(frontend.current.split("-")[0])
        names = [activation_name(old) for old in more if old < serving]
        before = reachable(frontend)
        assert frontend.run("prune", activation_name(epoch), "0", *names).verdict == "OK"
        assert reachable(frontend) == before
        assert not set(names) & frontend.names("activations")
        check_tree(frontend.root)
    after = set(map(str, (frontend.root / "objects").iterdir())) - set(reachable(frontend))
    kept = [name for name in frontend.names("activations") if int(name.split("-")[0]) < serving]
    # What an aborted deployment could not take back is below what is served and was never named.
    assert not after or kept, (after, kept)
