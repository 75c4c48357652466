"""Hooks in: what is taken, what is refused and how, and that a delivery deploys once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.api.hooks import LARGEST
from orchestrator.domain.trigger import Claim
from orchestrator.services.triggers import Firing
from tests.unit.api.serving import FLEET, KEY, Served, signed

BODY = b'{"release": {"version": "1.0.0"}}'
NEXT = b'{"release": {"version": "2.0.0"}}'


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """For what leaves nothing behind."""
    return Served(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def untouched(shared: Served) -> Iterator[Served]:
    shared.start()
    yield shared
    assert (deployments(shared), shared.trail) == (0, [])


def deployments(served: Served) -> int:
    return len(served.lockstep.ledger.history(FLEET, 100))


def test_a_delivery_deploys_what_the_template_makes_of_it(served: Served) -> None:
    answer = served.deliver(BODY)
    assert answer.status_code == 202
    assert (answer.json()["state"], answer.json()["changes"]) == ("planned", {"ToDo": "1.0.0"})
    assert answer.json()["actor"] == "hook:ci"
    assert served.world.messages.coordinated == [answer.json()["id"]]
    detail = {"name": "msg_1", "changes": {"ToDo": "1.0.0"}, "nothing_to_do": False}
    assert served.trail == [("trigger.fired", "hook:ci", detail)]


def test_a_hook_may_stop_before_the_flip_and_move_several_apps(served: Served) -> None:
    answer = served.deliver(NEXT, name="nightly", **signed(NEXT, "msg_1", key=KEY[::-1]))
    assert answer.status_code == 202
    assert (answer.json()["hold"], answer.json()["changes"]) == (True, {"ToDo": "2.0.0", "Portal": "2.0.0"})


def test_the_same_delivery_again_gets_the_same_answer_and_deploys_once(served: Served) -> None:
    first = served.deliver(BODY)
    served.commit(first.json()["id"])
    again = served.deliver(BODY)
    assert (again.status_code, again.content) == (202, first.content)
    assert deployments(served) == 1


def test_ten_at_once_deploy_once(served: Served) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: served.deliver(BODY), range(10)))
    assert [answer.status_code for answer in answers] == [202] * 10
    assert len({answer.content for answer in answers}) == 1
    assert deployments(served) == 1
    assert len(served.trail) == 1


def test_what_the_fleet_serves_already_is_said_and_stays_said(served: Served) -> None:
    served.commit(served.deliver(BODY).json()["id"])
    answer = served.deliver(BODY, "msg_2")
    assert answer.status_code == 200
    assert answer.json()["nothing_to_do"] == f"{FLEET} serves it already"
    served.commit(served.deliver(NEXT, "msg_3").json()["id"])
    assert served.deliver(BODY, "msg_2").content == answer.content
    assert deployments(served) == 2


def test_a_held_fleet_is_a_409_that_says_who_and_the_retry_works(served: Served) -> None:
    first = served.deliver(BODY).json()["id"]
    refused = served.deliver(NEXT, "msg_2")
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:lockstep:problem:conflict"
    assert (str(first) in refused.json()["detail"], "hook:ci" in refused.json()["found"]) == (True, True)
    served.commit(first)
    assert served.deliver(NEXT, "msg_2").status_code == 202


def test_what_could_not_be_handed_to_a_worker_is_released(served: Served) -> None:
    served.world.messages.broken = True
    assert served.deliver(BODY).status_code == 500
    served.world.messages.broken = False
    assert served.deliver(BODY).status_code == 202
    assert [name for name, _, _ in served.trail] == ["trigger.fired", "trigger.refused", "trigger.fired"]


def test_an_id_stands_for_one_body(served: Served) -> None:
    served.deliver(BODY)
    answer = served.deliver(NEXT)
    assert (answer.status_code, answer.json()["where"]) == (409, "webhook-id")
    assert served.deliver(BODY).status_code == 202


def test_an_interruption_between_claim_and_deployment_is_told(served: Served) -> None:
    request = {"digest": hashlib.sha256(BODY).hexdigest(), "changes": {"ToDo": "1.0.0"}}
    assert served.lockstep.triggers.claim(Claim("hook:ci", "msg_1", request, FLEET)) is not None
    waited: list[float] = []
    hook = served.lockstep.hooks().triggers[0]
    fleet = served.lockstep.inventory().fleets[0]
    with pytest.raises(Exception, match="nobody knows whether it has deployed"):
        Firing(served.lockstep.triggers, served.lockstep.deploying, waited.append).fire(hook, fleet, "msg_1", BODY)
    assert 9 < sum(waited) < 11
    assert deployments(served) == 0


OLD = int(time.time()) - 301


@pytest.mark.parametrize(
    ("headers", "status", "where"),
    [
        pytest.param({"webhook_id": ""}, 401, "webhook-id", id="no id"),
        pytest.param({"webhook_timestamp": ""}, 401, "webhook-timestamp", id="no time"),
        pytest.param({"webhook_signature": ""}, 401, "webhook-signature", id="no signature"),
        pytest.param({"webhook_id": "msg_2"}, 401, None, id="another id"),
        pytest.param({"webhook_timestamp": "1777636800"}, 401, None, id="another time"),
        pytest.param(signed(BODY, "msg_1", key="x" * 20), 401, None, id="another key"),
        pytest.param(signed(NEXT, "msg_1"), 401, None, id="another body"),
        pytest.param(signed(BODY, "msg_1", OLD), 401, "webhook-timestamp", id="too old"),
        pytest.param({"content_type": "text/plain"}, 415, None, id="not JSON by its type"),
        pytest.param({"content_type": ""}, 415, None, id="no type"),
    ],
)
def test_what_is_not_signed_rightly_sets_nothing_off(
    untouched: Served, headers: dict[str, str], status: int, where: str | None
) -> None:
    answer = untouched.deliver(BODY, **{key.replace("-", "_"): value for key, value in headers.items()})
    assert (answer.status_code, answer.json().get("where")) == (status, where)
    assert answer.headers["content-type"] == "application/problem+json"


def test_nobody_learns_which_hooks_there_are(untouched: Served) -> None:
    wrong = signed(BODY, "msg_1", key="x" * 20)
    answers = [untouched.deliver(BODY, name=name, **wrong) for name in ("ci", "nobody", "nightly")]
    (untouched.home / "nightly.secret").chmod(0o644)
    answers.append(untouched.deliver(BODY, name="nightly", **wrong))
    (untouched.home / "nightly.secret").chmod(0o600)
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1


def test_a_secret_that_others_may_read_is_not_used(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    (served.home / "ci.secret").chmod(0o644)
    assert served.deliver(BODY).status_code == 401
    said = capsys.readouterr()
    assert "mode 0644" in said.out + said.err
    assert KEY not in said.out + said.err


def test_a_new_key_counts_at_once_beside_the_old_one(served: Served) -> None:
    (served.home / "ci.secret").write_text(f"another-key-of-the-hook\n{KEY}\n")
    assert served.deliver(BODY).status_code == 202
    (served.home / "ci.secret").write_text("another-key-of-the-hook\n")
    assert served.deliver(BODY).status_code == 401


def test_who_fails_too_often_waits_even_with_a_right_signature(untouched: Served) -> None:
    wrong = signed(BODY, "msg_1", key="x" * 20)
    assert [untouched.deliver(BODY, **wrong).status_code for _ in range(11)] == [401] * 10 + [429]
    answer = untouched.deliver(BODY)
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (429, True)


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 422, "not JSON"),
        (b'{"release": ', 422, "not JSON"),
        (b'{"release": {}}', 422, "lacks a field"),
        (b'{"release": {"version": 1.0}}', 422, "no version"),
        (b'{"release": {"version": "\\ud800"}}', 422, "no version"),
        (b'{"release": {"version": "../1"}}', 422, "no version"),
        (b'{"release": {"version": "3.0.0"}}', 422, "there is no release ToDo 3.0.0"),
        (b" " * (LARGEST + 1), 413, "too large"),
    ],
)
def test_a_body_that_is_no_use_is_refused(untouched: Served, body: bytes, status: int, detail: str) -> None:
    answer = untouched.deliver(body)
    assert (answer.status_code, detail in answer.json()["detail"]) == (status, True)


def test_a_delivery_that_was_refused_may_be_mended(served: Served) -> None:
    assert served.deliver(b'{"release": {}}').status_code == 422
    assert served.deliver(BODY).status_code == 202


def test_a_body_without_a_length_is_cut_off_where_it_is_too_large(untouched: Served) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 65_536

    answer = untouched.ask("POST", "/hooks/ci", content=chunks(), headers=signed(b"", "msg_1"))
    assert answer.status_code == 413


def test_a_body_of_the_largest_size_is_taken(served: Served) -> None:
    body = BODY + b" " * (LARGEST - len(BODY))
    assert served.deliver(body).status_code == 202


def test_hooks_that_can_t_be_read_are_told_to_the_log_alone(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    (served.home / "hooks.yml").write_text("triggers: {ci: planted}\n")
    answer = served.deliver(BODY)
    assert (answer.status_code, "planted" in json.dumps(answer.json())) == (500, False)
    assert "planted" in "".join(capsys.readouterr())
