"""What operators do by mistake, or in a hurry: every command says what became of it, and nothing is done by half."""

from __future__ import annotations

import fcntl
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from deploy.lab import Lab
from tests.integration.operator import PATIENCE, Operator, Running, Said, fetch, tree, wait_until

VERSIONS = {f"{n}.0.0": tree("operators", files=6, changed={"version.txt": b"%d" % n}) for n in (1, 2)}
#: Three hours: the sun is elsewhere on that frontend.
HOURS = 3


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    directory = tmp_path_factory.mktemp("operators")
    with Lab.up(directory / "lab", 2) as lab:
        # However long a test holds its lock, fe1 waits for it.
        set_variable(lab, "fe1", f"LOCKSTEP_LOCK_WAIT={PATIENCE}")
        made = Operator(directory, lab)
        with made.standalone():
            for version, files in VERSIONS.items():
                made.builds(version, files)
            assert made.types("deploy", "web", "ToDo=1.0.0").code == 0
            yield made


def set_variable(lab: Lab, name: str, variable: str) -> None:
    """Start a frontend's sshd again, with one more variable for the commands of its sessions."""
    configuration = lab.frontend(name).sshd / "sshd_config"
    text, count = re.subn(r"^SetEnv ", f"SetEnv {variable} ", configuration.read_text(), flags=re.MULTILINE)
    assert count == 1
    configuration.write_text(text)
    lab.stop_sshd(name)
    lab.start_sshd(name)


def state_of(operator: Operator, number: int) -> str:
    return str(operator.reads("deployments", "show", str(number))["state"])


def newest(operator: Operator) -> int:
    return int(operator.reads("history", "web", "--limit", "1")["deployments"][0]["id"])


# ── two at once ──


def test_the_second_of_two_deployments_is_told_who_is_first_and_can_wait(operator: Operator) -> None:
    first = operator.reads("deploy", "web", "ToDo=2.0.0", "--hold")
    refused = operator.types("deploy", "web", "ToDo=2.0.0")
    assert (refused.code, refused.output) == (1, "")
    assert f"deployment {first['id']} of Lab/web is open" in refused.messages
    since = f"{first['created_at'][:19].replace('T', ' ')} UTC"
    assert f"found: prepared, by {first['actor']}, since {since}" in refused.messages
    assert "--wait" in refused.messages
    waits = f"waiting for deployment {first['id']} (prepared, by {first['actor']}, since {since})"
    with operator.running("deploy", "web", "ToDo=2.0.0", "--wait", until=waits) as second:
        assert newest(operator) == first["id"]
        assert operator.types("abort", str(first["id"])).code == 0
        output, _ = second.communicate(timeout=PATIENCE)
        assert second.returncode == 0
    assert "done: Lab/web serves epoch" in output
    assert state_of(operator, first["id"]) == "aborted"
    assert operator.types("rollback", "web").code == 0


# ── Ctrl-C ──


@contextmanager
def interrupted(operator: Operator, *options: str) -> Iterator[tuple[int, Running, Callable[[], None]]]:
    """`lockstep deploy`, and Ctrl-C while a frontend keeps it from ending.

    The deployment's number, the command, and what to call for the frontend to go on.
    """
    before = newest(operator)
    with (operator.lab.frontend("fe1").root / "state" / "lock").open() as lock:
        # Nothing is taken in, and so nothing decided, while somebody holds a frontend's lock.
        fcntl.flock(lock, fcntl.LOCK_EX)
        with operator.running("deploy", "web", "ToDo=2.0.0", *options, until="staging") as command:
            number = newest(operator)
            assert number > before
            command.send_signal(signal.SIGINT)
            yield number, command, lambda: fcntl.flock(lock, fcntl.LOCK_UN)


def test_ctrl_c_leaves_the_deployment_going_and_says_how_to_follow_it(operator: Operator) -> None:
    with operator.observers() as observed:
        with interrupted(operator) as (number, command, go_on):
            output, _ = command.communicate(timeout=PATIENCE)
            go_on()
        assert command.returncode == 3, output
        assert f"open: deployment {number} goes on without this command" in output
        assert f"lockstep deployments show {number}; end it: lockstep abort {number}" in output
        wait_until(lambda: state_of(operator, number) in ("done", "aborted"))
        assert state_of(operator, number) == "done"
        assert len(set(operator.served().values())) == 1
    observed.assert_clean()
    assert operator.types("rollback", "web").code == 0


def test_ctrl_c_aborts_the_deployment_where_that_was_asked_for(operator: Operator) -> None:
    before = operator.served()
    with operator.observers() as observed:
        with interrupted(operator, "--abort-on-interrupt") as (number, command, go_on):
            wait_until(lambda: state_of(operator, number) in ("aborting", "aborted"))
            go_on()
            output, _ = command.communicate(timeout=PATIENCE)
        assert command.returncode == 1
        assert "aborted: nothing was changed, every frontend still serves epoch" in output
        assert "an operator aborted it" in output
        assert state_of(operator, number) == "aborted"
        assert operator.served() == before
    observed.assert_clean()


