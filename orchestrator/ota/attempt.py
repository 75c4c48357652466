"""One attempt of a device to upgrade: what it asks, what it retries, and how it ends. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from orchestrator.ota import judgement as judge
from orchestrator.ota.answers import MalformedError, NoAnswer, Precache, ServedManifest, read_precache
from orchestrator.ota.asking import Asking, Got
from orchestrator.ota.device import Device
from orchestrator.ota.tally import Fault
from orchestrator.ota.target import Ask, Target
from orchestrator.ota.upgrades import Ending
from orchestrator.ota.witness import Witness

#: How many files a device fetches at once.
PARALLEL = 5
#: How many tries may fail in one attempt: at least so many, and this share of the files to fetch.
RETRIES = 10
RETRIED_SHARE = 5


class Attempt:
    """From the manifest that the device goes by to how it ends."""

    def __init__(self, device: Device, witness: Witness, manifest: ServedManifest) -> None:
        self._device = device
        self._witness = witness
        self._manifest = manifest
        self._integrity: Mapping[str, str] = {}

    def go(self, precache: Ask) -> Asking[Ending | None]:
        """Fetch all that the device lacks, and switch. None: dropped, because a newer release was met on the way."""
        if self._device.behaviour.checks_integrity:
            if not (yield from self._learn_integrity(precache)):
                return Ending.FAILED
            page = self._witness.page
            if page is not None and page.token != self._manifest.token:
                return None
        if not (yield from self._download()):
            return Ending.FAILED
        self._device.switch(self._manifest)
        return Ending.COMPLETED

    def _download(self) -> Asking[bool]:
        waiting = deque(self._device.lacks(self._manifest))
        retries = max(RETRIES, len(waiting) // RETRIED_SHARE)
        while waiting:
            paths = [waiting.popleft() for _ in range(min(PARALLEL, len(waiting)))]
            answers = yield tuple(Target.by_hash(path, self._manifest.files[path]) for path in paths)
            failed = [path for path, got in zip(paths, answers, strict=True) if not self._take(path, got)]
            retries -= len(failed)
            if retries < 0:
                return False
            waiting.extend(failed)
        return True

    def _take(self, path: str, got: Got) -> bool:
        """Judge a file, and keep it where it is right. An empty one is no file to a device, whatever its hash."""
        ota = self._manifest.files[path]
        ask = Target.by_hash(path, ota)
        if isinstance(got, NoAnswer):
            faults: tuple[Fault, ...] = (got.fault,)
        else:
            faults = judge.judge_file(ota, got) or judge.judge_integrity(self._integrity.get(path), got)
        self._witness.note(ask, faults, None)
        if faults or isinstance(got, NoAnswer) or not got.body:
            return False
        self._device.keep(path, ota)
        return True

    def _learn_integrity(self, ask: Ask) -> Asking[bool]:
        """Read precache.manifest. It is navigation: it may open the page of a newer release, and sets the pin to it.

        Returns False where there was no answer that could be read. A server need not have such a document.
        """
        witness = self._witness
        got = yield from witness.named(ask)
        if got is None:
            return False
        answer, name = got
        precache: Precache | None = None
        faults = () if answer.status in judge.GONE else judge.judge_status(answer)
        if not faults:
            faults = judge.judge_forward(witness.seen, name, answer)
        if answer.status == judge.OK:
            try:
                precache = read_precache(answer.body)
            except MalformedError as error:
                faults += (error.fault,)
        if precache is not None and name is not None:
            faults += witness.tell(name, precache.token)
            witness.page = judge.Page(name, precache.token)
        witness.note(ask, faults, name)
        witness.saw(answer, name)
        if precache is not None and precache.token == self._manifest.token:
            self._integrity = precache.integrity
        return precache is not None or answer.status in judge.GONE
