"""`lockstep token` and `lockstep trail`, as typed."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.bootstrap import Lockstep
from orchestrator.cli.app import main
from orchestrator.cli.moments import parse_end
from orchestrator.cli.output import Exit
from orchestrator.domain.access import TOKEN
from orchestrator.domain.errors import UnauthenticatedError, UsageError
from orchestrator.domain.trail import BEGINNING
from tests.unit.inventory.documents import VALID

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with an inventory and no broker."""
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(VALID)
    for name in ("LEDGER_URL", "BROKER_URL", "ARTIFACTS", "LEASE_SECONDS"):
        monkeypatch.delenv(f"LOCKSTEP_{name}", raising=False)
    monkeypatch.setenv("LOCKSTEP_HOME", str(tmp_path))
    monkeypatch.setenv("LOCKSTEP_INVENTORY", str(inventory))
    return tmp_path


def typed(*words: str) -> int:
    """The exit code."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


def answered(capsys: Captured, *words: str, code: int = 0) -> Any:
    """The JSON of a command."""
    assert typed(*words, "--json") == code
    return json.loads(capsys.readouterr().out)


def issued(capsys: Captured, *words: str) -> Any:
    """A new token."""
    return answered(capsys, "token", "issue", *words)


# ── tokens ──


def test_a_token_is_printed_once_alone_and_lets_its_bearer_in(capsys: Captured, home: Path) -> None:
    assert typed("token", "issue", "ci", "--role", "deployer@Production", "--role", "viewer") == 0
    shown = capsys.readouterr()
    text = shown.out.strip()
    parts = TOKEN.fullmatch(text)
    assert parts is not None
    assert f"ci#{parts['public']}: deployer@Production, viewer, for good." in shown.err
    assert parts["secret"] not in shown.err
    who = Lockstep().access.authenticate(text)
    assert who.name == f"ci#{parts['public']}"
    assert typed("token", "list") == 0
    listed = capsys.readouterr().out
    assert parts["public"] in listed
    assert "valid" in listed
    for where in (listed.encode(), *(file.read_bytes() for file in home.glob("ledger.sqlite*"))):
        assert parts["secret"].encode() not in where


def test_a_token_ends_when_it_expires_or_is_revoked(capsys: Captured) -> None:
    first = issued(capsys, "ci", "--role", "viewer", "--expires", "30d")
    end = datetime.fromisoformat(first["expires_at"])
    assert timedelta(days=29) < end - datetime.now(UTC) < timedelta(days=31)
    second = issued(capsys, "ann", "--role", "admin")
    assert (second["expires_at"], second["state"]) == (None, "valid")
    # The whole token stands for its public part, which is all that is told of it.
    gone = answered(capsys, "token", "revoke", second["token"])
    assert (gone["public"], gone["state"]) == (second["public"], "revoked")
    assert answered(capsys, "token", "revoke", second["public"]) == gone
    with pytest.raises(UnauthenticatedError):
        Lockstep().access.authenticate(second["token"])
    states = {each["name"]: each["state"] for each in answered(capsys, "token", "list")["tokens"]}
    assert states == {"ci": "valid", "ann": "revoked"}


WRONG_TOKENS = [
    ["ci"],
    ["ci", "--role", "boss"],
    ["ci", "--role", ""],
    ["ci", "--role", "viewer@Nowhere"],
    ["ci", "--role", "viewer@"],
    ["not a name", "--role", "viewer"],
    ["a#b", "--role", "viewer"],
    ["", "--role", "viewer"],
    ["ci", "--role", "viewer", "--expires", "yesterday"],
    ["ci", "--role", "viewer", "--expires", "2020-01-01"],
    ["ci", "--role", "viewer", "--expires", "0d"],
    ["ci", "--role", "viewer", "--expires", "999999w"],
    ["ci", "--role", "viewer", "--expires", "9999-12-31T23:59-14:00"],
]


def test_what_cannot_be_a_token_is_a_usage_error_and_issues_none(capsys: Captured) -> None:
    for words in WRONG_TOKENS:
        assert typed("token", "issue", *words) == Exit.USAGE, words
    capsys.readouterr()
    assert answered(capsys, "token", "list") == {"tokens": []}


@pytest.mark.parametrize("named", ["0123456789ab", "lks_0123456789ab", "lks_0123456789ab_secret!", "s3cret", ""])
def test_an_unknown_token_is_a_usage_error_that_tells_no_secret(capsys: Captured, named: str) -> None:
    assert typed("token", "revoke", named) == Exit.USAGE
    told = capsys.readouterr()
    assert "secret" not in told.out + told.err
    assert "s3cret" not in told.out + told.err


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("90m", timedelta(minutes=90)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        (" 2w ", timedelta(weeks=2)),
        ("2026-05-02T12:00+00:00", timedelta(days=1)),
    ],
)
def test_an_end_is_a_span_or_a_time(text: str, after: timedelta) -> None:
    assert parse_end(text, NOW, "--expires") == NOW + after


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1y", "1.5h", "999999w", "30d12h"])
def test_another_end_is_a_usage_error_that_names_the_option(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_end(text, NOW, "--expires")
    assert refused.value.problem.where == "--expires"


# ── the trail ──


def test_the_trail_is_shown_by_number_by_fleet_and_newest_last(capsys: Captured) -> None:
    for name in ("a", "b", "c"):
        issued(capsys, name, "--role", "viewer")
    Lockstep().ledger.add_drain("Old/web", "fe1", {}, "ann@desk", "[bold]smoke\x1b[2J")
    every = answered(capsys, "trail", "show")["entries"]
    assert [(entry["number"], entry["action"]) for entry in every] == [
        (1, "token.issued"),
        (2, "token.issued"),
        (3, "token.issued"),
        (4, "rotation.draining"),
    ]
    assert answered(capsys, "trail", "show", "--limit", "2")["entries"] == every[2:]
    assert answered(capsys, "trail", "show", "--after", "1", "--limit", "2")["entries"] == every[1:3]
    assert answered(capsys, "trail", "show", "--fleet", "Old/web")["entries"] == every[3:]
    assert answered(capsys, "trail", "show", "--fleet", "Production/web")["entries"] == []
    assert typed("trail", "show") == 0
    shown = capsys.readouterr().out
    assert "ann@desk" in shown
    assert "[bold]smoke" in shown
    assert "\x1b[2J" not in shown
    assert typed("trail", "show", "--fleet", "nothing") == Exit.USAGE


def test_a_whole_trail_says_how_many_and_the_last_digest(capsys: Captured) -> None:
    assert answered(capsys, "trail", "verify") == {
        "whole": True,
        "entries": 0,
        "digest": BEGINNING,
        "expected_at": None,
        "wrong": None,
    }
    issued(capsys, "ci", "--role", "viewer")
    first = answered(capsys, "trail", "verify")
    issued(capsys, "ci", "--role", "viewer")
    assert typed("trail", "verify", "--expect", first["digest"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("whole: 2 entries, the last digest ")
    assert "the expected digest is entry 1's" in shown


def test_a_broken_trail_names_the_first_wrong_entry_and_exits_with_1(capsys: Captured, home: Path) -> None:
    for name in ("a", "b", "c"):
        issued(capsys, name, "--role", "viewer")
    kept = answered(capsys, "trail", "verify")["digest"]
    connection = sqlite3.connect(home / "ledger.sqlite", isolation_level=None)
    connection.execute("DROP TRIGGER trail_delete")
    connection.execute("DELETE FROM trail WHERE id = 3")
    assert answered(capsys, "trail", "verify")["whole"]
    cut = answered(capsys, "trail", "verify", "--expect", kept, code=1)
    assert (cut["entries"], cut["wrong"]) == (2, f"no entry has the expected digest {kept}")
    connection.execute("DELETE FROM trail WHERE id = 1")
    connection.close()
    assert typed("trail", "verify") == 1
    assert "broken: entry 1 is missing: entry 2 comes in its place" in capsys.readouterr().err


def test_what_is_no_digest_is_a_usage_error(capsys: Captured) -> None:
    assert typed("trail", "verify", "--expect", "5f2c") == Exit.USAGE
    assert "64 hex digits" in capsys.readouterr().err
