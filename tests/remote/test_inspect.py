"""inspect: what lies in the trees, what is hashed for it, and what is trusted because its stamp has stayed."""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.remote.frontend import Frontend, snapshot
from tests.remote.packs import Stage, activation_name, sha256
from tests.remote.shims import COMMANDS, killed, recorded, shims
from workers.frontend.inspection import BY_HASH, Inspect, Inspected, InspectedFile

STAGE = Stage(1)
ACTIVATION, RELEASE = (tree.path for tree in STAGE.trees)
pytestmark = pytest.mark.parametrize("shell", ["dash", "busybox"], indirect=True)
TREES = (ACTIVATION, RELEASE, BY_HASH)
#: As the script makes them of any file.
STAMP = re.compile(r"([0-9]+:){3}[0-9]+(\.[0-9]+)?:[0-9]+(\.[0-9]+)? [0-9a-f]{64}")


@pytest.fixture
def staged(frontend: Frontend, tmp_path: Path) -> Iterator[Frontend]:
    """A frontend with one release, for whose `date` all of it has been lying there for an hour."""
    frontend.stage(STAGE)
    yield later(frontend, tmp_path)


def later(frontend: Frontend, directory: Path) -> Frontend:
    """The same frontend with a clock that is an hour ahead."""
    bin_ = directory / "later"
    bin_.mkdir(mode=0o755)
    (bin_ / "date").write_text(f"#!/bin/sh\necho {int(time.time()) + 3600}\n")
    (bin_ / "date").chmod(0o755)
    return Frontend(replace(frontend.shell, path=f"{bin_}:{frontend.shell.path}"), frontend.root)


def inspect(frontend: Frontend, *trees: str, deep: bool = False) -> Inspected:
    """What the worker would make of it."""
    command = Inspect(str(frontend.root), deep, trees or TREES)
    answer = frontend.run(command.name, *command.words())
    said = "".join(f"{line}\n" for line in answer.lines).encode("utf-8", "surrogateescape")
    return command.parse(said, answer.exit)


def open_up(frontend: Frontend, path: str) -> Path:
    """A path in the release, its directory writable."""
    changed = frontend.root / RELEASE / path
    changed.parent.chmod(0o755)
    return changed


def overwrite(path: Path, content: bytes) -> None:
    """In place, so that every link of it changes; its times and mode as they were."""
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(before.st_mode & 0o7777)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def stamps(frontend: Frontend) -> list[str]:
    """What is trusted."""
    lines = (frontend.root / "state/audited").read_text().splitlines()
    assert all(STAMP.fullmatch(line) for line in lines), lines
    return sorted(lines)


def test_what_was_staged_is_told_with_modes_and_hashes_and_nothing_else_changes(staged: Frontend) -> None:
    before = snapshot(staged.root)
    first, again, deep = inspect(staged), inspect(staged), inspect(staged, deep=True)
    for tree, told in zip(STAGE.trees, (first.trees[ACTIVATION], first.trees[RELEASE]), strict=True):
        assert told is not None
        assert told.files == {path: InspectedFile(0o444, sha) for path, sha in tree.files.items()}
        assert (told.links, told.others) == (tree.links, {})
    index = first.trees[BY_HASH]
    assert index is not None
    assert index.links == {key: f"../objects/{sha}" for key, sha in STAGE.by_hash.items()}
    assert first.trees == again.trees == deep.trees
    total = sum(map(len, STAGE.contents))
    # Every inode once, however many links it has.
    assert (first.hashed_files, first.hashed_bytes) == (len(STAGE.contents), total)
    assert (again.hashed_files, again.hashed_bytes) == (0, 0)
    assert (deep.hashed_files, deep.hashed_bytes) == (len(STAGE.contents), total)
    assert snapshot(staged.root, ignored=["state/audited"]) == before
    assert len(stamps(staged)) == len(STAGE.contents)


def test_the_answer_has_its_form_to_the_letter(staged: Frontend) -> None:
    gone = f"activations/{activation_name(9)}"
    answer = staged.run("inspect", "quick", gone, ACTIVATION)
    document = sha256(STAGE.document)
    assert answer.lines == [
        f"gone {gone}",
        f"tree {ACTIVATION}",
        f"f 0444 {document} -/activation.json",
        f"l ../../releases/{STAGE.release}\tToDo",
        f"hashed 1 {len(STAGE.document)}",
        "OK",
    ]


