"""Who of a fleet is in rotation, and taking a frontend out of it. Bringing one back is a deployment of its own kind."""

from __future__ import annotations

from dataclasses import dataclass, replace

from inventory.model import Fleet
from orchestrator.domain.deployment import Decision, Deployment, Kind
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
        held = self.ledger.open_deployment(fleet.key)
        # Whoever readmits it just now must not succeed after this.
        anew = held is not None and held.plan.kind is Kind.READMIT and frontend in held.plan.frontends
        drain = self.ledger.add_drain(
            fleet.key,
            frontend,
            fleet.model_dump(mode="json"),
            actor,
            reason,
            remaining={frontend, *present.serving},
            anew=anew,
        )
        if not drain.confirmed:
            # Why it could not be confirmed the last time says nothing of this time.
            self.ledger.doubt_drain(drain.number, {})
            self.dispatch.drain(drain.number)
        return replace(drain, problem={})


def in_force(ledger: Deployments, number: int) -> Drain | None:
    """The drain, unless it has ended, or an open readmission is about to end it.

    That one knows what its frontend needs: the load balancer may use the frontend already, and is right.
    """
    # Read in this order: a readmission that ends in between has lifted the drain.
    readmits = _readmits(ledger, number)
    standing = ledger.drain(number)
    return None if standing is None or standing.lifted_at is not None or readmits is not None else standing


def let_back(ledger: Deployments, number: int) -> bool:
    """Whether a drain's frontend is to be used again: for whoever took it out late and had the last word.

    That is where the drain was lifted, or a committed readmission lifts it now; and where no later drain stands.
    """
    drain = ledger.drain(number)
    readmits = _readmits(ledger, number)
    if drain is None or (drain.lifted_at is None and (readmits is None or readmits.decision is not Decision.COMMIT)):
        return False
    return all(other.frontend != drain.frontend or other.number <= number for other in ledger.drains(drain.fleet))


def _readmits(ledger: Deployments, number: int) -> Deployment | None:
    """The open readmission that ends this drain."""
    return next((row for row in ledger.unfinished() if number in row.plan.readmits.values()), None)


def known_frontend(fleet: Fleet, name: str) -> None:
    """`UsageError` where the fleet has no frontend of that name."""
    if fleet.frontend(name) is None:
        known = ", ".join(frontend.name for frontend in fleet.frontends)
        raise UsageError(f"{fleet.key} has no frontend {name}", expected=f"one of {known}", found=name)
