"""Fifty clients at once, over real HTTP, on one fleet."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from orchestrator.api.app import make_app
from tests.unit.api.server import serving
from tests.unit.api.service import WEB, Here

CLIENTS = 50


async def at_once(url: str, headers: list[dict[str, str]]) -> list[httpx.Response]:
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits(max_connections=None)) as client:
        body = {"changes": {"ToDo": "1.0.0"}}
        return await asyncio.gather(*(client.post(f"{WEB}/deployments", json=body, headers=each) for each in headers))


def test_of_fifty_clients_one_deploys_and_all_others_are_told_who_does(tmp_path: Path) -> None:
    here = Here(tmp_path)
    here.build("1.0.0")
    headers = [here.headers(("deployer", "Production"), name=f"ci-{number}") for number in range(CLIENTS)]
    with serving(make_app(here)) as url:
        for round_number in range(2):
            answers = asyncio.run(at_once(url, headers))
            started = [answer.json() for answer in answers if answer.status_code == 202]
            refused = [answer.json() for answer in answers if answer.status_code == 409]
            assert (len(started), len(refused)) == (1, CLIENTS - 1), [answer.text for answer in answers]
            (winner,) = started
            held = {"deployment": winner["id"], "state": "planned", "actor": winner["actor"]}
            for problem in refused:
                assert problem["type"] == "urn:lockstep:problem:conflict"
                assert {**held, "since": winner["created_at"]} == problem["holder"]
            assert [each.id for each in here.ledger.unfinished()] == [winner["id"]]
            assert len(here.ledger.history(None, 99)) == round_number + 1
            deployment = here.ledger.deployment(winner["id"])
            assert deployment is not None
            here.world.commit(deployment)
