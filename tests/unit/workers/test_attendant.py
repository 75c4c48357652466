"""Who does a command: the attendant where there is one that has no other work. It is the real one, over pipes."""

from __future__ import annotations

import os
import select
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.errors import UnansweredError
from tests.unit.workers.channels import conversation
from tests.unit.workers.jobs import job_of
from workers.frontend.attendant import Attend, Attendant
from workers.frontend.commands import Arm, Init, Probe, Verify
from workers.frontend.conversation import Conversation
from workers.frontend.script import script, script_sha256

LIMIT = 30.0
FIVE = ActivationName.parse("5-0123456789abcdef")


class Pipes:
    """As much of a channel as a conversation needs, to a process on this machine."""

    def __init__(self, argv: tuple[str, ...]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe)
        self.closed = False
        self.eof_received = False
        self.status_event = threading.Event()
        self._complains = True

    @property
    def exit_status(self) -> int:
        return self.process.wait(LIMIT)

    def settimeout(self, _seconds: float) -> None:
        """A pipe needs none here: whoever hangs is ended by the test's own limit."""

    def sendall(self, word: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word)
        self.process.stdin.flush()

    def shutdown_write(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def recv_ready(self) -> bool:
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def recv(self, size: int) -> bytes:
        assert self.process.stdout is not None
        piece = os.read(self.process.stdout.fileno(), size)
        self.eof_received = not piece
        if self.eof_received:
            self.status_event.set()
        return piece

    def exit_status_ready(self) -> bool:
        return self.process.wait(LIMIT) is not None

    def recv_stderr_ready(self) -> bool:
        return self._complains

    def recv_stderr(self, size: int) -> bytes:
        assert self.process.stderr is not None
        said = os.read(self.process.stderr.fileno(), size)
        self._complains = bool(said)
        return said

    def close(self) -> None:
        self.closed = True
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self.process.wait(LIMIT)


class Frontend:
    """A root, and how often its attendant was started."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.script = root / "state/lockstep-frontend"
        self.pipes: list[Pipes] = []
        self.of = job_of(5).frontend.model_copy(update={"root": str(root)})
        self.attendant = Attendant(self.of, self.begin)

    def begin(self, command: Attend, limit: float) -> Conversation:
        self.pipes.append(Pipes(command.argv()))
        return conversation(cast("Any", self.pipes[-1]), limit)

    def init(self) -> None:
        """The tree is made, by the attendant."""
        assert self.attendant.do(Init(str(self.root)), [], 0, LIMIT) == (b"OK\n", 0)

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
def bare(tmp_path: Path) -> Iterator[Frontend]:
    """One on which nothing was ever done."""
    made = Frontend(tmp_path / "root")
    try:
        yield made
    finally:
        for pipes in made.pipes:
            pipes.close()


@pytest.fixture
def frontend(bare: Frontend) -> Frontend:
    """One with the script and a tree."""
    bare.script.parent.mkdir(parents=True)
    bare.script.write_bytes(script())
    bare.init()
    bare.attendant.rest()
    bare.pipes.clear()
    return bare


def test_where_there_is_no_script_nothing_is_made_before_it_is_installed_and_one_channel_does_for_all(
    bare: Frontend,
) -> None:
    for _ in range(2):
        with pytest.raises(UnansweredError, match="no script"):
            bare.probe()
    assert not bare.root.exists()
    bare.attendant.install(LIMIT)
    assert bare.script.read_bytes() == script()
    assert [path.name for path in bare.script.parent.iterdir()] == [bare.script.name]
    bare.init()
    assert bare.probe()
    assert len(bare.pipes) == 1


def test_who_waits_for_a_script_that_never_comes_leaves_nothing(bare: Frontend) -> None:
    with pytest.raises(UnansweredError, match="no script"):
        bare.probe()
    bare.attendant.rest()
    assert bare.pipes[0].closed
    with pytest.raises(UnansweredError, match="no script"):
        bare.probe()
    assert len(bare.pipes) == 2
    assert not bare.root.exists()


def test_another_script_has_no_attendant_and_is_replaced(frontend: Frontend) -> None:
    old = script().replace(b"__DATA__", b"# another\n__DATA__")
    new = frontend.script.with_name("new")
    new.write_bytes(old)
    new.rename(frontend.script)
    frontend.attendant.rest()
    assert not frontend.probe()
    frontend.attendant.install(LIMIT)
    assert frontend.script.read_bytes() == script()
    assert frontend.probe()
    assert len(frontend.pipes) == 2


@pytest.mark.parametrize("sent", [script()[:-1] + b"x", script()[:1000]], ids=["other bytes", "cut off"])
def test_what_is_not_this_script_is_not_installed(frontend: Frontend, sent: bytes) -> None:
    command = Attend(str(frontend.root), script_sha256(), len(script()), replaces=True)
    spoken = frontend.begin(command, LIMIT)
    assert spoken.line() == command.ABSENT
    spoken.feed([command.install(sent)])
    assert spoken.finish() == (b"", 1)
    assert frontend.script.read_bytes() == script()
    assert not list(frontend.script.parent.glob("lockstep-frontend.*"))


def test_why_a_script_could_not_be_installed_is_told(bare: Frontend) -> None:
    bare.root.write_bytes(b"a file")
    with pytest.raises(UnansweredError) as caught:
        bare.attendant.install(LIMIT)
    assert caught.value.problem.what == "the frontend's script could not be installed"
    assert caught.value.problem.where == f"{bare.of.name}: {bare.script}"
    assert "exit status 1" in caught.value.problem.found
    assert "mkdir" in caught.value.problem.found


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
        yield b"0" * 64 + b"\n"

    busy = threading.Thread(target=lambda: frontend.attendant.do(Probe(str(frontend.root)), slowly(), 65, LIMIT))
    busy.start()
    assert inside.wait(LIMIT)
    assert frontend.attendant.at_work
    assert not frontend.probe()
    done.set()
    busy.join()
    assert frontend.probe()
    assert len(frontend.pipes) == 1


@pytest.mark.parametrize("says", ["true", "echo REFUSED noperl", "echo READY", "exit 2"])
def test_where_there_is_none_nobody_looks_again_until_the_script_was_replaced(says: str) -> None:
    """Neither an attendant nor the want of a script: where there is no perl, say."""
    looked: list[Pipes] = []

    def begin(command: Attend, limit: float) -> Conversation:
        looked.append(Pipes(("sh", "-c", says)))
        return conversation(cast("Any", looked[-1]), limit)

    attendant = Attendant(job_of(5).frontend, begin)
    for _ in range(3):
        assert attendant.do(Probe("/srv/lockstep"), [], 0, LIMIT) is None
        assert attendant.lend(Probe("/srv/lockstep"), LIMIT) is None
    assert len(looked) == 1
    assert looked[0].closed
    says = "echo ABSENT; read -r word; echo installed; echo REFUSED noperl"
    attendant.install(LIMIT)
    assert attendant.do(Probe("/srv/lockstep"), [], 0, LIMIT) is None
    assert len(looked) == 2
    assert looked[1].closed


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

    def begin(command: Attend, limit: float) -> Conversation:
        ready = command.ready.decode()
        begun.append(Pipes(("sh", "-c", f"echo {ready.strip()}; read -r line && echo fence 0")))
        return conversation(cast("Any", begun[-1]), limit)

    attendant = Attendant(job_of(5).frontend, begin)
    for number in (1, 2):
        assert attendant.do(Probe("/srv/lockstep"), [], 0, LIMIT) == (b"fence 0\n", None)
        assert len(begun) == number
        assert begun[-1].closed
