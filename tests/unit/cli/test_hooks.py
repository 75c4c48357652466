"""`lockstep hooks`, as typed: what is wrong with a file, the log, once more, and a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from inventory import hooks
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.app import main
from orchestrator.cli.output import Exit
from orchestrator.domain.delivery import Answer
from orchestrator.domain.errors import Problem
from orchestrator.domain.trail import Action
from tests.unit.adapters.listener import Listener
from tests.unit.services.post import Scripted

HOOKS = """
webhooks:
  chatops:
    url: "{url}/planted-path"
    secret_file: {home}/chatops.secret
notices:
  team:
    urls_file: {home}/team.urls
"""


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener().listening() as listener:
        yield listener


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: Listener) -> Path:
    """A home with a webhook and a notice, and no broker."""
    for name in ("LEDGER_URL", "BROKER_URL", "HOOKS", "INVENTORY"):
        monkeypatch.delenv(f"LOCKSTEP_{name}", raising=False)
    monkeypatch.setenv("LOCKSTEP_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    (tmp_path / "hooks.yml").write_text(HOOKS.format(url=listener.url, home=tmp_path))
    for name, content in (
        ("chatops.secret", "planted-key-0123456789"),
        ("team.urls", listener.url.replace("http:", "json:") + "/planted-path"),
    ):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    return tmp_path


def typed(capsys: pytest.CaptureFixture[str], *words: str, code: Exit = Exit.DONE) -> str:
    """What is printed, by a command that ends with that code. Nothing that was planted is."""
    capsys.readouterr()
    try:
        main(words)
    except SystemExit as ended:
        assert (ended.code or 0) == code, capsys.readouterr()
    else:
        raise AssertionError("a command ends with a code")
    said = capsys.readouterr()
    assert "planted" not in said.out + said.err
    return said.out + said.err


def read(capsys: pytest.CaptureFixture[str], *words: str, code: Exit = Exit.DONE) -> Any:
    return json.loads(typed(capsys, *words, "--json", code=code))


def given_up() -> int:
    """An event that was given up, and one that was delivered."""
    lockstep = Lockstep()
    receivers = {"webhook/chatops": Scripted(refused, "webhook/chatops", timedelta(0))}
    lockstep.outbox.look(receivers)
    lockstep.trail.add(Action("deployment.done", "ada", "Production/web", 17))
    lockstep.outbox.look(receivers)
    lockstep.outbox.deliver(receivers["webhook/chatops"])
    (failed,) = lockstep.deliveries.deliveries(failed=True)
    return failed.number


def refused(entry: object) -> Answer:
    del entry
    return Answer(taken=False, status=500, problem=Problem("the receiver did not take it", found="500"))


def test_a_file_that_is_right(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{home}/hooks.yml is right: webhook/chatops, notice/team" in typed(capsys, "hooks", "check")
    assert read(capsys, "hooks", "check") == {"ok": True, "hooks": ["webhook/chatops", "notice/team"], "problems": []}


def test_all_that_is_wrong_beyond_the_file_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "chatops.secret").chmod(0o644)
    file = home / "hooks.yml"
    trigger = f'triggers: {{ci: {{fleet: Lab/web, secret_file: {home}/ci.secret, apps: {{ToDo: "{{% for %}}"}}}}}}\n'
    (home / "ci.secret").touch(mode=0o600)
    (home / "ci.secret").write_text("planted-key-9876543210")
    file.write_text(file.read_text() + '    title: "{{ fleat }}"\n' + trigger)
    said = read(capsys, "hooks", "check", code=Exit.USAGE)
    found = [(each["what"], each["where"]) for each in said["problems"]]
    assert found == [
        ("others may use a file of secrets", f"{home}/chatops.secret"),
        ("not a template of a version", "{% for %}"),
        ("a template can't be rendered", "notices.team.title"),
    ]
    assert "chmod 600" in typed(capsys, "hooks", "check", code=Exit.USAGE)


def test_a_file_that_is_wrong_is_said_with_its_lines(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = home / "other.yml"
    other.write_text("webhooks:\n  x:\n    url: nothing\n    events: [Deployment]\n")
    said = read(capsys, "hooks", "check", str(other), code=Exit.USAGE)
    assert len(said["problems"]) == 3
    assert all(each["where"].startswith(f"{other}:") for each in said["problems"])


@pytest.mark.parametrize(
    "webhook",
    [
        "{url: htps://u:planted@example.com/planted}",
        "{url: https://a b:planted@example.com/planted}",
        "{url: [https://planted]}",
        "https://example.com/planted",
        "{url: https://planted, urls: https://planted}",
    ],
)
def test_an_address_is_not_told_however_wrong_it_is(
    home: Path, capsys: pytest.CaptureFixture[str], webhook: str
) -> None:
    (home / "hooks.yml").write_text(f"webhooks:\n  x: {webhook}\n")
    assert "webhooks.x" in typed(capsys, "hooks", "check", code=Exit.USAGE)
    assert "webhooks.x" in typed(capsys, "hooks", "test", "x", code=Exit.USAGE)


def test_the_manual_is_a_file_that_is_right_but_for_its_files_of_secrets(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del home
    said = read(capsys, "hooks", "check", str(hooks.EXAMPLE), code=Exit.USAGE)
    assert {each["what"] for each in said["problems"]} == {"there is no file of secrets"}
    assert said["hooks"] == ["trigger/ci", "zone/containers", "webhook/chatops", "notice/team"]


def test_the_log_says_what_became_of_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del home
    number = given_up()
    (view,) = read(capsys, "hooks", "log", "--receiver", "chatops", "--failed")["deliveries"]
    assert (view["id"], view["state"], view["status"], view["attempts"]) == (number, "given-up", 500, 1)
    assert (view["event"]["event"], view["next_try"]) == ("deployment.done", None)
    line = typed(capsys, "hooks", "log").splitlines()[1].split()
    assert line[:7] == [str(number), "webhook/chatops", "deployment.done", "17", "given-up", "1", "500"]


def test_what_was_given_up_is_delivered_again(
    home: Path, capsys: pytest.CaptureFixture[str], listener: Listener
) -> None:
    del home
    number = given_up()
    assert read(capsys, "hooks", "redeliver", "--receiver", "chatops", "--failed") == {"repeated": 1}
    assert "1 delivery is due now" in typed(capsys, "hooks", "redeliver", str(number))
    lockstep = Lockstep()
    assert lockstep.outbox.deliver(lockstep.receivers()["webhook/chatops"])
    assert [json.loads(got.body)["event"] for got in listener.got] == ["deployment.done"]
    repeated = [entry.action for entry in lockstep.trail.entries() if entry.action.name == "delivery.repeated"]
    assert len(repeated) == 2
    assert all("@" in action.actor for action in repeated)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["1", "--receiver", "chatops"],
        ["--receiver", "chatops"],
        ["--failed"],
        ["99"],
        ["--receiver", "nobody", "--failed"],
    ],
)
def test_what_cannot_be_delivered_again_is_a_usage_error(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    del home
    typed(capsys, "hooks", "redeliver", *words, code=Exit.USAGE)


@pytest.mark.parametrize(("name", "full"), [("chatops", "webhook/chatops"), ("notice/team", "notice/team")])
def test_a_test_event_is_sent_at_once(
    home: Path, capsys: pytest.CaptureFixture[str], listener: Listener, name: str, full: str
) -> None:
    del home
    assert f"taken by {full}" in typed(capsys, "hooks", "test", name)
    assert len(listener.got) == 1
    assert Lockstep().trail.last() is None


def test_a_test_that_fails_says_why(home: Path, capsys: pytest.CaptureFixture[str], listener: Listener) -> None:
    del home
    listener.status = 302
    said = typed(capsys, "hooks", "test", "chatops", code=Exit.ABORTED)
    assert "not taken by webhook/chatops with status 302" in said
    assert "redirects are not followed" in said
    typed(capsys, "hooks", "test", "nobody", code=Exit.USAGE)
