"""The API's log of deliveries: who may read it, what it says, and delivering once more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from orchestrator.api.app import make_app
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.access import Grant, Role
from orchestrator.domain.trail import Action
from orchestrator.settings import Settings
from tests.unit.cli.test_hooks import HOOKS, refused
from tests.unit.services.post import Scripted

PATH = "/api/v1/deliveries"


@pytest.fixture
def lockstep(tmp_path: Path) -> Lockstep:
    """One event that was given up for a webhook, and one that waits."""
    (tmp_path / "hooks.yml").write_text(HOOKS.format(url="http://127.0.0.1:9", home=tmp_path))
    lockstep = Lockstep(Settings.read({"LOCKSTEP_HOME": str(tmp_path)}))
    receivers = {"webhook/chatops": Scripted(refused, "webhook/chatops", timedelta(0))}
    lockstep.outbox.look(receivers)
    for name in ("deployment.aborted", "deployment.done"):
        lockstep.trail.add(Action(name, "ada", "Production/web", 17))
    lockstep.outbox.look(receivers)
    lockstep.outbox.deliver(receivers["webhook/chatops"])
    return lockstep


@dataclass(frozen=True)
class Client:
    """Asks the application, in this process."""

    lockstep: Lockstep

    def get(self, path: str, headers: dict[str, str]) -> httpx.Response:
        return asyncio.run(self._ask("GET", path, headers))

    def post(self, path: str, headers: dict[str, str]) -> httpx.Response:
        return asyncio.run(self._ask("POST", path, headers))

    async def _ask(self, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(make_app(self.lockstep))
        async with httpx.AsyncClient(transport=transport, base_url="http://lockstep") as client:
            return await client.request(method, path, headers=headers)


@pytest.fixture
def client(lockstep: Lockstep) -> Client:
    return Client(lockstep)


def bearer(lockstep: Lockstep, *grants: Grant) -> dict[str, str]:
    _, text = lockstep.access.issue("ci", grants, None, "ada")
    return {"Authorization": f"Bearer {text}"}


def test_the_log_is_newest_first_and_can_be_narrowed(lockstep: Lockstep, client: Client) -> None:
    admin = bearer(lockstep, Grant(Role.ADMIN))
    found = client.get(PATH, headers=admin).json()["items"]
    assert [(each["id"], each["state"]) for each in found] == [(2, "waiting"), (1, "given-up")]
    assert found[1]["event"]["event"] == "deployment.aborted"
    assert found[1]["problem"]["what"] == "the receiver did not take it"
    page = client.get(f"{PATH}?limit=1", headers=admin).json()
    assert [each["id"] for each in page["items"]] == [2]
    behind = client.get(f"{PATH}?cursor={page['next']}", headers=admin).json()
    assert ([each["id"] for each in behind["items"]], behind["next"]) == ([1], None)
    assert [each["id"] for each in client.get(f"{PATH}?failed=true", headers=admin).json()["items"]] == [1]
    assert client.get(f"{PATH}?receiver=notice/team", headers=admin).json() == {"items": [], "next": None}
    assert client.get(f"{PATH}?limit=0", headers=admin).status_code == 422


def test_it_is_delivered_once_more(lockstep: Lockstep, client: Client) -> None:
    answer = client.post(f"{PATH}/1/redeliver", headers=bearer(lockstep, Grant(Role.ADMIN)))
    assert answer.status_code == 202
    assert (answer.json()["id"], answer.json()["state"], answer.json()["attempts"]) == (1, "waiting", 0)
    last = lockstep.trail.last()
    assert last is not None
    assert last.action.name == "delivery.repeated"
    assert last.action.actor.startswith("ci#")


@pytest.mark.parametrize(("number", "status"), [("99", 404), ("0", 422), (str(2**63), 422), ("x", 422)])
def test_there_is_no_such_delivery(lockstep: Lockstep, client: Client, number: str, status: int) -> None:
    answer = client.post(f"{PATH}/{number}/redeliver", headers=bearer(lockstep, Grant(Role.ADMIN)))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_receiver_that_is_no_more_is_a_problem(lockstep: Lockstep, client: Client) -> None:
    lockstep.settings.hooks.unlink()
    answer = client.post(f"{PATH}/1/redeliver", headers=bearer(lockstep, Grant(Role.ADMIN)))
    assert answer.status_code == 422
    assert answer.json()["detail"] == "hooks.yml has no webhook/chatops"


@pytest.mark.parametrize(
    ("grants", "status"),
    [
        ([], 401),
        ([Grant(Role.VIEWER)], 403),
        ([Grant(Role.DEPLOYER)], 403),
        ([Grant(Role.APPROVER)], 403),
        ([Grant(Role.ADMIN, "Production")], 403),
        ([Grant(Role.ADMIN)], 200),
    ],
)
def test_only_an_admin_everywhere_may(lockstep: Lockstep, client: Client, grants: list[Grant], status: int) -> None:
    headers = bearer(lockstep, *grants) if grants else {}
    assert client.get(PATH, headers=headers).status_code == status
    again = client.post(f"{PATH}/1/redeliver", headers=headers)
    assert again.status_code == (202 if status == 200 else status)
    repeated = [entry for entry in lockstep.trail.entries() if entry.action.name == "delivery.repeated"]
    assert len(repeated) == (1 if status == 200 else 0)
