"""Carrying plans out: start, continue, abort, and where a plan stands. A plan becomes one deployment, once.

`start` says in the ledger that the plan is started before it asks for a deployment, so that of several who start it
one does; then it binds the deployment to the plan. Whoever dies in between leaves a started plan without a deployment.
Whoever looks at that plan next finds its deployment by what it is, or, when its time is over, says that there is none
(docs/lifetime.md, "When a server dies").
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from inventory.model import Fleet
from orchestrator.domain.access import Permission
from orchestrator.domain.deployment import Deployment, Kind, State
from orchestrator.domain.errors import ConflictError, LockstepError, Problem, UnansweredError, UsageError
from orchestrator.domain.lifetime.plan import DeploymentPlan, ImpossibleError, Standing, standing
from orchestrator.ports import LifetimePlans
from orchestrator.services.access import environment_of, require, require_continue
from orchestrator.services.deployments import Deploying, Schedule
from orchestrator.services.lifetime.infrastructure import Infrastructure
from orchestrator.services.lifetime.planning import Planning, started

log = structlog.get_logger()

#: How many of a fleet's newest deployments a plan's is looked for among.
LOOK_BACK = 50


@dataclass(frozen=True, slots=True)
class Following:
    """Where plans stand."""

    planning: Planning

    @property
    def _plans(self) -> LifetimePlans:
        return self.planning.plans

    @property
    def _here(self) -> Infrastructure:
        return self.planning.infrastructure

    def standing(self, key: str) -> Standing:
        """Where a plan stands. `UnknownKeyError` where there is none."""
        plan = self.settled(self.planning.plan(key))
        deployment = self.deployment(plan)
        reports = () if deployment is None else [each for _, each in self._here.ledger.reports(deployment.id)]
        return standing(plan, deployment, reports)

    def deployment(self, plan: DeploymentPlan) -> Deployment | None:
        """What the plan became."""
        return None if plan.deployment is None else self._here.ledger.deployment(plan.deployment)

    def settled(self, plan: DeploymentPlan) -> DeploymentPlan:
        """The plan, once more: where whoever started it is gone, what came of it is found out and written down."""
        if not plan.lost(self.planning.clock()):
            return plan
        if self.adopt(plan) is None:
            gone = Problem(
                "the server that started the plan ended before there was a deployment: nothing was changed",
                remedy="make a new plan and start it",
            )
            self._plans.fail_plan(plan, gone.as_dict())
        return self.planning.plan(plan.key)

    def adopt(self, plan: DeploymentPlan) -> Deployment | None:
        """Find the deployment of a started plan that knows of none, and bind it.

        It is the one of this fleet, by whoever started the plan, since then, of the same changes. A fleet has one open
        deployment at a time, so where there are several such, each is a plan's of its own.
        """
        for deployment in reversed(self._here.ledger.history(plan.fleet, LOOK_BACK)):
            same = (deployment.plan.kind, deployment.plan.actor, dict(deployment.plan.changes))
            if (
                same == (Kind.DEPLOY, plan.started_by, plan.changes)
                and plan.started_at is not None
                and deployment.created_at >= plan.started_at
                and self._plans.bind_plan(plan, deployment.id)
            ):
                return deployment
        return None


@dataclass(frozen=True, slots=True)
class Executing:
    """Starting, continuing and aborting what plans become."""

    following: Following
    deploying: Deploying

    @property
    def _here(self) -> Infrastructure:
        return self.following.planning.infrastructure

    @property
    def _actor(self) -> str:
        return self._here.who.name

    def start(self, key: str) -> None:
        """Deploy what a saved plan says. It is `running` when this returns, and saved as before where this was refused.

        Raises:
            ImpossibleError: The plan is not saved.
            ConflictError: Its fleet is held, or something has to be confirmed first.
            UnansweredError: Nobody knows whether it runs: its status will tell.
        """
        plan = self.following.settled(self.following.planning.plan(key))
        require(self._here.who, Permission.DEPLOY, plan.target)
        if not plan.saved:
            raise started(plan)
        fleet, hold = self._fleet(plan), self._two_step(plan)
        self._refuse_held(fleet)
        plans = self.following.planning.plans
        begun = plans.start_plan(plan, self._actor)
        if begun is None:
            raise self._overtaken(self.following.planning.plan(key))
        try:
            deployment = self.deploying.deploy(fleet, plan.changes, Schedule(hold=hold), self._actor)
        except ConflictError as error:
            # Nothing was planned: what holds the fleet is somebody else's, however much it looks like this plan's.
            plans.unstart_plan(begun, error.problem.as_dict())
            raise
        except LockstepError as error:
            # It may be in the ledger all the same: what the broker did not take is there, as aborted.
            if self.following.adopt(begun) is None and not isinstance(error, UnansweredError):
                plans.unstart_plan(begun, error.problem.as_dict())
            raise
        try:
            bound = plans.bind_plan(begun, deployment.id)
        except LockstepError as error:
            # It runs. Whoever asks for the plan's status finds it.
            log.warning("a plan's deployment could not be noted", plan=key, **error.problem.as_dict())
            return
        if not bound:
            self._undo(begun, deployment)

    def proceed(self, key: str) -> None:
        """Let a held deployment go on, or have one carried on whose frontends have not all answered.

        `ImpossibleError` where there is nothing to continue; `ConflictError` while it is not held; `ForbiddenError`
        also where four eyes are asked for, and these are the same.
        """
        plan = self.following.settled(self.following.planning.plan(key))
        require(self._here.who, Permission.CONTINUE, plan.target)
        deployment = self._open(plan, "continued")
        require_continue(self._here.who, deployment)
        self.deploying.proceed(deployment.id, self._actor)

    def abort(self, key: str) -> None:
        """End it, nothing changed. `ImpossibleError` where nothing runs, `ConflictError` where it was committed."""
        plan = self.following.settled(self.following.planning.plan(key))
        require(self._here.who, Permission.ABORT, plan.target)
        deployment = self._open(plan, "aborted")
        require(self._here.who, Permission.ABORT, environment_of(deployment.plan.fleet))
        self.deploying.abort(deployment.id, self._actor)
        self.following.planning.plans.note_abort(plan, self._actor)

    # ── below ──

    @staticmethod
    def _overtaken(plan: DeploymentPlan) -> ImpossibleError:
        """Somebody started it, or changed it, at the same moment."""
        if not plan.saved:
            return started(plan)
        return ImpossibleError("the plan was changed at this moment", remedy="look at it, then start it again")

    def _fleet(self, plan: DeploymentPlan) -> Fleet:
        fleet = next((each for each in self._here.inventory.fleets if each.key == plan.fleet), None)
        if fleet is None:
            raise UsageError(f"the inventory has no fleet {plan.fleet} any more", remedy="make a new plan")
        return fleet

    def _two_step(self, plan: DeploymentPlan) -> bool:
        environment = self._here.inventory.environment(plan.target)
        return environment is not None and environment.two_step

    def _refuse_held(self, fleet: Fleet) -> None:
        holder = self._here.ledger.open_deployment(fleet.key)
        if holder is not None:
            raise ImpossibleError(
                f"deployment {holder.id} of {fleet.key} is open",
                expected="no open deployment of the fleet",
                found=f"{holder.state}, by {holder.plan.actor}, since {holder.created_at:%Y-%m-%d %H:%M:%S} UTC",
                remedy="start the plan again when that one has ended: until then it stays saved",
            )

    def _open(self, plan: DeploymentPlan, word: str) -> Deployment:
        """The deployment of a plan that runs."""
        deployment = self.following.deployment(plan)
        if deployment is None or deployment.state.ended:
            found = "saved" if plan.saved else "no deployment" if deployment is None else str(deployment.state)
            raise ImpossibleError(
                f"a deployment that does not run can't be {word}",
                expected="status running or needs_user_intervention",
                found=found,
                remedy="delete it" if plan.saved else "make a new one",
            )
        return deployment

    def _undo(self, plan: DeploymentPlan, deployment: Deployment) -> None:
        """Somebody who looked at the plan found its deployment first, or found that too much time had passed."""
        if self.following.planning.plan(plan.key).deployment == deployment.id:
            return
        if deployment.state is not State.ABORTED:
            self.deploying.abort(deployment.id, self._actor)
        raise LockstepError(
            "starting the plan took too long: its deployment was aborted, nothing was changed",
            remedy="make a new plan and start it",
        )
