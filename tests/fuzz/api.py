"""`python -m tests.fuzz.api`: hostile and plausible requests, made of the API's own document (docs/fuzzing.md).

schemathesis makes them: examples, what the document's limits suggest, at random, and one after another along the links
of the document, so that what one answer names is what the next request asks for. They go to a real server with a real
ledger, whose workers do at once what they are asked.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemathesis
from fastapi import FastAPI
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure
from schemathesis.engine import events, from_schema

from orchestrator.api.app import make_app
from orchestrator.api.asking import Authenticator
from orchestrator.api.v1.upload import MEDIA_TYPES
from orchestrator.domain.deployment import State
from orchestrator.domain.errors import ConflictError
from orchestrator.ports import Token
from orchestrator.services.access import Access
from tests.unit.api.server import serving
from tests.unit.api.service import Here, Quiet, archive

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
)
PHASES = ("examples", "coverage", "fuzzing", "stateful")
#: The name of the token by which all is sent.
NAME = "fuzz"
#: A stream of events has no end, and is tested by itself (tests/unit/api/test_events.py).
ENDLESS = "/api/v1/events"


#: What there is, so that much of what is asked is about something.
NAMES: dict[str, list[str]] = {
    "environment": ["Production", "Test"],
    "fleet": ["web"],
    "app": ["ToDo"],
    "version": ["1.0.0", "2.0.0"],
}
PLAUSIBLE: dict[str, list[dict[str, Any]]] = {
    "create_deployment": [
        {"changes": {"ToDo": "1.0.0"}},
        {"changes": {"ToDo": "2.0.0"}},
        {"changes": {"ToDo": "2.0.0"}, "hold": True},
    ],
    "roll_back": [{}, {"hold": True}],
    "drain_frontend": [{"frontend": "fe1"}, {"frontend": "fe2"}],
    "readmit_frontends": [{"frontends": ["fe1"]}, {"frontends": ["fe1", "fe2"]}],
}


class Prompt(Quiet):
    """Workers that do at once what they are asked: what is held is prepared, all else is committed or disarmed."""

    def __init__(self, here: Here) -> None:
        super().__init__()
        self._here = here

    def coordinate(self, number: int) -> None:
        world, deployment = self._here.world, self._here.ledger.deployment(number)
        assert deployment is not None
        if deployment.state is State.ABORTING:
            world.ledger.move(number, State.ABORTING, State.ABORTED)
        elif deployment.state is State.PLANNED and deployment.plan.hold:
            world.carry_out(deployment)
        elif deployment.state is State.PLANNED:
            world.commit(deployment)
        elif deployment.state is State.PREPARED:
            world.ledger.move(number, State.PREPARED, State.VERIFYING)
            assert world.ledger.prepare(number)[1]
            world.decided(deployment)

    def drain(self, number: int) -> None:
        self._here.ledger.confirm_drain(number, "the fuzz")


@dataclass(frozen=True, slots=True)
class Kept(Access):
    """One token can't be revoked: the one by which all is sent."""

    def revoke(self, public: str, actor: str) -> Token:
        found = self.tokens.token(public)
        if found is not None and found.name == NAME:
            raise ConflictError("this token is needed")
        return Access.revoke(self, public, actor)


