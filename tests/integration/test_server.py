"""The server end to end: a real fleet moved over HTTP, hooks in, hooks out, and events as they happen."""

from __future__ import annotations

import json
import os
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.lab import Lab
from orchestrator.domain.access import TOKEN
from orchestrator.domain.signature import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, key_of, sign, verify
from tests.integration.operator import Operator, tree, wait_until

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyBhbG9uZQ=="
FLEET = "/api/v1/environments/Lab/fleets/web"


@dataclass
class Receiver:
    """Who is told by webhooks: a server that can be down. Keeps what it got, checked by its signature."""

    port: int = 0
    got: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    @contextmanager
    def up(self) -> Iterator[None]:
        """It listens."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                words = (self.headers[ID_HEADER], self.headers[TIMESTAMP_HEADER], self.headers[SIGNATURE_HEADER])
                receiver.names.append(verify([key_of(SECRET)], words, body, time.time(), 300))
                receiver.got.append(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_request(self, code: object = "-", size: object = "-") -> None:
                del code, size

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def events_of(self, deployment: int) -> list[str]:
        """The events of one deployment, in the order in which they came."""
        return [each["event"] for each in self.got if each["deployment"] == deployment]


class Server:
    """The server of a running `lockstep standalone`, as a pipeline uses it."""

    def __init__(self, operator: Operator, token: str) -> None:
        self.operator = operator
        self.http = httpx.Client(
            base_url=operator.api_url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
        )

    def uploads(self, version: str, files: dict[str, bytes]) -> httpx.Response:
        """A release, as an archive."""
        packed = BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path, content in files.items():
                member = tarfile.TarInfo(path)
                member.size = len(content)
                archive.addfile(member, BytesIO(content))
        headers = {"Content-Type": "application/gzip"}
        return self.http.post(f"/api/v1/releases/ToDo/{version}", content=packed.getvalue(), headers=headers)

    def deploys(self, version: str, **words: Any) -> int:
        """A deployment, under way."""
        answer = self.http.post(f"{FLEET}/deployments", json={"changes": {"ToDo": version}, **words})
        assert answer.status_code == 202, answer.text
        return int(answer.json()["id"])

    def deployment(self, number: int) -> Any:
        """It as it stands."""
        return self.http.get(f"/api/v1/deployments/{number}").raise_for_status().json()

    def comes_to(self, number: int, state: str) -> Any:
        """It once it is in that state."""
        wait_until(lambda: self.deployment(number)["state"] == state)
        return self.deployment(number)

    def delivers(self, hook: str, name: str, document: Any) -> httpx.Response:
        """A signed delivery to a hook."""
        body, now = json.dumps(document).encode(), int(time.time())
        signature = sign(key_of(SECRET), now, body, name)
        headers = {ID_HEADER: name, TIMESTAMP_HEADER: str(now), SIGNATURE_HEADER: signature}
        with httpx.Client(base_url=self.operator.api_url, trust_env=False, timeout=60) as client:
            return client.post(f"/hooks/{hook}", content=body, headers={**headers, "Content-Type": "application/json"})


@pytest.fixture(scope="module")
def receiver() -> Receiver:
    made = Receiver()
    with made.up():
        pass  # to have a port, on which nobody listens now
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("server")
    with Lab.up(directory / "lab", 3) as lab:
        operator = Operator(directory, lab)
        _configure(operator, receiver)
        token = operator.reads("token", "issue", "ci", "--role", "deployer@Lab", "--role", "viewer")["token"]
        with operator.standalone("--port", "0"):
            made = Server(operator, token)
            for version in ("1.0.0", "2.0.0", "3.0.0"):
                assert made.uploads(version, tree(version, files=3)).status_code == 201
            yield made
            made.http.close()


def _configure(operator: Operator, receiver: Receiver) -> None:
    operator.home.mkdir(mode=0o700)
    secret = operator.home / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    hooks = {
        "triggers": {
            "ci": {"fleet": "Lab/web", "secret_file": str(secret), "apps": {"ToDo": "{{ body.release.version }}"}}
        },
        "webhooks": {"peer": {"url": f"http://127.0.0.1:{receiver.port}/in", "secret_file": str(secret)}},
    }
    (operator.home / "hooks.yml").write_text(json.dumps(hooks))


def test_a_release_goes_up_and_out_under_the_eyes_of_a_stream(server: Server) -> None:
    number = server.deploys("1.0.0")
    seen: list[str] = []
    with server.http.stream("GET", "/api/v1/events", params={"deployment": number, "after": 0}) as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                seen.append(line.removeprefix("event: "))
            if "deployment.done" in seen:
                break
    assert [word.removeprefix("deployment.") for word in seen] == [
        *("planned", "staging", "verifying", "arming", "committed", "finishing", "done")
    ]
    assert server.deployment(number)["skew_ms"] is not None
    assert len(set(server.operator.served().values())) == 1


def test_a_held_deployment_waits_for_its_continue(server: Server) -> None:
    before = server.operator.served()
    number = server.deploys("2.0.0", hold=True)
    server.comes_to(number, "prepared")
    assert server.operator.served() == before
    assert server.http.post(f"/api/v1/deployments/{number}/continue").status_code == 202
    server.comes_to(number, "done")
    assert server.operator.served() != before


def test_a_hook_that_is_delivered_twice_deploys_once(server: Server) -> None:
    first = server.delivers("ci", "delivery-1", {"release": {"version": "3.0.0"}})
    assert first.status_code == 202, first.text
    again = server.delivers("ci", "delivery-1", {"release": {"version": "3.0.0"}})
    number = first.json()["id"]
    assert (again.status_code, again.json()["id"]) == (202, number)
    assert server.comes_to(number, "done")["actor"] == "hook:ci"
    newest = server.http.get("/api/v1/deployments", params={"limit": 1}).json()["items"]
    assert [each["id"] for each in newest] == [number]


def test_a_receiver_that_was_down_all_the_time_hears_of_everything(server: Server, receiver: Receiver) -> None:
    """Nobody has listened so far. What happened before is delivered first, each event once."""
    last = server.http.get("/api/v1/deployments", params={"limit": 1}).json()["items"][0]["id"]
    with receiver.up():
        wait_until(lambda: "deployment.done" in receiver.events_of(last))
    assert len(set(receiver.names)) == len(receiver.names)
    for number in range(1, last + 1):
        events = receiver.events_of(number)
        assert (events[0], events[-1]) == ("deployment.planned", "deployment.done")
    numbers = [each["number"] for each in receiver.got]
    assert numbers == sorted(numbers)
    assert server.operator.reads("trail", "verify")["entries"] >= numbers[-1]


def test_no_secret_is_in_any_log(server: Server) -> None:
    token = server.http.headers["Authorization"].removeprefix("Bearer ")
    read = TOKEN.fullmatch(token)
    assert read is not None
    secrets = (token, read["secret"], SECRET.removeprefix("whsec_"))
    for path in _files(server.operator.home):
        if path.name != "secret":
            content = path.read_bytes()
            assert not [name for name in secrets if name.encode() in content], path


def _files(directory: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(directory):
        yield from (Path(parent) / name for name in names if (Path(parent) / name).is_file())
