"""verify and listing: every file hashed again, no entry more or less, and nothing that passes for something else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.domain.layout import Tree
from tests.remote.frontend import Frontend, snapshot
from tests.remote.packs import Stage, activation_name, sha256

STAGE = Stage(1)
ACTIVATION, RELEASE = STAGE.trees


def told(frontend: Frontend) -> dict[str, str]:
    """Tree -> hash and number of its entries."""
    *lines, last = frontend.run("verify", STAGE.activation, STAGE.release).lines
    assert last == "OK"
    words = [line.split(" ") for line in lines]
    assert all(len(line) == 4 and line[0] == "tree" for line in words)
    return {line[1]: f"{line[2]} {line[3]}" for line in words}


def expected(tree: Tree) -> str:
    """What `told` should hold."""
    return f"{tree.digest()} {len(tree.listing())}"


def test_what_was_staged_has_the_listing_that_the_layout_foretells(frontend: Frontend) -> None:
    frontend.stage(STAGE)
    before = snapshot(frontend.root)
    assert told(frontend) == {tree.path: expected(tree) for tree in STAGE.trees}
    for tree in STAGE.trees:
        assert frontend.run("listing", tree.path).lines == [*(f"entry {line}" for line in tree.listing()), "OK"]
    assert snapshot(frontend.root) == before


def test_an_empty_tree_has_an_empty_listing(frontend: Frontend) -> None:
    empty = Tree(f"activations/{activation_name(0)}", {}, {})
    assert frontend.run("verify", activation_name(0)).lines == [f"tree {empty.path} {empty.digest()} 0", "OK"]
    assert frontend.run("listing", empty.path).lines == ["OK"]


def test_names_that_a_shell_or_a_pattern_might_read_are_listed_as_they_are(frontend: Frontend) -> None:
    names = [
        *("-rf", "a -> b", "'", "it's", '"', "$(id)", "`id`", "*", "[a]", "a  b", " a", "a ", "#x", "~", "o ? y", "%s"),
        *("...", "x\u20ac\U0001f600"),
    ]
    stage = Stage(1, {f"{name}/{name}": name.encode() for name in names})
    frontend.stage(stage)
    for tree in stage.trees:
        assert frontend.run("listing", tree.path).lines == [*(f"entry {line}" for line in tree.listing()), "OK"]


def test_names_are_bytes_whatever_letters_the_login_knows(frontend: Frontend) -> None:
    names = [b"caf\xe9\xff", "caf\u00e9".encode(), "x\u0085y".encode(), b"Z", b"a", b"_"]
    files = {name.decode("utf-8", "surrogateescape"): name for name in names}
    stage = Stage(1, files)
    frontend.stage(stage)
    lines = sorted(f"entry f {sha256(name)} ".encode() + name for name in names)
    listed = frontend.run("listing", stage.trees[1].path).lines
    assert [line.encode("utf-8", "surrogateescape") for line in listed[:-1]] == lines


def change(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"changed")


def empty(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"")


def rename(path: Path) -> None:
    path.rename(path.with_name("other"))


def link(path: Path) -> None:
    path.rename(path.with_name("..x"))
    path.symlink_to("..x")


def link_upwards(path: Path) -> None:
    path.unlink()
    path.symlink_to(f"../../{RELEASE.path}/index.html")


def line_end_in_a_target(path: Path) -> None:
    path.unlink()
    path.symlink_to(f"../../{RELEASE.path}\nl ../../x y")


def fifo_instead(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def fifo_beside(path: Path) -> None:
    os.mkfifo(path.with_name("fifo"))


def file_beside(path: Path) -> None:
    path.with_name("more").touch()


def line_end_beside(path: Path) -> None:
    path.with_name("x\n" + sha256(b"") + "  .").mkdir()
    path.with_name("x\n" + sha256(b"") + "  .").joinpath("more").touch()


def backslash_beside(path: Path) -> None:
    path.with_name("x\\ny").touch()


def forged_link_beside(path: Path) -> None:
    path.with_name("x -> ..").touch()


CHANGES: list[Callable[[Path], None]] = [
    Path.unlink, change, empty, rename, link, link_upwards, line_end_in_a_target, fifo_instead, fifo_beside,
    file_beside, line_end_beside, backslash_beside, forged_link_beside,
]  # fmt: skip


@pytest.mark.parametrize("shell", ["dash", "busybox", "attendant"], indirect=True)
def test_whatever_is_changed_in_a_tree_changes_its_hash(frontend: Frontend) -> None:
    frontend.stage(STAGE)
    for number, make in enumerate((None, *CHANGES)):
        # A copy with links of its own, under the name that the command is asked for.
        name = f"Copy{number}/{RELEASE.path.split('/')[-1]}"
        for path, content in STAGE.files.items():
            copy = frontend.root / "releases" / name / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
        if make is not None:
            make(frontend.root / "releases" / name / "index.html")
        answer = frontend.run("verify", STAGE.activation, name)
        assert answer.verdict == "OK", make
        assert (answer.lines[1] == f"tree releases/{name} {expected(RELEASE)}") == (make is None), make
        listed = frontend.run("listing", f"releases/{name}").lines
        assert all(line[:8] in {"entry f ", "entry l ", "entry o "} for line in listed[:-1]), (make, listed)


@pytest.mark.parametrize("quote", ["", "'"])
def test_one_link_with_a_line_end_in_its_target_never_passes_for_two(frontend: Frontend, quote: str) -> None:
    target = f"../../{RELEASE.path}"
    tree = Tree(f"activations/{activation_name(1)}", {}, {"a": target, "b": target})
    frontend.place(0, 0, {1})
    (frontend.root / tree.path / "a").symlink_to(f"{target}{quote}\n{quote}./b{quote} -> {quote}{target}")
    answer = frontend.run("verify", activation_name(1))
    assert answer.verdict == "OK"
    assert answer.lines[0].split(" ")[2] != tree.digest()


@pytest.mark.parametrize("tree", [ACTIVATION.path, RELEASE.path])
def test_a_tree_that_is_not_there_or_only_a_link_is_refused(frontend: Frontend, tree: str) -> None:
    frontend.stage(STAGE)
    path = frontend.root / tree
    path.chmod(0o755)
    path.rename(frontend.root / "elsewhere")
    assert frontend.run("listing", tree).verdict == "REFUSED unstaged"
    path.symlink_to(frontend.root / "elsewhere")
    assert frontend.run("listing", tree).verdict == "REFUSED unstaged"
    assert frontend.run("verify", STAGE.activation, STAGE.release).verdict == "REFUSED unstaged"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_what_can_not_be_read_is_a_failure_not_a_listing(frontend: Frontend) -> None:
    frontend.stage(STAGE)
    (frontend.root / RELEASE.path / "index.html").chmod(0)
    user = 65534
    answer = frontend.shell.run(frontend.root, "verify", STAGE.activation, STAGE.release, user=user)
    assert answer.verdict == "FAILED io"
    assert "index.html" in answer.lines[-1]
    (frontend.root / RELEASE.path / "scripts").chmod(0)
    assert frontend.shell.run(frontend.root, "listing", RELEASE.path, user=user).verdict == "FAILED io"
