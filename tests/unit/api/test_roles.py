"""Every endpoint and every role. A route without a row fails."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pytest
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Mount

from orchestrator.api.app import make_app
from orchestrator.domain.audit.audit import Outcome
from orchestrator.domain.lifetime import keys
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

#: Whoever has a token of any kind gets no further: these have signatures and tokens of their own.
NOBODY: frozenset[str] = frozenset()

V1 = "/api/v1"
LIFETIME = "/lifetimeapi/rest/v2"
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
    f"POST {FLEET}/audits": MOVES,
    f"GET {V1}/audits": KNOWN,
    f"GET {V1}/audits/{{number}}": READS,
    f"GET {V1}/audits/{{number}}/findings": READS,
    f"GET {V1}/findings": KNOWN,
    f"GET {V1}/builds": KNOWN,
    f"POST {V1}/environments/{{environment}}/builds": MOVES,
    f"POST {V1}/environments/{{environment}}/builds/{{app}}/{{build}}/retire": MOVES,
    f"GET {V1}/events": KNOWN,
    f"GET {V1}/tokens": CHIEF,
    f"POST {V1}/tokens": CHIEF,
    f"POST {V1}/tokens/{{token}}/revoke": CHIEF,
    f"GET {V1}/trail": CHIEF,
    f"GET {V1}/trail/verify": CHIEF,
    f"GET {V1}/deliveries": CHIEF,
    f"POST {V1}/deliveries/{{number}}/redeliver": CHIEF,
    "POST /hooks/{name}": NOBODY,
    "GET /zones/{name}/{step}": NOBODY,
    "GET /zones/{name}/{token}/{step}": NOBODY,
    f"GET {LIFETIME}/environments": KNOWN,
    f"GET {LIFETIME}/environments/{{environment_key}}": READS,
    f"GET {LIFETIME}/environments/{{environment_key}}/deploymentzones": READS,
    f"GET {LIFETIME}/environments/{{environment_key}}/applications": READS,
    f"GET {LIFETIME}/environments/{{environment_key}}/applications/{{application_key}}": READS,
    f"POST {LIFETIME}/environments/{{environment_key}}/applications/{{application_key}}/versions": MOVES,
    f"GET {LIFETIME}/applications": KNOWN,
    f"GET {LIFETIME}/applications/{{application_key}}": KNOWN,
    f"GET {LIFETIME}/applications/{{application_key}}/versions": KNOWN,
    f"GET {LIFETIME}/applications/{{application_key}}/versions/{{version_key}}": KNOWN,
    f"GET {LIFETIME}/deployments": KNOWN,
    f"POST {LIFETIME}/deployments": MOVES,
    f"GET {LIFETIME}/deployments/{{plan_key}}": READS,
    f"PUT {LIFETIME}/deployments/{{plan_key}}": MOVES,
    f"GET {LIFETIME}/deployments/{{plan_key}}/status": READS,
    f"POST {LIFETIME}/deployments/{{plan_key}}/continue": STOPS,
    f"POST {LIFETIME}/deployments/{{plan_key}}/start": MOVES,
    f"POST {LIFETIME}/deployments/{{plan_key}}/abort": STOPS,
    f"DELETE {LIFETIME}/deployments/{{plan_key}}": MOVES,
}
#: What Lockstep can't do is told to whoever has a token.
UNSUPPORTED = 501
PLAN = {
    "ApplicationOperations": [{"ApplicationVersionKey": keys.version_key("ToDo", "1.0.0"), "DeploymentZoneKey": ""}],
    "TargetEnvironmentKey": keys.environment_key("Production"),
}
#: What is asked where it must be more than a path. A stream of events has no end: what is looked at is who is refused.
BODIES: dict[str, object] = {
    f"POST {FLEET}/deployments": {"changes": {"ToDo": "1.0.0"}},
    f"POST {FLEET}/rollback": {},
    f"POST {FLEET}/drain": {"frontend": "fe1"},
    f"POST {FLEET}/readmit": {"frontends": ["fe1"]},
    f"POST {FLEET}/audits": {"policy": "heal"},
    f"POST {V1}/environments/{{environment}}/builds": {"app": "ToDo", "build": "1", "version": "1.0.0"},
    f"POST {V1}/tokens": {"name": "x", "roles": [{"role": "viewer"}]},
    f"POST {LIFETIME}/environments/{{environment_key}}/applications/{{application_key}}/versions": {"Version": "1.0.0"},
    f"POST {LIFETIME}/deployments": PLAN,
    f"PUT {LIFETIME}/deployments/{{plan_key}}": PLAN,
}
QUERIES = {
    f"GET {V1}/releases/{{app}}/compare": "?from=1.0.0&to=1.0.0",
    f"POST {V1}/releases/{{app}}/{{version}}": "?format=tgz",
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
    "name": "ci",
    "step": "prepare",
    "environment_key": keys.environment_key("Production"),
    "application_key": keys.application_key("ToDo"),
    "version_key": keys.version_key("ToDo", "1.0.0"),
}
#: How LifeTime's paths name what is in the rows.
KEYS = {name: f"{name}_key" for name in ("environment", "application", "version")} | {"deployment": "plan_key"}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Here:
    here = Here(tmp_path_factory.mktemp("roles"))
    here.deployed()
    fleet = next(each for each in here.inventory().fleets if each.environment == "Production")
    here.audits.end_audit(here.auditing.begin(fleet, "tests").id, Outcome.CONSISTENT, {})
    return here


@pytest.fixture(scope="module")
def clients(here: Here) -> dict[str, Client]:
    app = make_app(here)
    return {name: Client(app, {} if grants is None else here.headers(*grants)) for name, grants in ROLES.items()}


def routes(listed: Sequence[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every method and path; those of an application that is mounted as well."""
    for mount in listed:
        if isinstance(mount, Mount):
            yield from routes(mount.routes, prefix + mount.path)
    for route in iter_route_contexts(listed):
        for method in (getattr(route, "methods", None) or set()) - {"HEAD"}:
            yield method, prefix + str(route.path)