# ── too late, and too far back ──


def test_an_abort_after_the_commit_is_refused_and_names_the_rollback(operator: Operator) -> None:
    before = operator.served()
    said = operator.types("abort", str(newest_committed(operator)))
    assert said.code == 1
    assert "was committed: it can't be aborted" in said.messages
    assert "lockstep rollback Lab/web" in said.messages
    assert operator.served() == before


def newest_committed(operator: Operator) -> int:
    rows = operator.reads("history", "web")["deployments"]
    return next(int(row["id"]) for row in rows if row["decision"] == "commit")


def test_a_rollback_to_what_a_frontend_holds_no_longer_stages_it_again(operator: Operator) -> None:
    assert operator.types("deploy", "web", "ToDo=2.0.0").code == 0
    digest = operator.reads("release", "show", "ToDo", "1.0.0")["digest"]
    gone = script(operator, "fe2", "prune", operator.served()["fe2"], "0", *below_current(operator, "fe2"))
    assert gone.code == 0, gone.output
    root = operator.lab.frontend("fe2").root
    assert not (root / "releases" / "ToDo" / digest).exists()
    with operator.observers() as observed:
        row = operator.reads("rollback", "web")
    observed.assert_clean()
    assert row["state"] == "done"
    reports = operator.reads("deployments", "show", str(row["id"]))["reports"]
    staged = {r["frontend"]: r["detail"]["objects"] for r in reports if r["step"] == "stage"}
    # Beside the document that says what this epoch serves: what only the old release had.
    assert staged["fe1"] == 1
    assert staged["fe2"] > 1
    for frontend in operator.lab.frontends:
        assert fetch(f"{frontend.url}/ToDo/version.txt").endswith("\r\n\r\n1")


def script(operator: Operator, name: str, *words: str) -> Said:
    """The frontend's own script, as an operator may run it there."""
    root = operator.lab.frontend(name).root
    line = ["sh", str(root / "state" / "lockstep-frontend"), str(root), *words]
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return Said(done.returncode, done.stdout, done.stderr)


def below_current(operator: Operator, name: str) -> list[str]:
    held = {path.name for path in (operator.lab.frontend(name).root / "activations").iterdir()}
    current = int(operator.served()[name].partition("-")[0])
    return sorted(each for each in held if 0 < int(each.partition("-")[0]) < current)


# ── clocks ──


def test_a_frontend_whose_clock_is_hours_off_is_measured_and_harmless(operator: Operator) -> None:
    _set_clock(operator, "fe2")
    began = time.monotonic()
    row = operator.reads("deploy", "web", "ToDo=2.0.0")
    took = time.monotonic() - began
    reports = operator.reads("deployments", "show", str(row["id"]))["reports"]
    offsets = {r["frontend"]: r["detail"]["offset"] for r in reports if r["step"] == "stage"}
    assert abs(offsets["fe1"]) < took
    assert abs(offsets["fe2"] - HOURS * 3600) < took
    flips = {r["frontend"]: r["detail"]["at"] for r in reports if r["step"] == "activate"}
    assert flips["fe2"] - flips["fe1"] > HOURS * 3600 - took
    assert row["state"] == "done"
    # The skew is that of the flips, not of the clocks.
    assert 0 <= row["skew_ms"] < took * 1000
    assert len(set(operator.served().values())) == 1
    assert not [r for r in reports if "prune_problem" in r["detail"]]


def _set_clock(operator: Operator, name: str) -> None:
    """Let the frontend's commands find a `date` of their own, which is hours ahead."""
    programs = operator.directory / "programs"
    programs.mkdir()
    date = programs / "date"
    date.write_text(f'#!/bin/sh\nexec /bin/date -d "+{HOURS} hours" "$@"\n')
    date.chmod(0o755)
    # It would ask the system, whose clock is right.
    perl = programs / "perl"
    perl.write_text("#!/bin/sh\nexit 1\n")
    perl.chmod(0o755)
    set_variable(operator.lab, name, f"PATH={programs}:/usr/local/bin:/usr/bin:/bin")


# ── JSON ──


def test_errors_of_json_commands_are_json_with_their_exit_code(operator: Operator) -> None:
    said = operator.types("drain", "web", "fe9", "--json")
    assert said.code == 2
    assert json.loads(said.output)["error"]["found"] == "fe9"
    said = operator.types("readmit", "web", "fe1", "--json")
    assert said.code == 1
    assert "fe1 is in rotation already" in json.loads(said.output)["error"]["what"]
