"""Commands of gates as real processes: how they end, what they are told, and that nothing of them stays."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from orchestrator.domain.effects import GateName
from orchestrator.ports import GateRun
from workers.gates import KEPT_LINES, Command, LocalGates

GATE = GateName.BEFORE_STAGE
#: Longer than any test.
LONG = 300.0
#: How long a test waits for anything, in seconds.
PATIENCE = 60.0


class Site:
    """A directory for scripts and what they write, and gates whose ends come in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.gates = LocalGates(grace_seconds=0.2)
        self.ends: queue.SimpleQueue[GateRun] = queue.SimpleQueue()

    def script(self, text: str) -> str:
        path = self.directory / "gate"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o700)
        return str(path)

    def begins(
        self, text: str, *arguments: str, seconds: float = LONG, environment: Mapping[str, str] | None = None
    ) -> None:
        told = {"SITE": str(self.directory), **(environment or {})}
        self.gates.run(GATE, (self.script(text), *arguments), seconds, told, self.ends.put)

    def runs(
        self, text: str, *arguments: str, seconds: float = LONG, environment: Mapping[str, str] | None = None
    ) -> GateRun:
        self.begins(text, *arguments, seconds=seconds, environment=environment)
        return self.ends.get(timeout=PATIENCE)

    def read(self, name: str) -> str:
        path = self.directory / name
        return path.read_text() if path.exists() else ""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.gates.call_off()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def alive(pid: str) -> bool:
    """Whether a process runs; one that waits to be reaped, by whoever its parent is, does not."""
    try:
        state = Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


# ── how it ended ──


def test_exit_code_0_passes(site: Site) -> None:
    run = site.runs("echo fine")
    assert (run.name, run.exit, run.problem) == (GATE, 0, None)
    assert 0 < run.seconds < PATIENCE


@pytest.mark.parametrize(
    ("text", "code", "what", "found"),
    [
        ("echo no window today; exit 3", 3, "refused", "exit code 3; it printed: no window today"),
        ("echo out; echo err >&2; exit 255", 255, "refused", "exit code 255; it printed: out | err"),
        ("exit 1", 1, "refused", "exit code 1; it printed nothing"),
        ("kill -9 $$", None, "was ended by a signal", "SIGKILL; it printed nothing"),
        ("kill -40 $$", None, "was ended by a signal", "signal 40; it printed nothing"),
    ],
)
def test_any_other_end_is_a_problem_that_says_what_it_was(
    site: Site, text: str, code: int | None, what: str, found: str
) -> None:
    run = site.runs(text)
    assert run.exit == code
    assert run.problem is not None
    assert run.problem.what == f"the gate before_stage {what}"
    assert run.problem.where == f"{site.directory / 'gate'} on {socket.gethostname()}"
    assert (run.problem.expected, run.problem.found) == ("exit code 0 within 300 s", found)
    assert "docs/gates.md" in run.problem.remedy


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (("/nowhere/at/all",), "No such file or directory"),
        (("/",), "Permission denied"),
        (("/bin/true", "a\0b"), "embedded null byte"),
        (("/bin/true", "x" * 200_000), "Argument list too long"),
    ],
)
def test_what_can_t_be_started_has_failed(site: Site, command: tuple[str, ...], found: str) -> None:
    site.gates.run(GATE, command, LONG, {}, site.ends.put)
    run = site.ends.get(timeout=PATIENCE)
    assert run.problem is not None
    assert (run.exit, run.problem.what, run.problem.found) == (None, "the gate before_stage could not be run", found)


def test_no_shell_reads_the_words(site: Site) -> None:
    assert site.runs('printf "%s," "$@" > $SITE/words', "$HOME", "a b", ";exit 1", "").exit == 0
    assert site.read("words") == "$HOME,a b,;exit 1,,"


def test_it_runs_in_the_root_directory(site: Site) -> None:
    assert site.runs("pwd > $SITE/where").exit == 0
    assert site.read("where") == "/\n"


# ── the environment ──


