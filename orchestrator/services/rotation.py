"""Who of a fleet is in rotation, and taking a frontend out of it. Bringing one back is a deployment of its own kind."""

from __future__ import annotations

from dataclasses import dataclass, replace

from inventory.model import Fleet
from orchestrator.domain.deployment import Kind
from orchestrator.domain.errors import ConflictError, UsageError
from orchestrator.domain.rotation import Drain, Rotation, rotation
from orchestrator.ports import Deployments, Dispatch


def present_rotation(ledger: Deployments, fleet: Fleet) -> Rotation:
    """The fleet's frontends, as the ledger knows them."""
    last = next(iter(ledger.committed(fleet.key, limit=1)), None)
    since = [] if last is None else ledger.readmissions(fleet.key, last.epoch)
    return rotation((frontend.name for frontend in fleet.frontends), last, since, ledger.drains(fleet.key))


@dataclass(frozen=True, slots=True)
class Rotating:
    """Taking frontends out of rotation."""

    ledger: Deployments
    dispatch: Dispatch

    def drain(self, fleet: Fleet, frontend: str, actor: str, reason: str) -> Drain:
        """Have a frontend taken out of rotation. The drain is confirmed later, by whoever did it.

        Raises:
            UsageError: The fleet has no such frontend.
            ConflictError: It is the last one in rotation, or never was in it.
        """
        known_frontend(fleet, frontend)
        present = present_rotation(self.ledger, fleet)
        if frontend in present.new:
            raise ConflictError(
                f"{frontend} was never in rotation", remedy=f"bring it in: lockstep readmit {fleet.key} {frontend}"
            )
        # One that is to go counts as gone: that nobody has confirmed it yet is no promise that it stays.
        leaving = {frontend, *(drain.frontend for drain in self.ledger.drains(fleet.key))}
        if frontend in present.serving and leaving.issuperset(present.serving):
            raise ConflictError(
                f"{frontend} is the last frontend of {fleet.key} in rotation",
                expected="another one that goes on serving",
                remedy="bring another one in first: lockstep readmit",
            )
        held = self.ledger.open_deployment(fleet.key)
        # Whoever readmits it just now must not succeed after this.
        anew = held is not None and held.plan.kind is Kind.READMIT and frontend in held.plan.frontends
        drain = self.ledger.add_drain(fleet.key, frontend, fleet.model_dump(mode="json"), actor, reason, anew=anew)
        if not drain.confirmed:
            # Why it could not be confirmed the last time says nothing of this time.
            self.ledger.doubt_drain(drain.number, {})
            self.dispatch.drain(drain.number)
        return replace(drain, problem={})


def known_frontend(fleet: Fleet, name: str) -> None:
    """`UsageError` where the fleet has no frontend of that name."""
    if fleet.frontend(name) is None:
        known = ", ".join(frontend.name for frontend in fleet.frontends)
        raise UsageError(f"{fleet.key} has no frontend {name}", expected=f"one of {known}", found=name)
