"""Bringing to a frontend what it lacks: objects in one pack, from the worker or from another frontend, then links."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import structlog

from orchestrator.domain.errors import RefusedError
from orchestrator.ports import Artifacts
from workers.distribution.packs import Form, Pack, PackShelf, chunks
from workers.distribution.peers import PACKS, SMALL, Peers, Way, pack_name
from workers.frontend.answers import ScriptRefusedError
from workers.frontend.commands import Assemble, Probed, Receive, Source
from workers.frontend.job import Held, Job
from workers.frontend.transport import Session

log = structlog.get_logger()

#: What is left beside what `room` counts, for directories, links and what else is written, in bytes.
SPARE_BYTES = 4 << 20
#: File systems give files whole blocks, mostly of so many bytes.
BLOCK_BYTES = 4096
#: How many other frontends one asks for a pack before the worker sends it.
TRIES = 2


@dataclass(slots=True)
class Sent:
    """What went to a frontend: objects, bytes from here and from other frontends, and who of these sent none."""

    objects: int = 0
    bytes: int = 0
    fetched: int = 0
    failed: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """As a report carries it; frontends that failed only where some did."""
        told = {"objects": self.objects, "bytes": self.bytes, "fetched": self.fetched}
        return {**told, "failed": self.failed} if self.failed else told


class Staging:
    """For every job of this process. Safe to use from several threads."""

    def __init__(self, shelf: PackShelf, peers: Peers, artifacts: Artifacts) -> None:
        self._shelf = shelf
        self._peers = peers
        self._artifacts = artifacts

    def bring(self, job: Job, session: Session, held: Held, probed: Probed, sent: Sent) -> None:
        """What `probed` says that the frontend lacks of `held`; adds to `sent`."""
        missing = held.objects_of(probed.missing)
        if missing:
            with self._shelf.pack(missing, self.opener(held.layout.generated)) as pack:
                _check_space(job, held, missing, probed, pack)
                self._send(job, session, held, missing, pack, sent)
            sent.objects += len(missing)
        links = held.links(probed.missing)
        command, limit = Assemble(job.frontend.root, held.name), job.fleet.policy.stage_seconds
        session.ask(command, stdin=[links], size=len(links), limit=limit)
        sent.bytes += len(links)

    def opener(self, generated: Mapping[str, bytes]) -> Callable[[str], BinaryIO]:
        """How an object is opened: what is generated lies in no store."""

        def open_object(sha: str) -> BinaryIO:
            content = generated.get(sha)
            return self._artifacts.open(sha) if content is None else io.BytesIO(content)

        return open_object

    def _send(self, job: Job, session: Session, held: Held, missing: list[str], pack: Pack, sent: Sent) -> None:
        root, limit = job.frontend.root, job.fleet.policy.stage_seconds
        if not _handed_on(job, pack):
            session.ask(Receive(root, held.name, pack.form), stdin=chunks(pack.source), size=pack.size, limit=limit)
            sent.bytes += pack.size
            return
        name = pack_name(held.name, missing, pack.form)
        number, frontends = job.deployment.id, len(job.fleet.frontends)
        tries = 0
        while True:
            way = self._peers.way(number, name, frontends, fetches=tries < TRIES)
            try:
                self._take(job, session, held, name, pack, way, sent)
            except BaseException as error:
                theirs = way.source is not None and _theirs(error)
                self._peers.failed(way, job.frontend, theirs=theirs)
                if way.source is not None and _can_not_fetch(error):
                    tries = TRIES
                    continue
                if not theirs or way.source is None:
                    raise
                tries += 1
                log.warning("a frontend did not hand a pack on", peer=way.source.name, found=str(error))
                sent.failed.append(way.source.name)
            else:
                self._peers.got(way, job.frontend)
                return

    @staticmethod
    def _take(job: Job, session: Session, held: Held, name: str, pack: Pack, way: Way, sent: Sent) -> None:
        root, limit = job.frontend.root, job.fleet.policy.stage_seconds
        kept = name if way.keeps else pack.form
        if way.source is None:
            session.ask(Receive(root, held.name, kept), stdin=chunks(pack.source), size=pack.size, limit=limit)
            sent.bytes += pack.size
        else:
            source = Source(pack.size, pack.whole, job.fleet.host, f"{way.source.base_url}{PACKS}{name}")
            session.ask(Receive(root, held.name, kept, source), limit=limit)
            sent.fetched += pack.size


def _theirs(error: BaseException) -> bool:
    """Whether a pack that was fetched may be at fault, and not the frontend that fetched it, or the way to that."""
    return isinstance(error, ScriptRefusedError) and error.code in ("peer", "pack", "hash")


def _can_not_fetch(error: BaseException) -> bool:
    return isinstance(error, ScriptRefusedError) and error.code == "nocurl"


def _handed_on(job: Job, pack: Pack) -> bool:
    """Whether frontends give it to each other, and some keep it for that."""
    return job.fleet.policy.peers and pack.size >= SMALL and len(job.fleet.frontends) > 1


def room(pack: Pack, sizes: Iterable[int], *, kept: bool) -> int:
    """The most that lies on a frontend's disk at a time until it has the objects of these sizes, in bytes.

    By the script in shell, which needs the most: it unpacks a compressed pack into a tar, removes the one that came
    unless it is `kept`, and makes objects of the tar. (With perl there is no such tar.)
    """
    objects = sum(-(-size // BLOCK_BYTES) * BLOCK_BYTES for size in sizes)
    if pack.form is Form.TAR:
        return pack.size + objects
    return pack.whole + (pack.size + objects if kept else max(pack.size, objects))


def _check_space(job: Job, held: Held, missing: list[str], probed: Probed, pack: Pack) -> None:
    """`RefusedError` before anything is sent, where it could not be held."""
    generated = {sha: len(content) for sha, content in held.layout.generated.items()}
    sizes = {**job.prepared.sizes, **generated}
    needed = room(pack, (sizes[sha] for sha in missing), kept=_handed_on(job, pack)) + SPARE_BYTES
    if probed.free < needed:
        raise RefusedError(
            "too little space on the disk",
            where=f"{job.frontend.name}: {job.frontend.root}",
            expected=f"{needed} bytes free, for {len(missing)} new objects",
            found=f"{probed.free} bytes free",
            remedy="free space there, or keep fewer releases (policy: keep, keep_hours), then deploy again",
        )
