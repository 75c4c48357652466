"""What a request is about, found and allowed: a fleet, a deployment."""

from __future__ import annotations

from inventory.model import Fleet
from orchestrator.api import asking
from orchestrator.api.problems import NotFoundError
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.access import EVERYWHERE, Permission, Principal
from orchestrator.domain.deployment import Deployment
from orchestrator.services.access import environment_of, require


def fleet_for(lockstep: Lockstep, who: Principal, permission: Permission, environment: str, name: str) -> Fleet:
    """The fleet, for somebody who may do that there. Whoever may not is not told whether it exists."""
    require(who, permission, environment)
    inventory = lockstep.inventory()
    asking.environment_of(inventory, environment)
    return asking.fleet_of(inventory, f"{environment}/{name}")


def deployment_for(lockstep: Lockstep, who: Principal, permission: Permission, number: int) -> Deployment:
    """The deployment, for somebody who may do that in its environment."""
    require(who, permission)
    found = lockstep.ledger.deployment(number)
    if found is None:
        raise NotFoundError(f"there is no deployment {number}")
    require(who, permission, environment_of(found.plan.fleet))
    return found


def readable(who: Principal) -> list[str] | None:
    """The environments that somebody may read; None where it is all of them, also those that are gone."""
    if who.may(Permission.READ, EVERYWHERE):
        return None
    return sorted({grant.environment for grant in who.grants if who.may(Permission.READ, grant.environment)})
