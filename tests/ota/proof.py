"""Deployments and rollbacks one after the other, without pause, under devices that upgrade all the while."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from deploy.lab import Lab
from inventory import loader
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.deployment import Deployment, State
from orchestrator.ota.behaviour import Behaviour
from orchestrator.services.deployments import Deploying, Schedule
from orchestrator.settings import Settings
from tests.integration.operator import PATIENCE, Operator, Running, tree

APP = "ToDo"
FLEET = "Lab/web"
ACTOR = "ota"
FILES = 40
#: Of so many deployments in a row, the last one is a rollback.
ROLLBACK_EVERY = 3
#: Devices ask as fast as they can, and what is tested shares the processor with them: nice(2).
NICE = 10

Say = Callable[[str], None]


class ProofError(Exception):
    """A deployment that ended otherwise than it must, or not at all."""


def releases(files: int = FILES) -> Mapping[str, Mapping[str, bytes]]:
    """Three releases of a small app. Between two, the entry document and some ten files differ; one comes, one goes."""
    first = tree("ota", files=files - 1, size=3_000)
    return {
        f"{number}.0.0": {
            **first,
            "index.html": f"<!doctype html><title>{number}</title>".encode(),
            f"img/only in {number}.svg": b"<svg/>",
            **{f"scripts/part {n}+ü.js": f"start({number})".encode() for n in range(files - 1) if n % 8 == number},
        }
        for number in range(1, 4)
    }


class Fleet:
    """The lab's fleet as an operator moves it, in this process: a command line takes longer than many a deployment."""

    def __init__(self, operator: Operator) -> None:
        lockstep = Lockstep(Settings.read(operator.environment))
        self._ledger = lockstep.ledger
        self._fleet = loader.load(operator.lab.inventory_path).fleets[0]
        ledger, artifacts, builds = lockstep.ledger, lockstep.artifacts, lockstep.builds
        self._deploying = Deploying(ledger, artifacts, lockstep.dispatch, lockstep.clock, builds)

    def deploy(self, version: str) -> Deployment:
        """`lockstep deploy`, until it is done."""
        return self._await(self._deploying.deploy(self._fleet, {APP: version}, Schedule(), ACTOR))

    def roll_back(self) -> Deployment:
        """`lockstep rollback`, until it is done."""
        return self._await(self._deploying.rollback(self._fleet, None, Schedule(), ACTOR))

    def _await(self, begun: Deployment) -> Deployment:
        deadline = time.monotonic() + PATIENCE
        while True:
            row = self._ledger.deployment(begun.id)
            if row is not None and row.state.ended:
                break
            if time.monotonic() > deadline:
                raise ProofError(f"deployment {begun.id} has not ended after {PATIENCE} s")
            time.sleep(0.01)  # between two looks at the ledger
        if row.state is not State.DONE:
            raise ProofError(f"deployment {row.id} is {row.state}: {row.troubles}")
        return row


def play(directory: Path, *, deployments: int, frontends: int, clients: int, say: Say) -> dict[str, Any]:
    """Play it; returns the figures. `ProofError` where a deployment is not done."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab.up(directory / "lab", frontends))
        operator = Operator(directory, lab)
        stack.enter_context(operator.standalone())
        versions = releases()
        for version, files in versions.items():
            operator.builds(version, files, APP)
        fleet = Fleet(operator)
        present = fleet.deploy(next(iter(versions)))
        devices = stack.enter_context(operator.running(*_watch(lab.url, clients), until="checks"))
        os.setpriority(os.PRIO_PROCESS, devices.pid, NICE)
        began = time.monotonic()
        skews = []
        for number in range(1, deployments + 1):
            present = _move(fleet, present, list(versions), number)
            skews.append(present.skew or 0.0)
            if number % 10 == 0:
                say(f"{number} of {deployments} after {time.monotonic() - began:.0f} s: epoch {present.epoch}")
        seconds = time.monotonic() - began
        observed = _end(devices)
        serving = operator.served()
        return {
            "deployments": deployments,
            "frontends": len(serving),
            "agree": sum(activation == str(present.name) for activation in serving.values()),
            "seconds": round(seconds, 1),
            "skew_ms": round(max(skews) * 1000, 1),
            **{key: observed[key] for key in ("clients", "checks", "torn", "backward", "errors", "unjudged", "resent")},
            "upgrades": observed["upgrades"],
            **observed["behaviours"],
            "samples": observed["samples"],
        }


def passed(figures: Mapping[str, Any]) -> bool:
    """Nothing was found, all of the fleet is where it must be, and devices of each behaviour did upgrade."""
    clean = figures["torn"] == figures["backward"] == figures["errors"] == 0 < figures["checks"]
    upgraded = all(figures[behaviour]["completed"] > 0 for behaviour in Behaviour)
    return clean and upgraded and figures["agree"] == figures["frontends"]


def _move(fleet: Fleet, present: Deployment, versions: list[str], number: int) -> Deployment:
    if number % ROLLBACK_EVERY == 0:
        return fleet.roll_back()
    served = present.plan.placements[0].version
    return fleet.deploy(versions[(versions.index(served) + 1) % len(versions)])


def _watch(url: str, clients: int) -> tuple[str, ...]:
    behaviours = ",".join(Behaviour)
    options = ("--app", APP, "--clients", str(clients), "--as", behaviours, "--until-stopped", "--json")
    return ("observe", url, *options)


def _end(devices: Running) -> Any:
    devices.send_signal(signal.SIGTERM)
    return json.loads(devices.communicate(timeout=PATIENCE)[0])