def test_it_is_told_what_it_is_to_be_told_and_gets_no_input_and_no_secret_of_the_worker(tmp_path: Path) -> None:
    """In a worker whose environment holds secrets: a process of its own, as a worker is one."""
    worker = (
        "import queue, sys\n"
        "from orchestrator.domain.effects import GateName\n"
        "from workers.gates import LocalGates\n"
        "ends = queue.SimpleQueue()\n"
        "told = {'LOCKSTEP_GATE': 'before_stage', 'LOCKSTEP_EPOCH': '7'}\n"
        "LocalGates().run(GateName.BEFORE_STAGE, ('/usr/bin/env', '-0'), 60, told, ends.put)\n"
        "run = ends.get(timeout=60)\n"
        "LocalGates().run(GateName.BEFORE_STAGE, (sys.argv[1],), 60, told, ends.put)\n"
        "assert (run.exit, ends.get(timeout=60).exit) == (0, 0)\n"
    )
    script = tmp_path / "gate"
    script.write_text(
        f"#!/bin/sh\ntr '\\0' '\\n' < /proc/$$/environ > {tmp_path / 'environ'}\ncat > {tmp_path / 'input'}\n"
    )
    script.chmod(0o700)
    secrets = {"LOCKSTEP_LEDGER_URL": "postgresql://u:planted@db/x", "LOCKSTEP_BROKER_URL": "redis://:planted@b/0"}
    own = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", worker, str(script)],
        env={**own, **secrets},
        input=b"planted",
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, (tmp_path / "input").read_bytes()) == (0, b"")
    assert sorted((tmp_path / "environ").read_text().splitlines()) == [
        f"HOME={tmp_path}",
        "LANG=C.UTF-8",
        "LOCKSTEP_EPOCH=7",
        "LOCKSTEP_GATE=before_stage",
        f"PATH={os.environ['PATH']}",
    ]


