"""The programs that list and fetch a site, as each shell runs them on real trees."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.adapters.sources.tar import stream_entries
from orchestrator.domain.adoption.site import EXCLUDES, Held
from orchestrator.domain.adoption.walk import Led, Listing
from orchestrator.domain.contents import Plain
from orchestrator.domain.errors import RefusedError, UnansweredError
from tests.remote.shells import PATIENCE, Shell
from workers.frontend.adopting import checked
from workers.frontend.site import UNREADABLE, FetchSite, ListSite, names

#: An account that owns nothing.
NOBODY = 65_534
AWKWARD = ("-n", "--help", " a  b ", "$HOME", "`id`", "'\"", "%s", "*", "ü", ";x", "a\u2028b")


def run(shell: Shell, argv: tuple[str, ...], stdin: bytes = b"", user: int | None = None) -> tuple[bytes, int]:
    done = subprocess.run(
        [*shell.argv, *argv[1:]],
        input=stdin,
        capture_output=True,
        check=False,
        env={**shell.environment, "HOME": "/nowhere"},
        user=user,
        extra_groups=None if user is None else (),
        timeout=PATIENCE,
    )
    return done.stdout, done.returncode


def listed(shell: Shell, top: Path | str, *excludes: str, user: int | None = None) -> Listing:
    command = ListSite(str(top), excludes)
    return command.parse(*run(shell, command.argv(), user=user))


def held(content: bytes) -> Held:
    return Held(len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture
def top(ground: Path) -> Path:
    made = ground / "site"
    (made / "sub").mkdir(parents=True)
    (made / "sub/index.html").write_bytes(b"hello")
    return made


def test_awkward_names_are_listed_and_fetched_as_they_are(shell: Shell, top: Path) -> None:
    contents = {name: f"content of {name}".encode() for name in AWKWARD}
    for name, content in contents.items():
        (top / name).write_bytes(content)
    expected = {"sub/index.html": held(b"hello"), **{name: held(content) for name, content in contents.items()}}
    listing = listed(shell, top)
    assert listing == Listing(str(top), expected)
    if shell.name == "busybox":
        return  # Debian's has no -T: docs/adopt.md says what the account needs to be taken from
    stdout, status = run(shell, FetchSite(str(top)).argv(), b"".join(names(expected)))
    assert status == 0
    fetched = {}
    for entry in checked(stream_entries(io.BytesIO(stdout), "tar"), expected):
        assert isinstance(entry, Plain)
        fetched[entry.path] = b"".join(entry.chunks)
    assert fetched == {"sub/index.html": b"hello", **contents}


def test_links_are_told_with_where_they_lead_and_not_followed(shell: Shell, top: Path, ground: Path) -> None:
    (ground / "elsewhere").mkdir()
    (ground / "elsewhere/x").write_bytes(b"x")
    (top / "file").symlink_to("../elsewhere/x")
    (top / "directory").symlink_to(ground / "elsewhere")
    (top / "nothing").symlink_to("nowhere")
    (top / "circle").symlink_to("circle")
    os.mkfifo(ground / "elsewhere/pipe")
    (top / "pipe").symlink_to(ground / "elsewhere/pipe")
    (ground / "line\nend").write_bytes(b"")
    (top / "line").symlink_to(ground / "line\nend")
    listing = listed(shell, top)
    assert listing.links == {
        "file": Led(f"{ground}/elsewhere/x", held(b"x")),
        "directory": Led(f"{ground}/elsewhere", None),
    }
    assert listing.odd.keys() == {"nothing", "circle", "pipe", "line"}
    assert list(listing.files) == ["sub/index.html"]


def test_the_top_may_be_a_link_and_is_told_by_its_own_name(shell: Shell, top: Path) -> None:
    (top.parent / "current").symlink_to("site")
    assert listed(shell, top.parent / "current").top == str(top)


def test_names_that_look_like_other_lines_are_told_apart(shell: Shell, top: Path) -> None:
    forged = f"x\n{'a' * 64}  .\nend"
    (top / forged).mkdir()
    (top / forged / "inside").write_bytes(b"")
    (top / "back\\slash").write_bytes(b"")
    listing = listed(shell, top)
    assert list(listing.files) == ["sub/index.html"]
    assert set(listing.odd) == {f"x?{'a' * 64}  .?end", "back?slash"}


def test_what_is_left_out_is_not_looked_into(shell: Shell, top: Path) -> None:
    for path in (".git/a", "sub/.git/b", "moduleservices/c", "sub/moduleservices/d", "-/e"):
        (top / path).parent.mkdir(parents=True)
        (top / path).write_bytes(b"")
    assert set(listed(shell, top, *EXCLUDES).files) == {"sub/index.html", "sub/moduleservices/d"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another account to be shut out of something")
def test_what_the_account_may_not_read_is_told(shell: Shell, top: Path) -> None:
    (top / "closed").mkdir(mode=0o700)
    (top / "secret").write_bytes(b"")
    (top / "secret").chmod(0o600)
    listing = listed(shell, top, user=NOBODY)
    assert listing.odd.keys() == {"closed", "secret"}
    assert listing.odd["secret"] == UNREADABLE
    top.chmod(0o700)
    with pytest.raises(RefusedError, match="may not enter"):
        listed(shell, top, user=NOBODY)


@pytest.mark.parametrize("path", ["/nowhere", "~/nowhere", "/dev/null"])
def test_a_directory_that_is_not_there_is_refused(shell: Shell, path: str) -> None:
    with pytest.raises(RefusedError, match="no such directory"):
        listed(shell, path)


def test_half_an_answer_is_none(shell: Shell, top: Path) -> None:
    command = ListSite(str(top))
    stdout, status = run(shell, command.argv())
    whole = command.parse(stdout, status)
    for end in range(len(stdout)):
        with pytest.raises(UnansweredError):
            command.parse(stdout[:end], status)
    assert command.parse(stdout, 0) == whole
    for other in (1, None):
        with pytest.raises(UnansweredError):
            command.parse(stdout, other)
