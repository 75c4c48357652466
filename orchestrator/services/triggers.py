"""Hooks in: a delivery deploys what its template makes of it, once (docs/hooks.md, "A hook in")."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from inventory import hooks
from inventory.model import Fleet
from orchestrator.domain.deployment import Deployment, Plan
from orchestrator.domain.errors import ConflictError, LockstepError, UnansweredError
from orchestrator.domain.trigger import Claim, Trigger
from orchestrator.ports import Triggers
from orchestrator.services.deployments import Deploying, Schedule, last_committed
from orchestrator.services.versions import document, versions
from orchestrator.services.views import deployment_view

log = structlog.get_logger()

#: How long the same delivery waits for the answer of the one that came first, in seconds, and between two looks.
PATIENCE = 10.0
PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender is told: 202 and the deployment, or 200 where there was nothing to do."""

    status: int
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Firing:
    """Taking deliveries in. `pause` waits for so many seconds."""

    triggers: Triggers
    deploying: Deploying
    pause: Callable[[float], None] = time.sleep

    def fire(self, hook: hooks.Trigger, fleet: Fleet, delivery: str, body: bytes) -> Answer:
        """Deploy what the hook's templates make of the body. The same delivery again: the same answer, nothing more.

        Raises:
            UsageError: The body is not what the templates need, or names a release that does not exist.
            ConflictError: The fleet is held, or the delivery's id was used for another body. Nothing was claimed: the
                same delivery may come again.
            UnansweredError: Nobody knows whether the delivery has deployed.
        """
        digest = hashlib.sha256(body).hexdigest()
        actor = actor_of(hook)
        known = self.triggers.trigger(actor, delivery)
        if known is not None:
            return self._again(known, digest, fleet)
        changes = versions(hook.apps, document(body))
        schedule = Schedule(hold=hook.hold)
        plan = self.deploying.plan(fleet, changes, schedule, actor)
        open_one = self.deploying.ledger.open_deployment(fleet.key)
        if open_one is not None:
            # Perhaps by the same delivery, which was claimed before it deployed.
            known = self.triggers.trigger(actor, delivery)
            if known is None:
                raise held(fleet, open_one)
            return self._again(known, digest, fleet)
        answer = self._nothing_to_do(plan)
        claimed = self.triggers.claim(
            Claim(
                actor,
                delivery,
                {"digest": digest, "changes": changes},
                fleet.key,
                {"changes": changes, "nothing_to_do": answer is not None},
                None if answer is None else _kept(answer),
            )
        )
        if claimed is None:
            return self._again(self.triggers.trigger(actor, delivery), digest, fleet)
        return answer or self._deploy(claimed, fleet, changes, schedule, actor)

    def _deploy(
        self, claimed: Trigger, fleet: Fleet, changes: Mapping[str, str], schedule: Schedule, actor: str
    ) -> Answer:
        try:
            deployment = self.deploying.deploy(fleet, changes, schedule, actor)
        except UnansweredError:
            # It may have been written. The claim stays, so that the same delivery does not deploy once more.
            raise
        except LockstepError as error:
            self.triggers.release(claimed.id, fleet.key, error.problem.as_dict())
            raise
        answer = Answer(202, deployment_view(deployment))
        try:
            self.triggers.end(claimed.id, _kept(answer), deployment.id)
        except LockstepError as error:
            # It runs, and that is the answer. The same delivery again is told that nobody knows.
            log.warning("the answer to a delivery could not be kept", hook=actor, **error.problem.as_dict())
        return answer

    def _age(self, known: Trigger) -> float:
        return (self.deploying.clock() - known.created_at).total_seconds()

    def _again(self, known: Trigger | None, digest: str, fleet: Fleet) -> Answer:
        """The answer of the delivery that came first, which may still be at work."""
        waited = 0.0
        # One that was taken long ago is at work no more: nobody waits for it, and holds a thread that others need.
        while known is not None and known.result is None and max(waited, self._age(known)) < PATIENCE:
            self.pause(PAUSE)
            waited += PAUSE
            known = self.triggers.trigger(known.hook, known.name)
        if known is None:
            raise ConflictError(
                "the same delivery was refused a moment ago", where=fleet.key, remedy="send it again in a while"
            )
        if known.request["digest"] != digest:
            raise ConflictError(
                "another delivery had the same id",
                where="webhook-id",
                expected="the same body as then, or an id of its own",
                remedy="give each delivery its own id, and repeat it only with the same body",
            )
        if known.result is None:
            raise UnansweredError(
                "this delivery was taken, but nobody knows whether it has deployed: Lockstep was interrupted",
                where=fleet.key,
                found=f"taken {known.created_at.isoformat(timespec='seconds')}",
                remedy=f"see: lockstep history {fleet.key}; if it has not, send it under another id",
            )
        return Answer(known.result["status"], known.result["content"])

    def _nothing_to_do(self, plan: Plan) -> Answer | None:
        if not serves(self.deploying, plan):
            return None
        said = f"{plan.fleet} serves it already"
        return Answer(200, {"fleet": plan.fleet, "changes": dict(plan.changes), "nothing_to_do": said})


def actor_of(hook: hooks.Trigger | hooks.Zone) -> str:
    """Who acts, for records: no other principal has a colon in its name."""
    return f"{'zone' if isinstance(hook, hooks.Zone) else 'hook'}:{hook.name}"


def serves(deploying: Deploying, plan: Plan) -> bool:
    """Whether the fleet serves already what was planned: the same versions, the same content, at the same places."""
    present = last_committed(deploying.ledger, plan.fleet)
    if present is None:
        return False
    before, after = (
        {(each.app, each.mount, each.version, each.digest) for each in placements}
        for placements in (present.plan.placements, plan.placements)
    )
    return before == after


def held(fleet: Fleet, by: Deployment) -> ConflictError:
    """Why nothing else may move the fleet now."""
    return ConflictError(
        f"{fleet.key} is held by deployment {by.id}",
        expected="no open deployment",
        found=f"state {by.state}, by {by.plan.actor}",
        remedy="send it again when that has ended",
    )


def _kept(answer: Answer) -> dict[str, Any]:
    return {"status": answer.status, "content": dict(answer.content)}
