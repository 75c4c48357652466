"""The gates of a deployment: what commands are told, and what the trail keeps of how they ended. docs/gates.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from inventory.model import Fleet, Gate
from orchestrator.domain.deployment import Deployment, Trouble
from orchestrator.domain.effects import GateName
from orchestrator.domain.errors import Problem
from orchestrator.domain.trail import ITSELF, Action
from orchestrator.ports import GateRun, Gates, Trail

log = structlog.get_logger()

#: The longest JSON of the troubles, in bytes: Linux takes 128 KiB in one variable.
LONGEST_TROUBLES = 65_536


class Gatekeeper:
    """Has the gates of one deployment's snapshot run, and keeps what came of it."""

    def __init__(self, gates: Gates, trail: Trail) -> None:
        self._gates = gates
        self._trail = trail

    def open(self, deployment: Deployment, name: GateName, deliver: Callable[[GateRun], None]) -> None:
        """Begin to run the command of a gate that the deployment's fleet has; how it ended comes through `deliver`."""
        fleet = Fleet.model_validate(deployment.plan.snapshot)
        gate: Gate = getattr(fleet.gates, name)
        log.info("gate", gate=str(name), command=gate.command[0], seconds=gate.seconds)
        self._gates.run(name, gate.command, gate.seconds, environment(deployment, fleet, name), deliver)

    def call_off(self, deployment: Deployment) -> None:
        """End the command that runs, if any, and keep that it was ended."""
        run = self._gates.call_off()
        if run is not None:
            self.record(deployment, run)

    def close(self) -> None:
        """End the command that runs, if any: whoever waited for it is gone."""
        self._gates.call_off()

    def record(self, deployment: Deployment, run: GateRun) -> None:
        """Keep how a gate's command ended, in the trail and in the log."""
        detail: dict[str, Any] = {"gate": str(run.name), "seconds": round(run.seconds, 3), "exit": run.exit}
        if run.problem is None:
            action = "gate.passed"
            log.info("gate passed", **detail)
        else:
            action = "gate.refused"
            log.warning("gate refused", **detail, **run.problem.as_dict())
            detail["problem"] = run.problem.as_dict()
        self._trail.add(Action(action, ITSELF, deployment.plan.fleet, deployment.id, detail))


def environment(deployment: Deployment, fleet: Fleet, name: GateName) -> dict[str, str]:
    """What a gate's command is told of its deployment: docs/gates.md, "What a command is told", is the manual."""
    plan = deployment.plan
    urls = {frontend.name: frontend.base_url for frontend in fleet.frontends}
    told = {
        "LOCKSTEP_GATE": str(name),
        "LOCKSTEP_DEPLOYMENT": str(deployment.id),
        "LOCKSTEP_KIND": str(plan.kind),
        "LOCKSTEP_FLEET": fleet.key,
        "LOCKSTEP_ENVIRONMENT": fleet.environment,
        "LOCKSTEP_EPOCH": str(deployment.epoch),
        "LOCKSTEP_ACTIVATION": str(deployment.name),
        "LOCKSTEP_ACTOR": plan.actor.replace("\0", ""),
        "LOCKSTEP_CHANGES": _json(dict(plan.changes)),
        "LOCKSTEP_APPS": _json({p.app: {"version": p.version, "digest": p.digest} for p in plan.placements}),
        "LOCKSTEP_FRONTENDS": _json([{"name": each, "url": urls.get(each, "")} for each in plan.frontends]),
    }
    if name is GateName.ON_ABORT:
        told["LOCKSTEP_TROUBLES"] = _troubles(deployment.troubles)
    return told


def nobody(name: GateName) -> Problem:
    """Why a gate is shut where there is nobody to open it."""
    return Problem(
        f"the gate {name} has a command, and this process runs none",
        expected="a worker that runs the commands of gates",
        remedy="see that every worker is of this version, then deploy again",
    )


def _troubles(troubles: Sequence[Trouble]) -> str:
    """As many of them as fit, the first ones first."""
    told: list[Mapping[str, Any]] = []
    size = 2
    for trouble in troubles:
        size += len(_json(trouble.as_dict())) + 1
        if size > LONGEST_TROUBLES:
            break
        told.append(trouble.as_dict())
    return _json(told)


def _json(value: object) -> str:
    # Other characters than ASCII are escaped: the command may run in any locale.
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
