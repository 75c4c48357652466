"""A pipeline: OutSystems' own deployment scripts as they come from PyPI, each in its own process, against a server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from orchestrator.bootstrap import Lockstep
from orchestrator.domain.access import Grant, Role
from orchestrator.settings import Settings
from tests.integration.operator import PATIENCE, Operator, Said, wait_until

BASE = "/lifetimeapi/rest/v2"


@dataclass
class Pipeline:
    """The scripts, run in `directory`, where they leave their artifacts; and a client for what no script does."""

    directory: Path
    url: str
    token: str

    def runs(self, script: str, *words: str) -> Said:
        """`python -m outsystems.pipeline.SCRIPT …`, with the options that every script has."""
        config = self.directory / "pipeline.env"
        config.write_text("SLEEP_PERIOD_IN_SECS=1\nQUEUE_TIMEOUT_IN_SECS=60\nDEPLOYMENT_TIMEOUT_IN_SECS=90\n")
        common = ("-u", self.url, "-t", self.token, "-cf", str(config), "-a", "Artifacts")
        done = subprocess.run(
            [sys.executable, "-m", f"outsystems.pipeline.{script}", *common, *words],
            cwd=self.directory,
            env={key: value for key, value in os.environ.items() if "proxy" not in key.lower()} | {"NO_PROXY": "*"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def succeeds(self, script: str, *words: str) -> str:
        """The same, for one that ends well: what it printed."""
        said = self.runs(script, *words)
        assert said.code == 0, (said.output, said.messages)
        return said.output

    def artifact(self, name: str) -> Any:
        """What a script left behind."""
        return json.loads((self.directory / "Artifacts" / name).read_text())

    @property
    def client(self) -> httpx.Client:
        """A client of the same API."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.url + BASE, headers=headers, trust_env=False, timeout=30)

    def keys(self, path: str) -> dict[str, str]:
        """The keys of what is listed there, by name."""
        with self.client as client:
            return {each["Name"]: each["Key"] for each in client.get(path).json()}

    def saves(self, target: str, app: str, version: str) -> str:
        """Save a plan, and leave it: its key."""
        application = self.keys("/applications")[app]
        with self.client as client:
            versions = {
                each["Version"]: each["Key"] for each in client.get(f"/applications/{application}/versions").json()
            }
            plan = {
                "ApplicationOperations": [{"ApplicationVersionKey": versions[version], "DeploymentZoneKey": ""}],
                "TargetEnvironmentKey": self.keys("/environments")[target],
                "Notes": "",
            }
            made = client.post("/deployments", json=plan)
        assert made.status_code == 201, made.text
        return made.text


@contextmanager
def pipeline(operator: Operator, directory: Path) -> Iterator[Pipeline]:
    """A server, and a pipeline that has a token of it."""
    _, token = Lockstep(Settings.read(operator.environment)).access.issue("ci", [Grant(Role.DEPLOYER)], None, "tests")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with operator.running("serve", "--port", str(port)) as process:
        wait_until(lambda: _ready(url) or process.poll() is not None)
        assert process.poll() is None
        yield Pipeline(directory, url, token)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
