"""Deployments carried out by the service on the simulated fleet."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.domain.deployment import Deployment
from orchestrator.domain.effects import Ask
from orchestrator.ports import Deployments
from orchestrator.services.coordinator import Coordinator, Inbox
from tests.protocol.simulation.fleet import Fate, SimulatedFleet, at_once, obeyed
from tests.protocol.simulation.frontend import SimulatedFrontend
from tests.protocol.simulation.plans import names, plan


class Site:
    """A ledger and a fleet, and a way to have deployments coordinated one after the other."""

    def __init__(self, ledger: Deployments, count: int) -> None:
        self.ledger = ledger
        self.frontends = {name: SimulatedFrontend(name) for name in names(count)}
        self.number = 0
        self.fleet: SimulatedFleet | None = None

    def plan(self, *, hold: bool = False) -> Deployment:
        """Plan the next deployment."""
        row = self.ledger.plan(plan(len(self.frontends), hold=hold))
        self.number = row.id
        return row

    def coordinate(
        self,
        fate: Callable[[Ask], Fate] = obeyed,
        post: Callable[[Callable[[], None]], object] = at_once,
    ) -> Deployment:
        """Have the newest deployment coordinated until it rests."""
        self.fleet = SimulatedFleet(self.ledger, self.row, self.frontends, fate, post)
        Coordinator(self.ledger, self.fleet, self.number, inbox=Inbox(0.01)).run()
        return self.row

    @property
    def row(self) -> Deployment:
        """The newest deployment's row."""
        row = self.ledger.deployment(self.number)
        assert row is not None
        return row

    @property
    def serving(self) -> set[int]:
        """The epochs that the frontends serve."""
        return {frontend.current.epoch for frontend in self.frontends.values()}

    def asked(self, ask: Callable[[Ask], bool]) -> list[Ask]:
        """What the last coordinator asked, if it is what is looked for."""
        assert self.fleet is not None
        return [each for each in self.fleet.asked if ask(each)]
