"""replace, mend, remove and restore put right what somebody has changed; survey and spoiled tell it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.domain.layout import Tree
from tests.remote.frontend import Frontend, check_tree, remove, snapshot
from tests.remote.hostile import NOT_OBJECTS, OBJECT
from tests.remote.packs import FILES, Stage, activation_name, hard_link, object_time, pack, sha256, symlink
from tests.remote.shells import SCRIPT
from workers.distribution.packs import mending_pack
from workers.frontend.survey import Survey, Surveyed

SERVED, NEXT = Stage(4), Stage(5, {**FILES, "next": b"next"})
RELEASE = f"releases/{SERVED.release}"
HEAL = (SERVED.activation, "4")
FILE = "scripts/app.js"


@pytest.fixture(autouse=True)
def serving(frontend: Frontend) -> None:
    """Serving 4."""
    frontend.serve(SERVED)


def whole_pack() -> bytes:
    return mending_pack(SERVED.trees, SERVED.by_hash)


def mend(frontend: Frontend) -> None:
    assert frontend.run("mend", *HEAL, stdin=whole_pack()).verdict == "OK"
    assert frontend.has(SERVED)
    assert frontend.names("incoming") == set()
    check_tree(frontend.root)
    for tree in SERVED.trees:
        top = frontend.root / tree.path
        assert all(
            p.stat().st_mode & 0o777 == 0o555 for p in (top, *top.rglob("*")) if p.is_dir() and not p.is_symlink()
        )


MARK = "0f" * 8


def survey(frontend: Frontend) -> Surveyed:
    answer = frontend.run("survey", MARK)
    return Survey("/x", MARK).parse("".join(f"{line}\n" for line in answer.lines).encode(), answer.exit)


def test_a_survey_tells_what_is_damaged(frontend: Frontend) -> None:
    shutil.copy(SCRIPT, frontend.root / "state/lockstep-frontend")
    seen = survey(frontend)
    assert (seen.fence, seen.current, seen.recipe, seen.options) == (4, SERVED.activation, "", "")
    (frontend.root / "state/fence").write_text("x\n")
    (frontend.root / "current").unlink()
    recipe = b"# x\n# lockstep-recipe a b\n# lockstep-recipe c\n"
    (frontend.root / "state/nginx.conf").write_bytes(recipe)
    seen = survey(frontend)
    assert (seen.fence, seen.current, seen.recipe, seen.options) == (None, "", sha256(recipe), "a b")
    (frontend.root / "state/fence").unlink()
    assert survey(frontend).fence is None
    assert frontend.run("inspect", "quick", RELEASE).verdict == "OK"
    for odd in ("a\tb", "\u00e9", "", "a\0", "x" * 2001):
        (frontend.root / "state/nginx.conf").write_text(f"# lockstep-recipe {odd}\n")
        assert survey(frontend).options == "", odd


def test_objects_that_are_not_what_their_name_says_are_spoiled(frontend: Frontend) -> None:
    lines = SERVED.object_lines
    assert frontend.run("spoiled", stdin=lines).lines == ["OK"]
    names = sorted(frontend.names("objects"))
    objects = [frontend.root / "objects" / name for name in names]
    objects[0].unlink()
    objects[1].chmod(0o644)
    for path in objects[2:4]:
        path.unlink()
    objects[2].symlink_to(objects[4])
    objects[3].mkdir()
    asked = [f"missing {line}" for line in lines.decode().split() if line in names[:4]]
    assert frontend.run("spoiled", stdin=lines).lines == [*asked, "OK"]
    assert frontend.run("replace", *HEAL, stdin=SERVED.objects_pack()).verdict == "OK"
    assert frontend.run("spoiled", stdin=lines).lines == ["OK"]
    assert frontend.names("incoming") == set()
    mend(frontend)


def test_a_spoiled_object_is_replaced(frontend: Frontend) -> None:
    name = sha256(FILES[FILE])
    path = frontend.root / "objects" / name
    path.chmod(0o644)
    path.write_bytes(b"strat()\n")
    assert f"missing {name}" in frontend.run("spoiled", stdin=SERVED.object_lines).lines
    assert frontend.run("replace", *HEAL, stdin=SERVED.objects_pack()).verdict == "OK"
    assert path.stat().st_mtime == object_time(name)
    mend(frontend)


def test_only_good_objects_replace(frontend: Frontend) -> None:
    before = snapshot(frontend.root.parent)
    for bad in NOT_OBJECTS[::4]:
        assert frontend.run("replace", *HEAL, stdin=pack(bad)).exit == 11, bad
    assert snapshot(frontend.root.parent) == before


def _directory(path: Path) -> None:
    path.unlink()
    (path / "x").mkdir(parents=True)


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc")


def _parent_link(path: Path) -> None:
    beside = path.parents[5] / "beside"
    remove(path.parent)
    path.parent.symlink_to(beside)


def _parent_file(path: Path) -> None:
    remove(path.parent)
    path.parent.write_bytes(b"x")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "a directory": _directory,
    "a link": _link,
    "its parent a link": _parent_link,
    "its parent a file": _parent_file,
    "its tree gone": lambda path: remove(path.parents[1]),
    "its app gone": lambda path: remove(path.parents[2]),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_in_the_way_is_put_right_and_nothing_beside_is_touched(frontend: Frontend, damage: str) -> None:
    path = frontend.root / RELEASE / FILE
    for directory in path.parents[:3]:
        directory.chmod(0o755)
    beside = snapshot(frontend.root.parent / "beside")
    DAMAGES[damage](path)
    mend(frontend)
    assert snapshot(frontend.root.parent / "beside") == beside


def test_links_of_an_activation_and_of_the_index_are_mended(frontend: Frontend) -> None:
    activation = frontend.root / "activations" / SERVED.activation
    activation.chmod(0o755)
    (activation / "ToDo").unlink()
    (activation / "ToDo").symlink_to("/etc")
    key = next(iter(SERVED.by_hash))
    (frontend.root / "by-hash" / key).unlink()
    (frontend.root / "by-hash" / key).symlink_to(f"../objects/{SERVED.by_hash[key]}")
    mend(frontend)


def test_extra_entries_stay_until_they_are_removed(frontend: Frontend) -> None:
    top = frontend.root / RELEASE
    top.chmod(0o755)
    (top / "extra").symlink_to("/etc")
    (top / "aside").symlink_to(frontend.root.parent / "beside")
    assert frontend.run("mend", *HEAL, stdin=whole_pack()).verdict == "OK"
    assert (top / "extra").is_symlink()
    assert frontend.run("remove", *HEAL, stdin=f"{RELEASE}/aside/mine\n{RELEASE}/none\n".encode()).verdict == "OK"
    assert (frontend.root.parent / "beside/mine").exists()
    lines = f"{RELEASE}/extra\n{RELEASE}/aside\n{RELEASE}/scripts\n"
    assert frontend.run("remove", *HEAL, stdin=lines.encode()).verdict == "OK"
    assert frontend.has(SERVED)
    assert top.stat().st_mode & 0o777 == 0o555


BAD_PATHS = [
    *("x", "current", "state/fence", RELEASE, f"{RELEASE}/", f"{RELEASE}/../x", f"{RELEASE}/./x", f"{RELEASE}//x"),
    *(f"{RELEASE}/x\ty", f"{RELEASE}/x\\y", f"{RELEASE}/x\0y", f"{RELEASE}/x/..", f"activations/{SERVED.activation}"),
    *("releases/ToDo/x/y", "by-hash/x", f"/{RELEASE}/x", f" {RELEASE}/x"),
]


def test_only_paths_in_trees_are_removed(frontend: Frontend) -> None:
    before = snapshot(frontend.root.parent)
    for bad in BAD_PATHS:
        assert frontend.run("remove", *HEAL, stdin=f"{RELEASE}/{FILE}\n{bad}\n".encode()).verdict == "REFUSED words", (
            bad
        )
    assert snapshot(frontend.root.parent) == before


def test_only_links_in_their_places_mend(frontend: Frontend) -> None:
    before = snapshot(frontend.root.parent)
    act = f"tree/activations/{SERVED.activation}"
    places = ("x", "tree/activation/x", act, f"{act}/../x", f"tree/{RELEASE}", "tree/by-hash/x")
    for bad in (
        *(hard_link(name, OBJECT) for name in places),
        *(symlink(f"{act}/x", target) for target in ("/etc", "../../releases", "../../releases/x/y")),
        *(symlink(name, f"../../{RELEASE}") for name in (f"{act}/x/y", f"tree/{RELEASE}/x", "tree/activations/x/y")),
    ):  # fmt: skip
        assert frontend.run("mend", *HEAL, stdin=pack(bad)).verdict == "FAILED pack", bad
    assert snapshot(frontend.root.parent) == before


def test_a_directory_of_the_root_that_is_a_link_is_not_followed(frontend: Frontend) -> None:
    (frontend.root / "by-hash").rename(frontend.root.parent / "aside")
    (frontend.root / "by-hash").symlink_to(frontend.root.parent / "aside")
    assert frontend.run("mend", *HEAL, stdin=whole_pack()).verdict == "FAILED state"


@pytest.mark.parametrize("command", ["replace", "mend", "remove", "restore"])
def test_healing_has_its_fence(frontend: Frontend, command: str) -> None:
    (frontend.root / "state/fence").write_text("6\n")
    before = snapshot(frontend.root)
    assert frontend.run(command, SERVED.activation, "5").verdict == "REFUSED fenced"
    for words in ((SERVED.activation, "3"), (SERVED.activation, "x"), (SERVED.activation,), ("x", "6"), (*HEAL, "1")):
        assert frontend.run(command, *words).verdict == "REFUSED words", words
    assert snapshot(frontend.root) == before


def test_current_is_restored_from_a_later_one(frontend: Frontend) -> None:
    frontend.place(fence=4, current=7, staged={4, 7}, armed={4})
    assert frontend.run("restore", activation_name(4), "9").lines[0].startswith(f"ACTIVE {activation_name(4)} ")
    assert (frontend.current, frontend.fence, frontend.armed) == (activation_name(4), 9, set())
    assert frontend.run("restore", activation_name(4), "9").lines == [f"ACTIVE {activation_name(4)} 0", "OK"]
    assert frontend.run("restore", activation_name(5), "9").verdict == "REFUSED unstaged"
    (frontend.root / "current").unlink()
    (frontend.root / "current").symlink_to("/etc")
    assert frontend.run("restore", activation_name(4), "9").verdict == "OK"
    assert frontend.current == activation_name(4)


def test_a_reader_never_misses_a_file_that_is_mended(frontend: Frontend) -> None:
    path = frontend.root / RELEASE / FILE
    missed: list[str] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                path.read_bytes()
            except OSError as error:
                missed.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    path.parent.chmod(0o755)
    tree = Tree(RELEASE, {FILE: sha256(FILES[FILE])}, {})
    for _ in range(5):
        copy = path.with_name("copy")
        copy.write_bytes(b"strat()\n")
        copy.rename(path)
        assert frontend.run("mend", *HEAL, stdin=mending_pack([tree], {})).verdict == "OK"
        assert path.read_bytes() == FILES[FILE]
    over.set()
    reader.join()
    assert missed == []
