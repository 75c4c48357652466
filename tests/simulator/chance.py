"""Runs that a seed chooses: so large a world, so many faults, and everything in an order that nobody thought of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from orchestrator.domain.deployment import Decision, Deployment
from tests.protocol.simulation.laws import ViolationError
from tests.simulator.gates import Book
from tests.simulator.operators import Deployer, Meddler
from tests.simulator.rules import Rules
from tests.simulator.world import FAULTS, Option, Size, What, World

#: How long things go wrong, and after how many more everything must be at rest: in things that happen.
STORM = 900
PATIENCE = 6000
#: How long a lookout that finds nothing waits for what it may retry, in seconds.
LONG = 70.0
#: After so many looks that led to nothing, nothing will come any more; a hold of days ends before that.
LOOKS = 3
HOLD_SECONDS = 4 * 86_400

#: How long what sleeps does so, in seconds.
NAPS = (0.5, 2.0, 5.0, 10.0, 15.0)

Tell = Callable[[Option], None]


@dataclass(frozen=True, slots=True)
class Run:
    """How a run went: the things that happened, faults among them, deployments, and those that were committed."""

    steps: int
    faults: int
    deployments: int
    committed: int
    rows: tuple[Deployment, ...] = ()


def run(
    seed: int,
    rules: Rules | None = None,
    tell: Tell | None = None,
    kinds: frozenset[What] = FAULTS,
    *,
    late: bool = False,
    gates: Book | None = None,
) -> Run:
    """One run from its seed. Raises `ViolationError` with the seed in it.

    `late` gives small worlds with several deployments and many faults, in which a process that comes late meets the
    next deployment. `gates` gives the fleet a command at every gate, and keeps what they said.
    """
    random = Random(seed)
    frontends = random.randint(1, 3 if late else 5)
    faults = random.randint(6, 12) if late else random.randint(0, 8)
    size = Size(
        frontends,
        workers=random.choice((2, 3) if late else (1, 2, 2, 3)),
        max_drained=random.choice((0, 0, 1, frontends - 1)),
        faults=kinds,
        budget=faults,
        rules=rules or Rules(),
        gates=gates,
    )
    world = World(size)
    deployments = 3 if late else random.choice((1, 2, 3, 3))
    world.operator("ann", Deployer(world, Random(random.random()), deployments).work)
    if not late and random.random() < 0.6:
        world.operator("bob", Meddler(world, Random(random.random()), random.randint(1, 8)).work)
    try:
        steps = Chance(world, random, tell).go()
    except ViolationError as error:
        raise ViolationError(f"seed {seed}: {error}\n  again: python -m tests.simulator --replay {seed}") from error
    finally:
        world.end()
    rows = world.ledger.history(None, 1000)
    committed = sum(row.decision is Decision.COMMIT for row in rows)
    return Run(steps, faults - world.left_at_calm, len(rows), committed, tuple(rows) if gates is not None else ())


class Chance:
    """Chooses what happens next."""

    def __init__(self, world: World, random: Random, tell: Tell | None) -> None:
        self._world = world
        self._random = random
        self._tell = tell
        self._steps = 0

    def go(self) -> int:
        """To the end of the world. Returns how many things happened."""
        world = self._world
        while self._steps < STORM and (world.left or not all(p.idle for p in world.operators)):
            option = self._next()
            if option is not None:
                self._take(option)
            else:
                # All that could do anything sleeps.
                self._steps += 1
                world.now += NAPS[0]
        world.calm()
        looks = 0
        while looks < LOOKS * len(world.workers) or not self._at_rest():
            if self._steps > STORM + PATIENCE:
                states = [f"{row.id}: {row.state}" for row in world.ledger.unfinished()]
                raise ViolationError(f"it does not come to rest: {', '.join(states) or 'but nothing is open'}")
            regular = world.options()
            if regular:
                self._take(self._random.choice(regular))
                continue
            looks = looks + 1 if self._wait() else 0
        world.judge.look()
        world.judge.at_rest()
        return self._steps

    def _next(self) -> Option | None:
        world, random = self._world, self._random
        draw = random.random()
        if draw < 0.05 and world.left > 0 and (faults := self._possible_faults()):
            return random.choice(faults)
        regular = world.regular()
        if (draw > 0.97 or not regular) and (rare := list(world.rare())):
            return random.choice(rare)
        return random.choice(regular) if regular else None

    def _possible_faults(self) -> list[Option]:
        """One kind is as likely as another, however many of it could happen."""
        faults = [option for option in self._world.faults() if option.what in self._world.size.faults]
        kinds = sorted({option.what for option in faults})
        if not kinds:
            return []
        kind = What.SLEEP if What.SLEEP in kinds and self._random.random() < 0.3 else self._random.choice(kinds)
        self._world.nap = self._random.choice(NAPS)
        return [option for option in faults if option.what is kind]

    def _wait(self) -> bool:
        """Nothing happens by itself any more. Returns whether all that was left was to look."""
        world = self._world
        rare: Sequence[Option] = list(world.rare())
        waits = [option for option in rare if option.what is not What.LOOK]
        if waits:
            self._take(self._random.choice(waits))
            return False
        world.now += HOLD_SECONDS if all(row.plan.hold for row in world.ledger.unfinished()) else LONG
        self._take(self._random.choice([option for option in rare if option.what is What.LOOK]))
        return True

    def _at_rest(self) -> bool:
        return not self._world.ledger.unfinished()

    def _take(self, option: Option) -> None:
        self._steps += 1
        if self._tell is not None:
            self._tell(option)
        self._world.take(option)
