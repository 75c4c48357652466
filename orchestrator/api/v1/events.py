"""What happens, as it happens: server-sent events from the trail."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from orchestrator.adapters.ledger.queries import MAX_NUMBER
from orchestrator.api.asking import Parts, Who
from orchestrator.api.v1.answers import ANYWHERE
from orchestrator.api.v1.feed import Feed
from orchestrator.api.v1.parameters import OnlyFleet
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.access import EVERYWHERE, Permission, Principal
from orchestrator.domain.errors import ForbiddenError, LockstepError, UnauthenticatedError
from orchestrator.domain.trail import Entry
from orchestrator.services.access import environment_of, require
from orchestrator.services.views import entry_view

router = APIRouter(tags=["events"], responses=ANYWHERE)

#: How often it is looked whether a stream's token is still valid, in seconds.
TOKEN_SECONDS = 3.0


@dataclass(slots=True)
class Listener:
    """Who listens, to what, and how far they are."""

    lockstep: Lockstep
    feed: Feed
    who: Principal
    token: str
    fleet: str | None
    deployment: int | None
    position: int

    def hears(self, entry: Entry) -> bool:
        """Whether an entry was asked for, and may be read."""
        action = entry.action
        return (
            (self.fleet is None or action.fleet == self.fleet)
            and (self.deployment is None or action.deployment == self.deployment)
            and may_read(self.who, entry)
        )

    async def admitted(self) -> bool:
        """Whether the token is still valid. What it allows is what it allows now."""
        try:
            self.who = await run_sync(self.lockstep.access.authenticate, self.token)
            require(self.who, Permission.READ)
        except (UnauthenticatedError, ForbiddenError):
            return False
        except LockstepError:
            # The ledger can't say now. Nothing new can be read from it either.
            return True
        return True


def may_read(who: Principal, entry: Entry) -> bool:
    """Whoever may read the environment; releases are everybody's; what has neither is for administrators."""
    action = entry.action
    if action.fleet:
        return who.may(Permission.READ, environment_of(action.fleet))
    environment = action.detail.get("environment")
    if action.name.startswith("build.") and isinstance(environment, str):
        return who.may(Permission.READ, environment)
    if action.name.startswith("release."):
        return who.may(Permission.READ)
    return who.may(Permission.ADMINISTER, EVERYWHERE)


async def listener(
    request: Request,
    lockstep: Parts,
    who: Who,
    fleet: OnlyFleet = None,
    deployment: Annotated[
        int | None, Query(ge=1, le=MAX_NUMBER, description="Only this deployment's, by its number.")
    ] = None,
    after: Annotated[
        int | None, Query(ge=0, le=MAX_NUMBER, description="Begin behind this entry. Last-Event-ID goes before it.")
    ] = None,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=MAX_NUMBER, description="The number of the last entry that was seen.")
    ] = None,
) -> AsyncIterator[Listener]:
    """Somebody who may listen; `BusyError` where too many do."""
    require(who, Permission.READ, None if fleet is None else environment_of(fleet))
    feed: Feed = request.app.state.feed
    token = request.headers["authorization"].partition(" ")[2].strip()
    async with feed.joined():
        position = after if last_event_id is None else last_event_id
        if position is None:
            position = await feed.newest()
        yield Listener(lockstep, feed, who, token, fleet, deployment, position)


@router.get("/events", summary="What happens, as it happens", response_class=EventSourceResponse)
async def listen(listening: Annotated[Listener, Depends(listener)]) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `id` is the entry's number, `event` its action, `data` the entry.

    From now on, or from behind `Last-Event-ID` or `after`, without a gap. It ends when the token is no longer valid.
    """
    # An id without data: who loses the connection before the first event comes back to this place.
    yield ServerSentEvent(comment="listening", id=str(listening.position))
    looked = time.monotonic()
    while True:
        for entry in await listening.feed.after(listening.position, TOKEN_SECONDS):
            listening.position = entry.number
            if listening.hears(entry):
                yield _event(entry)
        if time.monotonic() - looked >= TOKEN_SECONDS:
            looked = time.monotonic()
            if not await listening.admitted():
                return


def _event(entry: Entry) -> ServerSentEvent:
    view: dict[str, Any] = entry_view(entry)
    return ServerSentEvent(data=view, event=entry.action.name, id=str(entry.number))
