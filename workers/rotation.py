"""Taking a frontend out of rotation, and letting it back in: at the load balancer, and in its own health answer.

docs/protocol.md, "Rotation". The frontend's own mark carries the drain's number, so a late word of an earlier drain
changes nothing there. A load balancer has no such check: where there is one it decides, and the mark is there as well.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from inventory.model import Fleet, Frontend
from orchestrator.adapters.load_balancer import HaproxyLoadBalancer
from orchestrator.domain.activation import ActivationName
from orchestrator.domain.errors import LockstepError, UnansweredError
from workers.frontend.commands import Drain, Readmit
from workers.frontend.serving import Served
from workers.frontend.transport import SHORT_SECONDS, Session

log = structlog.get_logger()

#: How long a load balancer's health checks have to find a readmitted frontend well, in seconds.
UP_SECONDS = 30.0

#: Opens the way to the frontend that is meant.
OpenSession = Callable[[], Session]


def take_out(fleet: Fleet, frontend: Frontend, name: ActivationName, drain: int, session: OpenSession) -> str:
    """Take it out of rotation; returns who confirmed that it is out.

    Raises `LockstepError` where nobody could confirm it: then it may or may not be out.
    """
    if fleet.load_balancer is None:
        _mark(frontend, name, drain, session)
        with Served(fleet, frontend) as served:
            if not served.drained():
                raise UnansweredError(
                    "drained, and its web server still calls itself well",
                    where=frontend.name,
                    expected="503 from /-/lockstep/health",
                    remedy="see that its web server has the recipe and serves the root that the inventory names",
                )
        return "its health answer"
    by = HaproxyLoadBalancer(fleet.load_balancer).drain(frontend.name)
    try:
        _mark(frontend, name, drain, session)
    except LockstepError as error:
        # It is out all the same. Most often this is why: it can't be reached.
        log.info("drained without its own mark", frontend=frontend.name, **error.problem.as_dict())
    return by


def let_in(fleet: Fleet, frontend: Frontend, name: ActivationName, drain: int, session: OpenSession) -> str:
    """Let it back into rotation, while it serves `name` and is in no later drain; returns who uses it again."""
    session().ask(Readmit(frontend.root, name, drain), limit=SHORT_SECONDS)
    if fleet.load_balancer is None:
        with Served(fleet, frontend) as served:
            if served.drained():
                raise UnansweredError(
                    "readmitted, and its web server still calls itself drained",
                    where=frontend.name,
                    expected="200 from /-/lockstep/health",
                    remedy="see that its web server serves the root that the inventory names",
                )
        return "its health answer"
    balancer = HaproxyLoadBalancer(fleet.load_balancer)
    by = balancer.readmit(frontend.name)
    balancer.await_up(frontend.name, UP_SECONDS)
    return by


def still_out(fleet: Fleet, frontend: Frontend) -> bool:
    """See that the load balancer has not forgotten a drain, as one does that was restarted; put it right.

    Returns whether there was something to put right.
    """
    if fleet.load_balancer is None:
        return False
    balancer = HaproxyLoadBalancer(fleet.load_balancer)
    if not balancer.uses(frontend.name):
        return False
    log.warning("the load balancer had forgotten a drain", frontend=frontend.name)
    balancer.drain(frontend.name)
    return True


def use_again(fleet: Fleet, frontend: str) -> None:
    """Have the load balancer use it, as far as its own health answer allows that."""
    if fleet.load_balancer is not None:
        HaproxyLoadBalancer(fleet.load_balancer).readmit(frontend)


def _mark(frontend: Frontend, name: ActivationName, drain: int, session: OpenSession) -> None:
    session().ask(Drain(frontend.root, name, drain), limit=SHORT_SECONDS)
