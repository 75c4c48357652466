"""Whatever is changed over HTTP, the trail says who did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.api.app import make_app
from orchestrator.domain.deployment import State
from orchestrator.domain.lifetime import keys
from tests.unit.api.service import WEB, Client, Here, archive

LIFETIME = "/lifetimeapi/rest/v2"
BUILDS = "/api/v1/environments/Production/builds"


def test_every_change_names_whose_token_it_was(tmp_path: Path) -> None:
    here = Here(tmp_path)
    here.deployed()
    client = Client(make_app(here), here.headers(("admin", "*"), name="ada"))
    begun = len(here.trail.entries())

    def asks(method: str, path: str, **words: Any) -> str:
        answer = client.request(method, path, **words)
        assert answer.is_success, (path, answer.text)
        return answer.text

    asks("POST", "/api/v1/releases/ToDo/2.0.0?format=tgz", content=archive({"index.html": b"two"}))
    asks("POST", BUILDS, json={"app": "ToDo", "build": "7", "version": "1.0.0"})
    asks("POST", f"{BUILDS}/ToDo/7/retire")
    asks("POST", f"{WEB}/drain", json={"frontend": "fe1"})
    asks("POST", f"{WEB}/deployments", json={"changes": {"ToDo": "2.0.0"}, "hold": True})
    held = here.ledger.unfinished()[0].id
    for before, after in ((State.PLANNED, State.STAGING), (State.STAGING, State.VERIFYING)):
        here.ledger.move(held, before, after)
    here.ledger.prepare(held)
    asks("POST", f"/api/v1/deployments/{held}/continue")
    asks("POST", f"/api/v1/deployments/{held}/abort")
    here.ledger.move(held, State.ABORTING, State.ABORTED)
    plan = {
        "ApplicationOperations": [{"ApplicationVersionKey": keys.version_key("ToDo", "2.0.0")}],
        "TargetEnvironmentKey": keys.environment_key("Production"),
    }
    saved = asks("POST", f"{LIFETIME}/deployments", json=plan)
    for action in ("start", "abort"):
        asks("POST", f"{LIFETIME}/deployments/{saved}/{action}")
    token = here.token(("viewer", "*"))
    asks("POST", f"/api/v1/tokens/{token.split('_')[1]}/revoke")

    actors = [(entry.action.name, entry.action.actor.partition("#")[0]) for entry in here.trail.entries(begun)]
    itself = {(name, who) for name, who in actors if who != "ada"}
    # What the ledger is moved by here, and the token that the test issued.
    moved = {f"deployment.{state}" for state in ("staging", "verifying", "prepared", "aborted")}
    assert itself == {(name, "lockstep") for name in moved} | {("token.issued", "tests")}
    assert [name for name, who in actors if who == "ada"] == [
        *("release.added", "build.recorded", "build.retired", "rotation.draining", "deployment.planned"),
        *("deployment.continued", "deployment.aborting"),
        *("plan.saved", "plan.started", "deployment.planned", "plan.bound", "deployment.aborting", "plan.aborted"),
        "token.revoked",
    ]
