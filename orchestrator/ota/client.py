"""One over-the-air client that looks at every answer: what it asks, and when it upgrades. No I/O.

A round is a generator: it yields what to ask at once and is sent what came back, so that whoever drives it chooses
how to fetch. What is right is decided in `orchestrator.ota.judgement`, whatever the client's behaviour makes of it;
docs/observe.md describes a round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from orchestrator.domain.activation import ActivationName
from orchestrator.ota import judgement as judge
from orchestrator.ota.answers import MalformedError, NoAnswer, ServedManifest, read_manifest, read_version
from orchestrator.ota.asking import Asking
from orchestrator.ota.attempt import Attempt
from orchestrator.ota.behaviour import Behaviour
from orchestrator.ota.device import Device
from orchestrator.ota.tally import Tally
from orchestrator.ota.target import Target
from orchestrator.ota.upgrades import Ending
from orchestrator.ota.witness import Witness

#: Of files that changed and that no upgrade fetches, how many a round fetches at most; of all, how many besides; by
#: plain path, how many.
CHANGED = 64
MORE = 3
PARTS = 2
#: After how many rounds somebody closes the app and opens it again.
SESSION = 10


class Client:
    """A device, and the pages it opens. `elapsed` gives seconds since the start, `stamp` milliseconds since 1970."""

    def __init__(
        self,
        target: Target,
        tally: Tally,
        *,
        random: Random,
        elapsed: Callable[[], float],
        stamp: Callable[[], int],
        behaviour: Behaviour = Behaviour.LOCKSTEP,
    ) -> None:
        self._target = target
        self._tally = tally
        self._random = random
        self._stamp = stamp
        self._witness = Witness(target.base_url, tally, elapsed)
        self._device = Device(behaviour)
        self._rounds = 0
        self._manifest: ServedManifest | None = None
        self._paths: tuple[str, ...] = ()
        self._waiting: judge.Waiting | None = None

    @property
    def device(self) -> Device:
        """What it holds."""
        return self._device

    def round(self) -> Asking[bool]:
        """One round. Returns False where it could not be gone through, so that the next one may wait a little."""
        if self._rounds % SESSION == 0:
            self._device.start()
        self._rounds += 1
        checked = yield from self._check_version()
        if checked is None:
            return False
        token, forward = checked
        before = self._manifest
        wanted = self._device.wants(token, forward=forward)
        if not wanted and before is not None and before.token == token:
            manifest: ServedManifest | None = before
        else:
            manifest = yield from self._fetch_manifest(token)
        right = manifest is not None and manifest.token == token
        if manifest is not None and right:
            self._judge_by(manifest)
        first = self._device.held is None
        ending = None
        if wanted and not first:
            ending = yield from self._upgrade(token, manifest)
        if manifest is None:
            return False
        if wanted and first and self._device.takes(token, manifest):
            # As an installed build brings it: without fetching everything.
            self._device.switch(manifest)
        if not right:
            return False
        changed = manifest.changed(before) if ending is None else []
        whole = yield from self._look_around(manifest, changed)
        return whole and ending is not Ending.FAILED

    def _check_version(self) -> Asking[tuple[str, bool] | None]:
        """The token that is served, and whether its epoch is not older than what was seen; None without a token."""
        witness = self._witness
        ask = self._target.version(self._stamp())
        got = yield from witness.named(ask)
        if got is None:
            return None
        answer, name = got
        token = None
        faults = judge.judge_status(answer)
        if not faults:
            faults = judge.judge_forward(witness.seen, name, answer)
            try:
                token = read_version(answer.body)
            except MalformedError as error:
                faults += (error.fault,)
        if token is not None:
            if name is not None:
                faults += witness.tell(name, token)
            self._tally.see(token, None if name is None else name.epoch, witness.elapsed())
            witness.page = None if name is None else judge.Page(name, token)
        forward = witness.forward(name)
        witness.note(ask, faults, name)
        witness.saw(answer, name)
        return None if token is None else (token, forward)

    def _fetch_manifest(self, token: str) -> Asking[ServedManifest | None]:
        """Whatever manifest came, be it the right one or not."""
        ask = self._target.manifest(token)
        (answer,) = yield (ask,)
        if isinstance(answer, NoAnswer):
            self._witness.note(ask, (answer.fault,), None)
            return None
        manifest = None
        faults = judge.judge_manifest_status(token, answer)
        if not faults:
            try:
                manifest = read_manifest(answer.body, self._target.mount)
                faults = judge.judge_manifest(token, manifest)
            except MalformedError as error:
                faults = (error.fault,)
        self._witness.note(ask, faults, None)
        return manifest

    def _judge_by(self, manifest: ServedManifest) -> None:
        """Hold pages against this manifest from now on, and first the one of the round before that waited for it."""
        if manifest is not self._manifest:
            self._manifest = manifest
            self._paths = tuple(manifest.files)
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        page = self._witness.page
        faults = None if page is None else judge.judge_waiting(waiting, page, manifest)
        if faults is None:
            self._tally.unjudged += 1
        else:
            self._witness.note(self._target.document(waiting.path), faults, waiting.activation)

    def _upgrade(self, token: str, manifest: ServedManifest | None) -> Asking[Ending | None]:
        """Let the device upgrade as it behaves. None where it dropped that for a newer release."""
        device = self._device
        ending: Ending | None = Ending.FAILED
        if manifest is not None and device.takes(token, manifest):
            if device.held is not None and device.held.token == manifest.token:
                ending = Ending.MISSED
            else:
                attempt = Attempt(device, self._witness, manifest)
                ending = yield from attempt.go(self._target.precache(self._stamp()))
        if ending is Ending.FAILED:
            device.fail()
        if ending is not None:
            self._tally.upgrades.end(device.behaviour, ending)
        return ending

    def _look_around(self, manifest: ServedManifest, changed: Sequence[str]) -> Asking[bool]:
        """Files by hash, then the page: the entry document as navigation, and parts of it."""
        picked = self._pick(changed, CHANGED) + self._pick(self._paths, MORE)
        for path in dict.fromkeys(picked):
            if not (yield from self._fetch_by_hash(path, manifest)):
                return False
        page = self._witness.page
        if page is None or page.token != manifest.token:
            # A page of another release was met on the way: the next version check says which.
            return True
        if manifest.entry is not None and not (yield from self._fetch_document(manifest.entry, manifest)):
            return self._waiting is not None
        for path in self._pick(self._paths, PARTS):
            if not (yield from self._fetch_part(path, manifest.files[path])):
                return False
        return True

    def _fetch_by_hash(self, path: str, manifest: ServedManifest) -> Asking[bool]:
        ota = manifest.files[path]
        ask = self._target.by_hash(path, ota)
        (answer,) = yield (ask,)
        faults = (answer.fault,) if isinstance(answer, NoAnswer) else judge.judge_file(ota, answer)
        return self._witness.note(ask, faults, None)

    def _fetch_document(self, path: str, manifest: ServedManifest) -> Asking[bool]:
        """Returns whether the page that is open now is of the release of `manifest`."""
        witness, page = self._witness, self._witness.page
        ask = self._target.document(path)
        got = yield from witness.named(ask)
        if got is None or page is None:
            return False
        answer, name = got
        forward = judge.judge_forward(witness.seen, name, answer)
        verdict = judge.judge_document(page, witness.told, manifest.files[path], name, answer)
        witness.saw(answer, name)
        if isinstance(verdict, ActivationName):
            self._waiting = judge.Waiting(path, answer, verdict)
            witness.find(ask, forward, name)
            return False
        whole = witness.note(ask, forward + verdict, name)
        if whole and name is not None:
            witness.page = judge.Page(name, page.token)
        return whole

    def _fetch_part(self, path: str, ota: str) -> Asking[bool]:
        witness = self._witness
        ask = self._target.part(path)
        got = yield from witness.named(ask)
        if got is None or witness.page is None:
            return False
        answer, name = got
        witness.saw(answer, name)
        return witness.note(ask, judge.judge_part(witness.page, ota, name, answer), name)

    def _pick(self, paths: Sequence[str], number: int) -> list[str]:
        return self._random.sample(paths, min(number, len(paths)))
