"""A server of LifeTime's API for tests: the whole application, and nobody who carries out what it asks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from httpx import ASGITransport, AsyncClient, Response

from orchestrator.api.app import make_app
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.access import Grant, Role
from orchestrator.domain.lifetime import keys
from orchestrator.services.deployments import Schedule
from orchestrator.settings import Settings
from tests.unit.services.fleets import HOST_KEY, Clock, Messages, World
from tests.unit.services.lifetimes import DEVELOPMENT

BASE = "/lifetimeapi/rest/v2"

FLEET = f"""
      {{name}}:
        apps: [{{apps}}]
        {{url}}
        defaults: {{{{user: deploy, root: /srv/lockstep}}}}
        frontends:
          fe1: {{{{address: 10.0.{{net}}.1, url: "http://10.0.{{net}}.1:8080", host_key: {HOST_KEY}}}}}
          fe2: {{{{address: 10.0.{{net}}.2, url: "http://10.0.{{net}}.2:8080", host_key: {HOST_KEY}}}}}
"""
INVENTORY = f"""
apps: {{ToDo: {{mount: /ToDo/}}, Portal: {{mount: /Portal/}}, Shop: {{mount: /Shop/}}}}
environments:
  Development:
    type: Development
    fleets:{FLEET.format(name="web", apps="ToDo, Portal", net=0, url="")}
  Production:
    two_step: true
    fleets:{FLEET.format(name="shop", apps="Shop", net=2, url="url: https://shop.example.com")}
{FLEET.format(name="web", apps="ToDo, Portal", net=1, url="")}
"""


class Server:
    """The whole application over a ledger, a store and an inventory of its own; nobody carries out what it asks."""

    def __init__(self, directory: Path, **settings: str) -> None:
        (directory / "inventory.yml").write_text(INVENTORY)
        names = {"HOME": directory, "INVENTORY": directory / "inventory.yml", **settings}
        self.lockstep = Lockstep(Settings.read({f"LOCKSTEP_{name}": str(value) for name, value in names.items()}))
        self.messages = Messages()
        vars(self.lockstep)["dispatch"] = self.messages
        parts = (self.lockstep.ledger, self.lockstep.artifacts, self.messages, Clock(), self.lockstep.builds)
        self.world = World(*parts)
        for app in ("ToDo", "Portal", "Shop"):
            for version in ("1.0.0", "2.0.0"):
                self.world.release(app, version)
        self.world.commit(self.world.deploying.deploy(DEVELOPMENT, {"ToDo": "1.0.0"}, Schedule(), "somebody"))
        self.transport = ASGITransport(make_app(self.lockstep), raise_app_exceptions=False)
        self.token = self.issue(Grant(Role.DEPLOYER))

    def issue(self, *grants: Grant) -> str:
        return self.lockstep.access.issue("ci", grants, None, "tests")[1]

    def asks(self, method: str, path: str, token: str | None = None, **options: Any) -> Response:
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        return self.sends(method, BASE + path, headers=headers, **options)

    def sends(self, method: str, path: str, **options: Any) -> Response:
        async def send() -> Response:
            async with AsyncClient(transport=self.transport, base_url="http://lockstep") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def saves(self, **apps: str) -> str:
        made = self.asks("POST", "/deployments", json=plan("Production", **apps))
        assert made.status_code == 201, made.text
        return made.text


def plan(target: str, **apps: str) -> dict[str, Any]:
    operations = [
        {"ApplicationVersionKey": keys.version_key(app, version), "DeploymentZoneKey": ""}
        for app, version in apps.items()
    ]
    return {"ApplicationOperations": operations, "TargetEnvironmentKey": keys.environment_key(target), "Notes": "n"}
