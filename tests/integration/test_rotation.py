"""Frontends leave the rotation and come back, by policy and by hand: nobody is led to one that is not right."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.lab import Lab
from deploy.lab.daemon import stop
from tests.integration.operator import Operator, Said, fetch, tree, wait_until

#: fe4 runs from the start and stands in haproxy.cfg, but not in the inventory: it joins later.
FRONTENDS = ("fe1", "fe2", "fe3")
VERSIONS = {f"{n}.0.0": tree("rotation", files=12, changed={"version.txt": b"%d" % n}) for n in range(1, 5)}
NEW: dict[str, Any] = {}


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    directory = tmp_path_factory.mktemp("rotation")
    with Lab.up(directory / "lab", len(FRONTENDS) + 1) as lab:
        made = Operator(directory, lab)
        with made.inventory() as fleet:
            NEW.update(fleet["frontends"].pop("fe4"))
        with made.standalone():
            for version, files in VERSIONS.items():
                made.builds(version, files)
            assert made.types("deploy", "web", "ToDo=1.0.0").code == 0
            yield made


def out(operator: Operator) -> dict[str, Any]:
    """The drains that the status tells of, by frontend."""
    found: dict[str, Any] = operator.reads("status", "web")["fleets"][0]["rotation"]["drained"]
    return found


def versions(operator: Operator, *names: str) -> list[str]:
    """What a client who was never there gets from each of these frontends."""
    return [fetch(f"{operator.lab.frontend(name).url}/ToDo/version.txt")[-1:] for name in names]


def in_use(operator: Operator, name: str) -> bool:
    return operator.lab.rotation()[name].startswith("UP")


def come_back(operator: Operator, *names: str) -> Said:
    """Readmitted: exit code 0, used by HAProxy, and right."""
    said = operator.types("readmit", "web", *names)
    assert said.code == 0, (said.output, said.messages)
    assert f"done: {', '.join(names)} of Lab/web back at epoch" in said.output
    assert out(operator) == {}
    assert all(in_use(operator, name) for name in names)
    assert len({operator.served()[name] for name in FRONTENDS}) == 1
    return said


# ── by policy ──


def test_one_that_cannot_be_reached_before_the_commit_is_drained_and_the_rest_move(operator: Operator) -> None:
    operator.policy(unreachable="drain", max_drained=1)
    with operator.observers() as observed:
        number = operator.reads("deploy", "web", "ToDo=2.0.0", "--hold")["id"]
        operator.lab.stop_sshd("fe3")
        said = operator.types("continue", str(number))
        assert said.code == 0, (said.output, said.messages)
        assert "on 2 frontends" in said.output
        assert "drained: fe3; later: lockstep readmit Lab/web fe3" in said.output
        assert operator.lab.rotation()["fe3"].startswith("MAINT")
        assert versions(operator, *FRONTENDS) == ["2", "2", "1"]
        drain = out(operator)["fe3"]
        assert drain["confirmed"]
        assert drain["by"].startswith("haproxy unix:///")
        assert drain["reason"] == f"deployment {number} could not bring it along"
        reports = operator.reads("deployments", "show", str(number))["reports"]
        asked = [(r["step"], r["outcome"]) for r in reports if r["frontend"] == "fe3" and r["attempt"] > 1]
        assert asked == [("verify", "unknown")]
        (reason,) = (r["problem"]["what"] for r in reports if r["outcome"] == "unknown")
        assert "can't be reached over SSH" in reason
        assert ("fe3", "drain") in {(r["frontend"], r["step"]) for r in reports}
        operator.lab.start_sshd("fe3")
        come_back(operator, "fe3")
    observed.assert_clean()


def test_more_than_the_policy_allows_move_nobody(operator: Operator) -> None:
    operator.policy(unreachable="drain", max_drained=1)
    before = operator.served()
    for name in ("fe2", "fe3"):
        operator.lab.stop_sshd(name)
    said = operator.types("deploy", "web", "ToDo=3.0.0")
    for name in ("fe2", "fe3"):
        operator.lab.start_sshd(name)
    assert said.code == 1
    assert "can't be reached over SSH" in said.output
    assert operator.served() == before
    assert out(operator) == {}
    assert all(in_use(operator, name) for name in FRONTENDS)


@contextmanager
def lost_after_the_commit(operator: Operator, name: str, version: str) -> Iterator[str]:
    """A deployment that is committed, and one frontend of it armed and gone before the word: its number."""
    lab = operator.lab
    number = str(operator.reads("deploy", "web", f"ToDo={version}", "--hold")["id"])
    state = lab.frontend(name).root / "state"
    with ThreadPoolExecutor(1) as pool, (lab.frontend("fe1").root / "state" / "lock").open() as lock:
        # Arming takes the frontend's lock: nothing is decided while fe1 waits for it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        going = pool.submit(operator.types, "continue", number)
        wait_until(lambda: any(state.glob("armed-*")))
        lab.stop_sshd(name)
        fcntl.flock(lock, fcntl.LOCK_UN)
        said = going.result()
    assert said.code == 3, (said.output, said.messages)
    assert "is committed, but not every frontend confirmed it" in said.output
    assert f"lockstep drain Lab/web {name}" in said.output
    shown = operator.reads("deployments", "show", number)
    assert (shown["state"], shown["decision"], shown["ended_at"]) == ("activating", "commit", None)
    assert {trouble["frontend"] for trouble in shown["troubles"]} == {name}
    status = operator.reads("status", "web")["fleets"][0]
    assert (status["open"]["id"], status["open"]["troubles"]) == (int(number), shown["troubles"])
    yield number
    wait_until(lambda: operator.reads("deployments", "show", number)["state"] == "done")
    assert operator.reads("status", "web")["fleets"][0]["open"] is None


def test_one_that_is_lost_after_the_commit_is_asked_until_it_answers(operator: Operator) -> None:
    operator.policy()
    with operator.observers() as observed:
        with lost_after_the_commit(operator, "fe3", "3.0.0"):
            assert versions(operator, *FRONTENDS) == ["3", "3", "2"]
            operator.lab.start_sshd("fe3")
        assert versions(operator, *FRONTENDS) == ["3", "3", "3"]
        assert out(operator) == {}
    observed.assert_clean()


def test_one_that_is_lost_after_the_commit_is_given_up_by_a_drain(operator: Operator) -> None:
    operator.policy()
    with operator.observers() as observed:
        with lost_after_the_commit(operator, "fe3", "4.0.0"):
            said = operator.types("drain", "web", "fe3", "--reason", "its disk is gone")
            assert said.code == 0, (said.output, said.messages)
        assert versions(operator, *FRONTENDS) == ["4", "4", "3"]
        assert out(operator)["fe3"]["reason"] == "its disk is gone"
        operator.lab.start_sshd("fe3")
        come_back(operator, "fe3")
        assert versions(operator, *FRONTENDS) == ["4", "4", "4"]
    observed.assert_clean()


# ── by hand ──


def test_one_that_was_away_for_three_deployments_comes_back_with_what_the_others_keep(operator: Operator) -> None:
    with operator.observers() as observed:
        said = operator.types("drain", "web", "fe3", "--reason", "new disk")
        assert said.code == 0
        assert "drained: fe3 is out of the rotation of Lab/web, confirmed by haproxy unix://" in said.output
        operator.lab.stop_sshd("fe3")
        for version in ("1.0.0", "2.0.0", "3.0.0"):
            said = operator.types("deploy", "web", f"ToDo={version}")
            assert said.code == 0, (said.output, said.messages)
            assert "not in rotation (drained): fe3; later: lockstep readmit Lab/web fe3" in said.messages
        operator.lab.start_sshd("fe3")
        said = come_back(operator, "fe3")
    observed.assert_clean()
    assert [line.split()[1] for line in said.messages.splitlines() if line.startswith("fe3: ")] == [
        "stage",
        "verify",
        "readmit",
        "confirm",
    ]
    for deployment in operator.reads("history", "web", "--limit", "4")["deployments"][1:]:
        cookie = operator.reads("deployments", "show", str(deployment["id"]))["preview_cookie"]
        version = deployment["apps"]["ToDo"]["version"]
        for name in FRONTENDS:
            answer = fetch(f"{operator.lab.frontend(name).url}/ToDo/version.txt", "-H", f"Cookie: {cookie}")
            assert f"Lockstep-Activation: {cookie.removeprefix('lockstep=')}" in answer
            assert answer.endswith(f"\r\n\r\n{version[0]}"), (name, version)


def test_a_readmission_that_fails_its_verification_leaves_the_frontend_drained(operator: Operator) -> None:
    root = operator.lab.frontend("fe2").root
    with operator.observers() as observed:
        assert operator.types("drain", "web", "fe2").code == 0
        _tamper(root, "rotation")
        said = operator.types("readmit", "web", "fe2")
        assert said.code == 1, (said.output, said.messages)
        assert "aborted: fe2 of Lab/web stay out of rotation" in said.output
        assert "what lies on the disk is not what was staged" in said.output
        assert set(out(operator)) == {"fe2"}
        assert operator.lab.rotation()["fe2"].startswith("MAINT")
        # What was found to be wrong was removed there, so the next attempt puts it right.
        come_back(operator, "fe2")
    observed.assert_clean()


def test_what_cannot_be_staged_below_the_fence_is_staged_from_nothing(operator: Operator) -> None:
    """A readmitted frontend must hold what the others keep. One that lost it can't take it: its fence is above."""
    root = operator.lab.frontend("fe2").root
    with operator.observers() as observed:
        assert operator.types("drain", "web", "fe2").code == 0
        kept = next(path for path in sorted((root / "activations").iterdir()) if not path.name.startswith("0-"))
        _remove(kept)
        said = operator.types("readmit", "web", "fe2")
        assert said.code == 1, (said.output, said.messages)
        assert f"{kept.name} is not there" in said.output
        assert "empty its root first" in said.output
        assert set(out(operator)) == {"fe2"}
        for path in root.iterdir():
            _remove(path)
        come_back(operator, "fe2")
        assert kept.is_dir()
    observed.assert_clean()