def test_what_has_just_been_written_is_hashed_until_it_has_been_left_alone(frontend: Frontend, tmp_path: Path) -> None:
    frontend.stage(STAGE)
    assert [inspect(frontend).hashed_files for _ in range(2)] == [len(STAGE.contents)] * 2
    assert not stamps(frontend)
    frontend = later(frontend, tmp_path)
    assert [inspect(frontend).hashed_files for _ in range(2)] == [len(STAGE.contents), 0]


def test_every_kind_of_entry_is_told(staged: Frontend) -> None:
    top = open_up(staged, "index.html").parent
    os.mkfifo(top / "a fifo")
    with socket.socket(socket.AF_UNIX) as unix:
        inside = os.open(top, os.O_PATH)
        unix.bind(f"/proc/self/fd/{inside}/socket")
        os.close(inside)
    (top / "to a ->  b").symlink_to("/etc/x -> y\u00e9' ")
    (top / "torn").symlink_to("x\ny")
    (top / "tab").symlink_to("x\ty")
    (top / "dangling").symlink_to("index.html")
    (top / "back\\slash").write_bytes(b"x")
    (top / "line\nend").mkdir()
    (top / "line\nend" / "in").write_bytes(b"x")
    (top / "more").write_bytes(b"more")
    (top / "more").chmod(0o4750)
    (top / "index.html").unlink()
    told = inspect(staged).trees[RELEASE]
    assert told is not None
    assert "index.html" not in told.files
    assert told.files["more"] == InspectedFile(0o4750, sha256(b"more"))
    links = {"to a ->  b": "/etc/x -> y\u00e9' ", "dangling": "index.html"}
    # Links that are listed behind a torn one can't be told from what it holds.
    lost = {path: "link" for path in links if path not in told.links}
    assert {path: links[path] for path in told.links} == told.links
    assert told.others == {
        **lost,
        "a fifo": "fifo",
        "socket": "socket",
        "torn": "link",
        "tab": "link",
        "back\\slash": "name",
        "line\\end": "name",
        "line\\end/in": "name",
    }
    (top / "torn").unlink()
    told = inspect(staged).trees[RELEASE]
    assert told is not None
    assert told.links == links


def test_a_torn_link_never_passes_for_another(staged: Frontend) -> None:
    top = open_up(staged, "index.html").parent
    name = f"{RELEASE}/a"
    for quote in ("", "'"):
        (top / "a").symlink_to(f"x\n4 {name}/{quote}{name}{quote} -> {quote}good{quote}")
        told = inspect(staged, RELEASE).trees[RELEASE]
        assert told is not None
        assert (told.links, told.others) == ({}, {"a": "link"})
        (top / "a").unlink()


def test_names_that_a_shell_or_a_pattern_might_read_are_told_as_they_are(frontend: Frontend) -> None:
    names = [
        *("-rf", "a -> b", "'", "it's", '"', "$(id)", "`id`", "*", "[a]", "a  b", " a", "a ", "#x", "~", "o ? y", "%s"),
        *("...", "x\u20ac\U0001f600", "a+b", "100%", "caf\udce9\udcff", "x\u0085y", "keep x", "wrong x", "sum"),
    ]
    stage = Stage(1, {f"{name}/{name}": os.fsencode(name) for name in names})
    frontend.stage(stage)
    tree = stage.trees[1]
    told = inspect(frontend, tree.path).trees[tree.path]
    assert told is not None
    assert {path: file.sha256 for path, file in told.files.items()} == tree.files


def test_a_changed_mode_and_changed_bytes_are_found_though_the_time_was_put_back(staged: Frontend) -> None:
    inspect(staged)
    path = staged.root / RELEASE / "index.html"
    before = path.stat()
    overwrite(path, b"<!DOCTYPE html>\n")
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)
    told = inspect(staged)
    assert told.hashed_files == 1
    tree, index = told.trees[RELEASE], told.trees[BY_HASH]
    assert tree is not None
    assert index is not None
    assert tree.files["index.html"] == InspectedFile(0o444, sha256(b"<!DOCTYPE html>\n"))
    assert f"../objects/{sha256(b'<!DOCTYPE html>' + bytes([10]))}" in index.links.values()
    path.chmod(0o666)
    tree = inspect(staged).trees[RELEASE]
    assert tree is not None
    assert tree.files["index.html"].mode == 0o666


