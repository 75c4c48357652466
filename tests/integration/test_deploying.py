"""Deployments end to end: a real fleet, commands as typed, and clients who watch."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from deploy.lab import Lab
from orchestrator.domain.release import ota_hash
from tests.integration.awkward import as_directory, as_tar, as_zip, awkward
from tests.integration.operator import Operator, tree, wait_until
from tests.integration.postgres import Postgres

APPS = {"ToDo": "/ToDo/", "Portal": "/Portal/"}
VERSIONS = {"1.0.0": tree("one"), "2.0.0": tree("one", changed={"scripts/part 1+ü.js": b"two", "added.svg": b"<svg/>"})}


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    directory = tmp_path_factory.mktemp("deploying")
    with Lab.up(directory / "lab", 4, apps=APPS) as lab:
        made = Operator(directory, lab)
        with made.standalone():
            for app in APPS:
                for version, files in VERSIONS.items():
                    made.builds(version, {**files, "app.txt": app.encode()}, app)
            assert made.types("deploy", "web", "ToDo=1.0.0", "Portal=1.0.0").code == 0
            yield made


def test_a_deployment_flips_everybody_and_a_rollback_brings_the_old_release_back(operator: Operator) -> None:
    before = operator.reads("status", "web")["fleets"][0]
    with operator.observers() as observed:
        done = operator.reads("deploy", "web", "ToDo=2.0.0")
        assert (done["state"], done["decision"]) == ("done", "commit")
        assert done["skew_ms"] >= 0
        back = operator.reads("rollback", "web")
    observed.assert_clean()
    assert back["epoch"] == done["epoch"] + 1 == before["epoch"] + 2
    assert {app: release["version"] for app, release in back["apps"].items()} == before["apps"]
    status = operator.reads("status", "web")["fleets"][0]
    assert set(operator.served().values()) == {status["activation"]}
    # The observers saw the token of the old release, then the new one, then the old one again.
    assert len(observed.document["versions"]) == 2


def test_two_apps_flip_as_one(operator: Operator) -> None:
    """Once a client has seen one app new, it never sees the other one old; and one answer never names both."""
    epochs: set[int] = set()
    pairs: set[tuple[str, str]] = set()
    mixed: list[object] = []
    over = threading.Event()

    def watch() -> None:
        seen = 0
        with httpx.Client(base_url=operator.lab.url, trust_env=False, timeout=30) as client:
            while not over.is_set():
                for app in APPS:
                    answer = client.get(f"/{app}/moduleservices/moduleversioninfo")
                    epoch = int(answer.headers["Lockstep-Activation"].split("-")[0])
                    if epoch < seen:
                        mixed.append((app, epoch, seen))
                    seen = max(seen, epoch)
                    epochs.add(epoch)
                document = client.get("/-/lockstep/activation").json()
                versions = {app: document["apps"][app]["version"] for app in APPS}
                pairs.add((versions["ToDo"], versions["Portal"]))

    watchers = [threading.Thread(target=watch) for _ in range(3)]
    for watcher in watchers:
        watcher.start()
    try:
        for _ in range(3):
            assert operator.types("deploy", "web", "ToDo=2.0.0", "Portal=2.0.0").code == 0
            assert operator.types("rollback", "web").code == 0
    finally:
        over.set()
        for watcher in watchers:
            watcher.join()
    assert mixed == []
    assert pairs == {("1.0.0", "1.0.0"), ("2.0.0", "2.0.0")}
    assert len(epochs) >= 6


def test_each_frontend_is_logged_in_to_once_at_most_for_a_deployment(operator: Operator) -> None:
    logs = {frontend.name: operator.lab.sshd(frontend.name).log for frontend in operator.lab.frontends}
    before = {name: log.read_text().count("Accepted publickey") for name, log in logs.items()}
    number = operator.reads("deploy", "web", "ToDo=2.0.0")["id"]
    after = {name: log.read_text().count("Accepted publickey") for name, log in logs.items()}
    # A connection that was kept from the deployment before is no new login.
    opened = {name: after[name] - before[name] for name in logs}
    assert set(opened.values()) <= {0, 1}
    reports = operator.reads("deployments", "show", str(number))["reports"]
    said = {report["frontend"]: report["detail"]["connections"] for report in reports if report["step"] == "stage"}
    assert said == opened
    assert operator.types("rollback", "web").code == 0


def test_every_frontend_reports_every_step_and_only_what_it_lacks_is_sent(operator: Operator) -> None:
    assert operator.types("deploy", "web", "Portal=2.0.0").code == 0
    assert operator.types("rollback", "web").code == 0
    number = operator.reads("deploy", "web", "Portal=2.0.0")["id"]
    reports = operator.reads("deployments", "show", str(number))["reports"]
    steps = ("stage", "verify", "arm", "activate", "confirm")
    expected = {(frontend.name, step) for frontend in operator.lab.frontends for step in steps}
    assert {(report["frontend"], report["step"]) for report in reports} == expected
    assert {report["outcome"] for report in reports} == {"accepted"}
    # Everything was there already but for the document that says what this epoch serves.
    assert {report["detail"]["objects"] for report in reports if report["step"] == "stage"} == {1}
    assert operator.types("rollback", "web").code == 0


def test_an_unmodified_curl_gets_the_documents_from_every_frontend_and_its_log_agrees(operator: Operator) -> None:
    for frontend in operator.lab.frontends:
        token = json.loads(_curl(f"{frontend.url}/ToDo/moduleservices/moduleversioninfo?1700000000000"))["versionToken"]
        assert re.fullmatch(r"[A-Za-z0-9_]{22}", token)
        info = json.loads(_curl(f"{frontend.url}/ToDo/moduleservices/moduleinfo?{token}"))
        assert info["manifest"]["versionToken"] == token
        precache = json.loads(_curl(f"{frontend.url}/ToDo/precache.manifest?1700000000000"))
        assert (precache["versionToken"], precache["urlVersions"]) == (token, info["manifest"]["urlVersions"])
        assert set(precache["integrity"]) == set(precache["urlVersions"])
        assert len(precache["urlVersions"]) == len(VERSIONS["1.0.0"]) + 1
        for url, version in precache["urlVersions"].items():
            content = _curl(f"{frontend.url}{url}{version}")
            assert content == _curl(f"{frontend.url}{url}")
            assert version == "?" + _ota(content)
            integrity = base64.b64encode(hashlib.sha256(content).digest()).decode()
            assert precache["integrity"][url] == f"sha256-{integrity}"
        status = operator.reads("status", "web")["fleets"][0]
        requests = [json.loads(line) for line in frontend.access_log.read_text().splitlines()]
        named = {line["activation"] for line in requests if "moduleversioninfo?1700000000000" in line["request"]}
        assert named == {status["activation"]}
        assert {line["status"] for line in requests if "precache.manifest?17" in line["request"]} == {"200"}


def test_a_release_that_needs_a_new_build_is_refused_until_that_is_confirmed(operator: Operator) -> None:
    operator.builds("3.0.0", {**tree("one"), "native.json": b'{"format": 1, "app_name": "To Do"}'}, "ToDo")
    before = operator.reads("status", "web")["fleets"][0]
    plan = operator.reads("deploy", "web", "ToDo=3.0.0", "--dry-run")["apps"]["ToDo"]["update"]
    assert plan["confirm"] == ["new-build"]
    refused = operator.types("deploy", "web", "ToDo=3.0.0")
    assert refused.code == 1
    assert "app name: none → To Do" in refused.messages
    assert "--new-build ToDo=ID" in refused.messages
    assert operator.reads("status", "web")["fleets"][0] == before
    done = operator.reads("deploy", "web", "ToDo=3.0.0", "--new-build", "7.3-1187")
    assert done["updates"]["ToDo"]["new_build"][0]["rule"] == "app name"
    (build,) = operator.reads("builds", "list", "Lab", "--app", "ToDo")["builds"]
    assert (build["build"], build["version"]) == ("7.3-1187", "3.0.0")
    assert operator.types("builds", "retire", "Lab", "ToDo", "7.3-1187").code == 0
    assert operator.types("rollback", "web").code == 1
    assert operator.types("rollback", "web", "--accept-outdated-builds").code == 0


def test_a_staged_release_is_shown_to_nobody_but_with_its_preview_cookie(operator: Operator) -> None:
    number = str(operator.reads("deploy", "web", "ToDo=2.0.0", "--hold")["id"])
    cookie = operator.reads("deployments", "show", number)["preview_cookie"]
    for frontend in operator.lab.frontends:
        url = f"{frontend.url}/ToDo/added.svg"
        assert _status(url) == "404"
        assert _status(url, "-H", f"Cookie: {cookie}") == "200"
        forged = re.sub(r"-[0-9a-f]{16}", "-0123456789abcdef", cookie)
        assert _status(url, "-H", f"Cookie: {forged}") == "404"
    assert operator.types("abort", number).code == 0
    assert _status(f"{operator.lab.frontends[0].url}/ToDo/added.svg", "-H", f"Cookie: {cookie}") == "404"


def test_a_deployment_at_a_time_goes_on_by_itself(operator: Operator) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=8)).isoformat()
    held = operator.reads("deploy", "web", "ToDo=2.0.0", "--at", soon)
    assert held["state"] in ("prepared", "done")
    wait_until(lambda: operator.reads("deployments", "show", str(held["id"]))["state"] == "done")
    assert operator.types("rollback", "web").code == 0


def test_a_second_deployment_is_refused_while_one_is_open(operator: Operator) -> None:
    number = str(operator.reads("deploy", "web", "ToDo=2.0.0", "--hold")["id"])
    second = operator.types("deploy", "web", "Portal=2.0.0")
    assert second.code == 1
    assert f"deployment {number} of Lab/web is open" in second.messages
    assert operator.types("abort", number).code == 0
    after = operator.types("abort", number)
    assert after.code == 0


def test_a_dry_run_plans_nothing(operator: Operator) -> None:
    before = operator.reads("history", "web")
    plan = operator.reads("deploy", "web", "ToDo=2.0.0", "--dry-run")
    assert (plan["apps"]["ToDo"]["from"], plan["apps"]["ToDo"]["to"]) == ("1.0.0", "2.0.0")
    assert plan["apps"]["ToDo"]["update"]["kind"] == "seamless"
    assert plan["apps"]["Portal"]["update"] is None
    assert operator.reads("history", "web") == before


def test_a_pipe_gets_plain_lines_and_no_colours(operator: Operator) -> None:
    said = operator.types("deploy", "web", "ToDo=2.0.0")
    assert "\x1b" not in said.output + said.messages
    for frontend in operator.lab.frontends:
        assert re.search(rf"^{frontend.name}: stage done: \d+ objects, \d+ bytes", said.messages, re.MULTILINE)
    assert re.fullmatch(
        r"done: Lab/web serves epoch \d+ \(.*\) on 4 frontends, flipped within [\d.]+ ms\n", said.output
    )
    assert operator.types("rollback", "web").code == 0


def test_usage_errors_have_their_exit_code(operator: Operator) -> None:
    for words in (("deploy", "nowhere", "ToDo=1"), ("deploy", "web", "ToDo"), ("continue", "999"), ("deploy",)):
        assert operator.types(*words).code == 2, words


def test_workers_of_their_own_on_postgresql(operator: Operator, postgres: Postgres, tmp_path: Path) -> None:
    """Broker and ledger by URL, two workers, no standalone: one frontend's steps may be done by either."""
    broker = (operator.home / "broker.url").read_text().strip()
    environment = {
        "LOCKSTEP_LEDGER_URL": postgres.empty_database(),
        "LOCKSTEP_BROKER_URL": f"{broker}?virtual_host=5",
    }
    with Lab.up(tmp_path / "lab", 3) as lab, ExitStack() as workers:
        elsewhere = Operator(tmp_path, lab, environment)
        for name in ("first", "second"):
            words = ("--hostname", f"{name}@%h", "--concurrency", "4")
            program = (sys.executable, "-m", "workers.app")
            workers.enter_context(elsewhere.running(*words, until="ready.", program=program))
        elsewhere.builds("1.0.0", VERSIONS["1.0.0"])
        elsewhere.builds("2.0.0", VERSIONS["2.0.0"])
        assert elsewhere.types("deploy", "web", "ToDo=1.0.0").code == 0
        with elsewhere.observers() as observed:
            assert elsewhere.types("deploy", "web", "ToDo=2.0.0").code == 0
        observed.assert_clean()
        assert len(set(elsewhere.served().values())) == 1


