"""receive and assemble at the epoch that is served: what somebody has changed is put right, the rest stays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.remote.frontend import Frontend, check_tree, remove, snapshot
from tests.remote.packs import FILES, Stage, activation_name, object_time, sha256
from tests.remote.shells import Shell

SERVED, NEXT = Stage(4), Stage(5, {**FILES, "next": b"next"})


@pytest.fixture(autouse=True)
def serving(frontend: Frontend) -> None:
    """Serving 4, and 5 is staged."""
    frontend.serve(SERVED)
    frontend.stage(NEXT)


def check_repaired(frontend: Frontend) -> None:
    frontend.stage(SERVED)
    assert frontend.has(SERVED)
    assert frontend.has(NEXT)
    assert frontend.standing()[:2] == (4, SERVED.activation)
    assert frontend.names("ahead") == {NEXT.activation}
    assert frontend.names("incoming") == set()
    check_tree(frontend.root)


def test_what_is_whole_stays_where_it_is(frontend: Frontend) -> None:
    places = [frontend.root / tree.path for tree in SERVED.trees]
    before = snapshot(frontend.root), [path.stat().st_ino for path in places]
    check_repaired(frontend)
    assert (snapshot(frontend.root), [path.stat().st_ino for path in places]) == before


def _elsewhere(activation: Path) -> None:
    (activation / "ToDo").unlink()
    (activation / "ToDo").symlink_to(f"../../releases/{NEXT.release}")


def _document(activation: Path, more: bytes = b"") -> None:
    (activation / "-/activation.json").unlink()
    (activation / "-/activation.json").write_bytes(SERVED.document + more)


def _directory(activation: Path) -> None:
    (activation / "ToDo").unlink()
    (activation / "ToDo").mkdir()
    (activation / "ToDo/index.html").write_bytes(b"")


def _moved(activation: Path) -> None:
    activation.rename(activation.with_name("aside"))
    activation.symlink_to("aside")


def _file(activation: Path) -> None:
    remove(activation)
    os.link(activation.parents[1] / "objects" / sha256(SERVED.document), activation)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "led elsewhere": _elsewhere,
    "removed": lambda activation: (activation / "ToDo").unlink(),
    "added": lambda activation: (activation / "more").symlink_to(f"../../releases/{NEXT.release}"),
    "rewritten": lambda activation: _document(activation, b" "),
    # The same bytes, and no link to the object: nobody would notice that somebody needs it.
    "copied": _document,
    "a directory": _directory,
    "gone": remove,
    "moved": _moved,
    "a file": _file,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_activation_that_somebody_changed_is_put_right_while_it_is_served(frontend: Frontend, damage: str) -> None:
    activation = frontend.root / "activations" / SERVED.activation
    for directory in (activation, activation / "-"):
        directory.chmod(0o755)
    DAMAGES[damage](activation)
    assert frontend.has(SERVED) is (damage == "copied")
    frontend.stage(SERVED)
    remove(activation.with_name("aside")) if damage == "moved" else None
    check_repaired(frontend)


def test_objects_and_links_that_are_gone_come_back(frontend: Frontend) -> None:
    name = sha256(FILES["scripts/app.js"])
    (frontend.root / "objects" / name).unlink()
    for key in SERVED.by_hash:
        (frontend.root / "by-hash" / key).unlink()
    release = frontend.root / "releases" / SERVED.release
    (release / "scripts").chmod(0o755)
    (release / "scripts/app.js").unlink()
    frontend.stage(SERVED)
    assert (frontend.root / "objects" / name).stat().st_mtime == object_time(name)
    for key, sha in SERVED.by_hash.items():
        assert (frontend.root / "by-hash" / key).samefile(frontend.root / "objects" / sha)
    frontend.stage(NEXT)
    check_repaired(frontend)


def test_a_changed_object_is_replaced_under_what_is_served(frontend: Frontend) -> None:
    """As `verify` finds it: what has changed is discarded, which takes nothing away that is served, then sent again."""
    name = sha256(FILES["scripts/app.js"])
    changed = frontend.root / "objects" / name
    changed.chmod(0o644)
    changed.write_bytes(b"strat()\n")
    os.utime(changed, (object_time(name),) * 2)
    assert not frontend.has(SERVED)
    assert frontend.run("discard", f"4-{'0' * 16}", stdin=SERVED.object_lines).verdict == "OK"
    assert frontend.standing()[:2] == (4, SERVED.activation)
    assert frontend.missing(SERVED.object_lines) == [name]
    frontend.stage(SERVED)
    assert frontend.has(SERVED)
    # The one that is ahead held the same bytes, and is put right as well when it is staged.
    frontend.stage(NEXT)
    check_repaired(frontend)


def test_an_empty_frontend_is_no_activation_to_put_right(shell: Shell, ground: Path) -> None:
    empty = Frontend(shell, ground / "empty")
    empty.make()
    for command, sent in (("receive", SERVED.objects_pack()), ("assemble", SERVED.links_pack())):
        assert empty.run(command, activation_name(0), stdin=sent).verdict == "REFUSED fenced"


def test_another_activation_of_the_epoch_that_is_served_is_none_of_it(frontend: Frontend) -> None:
    before = snapshot(frontend.root)
    for command, sent in (("receive", SERVED.objects_pack()), ("assemble", SERVED.links_pack())):
        assert frontend.run(command, f"4-{'f' * 16}", stdin=sent).verdict == "REFUSED fenced"
    assert snapshot(frontend.root) == before


def test_what_is_armed_and_not_served_is_not_repaired(frontend: Frontend) -> None:
    armed = frontend.arm(5)
    for command, sent in (("receive", NEXT.objects_pack()), ("assemble", NEXT.links_pack())):
        assert frontend.run(command, NEXT.activation, stdin=sent).verdict == "REFUSED fenced"
    assert frontend.run("assemble", SERVED.activation, stdin=SERVED.links_pack()).verdict == "OK"
    assert armed.finish(f"GO {NEXT.activation}\n".encode()).verdict == "OK"
    assert frontend.names("ahead") == set()


def test_a_repair_that_a_flip_overtakes_is_refused(frontend: Frontend) -> None:
    for command, sent in (("receive", SERVED.objects_pack()), ("assemble", SERVED.links_pack())):
        frontend.place(fence=4, current=4, staged={4, 5})
        slow = frontend.start(command, SERVED.activation, size=len(sent))
        slow.say(sent[:20])
        frontend.wait_for_scratch()
        assert frontend.run("activate", NEXT.activation).verdict == "OK"
        assert slow.finish(sent[20:]).verdict == "REFUSED fenced"
        assert frontend.standing() == (5, activation_name(5), {activation_name(4), activation_name(5)}, set(), set())
