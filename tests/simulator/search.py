"""Every order of everything that can happen in a small world.

Greenlets can't be copied, so a state is reached again by taking the same way from the start; a state that was seen
before, by whatever way, is not gone on from.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from orchestrator.ports import lead_of
from orchestrator.services.deployments import Deploying, Schedule
from tests.protocol.simulation.laws import ViolationError, expect
from tests.simulator.releases import APP, NO_BUILDS, VERSIONS
from tests.simulator.rules import Rules
from tests.simulator.world import Option, Size, What, World

#: A way: which of the options was taken, each time.
Way = list[int]


@dataclass
class Found:
    """The figures of a search: different states, ways that were gone, and worlds that came to their end."""

    states: int = 0
    ways: int = 0
    ends: int = 0


def search_deployment(frontends: int, fault: What, rules: Rules | None = None) -> Found:
    """One deployment, and one thing that goes wrong, at any moment."""
    size = Size(frontends, faults=frozenset({fault}), budget=1, rules=rules or Rules(), compared=True)
    return search(lambda: deployed(size), at_rest)


def search(make: Callable[[], World], check: Callable[[World], None]) -> Found:
    """Take every option in every state; `check` looks at each end. Raises `ViolationError` with the way to it."""
    found, known = Found(), set[Hashable]()
    waiting: list[Way] = [[]]
    while waiting:
        way = waiting.pop()
        world = make()
        found.ways += 1
        told: list[str] = []
        try:
            for place in way:
                _take(world, options(world)[place], told)
            _go_on(world, way, known, waiting, found, told, check)
        except ViolationError as error:
            raise ViolationError(f"{error}\n  after: " + "\n         ".join(told)) from error
        finally:
            world.end()
    found.states = len(known)
    return found


def _go_on(
    world: World,
    way: Way,
    known: set[Hashable],
    waiting: list[Way],
    found: Found,
    told: list[str],
    check: Callable[[World], None],
) -> None:
    """To an end, or to a state that is known."""
    while True:
        state = world.state
        if state in known:
            return
        known.add(state)
        choices = options(world)
        if not choices:
            found.ends += 1
            check(world)
            return
        waiting += [[*way, place] for place in range(1, len(choices))]
        way = [*way, 0]
        _take(world, choices[0], told)


def _take(world: World, option: Option, told: list[str]) -> None:
    told.append(str(option))
    world.take(option)


def options(world: World) -> list[Option]:
    """What can happen next. A lookout looks in one go, where nobody leads, or will, and there is something to be led.

    Somebody whose lease has lapsed leads, and does not count.
    """
    choices = world.options()
    row = world.ledger.open_deployment(world.fleet.key)
    alive = [worker for worker in world.workers if worker.process.alive]
    leading = sum(worker.leads for worker in alive) + len(world.broker.messages) - world.lapsed
    if row is not None and leading <= 0 and lead_of(row.id) not in world.broker.leases:
        choices.append(Option(What.FIND, min(alive, key=lambda worker: len(worker.process.actors))))
    return choices


def deployed(size: Size) -> World:
    """A world in which somebody has just asked for a deployment."""
    world = World(size)
    deploying = Deploying(world.ledger_of(), world.artifacts, world.dispatch(), world.clock, NO_BUILDS)
    world.operator("ann", lambda process: deploying.deploy(world.fleet, {APP: VERSIONS[0]}, Schedule(), "ann"))
    (ann,) = world.operators
    while not ann.idle:
        world.resume(ann.actors[0])
    return world


def at_rest(world: World) -> None:
    """What must hold at every end."""
    rows = world.ledger.history(None, 1000)
    expect(all(row.state.ended for row in rows), "an end, and a deployment is open")
    serving = {frontend.current for frontend in world.frontends.values()}
    expect(len(serving) == 1, f"an end, and the frontends serve {serving} (G3)")
    armed = [frontend.name for frontend in world.frontends.values() if frontend.armed]
    expect(not armed, f"an end, and {armed} are armed")
