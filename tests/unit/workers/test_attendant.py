"""Who does a command: the attendant where there is one that has no other work. It is the real one, over pipes."""

from __future__ import annotations

import os
import select
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.errors import UnansweredError
from tests.unit.workers.jobs import job_of
from workers.frontend.attendant import Attendant
from workers.frontend.commands import Arm, Probe, Verify
from workers.frontend.conversation import Conversation
from workers.frontend.script import script, script_sha256

LIMIT = 30.0
FIVE = ActivationName.parse("5-0123456789abcdef")


class Pipes:
    """As much of a channel as a conversation needs, to a process on this machine."""

    def __init__(self, argv: tuple[str, ...]) -> None:
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.closed = False
        self.eof_received = False

    def settimeout(self, _seconds: float) -> None:
        """A pipe needs none here: whoever hangs is ended by the test's own limit."""

    def sendall(self, word: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word)
        self.process.stdin.flush()

    def recv_ready(self) -> bool:
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def recv(self, size: int) -> bytes:
        assert self.process.stdout is not None
        piece = os.read(self.process.stdout.fileno(), size)
        self.eof_received = not piece
        return piece

    def close(self) -> None:
        self.closed = True
        self.process.communicate()


class Frontend:
    """A root with the script in it, and how often its attendant was started."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "state").mkdir(parents=True)
        (root / "state/lockstep-frontend").write_bytes(script())
        subprocess.run(self.words("init"), check=True, stdout=subprocess.DEVNULL)
        self.pipes: list[Pipes] = []
        self.attendant = Attendant(self.begin)

    def words(self, *words: str) -> tuple[str, ...]:
        return ("sh", f"{self.root}/state/lockstep-frontend", str(self.root), *words)

    def begin(self, limit: float) -> Conversation | None:
        self.pipes.append(Pipes(self.words("attend")))
        spoken = Conversation(job_of(5).frontend, cast("Any", self.pipes[-1]), limit)
        assert spoken.line() == f"READY {script_sha256()}\n".encode()
        return spoken

    def probe(self) -> bool:
        """Whether the attendant has answered."""
        said = self.attendant.do(Probe(str(self.root)), [], 0, LIMIT)
        return said is not None and Probe(str(self.root)).parse(*said).fence == 0

    def stage(self) -> None:
        """As far as it can be armed."""
        (self.root / f"activations/{FIVE}").mkdir()

    def armed(self) -> tuple[Arm, Conversation]:
        """Staged, and the attendant lent until the word comes."""
        self.stage()
        arm = Arm(str(self.root), FIVE, 40)
        spoken = self.attendant.lend(arm, LIMIT)
        assert spoken is not None
        assert spoken.line() == arm.armed
        return arm, spoken


@pytest.fixture
def frontend(tmp_path: Path) -> Iterator[Frontend]:
    made = Frontend(tmp_path / "root")
    try:
        yield made
    finally:
        for pipes in made.pipes:
            pipes.close()


def test_one_process_does_all_commands(frontend: Frontend) -> None:
    assert frontend.probe()
    said = frontend.attendant.do(Verify(str(frontend.root), FIVE, ()), [], 0, LIMIT)
    assert said == (b"REFUSED unstaged activations/%s is not there\n" % str(FIVE).encode(), 10)
    assert frontend.probe()
    assert len(frontend.pipes) == 1
    assert not frontend.attendant.at_work


def test_it_flips_and_is_there_for_the_next_command(frontend: Frontend) -> None:
    arm, spoken = frontend.armed()
    assert frontend.attendant.at_work
    assert frontend.attendant.lends(spoken)
    assert not spoken.answered
    spoken.say(arm.go)
    # It goes on after its answer, which is whole with the verdict.
    while not spoken.answered:
        assert not spoken.late
    assert not spoken.ended
    said = frontend.attendant.back(spoken)
    assert said is not None
    assert arm.parse(*said) is not None
    assert not frontend.attendant.at_work
    assert not frontend.attendant.lends(spoken)
    assert (frontend.root / "current").readlink() == Path(f"activations/{FIVE}")
    assert frontend.attendant.do(Probe(str(frontend.root)), [], 0, LIMIT) is not None
    assert len(frontend.pipes) == 1


def test_one_that_is_lent_and_closed_is_followed_by_another(frontend: Frontend) -> None:
    frontend.stage()
    spoken = frontend.attendant.lend(Arm(str(frontend.root), FIVE, 40), LIMIT)
    assert spoken is not None
    assert frontend.attendant.do(Probe(str(frontend.root)), [], 0, LIMIT) is not None
    spoken.close()
    assert not frontend.attendant.at_work
    assert len(frontend.pipes) == 2


def test_who_comes_while_it_has_work_goes_without(frontend: Frontend) -> None:
    inside, done = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        inside.set()
        assert done.wait(LIMIT)
        yield b""

    busy = threading.Thread(target=lambda: frontend.attendant.do(Probe(str(frontend.root)), slowly(), 0, LIMIT))
    busy.start()
    assert inside.wait(LIMIT)
    assert frontend.attendant.at_work
    assert not frontend.probe()
    done.set()
    busy.join()
    assert frontend.probe()
    assert len(frontend.pipes) == 1


def test_where_there_is_none_nobody_looks_again_until_the_script_was_replaced() -> None:
    looked = []

    def absent(limit: float) -> Conversation | None:
        looked.append(limit)
        return None

    attendant = Attendant(absent)
    for _ in range(3):
        assert attendant.do(Probe("/srv/lockstep"), [], 0, LIMIT) is None
        assert attendant.lend(Probe("/srv/lockstep"), LIMIT) is None
    assert len(looked) == 1
    attendant.forget()
    assert attendant.do(Probe("/srv/lockstep"), [], 0, LIMIT) is None
    assert len(looked) == 2


def test_one_that_has_ended_is_followed_by_another(frontend: Frontend) -> None:
    assert frontend.probe()
    frontend.pipes[0].process.kill()
    frontend.pipes[0].process.wait()
    assert frontend.probe()
    assert len(frontend.pipes) == 2


def test_one_that_says_what_nobody_asked_for_is_followed_by_another(frontend: Frontend) -> None:
    assert frontend.probe()
    # As one does who heard the word when he had stood down.
    frontend.pipes[0].sendall(b"GO 5-0123456789abcdef\n")
    frontend.pipes[0].process.wait()
    assert frontend.probe()
    assert len(frontend.pipes) == 2


def test_more_or_less_than_was_promised_is_never_taken_for_a_command(frontend: Frontend) -> None:
    for pieces in ([b""], [b"0 40 arm 5-0123456789abcdef\n"]):
        with pytest.raises(UnansweredError):
            frontend.attendant.do(Probe(str(frontend.root)), pieces, 5, LIMIT)
    assert frontend.probe()
    assert len(frontend.pipes) == 3


def test_one_that_stood_down_is_followed_by_another(frontend: Frontend) -> None:
    _, spoken = frontend.armed()
    spoken.say(b"STOP\n")
    assert frontend.attendant.back(spoken) == (b"STOODDOWN\nOK\n", 0)
    assert frontend.attendant.do(Probe(str(frontend.root)), [], 0, LIMIT) is not None
    assert len(frontend.pipes) == 2


def test_one_that_has_no_work_gives_way(frontend: Frontend) -> None:
    frontend.attendant.rest()
    assert frontend.probe()
    frontend.attendant.rest()
    assert frontend.pipes[0].closed
    assert frontend.probe()
    assert len(frontend.pipes) == 2


def test_one_that_ends_in_the_middle_of_its_answer_is_an_unknown_outcome() -> None:
    begun: list[Pipes] = []

    def begin(limit: float) -> Conversation:
        begun.append(Pipes(("sh", "-c", "read -r line && echo fence 0")))
        return Conversation(job_of(5).frontend, cast("Any", begun[-1]), limit)

    attendant = Attendant(begin)
    for number in (1, 2):
        assert attendant.do(Probe("/srv/lockstep"), [], 0, LIMIT) == (b"fence 0\n", None)
        assert len(begun) == number
        assert begun[-1].closed