def test_no_descriptor_of_the_worker_is_open_in_it(site: Site, tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        assert site.runs("ls -l /proc/$$/fd > $SITE/open").exit == 0
    assert "secret" not in site.read("open")


# ── its output ──


def test_the_last_lines_are_kept_and_what_a_terminal_would_obey_is_shown(site: Site) -> None:
    run = site.runs(r"""printf 'old\n\033[31mred\033[0m\ttab\r\nbell\a \377\n'; exit 1""")
    assert run.problem is not None
    assert (
        run.problem.found
        == "exit code 1; it printed: old | \\x1b[31mred\\x1b[0m\\ttab | bell\\x07 \N{REPLACEMENT CHARACTER}"
    )
    assert run.problem.found.isprintable()


def test_much_output_neither_blocks_it_nor_is_kept(site: Site) -> None:
    run = site.runs(
        "i=0; while [ $i -lt 50 ]; do echo line $i; i=$((i+1)); done; head -c 3000000 /dev/zero | tr '\\0' x;"
        " echo; for i in $(seq 30); do echo end $i; done; exit 2"
    )
    assert run.problem is not None
    assert run.problem.found == "exit code 2; it printed: " + " | ".join(f"end {n}" for n in range(31 - KEPT_LINES, 31))


def test_one_line_without_an_end_is_cut(site: Site) -> None:
    run = site.runs("head -c 100000 /dev/zero | tr '\\0' x; printf y; exit 2")
    assert run.problem is not None
    assert run.problem.found.endswith("xy")
    assert len(run.problem.found) < 300


def test_of_endless_output_no_more_is_kept_than_can_be_shown(site: Site) -> None:
    """In memory of its own: what the whole process takes is no measure beside other tests."""
    command = Command(GATE, (site.script("head -c 30000000 /dev/zero"),), LONG, {}, 0.2)
    tracemalloc.start()
    try:
        command.run()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert command.ended is not None
    assert command.ended.exit == 0
    assert most < 2_000_000


def test_whoever_closes_its_output_is_waited_for_all_the_same(site: Site) -> None:
    assert site.runs("exec >&- 2>&-; sleep 0.2; echo done > $SITE/done").exit == 0
    assert site.read("done") == "done\n"


# ── its time ──

#: Leaves its number and that of a grandchild, then waits for longer than any test.
FAMILY = "sh -c 'sleep 600 & echo $! > $SITE/grandchild; wait' & echo $$ > $SITE/leader; wait"
#: The same, and nobody of them goes when asked.
STUBBORN = f"trap '' TERM; {FAMILY}"


@pytest.mark.parametrize("family", [FAMILY, STUBBORN])
def test_when_its_time_is_over_everybody_of_its_group_is_ended(site: Site, family: str) -> None:
    run = site.runs(f"echo so far; {family}", seconds=1.5)
    assert run.problem is not None
    assert (run.exit, run.problem.what) == (None, "the gate before_stage took too long")
    assert run.problem.found == "it still ran, and was ended; it printed: so far"
    assert run.problem.expected == "exit code 0 within 1.5 s"
    assert 1.5 <= run.seconds < 30
    assert site.read("leader")
    assert site.read("grandchild")
    wait_until(lambda: not alive(site.read("leader")) and not alive(site.read("grandchild")))


def test_it_is_asked_to_end_before_it_is_killed(site: Site) -> None:
    site.begins("trap 'echo tidied > $SITE/tidied; exit 0' TERM; echo > $SITE/ready; sleep 600 & wait")
    wait_until(lambda: bool(site.read("ready")))
    assert site.gates.call_off() is not None
    assert site.read("tidied") == "tidied\n"


def test_what_it_leaves_behind_ends_with_it(site: Site) -> None:
    run = site.runs("sleep 600 & echo $! > $SITE/grandchild; exit 0")
    assert (run.exit, run.problem) == (0, None)
    wait_until(lambda: not alive(site.read("grandchild")))


def test_what_has_a_session_of_its_own_stays_and_nobody_waits_for_it(site: Site) -> None:
    run = site.runs(
        "setsid sh -c 'echo $$ > $SITE/daemon; exec sleep 600' & while [ ! -s $SITE/daemon ]; do :; done; exit 0"
    )
    assert (run.exit, run.problem) == (0, None)
    pid = site.read("daemon")
    assert alive(pid)
    os.kill(int(pid), signal.SIGKILL)


# ── called off ──


@pytest.mark.parametrize("family", [FAMILY, STUBBORN])
def test_called_off_it_and_its_group_are_ended_and_nothing_is_delivered(site: Site, family: str) -> None:
    site.begins(family)
    wait_until(lambda: site.read("grandchild").endswith("\n") and site.read("leader").endswith("\n"))
    run = site.gates.call_off()
    assert run is not None
    assert run.problem is not None
    assert (run.exit, run.problem.what) == (None, "the gate before_stage was called off")
    assert not alive(site.read("leader"))
    wait_until(lambda: not alive(site.read("grandchild")))
    assert site.ends.empty()
    assert site.gates.call_off() is None
    # And the next one runs.
    assert site.runs("exit 0").exit == 0


def test_with_nothing_running_there_is_nothing_to_call_off(site: Site) -> None:
    assert site.gates.call_off() is None
    site.runs("exit 0")
    assert site.gates.call_off() is None


def test_each_end_is_told_once_whenever_it_is_called_off(site: Site) -> None:
    command = site.script("exit 0")
    for turn in range(30):
        site.gates.run(GATE, (command,), LONG, {}, site.ends.put)
        threading.Event().wait(turn * 0.0005)
        run = site.gates.call_off()
        if run is None:
            assert site.ends.get(timeout=PATIENCE).exit == 0
    assert site.ends.empty()


@pytest.mark.parametrize("code", [0, 1])
def test_nothing_is_left_to_be_reaped(site: Site, code: int) -> None:
    assert site.runs(f"echo $$ > $SITE/pid; exit {code}").exit == code
    assert not Path(f"/proc/{int(site.read('pid'))}").exists()
