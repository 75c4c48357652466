"""No secret gets out: whatever is sent, and however it fails, none is in a log, an answer or the ledger."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import structlog

from inventory.hooks import EXAMPLE
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.access import TOKEN, Grant, Role
from orchestrator.logs import configure
from orchestrator.settings import Settings

WEBHOOK = "whsec_cGxhbnRlZC13ZWJob29rLXNlY3JldC1vZi1jaS0wMQ=="
ZONE = "planted-token-of-the-zone-0123456789"
BODY = "planted-in-a-body-that-is-not-valid"


@dataclass
class Site:
    """A server in a process of its own, what is planted, and all that it ever answered."""

    home: Path
    valid: str
    wrong: str
    port: int = 0
    answers: list[bytes] = field(default_factory=list)

    @classmethod
    def at(cls, home: Path) -> Site:
        """With tokens, and with hooks whose secrets are in files."""
        hooks = EXAMPLE.read_text()
        for name, secret in (("ci", WEBHOOK), ("zone", ZONE), ("chatops", WEBHOOK), ("team", "json://" + ZONE)):
            for suffix in ("secret", "urls"):
                file = home / f"{name}.{suffix}"
                file.write_text(secret)
                file.chmod(0o600)
                hooks = hooks.replace(f"/etc/lockstep/{name}.{suffix}", str(file))
        (home / "hooks.yml").write_text(hooks)
        access = Lockstep(Settings.read({"LOCKSTEP_HOME": str(home)})).access
        valid, other = (access.issue("ci", [Grant(Role.ADMIN)], None, "ann")[1] for _ in range(2))
        # The public part of one with the secret of the other.
        return cls(home, valid, valid[:17] + other[17:])

    @contextmanager
    def serving(self) -> Iterator[None]:
        """It serves; its log is in the home."""
        environment = {**os.environ, "LOCKSTEP_HOME": str(self.home), "LOCKSTEP_LOG_FORMAT": "json"}
        command = [sys.executable, "-m", "tests.integration.probing_server"]
        with (
            (self.home / "log").open("wb") as log,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment) as process,
        ):
            try:
                assert process.stdout is not None
                self.port = int(process.stdout.readline())
                yield
            finally:
                process.terminate()
                process.wait(30)

    def ask(self, method: str, path: str, authorization: str = "", **options: object) -> int:
        """Send it, keep the answer, and say its status."""
        headers = {"Authorization": authorization} if authorization else {}
        headers.update(options.pop("headers", {}))  # type: ignore[call-overload]
        url = f"http://127.0.0.1:{self.port}{path}"
        answer = httpx.request(method, url, headers=headers, timeout=30, **options)  # type: ignore[arg-type]
        self.answers += [repr(answer.headers.raw).encode(), answer.content]
        return answer.status_code

    def send(self, raw: bytes) -> None:
        """Send what is no HTTP, and keep the answer."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65_536):
                self.answers.append(part)

    def secrets(self) -> dict[str, bytes]:
        """What nobody may find, by what it is."""
        words = {"webhook": WEBHOOK.removeprefix("whsec_"), "zone": ZONE, "body": BODY}
        for name, token in (("valid", self.valid), ("wrong", self.wrong)):
            parts = TOKEN.fullmatch(token)
            assert parts is not None
            words[name] = parts["secret"]
        return {name: word.encode() for name, word in words.items()}


def everything_fails(site: Site) -> None:
    """Requests that fail in as many ways as there are, with secrets in every place of them."""
    valid, wrong = f"Bearer {site.valid}", f"Bearer {site.wrong}"
    assert site.ask("GET", "/probe", valid) == 200
    assert site.ask("GET", "/probe", wrong) == 401
    assert site.ask("GET", "/probe", f"Basic {site.valid}") == 401
    assert site.ask("GET", "/probe", headers={"Cookie": f"token={site.valid}", "X-Api-Key": site.valid}) == 401
    assert site.ask("GET", f"/probe?token={site.valid}&access_token={site.valid}") == 401
    assert site.ask("GET", f"/nowhere/{site.valid}?token={site.valid}#{site.wrong}") == 404
    assert site.ask("DELETE", f"/probe?token={site.valid}", valid) == 405
    assert site.ask("GET", f"/probe/fault?secret={site.valid}", valid) == 500
    assert site.ask("GET", f"/probe/fault?secret={site.wrong}", valid) == 500
    assert site.ask("GET", f"/probe/refusal?secret={site.wrong}", valid) == 422
    assert site.ask("GET", f"/probe/fault?{site.valid}={site.valid}", valid) == 422
    for path in (f"/api/v1/deployments/{site.valid}", f"/api/v1/environments/{site.valid}/fleets/{site.wrong}"):
        site.ask("GET", path, valid)
        site.ask("GET", path, wrong)
    site.ask("POST", "/api/v1/releases", valid, content=BODY, headers={"Idempotency-Key": site.valid})
    site.ask("POST", f"/api/v1/tokens?name={site.wrong}", valid, json={"name": BODY, "roles": [BODY], BODY: 1})
    site.ask("GET", "/lifetimeapi/rest/v2/environments/", wrong)
    site.ask("POST", "/lifetimeapi/rest/v2/deployments/", valid, json={BODY: BODY, "Notes": [site.valid]})
    for path in ("/hooks/ci", f"/hooks/{ZONE}", f"/hooks/ci?token={ZONE}", f"/hooks/containers/{ZONE}/prepare"):
        site.ask("POST", path, headers={"Webhook-Signature": WEBHOOK, "Webhook-Id": ZONE}, content=BODY)
        site.ask("GET", path, headers={"Webhook-Signature": WEBHOOK})
    for raw in (
        f"GET /?token={site.valid} HTTP/9.9\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\n{site.valid}\r\n\r\n",
        f"{site.valid}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {valid}{'A' * 100_000}\r\n\r\n",
        f"POST /probe HTTP/1.1\r\nHost: a\r\nAuthorization: {wrong}\r\nContent-Length: x{BODY}\r\n\r\n",
    ):
        site.send(raw.encode())


def test_no_secret_is_in_a_log_an_answer_or_the_ledger(tmp_path: Path) -> None:
    site = Site.at(tmp_path)
    with site.serving():
        everything_fails(site)
    log = (site.home / "log").read_bytes()
    # What went wrong is told, and where: it would be easy to tell no secret and nothing else.
    for word in (b"a request failed", b"RuntimeError", b"probing_server.py"):
        assert word in log
    places = {"log": log, "answers": b"\n".join(site.answers)}
    places.update({file.name: file.read_bytes() for file in site.home.glob("ledger.sqlite*")})
    assert len(places) >= 3
    found = [(name, place) for name, secret in site.secrets().items() for place in places if secret in places[place]]
    assert found == []


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_log_line_tells_what_failed_without_what_the_variables_held(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    token = "lks_0123456789ab_" + "s3cretT0ken" * 3 + "0123456789"
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        configure(log_format)
        variable = f"held in a variable: {BODY}"
        try:
            raise RuntimeError(f"said of {token}")
        except RuntimeError:
            logging.getLogger("uvicorn.error").exception("it failed at %s", token)
        del variable
    finally:
        root.handlers, root.level = handlers, level
        structlog.reset_defaults()
    line = capsys.readouterr().err
    assert "it failed at lks_0123456789ab_" in line
    assert "RuntimeError" in line
    assert "s3cretT0ken" not in line
    assert BODY not in line
