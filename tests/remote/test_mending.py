"""What is served is put right in its place, one rename for each entry, and only at the fleet's last epoch."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.domain.layout import Tree
from tests.remote.frontend import Frontend, check_tree, remove, snapshot
from tests.remote.packs import (
    Member,
    Stage,
    activation_name,
    content_member,
    hard_link,
    objects_pack,
    pack,
    sha256,
    symlink,
)
from workers.distribution.packs import mending_pack

pytestmark = pytest.mark.parametrize("shell", ["dash", "busybox"], indirect=True)
FIRST, SECOND = Stage(3, {"index.html": b"before", "old/only.txt": b"old"}), Stage(5)
ACTIVATION, RELEASE = SECOND.trees
ODD = "images/caf\u00e9 'au' lait/$HOME `id` *.svg"


@pytest.fixture
def serving(frontend: Frontend) -> Frontend:
    """The second of two deployments."""
    frontend.serve(FIRST, SECOND)
    return frontend


def heal(frontend: Frontend, command: str, stdin: bytes = b"", *, epoch: int = 5, fence: int = 5) -> str:
    return frontend.run(command, activation_name(epoch), str(fence), stdin=stdin).verdict


def mends(frontend: Frontend, *trees: Tree, by_hash: dict[str, str] | None = None) -> None:
    assert heal(frontend, "mend", mending_pack(trees, by_hash or {})) == "OK"


def part(tree: Tree, *paths: str) -> Tree:
    """Of a tree these entries."""
    return Tree(
        tree.path,
        {path: sha for path, sha in tree.files.items() if path in paths},
        {path: target for path, target in tree.links.items() if path in paths},
    )


def opened(path: Path) -> Path:
    """Its directory may be written to."""
    path.parent.chmod(0o755)
    return path


def spoiled(frontend: Frontend) -> list[str]:
    answer = frontend.run("spoiled", stdin=SECOND.object_lines)
    assert answer.verdict == "OK"
    return [line.removeprefix("missing ") for line in answer.lines[:-1]]


# ── objects ──


def other_bytes(path: Path) -> None:
    found = path.stat()
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[::-1])
    path.chmod(0o444)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def becomes_a_link(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.with_name("target").write_bytes(content)
    path.symlink_to("target")


SPOILS: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "other bytes": other_bytes,
    "mode": lambda path: path.chmod(0o600),
    "unreadable": lambda path: path.chmod(0),
    "time": os.utime,
    "link": becomes_a_link,
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_an_object_that_is_not_what_was_received_is_told_and_replaced(
    serving: Frontend, spoil: Callable[[Path], object]
) -> None:
    assert spoiled(serving) == []
    content = SECOND.files["scripts/app.js"]
    spoil(serving.root / "objects" / sha256(content))
    assert spoiled(serving) == [sha256(content)]
    # A deployment would keep what is there.
    assert heal(serving, "replace", objects_pack(content)) == "OK"
    assert spoiled(serving) == []


def test_a_hundred_objects_are_told_in_one_go_and_each_once(serving: Frontend) -> None:
    for content in SECOND.contents:
        if content:
            other_bytes(serving.root / "objects" / sha256(content))
    assert spoiled(serving) == [sha256(content) for content in SECOND.contents if content]


# ── entries ──


def test_entries_are_put_right_where_they_are_served(serving: Frontend) -> None:
    root = serving.root / RELEASE.path
    opened(root / "index.html").unlink()
    (root / "index.html").write_bytes(b"edited")
    opened(root / ODD).unlink()
    opened(root / "scripts/app.js").unlink()
    (root / "scripts/app.js").mkdir()
    (root / "scripts/app.js/inside").touch()
    opened(root / "images/again.svg").unlink()
    os.mkfifo(root / "images/again.svg")
    (serving.root / ACTIVATION.path).chmod(0o755)
    (serving.root / ACTIVATION.path / "ToDo").unlink()
    (serving.root / ACTIVATION.path / "ToDo").symlink_to("../../releases")
    key, sha = next(iter(SECOND.by_hash.items()))
    (serving.root / "by-hash" / key).unlink()
    mends(
        serving,
        part(RELEASE, "index.html", ODD, "scripts/app.js", "images/again.svg"),
        part(ACTIVATION, "ToDo"),
        by_hash={key: sha},
    )
    assert serving.has(SECOND)
    check_tree(serving.root)
    assert (root / "scripts").stat().st_mode & 0o777 == 0o555


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/"), lambda path: path.write_bytes(b"file")],
                         ids=["link", "file"])  # fmt: skip
def test_what_lies_where_a_directory_should_be_is_never_followed(
    serving: Frontend, make: Callable[[Path], object]
) -> None:
    scripts = serving.root / RELEASE.path / "scripts"
    opened(scripts)
    remove(scripts)
    make(scripts)
    beside = snapshot(serving.root.parent / "beside")
    mends(serving, part(RELEASE, "scripts/app.js"))
    assert serving.has(SECOND)
    assert snapshot(serving.root.parent / "beside") == beside
    assert not Path("/app.js").exists()


def test_a_link_to_somewhere_else_in_the_place_of_an_app_is_not_followed(serving: Frontend) -> None:
    (serving.root / "releases/ToDo").rename(serving.root.parent / "moved")
    (serving.root / "releases/ToDo").symlink_to(serving.root.parent / "moved")
    before = snapshot(serving.root.parent / "moved")
    assert heal(serving, "mend", mending_pack([part(RELEASE, "index.html")], {})) == "OK"
    assert snapshot(serving.root.parent / "moved") == before
    assert not (serving.root / "releases/ToDo").is_symlink()


def test_a_tree_that_is_gone_comes_back_whole(serving: Frontend) -> None:
    for tree in (RELEASE, *FIRST.trees):
        opened(serving.root / tree.path)
        remove(serving.root / tree.path)
    mends(serving, RELEASE, *FIRST.trees)
    assert serving.has(SECOND)
    assert serving.has(FIRST)
    check_tree(serving.root)
    for tree in (RELEASE, FIRST.trees[0]):
        assert (serving.root / tree.path).stat().st_mode & 0o777 == 0o555


def test_a_client_never_misses_a_file_that_is_put_right(serving: Frontend) -> None:
    path = serving.root / RELEASE.path / "index.html"
    content, stop, missed = path.read_bytes(), threading.Event(), []

    def reads() -> None:
        while not stop.is_set():
            try:
                if path.read_bytes() not in (content, b"edited"):
                    missed.append("half")
            except OSError as error:
                missed.append(str(error))

    reader = threading.Thread(target=reads)
    reader.start()
    try:
        for _ in range(10):
            new = opened(path).with_name("new")
            new.write_bytes(b"edited")
            new.rename(path)
            mends(serving, part(RELEASE, "index.html"))
            assert path.read_bytes() == content
    finally:
        stop.set()
        reader.join()
    assert missed == []


def test_what_should_not_be_there_stays_until_it_is_removed(serving: Frontend) -> None:
    root = serving.root / RELEASE.path
    extra = opened(root / 'scripts/it\'s "extra" $x.js')
    extra.touch()
    opened(root / "pipe").symlink_to("/etc/passwd")
    mends(serving, part(RELEASE, "scripts/app.js"))
    assert extra.exists()
    lines = f"{RELEASE.path}/{extra.relative_to(root)}\n{RELEASE.path}/pipe\n{RELEASE.path}/not there\n"
    assert heal(serving, "remove", lines.encode()) == "OK"
    assert serving.has(SECOND)
    assert Path("/etc/passwd").exists()
    assert extra.parent.stat().st_mode & 0o777 == 0o555


def test_nothing_behind_a_link_is_removed(serving: Frontend) -> None:
    opened(serving.root / RELEASE.path / "way").symlink_to(serving.root.parent / "beside")
    assert heal(serving, "remove", f"{RELEASE.path}/way/mine\n".encode()) == "OK"
    assert (serving.root.parent / "beside/mine").exists()


NO_PATHS = [
        "", "state/fence", "objects/x", "current", RELEASE.path, f"{RELEASE.path}/", f"{RELEASE.path}/../x",
        f"{RELEASE.path}/a//b", f"{RELEASE.path}/./a", f"/{RELEASE.path}/a", f"{RELEASE.path}/a\\b",
        f"{RELEASE.path}/a\tb", f"{RELEASE.path}/a\0b", "activations/x/y", "releases/ToDo/x/y",
    ]  # fmt: skip


def test_only_paths_below_a_tree_are_removed(serving: Frontend) -> None:
    before = snapshot(serving.root)
    good = f"{RELEASE.path}/index.html"
    for line in NO_PATHS:
        assert heal(serving, "remove", f"{good}\n{line}\n{good}\n".encode()) == "REFUSED words", line
    assert snapshot(serving.root) == before


SHA = sha256(SECOND.document)
HOSTILE = {
    "content": content_member(b"x"),
    "object": hard_link("objects/x", SHA),
    "outside": hard_link("tree/releases/../../x", SHA),
    "state": hard_link("tree/state/fence", SHA),
    "assembled": hard_link("tree/activation/x", SHA),
    "no activation": symlink("tree/activations/x/ToDo", f"../../{RELEASE.path}"),
    "deep link": symlink(f"tree/{ACTIVATION.path}/a/b", f"../../{RELEASE.path}"),
    "link in a release": symlink(f"tree/{RELEASE.path}/b", f"../../{RELEASE.path}"),
    "link away": symlink(f"tree/{ACTIVATION.path}/b", "../../state"),
    "no name": hard_link("tree/by-hash/short", SHA),
    "directory": Member(f"tree/{RELEASE.path}/d", b"5"),
}


def test_nothing_else_comes_in_a_pack(serving: Frontend) -> None:
    before = snapshot(serving.root)
    for name, member in HOSTILE.items():
        packed = pack(hard_link(f"tree/{ACTIVATION.path}/-/x", SHA), member)
        assert heal(serving, "mend", packed) == "FAILED pack", name
    assert snapshot(serving.root) == before


# ── current and the fence ──


@pytest.mark.parametrize("target", [FIRST.activation, activation_name(9), "elsewhere", None])
def test_whatever_is_current_becomes_what_was_committed(serving: Frontend, target: str | None) -> None:
    (serving.root / "activations" / activation_name(9)).mkdir()
    (serving.root / "current").unlink()
    if target is not None:
        (serving.root / "current").symlink_to(f"activations/{target}" if "-" in target else target)
    answer = serving.run("restore", SECOND.activation, "7")
    assert answer.verdict == "OK"
    assert answer.lines[0].startswith(f"ACTIVE {SECOND.activation} ")
    assert (serving.current, serving.fence) == (SECOND.activation, 7)


def test_who_is_armed_at_the_token_or_below_flips_no_more(serving: Frontend) -> None:
    serving.stage(Stage(6))
    with serving.arm(6).process as armed:
        assert heal(serving, "restore", fence=6) == "OK"
        armed.communicate(f"GO {activation_name(6)}\n".encode())
    assert serving.current == SECOND.activation


@pytest.mark.parametrize("command", ["replace", "mend", "remove", "restore"])
def test_below_the_fence_nothing_is_healed(serving: Frontend, command: str) -> None:
    serving.stage(Stage(7))
    with serving.arm(7).process as armed:
        before = snapshot(serving.root)
        stdin = {
            "replace": objects_pack(b"x"),
            "mend": mending_pack([part(RELEASE, "index.html")], {}),
            "remove": f"{RELEASE.path}/index.html\n".encode(),
            "restore": b"",
        }[command]
        assert heal(serving, command, stdin, fence=6) == "REFUSED fenced"
        assert snapshot(serving.root) == before
        armed.communicate(f"GO {activation_name(7)}\n".encode())
    assert serving.current == activation_name(7)


def test_an_activation_above_its_token_is_refused(serving: Frontend) -> None:
    for command in ("replace", "mend", "remove", "restore"):
        assert heal(serving, command, epoch=6, fence=5) == "REFUSED words"


def test_what_is_not_there_does_not_become_current(serving: Frontend) -> None:
    assert heal(serving, "restore", epoch=4) == "REFUSED unstaged"
    assert serving.current == SECOND.activation


# ── the survey ──


def survey(frontend: Frontend) -> list[str]:
    answer = frontend.run("survey", "0123456789abcdef")
    assert answer.verdict == "OK", answer
    return answer.lines[:-1]


def test_a_survey_tells_what_a_probe_tells_and_leaves_its_mark(serving: Frontend) -> None:
    probed = {line for line in serving.run("probe").lines[:-1] if not line.startswith(("clock ", "free "))}
    lines = set(survey(serving))
    assert lines >= probed
    assert lines >= {"place 0123456789abcdef", "recipe -", "options -"}
    assert (serving.root / "state/place").read_bytes() == b"0123456789abcdef"


def test_a_survey_and_an_inspection_answer_where_something_is_broken(serving: Frontend) -> None:
    (serving.root / "state/lockstep-frontend").touch()
    (serving.root / "state/fence").write_text("much\n")
    (serving.root / "current").unlink()
    assert {"fence -", "current -"} <= set(survey(serving))
    (serving.root / "current").symlink_to("elsewhere")
    (serving.root / "state/fence").unlink()
    assert {"fence -", "current -"} <= set(survey(serving))
    assert serving.run("inspect", "quick", "by-hash").verdict == "OK"
    # What was lost is made anew, never lower than anything that is here.
    assert serving.run("init").verdict == "FAILED state"
    assert serving.fence == 5
    (serving.root / "current").unlink()
    assert serving.run("init").verdict == "OK"
    assert serving.current == activation_name(0)


@pytest.mark.parametrize(
    ("first", "options"),
    [("# lockstep-recipe {}", "{}"), ("# lockstep-recipe ", "-"), ("# lockstep-recipe \u00e9", "-"), ("server {", "-"),
     ("# lockstep-recipe " + "x" * 2001, "-")],
    ids=["plain", "empty", "not ASCII", "none", "long"],
)  # fmt: skip
def test_a_survey_tells_what_the_recipe_was_made_of(serving: Frontend, first: str, options: str) -> None:
    content = f"{first}\nserver {{}}\n".encode()
    (serving.root / "state/nginx.conf").write_bytes(content)
    assert {f"recipe {sha256(content)}", f"options {options}"} <= set(survey(serving))
