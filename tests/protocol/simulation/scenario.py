"""What a simulated world is made of, and what may go wrong in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain.coordination import Coordination
from tests.protocol.simulation.frontend import SimulatedFrontend


class What(StrEnum):
    """What can happen next. `FAULTS` are those that a scenario allows so many times."""

    DELIVER = "deliver"
    WRITE = "write"
    LOOK = "look"
    START = "start"
    CONTINUE = "continue"
    ABORT = "abort"
    PLAN = "plan"
    #: A message never arrives. Whoever waited for its answer gives up.
    LOSE = "lose"
    #: The asking's time is over while the message, or its answer, is still on its way.
    GIVE_UP = "give up"
    #: A command arrives, and will arrive again.
    REPEAT = "repeat"
    #: An answer arrives, and will arrive again.
    ECHO = "echo"
    #: The frontend says no: a full disk, a lock that is held.
    REFUSE = "refuse"
    #: An armed frontend's own time limit.
    STAND_DOWN = "stand down"
    #: A staged file is changed while nobody looks.
    TAMPER = "tamper"
    #: The coordinator's process ends.
    CRASH = "crash"
    #: `decide` raises `UnansweredError`, which ends the coordinator: it was written, or it was not.
    WRITTEN_UNANSWERED = "written, unanswered"
    UNWRITTEN_UNANSWERED = "unwritten, unanswered"


#: A message fails to arrive when it should.
LOSSES = frozenset({What.LOSE, What.GIVE_UP, What.REPEAT, What.ECHO})
UNANSWERED = frozenset({What.WRITTEN_UNANSWERED, What.UNWRITTEN_UNANSWERED})
FAULTS = LOSSES | UNANSWERED | {What.REFUSE, What.STAND_DOWN, What.TAMPER, What.CRASH}


@dataclass(frozen=True)
class Scenario:
    """So many frontends, so many of each thing that may happen, and the parts under test.

    `coordinators` counts the processes beside those that a continue or an abort starts; `faults` bounds how many of
    `kinds` happen; `deployments` are planned one after the other.
    """

    frontends: int
    hold: bool = False
    coordinators: int = 1
    continues: int = 0
    aborts: int = 0
    deployments: int = 1
    faults: int = 0
    kinds: frozenset[What] = frozenset()
    attempts: int = 2
    machine: type[Coordination] = Coordination
    frontend: type[SimulatedFrontend] = SimulatedFrontend
