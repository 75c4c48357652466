"""Every endpoint and every role. A route without a row fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts

from orchestrator.api.app import make_app
from tests.unit.api.service import Client, Here

#: Who asks, with what was granted. The rows are about Production.
ROLES: dict[str, tuple[tuple[str, str], ...] | None] = {
    "nobody": None,
    "viewer": (("viewer", "Production"),),
    "deployer": (("deployer", "Production"),),
    "approver": (("approver", "Production"),),
    "admin": (("admin", "Production"),),
    "elsewhere": (("deployer", "Test"),),
    "chief": (("admin", "*"),),
}
ANYBODY = frozenset(ROLES)
KNOWN = ANYBODY - {"nobody"}
#: Whoever may read Production.
READS = KNOWN - {"elsewhere"}
MOVES = frozenset({"deployer", "admin", "chief"})
STOPS = MOVES | {"approver"}
RELEASES = MOVES | {"elsewhere"}
CHIEF = frozenset({"chief"})

V1 = "/api/v1"
FLEET = f"{V1}/environments/{{environment}}/fleets/{{fleet}}"

#: Who is let in: everybody else gets 401 without a token, 403 with one.
ALLOWED: dict[str, frozenset[str]] = {
    "GET /api/v1/openapi.json": ANYBODY,
    "GET /healthz": ANYBODY,
    "GET /readyz": ANYBODY,
    f"GET {V1}/releases": KNOWN,
    f"GET {V1}/releases/{{app}}/compare": KNOWN,
    f"GET {V1}/releases/{{app}}/{{version}}": KNOWN,
    f"POST {V1}/releases/{{app}}/{{version}}": RELEASES,
    f"GET {V1}/environments": KNOWN,
    f"GET {V1}/environments/{{environment}}": READS,
    f"GET {V1}/fleets": KNOWN,
    f"GET {FLEET}": READS,
    f"POST {FLEET}/deployments": MOVES,
    f"POST {FLEET}/rollback": MOVES,
    f"POST {FLEET}/drain": MOVES,
    f"POST {FLEET}/readmit": MOVES,
    f"GET {V1}/deployments": KNOWN,
    f"GET {V1}/deployments/{{number}}": READS,
    f"GET {V1}/deployments/{{number}}/reports": READS,
    f"POST {V1}/deployments/{{number}}/continue": STOPS,
    f"POST {V1}/deployments/{{number}}/abort": STOPS,
    f"GET {V1}/builds": KNOWN,
    f"POST {V1}/environments/{{environment}}/builds": MOVES,
    f"POST {V1}/environments/{{environment}}/builds/{{app}}/{{build}}/retire": MOVES,
    f"GET {V1}/events": KNOWN,
    f"GET {V1}/tokens": CHIEF,
    f"POST {V1}/tokens": CHIEF,
    f"POST {V1}/tokens/{{token}}/revoke": CHIEF,
    f"GET {V1}/trail": CHIEF,
    f"GET {V1}/trail/verify": CHIEF,
}
#: What is asked where it must be more than a path. A stream of events has no end: what is looked at is who is refused.
BODIES: dict[str, object] = {
    f"POST {FLEET}/deployments": {"changes": {"ToDo": "1.0.0"}},
    f"POST {FLEET}/rollback": {},
    f"POST {FLEET}/drain": {"frontend": "fe1"},
    f"POST {FLEET}/readmit": {"frontends": ["fe1"]},
    f"POST {V1}/environments/{{environment}}/builds": {"app": "ToDo", "build": "1", "version": "1.0.0"},
    f"POST {V1}/tokens": {"name": "x", "roles": [{"role": "viewer"}]},
}
ENDLESS = {f"GET {V1}/events"}
PARAMETERS = {
    "environment": "Production",
    "fleet": "web",
    "app": "ToDo",
    "version": "1.0.0",
    "number": 1,
    "build": "1",
    "token": "0" * 12,
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Here:
    here = Here(tmp_path_factory.mktemp("roles"))
    here.deployed()
    return here


@pytest.fixture(scope="module")
def clients(here: Here) -> dict[str, Client]:
    app = make_app(here)
    return {name: Client(app, {} if grants is None else here.headers(*grants)) for name, grants in ROLES.items()}


def test_every_route_has_a_row(tmp_path: Path) -> None:
    found = {
        f"{method} {route.path}"
        for route in iter_route_contexts(make_app(Here(tmp_path)).routes)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize("row", ALLOWED)
def test_who_may_what(clients: dict[str, Client], row: str) -> None:
    method, _, path = row.partition(" ")
    url = path.format(**PARAMETERS) + ("?from=1.0.0&to=1.0.0" if path.endswith("compare") else "")
    url += "?format=tgz" if row == f"POST {V1}/releases/{{app}}/{{version}}" else ""
    for role, client in clients.items():
        if row in ENDLESS and role in ALLOWED[row]:
            continue
        answer = client.request(method, url, json=BODIES.get(row))
        if role in ALLOWED[row]:
            assert answer.status_code not in (401, 403), (role, row, answer.text)
            assert answer.status_code < 500, (role, row, answer.text)
        else:
            assert answer.status_code == (401 if role == "nobody" else 403), (role, row, answer.text)
            if path.startswith(V1):
                assert answer.headers["content-type"] == "application/problem+json"
