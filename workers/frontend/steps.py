"""The steps on one frontend (docs/protocol.md, "The steps"): each returns what it measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from typing import Any

from orchestrator.domain.activation import NOTHING, ActivationName
from orchestrator.domain.deployment import Healing, Step
from orchestrator.domain.errors import LockstepError, RefusedError, UnansweredError
from orchestrator.ports import Artifacts
from workers.distribution.packs import Form, Pack, PackShelf
from workers.distribution.peers import Peers
from workers.frontend.answers import ScriptRefusedError
from workers.frontend.commands import Activate, Disarm, Probed, Prune
from workers.frontend.connections import Connections
from workers.frontend.disk import check_disk
from workers.frontend.job import Held, Job
from workers.frontend.mending import Mending
from workers.frontend.readiness import probe, ready
from workers.frontend.serving import Served
from workers.frontend.staging import Sent, Staging
from workers.frontend.transport import CONNECT_SECONDS, SHORT_SECONDS, Session
from workers.rotation import take_out

#: What can't be staged below the fence of a frontend that comes back, can where there is no fence.
START_ANEW = (
    "readmit it again: what differed was removed, and is sent anew; where that fails as well, empty its root first "
    "(it is drained, nobody is served from there), and all of it is staged from nothing"
)

#: Frontends whose state a worker keeps in mind from their staging on.
MOST_REMEMBERED = 4096

Detail = Mapping[str, Any]


class Steps:
    """The steps, for every job of this process."""

    def __init__(self, connections: Connections, shelf: PackShelf, artifacts: Artifacts) -> None:
        self._connections = connections
        self._shelf = shelf
        self._peers = Peers()
        self._staging = Staging(shelf, self._peers, artifacts)
        #: The state of frontends as they were staged, by deployment and name.
        self._found: dict[tuple[int, str], Probed] = {}

    def do(self, step: Step, job: Job) -> Detail:
        """The steps that any worker can do."""
        return self.stage(job) if step is Step.STAGE else self.verify(job)

    def session(self, job: Job, limit: float = CONNECT_SECONDS) -> Session:
        """The open connection of this job; where there is none, one that stands within `limit` seconds."""
        return self._connections.session(job.deployment.id, job.frontend, limit)

    def hang_up(self, number: int) -> None:
        """Close this process's connections for a deployment."""
        self._connections.close(number)
        self._peers.forget(number)
        for key in [key for key in list(self._found) if key[0] == number]:
            self._found.pop(key, None)

    def stage(self, job: Job) -> Detail:
        """Bring what the frontend lacks and build the activation beside what it serves.

        A frontend that comes back is drained first, gets what the others still hold for clients of earlier
        activations, and is switched to what the fleet serves: nobody is led to it yet.
        """
        began = time.monotonic()
        session = self.session(job, job.fleet.policy.stage_seconds)
        if (healing := job.deployment.plan.healing) is not None:
            return {**self._heal(job, session, healing), "seconds": round(time.monotonic() - began, 3)}
        found = ready(session, job.own.wanted)
        self._remember(job, found.probed)
        sent = Sent()
        if job.readmits:
            self._take_out(job)
            for held in job.to_bring(found.probed):
                self._staging.bring(job, session, held, _asked(session, held), sent)
            # Where it is at this epoch's fence already, nothing new can be staged for it before it serves it.
            first = found.probed.fence >= job.deployment.epoch
            if first:
                self.activate(job)
            self._staging.bring(job, session, job.own, _asked(session, job.own), sent)
            if not first:
                self.activate(job)
        else:
            self._staging.bring(job, session, job.own, found.probed, sent)
        return {
            **sent.told(),
            "seconds": round(time.monotonic() - began, 3),
            "connections": self._connections.opened(job.deployment.id, job.frontend.name),
            "offset": found.offset,
            "uncertainty": found.uncertainty,
        }

    def verify(self, job: Job) -> Detail:
        """Hash every file on the disk, and meanwhile ask for them over HTTP."""
        began = time.monotonic()
        fleet = job.fleet
        session = self.session(job, fleet.policy.verify_seconds)
        healing = job.deployment.plan.healing
        sample = None if fleet.policy.verify == "all" else fleet.policy.verify
        seed = f"{job.deployment.id}/{job.frontend.name}"
        activation = job.deployment.activation
        asked = (expected for _, expected in job.prepared.questions.asked(sample, seed))
        # A frontend that is healed nobody flips, and nobody confirms it later.
        unpinned = healing is not None
        with Served(fleet, job.frontend) as served, served.verifying(activation, asked, unpinned=unpinned) as answered:
            # The disk has the first word: what lies there wrong is served wrong as well.
            if healing is not None:
                Mending(session, job, healing, fleet.policy.verify_seconds).prove()
            else:
                _check_disk(session, job)
            verified, requests = answered(), served.requests
        return {
            "served": verified.digests,
            "files": verified.files,
            "requests": requests,
            "seconds": round(time.monotonic() - began, 3),
        }

    def activate(self, job: Job) -> Detail:
        """Flip without an armed conversation."""
        command, limit = Activate(job.frontend.root, job.deployment.name), job.fleet.policy.activate_seconds
        return {"at": self.session(job, limit).ask(command, limit=limit)}

    def confirm(self, job: Job) -> Detail:
        """What a new client is served. Then what nobody needs any more is removed: here the fleet is still held."""
        with Served(job.fleet, job.frontend) as served:
            served.check_activation(job.deployment.activation, None)
        return {"activation": str(job.deployment.name), **(self._prune(job) if job.deployment.plan.kind.moves else {})}

    def disarm(self, job: Job) -> Detail:
        """Fence the epoch and remove the activation; nothing to do where there is no tree yet."""
        try:
            self.session(job).ask(Disarm(job.frontend.root, job.deployment.name), limit=SHORT_SECONDS)
        except ScriptRefusedError as error:
            if error.code != "uninitialised":
                raise
        return {}

    # ── below ──

    def _take_out(self, job: Job) -> None:
        """It is out of rotation before it is changed, whatever it was when it was drained."""
        drain = job.deployment.plan.readmits[job.frontend.name]
        take_out(job.fleet, job.frontend, job.deployment.name, drain, partial(self.session, job))

    def _heal(self, job: Job, session: Session, healing: Healing) -> Detail:
        """Put right what is wrong, in the place in which it is served."""
        mending = Mending(session, job, healing, job.fleet.policy.stage_seconds)
        mending.make_ready()
        wrong = mending.look()
        done = mending.mend(wrong, self._heal_pack(mending.generated))
        return {**asdict(done), "connections": self._connections.opened(job.deployment.id, job.frontend.name)}

    def _heal_pack(self, generated: Mapping[str, bytes]) -> Callable[[Sequence[str]], AbstractContextManager[Pack]]:
        opener = self._staging.opener(generated)
        return lambda objects: self._shelf.pack(objects, opener, Form.TGZ)

    def _remember(self, job: Job, probed: Probed) -> None:
        # Only the coordinator's process hears of a deployment's end.
        while len(self._found) >= MOST_REMEMBERED:
            self._found.pop(next(iter(self._found)), None)
        self._found[job.deployment.id, job.frontend.name] = probed

    def _prune(self, job: Job) -> Detail:
        """The deployment is right whether this succeeds or not: what could not be removed goes the next time."""
        root, name = job.frontend.root, job.deployment.name
        try:
            served, never = job.to_prune(self._state(job))
            seconds = math.ceil(job.fleet.policy.keep_hours * 3600)
            pruned = 0
            for names, age in ((served, seconds), (never, 0)):
                if names:
                    pruned += (
                        self.session(job).ask(Prune(root, name, age, tuple(names)), limit=SHORT_SECONDS).activations
                    )
        except LockstepError as error:
            return {"pruned": 0, "prune_problem": error.problem.what}
        return {"pruned": pruned}

    def _state(self, job: Job) -> Probed:
        """As it was when it was staged, where that was here: while the fleet is held, none comes or goes."""
        known = self._found.get((job.deployment.id, job.frontend.name))
        if known is not None:
            return known
        found = probe(self.session(job))
        if found is None:
            raise UnansweredError("the frontend's state is not known", where=job.frontend.name)
        return found.probed


def _asked(session: Session, held: Held) -> Probed:
    """The state as it is now, and what it lacks of this."""
    return ready(session, held.wanted).probed


def _check_disk(session: Session, job: Job) -> None:
    """Every activation that must be there, the own one last."""
    name = job.deployment.name
    # What is served can't be discarded; an activation of its epoch that nobody has can.
    fencing = ActivationName(name.epoch, NOTHING.nonce) if job.readmits else name
    for held in reversed(job.held):
        try:
            check_disk(session, fencing, held, job.fleet.policy.verify_seconds)
        except RefusedError as error:
            if job.readmits:
                raise RefusedError(**{**error.problem.as_dict(), "remedy": START_ANEW}) from error
            raise


def problem_of(error: Exception, frontend: str) -> Mapping[str, str]:
    """An error as a report carries it."""
    if isinstance(error, LockstepError):
        problem = error.problem.as_dict()
        return {**problem, "where": problem["where"] or frontend}
    return UnansweredError(
        "an unexpected error",
        where=frontend,
        found=f"{type(error).__name__}: {error}"[:300],
        remedy="see the worker's log; this is a fault in Lockstep",
    ).problem.as_dict()
