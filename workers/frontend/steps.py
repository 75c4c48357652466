"""The steps on one frontend (docs/protocol.md, "The steps"): each returns what it measured."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from inventory.model import Fleet, Frontend
from orchestrator.domain.deployment import Deployment
from orchestrator.domain.errors import LockstepError, RefusedError, UnansweredError
from orchestrator.domain.layout import Layout, Tree
from orchestrator.domain.release import Manifest
from orchestrator.ports import Artifacts
from workers.distribution.packs import PackShelf, chunks, link_pack
from workers.frontend.answers import ScriptRefusedError, printable
from workers.frontend.commands import (
    Activate,
    Assemble,
    Disarm,
    Discard,
    Init,
    Install,
    Listing,
    Missing,
    Probe,
    Probed,
    Receive,
    Verify,
)
from workers.frontend.connections import Connections
from workers.frontend.script import script, script_sha256
from workers.frontend.serving import Served, expectations
from workers.frontend.transport import Session

#: For commands that neither hash nor move content, in seconds.
SHORT_SECONDS = 30.0

Detail = Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """One frontend of one deployment. Manifests by digest; `previous` by app, as committed before."""

    deployment: Deployment
    fleet: Fleet
    frontend: Frontend
    layout: Layout
    manifests: Mapping[str, Manifest]
    previous: Mapping[str, Manifest]


class Steps:
    """The steps, for every job of this process."""

    def __init__(self, connections: Connections, shelf: PackShelf, artifacts: Artifacts) -> None:
        self._connections = connections
        self._shelf = shelf
        self._artifacts = artifacts

    def session(self, job: Job) -> Session:
        """The open connection of this job."""
        return self._connections.session(job.deployment.id, job.frontend)

    def stage(self, job: Job) -> Detail:
        """Bring what the frontend lacks and build the activation beside what it serves."""
        began = time.monotonic()
        session, root, name = self.session(job), job.frontend.root, job.deployment.name
        limit = job.fleet.policy.stage_seconds
        clock = _ready(session, root)
        wanted = "".join(f"{sha}\n" for sha in job.layout.objects()).encode()
        missing = session.ask(Missing(root), stdin=[wanted], limit=limit)
        sent = 0
        if missing:
            with self._shelf.pack(missing, self._opener(job.layout)) as pack:
                size = pack.seek(0, io.SEEK_END)
                pack.seek(0)
                session.ask(Receive(root, name), stdin=chunks(pack), limit=limit)
                sent += size
        links = link_pack(job.layout)
        session.ask(Assemble(root, name), stdin=[links], limit=limit)
        return {
            "objects": len(missing),
            "bytes": sent + len(links),
            "seconds": round(time.monotonic() - began, 3),
            "connections": self._connections.opened(job.deployment.id, job.frontend.name),
            **clock,
        }

    def verify(self, job: Job) -> Detail:
        """Hash every file on the disk, then ask for them over HTTP."""
        began = time.monotonic()
        self._verify_disk(job)
        name, fleet = job.deployment.name, job.fleet
        sample = None if fleet.policy.verify == "all" else fleet.policy.verify
        seed = f"{job.deployment.id}/{job.frontend.name}"
        files = 0
        with Served(fleet, job.frontend) as served:
            digests = {p.app: served.manifest_digest(p, name) for p in job.deployment.plan.placements}
            # Where a digest differs, the fleet's verdict says so; asking for files would only repeat it.
            if all(digests[p.app] == p.digest for p in job.deployment.plan.placements):
                served.check_activation(job.deployment.activation, name)
                for _, expected in expectations(job.deployment.activation, job.manifests, job.previous, sample, seed):
                    served.check(expected, name)
                    files += 1
            requests = served.requests
        return {
            "served": digests,
            "files": files,
            "requests": requests,
            "seconds": round(time.monotonic() - began, 3),
        }

    def activate(self, job: Job) -> Detail:
        """Flip without an armed conversation."""
        command = Activate(job.frontend.root, job.deployment.name)
        return {"at": self.session(job).ask(command, limit=job.fleet.policy.activate_seconds)}

    def confirm(self, job: Job) -> Detail:
        """What a new client is served."""
        with Served(job.fleet, job.frontend) as served:
            served.check_activation(job.deployment.activation, None)
        return {"activation": str(job.deployment.name)}

    def disarm(self, job: Job) -> Detail:
        """Fence the epoch and remove the activation; nothing to do where there is no tree yet."""
        try:
            self.session(job).ask(Disarm(job.frontend.root, job.deployment.name), limit=SHORT_SECONDS)
        except ScriptRefusedError as error:
            if error.code != "uninitialised":
                raise
        return {}

    def _opener(self, layout: Layout) -> Callable[[str], BinaryIO]:
        def open_object(sha: str) -> BinaryIO:
            content = layout.generated.get(sha)
            return self._artifacts.open(sha) if content is None else io.BytesIO(content)

        return open_object

    def _verify_disk(self, job: Job) -> None:
        session, root, name = self.session(job), job.frontend.root, job.deployment.name
        limit = job.fleet.policy.verify_seconds
        releases = tuple(tree.path.removeprefix("releases/") for tree in job.layout.releases)
        found = session.ask(Verify(root, name, releases), limit=limit)
        for tree in (job.layout.activation, *job.layout.releases):
            if found.get(tree.path) == tree.digest():
                continue
            listed = session.ask(Listing(root, tree.path), limit=limit)
            differences = list(differing(tree, listed))
            if not differences:
                raise UnansweredError(
                    f"{tree.path} changed while it was verified", where=job.frontend.name, remedy="deploy again"
                )
            self._discard(job, session, tree, {path for path, _, _ in differences})
            path, expected, other = differences[0]
            more = f", and {len(differences) - 1} more entries" if len(differences) > 1 else ""
            raise RefusedError(
                "what lies on the disk is not what was staged",
                where=f"{job.frontend.name}: {root}/{tree.path}/{path}",
                expected=expected,
                found=f"{other}{more}",
                remedy="find out what writes below the root (only Lockstep may), then deploy again",
            )

    def _discard(self, job: Job, session: Session, tree: Tree, paths: set[str]) -> None:
        """A changed file may be a changed object: it goes, so that the next stage sends it and rebuilds the tree."""
        changed = {sha for path, sha in tree.files.items() if printable(path) in paths}
        wanted = "".join(f"{sha}\n" for sha in sorted(changed)).encode()
        session.ask(Discard(job.frontend.root, job.deployment.name), stdin=[wanted], limit=SHORT_SECONDS)


def _ready(session: Session, root: str) -> dict[str, float | None]:
    """Have the script installed and the tree made; returns the frontend's clock against this machine's."""
    probed, clock = _probe(session, root)
    if probed is None or probed.script != script_sha256():
        session.ask(Install(root, script_sha256()), stdin=[script()], limit=SHORT_SECONDS)
        session.ask(Init(root), limit=SHORT_SECONDS)
        probed, clock = _probe(session, root)
    if probed is None or probed.script != script_sha256():
        raise UnansweredError("the frontend's script is not the one that was installed", where=session.frontend.name)
    return clock


def _probe(session: Session, root: str) -> tuple[Probed | None, dict[str, float | None]]:
    began = time.time()
    try:
        probed = session.ask(Probe(root), limit=SHORT_SECONDS)
    except (ScriptRefusedError, UnansweredError):
        # No script, no tree, or those of a version whose answers this one can't read: they are put in place.
        if not session.alive:
            raise
        return None, {}
    ended = time.time()
    if not probed.clock:
        return probed, {"offset": None, "uncertainty": None}
    offset = probed.clock - (began + ended) / 2
    return probed, {"offset": round(offset, 6), "uncertainty": round((ended - began) / 2, 6)}


def differing(tree: Tree, listed: list[str]) -> Iterator[tuple[str, str, str]]:
    """Where a listing differs from what it should be: path, expected, found."""
    expected, found = ({line.split(" ", 2)[2]: line for line in lines} for lines in (tree.listing(), listed))
    for path in sorted(expected.keys() | found.keys()):
        if expected.get(path) != found.get(path):
            yield printable(path), _entry(expected.get(path)), _entry(found.get(path))


def _entry(line: str | None) -> str:
    if line is None:
        return "nothing"
    kind, value, _ = line.split(" ", 2)
    kinds = {"f": f"a file of SHA-256 {value}", "l": f"a link to {value}"}
    return printable(kinds.get(kind, "something that is neither a file nor a link"))


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
