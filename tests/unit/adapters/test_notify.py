"""Notices: what templates make of events, and what becomes of a notice that services take or don't take."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from inventory.hooks import Notice
from orchestrator.adapters.notify import VARIABLES, NoticeReceiver, variables
from orchestrator.domain.errors import LockstepError
from orchestrator.domain.trail import Action, Entry
from tests.unit.adapters.listener import Listener, hang

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
WHEN = "2026-05-01T12:00:00.000+00:00"
TROUBLES = [
    {"step": "verify", "frontend": "fe1", "problem": {"what": "serves something else"}},
    {"step": "hold", "frontend": "", "problem": {"what": "nobody continued it"}},
]


def event(name: str = "deployment.done", deployment: int | None = 17, **detail: Any) -> Entry:
    return Entry(7, NOW, Action(name, "ada", "Production/web", deployment, detail), "", "")


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener().listening() as listener:
        yield listener


def notice(tmp_path: Path, *urls: str, **fields: str) -> NoticeReceiver:
    file = tmp_path / "team.urls"
    file.write_text("\n".join(urls))
    file.chmod(0o600)
    return NoticeReceiver(Notice(name="team", urls_file=str(file), **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entry", "title", "body"),
    [
        pytest.param(
            event(state="done"),
            "Production/web: deployment done",
            f"Deployment 17 of Production/web is done (ada, {WHEN}).",
            id="done",
        ),
        pytest.param(
            event("deployment.planned", changes={"ToDo": "2.0.0", "Portal": "1.1"}),
            "Production/web: deployment planned",
            f"Deployment 17 of Production/web is planned: Portal 1.1, ToDo 2.0.0 (ada, {WHEN}).",
            id="planned",
        ),
        pytest.param(
            event("deployment.aborting", troubles=TROUBLES),
            "Production/web: deployment aborting",
            f"Deployment 17 of Production/web is aborting (ada, {WHEN}).\n"
            "fe1: serves something else\nthe fleet: nobody continued it",
            id="aborting",
        ),
        pytest.param(
            event("rotation.drained", None, frontend="fe3"),
            "Production/web: rotation drained",
            f"Rotation drained in Production/web: fe3 (ada, {WHEN}).",
            id="drained",
        ),
        pytest.param(
            Entry(8, NOW, Action("token.issued", "ada"), "", ""),
            "Lockstep: token issued",
            f"Token issued (ada, {WHEN}).",
            id="of no fleet",
        ),
    ],
)
def test_the_default_templates_make_sentences(tmp_path: Path, entry: Entry, title: str, body: str) -> None:
    assert notice(tmp_path, "json://localhost").rendered(entry) == (title, body)


def test_a_template_may_use_every_variable(tmp_path: Path) -> None:
    every = "|".join(f"{{{{ {name} }}}}" for name in VARIABLES)
    _, body = notice(tmp_path, "json://localhost", body=every).rendered(event(state="done"))
    assert body == f"deployment.done|ada|Production/web|Production|17|{{'state': 'done'}}|{WHEN}|7"
    assert set(VARIABLES) == set(variables(event()))


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("{{ fleat }}", "'fleat' is undefined"),
        ("{{ detail.nothing }}", "has no attribute 'nothing'"),
        ("{{ fleet", "unexpected end of template"),
        ("{{ 1 / 0 }}", "division"),
        ("{% include 'x' %}", "no loader"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ detail.update(a=1) }}", "unsafe"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_a_clear_problem(tmp_path: Path, template: str, found: str) -> None:
    with pytest.raises(LockstepError) as caught:
        notice(tmp_path, "json://localhost", body=template).rendered(event())
    assert caught.value.problem.where == "notices.team.body"
    assert found in caught.value.problem.found


@pytest.mark.parametrize(
    ("template", "right"),
    [
        ("{{ detail.changes.ToDo }} {{ detail.troubles[0].problem.what }}", True),
        ("{% for app, version in detail.changes.items() %}{{ app }}{% endfor %}", True),
        ("{{ fleat }}", False),
        ("{{ fleet | nothing }}", False),
        ("{{ fleet", False),
    ],
)
def test_a_check_knows_what_events_may_hold(tmp_path: Path, template: str, right: bool) -> None:
    mine = notice(tmp_path, "json://localhost", title=template)
    if right:
        mine.check()
        return
    with pytest.raises(LockstepError, match="a template can't be rendered"):
        mine.check()


def test_the_default_templates_pass_the_check(tmp_path: Path) -> None:
    notice(tmp_path, "json://localhost").check()


def test_a_notice_reaches_its_service(tmp_path: Path, listener: Listener) -> None:
    url = listener.url.replace("http:", "json:")
    answer = notice(tmp_path, "# the team's", f"{url}/in", body="<b>{{ event }}</b>").send("7-notice/team", event())
    assert (answer.taken, answer.problem) == (True, None)
    (got,) = listener.got
    sent = json.loads(got.body)
    assert got.path == "/in"
    assert (sent["title"], sent["message"]) == ("Production/web: deployment done", "<b>deployment.done</b>")
    assert sent["type"] == "success"


def test_a_service_is_asked_again_before_it_counts_as_failed(tmp_path: Path, listener: Listener) -> None:
    listener.status = 500
    answer = notice(tmp_path, listener.url.replace("http:", "json:")).send("7-notice/team", event())
    assert not answer.taken
    assert answer.problem is not None
    assert answer.problem.found == "JSON"
    assert len(listener.got) == 3


def test_what_one_service_took_is_not_sent_again_for_the_other(tmp_path: Path, listener: Listener) -> None:
    with Listener(status=500).listening() as broken:
        urls = [each.url.replace("http:", "json:") for each in (listener, broken)]
        answer = notice(tmp_path, *urls).send("7-notice/team", event())
    assert answer.taken
    assert answer.problem is not None
    assert answer.problem.what == "services did not take the notice"
    assert len(listener.got) == 1


def test_a_service_that_hangs_is_not_waited_for_longer_than_that(tmp_path: Path, listener: Listener) -> None:
    listener.slowly = hang
    mine = replace(notice(tmp_path, listener.url.replace("http:", "json:")), seconds=0.3)
    began = time.monotonic()
    answer = mine.send("7-notice/team", event())
    listener.released.set()
    assert time.monotonic() - began < 3
    assert not answer.taken
    assert answer.problem is not None


@pytest.mark.parametrize("url", ["planted-secret", "nothing://planted-secret", "slack://planted-secret"])
def test_a_line_that_is_no_url_is_named_by_its_place(tmp_path: Path, url: str) -> None:
    with pytest.raises(LockstepError, match="not a URL of Apprise") as caught:
        notice(tmp_path, "json://localhost", url).send("7-notice/team", event())
    assert caught.value.problem.where.endswith("team.urls, URL 2")
    assert "planted" not in str(caught.value)


def test_no_secret_is_told(tmp_path: Path, listener: Listener, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    caplog.set_level(logging.INFO)
    listener.status = 500
    address = f"user:planted-password@127.0.0.1:{listener.port}/planted-path?-x=planted-query"
    answer = notice(tmp_path, f"json://{address}").send("7-notice/team", event())
    listener.released.set()
    with pytest.raises(LockstepError) as caught:
        notice(tmp_path, "nothing://planted-secret").send("7-notice/team", event())
    printed = capfd.readouterr()
    told = [str(answer), str(caught.value), printed.out, printed.err, caplog.text]
    assert not answer.taken
    assert "planted" not in "".join(told)