def _remove(path: Path) -> None:
    """As `rm -rf` does, with the rights that read-only directories take away."""
    if path.is_dir() and not path.is_symlink():
        path.chmod(0o700)
        for entry in path.iterdir():
            _remove(entry)
        path.rmdir()
    else:
        path.unlink()


def _tamper(root: Path, title: str) -> None:
    """Write into a file that every release has: all of them share its bytes."""
    (path,) = (root / "current" / "ToDo").resolve().glob("index.html")
    content = path.read_bytes()
    assert title.encode() in content
    path.chmod(0o644)
    path.write_bytes(content.upper())
    path.chmod(0o444)


def test_a_frontend_that_is_new_in_the_inventory_is_not_served_before_it_is_readmitted(operator: Operator) -> None:
    lab = operator.lab
    with operator.inventory() as fleet:
        fleet["frontends"]["fe4"] = NEW
    with operator.observers() as observed:
        rotation = operator.reads("status", "web")["fleets"][0]["rotation"]
        assert (rotation["serving"], rotation["new"]) == (list(FRONTENDS), ["fe4"])
        refused = operator.types("drain", "web", "fe4")
        assert refused.code == 1
        assert "lockstep readmit Lab/web fe4" in refused.messages
        said = operator.types("deploy", "web", "ToDo=4.0.0")
        assert (said.code, "on 3 frontends" in said.output) == (0, True)
        assert "not in rotation (new): fe4" in said.messages
        assert not in_use(operator, "fe4")
        assert not (lab.frontend("fe4").root / "state").exists()
        come_back(operator, "fe4")
        assert versions(operator, "fe4") == ["4"]
    observed.assert_clean()
    rotation = operator.reads("status", "web")["fleets"][0]["rotation"]
    assert (rotation["serving"], rotation["new"]) == ([*FRONTENDS, "fe4"], [])


