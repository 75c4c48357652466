"""The word to armed frontends: clocks, one instant for those whose clock is known, the plain word for the others."""

from __future__ import annotations

import time
from typing import cast

import pytest

from orchestrator.domain.errors import UnansweredError
from tests.unit.workers.channels import FIVE, LIMIT, Answering, Channel, conversation, lost, showing, silent
from tests.unit.workers.jobs import job_of
from workers.frontend.armed import (
    AHEAD_MOST,
    AT_ONCE,
    LONGEST_SECONDS,
    PATIENCE_SECONDS,
    Armed,
    ahead,
    patience,
)
from workers.frontend.clocks import WELL, Clock, measure
from workers.frontend.commands import Arm
from workers.frontend.conversation import Conversation
from workers.frontend.job import Job
from workers.frontend.steps import Steps

ARM = Arm("/srv/lockstep", FIVE, 40)


def measured(answering: Answering) -> tuple[Clock | None, Channel, Conversation]:
    """What is known of one frontend's clock."""
    channel = Channel(answering)
    spoken = conversation(channel)
    return measure({"fe1": (ARM, spoken)}).get("fe1"), channel, spoken


@pytest.mark.parametrize("offset", [-100.0, 0.0, 3600.0])
def test_a_clock_is_known_as_well_as_the_exchange_was_short(offset: float) -> None:
    clock, _, _ = measured(showing(offset))
    assert clock is not None
    # As told, it was rounded to microseconds.
    assert abs(clock.offset - offset) <= clock.uncertainty + 2e-6


def test_an_offset_within_its_uncertainty_is_none() -> None:
    assert Clock(0.002, 0.003).tells(1000.0) == 1000.0
    assert Clock(0.5, 0.003).tells(1000.0) == 1000.5
    assert Clock(0.0, WELL).well_known
    assert not Clock(0.0, WELL * 1.01).well_known


def test_bounds_that_contradict_each_other_are_uncertain_by_that() -> None:
    assert Clock.between(1.0, 3.0) == Clock.between(3.0, 1.0) == Clock(2.0, 1.0)


@pytest.mark.parametrize("answering", [silent, lost, showing(0, b"CLOCK 0\n")])
def test_who_tells_no_clock_has_none_and_is_asked_once(answering: Answering) -> None:
    clock, channel, _ = measured(answering)
    assert clock is None
    assert len(channel.heard) <= 1


@pytest.mark.parametrize("line", [b"STOODDOWN\n", b"CLOCK x\n", b"CLOCK 1 2\n", b"\xff\n"])
def test_what_is_no_clock_is_left_for_the_answer(line: bytes) -> None:
    clock, _, spoken = measured(showing(0, line))
    assert clock is None
    assert spoken.line() == line


class Fleet:
    """Armed frontends, `fe1` first, each with a channel to one of these."""

    def __init__(self, *answering: Answering) -> None:
        began = ARM.armed
        self.channels = {f"fe{n}": Channel(each, began) for n, each in enumerate(answering, 1)}
        self.armed = Armed(cast("Steps", self))
        self.commands: list[Arm] = []
        for name in self.channels:
            self.arm(name)

    def session(self, job: Job, limit: float) -> Fleet:
        """As `Steps.session`."""
        return self

    def begin(self, command: Arm, *, limit: float) -> Conversation:
        """As `Session.begin`."""
        self.commands.append(command)
        return conversation(self.channels[self._name], limit)

    def finish(self, command: Arm, spoken: Conversation) -> float | None:
        """As `Session.finish`."""
        return command.parse(*spoken.finish())

    def finished(self, spoken: Conversation) -> bool:
        """As `Session.finished`."""
        return spoken.over

    def _job(self, name: str) -> Job:
        job = job_of(5)
        return Job(job.prepared, job.frontend.model_copy(update={"name": name}))

    def arm(self, name: str) -> None:
        """That one."""
        self._name = name
        self.armed.arm(self._job(name))

    def word(self, limit: float = LIMIT) -> dict[str, Exception]:
        """To all of them."""
        return self.armed.give_word(dict.fromkeys(self.channels, limit))

    def last(self, name: str) -> list[str]:
        """The words of the last line that it heard."""
        return self.channels[name].heard[-1].decode().split()


