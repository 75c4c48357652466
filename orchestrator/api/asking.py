"""Who asks, and what a request may use: the dependencies of every endpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from inventory.model import Environment, Fleet, Inventory
from orchestrator.adapters.inventory import select_fleet
from orchestrator.api.addresses import counted_as
from orchestrator.api.problems import NotFoundError, TooManyError
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.access import Permission, Principal
from orchestrator.domain.errors import UnauthenticatedError, UsageError
from orchestrator.services.access import require

#: Failed attempts of one client address in a minute, after which it has to wait.
MOST_FAILURES = 10

T = TypeVar("T")


class Authenticator:
    """Tells who asks, and makes those wait who fail too often. In memory: every server counts for itself."""

    def __init__(self, lockstep: Lockstep, most: int = MOST_FAILURES) -> None:
        self._lockstep = lockstep
        self._limit = RateLimitItemPerMinute(most)
        self._failures = MovingWindowRateLimiter(MemoryStorage())

    def admit(self, address: str, token: str) -> Principal:
        """The principal; `UnauthenticatedError`, or `TooManyError` before the token is looked at at all."""
        return self.guard(address, lambda: self._lockstep.access.authenticate(token))

    def guard(self, address: str, authenticate: Callable[[], T]) -> T:
        """What `authenticate` says, where the address has not failed too often; else as `admit`."""
        if not self._failures.test(self._limit, address):
            when = self._failures.get_window_stats(self._limit, address).reset_time
            raise TooManyError(max(1, round(when - time.time())))
        try:
            return authenticate()
        except UnauthenticatedError:
            self._failures.hit(self._limit, address)
            raise


def lockstep_of(request: Request) -> Lockstep:
    """The parts, wired."""
    lockstep: Lockstep = request.app.state.lockstep
    return lockstep


def address_of(request: Request) -> str:
    """Where the request comes from, as the limits count it; "" where nobody knows."""
    return counted_as(request.client.host if request.client else "")


def principal_of(
    request: Request,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
) -> Principal:
    """Who asks, by the bearer token."""
    authenticator: Authenticator = request.app.state.authenticator
    if given is None:
        raise UnauthenticatedError(
            "the request has no token", expected="a header Authorization: Bearer TOKEN", remedy="lockstep token issue"
        )
    return authenticator.admit(address_of(request), given.credentials)


Parts = Annotated[Lockstep, Depends(lockstep_of)]
Who = Annotated[Principal, Depends(principal_of)]


def allowed(permission: Permission) -> Callable[[Principal], Principal]:
    """A dependency: somebody who may do it in some environment at least."""

    def check(who: Who) -> Principal:
        require(who, permission)
        return who

    return check


def environment_of(inventory: Inventory, name: str) -> Environment:
    """The environment of that name; `NotFoundError` where there is none."""
    found = inventory.environment(name)
    if found is None:
        known = ", ".join(each.name for each in inventory.environments)
        raise NotFoundError(f"there is no environment {name[:80]}", expected=f"one of {known}" if known else "")
    return found


def fleet_of(inventory: Inventory, key: str) -> Fleet:
    """The fleet of that name; `NotFoundError` where there is none."""
    try:
        return select_fleet(inventory, key)
    except UsageError as error:
        raise NotFoundError(**error.problem.as_dict()) from error