def test_a_drain_that_haproxy_forgot_is_made_good(operator: Operator) -> None:
    lab = operator.lab
    assert operator.types("drain", "web", "fe3").code == 0
    # Its own mark would keep it out as well; here it got lost, and HAProxy is all that is left.
    (lab.frontend("fe3").root / "state" / "drained").unlink()
    stop([lab.haproxy])
    lab.haproxy.start()
    wait_until(lambda: "fe3" in lab.rotation())
    forgotten = lab.rotation()["fe3"]
    wait_until(lambda: lab.rotation()["fe3"].startswith("MAINT"))
    assert not forgotten.startswith("MAINT")
    come_back(operator, "fe3")


def test_the_last_frontend_in_rotation_is_not_drained(operator: Operator) -> None:
    with operator.inventory() as fleet:
        fleet["frontends"].pop("fe4", None)
    for name in ("fe1", "fe2"):
        assert operator.types("drain", "web", name).code == 0
    said = operator.types("drain", "web", "fe3")
    assert said.code == 1
    assert "fe3 is the last frontend of Lab/web in rotation" in said.messages
    assert in_use(operator, "fe3")
    come_back(operator, "fe1", "fe2")


def test_without_a_load_balancer_the_frontends_own_health_answer_drains_it(operator: Operator) -> None:
    operator.policy()
    with operator.inventory() as fleet:
        balancer = fleet.pop("load_balancer")
    health = f"{operator.lab.frontend('fe3').url}/-/lockstep/health"
    try:
        said = operator.types("drain", "web", "fe3")
        assert "confirmed by its health answer" in said.output
        assert "503" in fetch(health).split("\r\n")[0]
        wait_until(lambda: operator.lab.rotation()["fe3"] == "DOWN L7STS")
        # Nobody can confirm the drain of one that can't be reached: then it counts as in rotation.
        operator.lab.stop_sshd("fe2")
        unknown = operator.types("drain", "web", "fe2")
        operator.lab.start_sshd("fe2")
        assert unknown.code == 3, unknown.output
        assert "nobody has confirmed yet that fe2 is out of rotation" in unknown.output
        wait_until(lambda: out(operator)["fe2"]["confirmed"])
        assert operator.types("readmit", "web", "fe2", "fe3").code == 0
        assert "200" in fetch(health).split("\r\n")[0]
    finally:
        with operator.inventory() as fleet:
            fleet["load_balancer"] = balancer
