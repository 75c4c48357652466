"""Wires the parts together, each made when it is first asked for. Importing this module does nothing.

What moves fleets is imported here; the rest where it is made, so that `lockstep deploy` need not wait for it (0.15 s).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from inventory.model import Inventory
from orchestrator.adapters.artifacts import DirectoryArtifacts
from orchestrator.adapters.inventory import load_inventory
from orchestrator.adapters.kept import Kept
from orchestrator.adapters.ledger.builds import SqlBuilds
from orchestrator.adapters.ledger.engine import open_engine, upgrade
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.domain.errors import UsageError
from orchestrator.ports import Clock, Receiver
from orchestrator.services.deployments import Deploying
from orchestrator.services.releases import Releasing
from orchestrator.services.updates import Updating
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from inventory.hooks import Hooks
    from orchestrator.adapters.adoptions import RedisAdoptions
    from orchestrator.adapters.dispatch import CeleryDispatch
    from orchestrator.adapters.lease import RedisLeases
    from orchestrator.adapters.ledger.audits import SqlAudits
    from orchestrator.adapters.ledger.deliveries import SqlDeliveries
    from orchestrator.adapters.ledger.lifetime_plans import SqlLifetimePlans
    from orchestrator.adapters.ledger.requests import SqlRequests
    from orchestrator.adapters.ledger.tokens import SqlTokens
    from orchestrator.adapters.ledger.trail import SqlTrail
    from orchestrator.adapters.ledger.triggers import SqlTriggers
    from orchestrator.adapters.looks import RedisLooks
    from orchestrator.services.access import Access
    from orchestrator.services.adoption import Adopting
    from orchestrator.services.audits.auditing import Auditing
    from orchestrator.services.outbox import Outbox
    from orchestrator.services.triggers import Firing
    from orchestrator.services.zones import Zones


def utc_now() -> datetime:
    """The time of day in UTC."""
    return datetime.now(UTC)


class Lockstep:
    """Everything that a command or a worker needs, for one set of settings."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.read()

    @property
    def clock(self) -> Clock:
        """The machine's clock, for records alone."""
        return utc_now

    @cached_property
    def ledger(self) -> SqlLedger:
        """The ledger, its schema brought up to date."""
        return SqlLedger(self._engine, self.clock)

    @cached_property
    def builds(self) -> SqlBuilds:
        """The installed apps in the field, in the same database."""
        return SqlBuilds(self._engine, self.clock)

    @cached_property
    def tokens(self) -> SqlTokens:
        """The API's tokens, in the same database."""
        from orchestrator.adapters.ledger.tokens import SqlTokens

        return SqlTokens(self._engine, self.clock)

    @cached_property
    def lifetime_plans(self) -> SqlLifetimePlans:
        """The plans of LifeTime's API, in the same database."""
        from orchestrator.adapters.ledger.lifetime_plans import SqlLifetimePlans

        return SqlLifetimePlans(self._engine, self.clock)

    @cached_property
    def requests(self) -> SqlRequests:
        """The requests that have a name, in the same database."""
        from orchestrator.adapters.ledger.requests import SqlRequests

        return SqlRequests(self._engine, self.clock)

    @cached_property
    def trail(self) -> SqlTrail:
        """What changed anything, in the same database."""
        from orchestrator.adapters.ledger.trail import SqlTrail

        return SqlTrail(self._engine, self.clock)

    @cached_property
    def triggers(self) -> SqlTriggers:
        """What hooks in have set off, in the same database."""
        from orchestrator.adapters.ledger.triggers import SqlTriggers

        return SqlTriggers(self._engine, self.clock)

    @cached_property
    def audits(self) -> SqlAudits:
        """Audits and what they found, in the same database."""
        from orchestrator.adapters.ledger.audits import SqlAudits

        return SqlAudits(self._engine, self.clock)

    def inventory(self) -> Inventory:
        """The inventory: an edit counts from the next command or request on. `UsageError` if it is wrong."""
        return self._inventory()

    def hooks(self) -> Hooks:
        """The hooks, likewise; none where there is no such file. `UsageError` if it is wrong."""
        return self._hooks()

    @cached_property
    def _inventory(self) -> Kept[Inventory]:
        return Kept(self.settings.inventory, load_inventory)

    @cached_property
    def _hooks(self) -> Kept[Hooks]:
        from orchestrator.adapters.hooks import load_hooks

        return Kept(self.settings.hooks, load_hooks)

    @cached_property
    def deliveries(self) -> SqlDeliveries:
        """What receivers of events are to be told, in the same database."""
        from orchestrator.adapters.ledger.deliveries import SqlDeliveries

        return SqlDeliveries(self._engine, self.clock)

    @property
    def outbox(self) -> Outbox:
        """Telling them."""
        from orchestrator.services.outbox import Outbox

        return Outbox(self.deliveries, self.trail, self.clock)

    def receivers(self) -> dict[str, Receiver]:
        """The webhooks and notices of the hooks, by their names in the outbox. `UsageError` as `hooks`."""
        hooks = self.hooks()
        found: list[Receiver] = []
        if hooks.webhooks:
            from orchestrator.adapters.webhook import WebhookReceiver

            found += (WebhookReceiver(hook, self.clock) for hook in hooks.webhooks)
        if hooks.notices:
            from orchestrator.adapters.notify import NoticeReceiver

            found += (NoticeReceiver(notice) for notice in hooks.notices)
        return {receiver.name: receiver for receiver in found}

    @property
    def deploying(self) -> Deploying:
        """The use cases of deployments; `UsageError` where no broker is configured."""
        return Deploying(self.ledger, self.artifacts, self.dispatch, self.clock, self.builds)

    @property
    def auditing(self) -> Auditing:
        """The use cases of audits; `UsageError` where no broker is configured."""
        from orchestrator.services.audits.auditing import Auditing

        return Auditing(self.ledger, self.audits, self.dispatch)

    @property
    def firing(self) -> Firing:
        """What hooks in set off; `UsageError` where no broker is configured."""
        # Jinja2 takes a moment that commands need not pay.
        from orchestrator.services.triggers import Firing

        return Firing(self.triggers, self.deploying)

    @property
    def zones(self) -> Zones:
        """What polled zones ask for; `UsageError` where no broker is configured."""
        from orchestrator.adapters.results import FolderResults
        from orchestrator.services.zones import Zones

        return Zones(self.triggers, self.deploying, FolderResults(), self.clock)

    @property
    def releasing(self) -> Releasing:
        """The use cases of releases."""
        return Releasing(self.ledger, self.artifacts, self.clock)

    @property
    def updating(self) -> Updating:
        """Builds in the field, and what plans mean for clients."""
        return Updating(self.ledger, self.artifacts, self.builds, self.clock)

    @property
    def access(self) -> Access:
        """Who may do what."""
        from orchestrator.services.access import Access

        return Access(self.tokens, self.clock)

    @cached_property
    def _engine(self) -> Engine:
        self.settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        engine = open_engine(self.settings.ledger_url)
        upgrade(engine)
        return engine

    @cached_property
    def artifacts(self) -> DirectoryArtifacts:
        """The store of releases' content."""
        return DirectoryArtifacts(self.settings.artifacts)

    @cached_property
    def dispatch(self) -> CeleryDispatch:
        """The way to the workers; `UsageError` where no broker is configured."""
        # Imported where it is needed: Celery and Redis take 0.2 s, which commands that only read need not pay.
        from orchestrator.adapters.dispatch import CeleryDispatch

        return CeleryDispatch(self._broker_url)

    @cached_property
    def looks(self) -> RedisLooks:
        """Looks at frontends' disks; `UsageError` where no broker is configured."""
        from orchestrator.adapters.looks import RedisLooks

        return RedisLooks(self._broker_url, self.dispatch)

    @cached_property
    def adoptions(self) -> RedisAdoptions:
        """Sites of other tools; `UsageError` where no broker is configured."""
        from orchestrator.adapters.adoptions import RedisAdoptions

        return RedisAdoptions(self._broker_url, self.dispatch)

    @property
    def adopting(self) -> Adopting:
        """The use cases of adoptions."""
        from orchestrator.services.adoption import Adopting

        return Adopting(self.releasing, lambda: self.adoptions)

    @cached_property
    def leases(self) -> RedisLeases:
        """Who works on what; `UsageError` where no broker is configured."""
        from orchestrator.adapters.lease import RedisLeases

        return RedisLeases(self._broker_url, self.settings.lease_seconds)

    @property
    def _broker_url(self) -> str:
        if self.settings.broker_url is None:
            raise UsageError(
                "no broker is configured",
                expected="a running `lockstep standalone`, or LOCKSTEP_BROKER_URL",
                found=f"neither, and nothing in {self.settings.broker_note}",
                remedy="start one in another terminal: lockstep standalone",
            )
        return self.settings.broker_url