def test_what_changed_below_an_unchanged_stamp_is_found_by_a_deep_one_alone(staged: Frontend) -> None:
    inspect(staged)
    path, audited = staged.root / RELEASE / "index.html", staged.root / "state/audited"
    before = {line.split(" ")[0]: line for line in stamps(staged)}
    overwrite(path, b"<!DOCTYPE html>\n")
    inspect(staged)
    good, bad = sha256(STAGE.files["index.html"]), sha256(b"<!DOCTYPE html>\n")
    assert {line.split(" ")[0] for line in stamps(staged)} != set(before)
    audited.write_text(audited.read_text().replace(bad, good))
    for deep, expected in ((False, good), (True, bad), (False, bad)):
        tree = inspect(staged, deep=deep).trees[RELEASE]
        assert tree is not None
        assert tree.files["index.html"].sha256 == expected, deep


def test_a_stat_without_nanoseconds_makes_stamps_of_whole_seconds(staged: Frontend, tmp_path: Path) -> None:
    stat = shutil.which("stat", path=staged.shell.path)
    (tmp_path / "later/stat").write_text(f'#!/bin/sh\n{stat} "$@" | sed -E "s,(:[0-9][0-9])[.][0-9]+,\\1,g"\n')
    (tmp_path / "later/stat").chmod(0o755)
    assert [inspect(staged).hashed_files for _ in range(2)] == [len(STAGE.contents), 0]
    assert not any("." in line for line in stamps(staged))


def test_a_deep_one_forgets_what_it_has_not_seen_and_a_quick_one_does_not(staged: Frontend) -> None:
    inspect(staged)
    every = stamps(staged)
    (staged.root / "state/audited").write_text("")
    inspect(staged, ACTIVATION)
    assert len(stamps(staged)) == 1
    inspect(staged, RELEASE)
    assert stamps(staged) == every
    inspect(staged, ACTIVATION, deep=True)
    assert len(stamps(staged)) == 1


@pytest.mark.parametrize("content", ["", "x\n", "a b c\n", "\0\n", f"1:2:3:4:5 {'g' * 64}\n", "1:2:3:4:5 " + "a" * 63])
def test_stamps_that_have_not_their_form_count_for_nothing(staged: Frontend, content: str) -> None:
    (staged.root / "state/audited").write_text(content)
    assert inspect(staged).hashed_files == len(STAGE.contents)
    assert len(stamps(staged)) == len(STAGE.contents)


def test_trees_that_are_not_there_are_gone_and_a_link_is_no_tree(staged: Frontend) -> None:
    other = "releases/Other/" + "0" * 64
    for path in (RELEASE, BY_HASH):
        (staged.root / path).chmod(0o755)
        (staged.root / path).rename(staged.root / f"{path}.aside")
    (staged.root / BY_HASH).symlink_to("by-hash.aside")
    told = inspect(staged, RELEASE, other, BY_HASH)
    assert told == Inspected({RELEASE: None, other: None, BY_HASH: None}, 0, 0)


def test_an_inspection_that_is_killed_leaves_all_the_stamps_or_those_before(staged: Frontend, tmp_path: Path) -> None:
    inspect(staged)
    before = stamps(staged)
    overwrite(staged.root / RELEASE / "index.html", b"<!DOCTYPE html>\n")
    path = shims(tmp_path / "shims", staged.shell)
    audited = staged.root / "state/audited"
    # The words of some commands have several lines, each of which counts as a turn. What comes before it writes is
    # killed once.
    lines = recorded(staged, "inspect", "deep", *TREES)
    turn, seen = next(number for number, line in enumerate(lines) if line.startswith("flock")), []
    audited.write_text("".join(f"{line}\n" for line in before))
    while killed(staged, path, turn, "inspect", "deep", *TREES):
        seen.append(stamps(staged))
        audited.write_text("".join(f"{line}\n" for line in before))
        turn += 1
    assert len(seen) > 3
    assert all(len(found) == len(before) for found in seen)
    assert before in seen
    assert len({tuple(found) for found in seen}) == 2
    inspect(staged)
    assert {name for name in staged.names("state") if "audited" in name} == {"audited"}