def test_bytes_and_names_survive_from_every_kind_of_source_to_every_frontend(
    operator: Operator, tmp_path: Path
) -> None:
    todo, portal = awkward("todo"), awkward("portal")
    builds = (
        ("ToDo", "9-directory", as_directory(todo, tmp_path / "todo")),
        ("ToDo", "9-zip", as_zip(todo, tmp_path / "todo.zip")),
        ("Portal", "9-tar", as_tar(portal, tmp_path / "portal.tar.gz")),
    )
    digests = {
        version: operator.reads("release", "build", str(source), "--app", app, "--version", version)["digest"]
        for app, version, source in builds
    }
    # So it does not matter which of the two is deployed: the digest says that every byte and name is the same.
    assert digests["9-directory"] == digests["9-zip"]
    # What is wrong is to be found here, not by the deployment.
    operator.policy(verify=0)
    try:
        assert operator.types("deploy", "web", "ToDo=9-zip", "Portal=9-tar").code == 0
        for frontend in operator.lab.frontends:
            _assert_served_as_it_was(frontend.url, "ToDo", todo)
            _assert_served_as_it_was(frontend.url, "Portal", portal)
    finally:
        operator.policy()
        assert operator.types("rollback", "web").code == 0


def _assert_served_as_it_was(url_of_frontend: str, app: str, files: Mapping[str, bytes]) -> None:
    """Each file as the manifest that clients get spells its URL, by path and by hash."""
    address = urlsplit(url_of_frontend)
    with closing(HTTPConnection(str(address.hostname), address.port, timeout=30)) as connection:

        def get(target: str) -> tuple[bytes, Message]:
            connection.request("GET", target, headers={"Accept-Encoding": "gzip, br"})
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 200, (target, answer.status)
            return content, answer.headers

        precache = json.loads(get(f"/{app}/precache.manifest")[0])
        found = {unquote(url.removeprefix(f"/{app}/"), errors="strict"): url for url in precache["urlVersions"]}
        assert set(found) == set(files)
        for path, url in found.items():
            version = precache["urlVersions"][url]
            for target in (url, url + version):
                content, headers = get(target)
                assert content == files[path], target
                assert f"?{_ota(content)}" == version, target
                sha256 = base64.b64encode(hashlib.sha256(content).digest()).decode()
                assert precache["integrity"][url] == f"sha256-{sha256}", target
                assert "charset" not in headers["Content-Type"], target
                assert headers["Content-Encoding"] is None, target


def _curl(url: str, *options: str) -> bytes:
    return subprocess.run(["curl", "-sfg", *options, url], capture_output=True, check=True).stdout


def _status(url: str, *options: str) -> str:
    words = ["curl", "-sg", "-o", "/dev/null", "-w", "%{http_code}", *options, url]
    return subprocess.run(words, capture_output=True, check=True, text=True).stdout


def _ota(content: bytes) -> str:
    return ota_hash(hashlib.md5(content, usedforsecurity=False).digest())
