"""The API over a real ledger and artifact store, with two environments and a dispatch that is silent."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from orchestrator.adapters.sources import entries
from orchestrator.api.app import make_app
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.access import Grant, Role
from orchestrator.domain.deployment import Deployment
from orchestrator.services.deployments import Schedule
from orchestrator.services.releases import ReleaseName
from orchestrator.settings import Settings
from tests.empty_ledger import empty_ledger
from tests.unit.services.fleets import HOST_KEY, Messages, World

INVENTORY = f"""\
apps:
  ToDo: {{mount: /ToDo/}}
environments:
  Test:
    type: Test
    fleets:
      web:
        apps: [ToDo]
        defaults: {{user: deploy, root: /srv/lockstep, identity: /secret/identity}}
        frontends:
          fe1: {{address: 127.0.1.1, host_key: "{HOST_KEY}", url: "http://127.0.1.1:8080"}}
  Production:
    fleets:
      web:
        apps: [ToDo]
        url: https://app.example.com
        defaults: {{user: deploy, root: /srv/lockstep, identity: /secret/identity}}
        frontends:
          fe1: {{address: 127.0.0.1, host_key: "{HOST_KEY}", url: "http://127.0.0.1:8080"}}
          fe2: {{address: 127.0.0.2, host_key: "{HOST_KEY}", url: "http://127.0.0.2:8080"}}
          fe3: {{address: 127.0.0.3, host_key: "{HOST_KEY}", url: "http://127.0.0.3:8080"}}
"""
WEB = "/api/v1/environments/Production/fleets/web"


class Client:
    """Asks the application, without a socket between."""

    def __init__(self, app: FastAPI, headers: Mapping[str, str]) -> None:
        self.app, self.headers = app, dict(headers)

    def get(self, url: str, **words: Any) -> httpx.Response:
        return self.request("GET", url, **words)

    def post(self, url: str, **words: Any) -> httpx.Response:
        return self.request("POST", url, **words)

    def request(self, method: str, url: str, headers: Mapping[str, Any] | None = None, **words: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://lockstep") as client:
                return await client.request(method, url, headers={**self.headers, **(headers or {})}, **words)

        return asyncio.run(ask())


class Quiet(Messages):
    """A broker that keeps what it has, and hands nothing on."""

    def memory(self) -> str:
        return "kept"


class Here(Lockstep):
    """Lockstep in a directory, with a dispatch that keeps what it was asked to hand on."""

    def __init__(self, directory: Path, upload_bytes: int = 10_000_000) -> None:
        (directory / "inventory.yml").write_text(INVENTORY)
        empty_ledger(directory / "ledger.sqlite").dispose()
        environ = {"LOCKSTEP_HOME": str(directory), "LOCKSTEP_INVENTORY": str(directory / "inventory.yml")}
        super().__init__(Settings.read({**environ, "LOCKSTEP_UPLOAD_BYTES": str(upload_bytes)}))

    @cached_property
    def dispatch(self) -> Quiet:  # type: ignore[override]
        return Quiet()

    @property
    def world(self) -> World:
        """The same parts, as the tests of the services use them."""
        return World(self.ledger, self.artifacts, self.dispatch, self.clock, self.builds)  # type: ignore[arg-type]

    def token(self, *grants: tuple[str, str], name: str = "somebody") -> str:
        given = [Grant(Role(role), environment) for role, environment in grants]
        return self.access.issue(name, given, None, "tests")[1]

    def headers(self, *grants: tuple[str, str], name: str = "somebody") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(*grants, name=name)}"}

    def client(self, *grants: tuple[str, str]) -> Client:
        """Somebody who asks, an administrator by default."""
        headers = self.headers(*(grants or (("admin", "*"),)))
        return Client(make_app(self), headers)

    def deployed(self, version: str = "1.0.0", environment: str = "Production") -> Deployment:
        """A release that is built and committed."""
        deployment = self.planned(version, environment)
        self.world.commit(deployment)
        return deployment

    def planned(self, version: str = "1.0.0", environment: str = "Production") -> Deployment:
        """A release that is built, and its deployment."""
        if self.ledger.release("ToDo", version) is None:
            self.build(version)
        fleet = next(each for each in self.inventory().fleets if each.environment == environment)
        return self.deploying.deploy(fleet, {"ToDo": version}, Schedule(), "tests")

    def build(self, version: str) -> None:
        """A release of one file."""
        tree = self.settings.home / "trees" / version
        tree.mkdir(parents=True)
        (tree / "index.html").write_text(version)
        self.releasing.build(entries(tree), ReleaseName("ToDo", version))


def archive(files: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    """A tar with these files; the same for the same files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as tar:  # type: ignore[call-overload]
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def items(answer: Any) -> Iterable[Any]:
    return answer.json()["items"]  # type: ignore[no-any-return]