def test_stamps_that_can_not_be_written_are_none_and_the_answer_is_the_same(staged: Frontend, tmp_path: Path) -> None:
    before = inspect(staged, deep=True)
    (tmp_path / "later/mv").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "later/mv").chmod(0o755)
    assert inspect(staged, deep=True) == before
    assert not {name for name in staged.names("state") if "audited" in name}


def test_processes_do_not_grow_with_files(frontend: Frontend) -> None:
    frontend.stage(Stage(1, {f"{n}.js": b"%d" % n for n in range(4)}))
    few = started(frontend, "inspect", "deep", BY_HASH)
    many = Stage(2, {f"assets/{n % 20}/file {n}.js": b"%d" % n for n in range(400)})
    frontend.stage(many)
    trees = ("inspect", "deep", *(tree.path for tree in many.trees), BY_HASH)
    many_started = started(frontend, *trees)
    assert few <= many_started <= few + 4
    assert many_started <= 24


def started(frontend: Frontend, *words: str) -> int:
    """How many processes; some have words of several lines."""
    return sum(line.split(" ")[0] in COMMANDS for line in recorded(frontend, *words))


def test_it_runs_at_the_lowest_priority(staged: Frontend, tmp_path: Path) -> None:
    told = tmp_path / "priority"
    path = shims(tmp_path / "shims", staged.shell)
    more = {
        "RECORD": str(tmp_path / "record"),
        "MEDDLE_AT": "sha256sum*",
        "MEDDLE": f"read -r line </proc/self/stat; echo $line >>{told}",
    }
    shell = replace(staged.shell, path=f"{path}:{staged.shell.path}", more=more)
    assert shell.run(staged.root, "inspect", "deep", RELEASE).verdict == "OK"
    assert {line.rpartition(") ")[2].split(" ")[16] for line in told.read_text().splitlines()} == {"19"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_a_file_that_can_not_be_read_is_told_as_that(staged: Frontend) -> None:
    path = staged.root / RELEASE / "index.html"
    path.chmod(0)
    command = Inspect(str(staged.root), deep=True, trees=TREES)
    answer = staged.shell.run(staged.root, command.name, *command.words(), user=65534)
    told = command.parse("".join(f"{line}\n" for line in answer.lines).encode(), answer.exit)
    tree, index = told.trees[RELEASE], told.trees[BY_HASH]
    assert tree is not None
    assert index is not None
    assert tree.files["index.html"] == InspectedFile(0, "")
    assert tree.files["scripts/app.js"].sha256 == sha256(STAGE.files["scripts/app.js"])
    assert list(index.others.values()) == ["unreadable"]
    # That account may not write to state: it is answered all the same.
    assert "audited" not in staged.names("state")
    (staged.root / RELEASE / "scripts").chmod(0)
    answer = staged.shell.run(staged.root, command.name, *command.words(), user=65534)
    assert answer.verdict == "FAILED io"
    assert "scripts" in answer.lines[-1]


BAD_WORDS = [
    *([], ["quick"], ["deep"], ["", RELEASE], ["Quick", RELEASE], ["quick\n", RELEASE], [RELEASE, "quick"]),
    *(["quick", tree] for tree in ("", ".", "objects", "by-hash/", "by-hash/..", "activations", f"{RELEASE}/")),
    *(["quick", tree] for tree in ("*", "-x", f"/{RELEASE}", f"{RELEASE}\n", f"x {RELEASE}", "releases/../objects")),
    *(["quick", BY_HASH, BY_HASH], ["quick", RELEASE, ACTIVATION, RELEASE], ["quick", BY_HASH, "x"]),
]


def test_only_the_exact_form_of_its_words_is_accepted(frontend: Frontend) -> None:
    before = snapshot(frontend.root.parent)
    for words in BAD_WORDS:
        assert frontend.run("inspect", *words).verdict == "REFUSED words", words
    assert snapshot(frontend.root.parent) == before
