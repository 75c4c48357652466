"""`orchestrator.ports.Surveyor`: looks at a fleet over SSH and HTTP, and asks its load balancer. docs/audits.md."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from inventory.model import Fleet, Frontend
from orchestrator.adapters.load_balancer import HaproxyLoadBalancer
from orchestrator.domain.audit import coverage as parts
from orchestrator.domain.audit.expectation import INDEX, Expectation
from orchestrator.domain.audit.observation import Answer, Balancer, Observation, Seen
from orchestrator.domain.errors import LockstepError
from workers.audit.asking import Asking
from workers.audit.bounds import attempted, bounded, side_by_side
from workers.audit.disk import Disk
from workers.audit.state import Told, told
from workers.frontend.serving import Served, Site
from workers.frontend.transport import CONNECT_SECONDS, Session, connect

#: Opens the way to a frontend within so many seconds.
OpenSession = Callable[[Frontend, float], Session]


class SshSurveyor:
    """Looks at so many frontends side by side as the fleet says, each within the fleet's limit."""

    def __init__(self, open_session: OpenSession = connect) -> None:
        self._open = open_session

    def survey(self, snapshot: Mapping[str, Any], expectation: Expectation) -> Seen:
        """What was seen. Whatever could not be seen says why in it."""
        fleet = Fleet.model_validate(snapshot)
        acts = [partial(self._frontend, fleet, name, expectation) for name in expectation.rotation]
        observed = side_by_side(acts, fleet.audits.at_once)
        # After the frontends: what they do not serve any more, the address can't have from them.
        return Seen(
            {each.frontend: each for each in observed},
            _balancer(fleet, expectation),
            _address(fleet, expectation),
        )

    def _frontend(self, fleet: Fleet, name: str, expectation: Expectation) -> Observation:
        frontend = fleet.frontend(name)
        if frontend is None:
            return Observation(name, reasons={parts.SHELL: "the inventory had no such frontend"})
        look = _Look(fleet, frontend, expectation, self._open)
        # Side by side: a shell that hangs hides nothing of what is served.
        shell, http = side_by_side([partial(bounded, act, look.left()) for act in (look.shell, look.http)], 2)
        return look.observation(shell, http)


@dataclass(slots=True)
class _Look:
    """One frontend, while it is looked at: its parts fill as they are seen."""

    fleet: Fleet
    frontend: Frontend
    expectation: Expectation
    open_session: OpenSession
    told: Told | None = None
    disk: Disk = field(default_factory=Disk)
    asking: Asking = field(default_factory=Asking)
    surveyed: threading.Event = field(default_factory=threading.Event)
    deadline: float = 0.0

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.fleet.audits.seconds

    def left(self) -> float:
        """Seconds until the frontend's time is over."""
        return self.deadline - time.monotonic()

    def shell(self) -> LockstepError | None:
        """What its script says, and what lies on its disk. Returns why the state was not seen.

        Raises `LockstepError` where nobody could log in.
        """
        try:
            return self._logged_in()
        finally:
            self.surveyed.set()

    def _logged_in(self) -> LockstepError | None:
        # A connection of its own: those that are kept belong to deployments, and end with them.
        limit = min(self.left(), CONNECT_SECONDS)
        with contextlib.closing(self.open_session(self.frontend, limit)) as session:
            said = attempted(partial(told, session, self.expectation.place, self.left()))
            if isinstance(said, Told):
                self.told = said
            self.surveyed.set()
            trees = [*self.expectation.listed_trees(), INDEX]
            self.disk.inspect(session, trees, deep=self.expectation.deep, deadline=self.deadline)
        return said if isinstance(said, LockstepError) else None

    def http(self) -> None:
        """What its web server answers."""
        with Served(self.fleet, self.frontend, self.left()) as site:
            self.asking.ask_health(site)
            self.asking.ask(site, self.expectation.asks.get(self.frontend.name, ()), self.expectation.name)
            # Last, when the mark has been left, or could not be.
            if self.surveyed.wait(max(0.0, self.left())) and self.told is not None and self.told.marked:
                self.asking.ask(site, (self.expectation.marking(),), None)

    def observation(self, shell: LockstepError | None, http: LockstepError | None) -> Observation:
        """What was seen so far. Copies: whoever is late may still be writing."""
        said = self.told
        return Observation(
            self.frontend.name,
            state=None if said is None else said.state,
            trees=dict(self.disk.trees),
            answers=self.asking.so_far(),
            health=self.asking.health,
            recipe=None if said is None else said.recipe,
            recipe_wanted="" if said is None else said.recipe_wanted,
            hashed=(self.disk.files, self.disk.bytes),
            reasons=dict(self._reasons(shell, http)),
        )

    def _reasons(self, shell: LockstepError | None, http: LockstepError | None) -> Iterator[tuple[str, str]]:
        yield from tuple(self.disk.reasons.items())
        if shell is not None:
            yield parts.SHELL, _words(shell)
        if http is not None:
            yield parts.HTTP, _words(http)
        elif self.asking.reason:
            yield parts.HTTP, self.asking.reason


def _balancer(fleet: Fleet, expectation: Expectation) -> Balancer | None:
    if fleet.load_balancer is None:
        return None
    balancer = HaproxyLoadBalancer(fleet.load_balancer)
    sends = attempted(lambda: balancer.rotation(expectation.rotation))
    return Balancer(reason=_words(sends)) if isinstance(sends, LockstepError) else Balancer(sends)


def _address(fleet: Fleet, expectation: Expectation) -> Mapping[str, Answer]:
    """What the public address answers a client that was never there."""
    if fleet.url is None or not expectation.address:
        return {}
    asking, seconds = Asking(), fleet.audits.seconds

    def ask() -> None:
        with Site("the public address", str(fleet.url).rstrip("/"), seconds) as site:
            asking.ask(site, expectation.address, None)

    failed = bounded(ask, seconds)
    if failed is None:
        return asking.so_far()
    silent = Answer(failure=_words(failed))
    return {ask.key: silent for ask in expectation.address} | dict(asking.so_far())


def _words(error: LockstepError) -> str:
    """Why, on one line."""
    problem = error.problem
    return f"{problem.what}: {problem.found}" if problem.found else problem.what
