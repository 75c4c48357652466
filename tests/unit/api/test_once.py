"""Idempotency-Key: the same request is done once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.adapters.ledger.requests import SqlRequests
from orchestrator.api.problems import RepeatedError
from orchestrator.api.v1.once import Answer, Once
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.errors import ConflictError, LockstepError, UnansweredError
from orchestrator.ports import Clock
from tests.unit.api.service import WEB, Here, archive
from tests.unit.services.fleets import Clock as Watch

CHANGES = {"changes": {"ToDo": "1.0.0"}}


class Dated(Here):
    """Lockstep with a clock that is set."""

    watch = Watch(datetime.now(UTC))

    @property
    def clock(self) -> Clock:
        return self.watch


@pytest.fixture
def here(tmp_path: Path) -> Here:
    here = Here(tmp_path)
    here.build("1.0.0")
    return here


def test_the_same_request_again_gets_the_same_answer_and_is_not_done_again(here: Here) -> None:
    client = here.client()
    key = {"Idempotency-Key": "run-1"}
    first = client.post(f"{WEB}/deployments", json=CHANGES, headers=key)
    here.world.commit(here.ledger.history(None, 1)[0])
    again = client.post(f"{WEB}/deployments", json=CHANGES, headers=key)
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert (again.headers["idempotency-replayed"], "idempotency-replayed" in first.headers) == ("true", False)
    assert len(here.ledger.history(None, 9)) == 1
    other = client.post(f"{WEB}/deployments", json={**CHANGES, "hold": True}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "urn:lockstep:problem:idempotency")
    # The same word of somebody else, or for something else, is another request.
    assert here.client().post(f"{WEB}/deployments", json=CHANGES, headers=key).status_code == 202
    assert client.post(f"{WEB}/deployments?dry_run=true", json=CHANGES, headers=key).status_code == 200


def test_what_was_refused_can_be_tried_again(here: Here) -> None:
    client, key = here.client(), {"Idempotency-Key": "run-1"}
    holder = here.planned()
    assert client.post(f"{WEB}/deployments", json=CHANGES, headers=key).status_code == 409
    here.world.commit(holder)
    assert client.post(f"{WEB}/deployments", json=CHANGES, headers=key).status_code == 202


def test_an_unknown_outcome_stays_one(here: Here) -> None:
    client, key = here.client(), {"Idempotency-Key": "run-1"}
    here.deployed()
    here.dispatch.broken = True
    body = {"frontend": "fe1"}
    first = client.post(f"{WEB}/drain", json=body, headers=key)
    here.dispatch.broken = False
    again = client.post(f"{WEB}/drain", json=body, headers=key)
    assert (first.status_code, again.status_code) == (503, 503)
    assert again.json() == first.json()
    assert again.headers["content-type"] == "application/problem+json"
    assert here.dispatch.drained == []


def test_an_upload_is_known_by_its_content(here: Here) -> None:
    client, key = here.client(), {"Idempotency-Key": "up"}
    url = "/api/v1/releases/ToDo/2.0.0?format=tgz"
    one, other = archive({"a": b"1"}), archive({"a": b"2"})
    assert client.post(url, content=one, headers=key).status_code == 201
    again = client.post(url, content=one, headers=key)
    assert (again.status_code, again.json()["new"], again.headers["idempotency-replayed"]) == (201, True, "true")
    assert client.post(url, content=other, headers=key).status_code == 422


def test_what_is_done_is_answered_even_where_the_answer_can_not_be_kept(tmp_path: Path) -> None:
    class Busy(SqlRequests):
        """A ledger that is busy when an answer is to be kept."""

        def settle(self, scope: str, name: str, status: int, answer: object) -> None:
            raise ConflictError("the ledger is busy")

    class Unkept(Here):
        @property
        def requests(self) -> SqlRequests:
            return Busy(self._engine, self.clock)

    here = Unkept(tmp_path)
    here.build("1.0.0")
    client, key = here.client(), {"Idempotency-Key": "run-1"}
    assert client.post(f"{WEB}/deployments", json=CHANGES, headers=key).status_code == 202
    assert client.post(f"{WEB}/deployments", json=CHANGES, headers=key).status_code == 409
    assert len(here.ledger.history(None, 9)) == 1


@pytest.mark.parametrize("key", ["", "a b", "ü", "x" * 256, "a\tb"])
def test_a_key_is_visible_ascii(here: Here, key: str) -> None:
    header = {"Idempotency-Key": key.encode()}
    refused = here.client().post(f"{WEB}/deployments", json=CHANGES, headers=header)
    assert refused.status_code == 422
    assert here.ledger.history(None, 9) == []


def asked(lockstep: Lockstep, digest: str = "d") -> Once:
    return Once(lockstep, "scope", "key", digest)


def test_while_it_is_under_way_the_same_request_is_refused(here: Here) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> Answer:
        begun.set()
        assert go_on.wait(20)
        return Answer(200, {"done": 1})

    with ThreadPoolExecutor() as pool:
        first = pool.submit(lambda: asked(here).answer(slowly).status_code)
        assert begun.wait(20)
        with pytest.raises(ConflictError, match="under way"):
            asked(here).answer(lambda: Answer(200, {"done": 2}))
        with pytest.raises(RepeatedError):
            asked(here, "other").answer(lambda: Answer(200, {"done": 2}))
        go_on.set()
        assert first.result(20) == 200
    assert asked(here).answer(lambda: Answer(200, {"done": 2})).body == b'{"done":1}'


def test_of_a_process_that_died_nobody_knows(tmp_path: Path) -> None:
    here = Dated(tmp_path)
    assert here.requests.claim("scope", "key", "d") is None
    here.watch.now += timedelta(minutes=16)
    with pytest.raises(ConflictError, match="nobody knows"):
        asked(here).answer(lambda: Answer(200, {}))


def test_errors_that_changed_nothing_let_it_be_sent_again_and_others_do_not(here: Here) -> None:
    def fails(error: Exception) -> Answer:
        raise error

    with pytest.raises(ConflictError):
        asked(here).answer(lambda: fails(ConflictError("x")))
    with pytest.raises(LockstepError):
        asked(here).answer(lambda: fails(LockstepError("x")))
    with pytest.raises(UnansweredError):
        asked(here).answer(lambda: fails(UnansweredError("x")))
    assert asked(here).answer(lambda: Answer(200, {})).status_code == 503
    with pytest.raises(ZeroDivisionError):
        Once(here, "scope", "other", "d").answer(lambda: fails(ZeroDivisionError()))
    assert Once(here, "scope", "other", "d").answer(lambda: Answer(200, {})).status_code == 500


def test_answers_are_kept_for_a_day_at_least_and_not_for_ever(tmp_path: Path) -> None:
    here = Dated(tmp_path)
    requests: SqlRequests = here.requests
    assert requests.claim("scope", "key", "d") is None
    requests.settle("scope", "key", 200, {"body": {}, "headers": {}})
    here.watch.pass_hours(25)
    assert requests.claim("scope", "other", "d") is None
    assert requests.claim("scope", "key", "d") is not None
    here.watch.pass_hours(24)
    assert requests.claim("scope", "key", "d") is None


def test_of_many_at_once_one_gets_in(here: Here) -> None:
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda _: here.requests.claim("scope", "key", "d"), range(24)))
    assert claims.count(None) == 1
