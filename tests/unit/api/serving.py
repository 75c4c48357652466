"""A server's application over a real ledger and inventory, with a dispatch that only notes what it is handed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from orchestrator.api.app import make_app
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.deployment import Decision, State
from orchestrator.settings import Settings
from tests.unit.services.fleets import HOST_KEY, Clock, Messages, World

KEY = "0123456789abcdef-hook"
TOKEN = "planted-token-0123456789"
FLEET = "Production/web"

INVENTORY = f"""\
apps:
  ToDo: {{mount: /ToDo/}}
  Portal: {{mount: /Portal/}}
environments:
  Production:
    four_eyes: FOUR_EYES
    fleets:
      web:
        apps: [ToDo, Portal]
        defaults: {{user: deploy, root: /srv/lockstep}}
        frontends:
          fe1: {{address: 127.0.0.1, host_key: "{HOST_KEY}", url: "http://127.0.0.1:8080"}}
"""

HOOKS = """\
triggers:
  ci:
    fleet: Production/web
    secret_file: HOME/ci.secret
    apps: {ToDo: "{{ body.release.version }}"}
  nightly:
    fleet: Production/web
    secret_file: HOME/nightly.secret
    apps: {ToDo: "{{ body.release.version }}", Portal: "{{ body.release.version }}"}
    hold: true
zones:
  containers:
    fleet: Production/web
    secret_file: HOME/zone.token
    folder: HOME/results
"""


class Bench(Lockstep):
    """Lockstep without a broker."""

    @cached_property
    def dispatch(self) -> Messages:  # type: ignore[override]
        return Messages()


class Served:
    """What a test asks, and what stands behind it. Two releases of each app are there."""

    def __init__(self, home: Path, *, four_eyes: bool = False) -> None:
        self.home = home
        (home / "inventory.yml").write_text(INVENTORY.replace("FOUR_EYES", str(four_eyes).lower()))
        (home / "hooks.yml").write_text(HOOKS.replace("HOME", str(home)))
        (home / "results").mkdir()
        for name, secret in (("ci.secret", KEY), ("nightly.secret", KEY[::-1]), ("zone.token", TOKEN)):
            (home / name).write_text(f"{secret}\n")
            (home / name).chmod(0o600)
        environment = {"LOCKSTEP_HOME": str(home), "LOCKSTEP_INVENTORY": str(home / "inventory.yml")}
        self.lockstep = Bench(Settings.read(environment))
        self.world = World(
            self.lockstep.ledger, self.lockstep.artifacts, self.lockstep.dispatch, Clock(), self.lockstep.builds
        )
        for app in ("ToDo", "Portal"):
            for version in ("1.0.0", "2.0.0"):
                self.world.release(app, version)
        self.start()

    def start(self) -> None:
        """A server that has just begun."""
        self.app = make_app(self.lockstep)

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        """One request."""

        async def asking() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://lockstep") as client:
                return await client.request(method, path, **given)

        return asyncio.run(asking())

    def deliver(self, body: bytes, delivery: str = "msg_1", name: str = "ci", **headers: str) -> httpx.Response:
        """POST to a hook, signed unless `headers` (``_`` for ``-``) say otherwise."""
        given = {**signed(body, delivery), "content-type": "application/json"}
        given |= {key.replace("_", "-"): value for key, value in headers.items()}
        return self.ask("POST", f"/hooks/{name}", content=body, headers={k: v for k, v in given.items() if v})

    @property
    def trail(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Action, actor and detail of each entry that a hook left."""
        entries = [entry.action for entry in self.lockstep.trail.entries()]
        return [(e.name, e.actor, dict(e.detail)) for e in entries if e.name.startswith("trigger.")]

    def commit(self, number: int) -> None:
        """As a coordinator would whose frontends all agree."""
        found = self.lockstep.ledger.deployment(number)
        assert found is not None
        ledger = self.lockstep.ledger
        if found.state is State.PLANNED:
            self.world.carry_out(found)
        elif found.state is State.PREPARED:
            ledger.release_hold(number)
            ledger.move(number, State.PREPARED, State.VERIFYING)
            assert ledger.prepare(number)[0] is State.ARMING

        assert ledger.decide(number, Decision.COMMIT, []) is Decision.COMMIT
        ledger.move(number, State.ACTIVATING, State.FINISHING)
        ledger.move(number, State.FINISHING, State.DONE)


def signed(body: bytes, delivery: str, at: int | None = None, key: str = KEY) -> dict[str, str]:
    """The headers, made as docs/hooks.md has it and not by what is tested."""
    moment = str(int(time.time()) if at is None else at)
    made = hmac.new(key.encode(), f"{delivery}.{moment}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": delivery,
        "webhook-timestamp": moment,
        "webhook-signature": "v1," + base64.b64encode(made).decode(),
    }