class Busy(Here):
    """Lockstep with such workers."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.__dict__["dispatch"] = Prompt(self)

    @property
    def access(self) -> Access:
        return Kept(self.tokens, self.clock)


@schemathesis.serializer(*MEDIA_TYPES)
def packed(context: object, value: Any) -> bytes:
    """The body of an upload: mostly an archive with what was made in it, else that itself."""
    del context
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
    return content if len(content) % 4 == 3 else archive({"index.html": content})


@dataclass
class Tally:
    """What was sent, what came back, and what was wrong."""

    cases: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)

    def hear(self, event: object) -> None:
        """One event of the engine."""
        if isinstance(event, events.ScenarioFinished):
            recorder = event.recorder
            self.cases += len(recorder.interactions)
            self.phases[event.phase.name.lower()] += len(recorder.interactions)
            for interaction in recorder.interactions.values():
                if interaction.response is not None:
                    self.statuses[interaction.response.status_code] += 1
            for case, checks in recorder.checks.items():
                for check in checks:
                    if check.failure_info is not None:
                        self._failed(recorder.label, check.name, check.failure_info.failure, recorder, case)
        elif isinstance(event, events.NonFatalError):
            self.failures[f"{event.label}: {event.value!r}"[:200]] = str(event.info)
        elif isinstance(event, events.FatalError):
            self.failures["the fuzz itself"] = repr(event.exception)

    def _failed(self, label: str, name: str, failure: Failure, recorder: Any, case: str) -> None:
        request = recorder.cases[case].value
        key = f"{request.method} {request.path} {name}: {failure.title}"
        sent = recorder.interactions[case].request
        self.failures.setdefault(key, f"{failure.message}\n  {sent.method} {sent.uri} {sent.body!r}"[:2000])


def subject(directory: Path) -> tuple[Busy, FastAPI]:
    """Lockstep with two releases that were deployed, and its application."""
    here = Busy(directory)
    for version in NAMES["version"]:
        here.planned(version)
    app = make_app(here)
    # Wrong tokens are among what is sent: whoever sends them would have to wait, and nothing else would be tried.
    app.state.authenticator = Authenticator(here, most=1_000_000)
    return here, app


def fuzz(here: Here, app: FastAPI, examples: int, seed: int, phases: Sequence[str] = PHASES) -> Tally:
    """Send so many requests to each operation, and four times as many sequences along the links."""
    tally = Tally()
    with serving(app) as url:
        config = _config(here.token(("admin", "*"), name=NAME), examples, seed, phases)
        config.projects.default.base_url = url
        schema = schemathesis.openapi.from_dict(_with_links(app.openapi()), config=config)
        for event in from_schema(schema.exclude(path=ENDLESS)).execute():
            tally.hear(event)
    return tally


def _with_links(document: dict[str, Any]) -> dict[str, Any]:
    """The document, and from every fleet to what can be done with this one: random names would find no release."""
    made = copy.deepcopy(document)
    where = {"environment": "$request.path.environment", "fleet": "$request.path.fleet"}
    links = made["paths"]["/api/v1/environments/{environment}/fleets/{fleet}"]["get"]["responses"]["200"]["links"]
    links.clear()
    for operation, bodies in PLAUSIBLE.items():
        for number, body in enumerate(bodies):
            links[f"{operation}_{number}"] = {"operationId": operation, "parameters": where, "requestBody": body}
    return made


def _config(token: str, examples: int, seed: int, phases: Sequence[str]) -> SchemathesisConfig:
    checks: Mapping[str, Any] = {"enabled": False, **{name: {"enabled": True} for name in CHECKS}}
    document = {
        "seed": seed,
        "headers": {"Authorization": f"Bearer {token}"},
        "continue-on-failure": True,
        "checks": checks,
        "generation": {"max-examples": examples, "database": "none"},
        "dictionaries": {name: {"values": values} for name, values in NAMES.items()},
        "parameters": {name: {"dictionary": name, "probability": 0.7} for name in NAMES},
        "phases": {name: {"enabled": name in phases} for name in PHASES}
        | {"stateful": {"enabled": "stateful" in phases, "max-steps": 8, "generation": {"max-examples": 4 * examples}}},
        "suppress-health-check": ["all"],
    }
    return SchemathesisConfig.from_dict(document)


def main() -> int:
    """Returns the exit code: 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.api", description=__doc__)
    parser.add_argument("--examples", type=int, default=50, help="for each operation (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        tally = fuzz(*subject(Path(directory)), given.examples, given.seed)
    row = {
        "cases": tally.cases,
        "phases": dict(tally.phases),
        "statuses": dict(sorted(tally.statuses.items())),
        "seconds": round(time.monotonic() - began, 1),
        "failures": len(tally.failures),
    }
    for key, what in tally.failures.items():
        sys.stderr.write(f"FOUND {key}\n  {what}\n")
    sys.stdout.write(json.dumps(row) + "\n")
    return int(bool(tally.failures))


if __name__ == "__main__":
    sys.exit(main())