def test_all_whose_clock_is_known_hear_of_one_instant_on_their_own() -> None:
    fleet = Fleet(showing(0), showing(100), showing(0))
    began = time.time()
    assert fleet.word() == {}
    instants = {name: float(fleet.last(name)[2]) for name in fleet.channels}
    assert instants["fe1"] == instants["fe3"]
    assert instants["fe2"] - instants["fe1"] == pytest.approx(100, abs=2 * WELL)
    assert began + ahead(3) <= instants["fe1"]
    # They had it before it came, and it has come when the word counts as given.
    assert max(channel.at[-1] for channel in fleet.channels.values()) < instants["fe1"] <= time.time() + 0.001
    assert fleet.armed.answer("fe2")["offset"] == pytest.approx(100, abs=2 * WELL)


def test_who_has_no_clock_hears_the_word_when_the_instant_has_come() -> None:
    fleet = Fleet(showing(0, b"CLOCK 0\n"), showing(0), silent)
    assert fleet.word() == {}
    instant = float(fleet.last("fe2")[2])
    for name in ("fe1", "fe3"):
        assert fleet.last(name) == ["GO", str(FIVE)]
        assert fleet.channels[name].at[-1] >= instant - 0.001
    assert fleet.armed.answer("fe1") == {"at": 12.5}


def test_where_no_clock_is_known_nobody_waits_and_one_alone_is_not_asked() -> None:
    fleet = Fleet(silent, silent)
    began = time.time()
    fleet.word()
    assert fleet.channels["fe1"].at[-1] < began + ahead(2)
    alone = Fleet(showing(0))
    assert alone.word() == {}
    assert alone.channels["fe1"].heard == [f"GO {FIVE}\n".encode()]


def test_a_word_that_could_not_be_sent_is_told_and_its_channel_is_given_up() -> None:
    fleet = Fleet(showing(0), lost, showing(0))
    failed = fleet.word()
    assert list(failed) == ["fe2"]
    assert isinstance(failed["fe2"], UnansweredError)
    assert [fleet.armed.waits(name) for name in fleet.channels] == [True, False, True]


def test_however_many_frontends_the_instant_is_near() -> None:
    assert ahead(2) < 0.05
    assert ahead(64) < 0.2
    assert ahead(100_000) == AHEAD_MOST


def test_the_first_of_many_waits_until_the_last_has_had_its_turn() -> None:
    assert patience(2.5, 1) == patience(2.5, AT_ONCE) == 3 + PATIENCE_SECONDS
    assert patience(2.5, AT_ONCE + 1) == 5 + PATIENCE_SECONDS
    assert patience(10, 1000) == 160 + PATIENCE_SECONDS
    # What its script and `timeout` take.
    assert patience(86_400, 100_000) == LONGEST_SECONDS == int("9" * 6)


def test_whoever_is_armed_hears_how_long_to_wait_and_nobody_is_armed_after_the_end() -> None:
    fleet = Fleet(showing(0))
    assert [command.limit for command in fleet.commands] == [patience(10, 1)]
    fleet.armed.close()
    with pytest.raises(UnansweredError, match="after its time"):
        fleet.arm("fe1")
    assert len(fleet.commands) == 1


def test_an_answer_that_is_here_counts_however_late_it_is_read() -> None:
    fleet = Fleet(showing(0), silent)
    assert fleet.word(0.25) == {}
    assert fleet.armed.answered("fe1")
    while not fleet.armed.answered("fe2"):
        pass
    assert fleet.armed.answer("fe1")["at"] == 12.5
    with pytest.raises(UnansweredError, match="in time"):
        fleet.armed.answer("fe2")
    with pytest.raises(UnansweredError, match="closed"):
        fleet.armed.answer("fe2")