def row_of(path: str) -> str:
    """A path with its parameters as the rows name them."""
    if path.startswith(LIFETIME):
        for name, key in KEYS.items():
            path = path.replace(f"{{{name}}}", f"{{{key}}}")
    return path


def test_every_route_has_a_row(here: Here, clients: dict[str, Client]) -> None:
    """Or is told to be unsupported, whoever asks; a route that nobody thought of is neither."""
    for method, path in routes(make_app(here).routes):
        if f"{method} {row_of(path)}" in ALLOWED:
            continue
        url = re.sub(r"\{[a-z:]+\}", "x", path)
        for role, client in clients.items():
            expected = 401 if role == "nobody" else UNSUPPORTED
            assert client.request(method, url).status_code == expected, (method, path, role)
    there = {f"{method} {row_of(path)}" for method, path in routes(make_app(here).routes)}
    assert set(ALLOWED) <= there


@pytest.mark.parametrize("row", ALLOWED)
def test_who_may_what(here: Here, clients: dict[str, Client], row: str) -> None:
    method, _, path = row.partition(" ")
    if ALLOWED[row] == NOBODY:
        # In a server of its own: these are failures to authenticate, after which everybody would have to wait.
        clients = {role: Client(make_app(here), client.headers) for role, client in clients.items()}
    for role, client in clients.items():
        if row in ENDLESS and role in ALLOWED[row]:
            continue
        # A plan for each: some of them end it.
        saved = clients["chief"].post(f"{LIFETIME}/deployments", json=PLAN).text if "plan_key" in row else ""
        answer = client.request(
            method, path.format(**PARAMETERS, plan_key=saved) + QUERIES.get(row, ""), json=BODIES.get(row)
        )
        if role in ALLOWED[row]:
            assert answer.status_code not in (401, 403), (role, row, answer.text)
            assert answer.status_code < 500, (role, row, answer.text)
        else:
            unknown = role == "nobody" or ALLOWED[row] == NOBODY
            assert answer.status_code == (401 if unknown else 403), (role, row, answer.text)
            lifetime = path.startswith(LIFETIME)
            assert answer.headers["content-type"] == f"application/{'json' if lifetime else 'problem+json'}"
