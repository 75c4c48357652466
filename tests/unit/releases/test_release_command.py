from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import main
from tests.unit.releases.trees import Tree, lay_out, manifest_of, snapshot, zip_bytes

OLD: Tree = {"index.html": b"<html>", "js/[red]app.js": b"let x"}
NEW: Tree = {"index.html": b"<html lang>", "caf\xe9 \u202e.js": b"1"}


class Shell:
    """Runs `lockstep release` as an operator would, in this process, with a home of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def run(self, *words: str, expected: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["release", *words])
        out, messages = self._capsys.readouterr()
        assert (ended.value.code or 0) == expected, messages
        return out, messages

    def json(self, *words: str, expected: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", expected=expected)[0])


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    lay_out(OLD, tmp_path / "old")
    (tmp_path / "new.zip").write_bytes(zip_bytes(NEW))
    monkeypatch.setenv("LOCKSTEP_HOME", str(tmp_path / "home"))
    for name in ("LOCKSTEP_LEDGER_URL", "LOCKSTEP_ARTIFACTS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return Shell(capsys)


def build(source: Path, version: str) -> tuple[str, ...]:
    return ("build", str(source), "--app", "ToDo", "--version", version)


def test_releases_are_built_listed_shown_and_compared(shell: Shell, tmp_path: Path) -> None:
    digest = manifest_of(OLD).digest
    out, progress = shell.run(*build(tmp_path / "old", "1.0.0"))
    assert out.splitlines()[:2] == ["ToDo 1.0.0 built: 2 files, 11 bytes", f"digest {digest}"]
    assert progress == ""
    assert "already there" in shell.run(*build(tmp_path / "old", "1.0.0"))[0]

    built = shell.json(*build(tmp_path / "new.zip", "2.0.0+b.1"))
    assert (built["new"], built["dry_run"], built["digest"]) == (True, False, manifest_of(NEW).digest)
    assert built["stored"] == {"objects": 2, "size": 12}

    listed = shell.json("list", "--app", "ToDo")["releases"]
    assert [r["version"] for r in listed] == ["2.0.0+b.1", "1.0.0"]
    assert shell.json("list", "--app", "Portal") == {"releases": []}
    assert digest[:12] in shell.run("list")[0]

    shown = shell.json("show", "ToDo", "1.0.0")
    assert {f["path"]: f["size"] for f in shown["manifest"]} == {path: len(data) for path, data in OLD.items()}
    assert "token" not in shown
    assert "js/[red]app.js" in shell.run("show", "ToDo", "1.0.0")[0]

    found = shell.json("diff", "ToDo=1.0.0", "ToDo=2.0.0+b.1")
    assert [f["path"] for f in found["added"]] == ["caf\xe9 \u202e.js"]
    assert [f["path"] for f in found["removed"]] == ["js/[red]app.js"]
    assert [(c["before"]["size"], c["after"]["size"]) for c in found["changed"]] == [(6, 11)]
    assert shell.run("diff", "ToDo=1.0.0", "ToDo=2.0.0+b.1")[0].splitlines() == [
        "+ caf\xe9 \\u202e.js  1 byte",
        "- js/[red]app.js  5 bytes",
        "~ index.html  6 bytes -> 11 bytes",
        "1 added, 1 removed, 1 changed",
    ]


def test_a_dry_run_prints_the_digest_and_stores_nothing(shell: Shell, tmp_path: Path) -> None:
    out = shell.run(*build(tmp_path / "old", "1.0.0"), "--dry-run")[0]
    assert out.splitlines() == [
        "ToDo 1.0.0 would be built: 2 files, 11 bytes",
        f"digest {manifest_of(OLD).digest}",
        "would be stored: 2 new objects, 11 bytes",
    ]
    assert shell.json(*build(tmp_path / "old", "1.0.0"), "--dry-run")["created_at"] is None
    assert shell.json("list") == {"releases": []}
    assert not [name for name in snapshot(tmp_path / "home") if name.startswith("artifacts")]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("build", "nowhere", "--app", "ToDo", "--version", "1"), 2),
        (("build", "{top}/old", "--app", "To Do", "--version", "1"), 2),
        (("build", "{top}/old", "--app", "ToDo", "--version", "1/2"), 2),
        (("build", "{top}/broken.zip", "--app", "ToDo", "--version", "1"), 1),
        (("show", "ToDo", "1.0.0"), 2),
        (("diff", "ToDo=1.0.0", "nonsense"), 2),
    ],
)
def test_an_error_says_what_to_do_and_has_its_exit_code(
    shell: Shell, tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    (tmp_path / "broken.zip").write_bytes(b"PK")
    words = tuple(word.format(top=tmp_path) for word in words)
    assert shell.run(*words, expected=code)[1].startswith("error: ")
    assert shell.json(*words, expected=code)["error"]["what"]


def test_other_content_under_a_version_is_refused(shell: Shell, tmp_path: Path) -> None:
    shell.run(*build(tmp_path / "old", "1.0.0"))
    out, message = shell.run(*build(tmp_path / "new.zip", "1.0.0"), expected=1)
    assert out == ""
    assert "exists with other content" in message and manifest_of(NEW).digest in message


def test_a_terminal_sees_how_far_the_reading_is(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    out, messages = shell.run(*build(tmp_path / "old", "1.0.0"))
    assert "reading: 2 files, 11 bytes" in messages
    assert out.startswith("ToDo 1.0.0 built")


def test_a_comparison_says_what_kind_of_update_it_is_and_why(shell: Shell, tmp_path: Path) -> None:
    lay_out({"index.html": b"1", "contract.json": b'{"format": 1, "actions": {"Save": "1"}}'}, tmp_path / "one")
    changes = {
        "contract.json": b'{"format": 1, "actions": {"Save": "2"}}',
        "native.json": b'{"format": 1, "app_name": "To\\u202edo"}',
    }
    lay_out({"index.html": b"1", **changes}, tmp_path / "two")
    shell.run(*build(tmp_path / "one", "1"))
    shell.run(*build(tmp_path / "two", "2"))
    out, _ = shell.run("compare", "ToDo=1", "ToDo=2")
    assert out.splitlines() == [
        "ToDo 1 → ToDo 2",
        "  over the air, attention required: running clients must reload before they can call the server",
        "    action Save: has another signature",
        "  needs a new build of the installed app:",
        "    app name: none → To\\u202edo",
    ]
    document = shell.json("compare", "ToDo=1", "ToDo=2")
    assert (document["app"], document["from"], document["to"]) == ("ToDo", "1", "2")
    assert (document["kind"], document["needs_build"]) == ("attention", True)
    assert document["over_the_air"] == [{"rule": "action", "of": "Save", "how": "has another signature"}]
    assert shell.json("compare", "ToDo=1", "ToDo=1")["kind"] == "none"
    shell.run("compare", "ToDo=1", "ToDo", expected=2)
