"""Leading a deployment: one coordinator, under a lease. docs/protocol.md, "Recovery"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from orchestrator.domain.errors import LockstepError
from orchestrator.ports import Deployments, Fleet, Leases, lead_of
from orchestrator.services.coordinator import Coordinator

log = structlog.get_logger()


def lead(
    ledger: Deployments,
    leases: Leases,
    number: int,
    fleet: Callable[[], Fleet],
    coordinator: Callable[..., Coordinator] = Coordinator,
) -> None:
    """Bring a deployment as far as it can go now, unless somebody leads it already."""
    with structlog.contextvars.bound_contextvars(deployment=number), held(leases, lead_of(number)) as known:
        if known is None:
            log.info("led by another worker")
            return
        try:
            coordinator(ledger, fleet(), number, takes_over=known).run()
        except LockstepError as error:
            # The row says how far it came. Whoever looks for deployments that nobody leads goes on from there.
            log.exception("coordination ended", **error.problem.as_dict())


@contextmanager
def held(leases: Leases, name: str) -> Iterator[bool | None]:
    """True with the lease of this name, None where somebody else has it, False where nobody can tell."""
    try:
        lease = leases.take(name)
    except LockstepError as error:
        log.warning("going on without a lease", lease=name, **error.problem.as_dict())
        yield False
        return
    if lease is None:
        yield None
        return
    try:
        yield True
    finally:
        lease.release()
